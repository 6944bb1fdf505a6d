"""CondorFuture: one call of a `CondorExecutor`."""

from __future__ import annotations

from collections.abc import Hashable
from concurrent.futures import Future, InvalidStateError
from typing import TYPE_CHECKING, Any, Protocol

from ..submission import Submission

if TYPE_CHECKING:
    from ..jobs.job import Job


class Owner(Protocol):
    """What a future asks of its executor."""

    def may_cancel(self, future: CondorFuture) -> bool:
        """Tell whether a call that is pending can be cancelled, and see that it is not made then."""

    def note_cancelled(self, future: CondorFuture) -> None:
        """Take note that a future was cancelled."""

    def job_of(self, future: CondorFuture) -> Job | None:
        """Return the job that makes the call."""


class CondorFuture(Future[Any]):
    """A call of a `CondorExecutor`: a `concurrent.futures.Future` that also knows its job.

    It is RUNNING from the moment when HTCondor says that its job executes, and stays so if the job is evicted
    and runs again.

    Attributes
    ----------
    index : int or None
        Its number among the executor's calls, when it has been submitted: ``CondorExecutor.attach(tag)`` has it
        as ``futures[index]``.
    seconds : float or None
        How long the call took, when that is known.
    """

    def __init__(self, owner: Owner, kind: Hashable = None) -> None:
        super().__init__()
        self.index: int | None = None
        self.seconds: float | None = None
        self.kind = kind
        self.place: tuple[Submission, int] | None = None
        self.cancelling = False
        self._owner = owner

    @property
    def job(self) -> Job | None:
        """The job that makes the call; None while it is not in the queue.

        Hold it, release it, remove it, read its standard error. Calls that were submitted together may share one.
        """
        return self._owner.job_of(self)

    def cancel(self) -> bool:
        """Cancel the call, unless its job has begun; return whether it is cancelled.

        A job all of whose calls are cancelled is removed from the queue.
        """
        if self._state in ("PENDING", "CANCELLED", "CANCELLED_AND_NOTIFIED"):
            if self._state != "PENDING":
                return True
            if self._owner.may_cancel(self) and super().cancel():
                self._owner.note_cancelled(self)
                return True
        return False

    def begin(self) -> bool:
        """Note that the call is running, or tell those who wait for it that it is cancelled; return which."""
        if self._state in ("PENDING", "CANCELLED"):
            return self.set_running_or_notify_cancel()
        return self._state == "RUNNING"

    def settle(self, value: Any = None, error: BaseException | None = None) -> None:
        """Set the result, or the error; one that is cancelled, or that somebody else has set, stays as it is."""
        try:
            if not self.begin():
                return
            if error is None:
                self.set_result(value)
            else:
                self.set_exception(error)
        except InvalidStateError:
            pass
        finally:
            error = None  # it has a traceback, which has this frame
