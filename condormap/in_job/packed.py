"""Pickles with their large buffers beside them, so that an array is never copied into its pickle.

Travels into the job; standard library only. A value without large buffers is its pickle and nothing else. A value
with some (PEP 574) is a container::

    magic "CMB1", number of buffers, size of the pickle, size of each buffer, the pickle, the buffers

A pickle of protocol 5 never begins with these letters. Whoever reads a container reads each buffer straight into
the memory that the array will have.

Several containers of one file may share buffers::

    magic "CMS1", number of buffers, size of the pickle, size of each buffer and where in the file it begins, the
    pickle, and those buffers that no container before has
"""

from __future__ import annotations

import mmap
import os
import pickle
import struct
import zlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, BinaryIO

LEAST_BUFFER = 1 << 16  # bytes; a smaller one stays in the pickle
_HEAD = struct.Struct("<4sIQ")
_SIZE = struct.Struct("<Q")
_PLACE = struct.Struct("<QQ")
_MAGIC, _SHARED = b"CMB1", b"CMS1"
_MAPPED = 1 << 20  # bytes from which memory is mapped, which is not zeroed first


class TornError(Exception):
    """The bytes end before the value does."""


class Packed:
    """A pickle and its buffers, in memory."""

    __slots__ = ("buffers", "pickle")

    def __init__(self, pickle: bytes, buffers: list[Any]) -> None:
        self.pickle = pickle
        self.buffers = buffers

    def load(self) -> Any:
        """Return the value; its arrays are writable and own the buffers."""
        return pickle.loads(self.pickle, buffers=self.buffers)


def load(data: bytes | Packed) -> Any:
    """Return the value of what `read_packed` returned."""
    return data.load() if isinstance(data, Packed) else pickle.loads(data)


class Buffers:
    """Takes a pickler's buffers: the large ones are kept, the others stay in the pickle."""

    def __init__(self) -> None:
        self.kept: list[memoryview] = []

    def __call__(self, buffer: pickle.PickleBuffer) -> bool:
        """Tell the pickler whether the buffer goes into the pickle."""
        view = buffer.raw()
        if view.nbytes < LEAST_BUFFER:
            return True
        self.kept.append(view)
        return False


def packed_parts(data: bytes | memoryview, buffers: Sequence[memoryview]) -> list[bytes | memoryview]:
    """Return the pieces of the container of a pickle and its buffers, in order."""
    head = _HEAD.pack(_MAGIC, len(buffers), len(data)) + b"".join(_SIZE.pack(len(view)) for view in buffers)
    return [head, data, *buffers]


def shared_head(
    begin: int, pickle_size: int, sizes: Sequence[int], places: Sequence[int | None]
) -> tuple[bytes, list[int]]:
    """Return how a container of shared buffers begins, up to its pickle, and where in the file each of them is.

    Parameters
    ----------
    begin : int
        Where in the file the container begins.
    pickle_size : int
        The size of the pickle.
    sizes : sequence of int
        The size of each buffer.
    places : sequence of int or None
        Where in the file each is; None for one that is not there yet: it has to follow the pickle.
    """
    at = begin + _HEAD.size + len(sizes) * _PLACE.size + pickle_size
    found = []
    for n, place in enumerate(places):
        found.append(at if place is None else place)
        at += sizes[n] if place is None else 0
    table = b"".join(map(_PLACE.pack, sizes, found))
    return _HEAD.pack(_SHARED, len(sizes), pickle_size) + table, found


def is_shared(data: bytes) -> bool:
    """Tell whether these are the first bytes of a container of shared buffers."""
    return data[: len(_SHARED)] == _SHARED


def read_shared(file: BinaryIO) -> tuple[bytes, list[tuple[int, int]]]:
    """Return the pickle of a container of shared buffers, and the size of each of these and where it begins.

    Raises
    ------
    TornError
        The file ends before that.
    """
    _, n_buffers, pickle_size = _HEAD.unpack(read_exactly(file, _HEAD.size))
    table = list(_PLACE.iter_unpack(read_exactly(file, n_buffers * _PLACE.size)))
    return read_exactly(file, pickle_size), table


def _load_shared(file: BinaryIO, end: int) -> Packed:
    """Return the value of a container of shared buffers, which ends there; each time with memory of its own."""
    data, table = read_shared(file)
    buffers = []
    for size, place in table:
        buffer = _memory(size)
        file.seek(place)
        _read_into(file, memoryview(buffer), 0)
        buffers.append(buffer)
    file.seek(end)
    return Packed(data, buffers)


def read_packed(file: BinaryIO, size: int) -> tuple[bytes | Packed, int]:
    """Return the value of `size` bytes at the position of an open file, and the CRC-32 of its bytes.

    That is 0 for a container of shared buffers.

    Raises
    ------
    TornError
        The file ends before that.
    """
    head = file.read(min(size, _HEAD.size))
    if head[:4] != _MAGIC:
        begin = file.seek(-len(head), os.SEEK_CUR)
        if is_shared(head):
            return _load_shared(file, begin + size), 0
        data = read_exactly(file, size)
        return data, zlib.crc32(data)
    _, n_buffers, pickle_size = _HEAD.unpack(head)
    sizes = read_exactly(file, n_buffers * _SIZE.size)
    data = read_exactly(file, pickle_size)
    crc = zlib.crc32(data, zlib.crc32(sizes, zlib.crc32(head)))
    buffers = []
    for (length,) in _SIZE.iter_unpack(sizes):
        buffer = _memory(length)
        crc = _read_into(file, memoryview(buffer), crc)
        buffers.append(buffer)
    return Packed(data, buffers), crc


def _memory(size: int) -> bytearray | mmap.mmap:
    if size < _MAPPED:
        return bytearray(size)
    return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


def read_exactly(file: BinaryIO, size: int) -> bytes:
    """Return the next `size` bytes; an unbuffered file gives 2 GB at once at most.

    Raises
    ------
    TornError
        The file ends before that.
    """
    data = file.read(size)
    while len(data) < size:
        more = file.read(size - len(data))
        if not more:
            raise TornError(f"{file.name} ends {size - len(data)} bytes too soon")
        data += more
    return data


def _read_into(file: BinaryIO, view: memoryview, crc: int) -> int:
    """Fill the memory; return the checksum, taken while the bytes are in the processor's cache."""
    while view:
        n = file.readinto(view[:_MAPPED])  # type: ignore[attr-defined]
        if not n:
            raise TornError(f"{file.name} ends {len(view)} bytes too soon")
        crc = zlib.crc32(view[:n], crc)
        view = view[n:]
    return crc
