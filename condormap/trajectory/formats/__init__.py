"""The formats: what a file has, and some of its frames. Each module is one, with the functions of `Format`."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from ...errors import TrajectoryInputError


class Info(NamedTuple):
    """What a file has.

    Attributes
    ----------
    n_frames, n_atoms : int
        How many.
    has_cells : bool
        Whether it has unit cells; where only a look at a frame tells: whether the first wanted one has.
    offsets : array of int or None
        Where each frame begins; None where that is known without looking.
    topology : callable or None
        Returns the file's own, where it has one.
    no_cells, no_xyz : sequence of int
        The frames that, as was seen, have no unit cell, or no coordinates.
    """

    n_frames: int
    n_atoms: int
    has_cells: bool
    offsets: Any = None
    topology: Any = None
    no_cells: Any = ()
    no_xyz: Any = ()


class Arrays(NamedTuple):
    """Some frames, in mdtraj's units (nm, ps, degrees).

    Attributes
    ----------
    xyz : array of float32, (frames, atoms, 3)
        Coordinates.
    time : array of float32, (frames,), or None
        Time; None where the file has none, so that a frame's time is its number.
    lengths, angles : array of float32, (frames, 3), or None
        Unit cells; all zeros where a frame has none.
    """

    xyz: Any
    time: Any
    lengths: Any
    angles: Any


#: Of how many frames a file has, the first of those that are wanted; it raises what is wrong with the choice.
First = Callable[[int], int]


class Format(Protocol):
    """What each module of a format has.

    One of whose files a part is such a file again has ``cut(path, frames, offsets, most)`` too: the bytes of a
    file of some frames, and where these begin in it; None where it would have more than `most` bytes.
    """

    def describe(self, path: str, first: First) -> Info:
        """Return what a file has."""

    def read(self, path: str, frames: Any, offsets: Any, atoms: Any) -> Arrays:
        """Return some frames of a file: frames (and atoms, if not None) are ascending, each but once."""


_SUFFIXES = {
    ".dcd": "dcd",
    ".h5": "hdf5",
    ".hdf5": "hdf5",
    ".nc": "netcdf",
    ".ncdf": "netcdf",
    ".netcdf": "netcdf",
    ".trr": "trr",
    ".xtc": "xtc",
}


def name_of(path: str) -> str:
    """Return the name of a file's format, by its suffix.

    Raises
    ------
    TrajectoryInputError
        It is none of ours.
    """
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in _SUFFIXES:
        raise TrajectoryInputError(
            f"{path}: no format has the suffix {suffix!r}; those that can be read at any frame are "
            f"{', '.join(sorted(_SUFFIXES))}. Convert it (mdtraj's mdconvert), or load it with mdtraj and give "
            "the mdtraj.Trajectory. Nothing was submitted",
            path=path,
        )
    return _SUFFIXES[suffix]


def format_of(name: str) -> Format:
    """Return the module of a format."""
    return importlib.import_module(f".{name}", __name__)
