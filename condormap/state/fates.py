"""The items of a chunk that have no outcome: one is still to come, or they end in which state, and why."""

from __future__ import annotations

import time
from collections.abc import Callable

from ..errors import CondormapError
from ..holds import HoldInfo, Items
from ..more_memory import is_for_memory, is_tried_again
from ..status import ItemState, JobStatus
from ..submission import Submission
from . import failures
from .following import GRACE, Following
from .tracked import TrackedJob
from .tracking import JobTable

_RELEASE = 600.0  # seconds in which HTCondor releases a job that is tried again; it looks every minute or so


class Fates:
    """The fates of the chunks of one map.

    Parameters
    ----------
    jobs : JobTable
        The map's jobs.
    following : Following
        Its outcome files.
    changed : callable
        Returns when something happened last (`time.monotonic`).
    """

    def __init__(self, jobs: JobTable, following: Following, changed: Callable[[], float]) -> None:
        self._jobs = jobs
        self._following = following
        self._changed = changed
        self._holds_ended = float("-inf")  # when the jobs were released or removed here last
        #: Returns why no submission that waits for room can go on by itself, about some items; None while one may.
        self.stalled: Callable[[Items], CondormapError] | None = None

    def of(self, submission: Submission, chunk: int) -> ItemState | None:
        """Return the state of a chunk's items without an outcome, if it is one in which none comes; else None."""
        job, cluster, waits = self._jobs.get(submission, chunk), submission.cluster, submission.waits
        if waits is not None:
            if waits.removed is not None:
                return ItemState.REMOVED
            return ItemState.HELD if waits.held is not None or self.stalled is not None else None
        if job is None:
            if cluster in self._jobs.gone and time.monotonic() > self._jobs.gone[cluster] + GRACE:
                return ItemState.REMOVED if self._jobs.damage is None else ItemState.LOST
            return ItemState.HELD if cluster in self._jobs.paused and self._holds_count() else None
        if job.status == JobStatus.HELD and self._holds_count() and not self._is_tried_again(job):
            return ItemState.HELD
        if not job.is_over or (submission.id, chunk) in self._following:
            return None
        if job.lost:
            return ItemState.LOST
        return ItemState.REMOVED if job.status == JobStatus.REMOVED else ItemState.ERROR

    def failure(self, submission: Submission, chunk: int) -> CondormapError | None:
        """Return why the items of a chunk that have no outcome have none; None while one may still come."""
        fate = self.of(submission, chunk)
        if fate is None:
            return None
        if submission.waits is not None:
            return failures.not_submitted(submission, chunk, submission.waits, self.stalled)
        job = self._jobs.get(submission, chunk)
        if job is None and fate == ItemState.LOST:
            return failures.unknown(submission, chunk, str(self._jobs.damage))
        if job is None:
            return failures.without_job(submission, chunk, self._jobs.paused.get(submission.cluster or 0))
        if fate == ItemState.ERROR and (damage := self._following.damage.get(job.key)):
            return failures.unreadable(job, damage)
        if fate == ItemState.ERROR and job.key in self._following.unrunnable:
            return failures.unrunnable(job)
        return failures.MAKERS[fate](job)

    def hold(self, submission: Submission, chunk: int) -> HoldInfo:
        """Return what the log says of the hold of a chunk whose fate it is."""
        job = self._jobs.get(submission, chunk)
        if job is not None:
            return HoldInfo(job.id, job.code, job.subcode, job.reason)
        return HoldInfo(str(submission.cluster), 1, 0, self._jobs.paused.get(submission.cluster or 0, ""))

    def _is_tried_again(self, job: TrackedJob) -> bool:
        """Tell whether HTCondor will release a held job by itself, with more memory."""
        options, patient = job.submission.options, time.monotonic() < self._changed() + _RELEASE
        if not (patient and is_for_memory(job.code, job.subcode)):
            return False
        return is_tried_again(job.memory_holds, options.memory_mb, options.retry_memory_mb)

    def _holds_count(self) -> bool:
        return time.monotonic() > self._holds_ended + GRACE

    def note_end_of_holds(self) -> None:
        """Take no job for held until the log has had time to tell that it was released, or removed."""
        self._holds_ended = time.monotonic()
