"""Pickles with their large buffers beside them, so that an array is never copied into its pickle.

Travels into the job; standard library only. A value without large buffers is its pickle and nothing else. A value
with some (PEP 574) is a container::

    magic "CMB1", number of buffers, size of the pickle, size of each buffer, the pickle, the buffers

A pickle of protocol 5 never begins with these letters. Whoever reads a container reads each buffer straight into
the memory that the array will have.
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
_MAGIC = b"CMB1"
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


def read_packed(file: BinaryIO, size: int) -> tuple[bytes | Packed, int]:
    """Return the value of `size` bytes at the position of an open file, and the CRC-32 of its bytes.

    Raises
    ------
    TornError
        The file ends before that.
    """
    head = file.read(min(size, _HEAD.size))
    if head[:4] != _MAGIC:
        file.seek(-len(head), os.SEEK_CUR)
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
