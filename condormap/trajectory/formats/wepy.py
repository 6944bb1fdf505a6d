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
from typing import Any

import numpy as np

from ...errors import TrajectoryDamagedError, TrajectoryInputError
from . import Arrays
from .hdf5 import opened, rows_of
from .units import LENGTH, TIME, factor

_PER_ATOM = ("xyz", "positions", "velocities", "forces")
_INDICES, DATA = "_sparse_idxs", "data"
UNITS = {"positions": LENGTH, "box_vectors": LENGTH, "time": TIME}  # of what an mdtraj.Trajectory is made of


def per_atom(name: str, rep: str | None) -> bool:
    """Tell whether a choice of atoms is one of this field: of another representation, of its positions alone."""
    return name in (_PER_ATOM if rep is None else _PER_ATOM[:2])


def length(walk: Any, path: str) -> int:
    """Return how many frames a trajectory has: so many rows as the longest of the fields that each frame has.

    Raises
    ------
    TrajectoryDamagedError
        None of its fields tells.
    """
    names = [name for name in ("positions", "weights", "time", "box_vectors") if name in walk]
    lengths = [len(walk[name]) for name in names if not is_sparse(walk[name])]
    if lengths:
        return max(lengths)
    raise TrajectoryDamagedError(f"{path}: {walk.name} has no field with a row for each frame", path=path)


def is_sparse(field: Any) -> bool:
    """Tell whether a field is sparse."""
    return hasattr(field, "keys")


def frames_of(field: Any, path: str) -> Any:
    """Return the frames that a sparse field has, ascending: one for each row of its data.

    Raises
    ------
    TrajectoryDamagedError
        They are not, so that nobody can tell which row is that of which frame.
    """
    frames, n_rows = field[_INDICES][:], len(field[DATA])
    what, frame = "", None
    if len(frames) != n_rows:
        what = f"names {len(frames)} frames ({_INDICES}), and has data of {n_rows}: it was not written to its end"
        frame = int(frames[n_rows]) if n_rows < len(frames) else None
    elif len(out := np.flatnonzero(np.diff(frames) <= 0)):
        frame = int(frames[out[0] + 1])
        what = f"names frame {frame} ({_INDICES}) after frame {frames[out[0]]}: they must be ascending"
    if what:
        raise TrajectoryDamagedError(
            f"{path}: the sparse field {field.name} {what}. Write it anew, or leave it out (fields=, trajs=)",
            path=path,
            frame=frame,
        )
    return frames


def path_of(field: str, rep: str | None) -> str:
    """Return where a field is in the group of a trajectory."""
    return f"alt_reps/{rep}" if field == "positions" and rep is not None else field


def field_of(walk: Any, name: str, path: str) -> Any:
    """Return the dataset of a field, or the group of a sparse one.

    Raises
    ------
    TrajectoryInputError
        It isn't there, is a group of fields, or one value.
    """
    found = walk.get(name)
    if found is not None and ({_INDICES, DATA} <= set(found) if is_sparse(found) else found.shape):
        return found
    if found is not None and not is_sparse(found):
        what = "is one value, and has no row for each frame"
    elif found is not None:
        what = f"is a group of fields: {', '.join(f'{name}/{each}' for each in found)}"
    else:
        what = f"isn't there, but {', '.join(walk)}"
    raise TrajectoryInputError(f"{path}: the field {name!r} of {walk.name} {what}", path=path)


def units_of(file: Any) -> dict[str, str]:
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
                field_of(walk, path_of(name, rep), path),
                path,
                frames,
                atoms if per_atom(name, rep) else None,
            )
            for name in fields
        }


def _rows(field: Any, path: str, frames: Any, atoms: Any) -> Any:
    if not is_sparse(field):
        return rows_of(field, path, frames, atoms)
    there = frames_of(field, path)
    at = np.searchsorted(there, frames)
    has = at < len(there)
    has[has] = there[at[has]] == frames[has]
    values = rows_of(field[DATA], path, at[has], atoms)
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
                field_of(walk, path_of(name, rep), path), path, frames, atoms if name == "positions" else None
            )
            for name in UNITS
            if name == "positions" or name in walk
        }
        found = arrays_of(fields, units_of(file), path)
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
    for name in UNITS:
        if name in fields:
            values = np.ma.filled(fields[name], np.nan)
            out = np.empty(values.shape, np.float32 if name == "positions" else np.float64)
            by = factor(units.get(name), UNITS[name], name, path)
            found[name] = np.multiply(values, by, out=out, casting="same_kind")
    xyz = found["positions"]
    time = found["time"].reshape(len(xyz)) if "time" in found else None
    if "box_vectors" not in found:
        return Arrays(xyz, time, None, None)
    of = box_vectors_to_lengths_and_angles(*(found["box_vectors"][:, k] for k in range(3)))
    return Arrays(xyz, time, np.stack(of[:3], axis=1), np.stack(of[3:], axis=1))
