"""What a WepyHDF5 file has: read once, where it is described (`wepy` reads its frames)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...errors import TrajectoryDamagedError, TrajectoryInputError
from ..indices import Indices
from ..topology import subset, topology_of_json
from .hdf5 import opened
from .units import factor
from .wepy import DATA, UNITS, field_of, frames_of, is_sparse, length, path_of, units_of


class Walk(NamedTuple):
    """What a trajectory of a file has.

    Attributes
    ----------
    run, traj : int
        Its numbers.
    n_frames : int
        How many frames.
    frames : array of int or None
        Those that have positions, where others have none.
    has_cells : bool
        Whether it has box vectors.
    no_cells : array of int
        The frames that have none, where others have.
    rows : mapping of str to (tuple of int, numpy.dtype)
        Shape and type of a frame of each field that is read.
    sparse : set of str
        Those of these fields that not all frames need have.
    ends : mapping of str to int
        How many frames have a field that all should have, where that is fewer.
    """

    run: int
    traj: int
    n_frames: int
    frames: Any
    has_cells: bool
    no_cells: Any
    rows: Mapping[str, tuple[tuple[int, ...], Any]]
    sparse: set[str]
    ends: Mapping[str, int]

    def name_in(self, path: str) -> str:
        """Return what it is called in messages about a file."""
        return f"{path}, run {self.run}, trajectory {self.traj}"


class Contents(NamedTuple):
    """What a file has.

    Attributes
    ----------
    walks : list of Walk
        The chosen trajectories.
    topology : mdtraj.Topology
        Of the atoms that have positions.
    units : dict of str to str
        The unit of each field, as far as the file says.
    """

    walks: list[Walk]
    topology: Any
    units: dict[str, str]


def describe(path: str, runs: Any, trajs: Any, fields: Sequence[str], rep: str | None) -> Contents:
    """Return what a file has, of some runs, trajectories and fields.

    Raises
    ------
    TrajectoryInputError
        It hasn't one of those.
    TrajectoryDamagedError
        It is no WepyHDF5 file, or cut off.
    """
    with opened(path) as file:
        if not {"runs", "topology", "_settings"} <= set(file):
            raise TrajectoryInputError(
                f"{path} is no WepyHDF5 file: it has no runs, but {', '.join(sorted(file)) or 'nothing'}",
                path=path,
            )
        topology = _topology(file, path, rep)
        walks = []
        for run in _chosen("run", runs, file["runs"], path):
            group = _trajectories(file, run, path)
            for traj in _chosen(f"run {run}, trajectory", trajs, group, path):
                walks.append(_walk(group[str(traj)], run, traj, topology, path, fields, rep))
        units = units_of(file)
        for name, wanted_unit in UNITS.items() if not fields else ():
            factor(units.get(name), wanted_unit, name, path)
    return Contents(walks, topology, units)


def _trajectories(file: Any, run: int, path: str) -> Any:
    """Return the group of a run's trajectories."""
    found = file["runs"][str(run)]
    found = found.get("trajectories") if hasattr(found, "keys") else None
    if not hasattr(found, "keys"):
        raise TrajectoryDamagedError(
            f"{path}: run {run} has no group of trajectories, as wepy makes one for each run: it was not "
            "written to its end. Choose the runs that have one (runs=). Nothing was submitted",
            path=path,
        )
    return found


def _walk(
    group: Any, run: int, traj: int, topology: Any, path: str, fields: Sequence[str], rep: str | None
) -> Walk:
    as_frames = not fields
    if as_frames:
        fields = [name for name in UNITS if name == "positions" or name in group]
    found = {name: field_of(group, path_of(name, rep), path) for name in fields}
    sparse = {name: frames_of(field, path) for name, field in found.items() if is_sparse(field)}
    whole = {name: len(field) for name, field in found.items() if name not in sparse}
    n_frames = max([length(group, path), *whole.values()])
    _check_atoms(group.get(path_of("positions", rep)), topology, path)
    no_cells = np.setdiff1d(np.arange(n_frames), sparse["box_vectors"]) if "box_vectors" in sparse else ()
    data = {name: field[DATA] if name in sparse else field for name, field in found.items()}
    return Walk(
        run,
        traj,
        n_frames,
        sparse.get("positions") if as_frames else None,
        as_frames and "box_vectors" in found,
        no_cells,
        {name: (each.shape[1:], each.dtype) for name, each in data.items()},
        set(sparse),
        {name: n for name, n in whole.items() if n < n_frames},
    )


def _check_atoms(positions: Any, topology: Any, path: str) -> None:
    if positions is None:
        return
    shape = (positions[DATA] if is_sparse(positions) else positions).shape
    if shape[1] != topology.n_atoms:
        raise TrajectoryInputError(
            f"{path}: {positions.name} has {shape[1]} atoms, and the topology {topology.n_atoms} for it",
            path=path,
        )


def _chosen(what: str, numbers: Any, group: Any, path: str) -> list[int]:
    """Return those of the numbered members of a group that are wanted; None for all."""
    there = sorted(int(name) for name in group if name.isdecimal())
    if numbers is None:
        return there
    wanted = [numbers] if hasattr(numbers, "__index__") else list(numbers)
    for number in wanted:
        if number not in there:
            many = f"{len(there)}, {there[0]} to {there[-1]}" if len(there) > 1 else f"only {there[0]}"
            has = f"has {many}" if there else "has none"
            raise TrajectoryInputError(
                f"{path} has no {what} {number!r}; it {has}. Nothing was submitted", path=path
            )
    return [int(number) for number in wanted]


def _topology(file: Any, path: str, rep: str | None) -> Any:
    whole = topology_of_json(file["topology"][()], path)
    name = "main_rep_idxs" if rep is None else f"alt_reps_idxs/{rep}"
    if name not in file["_settings"]:
        if rep is None:
            return whole
        reps = ", ".join(file["_settings"].get("alt_reps_idxs", ())) or "none"
        raise TrajectoryInputError(
            f"{path} has no alternative representation {rep!r}; it has {reps}", path=path
        )
    atoms = Indices(file["_settings"][name][:])
    return whole if list(atoms) == list(range(whole.n_atoms)) else subset(whole, atoms)
