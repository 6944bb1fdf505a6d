"""What can be done to one job, to a cluster and to a group alike: actions, edit, wait."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from ..condor import Action
from ..errors import SerializationError
from ..status import JobStatus
from .actions import ActionResult, act, edit
from .part import Part, counts
from .queue import refresh
from .state import ClusterState
from .waiting import WaitFor, wait

if TYPE_CHECKING:
    from .group import JobGroup


class Steered(ABC):
    """Jobs that can be acted on and waited for; `Job`, `JobCluster` and `JobGroup` are such.

    Every action returns HTCondor's totals, a mapping, whose ``failed`` says which jobs it was not done to and why;
    partial failure raises nothing. An action raises

    - `NoSuchJobError`: none of the jobs is in the queue any more; the message says how they ended;
    - `NotAuthorizedError`: none of them is this user's;
    - `UnsubmittedJobError`: they were not submitted.
    """

    @abstractmethod
    def _parts(self) -> Sequence[Part]:
        """Return the jobs."""

    @abstractmethod
    def _key(self, state: ClusterState, proc: int) -> Hashable:
        """Return what names a job in results."""

    def __or__(self, other: Steered) -> JobGroup:
        """Return the group of all jobs of both."""
        from .group import JobGroup  # which is made of these

        return JobGroup([self, other]) if isinstance(other, Steered) else NotImplemented

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise SerializationError(
            f"a {type(self).__name__} is bound to this process and cannot be pickled or copied: pass its id, and"
            " take it from the queue there (Job.from_queue(), JobCluster.from_queue())"
        )

    def hold(self, reason: str = "") -> ActionResult:
        """Put the jobs on hold, a factory too."""
        return self._act(Action.HOLD, reason)

    def release(self, reason: str = "") -> ActionResult:
        """Release the jobs from hold."""
        return self._act(Action.RELEASE, reason)

    def remove(self, reason: str = "") -> ActionResult:
        """Remove the jobs from the queue."""
        return self._act(Action.REMOVE, reason)

    def vacate(self, reason: str = "") -> ActionResult:
        """Take the jobs off their machines; they stay in the queue and run again."""
        return self._act(Action.VACATE, reason)

    def suspend(self, reason: str = "") -> ActionResult:
        """Stop the jobs' processes where they are."""
        return self._act(Action.SUSPEND, reason)

    def continue_(self, reason: str = "") -> ActionResult:
        """Let the jobs go on after `suspend`."""
        return self._act(Action.CONTINUE, reason)

    def edit(self, *, expressions: Mapping[str, str] | None = None, **values: Any) -> ActionResult:
        """Change attributes of the jobs' ads: ``edit(RequestMemory=2048, JobPrio=5)``.

        Parameters
        ----------
        expressions : mapping of str to str, optional
            Attributes whose new values are ClassAd expressions: ``{"RequestMemory": "2 * MemoryUsage"}``.
        **values
            Attributes and their new values: text, numbers, bools, None, lists. Text stays text.

        Returns
        -------
        ActionResult
            ``TotalSuccess`` is how many jobs changed, and of a factory its own ad. The jobs that it has not made
            yet change when all of the cluster does, and not when some jobs of it do.

        Raises
        ------
        RefusedError
            HTCondor does not let an attribute be changed.
        """
        return edit(self._parts(), values, {} if expressions is None else expressions, self._key)

    def wait(self, timeout: float | None = None, *, for_: WaitFor = "all", holds_ok: bool = False) -> bool:
        """Wait for the jobs.

        Jobs with an event log are followed by it, without asking anybody. For all others, the schedd is asked,
        by one query for all of them, at intervals that grow from 0.25 s to 30 s while nothing changes.

        Parameters
        ----------
        timeout : float or None
            Seconds to wait at most.
        for_ : {"all", "any"}, JobStatus or several of them
            The end of all jobs; the end of one; or that every job has come to one of these states.
        holds_ok : bool
            Return True also when all that is unfinished is on hold.

        Returns
        -------
        bool
            False when the time passed first, or when the jobs have ended and will not come to that state.

        Raises
        ------
        JobHeldError
            All that is unfinished is on hold.
        JobRemovedError
            All have ended, and one was removed, not by this object; the message has HTCondor's reason.
        JobLostError
            All have ended, and one is gone without a trace in its log and in the history.
        UnreachableError
            The schedd had to be asked, and has not answered for a minute.
        """
        return wait(self._parts(), timeout, for_, holds_ok=holds_ok)

    @property
    def counts(self) -> dict[JobStatus, int]:
        """How many jobs are in each state, now."""
        parts = self._parts()
        refresh(parts)
        return counts(parts)

    def _act(self, action: Action, reason: str) -> ActionResult:
        return act(self._parts(), action, reason, self._key)
