"""The jobs of a map, as its event log tells of them. The schedd is not asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .condor import Condor, Event
from .errors import StorageError
from .events import EventType, JobFacts
from .status import JobStatus
from .submission import Submission

# By themselves, for they are looked at for each event.
_SUBMIT, _EXECUTE = EventType.SUBMIT, EventType.EXECUTE
_LAST = (EventType.JOB_ABORTED, EventType.JOB_TERMINATED)


@dataclass(slots=True, kw_only=True)
class TrackedJob(JobFacts):
    """One job of a map, as far as its events tell.

    Attributes
    ----------
    id : str
        ``"cluster.proc"``.
    submission, chunk
        What it computes.
    ended : float
        When its end was read, on this process's monotonic clock; 0 while it hasn't.
    lost : bool
        It is gone from the queue, and its log does not say how.
    """

    id: str
    submission: Submission
    chunk: int
    ended: float = 0.0
    lost: bool = False

    @property
    def items(self) -> Sequence[int]:
        """The items that it computes."""
        return self.submission.items(self.chunk)


class JobTable:
    """The jobs of a map; `read` takes the events that are new.

    Parameters
    ----------
    log : Path
        The event log.
    submissions : sequence of Submission
        Those of the map; may grow.
    condor : Condor
        Who reads the log.
    find : callable
        Returns the submission with an id, of which the log tells the cluster; None where there is none.
    """

    def __init__(
        self,
        log: Path,
        submissions: Sequence[Submission],
        condor: Condor,
        find: Callable[[str, int], Submission | None],
    ) -> None:
        self.log = log
        self.submissions = submissions
        self.by_chunk: dict[tuple[str, int], TrackedJob] = {}  # (submission id, chunk) -> its job
        self.started: list[TrackedJob] = []  # since the list was cleared
        self.paused: dict[int, str] = {}  # clusters whose factory makes no more jobs, and why
        self.gone: dict[int, float] = {}  # clusters that left the queue, and when that was read
        self.damage: str | None = None  # what is wrong with the log
        self._condor = condor
        self._find = find
        self._offset = 0
        self._by_id: dict[tuple[int, int], TrackedJob] = {}

    def read(self) -> int:
        """Take the events that are new; return how many there were."""
        count = 0
        while self._size() > self._offset:
            batch = self._condor.events(str(self.log), self._offset)
            for event in batch.events:
                self._take(event)
            count += len(batch.events)
            self.damage = batch.damaged or self.damage
            if batch.offset == self._offset:
                break  # an event that is being written
            self._offset = batch.offset
        return count

    def _size(self) -> int:
        try:
            return self.log.stat().st_size
        except OSError as error:
            clusters = " ".join(str(s.cluster) for s in self.submissions if s.cluster is not None)
            raise StorageError(
                f"the event log of the map cannot be read: {error}. If its folder was deleted, its results are "
                f"gone with it; its jobs may still be in the queue: condor_rm {clusters}"
            ) from error

    def note_missing(self, clusters: Set[int], present: Set[str]) -> None:
        """Mark as lost what the queue does not have and the log has not told the end of.

        Parameters
        ----------
        clusters : set of int
            The clusters that were asked for.
        present : set of str
            The ids of their jobs that are in the queue (``"78.0"``), and of the clusters' own ads (``"78.-1"``).
        """
        for (cluster, proc), job in self._by_id.items():
            if cluster in clusters and not job.ended and f"{cluster}.{proc}" not in present:
                job.lost, job.ended = True, time.monotonic()
        for cluster in clusters:
            if not any(job.startswith(f"{cluster}.") for job in present):
                self.gone.setdefault(cluster, time.monotonic())

    def note_held(self, ads: Iterable[Mapping[str, Any]]) -> None:
        """Mark as held what the queue holds and the log does not tell of: a job that was submitted on hold."""
        for ad in ads:
            job = self._by_id.get((ad["ClusterId"], ad.get("ProcId", -1)))
            if job is not None and job.status == JobStatus.IDLE and ad.get("JobStatus") == JobStatus.HELD:
                job.note_hold(ad)

    def _take(self, event: Event) -> None:
        if event.proc < 0:
            self._take_of_cluster(event)
            return
        kind = event.type
        if kind == _SUBMIT:
            self._add(event)
        job = self._by_id.get((event.cluster, event.proc))
        if job is None or job.ended or not job.note(kind, event.info):
            return
        if kind == _EXECUTE:
            self.started.append(job)
        elif kind in _LAST:
            job.ended = time.monotonic()

    def _take_of_cluster(self, event: Event) -> None:
        if event.type == EventType.CLUSTER_REMOVE:
            self.gone[event.cluster] = time.monotonic()
        elif event.type == EventType.FACTORY_PAUSED:
            self.paused[event.cluster] = str(event.info.get("Reason", ""))
        elif event.type == EventType.FACTORY_RESUMED:
            self.paused.pop(event.cluster, None)

    def _add(self, event: Event) -> None:
        """Take note of a new job; its submit event says which chunk it computes."""
        notes = str(event.info.get("UserNotes") or event.info.get("LogNotes", "")).split()  # 23.x: the latter
        submission = self._find(notes[1], event.cluster) if len(notes) == 3 else None
        if submission is not None:
            chunk = int(notes[2])
            job = TrackedJob(id=f"{event.cluster}.{event.proc}", submission=submission, chunk=chunk)
            self.by_chunk[submission.id, chunk] = self._by_id[event.cluster, event.proc] = job
