"""XTC files (GROMACS): compressed coordinates."""

from __future__ import annotations

import struct
from typing import Any

from . import Arrays, First, Info, xdr
from .xdr import Head

_HEAD = struct.Struct(">iiif36si")  # magic, atoms, step, time, box, atoms
_COMPRESSED = struct.Struct(">6iii")  # limits of the coordinates, an index, the size of what is compressed
_COMPRESSED_AT = _HEAD.size + 4  # after the precision
_INDICES = range(9, 73)  # of the table by which numbers are packed; mdtraj crashes on others
HEAD_SIZE = _COMPRESSED_AT + _COMPRESSED.size
_MAGIC = 1995
_FEW = 9  # atoms, or less, are not compressed
_NO_BOX = bytes(36)


def describe(path: str, first: First) -> Info:
    """Return what a file has."""
    return xdr.describe(path, parse, HEAD_SIZE)


def read(path: str, frames: Any, offsets: Any, atoms: Any) -> Arrays:
    """Return some frames of a file."""
    from mdtraj.formats import XTCTrajectoryFile

    with xdr.name_for_mdtraj(path) as name, XTCTrajectoryFile(name) as file:
        return xdr.read(file, frames, offsets, atoms)


def cut(path: str, frames: Any, offsets: Any, most: int | None) -> tuple[Any, Any] | None:
    """Return the bytes of a file of just some frames, and where they begin; None for more bytes than `most`."""
    return xdr.cut(path, offsets, parse, HEAD_SIZE, most)


def parse(data: bytes, at: int) -> Head | None:
    """Return the header of the frame that begins there."""
    if len(data) < at + _HEAD.size:
        return None
    magic, n_atoms, _, _, box, again = _HEAD.unpack_from(data, at)
    if magic != _MAGIC or n_atoms != again or n_atoms < 0:
        return None
    if n_atoms <= _FEW:
        return Head(n_atoms, _HEAD.size + 12 * n_atoms, box != _NO_BOX)
    if len(data) < at + HEAD_SIZE:
        return None
    x, y, z, most_x, most_y, most_z, index, n_bytes = _COMPRESSED.unpack_from(data, at + _COMPRESSED_AT)
    if n_bytes <= 0 or index not in _INDICES or most_x < x or most_y < y or most_z < z:
        return None
    return Head(n_atoms, HEAD_SIZE + (n_bytes + 3) // 4 * 4, box != _NO_BOX)
