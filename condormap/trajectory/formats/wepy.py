"""WepyHDF5 files: runs of trajectories, each a group of fields with a row for each frame (cycle).

::

    topology                             JSON, of the whole system
    units/units/<field>                  (or units/<field>)
    _settings/main_rep_idxs              which of its atoms "positions" has
    _settings/alt_reps_idxs/<name>       which "alt_reps/<name>" has
    runs/<run>/trajectories/<traj>/<field>       a dataset, or sparse: a group of _sparse_idxs and data,
                                         or compound: a group of fields (observables/<name>, alt_reps/<name>)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...errors import TrajectoryDamagedError, TrajectoryInputError
from ..indices import Indices
from ..topology import subset, topology_of_json
from . import Arrays
from .hdf5 import opened, rows_of
from .units import LENGTH, TIME, factor

_PER_ATOM = ("xyz", "positions", "velocities", "forces")
_INDICES, _DATA = "_sparse_idxs", "data"
_UNITS = {"positions": LENGTH, "box_vectors": LENGTH, "time": TIME}


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
    """

    run: int
    traj: int
    n_frames: int
    frames: Any
    has_cells: bool
    no_cells: Any


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
    rows : dict of str to (tuple of int, numpy.dtype)
        Shape and type of a frame of each of the wanted fields.
    sparse : set of str
        Those of the wanted fields that not all frames of all trajectories need have.
    """

    walks: list[Walk]
    topology: Any
    units: dict[str, str]
    rows: dict[str, tuple[tuple[int, ...], Any]]
    sparse: set[str]


def per_atom(name: str, rep: str | None) -> bool:
    """Tell whether a choice of atoms is one of this field: of another representation, of its positions alone."""
    return name in (_PER_ATOM if rep is None else _PER_ATOM[:2])


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
        wanted = fields or (_path_of("positions", rep),)
        walks = []
        rows: dict[str, tuple[tuple[int, ...], Any]] = {}
        sparse = set()
        for run in _chosen("run", runs, file["runs"], path):
            group = file[f"runs/{run}/trajectories"]
            for traj in _chosen(f"run {run}, trajectory", trajs, group, path):
                walk = group[str(traj)]
                for field in wanted:
                    data = _field(walk, _path_of(field, rep), path)
                    if hasattr(data, "keys"):
                        sparse.add(field)
                        data = data[_DATA]
                    rows.setdefault(field, (data.shape[1:], data.dtype))
                walks.append(_walk(walk, run, traj, topology, path, rep, as_frames=not fields))
        units = _units(file)
        for name, wanted_unit in _UNITS.items() if not fields else ():
            factor(units.get(name), wanted_unit, name, path)
    return Contents(walks, topology, units, rows, sparse)


def _walk(
    group: Any, run: int, traj: int, topology: Any, path: str, rep: str | None, *, as_frames: bool
) -> Walk:
    n_frames, frames = length(group, path), None
    positions = group.get(_path_of("positions", rep))
    if positions is not None:
        sparse = hasattr(positions, "keys")
        shape = (positions[_DATA] if sparse else positions).shape
        if shape[1] != topology.n_atoms:
            raise TrajectoryInputError(
                f"{path}: {positions.name} has {shape[1]} atoms, and the topology {topology.n_atoms} for it",
                path=path,
            )
        if sparse and as_frames:
            frames = positions[_INDICES][:]
    boxes = group.get("box_vectors")
    there = boxes[_INDICES][:] if hasattr(boxes, "keys") else range(n_frames)
    return Walk(
        run, traj, n_frames, frames, boxes is not None, np.setdiff1d(np.arange(n_frames), np.asarray(there))
    )


def length(walk: Any, path: str) -> int:
    """Return how many frames a trajectory has.

    Raises
    ------
    TrajectoryDamagedError
        None of its fields tells.
    """
    for name in ("positions", "weights", "time", "box_vectors"):
        if name in walk and not hasattr(walk[name], "keys"):
            return len(walk[name])
    raise TrajectoryDamagedError(f"{path}: {walk.name} has no field with a row for each frame", path=path)


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


def _path_of(field: str, rep: str | None) -> str:
    return f"alt_reps/{rep}" if field == "positions" and rep is not None else field


def _field(walk: Any, name: str, path: str) -> Any:
    """Return the dataset of a field, or the group of a sparse one."""
    found = walk.get(name)
    if found is not None and (not hasattr(found, "keys") or {_INDICES, _DATA} <= set(found)):
        return found
    if found is not None:
        what = f"is a group of fields: {', '.join(f'{name}/{each}' for each in found)}"
    else:
        what = f"isn't there, but {', '.join(walk)}"
    raise TrajectoryInputError(f"{path}: the field {name!r} of {walk.name} {what}", path=path)


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


def _units(file: Any) -> dict[str, str]:
    """Return the units that a file says; wepy writes them one group too deep."""
    found: dict[str, str] = {}
    for place in ("units", "units/units"):
        for name, unit in file.get(place, {}).items():
            if not hasattr(unit, "keys"):
                text = unit[()]
                found[name] = text.decode() if isinstance(text, bytes) else str(text)
    return found


def read_fields(
    path: str, run: int, traj: int, fields: Sequence[str], frames: Any, atoms: Any, rep: str | None
) -> dict[str, Any]:
    """Return some frames of some fields: arrays, of sparse fields masked ones."""
    with opened(path) as file:
        walk = file[f"runs/{run}/trajectories/{traj}"]
        return {
            name: _rows(
                _field(walk, _path_of(name, rep), path),
                path,
                frames,
                atoms if per_atom(name, rep) else None,
            )
            for name in fields
        }


def _rows(field: Any, path: str, frames: Any, atoms: Any) -> Any:
    if not hasattr(field, "keys"):
        return rows_of(field, path, frames, atoms)
    there = field[_INDICES][:]
    at = np.searchsorted(there, frames)
    has = at < len(there)
    has[has] = there[at[has]] == frames[has]
    values = rows_of(field[_DATA], path, at[has], atoms)
    nothing = np.nan if values.dtype.kind in "fc" else 0
    filled = np.full((len(frames), *values.shape[1:]), nothing, values.dtype)
    filled[has] = values
    mask = np.broadcast_to(~has.reshape(-1, *[1] * (filled.ndim - 1)), filled.shape)
    return np.ma.masked_array(filled, mask.copy())


def read_frames(path: str, run: int, traj: int, frames: Any, atoms: Any, rep: str | None) -> Arrays:
    """Return some frames, in mdtraj's units."""
    with opened(path) as file:
        walk = file[f"runs/{run}/trajectories/{traj}"]
        fields = {
            name: _rows(
                _field(walk, _path_of(name, rep), path), path, frames, atoms if name == "positions" else None
            )
            for name in _UNITS
            if name == "positions" or name in walk
        }
        found = arrays_of(fields, _units(file), path)
        boxes: Any = fields.get("box_vectors")
        if np.ma.is_masked(boxes):
            found.lengths[boxes.mask[:, 0, 0]] = found.angles[boxes.mask[:, 0, 0]] = 0
        return found


def arrays_of(fields: Mapping[str, Any], units: Mapping[str, str], path: str = "the frames") -> Arrays:
    """Return positions, times and box vectors in mdtraj's units; what a sparse field doesn't have is NaN.

    Parameters
    ----------
    fields : mapping of str to array
        Positions, and the others if they are there.
    units : mapping of str to str
        The unit of each, as far as it is known.
    path : str
        The file, for messages.
    """
    from mdtraj.utils import box_vectors_to_lengths_and_angles

    found = {}
    for name in _UNITS:
        if name in fields:
            values = np.ma.filled(fields[name], np.nan)
            out = np.empty(values.shape, np.float32 if name == "positions" else np.float64)
            by = factor(units.get(name), _UNITS[name], name, path)
            found[name] = np.multiply(values, by, out=out, casting="same_kind")
    xyz = found["positions"]
    time = found["time"].reshape(len(xyz)) if "time" in found else None
    if "box_vectors" not in found:
        return Arrays(xyz, time, None, None)
    of = box_vectors_to_lengths_and_angles(*(found["box_vectors"][:, k] for k in range(3)))
    return Arrays(xyz, time, np.stack(of[:3], axis=1), np.stack(of[3:], axis=1))
