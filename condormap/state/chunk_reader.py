"""The outcome files of a chunk as they grow."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from ..in_job.payload import DamagedError, chunk_file, read_frame
from .attempt import Attempt
from .outcomes import Outcomes

_ASIDE = ".undelivered"  # ends the name of a file that does not count


class ChunkReader:
    """Follows the outcome files of one chunk, one per attempt.

    Parameters
    ----------
    folder : Path
        The submission's ``outcomes``.
    chunk : int
        The chunk.
    code : int
        The submission's code in the ledger.
    numbered_by_starts : bool
        The files are numbered by the job's starts, of which some may have brought none; one has the frames of
        several attempts, where HTCondor sent it along when it started the job again.
    """

    def __init__(self, folder: Path, chunk: int, code: int = 0, *, numbered_by_starts: bool = False) -> None:
        self.folder = folder
        self.chunk = chunk
        self.code = code
        self._has_gaps = numbered_by_starts
        self.attempts: list[Attempt] = []  # those that have begun
        self.ended = False  # the newest attempt wrote its last frame
        self.damage = ""
        self._at = (0, 0)  # the attempt that is read, and how far; replaced in one step

    def read(self, outcomes: Outcomes) -> int:
        """Take the frames that are new; return how many items got an outcome."""
        new = 0
        while True:
            attempt, _ = self._at
            later = self._next_attempt(attempt)
            new += self._read_file(outcomes)
            if later is None:
                return new
            self.ended = False
            self._at = (later, 0)

    def set_aside(self) -> None:
        """Have nobody read the newest file: it tells of files that were not brought home."""
        names = self._names()
        newest = max((int(n) for n in names if n.isdecimal()), default=-1)
        if newest > max((int(n.partition(".")[0]) for n in names if n.endswith(_ASIDE)), default=-1):
            path = chunk_file(self.folder, self.chunk, str(newest))
            with contextlib.suppress(OSError):  # another process has done it
                os.rename(path, path + _ASIDE)

    def _next_attempt(self, attempt: int) -> int | None:
        """Return the number of the next attempt that has a file; None where there is none."""
        path = chunk_file(self.folder, self.chunk, "")
        if os.path.exists(f"{path}{attempt + 1}"):
            return attempt + 1
        if not self._has_gaps:
            return None
        return min((int(n) for n in self._names() if n.isdecimal() and int(n) > attempt), default=None)

    def _names(self) -> list[str]:
        """Return the names of the chunk's files without the number of the chunk."""
        folder, begin = os.path.split(chunk_file(self.folder, self.chunk, ""))
        try:
            names = os.listdir(folder)
        except OSError:
            return []
        return [name.removeprefix(begin) for name in names if name.startswith(begin)]

    def _read_file(self, outcomes: Outcomes) -> int:
        (attempt, offset), new = self._at, 0
        path = chunk_file(self.folder, self.chunk, str(attempt))
        try:
            if os.stat(path).st_size <= offset:
                return 0
            with open(
                path, "rb", buffering=4096
            ) as file:  # not kept open: there may be more jobs than descriptors
                while frame := read_frame(file, offset):
                    kind = frame.header["kind"]
                    if kind == "items":
                        new += outcomes.add(path, frame, self.attempts[-1], self.code)
                    elif kind == "start":
                        self.ended = False
                        self.attempts.append(Attempt.of(frame.header))
                    elif kind == "end":
                        self.ended = True
                    offset = frame.end
                    self._at = (
                        attempt,
                        offset,
                    )  # last, so that an interrupt repeats the frame and loses none
        except (FileNotFoundError, NotADirectoryError):
            return 0  # its job has not begun
        except DamagedError as error:
            self.damage = str(error)
        return new
