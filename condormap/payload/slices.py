"""Slices: the items of each job in a file of its own, for jobs that do not see the map's folder.

See `condormap.in_job.items` for what is in one.
"""

from __future__ import annotations

import bisect
import pickle
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import cloudpickle

from ..errors import CondormapError, SerializationError
from ..in_job.items import INDEX_FILE, ITEMS_FILE, SHARED_MARK_FILE
from ..in_job.packed import Buffers, is_shared, packed_parts, read_shared, shared_head
from ..in_job.payload import FILES_PER_FOLDER, array_bytes, array_from, make_shards, runs_of
from . import carried
from .item_store import unpickle_items

_PIECE = 1 << 20  # bytes that are copied at once
_ITEM = 1024  # bytes of an item beside its pickle in the store and its data, at most


def write_slices(
    store: Path,
    folder: Path,
    chunks: Iterable[Sequence[int]],
    prefix: str,
    room: carried.Room | None = None,
) -> None:
    """Write ``folder/<chunk // 1000>/<prefix><chunk>`` for each chunk.

    Parameters
    ----------
    store : Path
        The folder of the item store.
    folder : Path
        Where the slices go; it need not exist.
    chunks : iterable of sequence of int
        The items of each chunk, ascending.
    prefix : str
        How the name of a slice begins.
    room : carried.Room, optional
        For items that stand for data: how much room there is for them; by default as much as they may take.

    Raises
    ------
    StorageError
        There is no room.
    """
    if room is None and carried.has_carried(store):
        room = carried.Room(carried.limit(store))
    with (store / ITEMS_FILE).open("rb", buffering=1 << 18) as file:
        index = array_from((store / INDEX_FILE).read_bytes())
        cutter = _Cutter(file, index, shared=(store / SHARED_MARK_FILE).exists())
        for chunk, items in enumerate(chunks):
            if chunk % FILES_PER_FOLDER == 0:
                make_shards(folder, chunk + 1)
            with open(f"{folder}/{chunk // FILES_PER_FOLDER}/{prefix}{chunk}", "wb") as out:
                if room is None:
                    cutter.cut(items, out)
                else:
                    write_with_data(store, items, out, room)


def nbytes_with_data(store: Path, items: Sequence[int]) -> list[int]:
    """Return how many bytes each item takes in a slice, about, where items stand for data."""
    index = array_from((store / INDEX_FILE).read_bytes())
    begins, ends = index[::2], index[1::2]
    found = []
    for item, value in zip(items, unpickle_items(store, items), strict=True):
        block = bisect.bisect_right(begins, item) - 1
        found.append(_ITEM + ends[block + 1] - ends[block] + carried.nbytes(value))
    return found


def write_with_data(store: Path, items: Sequence[int], out: BinaryIO, room: carried.Room) -> None:
    """Write the slice of these items, each with the data that it stands for.

    Raises
    ------
    StorageError
        There is no room for them.
    SerializationError
        The data of one can't be read, or not be pickled.
    """
    index = array("Q")
    at = 0
    for number, item in zip(items, unpickle_items(store, items), strict=True):
        if not index or index[-2] != number:
            index.extend((number, at))
        buffers = Buffers()
        try:
            data = cloudpickle.dumps(carried.with_data(item), protocol=5, buffer_callback=buffers)
        except CondormapError:
            raise
        except Exception as error:
            raise SerializationError(
                f"the data that item {number} stands for can't be sent: {type(error).__name__}: {error}"
            ) from error
        for part in packed_parts(data, buffers.kept) if buffers.kept else [data]:
            room.take(len(part))
            out.write(part)
            at += len(part)
        index.extend((number + 1, at))
    table = array_bytes(index) + array_bytes(array("Q", (0, at)))
    room.take(len(table))
    out.write(table)


class _Cutter:
    """Cuts slices from a store.

    Parameters
    ----------
    file : binary file
        The open file of the blocks.
    index : array of int
        The index.
    shared : bool
        Whether blocks may share buffers.
    """

    def __init__(self, file: BinaryIO, index: array[int], *, shared: bool) -> None:
        self._file = file
        self._shared = shared
        self._index = index
        self._items, self._bytes = index[::2], index[1::2]
        self._loaded: tuple[int, Any] = (-1, None)  # the block that was cut last, and what is in it

    def cut(self, items: Sequence[int], out: BinaryIO) -> None:
        """Write the slice of these items."""
        index = array("Q")
        places: dict[int, int] = {}  # of shared buffers: in the store -> in the slice
        for run in runs_of(items):
            if not index or index[-2] != run.start:
                index.extend((run.start, index[-1] if index else 0))
            item = run.start
            while item < run.stop:
                block = bisect.bisect_right(self._items, item) - 1
                stop = bisect.bisect_right(self._items, run.stop, block) - 1
                if self._items[block] == item and stop > block:  # whole blocks
                    item = self._items[stop]
                    if self._shared:
                        for k in range(block, stop):
                            size = self._copy_block(k, index[-1], out, places)
                            index.extend((self._items[k + 1], index[-1] + size))
                        continue
                    entries = self._index[2 * block + 2 : 2 * stop + 2]
                    shift = index[-1] - self._bytes[block]
                    for k in range(1, len(entries), 2):
                        entries[k] += shift
                    index.extend(entries)
                    self._copy(self._bytes[block], self._bytes[stop], out)
                else:
                    begin, item = item, min(self._items[block + 1], run.stop)
                    data = self._part(block, begin, item)
                    index.extend((item, index[-1] + len(data)))
                    out.write(data)
        end = index[-1] if index else 0
        out.write(array_bytes(index) + array_bytes(array("Q", (0, end))))

    def _copy_block(self, block: int, at: int, out: BinaryIO, places: dict[int, int]) -> int:
        """Copy a block to byte `at` of a slice, which gets a buffer that it shares once; return its size there."""
        begin, end = self._bytes[block], self._bytes[block + 1]
        self._file.seek(begin)
        shared = is_shared(self._file.read(4))
        self._file.seek(begin)
        if not shared:
            self._copy(begin, end, out)
            return end - begin
        data, table = read_shared(self._file)
        before = [places.get(place) for _, place in table]
        head, there = shared_head(at, len(data), [size for size, _ in table], before)
        out.write(head + data)
        written = len(head) + len(data)
        for (size, place), known, new in zip(table, before, there, strict=True):
            places[place] = new
            if known is None:
                self._copy(place, place + size, out)
                written += size
        return written

    def _copy(self, begin: int, end: int, out: BinaryIO) -> None:
        self._file.seek(begin)
        for at in range(begin, end, _PIECE):
            out.write(self._file.read(min(_PIECE, end - at)))

    def _part(self, block: int, begin: int, stop: int) -> bytes:
        """Return the block of some items of a block of several."""
        if self._loaded[0] != block:
            self._file.seek(self._bytes[block])
            self._loaded = block, pickle.loads(self._file.read(self._bytes[block + 1] - self._bytes[block]))
        first = self._items[block]
        part = self._loaded[1][begin - first : stop - first]
        return pickle.dumps(part if len(part) > 1 else part[0], 5)
