"""The state of a map: its jobs by the event log, its items by the outcome files.

::

    events.log -> JobTable (a state per job) -> which outcome files to read -> Outcomes (a state per item)
"""

from __future__ import annotations

import bisect
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from .condor import Condor
from .errors import JobDiedError, JobError, JobHeldError, JobLostError, JobRemovedError
from .outcomes import ChunkReader, Outcomes
from .payload import RESULT
from .status import ItemState, JobStatus, hold_advice, hold_in_words
from .store import EVENTS_FILE
from .submission import Submission
from .tracking import JobTable, TrackedJob

# Seconds that a network file system may take to show the last bytes of a job that has ended, and the schedd to log
# that a job was released.
_GRACE = 2.0
_STDERR_TAIL = 2000  # bytes of standard error in a message


class MapState:
    """The state of one map; `poll` brings it up to date.

    Parameters
    ----------
    folder : Path
        The map's folder.
    n_items : int
        How many items the map has.
    submissions : sequence of Submission
        In order.
    condor : Condor
        The pool.
    """

    def __init__(self, folder: Path, n_items: int, submissions: Sequence[Submission], condor: Condor) -> None:
        self.submissions = submissions
        self.outcomes = Outcomes(n_items)
        self.jobs = JobTable(folder / EVENTS_FILE, submissions, condor)
        self.changed = time.monotonic()  # when something happened last
        self._holds_ended = float("-inf")  # when the jobs were released or removed here last
        self._condor = condor
        self._lock = threading.RLock()
        self._first_open = (0, 0)  # no chunk before this one (submission, chunk) is open
        self._readers: dict[tuple[str, int], ChunkReader] = {}  # of the chunks that may still write

    def poll(self) -> bool:
        """Read what is new in the event log and the outcome files; return whether anything was."""
        with self._lock:
            return self._poll()

    def _poll(self) -> bool:
        news = self.jobs.read()
        for job in self.jobs.started:
            key = (job.submission.id, job.chunk)
            self._readers.setdefault(key, ChunkReader(job.submission.folder / "outcomes", job.chunk))
        self.jobs.started.clear()
        for key, reader in list(self._readers.items()):
            news += reader.read(self.outcomes)
            if self._is_drained(self.jobs.by_chunk[key]):
                del self._readers[key]
        if news:
            self.changed = time.monotonic()
        return bool(news)

    def note_end_of_holds(self) -> None:
        """Take no job for held until the log has had time to tell that it was released, or removed."""
        self._holds_ended = self.changed = time.monotonic()

    def compare_with_queue(self) -> None:
        """Ask the schedd for the jobs that have not ended; note which it does not have, and which it holds.

        Where jobs are idle, the schedd is also made to look at all of them anew: after a refused claim it may
        leave a job out for 20 minutes (25.14, PrioRecRebuildMaxInterval), unless an attribute such as JobPrio
        is set, be it to what it was.

        Raises
        ------
        CondorError
            It does not answer.
        """
        clusters = {s.cluster for s in self.submissions if s.cluster is not None} - self.jobs.gone.keys()
        if not clusters:
            return
        there = " || ".join(f"ClusterId == {cluster}" for cluster in sorted(clusters))
        wanted = "ClusterId ProcId JobStatus JobPrio HoldReason HoldReasonCode HoldReasonSubCode".split()
        ads = self._condor.query(there, wanted, cluster_ads=True)
        idle = next((ad for ad in ads if "ProcId" in ad and ad.get("JobStatus") == JobStatus.IDLE), None)
        if idle is not None:
            priority = {"JobPrio": str(idle.get("JobPrio", 0))}
            self._condor.edit(priority, jobs=[f"{idle['ClusterId']}.{idle['ProcId']}"])
        present = {f"{ad['ClusterId']}.{ad.get('ProcId', -1)}" for ad in ads}
        with self._lock:
            self._poll()  # what ended meanwhile is in the log
            self.jobs.note_missing(clusters, present)
            self.jobs.note_held(ads)

    def _is_drained(self, job: TrackedJob) -> bool:
        """Tell whether nothing more will come from the chunk of a job whose outcomes were just read."""
        if not self.outcomes.n_missing(job.items):
            return True
        return bool(job.ended) and time.monotonic() > job.ended + _GRACE

    # -- items -----------------------------------------------------------------------------------------------

    def item_state(self, item: int) -> ItemState:
        """Return the state of an item."""
        letter = self.outcomes.states[item]
        if letter:
            return ItemState.RESULT if chr(letter) == RESULT else ItemState.ERROR
        return self._unfinished_state(*self.chunk_of(item))

    def counts(self) -> Counter[ItemState]:
        """Return how many items are in each state."""
        n_results = self.outcomes.states.count(RESULT.encode())
        counts = Counter({ItemState.RESULT: n_results, ItemState.ERROR: self.outcomes.n_finished - n_results})
        for submission in self.submissions:
            for chunk in range(len(submission.chunks)):
                if missing := self.outcomes.n_missing(submission.items(chunk)):
                    counts[self._unfinished_state(submission, chunk)] += missing
        return +counts

    def chunk_of(self, item: int) -> tuple[Submission, int]:
        """Return the newest submission that computes an item, and the chunk."""
        for submission in reversed(self.submissions):
            if submission.selection is None:
                position = item
            elif item in submission.selection:
                position = submission.selection.index(item)
            else:
                continue
            chunk = (
                bisect.bisect_right(submission.chunks, position, key=lambda positions: positions.start) - 1
            )
            if chunk >= 0 and position in submission.chunks[chunk]:
                return submission, chunk
        raise IndexError(item)

    def job_of(self, item: int) -> TrackedJob | None:
        """Return the job that computes an item; None where its factory has not made it."""
        submission, chunk = self.chunk_of(item)
        return self.jobs.by_chunk.get((submission.id, chunk))

    def _unfinished_state(self, submission: Submission, chunk: int) -> ItemState:
        """Return the state of the items of a chunk that have no outcome."""
        failure = self.failure(submission, chunk)
        if isinstance(failure, JobHeldError):
            return ItemState.HELD
        if isinstance(failure, JobRemovedError):
            return ItemState.REMOVED
        if isinstance(failure, JobLostError):
            return ItemState.LOST
        if failure is not None:
            return ItemState.ERROR
        job = self.jobs.by_chunk.get((submission.id, chunk))
        waits = job is None or job.status in (JobStatus.IDLE, JobStatus.HELD)
        return ItemState.IDLE if waits else ItemState.RUNNING

    def is_settled(self, item: int) -> bool:
        """Tell whether an item has an outcome, or a reason why it has none."""
        return self.outcomes.states[item] != 0 or self.failure(*self.chunk_of(item)) is not None

    def all_settled(self) -> bool:
        """Tell whether every item has an outcome, or a reason why it has none."""
        if self.outcomes.n_finished == len(self.outcomes.states):
            return True
        return (
            next(self._open_chunks(*self._first_open), None) is None
            and next(self._open_chunks(), None) is None
        )

    def _open_chunks(self, first: int = 0, chunk: int = 0) -> Iterator[tuple[Submission, int]]:
        """Yield the chunks from the given one on that may still give outcomes."""
        for number in range(first, len(self.submissions)):
            submission = self.submissions[number]
            for here in range(chunk if number == first else 0, len(submission.chunks)):
                if self.outcomes.n_missing(submission.items(here)) and self.failure(submission, here) is None:
                    self._first_open = (number, here)
                    yield submission, here

    def failures(self) -> Iterator[JobError]:
        """Yield why chunks that have items without an outcome will not give one."""
        for submission in self.submissions:
            for chunk in range(len(submission.chunks)):
                if self.outcomes.n_missing(submission.items(chunk)):
                    failure = self.failure(submission, chunk)
                    if failure is not None:
                        yield failure

    # -- failures --------------------------------------------------------------------------------------------

    def failure(self, submission: Submission, chunk: int) -> JobError | None:
        """Return why the items of a chunk that have no outcome have none; None while one may still come."""
        job = self.jobs.by_chunk.get((submission.id, chunk))
        items = _as_items(submission.items(chunk))
        if job is None:
            return self._failure_of_cluster(submission, items)
        what = f"job {job.id} ({_in_words(items)})"
        if job.lost:
            text = (
                f"{what} is gone from the queue, and neither its event log nor the history says how it ended"
            )
            return JobLostError(text, job=job.id, items=items)
        if job.status == JobStatus.HELD and self._holds_count():
            text = f"{what} is on hold: {hold_in_words(job.code, job.subcode)}"
            text += f" ({job.reason.rstrip('.')})" if job.reason else ""
            text += f"; {hold_advice(job.code, job.subcode)}"
            return JobHeldError(text, job=job.id, items=items, code=job.code, subcode=job.subcode)
        if not job.ended or (submission.id, chunk) in self._readers:
            return None
        if job.status == JobStatus.REMOVED:
            text = f"{what} was removed from the queue: {job.reason or 'no reason was given'}"
            return JobRemovedError(text, job=job.id, items=items)
        how = (
            f"exited with code {job.exit_code}"
            if job.signal is None
            else f"was killed by signal {job.signal}"
        )
        text = f"{what} on {job.host} {how} and left no outcome{self._stderr(submission, chunk)}"
        return JobDiedError(text, job=job.id, items=items)

    def _failure_of_cluster(self, submission: Submission, items: range | tuple[int, ...]) -> JobError | None:
        """Return why a chunk whose job was never made will not be computed; None while it may be."""
        cluster = submission.cluster
        if cluster is None:
            return None
        what = f"cluster {cluster} ({_in_words(items)})"
        if cluster in self.jobs.gone and time.monotonic() > self.jobs.gone[cluster] + _GRACE:
            text = f"{what} was removed from the queue before it made a job for these items"
            return JobRemovedError(text, job=str(cluster), items=items)
        if cluster in self.jobs.paused and self._holds_count():
            text = f"{what} is on hold: {self.jobs.paused[cluster]}; release() it, or remove() it"
            return JobHeldError(text, job=str(cluster), items=items, code=1)
        return None

    def _holds_count(self) -> bool:
        return time.monotonic() > self._holds_ended + _GRACE

    def _stderr(self, submission: Submission, chunk: int) -> str:
        """Return the end of a job's standard error as a clause for a message."""
        path = submission.output_file(chunk, "err")
        try:
            text = path.read_bytes()[-_STDERR_TAIL:].decode(errors="replace").strip()
        except OSError:
            text = ""
        return (
            f". The end of its standard error ({path}):\n{text}" if text else "; its standard error is empty"
        )


def _as_items(items: Sequence[int]) -> range | tuple[int, ...]:
    return items if isinstance(items, range) else tuple(items)


def _in_words(items: range | tuple[int, ...]) -> str:
    if len(items) == 1:
        return f"item {items[0]}"
    if isinstance(items, range):
        return f"items {items[0]} to {items[-1]}"
    return f"{len(items)} items, the first of them {items[0]}"
