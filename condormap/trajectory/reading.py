"""Chunks read, in the job: the only module that a job needs beside that of the format."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import InvalidInputError, TrajectoryChangedError, TrajectoryDamagedError
from .chunk import Chunk
from .formats import format_of, wepy
from .formats.wepy import per_atom
from .topology import SmallTopology


def read(chunk: Chunk, topology: Any) -> Any:
    """Return the frames of a chunk.

    Parameters
    ----------
    chunk : Chunk
        One of ``.chunks()`` of a description.
    topology : mdtraj.Topology or None
        The ``.topology`` of the same description.

    Returns
    -------
    mdtraj.Trajectory or dict of str to array
        The frames, in the order of ``chunk.frames``; of a WepyHDF5 file a dict of its fields. They are the
        caller's, nothing else refers to them; but the topology is that of all chunks.

    Raises
    ------
    TrajectoryChangedError
        The file is another one than when it was described, or gone.
    TrajectoryDamagedError
        It can't be read there.
    """
    rows, rows_back = each_once(chunk.frames if chunk.data is None else chunk.data.positions)
    atoms, atoms_back = (None, None) if chunk.atoms is None else each_once(chunk.atoms)
    found = from_file(chunk, rows, atoms) if chunk.data is None else chunk.data.read(rows, atoms)
    arrays = {
        name: _arranged(values, rows_back, atoms_back if per_atom(name, chunk.rep) else None)
        for name, values in found.items()
    }
    if chunk.fields:
        return arrays
    import mdtraj

    _check_cells(chunk, arrays["lengths"])
    return mdtraj.Trajectory(
        arrays["xyz"],
        topology,
        time=chunk.frames.array.astype(np.float32) if arrays["time"] is None else arrays["time"],
        unitcell_lengths=arrays["lengths"] if chunk.has_cells else None,
        unitcell_angles=arrays["angles"] if chunk.has_cells else None,
    )


class Reader:
    """``read(chunk)``, with the topology, which travels compressed: to be referred to by a map's function.

    Parameters
    ----------
    topology : SmallTopology
        That of the description.
    units : mapping of str to str
        The units of a WepyHDF5 file's fields.
    """

    def __init__(self, topology: SmallTopology, units: Mapping[str, str] | None = None) -> None:
        self._topology = topology
        self._units = dict(units or {})

    @property
    def topology(self) -> Any:
        """The topology of the frames."""
        return self._topology.topology

    def __call__(self, chunk: Chunk) -> Any:
        """Return the frames of a chunk, as `read` does."""
        return read(chunk, self.topology)

    def to_mdtraj(self, fields: Mapping[str, Any]) -> Any:
        """Return fields of a WepyHDF5 file as an `mdtraj.Trajectory`, in its units.

        Parameters
        ----------
        fields : mapping of str to array
            What reading a chunk gave: positions, and box_vectors and time if they are there.
        """
        import mdtraj

        if "positions" not in fields:
            raise InvalidInputError(
                f"the fields are {', '.join(fields) or 'none'}: an mdtraj.Trajectory needs the positions too"
            )
        xyz, time, lengths, angles = wepy.arrays_of(fields, self._units)
        return mdtraj.Trajectory(xyz, self.topology, time, lengths, angles)


def each_once(numbers: Any) -> tuple[Any, Any]:
    """Return the numbers ascending, each once, and where each of the given ones is among them (None: as given)."""
    if numbers.is_ascending:
        return numbers.array, None
    return np.unique(numbers.array, return_inverse=True)


def _arranged(values: Any, rows: Any, atoms: Any) -> Any:
    """Return rows and atoms in the order in which they were asked for."""
    if values is None:
        return None
    if rows is not None:
        values = values.take(rows, axis=0)
    return values if atoms is None else values.take(atoms, axis=1)  # in C's order: mdtraj copies any other


def from_file(chunk: Chunk, rows: Any, atoms: Any) -> dict[str, Any]:
    """Return arrays of the frames of a chunk: rows and atoms are ascending, each but once."""
    check_unchanged(chunk)
    try:
        if chunk.fields:
            return wepy.read_fields(chunk.path, chunk.run, chunk.traj, chunk.fields, rows, atoms, chunk.rep)
        if chunk.format == "wepy":
            return wepy.read_frames(chunk.path, chunk.run, chunk.traj, rows, atoms, chunk.rep)._asdict()
        offsets = None if chunk.offsets is None else np.unique(chunk.offsets.array)
        return format_of(chunk.format).read(chunk.path, rows, offsets, atoms)._asdict()
    except OSError as error:
        raise TrajectoryDamagedError(
            f"{chunk.path}: frames {rows[0]} to {rows[-1]} can't be read: {error}",
            path=chunk.path,
            frame=int(rows[0]),
        ) from error


def check_unchanged(chunk: Any) -> None:
    """Raise TrajectoryChangedError where the file of a chunk (or source) is not what it was when described."""
    first = f"{chunk.path}: before frame {chunk.frames[0]} was read, the file"
    try:
        now = os.stat(chunk.path)
    except OSError as error:
        raise TrajectoryChangedError(
            f"{first} was removed, or can't be seen from here ({error.strerror}). Where jobs don't see the file, "
            "condormap sends its frames along with transfer='always', and elsewhere chunk.with_data() does",
            path=chunk.path,
            frame=chunk.frames[0],
        ) from error
    if (now.st_size, now.st_mtime_ns) != (chunk.size, chunk.mtime_ns):
        what = (
            "was replaced" if now.st_size == chunk.size else f"went from {chunk.size} to {now.st_size} bytes"
        )
        raise TrajectoryChangedError(
            f"{first} {what}, so its frames are no longer those that were described. Describe it again, when it "
            "no longer changes",
            path=chunk.path,
            frame=chunk.frames[0],
        )


def _check_cells(chunk: Chunk, lengths: Any) -> None:
    """Refuse frames without a unit cell where others have one."""
    if chunk.has_cells is None or lengths is None:
        return
    others = np.flatnonzero(np.any(lengths, axis=1) != chunk.has_cells)
    if len(others):
        frame = chunk.frames[int(others[0])]
        what = (
            "has no unit cell, and others have"
            if chunk.has_cells
            else "has a unit cell, and others have none"
        )
        raise TrajectoryDamagedError(
            f"{chunk.path}: frame {frame} {what}. Say unitcell=False to read them without",
            path=chunk.path,
            frame=frame,
        )
