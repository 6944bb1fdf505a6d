"""Waiting for plain jobs: by their event logs where they have one, else by asking the schedd, ever less often."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from ..condor import within
from ..errors import (
    CondorError,
    DeadlineError,
    InvalidInputError,
    JobError,
    JobHeldError,
    JobLostError,
    JobRemovedError,
    UnreachableError,
)
from ..patience import Patience
from ..status import JobStatus
from ..times import deadline
from .holds import advice
from .part import Part
from .queue import look_anew, refresh
from .record import JobRecord

#: What can be waited for: all jobs' ends, the first one's, or states that each job is to have been in.
WaitFor = str | JobStatus | Collection[JobStatus]

_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.004, 0.25  # seconds between two looks at a log
_PER_JOB = 2e-6  # seconds more, for every look goes through all jobs
_FIRST_QUERY, _LONGEST_QUERY = 0.25, 30.0  # seconds between two questions about jobs without a log
_AFTER_RELEASE, _FIRST_CHECK, _LONGEST_CHECK = (
    2.0,
    10.0,
    300.0,
)  # seconds of silence in the logs, before the schedd is asked too
_SHORTEST_DEADLINE = 1.0  # seconds that a question may take, however little time is left
_HAS_RUN = (JobStatus.TRANSFERRING_OUTPUT, JobStatus.COMPLETED)


def wait(parts: Sequence[Part], timeout: float | None, for_: WaitFor, *, holds_ok: bool) -> bool:
    """Wait for jobs; see `JobCluster.wait`."""
    until = deadline(timeout)
    try:
        with within(until):
            return _wait(parts, until, for_, holds_ok=holds_ok)
    except DeadlineError:  # of reading a log; what the schedds leave unanswered is borne
        if until is None or time.monotonic() < until:
            raise
        return False


def _wait(parts: Sequence[Part], until: float | None, for_: WaitFor, *, holds_ok: bool) -> bool:
    there = _condition(for_)
    watch = _Watch(parts, until)
    pending = [(part, proc) for part in parts for proc in part.procs]
    n_jobs = len(pending)
    watch.look(everything=True)
    while True:
        pending = [(part, proc) for part, proc in pending if not there(part.state.record(proc))]
        if not pending or (for_ == "any" and len(pending) < n_jobs):
            _raise_for_the_missing(parts if for_ in ("all", "any") else ())
            return True
        unfinished = [part.state.record(proc) for part, proc in pending if not part.state.record(proc).ended]
        if not unfinished:
            return False  # what has ended does not come to another state
        if not holds_ok and all(record.status is JobStatus.HELD for record in unfinished):
            # A log may be behind a release: the schedd has the last word.
            if not watch.sure:
                watch.look(everything=True)
                watch.sure = True
                continue
            _raise_held(pending, len(unfinished))
        elif holds_ok and all(record.status is JobStatus.HELD for record in unfinished):
            return True
        if not watch.next():
            return False


def _condition(for_: WaitFor) -> Callable[[JobRecord], bool]:
    """Return the test that a job passes that is no longer waited for."""
    if isinstance(for_, str):
        if for_ in ("all", "any"):
            return lambda record: record.ended
        raise InvalidInputError(f'for_ is "all", "any", a JobStatus or several of them, not {for_!r}')
    try:
        wanted = {JobStatus(each) for each in ([for_] if isinstance(for_, int) else for_)}
    except (TypeError, ValueError):
        wanted = set()
    if not wanted:
        raise InvalidInputError(f'for_ is "all", "any", a JobStatus or several of them, not {for_!r}')
    if JobStatus.RUNNING in wanted:  # a short job may have ended before anybody looked
        return lambda record: record.status in wanted or (record.ran and record.status in _HAS_RUN)
    return lambda record: record.status in wanted


@dataclass
class _Schedule:
    """When to ask next, at growing intervals."""

    due: float
    interval: float
    longest: float

    def asked(self, now: float) -> None:
        self.interval = min(1.5 * self.interval, self.longest)
        self.due = now + self.interval


class _Watch:
    """Looks at jobs again and again, until the time is over."""

    def __init__(self, parts: Sequence[Part], until: float | None) -> None:
        self.sure = False  # the schedd was asked after the last change
        self._parts = parts
        self._until = until
        self._shortest = _SHORTEST_PAUSE + _PER_JOB * sum(len(part.procs) for part in parts)
        now = self._changed = time.monotonic()
        just_released = any(part.state.released_at > now - _FIRST_CHECK for part in parts)  # see `look_anew`
        self._first_check = _AFTER_RELEASE if just_released else _FIRST_CHECK
        self._ask = _Schedule(now + _FIRST_QUERY, _FIRST_QUERY, _LONGEST_QUERY)
        self._check = self._first_of_checks()
        self._patience = Patience()

    def next(self) -> bool:
        """Pause, then look where something new may be; return False when the time is over."""
        now = time.monotonic()
        if self._until is not None and now >= self._until:
            return False
        pause = min(_LONGEST_PAUSE, max(self._shortest, (now - self._changed) / 20))
        time.sleep(pause if self._until is None else min(pause, max(0.0, self._until - now)))
        self._read_logs()
        now = time.monotonic()
        if now > self._check.due:
            self.look(everything=True)
            with contextlib.suppress(CondorError):  # if nobody answers, `look` has seen to that
                look_anew(self._parts, self._deadline())
            self._check.asked(now)
        elif now > self._ask.due:
            self.look(everything=False)
            self._ask.asked(now)
        return True

    def look(self, *, everything: bool) -> None:
        """Ask the schedds: for all jobs that have not ended, or for those that no log tells of."""
        parts = self._parts if everything else [part for part in map(_unlogged, self._parts) if part.procs]
        before = _seen(parts)
        try:
            refresh(parts, self._deadline())
        except (UnreachableError, DeadlineError) as error:
            self._patience.no_answer(error)
            return
        self._patience.answered()
        if _seen(parts) != before:
            self._note_change()
            self._ask.interval = _FIRST_QUERY

    def _read_logs(self) -> None:
        logs = {part.state.log for part in self._parts if part.state.log is not None and part.unfinished()}
        if sum(log.read() for log in logs):
            self._note_change()
            self._check = self._first_of_checks()

    def _first_of_checks(self) -> _Schedule:
        return _Schedule(self._changed + self._first_check, self._first_check, _LONGEST_CHECK)

    def _note_change(self) -> None:
        self._changed = time.monotonic()
        self.sure = False

    def _deadline(self) -> float | None:
        if self._until is None:
            return None
        return min(20.0, max(_SHORTEST_DEADLINE, self._until - time.monotonic()))


def _unlogged(part: Part) -> Part:
    """Return those unfinished jobs of a part whose log does not tell of them."""
    state = part.state
    procs = tuple(proc for proc in part.unfinished() if state.log is None or not _is_logged(part, proc))
    return part if len(procs) == len(part.procs) else Part(state, procs)


def _is_logged(part: Part, proc: int) -> bool:
    return part.state.record(proc).in_log or (proc in part.state.unmade and part.state.record(0).in_log)


def _seen(parts: Sequence[Part]) -> list[JobStatus]:
    return [part.state.record(proc).status for part in parts for proc in part.procs]


def _raise_held(pending: Sequence[tuple[Part, int]], n_held: int) -> None:
    part, proc = next(pair for pair in pending if not pair[0].state.record(pair[1]).ended)
    record = part.state.record(proc)
    job = f"{part.state.cluster}.{proc}"
    others = (
        "" if n_held == 1 else f" ({n_held} jobs are on hold, and all that is unfinished; this is the first)"
    )
    raise JobHeldError(
        f"job {job} is on hold: {record.hold_in_words()}{others}. It stays in the queue:"
        f" {advice(record.code, record.subcode)}",
        job=job,
        code=record.code,
        subcode=record.subcode,
    )


def _raise_for_the_missing(parts: Sequence[Part]) -> None:
    """Raise for the first job that was lost, or removed by someone else."""
    found: list[tuple[type[JobError], str, JobRecord]] = []
    for part in parts:
        for proc in part.procs:
            record, job = part.state.record(proc), f"{part.state.cluster}.{proc}"
            if record.lost:
                found.append((JobLostError, job, record))
            elif record.status is JobStatus.REMOVED and proc not in part.state.removed_here:
                found.append((JobRemovedError, job, record))
    if found:
        kind, job, record = found[0]
        others = "" if len(found) == 1 else f" ({len(found)} jobs ended so; this is the first)"
        raise kind(f"job {job}: {record.in_words()}{others}. To run it again, submit it again", job=job)
