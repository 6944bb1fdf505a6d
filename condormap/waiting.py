"""Waiting for a map: how often to look, what to say meanwhile, and when to ask whether the pool is alive."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from .capacity import matching_slots
from .condor import Condor, within
from .errors import CondorError, DeadlineError
from .options import JobOptions
from .patience import Patience
from .report.progress import Progress
from .state.map_state import MapState
from .status import JobStatus

_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.004, 0.25  # seconds between two looks at the files, if those are quick
_LATE, _SHORTEST_LATE_PAUSE = (
    1e-3,
    0.05,
)  # of the time that the wait has taken already, but not longer than this
_SLOW_LOOK, _LONGEST_SLOW_PAUSE = 10, 2.0  # times as long as a look that brought nothing, and seconds
_REPORT_AFTER = 2.0  # seconds without an outcome, before the pool is asked which slots match
_REPORT_EVERY = 30.0
_FIRST_CHECK, _LONGEST_CHECK = 10.0, 300.0  # seconds of silence, before the schedd is asked about the jobs


class Waiter:
    """One wait for a map, from its first look to its end; a context manager.

    Parameters
    ----------
    state : MapState
        What is waited for.
    condor : Condor
        The pool.
    options : JobOptions
        What the jobs ask for.
    progress : Progress
        Shows how far it is.
    """

    def __init__(self, state: MapState, condor: Condor, options: JobOptions, progress: Progress) -> None:
        self._state = state
        self._condor = condor
        self._options = options
        self._progress = progress
        self._began = time.monotonic()
        self._note = ""
        self._next_report = time.monotonic() + _REPORT_AFTER
        self._check_after = _FIRST_CHECK
        self._patience = Patience()

    def __enter__(self) -> Waiter:
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.close(self._state.ledger.n_finished)

    def until(self, condition: Callable[[], bool], until: float | None = None) -> bool:
        """Look until the condition holds; return False when the time (of `time.monotonic`) came first.

        Raises
        ------
        UnreachableError
            The schedd has not answered for a minute.
        """
        try:
            with within(until):
                return self._look(condition, until)
        except DeadlineError:
            if until is None or time.monotonic() < until:
                raise
            return condition()

    def for_the_rest(self, until: float | None = None) -> None:
        """Before an item's error ends the wait, wait for the others where their number matters; see `Breaker`."""

    def _look(self, condition: Callable[[], bool], until: float | None) -> bool:
        while True:
            began = time.thread_time()
            changed = self._state.poll()
            if condition():
                return True
            now = time.monotonic()
            if until is not None and now >= until:
                return False
            self._report(now, changed)
            quiet = now - self._state.changed
            if quiet > self._check_after:
                self._check()
            shortest = max(_SHORTEST_PAUSE, min(_SHORTEST_LATE_PAUSE, _LATE * (now - self._began)))
            pause = min(_LONGEST_PAUSE, max(shortest, quiet / 20))
            # 10,000 running jobs are as many files.
            look = (time.thread_time() - began) * (1 if changed else _SLOW_LOOK)
            pause = max(pause, min(_LONGEST_SLOW_PAUSE, look))
            self._pause(pause if until is None else min(pause, max(0.0, until - now)))

    def _pause(self, seconds: float) -> None:
        time.sleep(seconds)

    def _report(self, now: float, changed: bool) -> None:
        """Bring the bar up to date."""
        if not self._progress.shown or not (changed or now > self._next_report):
            return
        jobs = self._state.jobs
        counts = Counter(jobs.counts)
        n_waiting = self._state.unsubmitted.n_jobs
        submitted = sum(len(s.chunks) for s in jobs.submissions if s.waits is None)
        counts[JobStatus.IDLE] += submitted - len(jobs)  # not made yet
        told = (JobStatus.IDLE, JobStatus.RUNNING, JobStatus.HELD, JobStatus.REMOVED)
        parts = [
            f"{_count(counts[status], 'job')} {status.name.lower()}" for status in told if counts[status]
        ]
        if now > self._next_report:
            self._next_report = now + _REPORT_EVERY
            if counts[JobStatus.IDLE] and not counts[JobStatus.RUNNING]:
                matching = matching_slots(self._condor, self._options)
                verb = "matches" if matching == 1 else "match"
                self._note = "" if matching is None else f"{_count(matching, 'slot')} {verb}"
        if counts[JobStatus.IDLE] and not counts[JobStatus.RUNNING] and self._note:
            parts.append(self._note)
        if n_waiting:
            parts.append(f"{_count(n_waiting, 'job')} waiting for room")
        self._progress.show(self._state.ledger.n_finished, ", ".join(parts))

    def _check(self) -> None:
        """After a long silence, ask the schedd whether the jobs are still there."""
        try:
            self._state.compare_with_queue()
        except CondorError as error:
            self._patience.no_answer(error)
            self._check_after = time.monotonic() - self._state.changed + 5.0
        else:
            self._patience.answered()
            self._check_after = min(2 * self._check_after, self._check_after + _LONGEST_CHECK)


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
