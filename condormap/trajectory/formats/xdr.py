"""What XTC and TRR files of GROMACS have in common: frames of any size, each with a header that tells it.

Where each frame begins is found once, where the data are described, by reading the headers; and kept (`offsets`).
"""

from __future__ import annotations

import contextlib
import os
from array import array
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from ...errors import TrajectoryDamagedError
from . import Arrays, Info
from .offsets import Table, kept_or_found
from .records import runs


class Head(NamedTuple):
    """What the header of a frame says.

    Attributes
    ----------
    n_atoms : int
        How many atoms it has.
    size : int
        The bytes of the frame.
    has_cell, has_xyz : bool
        Whether it has a unit cell, and coordinates.
    """

    n_atoms: int
    size: int
    has_cell: bool
    has_xyz: bool = True


#: Of bytes, and where among them a frame begins, its header; None where none does.
Parser = Callable[[bytes, int], "Head | None"]

_NEAR = 1 << 14  # bytes from one header to the next, below which what is between them is read too
_BLOCK = 1 << 18  # bytes that are then read at once


def describe(path: str, parse: Parser, head_size: int) -> Info:
    """Return what a file has.

    Parameters
    ----------
    path : str
        The file.
    parse : callable
        Reads the header of a frame.
    head_size : int
        The bytes of one, at most.
    """
    table = kept_or_found(path, lambda: _scan(path, parse, head_size))
    flags = table.flags
    return Info(
        len(table.offsets),
        table.n_atoms,
        bool(np.any(flags & 1)),
        table.offsets,
        no_cells=np.flatnonzero(~flags & 1),
        no_xyz=np.flatnonzero(~flags & 2),
    )


def _scan(path: str, parse: Parser, head_size: int) -> Table:
    """Return where each frame begins and what it has, of the headers."""
    offsets = array("q")
    flags = bytearray()
    n_atoms = at = size = begin = 0
    block = b""
    with open(path, "rb", buffering=0) as file:
        fd, end = file.fileno(), os.fstat(file.fileno()).st_size
        while at < end:
            if at + head_size > begin + len(block):
                begin, block = at, os.pread(fd, _BLOCK if offsets and size < _NEAR else head_size, at)
            head = parse(block, at - begin)
            frame = len(offsets)
            if head is None:
                raise _damaged(path, frame, at, end, head_size)
            if at + head.size > end:
                raise _damaged(path, frame, at, end, head.size)
            if frame and head.n_atoms != n_atoms:
                raise TrajectoryDamagedError(
                    f"{path}: frame {frame} has {head.n_atoms} atoms, and those before have {n_atoms}",
                    path=path,
                    frame=frame,
                )
            n_atoms = head.n_atoms
            offsets.append(at)
            flags.append(head.has_cell | head.has_xyz << 1)
            size = head.size
            at += size
    return Table(n_atoms, np.array(offsets, np.int64), np.frombuffer(bytes(flags), np.uint8))


def _damaged(path: str, frame: int, at: int, end: int, size: int) -> TrajectoryDamagedError:
    if end - at < size:
        what = (
            f"{path} ends in the middle of frame {frame} (byte {end}): it is still being written, or was cut off. "
            f"The frames before are whole: mdtraj's mdconvert or gmx trjconv saves them"
        )
    else:
        what = f"{path}: no frame {frame} begins at byte {at}: the file is damaged, or of another format"
    return TrajectoryDamagedError(what, path=path, frame=frame)


@contextlib.contextmanager
def name_for_mdtraj(path: str) -> Iterator[str]:
    """Yield a name by which mdtraj, whose own must be ASCII, can open a file."""
    if path.isascii():
        yield path
        return
    with open(path, "rb") as file:
        yield f"/proc/self/fd/{file.fileno()}"


def read(opened: Any, frames: Any, offsets: Any, atoms: Any) -> Arrays:
    """Return some frames.

    Parameters
    ----------
    opened : XTCTrajectoryFile or TRRTrajectoryFile
        Of mdtraj's.
    frames, atoms
        As for `Format.read`.
    offsets : array of int
        Where these frames begin.

    Raises
    ------
    OSError
        What is there is no frame.
    """
    opened.offsets = offsets
    parts = []
    for begin, stop in runs(frames):
        opened.seek(begin)
        try:
            xyz, time, _, box, *_ = opened.read(stop - begin, atom_indices=atoms)
        except RuntimeError as error:
            raise OSError(str(error)) from error
        if len(xyz) < stop - begin:
            raise OSError(f"frame {frames[begin + len(xyz)]} is not whole")
        parts.append((xyz, time, np.zeros((len(xyz), 3, 3), np.float32) if box is None else box))
    xyz, time, box = parts[0] if len(parts) == 1 else map(np.concatenate, zip(*parts, strict=True))
    return Arrays(xyz, time, *_cells(box))


def cut(path: str, offsets: Any, parse: Parser, head_size: int, most: int | None) -> tuple[Any, Any] | None:
    """Return the bytes of the frames that begin there, and where each begins in these; None where it is more."""
    with open(path, "rb", buffering=0) as file:
        fd = file.fileno()
        heads = [parse(os.pread(fd, head_size, at), 0) for at in offsets.tolist()]
        sizes = np.array([0 if head is None else head.size for head in heads], np.int64)
        total = int(sizes.sum())
        if most is not None and total > most:
            return None
        found, starts = np.empty(total, np.uint8), np.cumsum(sizes) - sizes
        for at, start, size in zip(offsets.tolist(), starts.tolist(), sizes.tolist(), strict=True):
            file.seek(at)
            if not size or file.readinto(found[start : start + size].data) < size:
                raise TrajectoryDamagedError(
                    f"{path}: no frame is at byte {at}, where one was before", path=path
                )
    return found, starts


def _cells(box: Any) -> tuple[Any, Any]:
    """Return the lengths and angles of unit cells given as vectors; zeros where there is none."""
    from mdtraj.utils import box_vectors_to_lengths_and_angles

    there = np.any(box, axis=(1, 2))
    lengths, angles = np.zeros((2, len(box), 3), np.float32)
    if there.any():
        of = box_vectors_to_lengths_and_angles(*(box[there, k] for k in range(3)))
        lengths[there], angles[there] = np.stack(of[:3], axis=1), np.stack(of[3:], axis=1)
    return lengths, angles
