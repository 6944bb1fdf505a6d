"""Event logs of plain jobs: followed for any number of clusters, and one job's own part of them."""

from __future__ import annotations

import re
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..condor import Condor, Event
from ..errors import StorageError
from ..events import EventType

_BLOCK_END = b"\n...\n"
_BATCH = 10_000  # events that are read in one go
_LAST = (EventType.JOB_TERMINATED, EventType.JOB_ABORTED, EventType.CLUSTER_REMOVE)


@dataclass(frozen=True)
class JobEvent:
    """One event of a job.

    Attributes
    ----------
    type : EventType
        What happened; compares equal to HTCondor's number.
    job : str
        The job's id, ``"78.0"``.
    time : float
        When, in seconds since the epoch; HTCondor writes whole seconds.
    info : dict
        What else the event says, by HTCondor's names: ``"HoldReason"``, ``"ReturnValue"``...
    """

    type: EventType
    job: str
    time: float
    info: dict[str, Any]

    def __str__(self) -> str:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.time))
        told = (
            "HoldReason",
            "Reason",
            "ReturnValue",
            "TerminatedBySignal",
            "SlotName",
            "ExecuteHost",
            "Message",
        )
        more = next((f" ({name} {self.info[name]})" for name in told if self.info.get(name) is not None), "")
        return f"{when} {self.job} {self.type.name}{more}"


class LogFollower:
    """One event log, read on from where it was read last; each event goes to the clusters that listen.

    Get it from `follow`. The same log of several clusters is read once for all of them.
    """

    def __init__(self, condor: Condor, path: Path) -> None:
        self.path = path
        self._condor = condor
        self._offset = 0
        self._takers: dict[int, list[Callable[[], Callable[[Event], None] | None]]] = {}

    def listen(self, cluster: int, take: Callable[[Event], None]) -> None:
        """Give `take`, a bound method, the events of a cluster from the log's first; held weakly."""
        takers = [each for each in self._takers.get(cluster, ()) if each() is not None]
        self._takers[cluster] = [*takers, weakref.WeakMethod(take)]
        self._offset = 0

    def read(self) -> bool:
        """Take the events that are new; return whether there were any. A log that is not there has none."""
        any_new = False
        while _size(self.path) > self._offset:
            batch = self._condor.events(self.path, self._offset, limit=_BATCH)
            for event in batch.events:
                for taker in self._takers.get(event.cluster, ()):
                    take = taker()
                    if take is not None:
                        take(event)
            if batch.offset == self._offset:
                break  # an event that is being written
            any_new = any_new or bool(batch.events)
            self._offset = batch.offset
        return any_new


_followers: weakref.WeakValueDictionary[tuple[int, Path], LogFollower] = weakref.WeakValueDictionary()


def follow(condor: Condor, path: Path) -> LogFollower:
    """Return this process's one follower of a log."""
    follower = _followers.get((id(condor), path))
    if follower is None:
        follower = _followers[id(condor), path] = LogFollower(condor, path)
    return follower


def job_events(
    condor: Condor, path: Path, cluster: int, proc: int, *, more: Callable[[], bool]
) -> Iterator[JobEvent]:
    """Yield the events of one job, and of its cluster as a whole.

    Parameters
    ----------
    condor, path, cluster, proc
        Who reads which log for which job.
    more : callable
        Called when all that is there was yielded; it waits and returns whether to look again.
    """
    offset, ended = 0, False
    while True:
        while True:
            batch = condor.events(path, offset, limit=_BATCH)
            for event in batch.events:
                if event.cluster == cluster and event.proc in (proc, -1):
                    ended = ended or event.type in _LAST
                    yield JobEvent(EventType(event.type), f"{cluster}.{proc}", event.time, event.info)
            if batch.offset == offset:
                break
            offset = batch.offset
        if ended or not more():
            return


def job_text(path: Path, cluster: int, proc: int) -> str:
    """Return what a log in HTCondor's own format says of one job, word for word."""
    head = re.compile(rb"^\d{3} \(0*%d\.(?:0*%d|-\d+|)\.-?\d*\) " % (cluster, proc), re.MULTILINE)
    try:
        text = path.read_bytes()
    except OSError as error:
        raise StorageError(f"the event log {path} cannot be read: {error.strerror}") from error
    blocks = text.split(_BLOCK_END)
    return "".join((block + _BLOCK_END).decode(errors="replace") for block in blocks if head.match(block))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
