"""The jobs of a map, as its event log tells of them. The schedd is not asked."""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..condor.logtext import LogEvent, Place, read_part
from ..errors import StorageError
from ..events import EventType, JobFacts
from ..status import JobStatus
from ..submission import Submission
from .finished import FinishedJobs
from .tracked import Key, TrackedJob

# By themselves, for they are looked at for each event.
_SUBMIT, _EXECUTE = EventType.SUBMIT, EventType.EXECUTE

_LONG_AGO = 30.0  # seconds; clocks of two machines may differ by less
_FACTS = tuple(field.name for field in fields(JobFacts))


class JobTable:
    """The jobs of a map; `read` takes the events that are new.

    A job that completed with an exit code takes 12 bytes, any other about 500.

    Parameters
    ----------
    log : Path
        The event log.
    submissions : sequence of Submission
        Those of the map; may grow.
    find : callable
        Returns the submission with an id, of which the log tells the cluster; None where there is none.

    Attributes
    ----------
    counts : Counter
        How many jobs are in each state.
    started : deque of TrackedJob
        Jobs that began to run; who takes note of one removes it.
    paused : dict
        Clusters whose factory makes no more jobs, and why.
    gone : dict
        Clusters that left the queue, and when that was read, as in `TrackedJob.ended`.
    closed : set
        Those of them of whose jobs no more can be learnt.
    live : dict
        The jobs that events may still tell of, by cluster and proc.
    damage : str or None
        Why the log cannot be relied on.
    """

    def __init__(
        self,
        log: Path,
        submissions: Sequence[Submission],
        find: Callable[[str, int], Submission | None],
    ) -> None:
        self.log = log
        self.submissions = submissions
        self.counts: Counter[JobStatus] = Counter()
        self.started: deque[TrackedJob] = deque()
        self.paused: dict[int, str] = {}
        self.gone: dict[int, float] = {}
        self.closed: set[int] = set()
        self.damage: str | None = None
        self._find = find
        self._place = Place()
        self._pending: deque[LogEvent] = deque()  # those that were read, and not taken yet
        self._written = time.monotonic()  # when the newest of them was written, at the latest
        self.live: dict[tuple[int, int], TrackedJob] = {}
        self._jobs: dict[Key, TrackedJob] = {}  # the live ones, and those that were removed or killed
        self._finished: dict[str, FinishedJobs] = {}  # by the submission's id
        self._hosts: dict[str, int] = {}  # by name: their numbers in `FinishedJobs`
        self._names: list[str] = []  # by number

    def __len__(self) -> int:
        return self.counts.total()

    def get(self, submission: Submission, chunk: int) -> TrackedJob | None:
        """Return the job that computes a chunk; None where its factory has not made it."""
        job = self._jobs.get((submission.id, chunk))
        finished = self._finished.get(submission.id)
        if job is not None or finished is None or chunk not in finished:
            return job
        proc, exit_code, host = finished.get(chunk)
        return TrackedJob(
            cluster=finished.cluster,
            proc=proc,
            submission=submission,
            chunk=chunk,
            status=JobStatus.COMPLETED,
            host=self._names[host],
            exit_code=exit_code,
        )

    def replace(self, submission: Submission) -> None:
        """Let the jobs of a submission be those of this one, which has the same id and other options."""
        for job in self._jobs.values():
            if job.submission.id == submission.id:
                job.submission = submission

    # -- the log ---------------------------------------------------------------------------------------------

    def read(self) -> int:
        """Take the events that are new, at most a megabyte of them; return how many there were.

        Ctrl-C may end this between any two steps; the next call goes on with the event that it came in.

        Raises
        ------
        StorageError
            The log and the map's folder are not there, or can't be read.
        """
        if self._pending:
            self._count()  # interrupted
            return self._take_pending()
        self._note_age()
        try:
            part = read_part(self.log, self._place)
        except OSError as error:
            if any(submission.folder.is_dir() for submission in self.submissions):
                self.note_damage(
                    f"it cannot be read: {error.strerror}"
                )  # it may be on another machine's disk
                return 0
            clusters = " ".join(str(s.cluster) for s in self.submissions if s.cluster is not None)
            raise StorageError(
                f"the event log of the map cannot be read: {error}. If its folder was deleted, its results are "
                f"gone with it, and so are its jobs if condormap.remove() did that; else: condor_rm {clusters}"
            ) from error
        self.damage = self.damage or part.damage
        self._place, self._pending = part.place, deque(part.events)
        self._take_pending()
        return part.n_events

    def _note_age(self) -> None:
        """Take note of when the log was written last: what has ended long ago need not be waited for again."""
        age = 0.0
        with contextlib.suppress(OSError):
            age = time.time() - os.stat(self.log).st_mtime
        self._written = time.monotonic() - (age if age > _LONG_AGO else 0.0)

    def _take_pending(self) -> int:
        n_events = len(self._pending)
        while self._pending:
            self._take(*self._pending[0])
            self._pending.popleft()
        return n_events

    def _count(self) -> None:
        """Count the jobs by their states anew."""
        counts = Counter(job.status for job in self._jobs.values())
        for submission, finished in self._finished.items():
            counts[JobStatus.COMPLETED] += sum((submission, chunk) not in self._jobs for chunk in finished)
        self.counts = counts

    def _take(self, kind: int, cluster: int, proc: int, info: Mapping[str, Any]) -> None:
        if proc < 0:
            self._take_of_cluster(kind, cluster, info)
        elif kind == _SUBMIT:
            self._take_submit(cluster, proc, str(info.get("UserNotes") or info.get("LogNotes", "")).split())
        elif (job := self.live.get((cluster, proc))) is not None:
            before = job.status
            if job.note(kind, info):
                job.lost = False
                self.note_change(job, before, self._written)
                if kind == _EXECUTE:
                    self.started.append(job)

    def _take_of_cluster(self, kind: int, cluster: int, info: Mapping[str, Any]) -> None:
        if kind == EventType.CLUSTER_REMOVE:
            self._take_end(cluster, info.get("NextProcId", 0))
        elif kind == EventType.FACTORY_PAUSED:
            self.paused[cluster] = str(info.get("Reason", ""))
        elif kind == EventType.FACTORY_RESUMED:
            self.paused.pop(cluster, None)

    def _take_submit(self, cluster: int, proc: int, notes: Sequence[str]) -> None:
        """Take note of a new job; the notes of its submit event say which chunk it computes."""
        if len(notes) == 3 and notes[0] == "condormap" and notes[2].isdecimal():
            submission = self._find(notes[1], cluster)
            if submission is not None:
                self.add(submission, int(notes[2]), cluster, proc)

    def _take_end(self, cluster: int, n_jobs: int) -> None:
        """Take note that a cluster has left the queue, after its factory had made so many jobs."""
        self.gone[cluster] = self._written
        known = sum(
            self._n_jobs(submission) for submission in self.submissions if submission.cluster == cluster
        )
        if known < n_jobs:
            self.note_damage(f"it tells of {known} of the {n_jobs} jobs of cluster {cluster}")
        elif any(id[0] == cluster for id in self.live):
            self.note_damage(f"it does not tell how all jobs of cluster {cluster} ended")
        else:
            self.closed.add(cluster)

    def _n_jobs(self, submission: Submission) -> int:
        return len(self._finished.get(submission.id, ())) + sum(key[0] == submission.id for key in self._jobs)

    def add(self, submission: Submission, chunk: int, cluster: int, proc: int) -> TrackedJob:
        """Add a job, unless it is there."""
        known = self.get(submission, chunk)
        if known is not None and (known.cluster, known.proc) == (cluster, proc):
            return known
        job = TrackedJob(cluster=cluster, proc=proc, submission=submission, chunk=chunk)
        self._jobs[job.key] = self.live[cluster, proc] = job
        self.counts[job.status] += 1
        return job

    def note_change(self, job: TrackedJob, before: JobStatus, when: float | None = None) -> None:
        """Take note of the state that a job has come to: count it, and keep no more of it than is needed."""
        self.counts[before] -= 1
        self.counts[job.status] += 1
        if not job.is_over:
            return
        job.ended = time.monotonic() if when is None else when
        if job.exit_code is not None and not job.lost:
            submission = job.submission
            finished = self._finished.get(submission.id)
            if finished is None:
                finished = FinishedJobs(job.cluster, len(submission.chunks))
                self._finished[submission.id] = finished
            if finished.cluster == job.cluster:
                finished.add(job.chunk, job.proc, job.exit_code, self._number(job.host))
                self._jobs.pop(job.key, None)
        if not job.lost:
            self.live.pop((job.cluster, job.proc), None)

    def _number(self, host: str) -> int:
        if host not in self._hosts:
            self._names.append(host)
            self._hosts[host] = len(self._names) - 1
        return self._hosts[host]

    def expect(self, submissions: Iterable[Submission]) -> None:
        """Take note that the log, which was read, should tell of these submissions; else it is damaged."""
        for submission in submissions:
            cluster = submission.cluster
            if cluster is not None and cluster not in self.gone and not self._n_jobs(submission):
                self.note_damage(f"it tells nothing of cluster {cluster}")

    def note_damage(self, what: str) -> None:
        """Take note of why the log cannot be relied on; the first reason stays."""
        self.damage = self.damage or f"{self.log} is damaged: {what}"

    # -- from one process to the next ------------------------------------------------------------------------

    def as_record(self) -> dict[str, Any]:
        """Return the table in JSON values; `restore` takes it."""
        jobs = [
            [job.cluster, job.proc, *job.key, *(getattr(job, name) for name in _FACTS)]
            for job in self._jobs.values()
        ]
        return {
            "offset": self._place.offset,
            "tail": self._place.tail.hex(),
            "jobs": jobs,
            "finished": {id: finished.as_record() for id, finished in self._finished.items()},
            "hosts": self._names,
            "paused": list(self.paused.items()),
            "gone": list(self.closed),
        }

    def restore(self, record: Mapping[str, Any]) -> None:
        """Go on from where another table was when it was recorded; all jobs that ran count as started.

        Raises
        ------
        KeyError, TypeError, ValueError
            That is no such record.
        """
        submissions = {s.id: s for s in self.submissions}
        finished = {
            id: FinishedJobs.from_record(each, len(submissions[id].chunks))
            for id, each in record["finished"].items()
        }
        jobs = [
            TrackedJob(
                cluster=cluster,
                proc=proc,
                submission=submissions[id],
                chunk=chunk,
                status=JobStatus(status),
                **dict(zip(_FACTS[1:], facts, strict=True)),
            )
            for cluster, proc, id, chunk, status, *facts in record["jobs"]
        ]
        place = Place(int(record["offset"]), bytes.fromhex(record["tail"]))
        self._note_age()
        paused, gone = dict(record["paused"]), dict.fromkeys(record["gone"], self._written)
        # Nothing above has changed this table; below, nothing fails.
        self._place, self._finished, self.paused, self.gone, self.closed = (
            place,
            finished,
            paused,
            gone,
            set(gone),
        )
        self._names = list(record["hosts"])
        self._hosts = {name: number for number, name in enumerate(self._names)}
        self._jobs = {job.key: job for job in jobs}
        self.live = {(job.cluster, job.proc): job for job in jobs if not job.is_over}
        self.started.extend(job for job in jobs if job.host)
        for id, table in finished.items():
            self.started.extend(job for chunk in table if (job := self.get(submissions[id], chunk)))
        for job in self.started:
            job.ended = self._written if job.is_over else 0.0
        self._count()
