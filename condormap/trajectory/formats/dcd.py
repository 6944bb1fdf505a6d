"""DCD files (CHARMM, NAMD, OpenMM): frames of one size, each three blocks of floats, after their unit cell.

Written by Fortran: each block stands between two copies of its size in bytes. The units are Angstrom and degrees.
There is no time, so a frame's time is its number, as in mdtraj.
"""

from __future__ import annotations

import os
from typing import Any, BinaryIO

import numpy as np

from ...errors import TrajectoryDamagedError, TrajectoryInputError
from . import Arrays, First, Info
from .records import Layout, read_records

_N_FRAMES_AT = 8  # in the header
_ANGSTROM = np.float32(0.1)  # nm


def describe(path: str, first: First) -> Info:
    """Return what a file has."""
    with open(path, "rb") as file:
        layout = read_layout(file, path)
        has_cells = False
        if layout.n_frames:
            records = _read(file, path, layout, np.array([first(layout.n_frames)]))
            has_cells = "cell" in layout.record.names and bool(np.any(_cells(records)[0]))
    return Info(layout.n_frames, layout.n_atoms, has_cells)


def read(path: str, frames: Any, offsets: Any, atoms: Any) -> Arrays:
    """Return some frames of a file."""
    with open(path, "rb") as file:
        layout = read_layout(file, path)
        n_atoms = layout.n_atoms if atoms is None else len(atoms)
        xyz = np.empty((len(frames), n_atoms, 3), np.float32)
        cells = np.empty((2, len(frames), 3), np.float32) if "cell" in layout.record.names else None
        step = max(1, (16 << 20) // layout.record.itemsize)  # a few MB at once beside the result
        for begin in range(0, len(frames), step):
            part = slice(begin, begin + step)
            records = _read(file, path, layout, frames[part])
            for k, axis in enumerate("xyz"):
                xyz[part, :, k] = records[axis] if atoms is None else records[axis][:, atoms]
            if cells is not None:
                cells[:, part] = _cells(records)
    xyz *= _ANGSTROM
    return Arrays(xyz, None, *((None, None) if cells is None else cells))


def cut(path: str, frames: Any, offsets: Any, most: int | None) -> tuple[Any, None] | None:
    """Return the bytes of a file of just some frames; None where they are more than `most`."""
    with open(path, "rb") as file:
        layout = read_layout(file, path)
        if most is not None and len(frames) * layout.record.itemsize > most:
            return None
        file.seek(0)
        head = np.frombuffer(file.read(layout.start), np.uint8).copy()
        head[_N_FRAMES_AT : _N_FRAMES_AT + 4].view(layout.record["x_size"])[0] = len(frames)
        records = _read(file, path, layout, frames)
    return np.concatenate([head, records.view(np.uint8)]), None


def _read(file: BinaryIO, path: str, layout: Layout, frames: Any) -> Any:
    """Return some frames, whose blocks are seen to stand between two copies of their size.

    Raises
    ------
    TrajectoryDamagedError
        Those of one do not, so what is there is no frame; or the file ends before it.
    """
    records = read_records(file, path, layout.start, layout.record, frames)
    wrong = np.zeros(len(records), bool)
    for axis in layout.record.names[1::3]:
        size = layout.record[axis].itemsize
        wrong |= (records[f"{axis}_size"] != size) | (records[f"{axis}_end"] != size)
    if wrong.any():
        frame = int(frames[wrong.argmax()])
        raise TrajectoryDamagedError(
            f"{path}: frame {frame} is damaged: its numbers do not stand between two copies of their size in "
            "bytes, as Fortran writes them. Leave such frames out (frames=), or write the file anew",
            path=path,
            frame=frame,
        )
    return records


def _cells(records: Any) -> tuple[Any, Any]:
    """Return lengths in nm and angles in degrees, of the six numbers A, gamma, B, beta, alpha, C.

    CHARMM writes cosines of the angles, NAMD since 2.5 too; others write degrees.
    """
    cell = records["cell"].astype(np.float64)
    lengths, angles = cell[:, [0, 2, 5]], cell[:, [4, 3, 1]]
    cosines = np.all(np.abs(angles) <= 1, axis=1)
    angles[cosines] = 90.0 - np.arcsin(angles[cosines]) * 90.0 / (np.pi / 2)
    return lengths.astype(np.float32) * _ANGSTROM, angles.astype(np.float32)


def read_layout(file: BinaryIO, path: str) -> Layout:
    """Return the layout of an open file, of its header.

    Raises
    ------
    TrajectoryDamagedError
        It is no DCD file, or ends too soon.
    TrajectoryInputError
        Its frames are not all of one size.
    """
    file.seek(0, os.SEEK_END)
    size = file.tell()
    file.seek(0)
    head = file.read(92)
    order = next((order for order in "<>" if head[:4] == np.array(84, f"{order}i4").tobytes()), None)
    if len(head) < 92 or order is None or head[4:8] != b"CORD":
        raise TrajectoryDamagedError(
            f"{path}: {'the file is empty' if not size else 'this is no DCD file'}", path=path
        )
    control = np.frombuffer(head, f"{order}i4", 20, 8)
    n_fixed, has_cell, has_w, version = control[8], control[10], control[11], control[19]
    is_charmm = version != 0
    if n_fixed or (is_charmm and has_w):
        what = "fixed atoms" if n_fixed else "a fourth dimension"
        raise TrajectoryInputError(
            f"{path} has {what}, so that its frames can't be read one by one. Write it anew without (catdcd, "
            "mdtraj's mdconvert)",
            path=path,
        )
    integer = np.dtype(f"{order}i4")
    at = 92
    blocks = []
    for _ in range(2):  # the title, the number of atoms
        file.seek(at)
        n_bytes = int.from_bytes(file.read(4), "little" if order == "<" else "big")
        blocks.append(file.read(min(n_bytes, 1 << 20)))
        at += n_bytes + 8
    if len(blocks[1]) != 4 or at > size:
        raise TrajectoryDamagedError(f"{path}: the header is cut off or damaged", path=path)
    n_atoms = int(np.frombuffer(blocks[1], integer)[0])
    fields: list[Any] = []
    if is_charmm and has_cell:
        fields += [("cell_size", integer), ("cell", f"{order}f8", 6), ("cell_end", integer)]
    for axis in "xyz":
        fields += [(f"{axis}_size", integer), (axis, f"{order}f4", n_atoms), (f"{axis}_end", integer)]
    record = np.dtype(fields)
    n_frames, rest = divmod(size - at, record.itemsize)
    if rest:
        raise TrajectoryDamagedError(
            f"{path} ends in the middle of frame {n_frames} ({rest} of {record.itemsize} bytes): it is still "
            "being written, or was cut off. Nothing was submitted",
            path=path,
            frame=n_frames,
        )
    return Layout(at, n_frames, n_atoms, record)
