"""Event logs of plain jobs: followed for any number of clusters, and one job's own part of them."""

from __future__ import annotations

import heapq
import re
import time
import weakref
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..condor import Condor, Event
from ..errors import StorageError
from ..events import EventType

_BLOCK_END = b"\n...\n"
_BATCH = 10_000  # events that are read in one go
_HEAD = re.compile(rb"\d{3} \((\d+)\.(-?\d*)\.-?\d*\) ")
_LAST = (EventType.JOB_TERMINATED, EventType.JOB_ABORTED)


@dataclass(frozen=True)
class JobEvent:
    """One event of a job.

    Attributes
    ----------
    type : EventType
        What happened; compares equal to HTCondor's number.
    job : str
        The job's id, ``"78.0"``; ``"78"`` for what concerns a whole cluster.
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


class LogReader:
    """One log, read on for some jobs from its beginning.

    Parameters
    ----------
    condor, path
        Who reads which log.
    jobs : set of (int, int)
        The clusters and procs of the jobs.
    """

    def __init__(self, condor: Condor, path: Path, jobs: Set[tuple[int, int]]) -> None:
        self._condor = condor
        self._path = path
        self._jobs = jobs
        self._clusters = {cluster for cluster, _ in jobs}
        self._open = set(jobs)
        self._offset = 0

    @property
    def ended(self) -> bool:
        """Whether the log has told the end of all jobs."""
        return not self._open

    def new(self) -> Iterator[JobEvent]:
        """Yield the events that are new: the jobs' own, and those of their whole clusters."""
        while True:
            batch = self._condor.events(self._path, self._offset, limit=_BATCH)
            for event in batch.events:
                job = (event.cluster, event.proc)
                if job in self._jobs:
                    if event.type in _LAST:
                        self._open.discard(job)
                    name = f"{event.cluster}.{event.proc}"
                elif event.proc < 0 and event.cluster in self._clusters:
                    if event.type == EventType.CLUSTER_REMOVE:
                        self._open = {each for each in self._open if each[0] != event.cluster}
                    name = str(event.cluster)
                else:
                    continue
                yield JobEvent(EventType(event.type), name, event.time, event.info)
            if batch.offset == self._offset:
                return
            self._offset = batch.offset


def job_events(readers: Sequence[LogReader], more: Callable[[], bool]) -> Iterator[JobEvent]:
    """Yield the events of jobs, those of several logs in the order of their times.

    Parameters
    ----------
    readers : sequence of LogReader
        The logs.
    more : callable
        Called when all that is there was yielded; it waits and returns whether to look again.
    """
    while True:
        yield from heapq.merge(*(reader.new() for reader in readers), key=lambda event: event.time)
        if all(reader.ended for reader in readers) or not more():
            return


def job_texts(path: Path, jobs: Set[tuple[int, int]]) -> dict[tuple[int, int], str]:
    """Return what a log in HTCondor's own format says of jobs and of their whole clusters, word for word."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise StorageError(f"the event log {path} cannot be read: {error.strerror}") from error
    found: dict[tuple[int, int], list[bytes]] = {job: [] for job in jobs}
    of_cluster: dict[int, list[list[bytes]]] = {}
    for (cluster, _), texts in found.items():
        of_cluster.setdefault(cluster, []).append(texts)
    for block in text.split(_BLOCK_END):
        if not (head := _HEAD.match(block)):
            continue
        cluster, proc = int(head[1]), int(head[2] or -1)
        for texts in of_cluster.get(cluster, ()) if proc < 0 else [found.get((cluster, proc), [])]:
            texts.append(block + _BLOCK_END)
    return {job: b"".join(texts).decode(errors="replace") for job, texts in found.items()}


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
