"""Trajectories in WepyHDF5 files: ensembles of walkers, and what was recorded of them."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import InvalidInputError, TrajectoryInputError
from ..folders.paths import absolute
from .described import Described
from .formats import wepy, wepy_contents
from .formats.wepy_contents import Walk
from .frames import all_have_cells, check_stride, chosen_atoms, chosen_frames, frames_of_each
from .reading import Reader
from .source import Source, stat_of


class WepyH5(Described):
    """The trajectories of a WepyHDF5 file: described, and not read.

    Parameters
    ----------
    path : path
        The file; it is opened once, here.
    runs, trajs : int, sequence of int, or None
        Which runs, and which trajectories of each; None for all.
    fields : sequence of str or None
        None: frames are an `mdtraj.Trajectory`, with unit cells where there are box vectors. Names: frames are a
        dict of arrays by these names, in the file's units (`units`); a sparse field is a masked array, with NaN
        where it has nothing (0, where its numbers are no floats). ``"observables/rg"`` is one of a compound field.
    frames : None, slice, sequence of int or of bool
        Which frames; a list with one of these for each trajectory where they differ.
    stride : int or None
        Every how many-th of these.
    atoms : sequence of int, str, or None
        The atoms of positions, velocities and forces, by their numbers in these; or a selection of mdtraj's.
    rep : str or None
        The alternative representation that stands for the positions (``"positions"`` among the fields): the name
        of one of the file's ``alt_reps``. Frames as an `mdtraj.Trajectory` are then those that have it.
    unitcell : bool
        Whether an `mdtraj.Trajectory` has the unit cells.

    Attributes
    ----------
    units : dict of str to str
        The unit of each field, as far as the file says.

    Raises
    ------
    TrajectoryInputError
        The file isn't there, or lacks a run, a trajectory, a field, a representation, an atom or a frame.
    TrajectoryDamagedError
        It is empty, cut off, or no HDF5 file.
    InvalidInputError
        An argument can't be meant.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        runs: int | Sequence[int] | None = None,
        trajs: int | Sequence[int] | None = None,
        fields: Sequence[str] | None = None,
        frames: Any = None,
        stride: int | None = None,
        atoms: Any = None,
        rep: str | None = None,
        unitcell: bool = True,
    ) -> None:
        name = str(absolute(path))
        stride = check_stride(stride)
        self.fields = _checked_fields(fields)
        self.rep = rep
        stat = stat_of(name)
        try:
            found = wepy_contents.describe(name, runs, trajs, self.fields, rep)
        except OSError as error:
            raise TrajectoryInputError(
                f"{name} can't be read: {error.strerror}. Nothing was submitted", path=name
            ) from error
        if not found.walks:
            raise TrajectoryInputError(f"{name} has no trajectories. Nothing was submitted", path=name)
        self.trajectories = tuple(
            Source(
                name,
                "wepy",
                walk.run,
                walk.traj,
                chosen,
                stat.st_size,
                stat.st_mtime_ns,
                _have_cells(walk, chosen, name) if unitcell and not self.fields else None,
            )
            for walk, choice in zip(found.walks, frames_of_each(frames, len(found.walks)), strict=True)
            for chosen in [_frames_of(walk, choice, stride, name)]
        )
        self.units = found.units
        self._sparse = set().union(*(walk.sparse for walk in found.walks))
        n_atoms = found.topology.n_atoms
        self._set_atoms(chosen_atoms(atoms, found.topology, n_atoms, name), found.topology)
        self._rows = [_rows_of(walk, self.atoms, n_atoms, name, rep) for walk in found.walks]

    def __repr__(self) -> str:
        of = f"{len(self.trajectories)} trajectories of {self.trajectories[0].path}"
        what = ", ".join(self.fields) or f"{self.n_atoms} atoms"
        return f"<WepyH5 of {of}: {sum(self.n_frames)} frames, {what}>"

    @property
    def frame_nbytes(self) -> int:
        """The bytes of a frame in memory; the most, where trajectories differ in that."""
        if not self.fields:
            return super().frame_nbytes
        return max(
            sum(max(1, math.prod(shape)) * int(dtype.itemsize) for shape, dtype in rows.values())
            for rows in self._rows
        )

    @property
    def read_nbytes(self) -> int:
        """The bytes of memory that reading takes at its peak, per frame."""
        return super().read_nbytes * (1 if self.fields else 2)  # read at double precision

    def values_nbytes(self, number: int) -> int:
        """Return the bytes of a frame where it is sent as arrays: masked ones have a byte more for each number."""
        if not self.fields:
            return super().values_nbytes(number)
        rows = self._rows[number].values()
        return sum(max(1, math.prod(shape)) * (int(dtype.itemsize) + 1) for shape, dtype in rows)

    @property
    def reader(self) -> Reader:
        """A function that reads a chunk; it pickles small, with the topology and the units."""
        return Reader(self._small, self.units)

    def is_masked(self, name: str) -> bool:
        """Tell whether frames may lack what has this name, so that arrays of it are masked."""
        return bool(self.fields) and name in self._sparse

    def row_of(self, name: str, number: int) -> tuple[tuple[int, ...], Any]:
        """Return shape and type of what a frame of a trajectory has by a name."""
        if not self.fields:
            return super().row_of(name, number)
        rows = self._rows[number]
        if name not in rows:
            raise InvalidInputError(f"the frames have no {name!r}; they have {', '.join(rows)}")
        return rows[name]


def _checked_fields(fields: Any) -> tuple[str, ...]:
    if fields is None:
        return ()
    names = (fields,) if isinstance(fields, str) else tuple(fields)
    if not names or not all(isinstance(name, str) and name for name in names) or len(set(names)) < len(names):
        raise InvalidInputError(
            f"fields must be names of fields, each once, or None for mdtraj's frames, not {fields!r}"
        )
    return tuple(name.strip("/") for name in names)


def _rows_of(
    walk: Walk, atoms: Any, n_atoms: int, path: str, rep: str | None
) -> dict[str, tuple[tuple[int, ...], Any]]:
    """Return shape and type of each field of a frame, with the chosen atoms."""
    rows = {}
    for field, (shape, dtype) in walk.rows.items():
        if atoms is not None and wepy.per_atom(field, rep):
            if shape[:1] != (n_atoms,):
                raise TrajectoryInputError(
                    f"{walk.name_in(path)}: a frame of {field} is of shape {shape}, and so not of the {n_atoms} "
                    "atoms that positions have: atoms= can't choose of them. Read it apart, without atoms=. "
                    "Nothing was submitted",
                    path=path,
                )
            shape = (len(atoms), *shape[1:])
        rows[field] = shape, dtype
    return rows


def _have_cells(walk: Walk, chosen: Any, path: str) -> bool:
    return walk.has_cells and all_have_cells(chosen, walk.no_cells, walk.name_in(path), path=path)


def _frames_of(walk: Walk, choice: Any, stride: int | None, path: str) -> Any:
    name = walk.name_in(path)
    if choice is None and walk.frames is not None:
        choice = walk.frames
    chosen = chosen_frames(choice, stride, walk.n_frames, name, path=path)
    if walk.frames is not None:
        lacking = np.flatnonzero(np.isin(chosen.array, walk.frames, invert=True))
        if len(lacking):
            frame = chosen[int(lacking[0])]
            raise TrajectoryInputError(
                f"{name}: frame {frame} has no positions of this representation; those are sparse, and "
                f"{len(walk.frames)} of {walk.n_frames} frames have them. Nothing was submitted",
                path=path,
                frame=frame,
            )
    for field, end in walk.ends.items():
        late = chosen.array[chosen.array >= end]
        if len(late):
            raise TrajectoryInputError(
                f"{name}: frame {late.min()} has no {field}: there are {walk.n_frames} frames, and {end} rows of "
                f"it. Leave out the frames from {end} on (frames=), or write these rows. Nothing was submitted",
                path=path,
                frame=int(late.min()),
            )
    return chosen
