"""The rows of all results in one HDF5 dataset, each written at its place as it arrives."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from .hdf5_file import HDF5Writer
from .numbers import as_array

_State = list[tuple[int, Any]]


class HDF5Rows(NamedTuple):
    """Where the rows are.

    Attributes
    ----------
    path : str
        The file.
    dataset : str
        The dataset in it.
    shape : tuple of int
        Its shape; empty where no row was written.
    """

    path: str
    dataset: str
    shape: tuple[int, ...]


class StackHDF5(HDF5Writer):
    """An HDF5 dataset of all results; the value is an `HDF5Rows`.

    While it grows, others can read it with ``h5py.File(path, swmr=True)`` (and ``dataset.refresh()``). The rows of
    items that have no result (yet) are NaN, or 0 where the numbers are no floats.

    Parameters
    ----------
    path : path
        The file, which must not be there yet.
    dataset : str
        The name of the dataset.
    rows : None, int or sequence of int
        None: result i is row i, as in ``numpy.stack``. A number k: result i has k rows or fewer, which begin at
        row k * i. A sequence: result i has ``rows[i]`` rows, as in ``numpy.concatenate``.
    compression, compression_opts
        As for ``h5py.Group.create_dataset``.
    chunk_rows : int or None
        How many rows a chunk of the dataset has; by default as many as make 256 KB.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        dataset: str = "data",
        *,
        rows: int | Sequence[int] | None = None,
        compression: str | None = "gzip",
        compression_opts: Any = None,
        chunk_rows: int | None = None,
    ) -> None:
        super().__init__(
            path, compression=compression, compression_opts=compression_opts, chunk_rows=chunk_rows
        )
        self.dataset = dataset
        self.starts: range | list[int] | None = None  # of each item's rows, for a sequence
        self.step = 1  # rows from one item to the next, otherwise
        self.is_row = rows is None
        if isinstance(rows, int):
            self.step = rows
        elif rows is not None:
            self.starts = [0, *itertools.accumulate(map(int, rows))]

    def add(self, state: _State, index: int, value: Any) -> _State:
        """Return the state with one more result; a ValueError where it has not the rows that it should."""
        array = as_array(value)
        array = array[None] if self.is_row else array
        first, stop = self._place(index)
        n = len(array) if array.ndim else -1
        if n < 0 or n > stop - first or (self.starts is not None and n != stop - first):
            raise ValueError(
                f"result {index} has the shape {array.shape}, and its place has {stop - first} rows"
            )
        return super().add(state, first, array)

    def _place(self, index: int) -> tuple[int, int]:
        if self.starts is not None:
            if index + 1 >= len(self.starts):
                raise ValueError(
                    f"rows= has the numbers of {len(self.starts) - 1} results, and this is one more"
                )
            return self.starts[index], self.starts[index + 1]
        return index * self.step, (index + 1) * self.step

    def merge(self, a: _State, b: _State) -> _State:
        """Write the rows of both; return the state without them."""
        rows = sorted([*a, *b], key=lambda pair: pair[0])
        if rows:
            with self.writing():
                for first, block in _blocks(rows):
                    self._write(first, block)
        return []

    def _write(self, first: int, block: Any) -> None:
        if self._file is None:
            self._create(lambda file: self._add_dataset(file, self.dataset, 0, block))
        data = self._file[self.dataset]
        if (block.dtype, block.shape[1:]) != (data.dtype, data.shape[1:]):
            raise ValueError(
                f"rows {first} to {first + len(block) - 1} are {block.dtype} of shape {block.shape[1:]}, and "
                f"those before are {data.dtype} of shape {data.shape[1:]}: they must be alike"
            )
        if first + len(block) > len(data):
            data.resize(first + len(block), axis=0)
        data[first : first + len(block)] = block

    def finish(self, state: _State) -> HDF5Rows:
        """Write what is not written yet; return where the rows are."""
        self.merge(list(state), [])
        if not os.path.exists(self.path):
            return HDF5Rows(self.path, self.dataset, ())
        with self.writing():
            return HDF5Rows(self.path, self.dataset, self._file[self.dataset].shape)


def _blocks(rows: _State) -> Iterator[tuple[int, Any]]:
    """Yield the rows that belong together as one array: its first row, the array."""
    import numpy as np

    block: list[Any] = []
    start = end = 0
    for first, array in rows:
        fits = (
            block and first == end and (array.dtype, array.shape[1:]) == (block[0].dtype, block[0].shape[1:])
        )
        if not fits:
            if block:
                yield start, np.concatenate(block)
            block, start = [], first
        block.append(array)
        end = first + len(array)
    if block:
        yield start, np.concatenate(block) if len(block) > 1 else block[0]
