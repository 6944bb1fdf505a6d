"""The item store: every item of a map, written once.

Travels into the job; standard library only.

``items.pkl`` holds blocks, one after the other: either one item (see `condormap.packed`), or the pickle of several
numbers, a list or an array of numpy's, which so cost a tenth. ``items.idx`` holds a pair of little-endian unsigned
64-bit integers for each block, the item that it begins with and the byte, and a last pair for the end of them all.
"""

from __future__ import annotations

import os
import pickle

from .packed import LEAST_BUFFER, TornError, load, read_exactly, read_packed
from .payload import DamagedError, array_from, runs_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any, BinaryIO

    Folder = str | os.PathLike[str]

ITEMS_FILE, INDEX_FILE = "items.pkl", "items.idx"
_PAIR = 16  # bytes of an entry of the index
_ENTRIES = 4096  # that are read at once


def read_blocks(
    folder: Folder, items: Iterable[int], opener: Callable[[str, int], int] | None = None
) -> Iterator[tuple[list[Any], Callable[[Any], Any] | None]]:
    """Yield the given items of the store in `folder`, in order, some at a time; `opener` is for `open`.

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
    with (
        open(f"{os.fspath(folder)}/{ITEMS_FILE}", "rb", buffering=1 << 18, opener=opener) as file,
        open(f"{os.fspath(folder)}/{INDEX_FILE}", "rb", buffering=0, opener=opener) as index,
    ):
        for run in runs_of(items):
            file.seek(_byte_of_block(index, run.start))
            for first, stop, size in _blocks(index, run):
                try:
                    if stop - first > 1:
                        within = slice(max(run.start - first, 0), run.stop - first)
                        yield _values(read_exactly(file, size), stop - first, within)
                    elif size < LEAST_BUFFER:
                        yield [read_exactly(file, size)], pickle.loads
                    else:
                        yield [read_packed(file, size)[0]], load
                except TornError:
                    raise DamagedError(f"{file.name} ends in the middle of an item ({first})") from None


def _values(data: bytes, n_items: int, within: slice) -> tuple[list[Any], Callable[[Any], Any] | None]:
    """Return those items of a block of several, as `read_blocks` yields them."""
    try:
        return list(pickle.loads(data)[within]), None
    except Exception:  # no numpy here: each item has to say so
        return [data] * len(range(n_items)[within]), pickle.loads


def read_item(folder: Folder, item: int) -> Any:
    """Return one item; raises whatever unpickling it does."""
    ((value,), load), *_ = read_blocks(folder, (item,))
    return value if load is None else load(value)


def end_of(folder: Folder, n_items: int) -> tuple[int, int]:
    """Return how many bytes of ``items.idx`` and of ``items.pkl`` the first items take, which end with a block."""
    with open(f"{os.fspath(folder)}/{INDEX_FILE}", "rb", buffering=0) as index:
        entry = _block_of(index, n_items)
        item, byte = _entries(index, entry, 1)
    if item != n_items:
        raise DamagedError(f"no block of {index.name} ends before item {n_items}")
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
            raise DamagedError(f"{index.name} ends before item {run.stop - 1}")
        entry += _ENTRIES - 1


def _byte_of_block(index: BinaryIO, item: int) -> int:
    return _entries(index, _block_of(index, item), 1)[1]


def _block_of(index: BinaryIO, item: int) -> int:
    """Return the number of the last block that begins with `item` or one before, by bisection."""
    low, high = 0, os.fstat(index.fileno()).st_size // _PAIR
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
        raise DamagedError(f"{index.name} ends before entry {first}")
    return array_from(data[: len(data) // _PAIR * _PAIR]).tolist()
