"""The rows of all results in one HDF5 dataset, each written at its place as it arrives."""

from __future__ import annotations

import contextlib
import itertools
import os
import struct
import uuid
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from .basic import Collect

_State = list[tuple[int, Any]]

_CHUNK = 1 << 18  # bytes of a chunk of the dataset, where its shape is not given
_CACHE = 64 << 20  # bytes of chunks in memory: one that is written in parts is compressed once
_FORMAT = ("v110", "v110")  # the oldest that can be read while it is written
_NAME = "condormap"  # the attribute that tells whose dataset it is


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


class StackHDF5(Collect):
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

    writes = True

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
        import h5py  # here, for it is an extra; without it nothing should be submitted  # noqa: F401

        self.path = os.path.abspath(path)
        if os.path.exists(self.path):
            raise FileExistsError(f"{self.path} is there already: remove it, or give StackHDF5 another path")
        self.dataset = dataset
        self.starts: range | list[int] | None = None  # of each item's rows, for a sequence
        self.step = 1  # rows from one item to the next, otherwise
        self.is_row = rows is None
        if isinstance(rows, int):
            self.step = rows
        elif rows is not None:
            self.starts = [0, *itertools.accumulate(map(int, rows))]
        self.compression = compression
        self.compression_opts = compression_opts
        self.chunk_rows = chunk_rows
        self.id = uuid.uuid4().hex
        self._file: Any = None  # while it is open

    def add(self, state: _State, index: int, value: Any) -> _State:
        """Return the state with one more result; a ValueError where it has not the rows that it should."""
        import numpy as np

        array = np.asarray(value)
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

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Keep the file open while the block runs: for many merges, each of which else opens it."""
        if self._file is not None:
            yield
            return
        try:
            if os.path.exists(self.path):
                self._file = self._open()
            yield
        finally:
            file, self._file = self._file, None
            if file is not None:
                file.close()

    def flush(self) -> None:
        """Let those who read the file see what is written."""
        if self._file is not None:
            self._file.flush()

    def _open(self) -> Any:
        import h5py

        mend(self.path)
        # The map's own lock keeps other writers out, and readers must not.
        file = h5py.File(
            self.path, "r+", libver=_FORMAT, rdcc_nbytes=_CACHE, rdcc_nslots=10007, locking=False
        )
        try:
            if file.attrs.get(_NAME) != self.id:
                raise FileExistsError(
                    f"{self.path} is not this map's: remove it, or give StackHDF5 another path"
                )
            file.swmr_mode = True
        except BaseException:
            file.close()
            raise
        return file

    def _write(self, first: int, block: Any) -> None:
        import numpy as np

        if self._file is None:
            self._create(block)
            self._file = self._open()
        data = self._file[self.dataset]
        if block.shape[1:] != data.shape[1:] or not np.can_cast(block.dtype, data.dtype, "same_kind"):
            raise ValueError(
                f"rows {first} to {first + len(block) - 1} are {block.dtype} of shape {block.shape[1:]}, and "
                f"those before are {data.dtype} of shape {data.shape[1:]}"
            )
        if first + len(block) > len(data):
            data.resize(first + len(block), axis=0)
        data[first : first + len(block)] = block

    def _create(self, block: Any) -> None:
        """Make the file with an empty dataset, in one step for whoever looks for it."""
        import h5py

        row = block.shape[1:]
        size = max(1, block.dtype.itemsize * block[:1].size)
        temporary = f"{self.path}.{os.getpid()}.new"
        try:
            with h5py.File(temporary, "w", libver=_FORMAT) as file:
                file.attrs[_NAME] = self.id
                file.create_dataset(
                    self.dataset,
                    shape=(0, *row),
                    maxshape=(None, *row),
                    dtype=block.dtype,
                    chunks=(self.chunk_rows or max(1, _CHUNK // size), *(max(1, n) for n in row)),
                    compression=self.compression,
                    compression_opts=self.compression_opts,
                    fillvalue=float("nan") if block.dtype.kind == "f" else None,
                )
            os.rename(temporary, self.path)
        finally:
            with contextlib.suppress(OSError):
                os.unlink(temporary)

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


# ---- after a crash ----------------------------------------------------------------------------------------

_SUPERBLOCK = "<8sBBBBQQQQ"  # of version 3; the checksum of these bytes follows
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_MASK = 0xFFFFFFFF


def mend(path: str) -> None:
    """Make a file that can be opened again of one whose writer was killed, as HDF5's tool h5clear does.

    A file that is written for readers is whole at every moment, but is marked as being written until it is closed;
    and its end is noted then only.
    """
    with open(path, "r+b") as file:
        head = file.read(struct.calcsize(_SUPERBLOCK))
        signature, version, offsets, lengths, flags, base, extension, _, root = struct.unpack(
            _SUPERBLOCK, head
        )
        if (signature, version, offsets, lengths) != (_SIGNATURE, 3, 8, 8) or not flags:
            return
        end = os.fstat(file.fileno()).st_size
        mended = struct.pack(_SUPERBLOCK, signature, version, offsets, lengths, 0, base, extension, end, root)
        file.seek(0)
        file.write(mended + struct.pack("<I", checksum(mended)))


def checksum(data: bytes) -> int:
    """Return HDF5's checksum of some bytes: Bob Jenkins' lookup3, hashlittle()."""
    a = b = c = (0xDEADBEEF + len(data)) & _MASK
    padded = data + bytes(-len(data) % 12)
    words = struct.unpack(f"<{len(padded) // 4}I", padded)
    for k in range(0, len(words), 3):
        a, b, c = (a + words[k]) & _MASK, (b + words[k + 1]) & _MASK, (c + words[k + 2]) & _MASK
        if k + 3 < len(words):
            a = ((a - c) & _MASK) ^ _rotated(c, 4)
            c = (c + b) & _MASK
            b = ((b - a) & _MASK) ^ _rotated(a, 6)
            a = (a + c) & _MASK
            c = ((c - b) & _MASK) ^ _rotated(b, 8)
            b = (b + a) & _MASK
            a = ((a - c) & _MASK) ^ _rotated(c, 16)
            c = (c + b) & _MASK
            b = ((b - a) & _MASK) ^ _rotated(a, 19)
            a = (a + c) & _MASK
            c = ((c - b) & _MASK) ^ _rotated(b, 4)
            b = (b + a) & _MASK
    for x, y, n in ((2, 1, 14), (0, 2, 11), (1, 0, 25), (2, 1, 16), (0, 2, 4), (1, 0, 14), (2, 1, 24)):
        values = [a, b, c]
        values[x] = ((values[x] ^ values[y]) - _rotated(values[y], n)) & _MASK
        a, b, c = values
    return c


def _rotated(value: int, n: int) -> int:
    return ((value << n) | (value >> (32 - n))) & _MASK
