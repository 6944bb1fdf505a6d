"""TRR files (GROMACS): coordinates, and perhaps velocities and forces, at single or double precision."""

from __future__ import annotations

import struct
from typing import Any

from . import Arrays, First, Info, xdr
from .xdr import Head

# Magic, length of a name (twice), the name; the sizes of box, coordinates... in bytes; atoms, step, two more.
_HEAD = struct.Struct(">iii12s13i")
_MAGIC = 1993
_NAME = b"GMX_trn_file"
_LONGEST_BOX = 72
HEAD_SIZE = _HEAD.size + 2 * 8 + _LONGEST_BOX  # time and lambda, and the box


def describe(path: str, first: First) -> Info:
    """Return what a file has."""
    return xdr.describe(path, parse, HEAD_SIZE)


def read(path: str, frames: Any, offsets: Any, atoms: Any) -> Arrays:
    """Return some frames of a file."""
    from mdtraj.formats import TRRTrajectoryFile

    with xdr.name_for_mdtraj(path) as name, TRRTrajectoryFile(name) as file:
        return xdr.read(file, frames, offsets, atoms)


def cut(path: str, frames: Any, offsets: Any, most: int | None) -> tuple[Any, Any] | None:
    """Return the bytes of a file of just some frames, and where they begin; None for more bytes than `most`."""
    return xdr.cut(path, offsets, parse, HEAD_SIZE, most)


def parse(data: bytes, at: int) -> Head | None:
    """Return the header of the frame that begins there."""
    if len(data) < at + _HEAD.size:
        return None
    magic, _, _, name, *sizes, n_atoms, _, _ = _HEAD.unpack_from(data, at)
    if magic != _MAGIC or name != _NAME or min(sizes) < 0:
        return None
    n_box, n_xyz, n_velocities, n_forces = sizes[2], *sizes[7:10]
    n_vectors = max(n_xyz, n_velocities, n_forces)
    real = n_box // 9 if n_box else n_vectors // (3 * n_atoms) if n_atoms > 0 else 0
    if real not in (4, 8):
        return None
    box_at = at + _HEAD.size + 2 * real + sizes[0] + sizes[1]
    has_cell = n_box > 0 and any(data[box_at : box_at + n_box])
    return Head(n_atoms, _HEAD.size + 2 * real + sum(sizes), has_cell, n_xyz > 0)
