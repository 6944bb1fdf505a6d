"""Where a job finds its function and its items, and where it leaves its outcomes.

Travels into the job; standard library only. Either the job sees the map's folder, and reads and writes there, or
it was sent what it needs. In the job's scratch folder are then::

    condormap/             spec.json, the function, the runner, files/: the map's extra input files
    condormap.<chunk>      the chunk's slice of the item store
    condormap.outcome      the outcome file, empty at first
    checkpoints/           what items saved (`keeping`)

HTCondor keeps the last two when it vacates the job, and takes them back when it ends.
"""

from __future__ import annotations

import os
import sys

from .items import slice_items
from .payload import DamagedError, chunk_file, chunk_items, read_frames

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, BinaryIO

SENT_FOLDER, SENT_FILES, SLICE, SENT_OUTCOME = "condormap", "files", "condormap.", "condormap.outcome"
CHECKPOINTS = "checkpoints"
DISK_FULL = 73  # the exit code of a job whose outcome could not be written (EX_CANTCREAT of sysexits.h)


class Place:
    """Where one attempt at one chunk finds its work.

    Parameters
    ----------
    spec : dict
        What ``spec.json`` says.
    spec_file : str
        Where it is.
    chunk : int
        The chunk.

    Attributes
    ----------
    folder : str
        The folder of the spec.
    home : str
        The folder of the function and of what it needs.
    store : str
        The items, see `items`.
    checkpoints : str
        The folder of what items save.
    """

    def __init__(self, spec: dict[str, Any], spec_file: str, chunk: int) -> None:
        self.folder = os.path.dirname(os.path.abspath(spec_file))
        self.chunk = chunk
        self.is_sent: bool = spec.get("sent", False)
        self.files: Sequence[tuple[str, str]] = spec.get("files", ())
        if self.is_sent:
            self.home = self.folder
            self.store = os.path.abspath(f"{SLICE}{chunk}")
            self.outcome = os.path.abspath(SENT_OUTCOME)
            self.checkpoints = os.path.abspath(CHECKPOINTS)
        else:
            self.home = self.store = f"{self.folder}/{spec['items']}"
            self.checkpoints = f"{self.home}/{CHECKPOINTS}"

    def items(self) -> Sequence[int]:
        """Return the items of the chunk."""
        return slice_items(self.store) if self.is_sent else chunk_items(self.folder, self.chunk)

    def open_outcome(self, attempt: int) -> tuple[BinaryIO, int, set[int]]:
        """Return the open outcome file, the number of this attempt and what earlier attempts finished.

        Parameters
        ----------
        attempt : int
            The least number that this attempt may have.
        """
        if self.is_sent:
            return reopen_outcome(self.outcome, attempt)
        return create_outcome(f"{self.folder}/outcomes", self.chunk)

    def enter(self) -> None:
        """Go to the folder in which the function is to find the map's extra input files, if there is one."""
        if self.is_sent:
            files = f"{self.folder}/{SENT_FILES}"
            os.makedirs(files, exist_ok=True)
            os.chdir(files)
        elif self.files:
            files = f"{os.environ['_CONDOR_SCRATCH_DIR']}/{SENT_FOLDER}/{SENT_FILES}"
            for name, path in self.files:
                os.makedirs(os.path.dirname(f"{files}/{name}"), exist_ok=True)
                os.symlink(path, f"{files}/{name}")
            os.chdir(files)


def create_outcome(outcomes: str, chunk: int) -> tuple[BinaryIO, int, set[int]]:
    """Create the next attempt's outcome file; return it, its number and what earlier attempts finished."""
    finished: set[int] = set()
    attempt = 0
    while True:
        path = chunk_file(outcomes, chunk, str(attempt))
        try:
            return open(path, "x+b", buffering=0), attempt, finished
        except FileExistsError:
            _read(path, finished)
            attempt += 1


def reopen_outcome(path: str, attempt: int) -> tuple[BinaryIO, int, set[int]]:
    """Open the outcome file of all attempts at its end; return as `create_outcome` does."""
    finished: set[int] = set()
    os.truncate(path, _read(path, finished))
    return open(path, "a+b", buffering=0), attempt, finished


def _read(path: str, finished: set[int]) -> int:
    """Add the items that an outcome file has; return where what can be read of it ends."""
    end = 0
    try:
        for frame in read_frames(path):
            for start, stop in frame.header.get("runs", ()):
                finished.update(range(start, stop))
            end = frame.end
    except DamagedError as error:
        print(f"condormap: {error}; what follows is computed again", file=sys.stderr)
    return end
