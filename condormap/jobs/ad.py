"""One job's ad: read from the queue or the history, and kept for a moment."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import NoSuchJobError
from .state import ClusterState, past


class JobAd(Mapping[str, Any]):
    """An ad as plain values, by attribute names in any case; what an ad does not define is not in it.

    Values are str, int, float, bool, None (undefined), list, dict; an expression that has no value by itself, such
    as ``Requirements``, is its text.
    """

    def __init__(self, attributes: Mapping[str, Any]) -> None:
        self._attributes = dict(attributes)
        self._names = {name.lower(): name for name in self._attributes}

    def __getitem__(self, name: str) -> Any:
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


class AdReader:
    """Reads one job's ad when it is asked for, and again when the last one is older than a second.

    Parameters
    ----------
    state : ClusterState
        The job's cluster.
    proc : int
        Which job of it.
    """

    FRESH = 1.0  # seconds

    def __init__(self, state: ClusterState, proc: int) -> None:
        self._state = state
        self._proc = proc
        self._ad: JobAd | None = None
        self._read_at = 0.0
        self._final = False

    def give(self, ad: Mapping[str, Any]) -> None:
        """Start from an ad that somebody else has read."""
        self._ad = JobAd(ad)

    def read(self) -> JobAd:
        """Return the ad; ask for it if the last one is old."""
        if self._ad is None or not (self._final or time.monotonic() - self._read_at < self.FRESH):
            self.refresh()
        assert self._ad is not None
        return self._ad

    def expire(self) -> None:
        """Note that the job was changed: the next `read` asks."""
        self._read_at = 0.0

    def refresh(self) -> None:
        """Ask for the ad: of the queue, else of the history; else what was read last stays."""
        condor, cluster, proc = self._state.condor, self._state.cluster, self._proc
        which = f"ClusterId == {cluster} && ProcId == {proc}"
        ads = condor.query(which, all_users=True)
        if not ads and proc in self._state.unmade:
            own = f"ClusterId == {cluster} && ProcId is undefined"
            ads = [{**ad, "ProcId": proc} for ad in condor.query(own, all_users=True, cluster_ads=True)]
        if not ads:
            ads = past(condor, which, limit=1)
            self._final = bool(ads) or self._state.record(proc).ended
        self._read_at = time.monotonic()
        if ads:
            self._state.take_ad(ads[0])
            self._ad = JobAd(ads[0])
        elif self._ad is None:
            raise NoSuchJobError(
                f"job {cluster}.{proc} has no ad: it is neither in the queue nor in the history"
                f" ({self._state.record(proc).in_words()})"
            )
