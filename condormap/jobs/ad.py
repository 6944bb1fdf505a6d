"""A job's ad as plain values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import InvalidInputError


class JobAd(Mapping[str, Any]):
    """An ad as plain values, by attribute names in any case; what an ad does not define is not in it.

    Values are str, int, float, bool, None (undefined), list, dict; an expression that has no value by itself, such
    as ``Requirements``, is its text.
    """

    def __init__(self, attributes: Mapping[str, Any]) -> None:
        self._attributes = dict(attributes)
        self._names: dict[str, str] = {}  # by their lower case; made when one is not found as it was written

    def __getitem__(self, name: str) -> Any:
        try:
            return self._attributes[name]
        except (KeyError, TypeError):
            self._names = self._names or {each.lower(): each for each in self._attributes}
        try:
            return self._attributes[self._names[name.lower()]]
        except (KeyError, AttributeError):
            raise KeyError(name) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._attributes)

    def __len__(self) -> int:
        return len(self._attributes)

    def __repr__(self) -> str:
        return f"<JobAd of {self.get('ClusterId')}.{self.get('ProcId')}: {len(self)} attributes>"


@dataclass(frozen=True, slots=True)
class KeptAd:
    """The last ad that was seen of a job.

    Parameters
    ----------
    ad : JobAd
        The ad.
    until : float
        How long it counts as new, on this process's monotonic clock; for ever if the job has ended.
    """

    ad: JobAd
    until: float


def plain_ad(ad: Mapping[str, Any]) -> JobAd:
    """Return an ad as the seam gives it, of a ClassAd of the bindings too; they are not loaded here."""
    if not isinstance(ad, Mapping) and not (hasattr(ad, "keys") and hasattr(ad, "__getitem__")):
        raise InvalidInputError(f"from_ad takes a ClassAd or a dict, and not a {type(ad).__name__}: {ad!r}")
    return JobAd({str(name): _plain(ad[name]) for name in ad})


def _plain(value: Any) -> Any:
    if value is None or type(value) in (str, int, float, bool, list, dict):
        return value
    text = str(value)
    return None if text in ("Undefined", "undefined", "Value.Undefined") else text
