"""The item store, written and read here; `condormap.in_job.items` has its format, and reads it in the job."""

from __future__ import annotations

import io
import itertools
import pickle
import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cloudpickle

from ..errors import InvalidInputError, SerializationError
from ..folders.store import storage_errors
from ..in_job.items import INDEX_FILE, ITEMS_FILE, SHARED_MARK_FILE, end_of, read_blocks
from ..in_job.packed import Buffers, packed_parts, shared_head
from ..in_job.payload import array_bytes, write_all
from .carried import MARK_FILE, stands_for_data
from .known_buffers import KnownBuffers

_FLUSH_SIZE = 1 << 20
_MOST_IN_RUN = 1000  # items in one pickle


def write_items(
    folder: Path,
    iterables: Sequence[Iterable[Any]],
    *,
    strict: bool = False,
    after: int = 0,
    share: bool = False,
) -> int:
    """Write the items into the item store in `folder`; return how many there are then.

    Parameters
    ----------
    folder : Path
        Where the store is created, or lies.
    iterables : sequence of iterable
        One: its elements are the items. Several: an item is the tuple of their elements, as for `map`.
    strict : bool
        Refuse iterables of different lengths instead of stopping with the shortest.
    after : int
        Keep so many items of a store that is there, and write these behind them; what else there was is cut off.
    share : bool
        Write a large array once that several of these items have; not for iterables that change it meanwhile.

    Raises
    ------
    SerializationError
        An item can't be pickled.
    InvalidInputError
        `strict`, and the lengths differ.
    StorageError
        The store can't be written. What the iterables raise while they are read comes as it is.
    """
    writer = _ItemWriter(folder, after, star=len(iterables) > 1, share=share)
    try:
        writer.write(zipped(iterables, strict=strict))
    finally:
        writer.close()
    return writer.n_items


class _Kinds(dict[type, type | None]):
    """The type of an item -> the kind of run that it belongs to: int for all numbers of Python, or numpy's type.

    Numbers are small and their pickles can be read wherever they were written, so many may share one pickle.

    Attributes
    ----------
    carry : bool
        Whether there was one that stands for data (`carried`).
    """

    carry = False

    def __missing__(self, of: type) -> type | None:
        kind: type | None = None
        if of in (int, float, complex, bool, type(None)):
            kind = int
        elif of.__module__ == "numpy" and (numpy := sys.modules.get("numpy")):
            kind = of if issubclass(of, (numpy.number, numpy.bool_)) else None
        self.carry |= stands_for_data(of)
        self[of] = kind
        return kind


def _as_array(run: list[Any]) -> Any:
    """Return numpy's numbers, all of one type, as the array whose elements they are."""
    return sys.modules["numpy"].array(run)


class _ItemWriter:
    """Appends items to the store."""

    def __init__(self, folder: Path, after: int, *, star: bool, share: bool) -> None:
        self.n_items = after
        self._star = star
        self._shared = KnownBuffers() if share else None  # with the byte at which each begins
        self._folder = folder
        with storage_errors(folder):
            index_end, self._end = end_of(folder, after) if after else (0, 0)
            mode = "r+" if after else "w"
            self._file = io.FileIO(folder / ITEMS_FILE, mode)
            self._index = io.FileIO(folder / INDEX_FILE, mode)
            for file, end in ((self._file, self._end), (self._index, index_end)):
                file.truncate(end)
                file.seek(end)
        self._entries = array("Q", () if after else (0, 0))
        self._buffer = io.BytesIO()
        self._out_of_band = Buffers()
        self._pickler = cloudpickle.Pickler(self._buffer, protocol=5, buffer_callback=self._out_of_band)

    def close(self) -> None:
        self._file.close()
        self._index.close()

    def write(self, items: Iterable[Any]) -> None:
        """Write the items: runs of numbers as one block, each other item by itself."""
        kinds = _Kinds()
        run: list[Any] = []
        kind = None
        for item in items:
            before, kind = kind, kinds[type(item)]
            if self._star and not kinds.carry:
                for each in item:
                    kinds[type(each)]
            if run and (kind is not before or len(run) == _MOST_IN_RUN):
                self._write_run(run, before)
                run = []
            if kind is None:
                self._write_one(item)
            else:
                run.append(item)
        if run:
            self._write_run(run, kind)
        self._flush()
        with storage_errors(self._folder):
            write_all(self._index, array_bytes(self._entries))
            if kinds.carry:
                (self._folder / MARK_FILE).touch()

    def _write_run(self, run: list[Any], kind: type | None) -> None:
        if len(run) == 1:
            self._write_one(run[0])
            return
        self._buffer.write(pickle.dumps(run if kind is int else _as_array(run), 5))
        self._end_block(len(run))

    def _write_one(self, item: Any) -> None:
        begin = self._buffer.tell()
        try:
            pickle.Pickler.dump(self._pickler, item)  # without cloudpickle's wrapper in Python: half the time
        except Exception as error:
            raise SerializationError(
                f"item {self.n_items}, a {type(item).__qualname__}, cannot be pickled, so no job can get it: "
                f"{type(error).__name__}: {error}. Nothing was submitted."
            ) from error
        self._pickler.clear_memo()
        if self._out_of_band.kept:
            self._write_packed(begin)
        self._end_block(1)

    def _write_packed(self, begin: int) -> None:
        """Write the pickle that begins there and its large buffers straight to the file."""
        data = bytes(self._buffer.getbuffer()[begin:])
        self._buffer.seek(begin)
        self._buffer.truncate()
        self._flush()
        buffers = self._out_of_band.kept
        parts = (
            packed_parts(data, buffers)
            if self._shared is None
            else self._shared_parts(data, buffers, self._shared)
        )
        with storage_errors(self._folder):
            for part in parts:
                write_all(self._file, part)
                self._end += len(part)
        buffers.clear()

    def _shared_parts(
        self, data: bytes, buffers: Sequence[memoryview], known: KnownBuffers
    ) -> list[bytes | memoryview]:
        """Return the pieces of a container that comes next in the file and shares buffers with those before."""
        before = [known.get(buffer) for buffer in buffers]
        head, places = shared_head(self._end, len(data), [len(buffer) for buffer in buffers], before)
        for buffer, place in zip(buffers, places, strict=True):
            known.note(buffer, place)
        (self._folder / SHARED_MARK_FILE).touch()
        new = (buffer for buffer, place in zip(buffers, before, strict=True) if place is None)
        return [head, data, *new]

    def _end_block(self, n_items: int) -> None:
        self.n_items += n_items
        position = self._buffer.tell()
        self._entries.extend((self.n_items, self._end + position))
        if position >= _FLUSH_SIZE:
            self._flush()

    def _flush(self) -> None:
        with storage_errors(self._folder):
            write_all(self._file, self._buffer.getbuffer())
        self._end += self._buffer.tell()
        self._buffer.seek(0)
        self._buffer.truncate()


def unpickle_items(folder: Path, items: Iterable[int]) -> Iterator[Any]:
    """Yield items of the store in `folder`.

    Raises
    ------
    SerializationError
        One can't be unpickled here.
    """
    numbers = iter(items)
    for values, load in read_blocks(folder, items):
        for value, item in zip(values, numbers, strict=False):
            if load is None:
                yield value
                continue
            try:
                loaded = load(value)
            except Exception as error:
                told = f"{type(error).__name__}: {error}"
                raise SerializationError(f"item {item} cannot be unpickled here: {told}") from error
            yield loaded


def zipped(iterables: Sequence[Iterable[Any]], *, strict: bool = False) -> Iterator[Any]:
    """Return the items that some iterables are: elements of one, or tuples; `strict` refuses different lengths."""
    items = iter(iterables[0]) if len(iterables) == 1 else zip(*iterables, strict=strict)
    return _strict(items) if strict else items


def _strict(items: Iterator[Any]) -> Iterator[Any]:
    """Yield the items; turn the complaint of `zip` into our own."""
    for count in itertools.count():
        try:
            item = next(items)
        except StopIteration:
            return
        except ValueError as error:
            if not str(error).startswith("zip() argument"):
                raise
            raise InvalidInputError(
                f"strict=True, and the iterables have different lengths: {error} (after {count} items). "
                "Nothing was submitted."
            ) from None
        yield item
