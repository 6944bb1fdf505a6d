"""Which outcome files may still grow: those of jobs that run, or ended some seconds ago."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from .in_job.keeping import forget
from .in_job.payload import RESULT
from .in_job.place import CHECKPOINTS
from .outcomes import ChunkReader, Outcomes
from .status import JobStatus
from .submission import Submission
from .tracked import Key, TrackedJob
from .tracking import JobTable

#: Seconds that a network file system may take to show the last bytes of a job that has ended, and the schedd to
#: log that a job was released.
GRACE = 2.0


@dataclass(frozen=True, slots=True)
class _Followed:
    submission: Submission
    chunk: int
    reader: ChunkReader
    job: TrackedJob | None


class Following:
    """The chunks whose outcome files are looked at.

    Parameters
    ----------
    outcomes : Outcomes
        Where their outcomes go.
    jobs : JobTable
        The jobs that compute them.
    codes : mapping
        Submission id -> its code in the ledger of the outcomes.
    """

    def __init__(self, outcomes: Outcomes, jobs: JobTable, codes: Mapping[str, int]) -> None:
        self._outcomes = outcomes
        self._jobs = jobs
        self._codes = codes
        self._chunks: dict[Key, _Followed] = {}

    def __contains__(self, key: Key) -> bool:
        return key in self._chunks

    def follow(self, submission: Submission, chunk: int, job: TrackedJob | None = None) -> int:
        """Read the outcome files of a chunk, from now on until nothing more can come; return as `read` does.

        Parameters
        ----------
        submission, chunk
            The chunk.
        job : TrackedJob, optional
            The job that computes it, where there is one.
        """
        key = (submission.id, chunk)
        known = self._chunks.get(key)
        if known is None:
            outcomes, code = submission.folder / "outcomes", self._codes[submission.id]
            reader = ChunkReader(outcomes, chunk, code, numbered_by_starts=submission.sent)
            self._chunks[key] = _Followed(submission, chunk, reader, job)
        elif job is not None:
            self._chunks[key] = replace(known, job=job)
        return self._read(key)

    def read(self) -> int:
        """Read what is new; return how many items got an outcome by that."""
        return sum(self._read(key) for key in list(self._chunks))

    def _read(self, key: Key) -> int:
        followed = self._chunks[key]
        if followed.submission.sent and self._is_under_way(followed):
            return 0
        may_grow = self._may_grow(followed)  # before it is read
        new = followed.reader.read(self._outcomes)
        if not may_grow or not self._outcomes.ledger.n_unfinished(followed.submission.items(followed.chunk)):
            del self._chunks[key]
            if followed.submission.sent:
                self._clean_up(followed)
        return new

    def _clean_up(self, followed: _Followed) -> None:
        """Remove what a job removes that sees the folder: empty output, and what items had saved that are over."""
        submission, chunk = followed.submission, followed.chunk
        for stream in ("out", "err"):
            file = submission.output_file(chunk, stream)
            with contextlib.suppress(OSError):
                if file.stat().st_size == 0:
                    file.unlink()
        checkpoints = submission.folder.parents[1] / CHECKPOINTS
        if any(checkpoints.glob("*")):
            ledger = self._outcomes.ledger
            forget(str(checkpoints), [n for n in submission.items(chunk) if ledger.states[n] == ord(RESULT)])

    def _is_under_way(self, followed: _Followed) -> bool:
        """Tell whether a job is yet to run or running; where its files are sent, outcomes come at its end."""
        job = followed.job or self._jobs.get(followed.submission, followed.chunk)
        return job is not None and job.status in (JobStatus.IDLE, JobStatus.RUNNING)

    def _may_grow(self, followed: _Followed) -> bool:
        ended: float | None = None
        job = followed.job or self._jobs.get(followed.submission, followed.chunk)
        if job is None:
            ended = self._jobs.gone.get(followed.submission.cluster or -1)
        elif job.is_over:
            ended = job.ended
        return ended is None or time.monotonic() < ended + GRACE
