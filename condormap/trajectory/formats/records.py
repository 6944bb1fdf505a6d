"""Frames of one size, one after the other, as many formats have them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from ...errors import TrajectoryDamagedError

_GAP = 1 << 16  # bytes that are rather read and thrown away than sought over


def runs(numbers: Any, gap: int = 1) -> Iterator[tuple[int, int]]:
    """Yield slices of ascending numbers, each from one to the next by at most `gap`."""
    cuts = np.flatnonzero(np.diff(numbers) > gap) + 1
    bounds = [0, *cuts.tolist(), len(numbers)]
    yield from itertools.pairwise(bounds)


class Layout(NamedTuple):
    """How a file is laid out.

    Attributes
    ----------
    start : int
        The byte at which the first frame begins.
    n_frames, n_atoms : int
        How many.
    record : numpy.dtype
        A frame.
    """

    start: int
    n_frames: int
    n_atoms: int
    record: Any


def read_records(file: BinaryIO, path: str, start: int, record: Any, numbers: Any) -> Any:
    """Return some records of a file, as an array.

    Parameters
    ----------
    file : binary file
        Open.
    path : str
        Its name, for messages.
    start : int
        Where record 0 begins.
    record : numpy.dtype
        What a record is.
    numbers : array of int
        Which; ascending.

    Raises
    ------
    TrajectoryDamagedError
        The file ends before one.
    """
    found = np.empty(len(numbers), record)
    gap = max(1, _GAP // record.itemsize)
    for begin, stop in runs(numbers, gap):
        first, n = int(numbers[begin]), int(numbers[stop - 1] - numbers[begin]) + 1
        file.seek(start + first * record.itemsize)
        whole = n == stop - begin
        into = found[begin:stop] if whole else np.empty(n, record)
        got = file.readinto(into.view(np.uint8))  # type: ignore[attr-defined]
        if got < n * record.itemsize:
            frame = first + got // record.itemsize
            raise TrajectoryDamagedError(
                f"{path} ends in the middle of frame {frame}", path=path, frame=frame
            )
        if not whole:
            found[begin:stop] = into[numbers[begin:stop] - first]
    return found
