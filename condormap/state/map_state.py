"""The state of a map: its jobs by the event log, its items by the outcome files.

::

    events.log -> JobTable (a state per job) -> which outcome files to read -> Outcomes (a state per item)

A log that is damaged (cut off, replaced, with garbage in it, without events that there should be) is read as far
as it goes; then the outcome files of all open chunks are looked at, and the schedd and its history say the rest.
"""

from __future__ import annotations

import bisect
import contextlib
import dataclasses
import os
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ..condor import Condor
from ..errors import CondorError, CondormapError
from ..folders.store import SUBMISSIONS_FOLDER, MapRecord, submission_folders
from ..in_job.payload import RESULT
from ..status import ItemState, JobStatus
from ..submission import Submission, load_submission
from .comparison import ATTRIBUTES, compare, unexplained
from .fates import Fates
from .following import Following
from .outcomes import Outcomes
from .snapshot import SNAPSHOT_FILE, Snapshot
from .tracked import TrackedJob
from .tracking import JobTable
from .unsubmitted import Unsubmitted

_SILENT = 60.0  # seconds since a submission, after which the log has told of it
_LONGEST_INTERVAL = 120.0  # seconds between two comparisons with the queue, where the log is damaged


class MapState:
    """The state of one map; `poll` brings it up to date.

    Parameters
    ----------
    folder : Path
        The map's folder.
    record : MapRecord
        What its ``map.json`` says.
    submissions : sequence of Submission
        In order. Those that come later are found when the event log tells of them.
    condor : Condor
        The pool.
    """

    def __init__(
        self, folder: Path, record: MapRecord, submissions: Sequence[Submission], condor: Condor
    ) -> None:
        self.folder = folder
        self.submissions: list[Submission] = []
        self.outcomes = Outcomes(record.n_items)
        self.ledger = self.outcomes.ledger
        self.jobs = JobTable(record.log(folder), self.submissions, self._find_submission)
        self.changed = time.monotonic()  # when something happened last
        self._condor = condor
        self._lock = threading.RLock()
        self._by_id: dict[str, Submission] = {}
        self._codes: dict[str, int] = {}  # submission id -> its code in the ledger
        self._first_open = (0, 0)  # no chunk before this one (submission, chunk) is open
        self._following = Following(self.outcomes, self.jobs, self._codes, executes=record.executes)
        self.fates = Fates(self.jobs, self._following, lambda: self.changed)
        self.unsubmitted = Unsubmitted(self.submissions, self.replace)
        self._was_read = self._follows_all = False
        self._comparisons, self._next_comparison = 0, 0.0  # with the queue, for the log is damaged
        for submission in submissions:
            self.note(submission)
        self._snapshot = Snapshot(folder / SNAPSHOT_FILE, self.jobs)

    def note(self, submission: Submission) -> None:
        """Take note of a submission: it brings items, or those of its items that have no result wait for it."""
        with self._lock:
            if submission.id in self._by_id:
                return
            code = 0
            if submission.selection is not None:
                goes_on = self._codes[self.submissions[-1].id] if submission.wave else None
                code = self.ledger.reopen(submission.selection, goes_on)
            elif submission.chunks and submission.chunks[-1].stop > len(self.ledger):
                self.ledger.grow(submission.chunks[-1].stop)
            self._codes[submission.id] = code
            self._by_id[submission.id] = submission
            self._first_open = (0, 0)
            self.submissions.append(submission)
            self.changed = time.monotonic()

    def replace(self, submission: Submission) -> None:
        """Take note that the jobs of a submission ask for something else now."""
        with self._lock:
            place = next(n for n, each in enumerate(self.submissions) if each.id == submission.id)
            self.submissions[place] = self._by_id[submission.id] = submission
            self.jobs.replace(submission)

    def note_new_submissions(self) -> None:
        """Take note of the submissions that another process added."""
        for folder in submission_folders(self.folder)[len(self.submissions) :]:
            submission = load_submission(folder)
            if submission.cluster is None and submission.waits is None:
                break  # it is being submitted; the event log tells of it
            self.note(submission)

    def look_for_submissions(self) -> bool:
        """Take note of what other processes submitted, by listing a folder; return whether they did.

        Where all is settled, nobody reads the event log, which would tell of it.
        """
        before = len(self.submissions)
        with contextlib.suppress(FileNotFoundError):  # an empty map has none
            if len(os.listdir(self.folder / SUBMISSIONS_FOLDER)) > before:
                with self._lock:
                    self.note_new_submissions()
        return len(self.submissions) > before

    def _find_submission(self, id: str, cluster: int) -> Submission | None:
        """Return the submission of a job that the event log tells of, which another process may have added."""
        known = self._by_id.get(id)
        if known is not None and known.cluster is None:  # another process had room for it
            self.replace(dataclasses.replace(known, cluster=cluster, waits=None))
        elif known is None:
            for folder in submission_folders(self.folder)[len(self.submissions) :]:
                submission = load_submission(folder)
                if submission.id == id:
                    self.note(dataclasses.replace(submission, cluster=cluster, waits=None))
                    break
                if submission.cluster is not None or submission.waits is not None:
                    self.note(submission)  # in order
        return self._by_id.get(id)

    def n_unsubmitted(self) -> int:
        """Return how many items wait for jobs that wait for room."""
        return sum(
            self._n_open(each, chunk) for each in self.unsubmitted for chunk in range(len(each.chunks))
        )

    def is_under_way(self) -> bool:
        """Tell whether a job that was submitted may still give outcomes."""
        return any(
            submission.cluster is not None
            and self._n_open(submission, chunk)
            and self.fates.of(submission, chunk) is None
            for submission, chunk in self.chunks()
        )

    def has_left(self, submission: Submission, chunk: int) -> bool:
        """Tell whether the job of a chunk has left the queue, or is never made: nothing is sent to it again."""
        job = self.jobs.get(submission, chunk)
        if job is None:
            return submission.cluster is not None and submission.cluster in self.jobs.gone
        return job.is_over

    def poll(self) -> bool:
        """Read what is new in the event log and the outcome files; return whether anything was.

        Where the log is damaged, the schedd is asked too, at growing intervals.
        """
        with self._lock:
            news = self._poll()
            with contextlib.suppress(OSError):  # of a folder that is being removed
                self.unsubmitted.look()
        if self.jobs.damage is not None and time.monotonic() > self._next_comparison:
            self._comparisons += 1
            self._next_comparison = time.monotonic() + min(_LONGEST_INTERVAL, 2.0**self._comparisons)
            with contextlib.suppress(CondorError):  # a wait has patience of its own
                self.compare_with_queue()
        return news

    def _poll(self) -> bool:
        news, n_events = 0, -1
        while n_events:
            n_events = self.jobs.read()
            while self.jobs.started:
                job = self.jobs.started[0]
                news += self._following.follow(job.submission, job.chunk, job)
                self.jobs.started.popleft()  # last, for Ctrl-C
            self._snapshot.note(n_events)
            news += n_events
        if not self._was_read:
            self._was_read = True
            self.jobs.expect(s for s in self.submissions if time.time() > s.created + _SILENT)
        if self.jobs.damage is not None and not self._follows_all:
            self._follow_all()
        news += self._following.read()
        if news:
            self.changed = time.monotonic()
        return bool(news)

    def _follow_all(self) -> None:
        """Look at the outcome files of all open chunks, for the log does not tell which are computed."""
        for submission, chunk in self.chunks():
            if self.ledger.n_unfinished(submission.items(chunk)):
                self._following.follow(submission, chunk)
        self._follows_all = True

    def note_end_of_holds(self) -> None:
        """Take no job for held until the log has had time to tell that it was released, or removed."""
        self.fates.note_end_of_holds()
        self.changed = time.monotonic()

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
        clusters = {s.cluster for s in self.submissions if s.cluster is not None} - self.jobs.closed
        if not clusters:
            return
        there = _any_of(clusters)
        ads = self._condor.query(there, [*ATTRIBUTES, "JobPrio"], cluster_ads=True)
        idle = next((ad for ad in ads if "ProcId" in ad and ad.get("JobStatus") == JobStatus.IDLE), None)
        if idle is not None:
            priority = {"JobPrio": str(idle.get("JobPrio", 0))}
            self._condor.edit(priority, jobs=[f"{idle['ClusterId']}.{idle['ProcId']}"])
        with self._lock:
            self._poll()  # what ended meanwhile is in the log
            open_ones = unexplained(self.jobs, clusters, ads)
        past = self._condor.history(_any_of(open_ones), ATTRIBUTES) if open_ones else []
        with self._lock:
            compare(self.jobs, clusters, ads, past)
            if self.jobs.damage is not None:
                self._follow_all()

    # -- items -----------------------------------------------------------------------------------------------

    def item_state(self, item: int) -> ItemState:
        """Return the state of an item."""
        if self.ledger.is_open(item):
            return self._unfinished_state(*self.chunk_of(item))
        return ItemState.RESULT if chr(self.ledger.states[item]) == RESULT else ItemState.ERROR

    def counts(self) -> Counter[ItemState]:
        """Return how many items are in each state."""
        n_results = self.ledger.n_results
        counts = Counter({ItemState.RESULT: n_results, ItemState.ERROR: self.ledger.n_finished - n_results})
        for submission, chunk in self.chunks():
            if n_open := self._n_open(submission, chunk):
                counts[self._unfinished_state(submission, chunk)] += n_open
        return +counts

    def chunks(self) -> Iterator[tuple[Submission, int]]:
        """Yield every chunk of every submission."""
        for submission in self.submissions:
            for chunk in range(len(submission.chunks)):
                yield submission, chunk

    def open_items(self, submission: Submission, chunk: int) -> Sequence[int]:
        """Return which items of a chunk have no outcome and wait for this submission."""
        return self.ledger.open_items(submission.items(chunk), self._codes[submission.id])

    def has_open_items(self, submission: Submission) -> bool:
        """Tell whether items without an outcome wait for a submission."""
        return any(self._n_open(submission, chunk) for chunk in range(len(submission.chunks)))

    def _n_open(self, submission: Submission, chunk: int) -> int:
        return self.ledger.n_open(submission.items(chunk), self._codes[submission.id])

    def chunk_of(self, item: int) -> tuple[Submission, int]:
        """Return the newest submission that computes an item, and the chunk."""
        for submission in reversed(self.submissions):
            position = submission.position(item)
            chunk = (
                bisect.bisect_right(submission.chunks, position, key=lambda positions: positions.start) - 1
            )
            if chunk >= 0 and position in submission.chunks[chunk]:
                return submission, chunk
        raise IndexError(item)

    def job_of(self, item: int) -> TrackedJob | None:
        """Return the job that computes an item; None where its factory has not made it."""
        submission, chunk = self.chunk_of(item)
        return self.jobs.get(submission, chunk)

    def _unfinished_state(self, submission: Submission, chunk: int) -> ItemState:
        """Return the state of the items of a chunk that have no outcome."""
        fate = self.fates.of(submission, chunk)
        if fate is not None:
            return fate
        job = self.jobs.get(submission, chunk)
        waits = job is None or job.status in (JobStatus.IDLE, JobStatus.HELD)
        return ItemState.IDLE if waits else ItemState.RUNNING

    def is_settled(self, item: int) -> bool:
        """Tell whether an item has an outcome, or a reason why it has none."""
        return not self.ledger.is_open(item) or self.fates.of(*self.chunk_of(item)) is not None

    def all_settled(self) -> bool:
        """Tell whether every item has an outcome, or a reason why it has none."""
        if self.ledger.n_finished == len(self.ledger):
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
                if self._n_open(submission, here) and self.fates.of(submission, here) is None:
                    self._first_open = (number, here)
                    yield submission, here

    def unloadable(self) -> int | None:
        """Return an item of a job of the newest submission that could not load the function; None without any.

        Perhaps it could not even run.
        """
        for id, chunk in self._following.unrunnable:
            newest = next(each for each in reversed(self.submissions) if each.waits is None)
            if id == newest.id and (items := self.open_items(newest, chunk)):
                return items[0]
        if not self.outcomes.preflights:
            return None
        return self.outcomes.unloadable(self._codes[self.submissions[-1].id])

    # -- failures --------------------------------------------------------------------------------------------

    def held(self) -> Iterator[CondormapError]:
        """Yield the errors of the chunks that are on hold and have items without an outcome."""
        for submission, chunk in self.chunks():
            waits = self._n_open(submission, chunk) and self.fates.of(submission, chunk) == ItemState.HELD
            if waits and (failure := self.fates.failure(submission, chunk)):
                yield failure


def _any_of(clusters: Iterable[int]) -> str:
    return " || ".join(f"ClusterId == {cluster}" for cluster in sorted(clusters))
