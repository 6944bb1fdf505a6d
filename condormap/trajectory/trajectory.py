"""Trajectories that mdtraj reads: in files, or in memory."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from ..errors import InvalidInputError, TrajectoryDamagedError, TrajectoryInputError
from ..folders.paths import absolute
from .chunk import Chunk
from .described import Described
from .formats import Arrays, Info, format_of, name_of
from .formats.memory import InMemory
from .frames import all_have_cells, check_stride, chosen_atoms, chosen_frames, first_of, frames_of_each
from .source import Source, stat_of
from .topology import parse_topology


class Trajectory(Described):
    """Trajectories in files (or one in memory): described, and not read.

    Each file is opened once, here, to learn what it has; the jobs read their frames, and nothing else.

    Parameters
    ----------
    trajectory : path, mdtraj.Trajectory, or sequence of them
        What is described; the suffix of a file tells its format.
    top : path, mdtraj.Topology or mdtraj.Trajectory, or None
        The topology, of all of them; an HDF5 file of mdtraj's has its own.
    atoms : sequence of int, str, or None
        The atoms, in the order in which they are wanted, or a selection in mdtraj's language (``"name CA"``).
    stride : int or None
        Every how many-th of the frames (of those that `frames` chooses).
    frames : None, slice, sequence of int or of bool
        Which frames; a list with one of these for each trajectory where they differ.
    unitcell : bool
        Whether the frames have their unit cells.

    Raises
    ------
    TrajectoryInputError
        A file isn't there, has another number of atoms than the topology, or lacks a frame; none is chosen.
    TrajectoryDamagedError
        A file is empty, cut off, or not of the format that its suffix says.
    InvalidInputError
        An argument can't be meant.
    """

    def __init__(
        self,
        trajectory: Any,
        *,
        top: Any = None,
        atoms: Any = None,
        stride: int | None = None,
        frames: Any = None,
        unitcell: bool = True,
    ) -> None:
        given = _as_list(trajectory)
        self.is_one = _is_one(trajectory)
        stride = check_stride(stride)
        choices = frames_of_each(frames, len(given))
        described = [_describe(*each, stride) for each in zip(given, choices, strict=True)]
        infos = [info for info, _ in described]
        own = next((info.topology for info in infos if info.topology is not None), None)
        whole = own() if top is None and own is not None else parse_topology(top)
        self.trajectories = tuple(
            _source(number, info, each, choice, stride, unitcell)
            for number, ((info, each), choice) in enumerate(zip(described, choices, strict=True))
        )
        n_atoms = infos[0].n_atoms
        for info, source in zip(infos, self.trajectories, strict=True):
            _check_atoms(info, source, whole)
            if top is None and info.topology is not None and info.topology != own:
                _check_same(info.topology(), whole, source)
        self._set_atoms(chosen_atoms(atoms, whole, n_atoms, self.trajectories[0].name), whole)

    def __repr__(self) -> str:
        n = len(self.trajectories)
        of = self.trajectories[0].name if n == 1 else f"{n} trajectories"
        return f"<Trajectory of {of}: {sum(self.n_frames)} frames, {self.n_atoms} atoms>"

    def _chunks_of(self, number: int, size: int) -> Iterator[Chunk]:
        loaded = self.trajectories[number].trajectory
        for chunk in super()._chunks_of(number, size):
            if loaded is None:
                yield chunk
                continue
            arrays = Arrays(loaded.xyz, loaded.time, loaded.unitcell_lengths, loaded.unitcell_angles)
            atoms = None if self.atoms is None else np.sort(self.atoms.array)
            yield dataclasses.replace(chunk, data=InMemory(arrays._asdict(), chunk.frames, atoms))


def _is_one(trajectory: Any) -> bool:
    return isinstance(trajectory, str | os.PathLike) or hasattr(trajectory, "xyz")


def _as_list(trajectory: Any) -> list[Any]:
    if _is_one(trajectory):
        return [trajectory]
    if not isinstance(trajectory, Iterable) or isinstance(trajectory, bytes):
        raise InvalidInputError(_wrong(trajectory))
    given = list(trajectory)
    if not given:
        raise InvalidInputError("there are no trajectories: the list of them is empty")
    return given


def _wrong(given: Any) -> str:
    hint = ": os.fsdecode makes text of it" if isinstance(given, bytes) else ""
    return f"a trajectory is a path (str or Path) or an mdtraj.Trajectory, not {given!r}{hint}"


def _describe(given: Any, choice: Any, stride: int | None) -> tuple[Info, Any]:
    """Return what a trajectory has, and it: one in memory, or the absolute path and the stat of a file."""
    if hasattr(given, "xyz"):
        return Info(
            given.n_frames, given.n_atoms, given.unitcell_lengths is not None, None, lambda: given.topology
        ), given
    if not isinstance(given, str | os.PathLike):
        raise InvalidInputError(_wrong(given))
    path = str(absolute(given))
    stat = stat_of(path)
    try:
        info = format_of(name_of(path)).describe(path, lambda n: chosen_frames(choice, stride, n, path)[0])
    except OSError as error:
        raise TrajectoryInputError(
            f"{path} can't be read: {error.strerror}. Nothing was submitted", path=path
        ) from error
    if not info.n_frames:
        raise TrajectoryDamagedError(f"{path} has no frames. Nothing was submitted", path=path)
    return info, (path, stat)


def _source(number: int, info: Info, each: Any, choice: Any, stride: int | None, unitcell: bool) -> Source:
    cells = info.has_cells if unitcell else None
    if hasattr(each, "xyz"):
        name = "the trajectory in memory"
        chosen = chosen_frames(choice, stride, info.n_frames, name)
        return Source("", "memory", 0, number, chosen, has_cells=cells, trajectory=each)
    path, stat = each
    chosen = chosen_frames(choice, stride, info.n_frames, path)
    without = first_of(chosen, info.no_xyz)
    if without is not None:
        raise TrajectoryInputError(
            f"{path}: frame {without} has no coordinates: leave such frames out (frames=). Nothing was submitted",
            path=path,
            frame=without,
        )
    if cells:
        cells = all_have_cells(chosen, info.no_cells, path, path=path)
    return Source(
        path,
        name_of(path),
        0,
        number,
        chosen,
        stat.st_size,
        stat.st_mtime_ns,
        cells,
        info.offsets,
    )


def _check_atoms(info: Info, source: Source, topology: Any) -> None:
    if topology is None:
        raise TrajectoryInputError(
            f"{source.name} has no topology: give top=, a file that mdtraj reads one from (PDB, PSF, GRO, prmtop) "
            "or an mdtraj.Topology. Nothing was submitted",
            path=source.path,
        )
    if info.n_atoms != topology.n_atoms:
        raise TrajectoryInputError(
            f"{source.name} has {info.n_atoms} atoms, and the topology {topology.n_atoms}: it is another "
            "system's. Nothing was submitted",
            path=source.path,
        )


def _check_same(topology: Any, first: Any, source: Source) -> None:
    """Refuse a trajectory whose own topology has other atoms than that of the first one."""
    for here, there in zip(topology.atoms, first.atoms, strict=True):
        if _what_is(here) != _what_is(there):
            raise TrajectoryInputError(
                f"{source.name} has another topology than those before it: atom {here.index} is {here}, and not "
                f"{there}. Describe it apart, or give top= for all of them. Nothing was submitted",
                path=source.path,
            )


def _what_is(atom: Any) -> tuple[Any, ...]:
    residue = atom.residue
    return atom.name, atom.element, residue.name, residue.resSeq, residue.index, residue.chain.index
