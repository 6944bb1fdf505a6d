"""The jobs of a map, as its event log tells of them, and where that is damaged, the ads of queue and history."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from .condor.logtext import LogEvent, Place, read_part
from .errors import StorageError
from .events import AD_ATTRIBUTES, EventType, JobFacts
from .finished import FinishedJobs
from .status import JobStatus
from .submission import Submission

# By themselves, for they are looked at for each event.
_SUBMIT, _EXECUTE = EventType.SUBMIT, EventType.EXECUTE

#: The attributes of an ad that `JobTable.compare` reads.
ATTRIBUTES = ["ClusterId", "ProcId", "CondormapSubmission", "CondormapChunk", *AD_ATTRIBUTES]

Key = tuple[str, int]  # a submission's id, and the chunk

_FACTS = tuple(field.name for field in fields(JobFacts))


@dataclass(slots=True, kw_only=True, eq=False)
class TrackedJob(JobFacts):
    """One job of a map, as far as its events tell.

    Attributes
    ----------
    cluster, proc : int
        Its id's parts.
    submission, chunk
        What it computes.
    ended : float
        When its end was read, on this process's monotonic clock; 0 while it hasn't, or if that is long ago.
    lost : bool
        It is gone from the queue, and its log does not say how.
    """

    cluster: int
    proc: int
    submission: Submission
    chunk: int
    ended: float = 0.0
    lost: bool = False

    @property
    def id(self) -> str:
        """``"cluster.proc"``."""
        return f"{self.cluster}.{self.proc}"

    @property
    def key(self) -> Key:
        """What it computes, as the tables have it."""
        return self.submission.id, self.chunk

    @property
    def items(self) -> Sequence[int]:
        """The items that it computes."""
        return self.submission.items(self.chunk)

    @property
    def is_over(self) -> bool:
        """Whether the job has left the queue, or is leaving it."""
        return self.lost or self.status in (JobStatus.COMPLETED, JobStatus.REMOVED)


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
        self._live: dict[tuple[int, int], TrackedJob] = {}  # by cluster and proc: those that may have events
        self._jobs: dict[Key, TrackedJob] = {}  # these, and those that were removed or killed
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
        try:
            part = read_part(self.log, self._place)
        except OSError as error:
            if any(submission.folder.is_dir() for submission in self.submissions):
                self._note_damage(
                    f"it cannot be read: {error.strerror}"
                )  # it may be on another machine's disk
                return 0
            clusters = " ".join(str(s.cluster) for s in self.submissions if s.cluster is not None)
            raise StorageError(
                f"the event log of the map cannot be read: {error}. If its folder was deleted, its results are "
                f"gone with it; its jobs may still be in the queue: condor_rm {clusters}"
            ) from error
        self.damage = self.damage or part.damage
        self._place, self._pending = part.place, deque(part.events)
        self._take_pending()
        return part.n_events

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
        elif (job := self._live.get((cluster, proc))) is not None:
            before = job.status
            if job.note(kind, info):
                job.lost = False
                self._note_change(job, before)
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
                self._add(submission, int(notes[2]), cluster, proc)

    def _take_end(self, cluster: int, n_jobs: int) -> None:
        """Take note that a cluster has left the queue, after its factory had made so many jobs."""
        self.gone[cluster] = time.monotonic()
        known = sum(
            self._n_jobs(submission) for submission in self.submissions if submission.cluster == cluster
        )
        if known < n_jobs:
            self._note_damage(f"it tells of {known} of the {n_jobs} jobs of cluster {cluster}")
        elif any(id[0] == cluster for id in self._live):
            self._note_damage(f"it does not tell how all jobs of cluster {cluster} ended")
        else:
            self.closed.add(cluster)

    def _n_jobs(self, submission: Submission) -> int:
        return len(self._finished.get(submission.id, ())) + sum(key[0] == submission.id for key in self._jobs)

    def _add(self, submission: Submission, chunk: int, cluster: int, proc: int) -> TrackedJob:
        """Add a job, unless it is there."""
        known = self.get(submission, chunk)
        if known is not None and (known.cluster, known.proc) == (cluster, proc):
            return known
        job = TrackedJob(cluster=cluster, proc=proc, submission=submission, chunk=chunk)
        self._jobs[job.key] = self._live[cluster, proc] = job
        self.counts[job.status] += 1
        return job

    def _note_change(self, job: TrackedJob, before: JobStatus) -> None:
        """Take note of the state that a job has come to: count it, and keep no more of it than is needed."""
        self.counts[before] -= 1
        self.counts[job.status] += 1
        if not job.is_over:
            return
        job.ended = time.monotonic()
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
            self._live.pop((job.cluster, job.proc), None)

    def _number(self, host: str) -> int:
        if host not in self._hosts:
            self._names.append(host)
            self._hosts[host] = len(self._names) - 1
        return self._hosts[host]

    # -- the queue and the history ---------------------------------------------------------------------------

    def unexplained(self, clusters: Set[int], ads: Sequence[Mapping[str, Any]]) -> set[int]:
        """Return the clusters of which jobs left the queue without a word of it in the log; read that first.

        Parameters
        ----------
        clusters : set of int
            The clusters that the queue was asked for.
        ads : sequence of mapping
            Their jobs in the queue, and the clusters' own ads, with `ATTRIBUTES`.
        """
        present = _ids(ads)
        found = {id[0] for id in self._live if id[0] in clusters and id not in present}
        return found | {cluster for cluster in clusters - _clusters(present) if not self._has_all(cluster)}

    def compare(
        self, clusters: Set[int], ads: Sequence[Mapping[str, Any]], past: Sequence[Mapping[str, Any]]
    ) -> None:
        """Take note of what the queue and the history tell and the log does not.

        A job of which the log tells, and not of its end, is lost if it is in neither. A job that was submitted on
        hold has no event that says so. A log that lacks a job that runs, or has run, is damaged.

        Parameters
        ----------
        clusters, ads
            As for `unexplained`.
        past : sequence of mapping
            The ads that the history has of the clusters that `unexplained` returned.
        """
        present = _ids(ads)
        for ad in past:
            self._take_ad(ad)
        for id, lost in list(self._live.items()):
            if id[0] in clusters and id not in present and not lost.lost:
                self._note_damage(f"it does not tell how job {lost.id} ended")
                before, lost.status, lost.lost = lost.status, JobStatus.REMOVED, True
                self._note_change(lost, before)
        for cluster in clusters - _clusters(present):
            self.gone.setdefault(cluster, time.monotonic())
            if not self._has_all(cluster):
                self._note_damage(f"it does not tell of all jobs of cluster {cluster}")
            self.closed.add(cluster)
        for ad in ads:
            job, status = self._live.get((ad["ClusterId"], ad.get("ProcId", -1))), ad.get("JobStatus")
            unknown = job is None and status == JobStatus.RUNNING
            held = job is not None and job.status == JobStatus.IDLE and status == JobStatus.HELD
            if self.damage is not None or unknown or held:
                self._take_ad(ad)

    def _has_all(self, cluster: int) -> bool:
        """Tell whether the log has told of a job for each chunk of a cluster."""
        return all(
            self.get(submission, chunk) is not None
            for submission in self.submissions
            if submission.cluster == cluster
            for chunk in range(len(submission.chunks))
        )

    def expect(self, submissions: Iterable[Submission]) -> None:
        """Take note that the log, which was read, should tell of these submissions; else it is damaged."""
        for submission in submissions:
            cluster = submission.cluster
            if cluster is not None and cluster not in self.gone and not self._n_jobs(submission):
                self._note_damage(f"it tells nothing of cluster {cluster}")

    def _note_damage(self, what: str) -> None:
        self.damage = self.damage or f"{self.log} is damaged: {what}"

    def _take_ad(self, ad: Mapping[str, Any]) -> None:
        """Take note of a job's ad, where it says more than the log has."""
        submission = next((s for s in self.submissions if s.id == ad.get("CondormapSubmission")), None)
        if submission is None or "ProcId" not in ad or "CondormapChunk" not in ad:
            return
        job = self.get(submission, ad["CondormapChunk"])
        if job is None:
            job = self._add(submission, ad["CondormapChunk"], ad["ClusterId"], ad["ProcId"])
            self._note_damage(f"it does not tell of job {job.id}")
        if job.lost or not job.is_over:
            before, job.lost = job.status, False
            job.note_ad(ad)
            if job.is_over:
                self._note_damage(f"it does not tell how job {job.id} ended")
            self._note_change(job, before)

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
        paused, gone = dict(record["paused"]), dict.fromkeys(record["gone"], time.monotonic())
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
        self._live = {(job.cluster, job.proc): job for job in jobs if not job.is_over}
        self.started.extend(job for job in jobs if job.host)
        for id, table in finished.items():
            self.started.extend(job for chunk in table if (job := self.get(submissions[id], chunk)))
        for job in self.started:
            job.ended = time.monotonic() if job.is_over else 0.0
        self._count()


def _ids(ads: Iterable[Mapping[str, Any]]) -> set[tuple[int, int]]:
    return {(ad["ClusterId"], ad.get("ProcId", -1)) for ad in ads}


def _clusters(ids: Iterable[tuple[int, int]]) -> set[int]:
    return {cluster for cluster, _ in ids}
