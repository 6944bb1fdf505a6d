"""HDF5 files of mdtraj's: coordinates, times and unit cells as datasets, the topology in JSON."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from ...errors import TrajectoryDamagedError, TrajectoryInputError
from ..topology import StoredTopology
from . import Arrays, First, Info
from .records import runs
from .units import ANGLE, LENGTH, TIME, factor

_PIECE = 16 << 20  # bytes that are read at once beside the result
_GAP = 8  # frames: reading over a gap is faster than HDF5's selection of frames that lie apart
_UNITS = {"coordinates": LENGTH, "time": TIME, "cell_lengths": LENGTH, "cell_angles": ANGLE}


@contextlib.contextmanager
def opened(path: str) -> Iterator[Any]:
    """Open an HDF5 file for reading.

    Raises
    ------
    TrajectoryDamagedError
        It is none, or cut off.
    OSError
        It may not be read.
    """
    import h5py

    try:
        try:
            file = h5py.File(path, "r", locking=False)  # many jobs read it, and nobody writes
        except OSError as error:
            if "locking flag" not in str(error):
                raise
            file = h5py.File(path, "r")  # this process has it open already, and all must agree on locks
        if file.mode != "r":
            file.close()
            raise OSError("this process has it open for writing")
    except (PermissionError, IsADirectoryError):
        raise
    except OSError as error:
        raise TrajectoryDamagedError(
            f"{path} is no HDF5 file, is still open for writing, or was cut off: {error}", path=path
        ) from error
    with file:
        yield file


def rows_of(dataset: Any, path: str, rows: Any, columns: Any = None) -> Any:
    """Return some rows of a dataset, and of these some columns: blocks are read, and of them is chosen.

    Parameters
    ----------
    dataset : h5py.Dataset
        At least of one dimension.
    path : str
        Its file, for messages.
    rows, columns : array of int
        Which, ascending; None for all columns.

    Raises
    ------
    TrajectoryDamagedError
        A row can't be read.
    """
    shape = (len(rows), *dataset.shape[1:])
    found = np.empty(shape if columns is None else (shape[0], len(columns), *shape[2:]), dataset.dtype)
    most = max(1, _PIECE // max(1, int(np.prod(shape[1:], dtype=np.int64)) * dataset.dtype.itemsize))
    for begin, stop in runs(rows, min(_GAP, most)):
        at = begin
        while at < stop:
            first = int(rows[at])
            end = min(stop, int(np.searchsorted(rows, first + most)))
            try:
                block = dataset[first : int(rows[end - 1]) + 1]
            except (OSError, ValueError) as error:
                raise TrajectoryDamagedError(
                    f"{path}: {dataset.name} can't be read from frame {first} on: {error}",
                    path=path,
                    frame=first,
                ) from error
            if first + len(block) <= rows[end - 1]:
                raise TrajectoryDamagedError(
                    f"{path}: {dataset.name} has {len(dataset)} rows, and none of frame {first + len(block)}",
                    path=path,
                    frame=first + len(block),
                )
            block = block[rows[at:end] - first] if len(block) > end - at else block
            found[at:end] = block if columns is None else block[:, columns]
            at = end
    return found


def describe(path: str, first: First) -> Info:
    """Return what a file has."""
    with opened(path) as file:
        if "coordinates" not in file:
            of_wepy = "runs" in file and "_settings" in file
            raise TrajectoryInputError(
                f"{path} has no coordinates, so it is no HDF5 file of mdtraj's"
                + (": it is one of wepy's, for which there is WepyH5" if of_wepy else ""),
                path=path,
            )
        n_frames, n_atoms = file["coordinates"].shape[:2]
        for name in ("time", "cell_lengths", "cell_angles"):
            if name in file and len(file[name]) != n_frames:
                raise TrajectoryDamagedError(
                    f"{path} has {n_frames} frames of coordinates, and {len(file[name])} of {name}: it was not "
                    "written to its end",
                    path=path,
                    frame=min(n_frames, len(file[name])),
                )
        for name in _UNITS:
            if name in file:
                _factor(file[name], path)
        has_cells = {"cell_lengths", "cell_angles"} <= set(file)
        no_cells = np.flatnonzero(~np.any(file["cell_lengths"][:], axis=1)) if has_cells else ()
        topology = StoredTopology(file["topology"][0], path) if "topology" in file else None
    return Info(n_frames, n_atoms, has_cells, topology=topology, no_cells=no_cells)


def read(path: str, frames: Any, offsets: Any, atoms: Any) -> Arrays:
    """Return some frames of a file."""
    found = {}
    with opened(path) as file:
        for name in _UNITS:
            if name in file:
                rows = rows_of(file[name], path, frames, atoms if name == "coordinates" else None)
                by = _factor(file[name], path)
                found[name] = rows if by == 1 else rows * by
    return Arrays(
        found["coordinates"], found.get("time"), found.get("cell_lengths"), found.get("cell_angles")
    )


def _factor(dataset: Any, path: str) -> float:
    name = dataset.name[1:]
    return factor(dataset.attrs.get("units"), _UNITS[name], name, path)
