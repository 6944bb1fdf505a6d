"""Which outcome files may still grow: those of jobs that run, or ended some seconds ago."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ..in_job.keeping import forget
from ..in_job.payload import RESULT
from ..in_job.place import CHECKPOINTS, DISK_FULL
from ..payload.bundle import OLD_PYTHON
from ..status import JobStatus
from ..submission import Submission
from .chunk_reader import ChunkReader
from .failures import NO_PROGRAM
from .outcomes import Outcomes
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
    executes : bool
        The jobs run an executable, whose files come home beside the outcomes.

    Attributes
    ----------
    damage : dict
        Why the outcomes of a chunk that is over can't be read.
    unrunnable : list
        The chunks whose interpreter can't run a job.
    """

    def __init__(
        self, outcomes: Outcomes, jobs: JobTable, codes: Mapping[str, int], *, executes: bool
    ) -> None:
        self._outcomes = outcomes
        self._jobs = jobs
        self._codes = codes
        self._executes = executes
        self._chunks: dict[Key, _Followed] = {}
        self.damage: dict[Key, str] = {}
        self.unrunnable: list[Key] = []

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
        if self._lacks_files(followed):
            followed.reader.set_aside()
        new = followed.reader.read(self._outcomes)
        if not may_grow or not self._outcomes.ledger.n_unfinished(followed.submission.items(followed.chunk)):
            self._note_failure(key, followed)  # before, for Ctrl-C
            del self._chunks[key]
            if followed.submission.sent:
                self._clean_up(followed)
        return new

    def _note_failure(self, key: Key, followed: _Followed) -> None:
        """Take note of what the files tell about why items of a chunk have no outcome."""
        submission, reader = followed.submission, followed.reader
        if not self._outcomes.ledger.n_unfinished(submission.items(followed.chunk)):
            return
        job = followed.job or self._jobs.get(submission, followed.chunk)
        if reader.damage:
            self.damage[key] = reader.damage
        elif job is not None and job.exit_code is not None and not job.lost and not reader.attempts:
            is_old = job.exit_code == OLD_PYTHON
            # Of the interpreter that condormap itself runs in, something else is the matter.
            is_none = submission.options.python is not None and job.exit_code not in (NO_PROGRAM, DISK_FULL)
            if is_old or is_none:
                self.unrunnable.append(key)

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

    def _lacks_files(self, followed: _Followed) -> bool:
        """Tell whether outcomes came home without the files of which they tell: HTCondor goes on with the next."""
        job = followed.job or self._jobs.get(followed.submission, followed.chunk)
        return self._executes and followed.submission.sent and job is not None and job.undelivered

    def _may_grow(self, followed: _Followed) -> bool:
        ended: float | None = None
        job = followed.job or self._jobs.get(followed.submission, followed.chunk)
        if job is None:
            ended = self._jobs.gone.get(followed.submission.cluster or -1)
        elif job.is_over:
            if job.exit_code == OLD_PYTHON:
                return False
            ended = job.ended
        return ended is None or time.monotonic() < ended + GRACE
