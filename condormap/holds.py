"""Jobs of a map that are on hold: why, in words, and what to type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from .errors import JobHeldError
from .more_memory import is_for_memory
from .status import hold_advice, hold_in_words

_DISK = (34, 104)
# The map's other jobs would fare alike; m.retry() alone leaves in the queue those that are not on hold.
_UNSEEN = (
    "m.remove(); m.retry(transfer='always') if that machine does not see this folder; else mend that, and "
    "m.release()"
)
_ADVICE = {  # of a map's jobs, by code and subcode; -1 for any
    (1, -1): "m.release()",
    (6, 2): "m.remove(); m.retry(python=...) with the path that the interpreter has on the execute machine",
    (7, -1): _UNSEEN,
    (9, -1): _UNSEEN,
    (12, -1): "m.release() runs the job again",
    (13, -1): "put back what is missing and m.release(), or m.remove(); m.retry(transfer='always')",
    (14, -1): _UNSEEN,
}
_ENOUGH = 1.25  # times what was used
#: What the schedd is asked of a held job.
ATTRIBUTES = "ClusterId ProcId ResidentSetSize MemoryProvisioned DiskUsage RequestDisk".split()

Items = range | tuple[int, ...]
#: What stands for the id of jobs that wait for room, and were not submitted.
NOT_SUBMITTED = "not submitted"


@dataclass(frozen=True)
class Hold:
    """A job of a map that is on hold, or a cluster that makes no jobs while it is.

    Attributes
    ----------
    job : str
        ``"cluster.proc"``, or the cluster, or `NOT_SUBMITTED`.
    items : range or tuple of int
        The items without an outcome that wait for it.
    code, subcode : int
        HTCondor's HoldReasonCode and HoldReasonSubCode.
    reason : str
        HTCondor's own words.
    words : str
        What happened: ``"used 612 MB of 512 MB"``.
    advice : str
        What to do, to type as it is where it is code: ``"m.edit(memory='1GB'); m.release()"``.
    """

    job: str
    items: Items
    code: int
    subcode: int
    reason: str
    words: str
    advice: str

    def __str__(self) -> str:
        return f"held: {self.words}; {self.advice}"

    def __repr__(self) -> str:
        return f"<Hold of {self.job} ({in_words(self.items)}): {self.words}; {self.advice}>"


class HoldInfo(NamedTuple):
    """What the event log says of a hold; see `Hold`."""

    job: str
    code: int
    subcode: int
    reason: str


def hold(info: HoldInfo, items: Items, ad: Mapping[str, Any]) -> Hold:
    """Return what is to be said of a held job.

    Parameters
    ----------
    info : HoldInfo
        What the event log says.
    items : range or tuple of int
        The items that wait for it.
    ad : mapping
        What the schedd says of it, if anything; see `ATTRIBUTES`.
    """
    job, code, subcode, reason = info
    asked, used = _megabytes(ad, "MemoryProvisioned", 1), _megabytes(ad, "ResidentSetSize", 1024)
    if (code, subcode) == _DISK:
        asked, used = _megabytes(ad, "RequestDisk", 1024), _megabytes(ad, "DiskUsage", 1024)
    words = hold_in_words(code, subcode)
    if (is_for_memory(code, subcode) or (code, subcode) == _DISK) and asked and used > asked:
        words = f"used {used} MB of {asked} MB"
    elif reason:
        words += f" ({reason.rstrip('.')})"
    return Hold(job, items, code, subcode, reason, words, advice(code, subcode, asked, used))


def hold_of_waiting(items: Items, error: BaseException | None) -> Hold:
    """Return what is to be said of jobs that wait for room and are not submitted for now."""
    code = error.code if isinstance(error, JobHeldError) else 0
    words = str(error).partition("; ")[0]
    return Hold(NOT_SUBMITTED, items, code, 0, str(error), words, "m.release(), or m.remove()")


def advice(code: int, subcode: int, asked: int = 0, used: int = 0) -> str:
    """Return what to do about a hold.

    Parameters
    ----------
    code, subcode : int
        HTCondor's.
    asked, used : int
        MB of memory (or disk) that the job asked for and used; 0 where that isn't known.
    """
    if is_for_memory(code, subcode) or (code, subcode) == _DISK:
        option = "disk" if (code, subcode) == _DISK else "memory"
        if not asked:
            return (
                f"m.edit({option}=...) asks for more, m.release() goes on; m.holds() tells how much was used"
            )
        return f"m.edit({option}={_larger(asked, used)!r}); m.release()"
    return _ADVICE.get((code, subcode)) or _ADVICE.get((code, -1)) or hold_advice(code, subcode)


def as_items(items: Sequence[int]) -> Items:
    """Return items such that they can be compared."""
    return items if isinstance(items, range) else tuple(items)


def in_words(items: Sequence[int]) -> str:
    """Return which items they are, in a few words."""
    if len(items) == 1:
        return f"item {items[0]}"
    if isinstance(items, range):
        return f"items {items[0]} to {items[-1]}"
    return f"{len(items)} items, the first of them {items[0]}"


def _larger(asked: int, used: int) -> str:
    """Return a size that is enough, as somebody would type it."""
    size = 2 * asked
    while size < used * _ENOUGH:
        size *= 2
    return f"{size}MB" if size % 1024 else f"{size // 1024}GB"


def _megabytes(ad: Mapping[str, Any], name: str, per_megabyte: int) -> int:
    value = ad.get(name)
    return -int(-value // per_megabyte) if isinstance(value, int | float) else 0
