"""The item store: every item of a map, written once.

Travels into the job; standard library only.

``items.pkl`` holds blocks, one after the other: either one item (see `packed`), which may share buffers with those
before, or the pickle of several numbers, a list or an array of numpy's, which so cost a tenth. ``items.idx`` holds
a pair of little-endian unsigned 64-bit integers for each block, the item that it begins with and the byte, and a
last pair for the end of them all.

A slice is a store in one file, for one job: the blocks, the index, and a pair of which the second number says
where the index begins. It may lack items: a block of 0 bytes stands for those between two others.
"""

from __future__ import annotations

import io
import os
import pickle

from .packed import LEAST_BUFFER, TornError, is_shared, load, read_exactly, read_packed
from .payload import DamagedError, array_from, runs_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any, BinaryIO

    Folder = str | os.PathLike[str]
    Opener = Callable[[str, int], int]

ITEMS_FILE, INDEX_FILE = "items.pkl", "items.idx"
SHARED_MARK_FILE = "items.shared"  # is in the folder of a store with items that share buffers
_PAIR = 16  # bytes of an entry of the index
_ENTRIES = 4096  # that are read at once


def read_blocks(
    store: Folder, items: Iterable[int], opener: Opener | None = None
) -> Iterator[tuple[list[Any], Callable[[Any], Any] | None]]:
    """Yield the given items of the store, in order, some at a time.

    Parameters
    ----------
    store : path
        The folder of a store, or a slice.
    items : iterable of int
        Which.
    opener : callable, optional
        For `open`.

    Yields
    ------
    values, load
        Items, and None; or one item that `load` has still to be called with, which may raise whatever unpickling
        it does.

    Raises
    ------
    DamagedError
        The store ends too soon.
    """
    file, index = _open(os.fspath(store), opener)
    with file, index:
        for run in runs_of(items):
            file.seek(_byte_of_block(index, run.start))
            for first, stop, size in _blocks(index, run):
                try:
                    if stop - first > 1:
                        within = slice(max(run.start - first, 0), run.stop - first)
                        yield _values(read_exactly(file, size), stop - first, within)
                    elif size < LEAST_BUFFER and not is_shared(data := read_exactly(file, size)):
                        yield [data], pickle.loads
                    else:
                        if size < LEAST_BUFFER:
                            file.seek(-size, os.SEEK_CUR)
                        yield [read_packed(file, size)[0]], load
                except TornError:
                    raise DamagedError(f"{file.name} ends in the middle of an item ({first})") from None


def _open(store: str, opener: Opener | None = None) -> tuple[BinaryIO, BinaryIO]:
    """Return the open files of the blocks and of the index."""
    if os.path.isdir(store):
        blocks, index = f"{store}/{ITEMS_FILE}", f"{store}/{INDEX_FILE}"
        return _open_file(blocks, 1 << 18, opener), _open_file(index, 0, opener)
    with open(store, "rb", buffering=0) as file:
        end = os.fstat(file.fileno()).st_size - _PAIR
        file.seek(max(0, end))
        zero, begin = array_from(file.read()) if end >= 0 else (1, 0)
        if zero or begin > end:
            raise DamagedError(f"{store} ends too soon")
        file.seek(begin)
        table = read_exactly(file, end - begin)
    return _open_file(store, 1 << 18, opener), io.BytesIO(table)


def _open_file(path: str, buffering: int, opener: Opener | None) -> BinaryIO:
    return open(path, "rb", buffering=buffering, opener=opener)


def slice_items(path: str) -> list[int] | range:
    """Return which items a slice has, in order."""
    file, index = _open(path)
    with file, index:
        table = array_from(index.read())
    runs: list[range] = []
    for k in range(0, len(table) - 2, 2):
        if table[k + 3] > table[k + 1]:
            start, stop = table[k], table[k + 2]
            if runs and runs[-1].stop == start:
                start = runs.pop().start
            runs.append(range(start, stop))
    return runs[0] if len(runs) == 1 else [item for run in runs for item in run]


def _values(data: bytes, n_items: int, within: slice) -> tuple[list[Any], Callable[[Any], Any] | None]:
    """Return those items of a block of several, as `read_blocks` yields them."""
    try:
        return list(pickle.loads(data)[within]), None
    except Exception:  # no numpy here: each item has to say so
        return [data] * len(range(n_items)[within]), pickle.loads


def read_item(store: Folder, item: int) -> Any:
    """Return one item; raises whatever unpickling it does."""
    ((value,), load), *_ = read_blocks(store, (item,))
    return value if load is None else load(value)


def end_of(folder: Folder, n_items: int) -> tuple[int, int]:
    """Return how many bytes of ``items.idx`` and of ``items.pkl`` the first items take, which end with a block."""
    with open(f"{os.fspath(folder)}/{INDEX_FILE}", "rb", buffering=0) as index:
        entry = _block_of(index, n_items)
        item, byte = _entries(index, entry, 1)
    if item != n_items:
        raise DamagedError(f"no block of {_name(index)} ends before item {n_items}")
    return (entry + 1) * _PAIR, byte


def _blocks(index: BinaryIO, run: range) -> Iterator[tuple[int, int, int]]:
    """Yield the blocks that have items of the run: first item, last item plus 1, size in bytes."""
    entry = _block_of(index, run.start)
    while True:
        table = _entries(index, entry, _ENTRIES)
        for k in range(0, len(table) - 2, 2):
            yield table[k], table[k + 2], table[k + 3] - table[k + 1]
            if table[k + 2] >= run.stop:
                return
        if len(table) < 2 * _ENTRIES:
            raise DamagedError(f"{_name(index)} ends before item {run.stop - 1}")
        entry += _ENTRIES - 1


def _byte_of_block(index: BinaryIO, item: int) -> int:
    return _entries(index, _block_of(index, item), 1)[1]


def _block_of(index: BinaryIO, item: int) -> int:
    """Return the number of the last block that begins with `item` or one before, by bisection."""
    low, high = 0, index.seek(0, os.SEEK_END) // _PAIR
    while high - low > 1:
        middle = (low + high) // 2
        if _entries(index, middle, 1)[0] <= item:
            low = middle
        else:
            high = middle
    return low


def _entries(index: BinaryIO, first: int, n: int) -> list[int]:
    """Return the numbers of up to `n` entries of the index."""
    index.seek(first * _PAIR)
    data = index.read(n * _PAIR)
    if not data:
        raise DamagedError(f"{_name(index)} ends before entry {first}")
    return array_from(data[: len(data) // _PAIR * _PAIR]).tolist()


def _name(index: BinaryIO) -> str:
    return getattr(index, "name", "the slice's index")
