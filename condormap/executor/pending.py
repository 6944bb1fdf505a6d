"""The calls of an executor that are in the queue: their futures, brought up to date by the state of the map."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import CancelledError
from dataclasses import dataclass

from ..condor import Action, Condor
from ..errors import CondorError, CondormapError, JobHeldError, RemoteError
from ..in_job.calls import SKIPPED
from ..results import Results
from ..state.following import GRACE
from ..state.map_state import MapState
from ..state.tracked import Key
from ..status import ItemState, JobStatus
from ..submission import Submission
from .future import CondorFuture
from .pace import Pace

_BY_USER = (1, 15)  # codes of holds that a user has asked for, and will end
_NOT_BEGUN = (JobStatus.IDLE, JobStatus.HELD, JobStatus.REMOVED)
_LONGEST_PAUSE = 5.0  # seconds between two looks at all jobs, while nothing happens
_SHARE = 0.05  # of a cpu, for these looks


@dataclass(slots=True, eq=False)
class _Part:
    """A job with calls that are not settled."""

    submission: Submission
    chunk: int
    n_open: int
    running: bool = False
    held: bool = False  # by a user


class Pending:
    """The calls that are in the queue.

    Only the executor's thread changes it.

    Parameters
    ----------
    state : MapState
        The state of the executor's map.
    results : Results
        Its results.
    condor : Condor
        Its pool.
    pace : Pace
        Gets to know how long the calls took.

    Attributes
    ----------
    skipped : list of CondorFuture
        Those whose job skipped them, though they could no longer be cancelled: they are to be submitted again.
    """

    def __init__(self, state: MapState, results: Results, condor: Condor, pace: Pace) -> None:
        self.state = state
        self.skipped: list[CondorFuture] = []
        self._results = results
        self._condor = condor
        self._pace = pace
        self._futures: dict[int, CondorFuture] = {}
        self._parts: dict[Key, _Part] = {}
        self._n_parts: Counter[str] = Counter()  # by the submission's id
        self._unwanted: dict[
            Key, _Part
        ] = {}  # whose calls are all cancelled, or failed while the job was held
        self._removed: set[int | None] = set()  # clusters
        self._n_frames = 0
        self._last_scan = self._next_scan = 0.0

    def __len__(self) -> int:
        """Return how many calls are in the queue and not settled."""
        return len(self._futures) + len(self.skipped)

    def futures(self) -> list[CondorFuture]:
        """Return those that are not settled; any thread may ask."""
        return list(self._futures.values())

    @property
    def n_jobs(self) -> int:
        """How many jobs have calls that are not settled."""
        return len(self._parts)

    @property
    def all_held(self) -> bool:
        """Whether all jobs are on hold, as a user wanted."""
        return bool(self._parts) and not self.skipped and all(part.held for part in self._parts.values())

    def add(self, futures: Mapping[int, CondorFuture]) -> None:
        """Take calls, by item, whose `place` is known."""
        for item, future in futures.items():
            assert future.place is not None
            submission, chunk = future.place
            part = self._parts.get((submission.id, chunk))
            if part is None:
                part = self._parts[submission.id, chunk] = _Part(submission, chunk, 0)
                self._n_parts[submission.id] += 1
            part.n_open += 1
            self._futures[item] = future
            if not self.state.ledger.is_open(item):
                self._take(item)

    def look(self) -> None:
        """Bring the futures up to date with what the state has read."""
        outcomes = self.state.outcomes
        while self._n_frames < outcomes.n_frames:
            for item in outcomes.arrived(self._n_frames):
                self._take(item)
            self._n_frames += 1
        now = time.monotonic()
        lively = now < self.state.changed + GRACE + 1.0
        if now > self._next_scan and (lively or now > self._last_scan + _LONGEST_PAUSE):
            self._scan()
            self._last_scan = time.monotonic()
            self._next_scan = self._last_scan + (self._last_scan - now) / _SHARE

    def _take(self, item: int) -> None:
        """Settle the future of an item that has an outcome."""
        future = self._futures.get(item)
        if future is None:
            return
        error = self._results.error(item)
        if isinstance(error, CancelledError) and error.args == (SKIPPED,) and not future.cancelled():
            self.skipped.append(self._pop(item))
            return
        self._pop(item)
        future.seconds = self.state.outcomes.seconds(item)
        if error is None:
            assert future.place is not None
            submission, chunk = future.place
            self._pace.note(future.kind, future.seconds, first=item == submission.items(chunk)[0])
            try:
                future.settle(self.state.outcomes.value(item))
                return
            except RemoteError as unreadable:
                error = unreadable
        future.settle(error=error)

    def _pop(self, item: int) -> CondorFuture:
        future = self._futures.pop(item)
        assert future.place is not None
        submission, chunk = future.place
        part = self._parts[submission.id, chunk]
        part.n_open -= 1
        if not part.n_open:
            del self._parts[submission.id, chunk]
            self._n_parts[submission.id] -= 1
        return future

    # -- jobs ------------------------------------------------------------------------------------------------

    def _scan(self) -> None:
        """Look at all jobs: which run, and which will give no outcome."""
        state = self.state
        for part in list(self._parts.values()):
            job = state.jobs.get(part.submission, part.chunk)
            if job is not None and not part.running and job.status not in _NOT_BEGUN:
                part.running = True
                for future in self._of(part):
                    future.begin()
            fate = state.fates.of(part.submission, part.chunk)
            if fate == ItemState.HELD and part.held:
                continue
            part.held = False
            failure = None if fate is None else state.fates.failure(part.submission, part.chunk)
            if isinstance(failure, JobHeldError) and failure.code in _BY_USER:
                part.held = True
            elif failure is not None:
                self._fail(part, failure)
        self._remove_unwanted()

    def _of(self, part: _Part) -> list[CondorFuture]:
        """Return the futures of a job that are not settled."""
        found = (self._futures.get(item) for item in part.submission.items(part.chunk))
        return [
            future
            for future in found
            if future is not None and future.place is not None and future.place[0].id == part.submission.id
        ]

    def _fail(self, part: _Part, failure: CondormapError) -> None:
        if isinstance(failure, JobHeldError):
            failure.add_note("condormap: its calls have failed by that, so the executor removes the job")
            self._unwanted[part.submission.id, part.chunk] = part
        for future in self._of(part):
            assert future.index is not None
            self._pop(future.index)
            future.settle(error=failure)

    def _remove_unwanted(self) -> None:
        """Remove jobs of which nobody wants anything; one that its factory has not made skips its calls."""
        state, ids, clusters = self.state, [], set()
        for key, part in list(self._unwanted.items()):
            cluster = part.submission.cluster
            if cluster in state.jobs.gone:
                del self._unwanted[key]
            elif not self._n_parts[part.submission.id]:
                clusters.add(str(cluster))
                del self._unwanted[key]
            elif (job := state.jobs.get(part.submission, part.chunk)) is not None:
                if not job.is_over:
                    ids.append(job.id)
                del self._unwanted[key]
        if ids or clusters:
            with contextlib.suppress(CondorError):  # then they run, and skip their calls
                reason = "its calls were cancelled or failed"
                self._condor.act(Action.REMOVE, jobs=[*sorted(clusters), *ids], reason=reason)

    # -- ends ------------------------------------------------------------------------------------------------

    def remove_jobs(self) -> None:
        """Remove the jobs of all calls; those fail when HTCondor has told so.

        Raises
        ------
        CondorError
            It was not done.
        """
        clusters = {part.submission.cluster for part in self._parts.values()} - self._removed
        if clusters:
            jobs = sorted(str(cluster) for cluster in clusters)
            self._condor.act(Action.REMOVE, jobs=jobs, reason="its executor was terminated")
            self._removed |= clusters

    def cancelled(self, futures: Iterable[CondorFuture]) -> None:
        """Take note that these were cancelled."""
        for future in futures:
            future.begin()  # tells those who wait
            if future.index is None or self._futures.get(future.index) is not future:
                continue
            assert future.place is not None
            submission, chunk = future.place
            part = self._parts[submission.id, chunk]
            self._pop(future.index)
            if not part.n_open:
                self._unwanted[submission.id, chunk] = part
        self._remove_unwanted()

    def end(self, error: BaseException) -> None:
        """Settle all with an error."""
        futures = [*self._futures.values(), *self.skipped]
        self._futures, self._parts, self.skipped = {}, {}, []
        for future in futures:
            future.settle(error=error)
