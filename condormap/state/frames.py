"""A frame of an outcome file in memory: the values, pickles and times of its items."""

from __future__ import annotations

import itertools
import pickle
import sys
from array import array
from collections.abc import Sequence
from typing import Any

from ..in_job.packed import Packed
from ..in_job.payload import COLUMNS, DamagedError, read_data, read_frame


class LoadedFrame:
    """A frame of items in memory: its columns, and its data as it lies in the file."""

    def __init__(self, path: str, start: int) -> None:
        with open(path, "rb") as file:
            frame = read_frame(file, start)
        if frame is None:
            raise DamagedError(f"{path} ends before byte {start}")
        self.data = read_data(path, frame)
        header = frame.header
        self.size = frame.data_stop - frame.data_start - header.get("state", 0)
        self.runs: list[tuple[int, int]] = header["runs"]
        self.shared: bool = header.get("shared", False)
        self.preflight: bool = header.get("preflight", False)
        self.states: str = header["states"]
        self.column: str | None = header.get("column")
        sizes = header.get("sizes", self.size)
        if sizes == 0:
            self.ends: Sequence[int] = [0] * (len(self.states) + 1)
        elif isinstance(sizes, int):
            self.ends = range(0, self.size + 1, sizes)
        else:
            self.ends = [0, *itertools.accumulate(sizes)]
        us = header.get("us", 0)
        self.microseconds: list[int] = (
            us if isinstance(us, list) else [us // len(self.states)] * len(self.states)
        )

    def position(self, item: int) -> int:
        """Return where the item is in the columns."""
        if self.shared:
            return 0
        before = 0
        for first, stop in self.runs:
            if first <= item < stop:
                return before + item - first
            before += stop - first
        raise KeyError(item)

    def pickle(self, item: int) -> bytes:
        """Return the bytes of an item that has a pickle of its own."""
        assert isinstance(self.data, bytes)
        position = self.position(item)
        return self.data[self.ends[position] : self.ends[position + 1]]

    def values(self, first: int, stop: int) -> list[Any]:
        """Return the values at these positions; raises whatever unpickling them does."""
        if isinstance(self.data, Packed):
            return [self.data.load()]
        if self.column is not None:
            return _numbers(self.column, self.data, first, stop)
        ends = self.ends[first : stop + 1]
        # Copying a small pickle costs less than a view of it.
        source = memoryview(self.data) if ends[-1] - ends[0] > (stop - first) * 4096 else self.data
        return [pickle.loads(source[begin:end]) for begin, end in itertools.pairwise(ends)]


def _numbers(column: str, data: bytes, first: int, stop: int) -> list[Any]:
    """Return numbers of a column as what the function returned: Python's or numpy's."""
    numbers = array(COLUMNS[column])
    numbers.frombytes(data[8 * first : 8 * stop])
    if sys.byteorder == "big":
        numbers.byteswap()
    if column in ("int", "float"):
        return numbers.tolist()
    import numpy

    return list(numpy.array(numbers).astype(column.removeprefix("numpy.")))
