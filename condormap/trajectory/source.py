"""One trajectory of a description: which file, and which of its frames."""

from __future__ import annotations

import os
from dataclasses import dataclass
from stat import S_ISDIR, S_ISREG
from typing import Any

from ..errors import TrajectoryDamagedError, TrajectoryInputError
from .indices import Indices


def stat_of(path: str) -> os.stat_result:
    """Return the stat of a file.

    Raises
    ------
    TrajectoryInputError
        There is none, or it is a folder.
    TrajectoryDamagedError
        It is empty.
    """
    try:
        stat = os.stat(path)
    except OSError as error:
        raise TrajectoryInputError(
            f"{path} can't be read: {error.strerror}. Nothing was submitted", path=path
        ) from error
    if not S_ISREG(stat.st_mode):
        what = "a folder" if S_ISDIR(stat.st_mode) else "no regular file"
        raise TrajectoryInputError(
            f"{path} is {what}: give the file of a trajectory. Nothing was submitted", path=path
        )
    if not stat.st_size:
        raise TrajectoryDamagedError(f"{path} is empty: 0 bytes. Nothing was submitted", path=path)
    return stat


@dataclass(frozen=True, slots=True)
class Source:
    """One trajectory of a description.

    Attributes
    ----------
    path, format, run, traj, size, mtime_ns, has_cells
        As in `Chunk`.
    frames : Indices
        The chosen frames.
    offsets : array or None
        Where each of them begins.
    trajectory : mdtraj.Trajectory or None
        It, in memory.
    """

    path: str
    format: str
    run: int
    traj: int
    frames: Indices
    size: int = 0
    mtime_ns: int = 0
    has_cells: bool | None = None
    offsets: Any = None
    trajectory: Any = None

    @property
    def n_frames(self) -> int:
        """How many frames are chosen."""
        return len(self.frames)

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return self.path or "the trajectory in memory"
