"""One job of a map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..events import JobFacts
from ..status import JobStatus
from ..submission import Submission

Key = tuple[str, int]  # a submission's id, and the chunk


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
