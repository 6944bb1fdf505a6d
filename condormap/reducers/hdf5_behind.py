"""An HDF5 file that is written behind its end, while what is before it stays as it is."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

from .hdf5_file import SIGNATURE, checksum

_PAGE = 4096
_NOWHERE = 2**64 - 1
_SHARED_MESSAGES = 0x0F  # the type of the message that tells of the table of shared ones


class Superblock(NamedTuple):
    """The first bytes of an HDF5 file.

    Attributes
    ----------
    data : bytes
        These bytes.
    end : int
        Where the file ends, for HDF5.
    is_new : bool
        It is of version 2 or 3, which has a checksum.
    """

    data: bytes
    end: int
    is_new: bool

    @classmethod
    def of(cls, path: str, descriptor: int) -> Superblock:
        """Read that of a file."""
        import h5py

        data = os.pread(descriptor, 100, 0)
        version = data[8] if data[:8] == SIGNATURE else 255
        sizes, base = (data[9:11], 12) if version in (2, 3) else (data[13:15], 24 + 4 * version)
        if version > 3 or sizes != b"\x08\x08" or struct.unpack_from("<Q", data, base) != (0,):
            raise ValueError(f"{path} is no HDF5 file that begins with its own first bytes")
        if version == 3 and data[11]:
            raise ValueError(f"{path} is open for writing, or its writer was killed")
        with h5py.File(path, "r", locking=False) as file:
            strategy, persistent, _ = file.id.get_create_plist().get_file_space_strategy()
        if persistent or strategy == h5py.h5f.FSPACE_STRATEGY_PAGE:
            raise ValueError(f"{path} keeps account of its free space: make a copy by h5repack -S FSM_AGGR")
        (end,) = struct.unpack_from("<Q", data, base + 16)
        if os.fstat(descriptor).st_size < end:
            raise ValueError(f"{path} was cut off")
        if version in (2, 3) and _SHARED_MESSAGES in _extension(descriptor, data):
            raise ValueError(f"{path} has a table of shared messages")
        return cls(data[:48] if version in (2, 3) else data[: base + 72], end, version in (2, 3))

    def replaced(self, root: int, end: int) -> bytes:
        """Return the bytes for another root group and another end."""
        if self.is_new:
            data = self.data[:28] + struct.pack("<QQ", end, root)
            return data + struct.pack("<I", checksum(data))
        base = (
            len(self.data) - 72
        )  # then: base, free space, end, driver; name and header of the root, what it caches
        middle = self.data[base + 24 : base + 40]
        return (
            self.data[: base + 16] + struct.pack("<Q", end) + middle + struct.pack("<QQ", root, 0) + bytes(16)
        )


def _extension(descriptor: int, superblock: bytes) -> Iterator[int]:
    """Yield the types of the messages in the extension of a superblock (HDF5 File Format 3.0, II.C)."""
    (address,) = struct.unpack_from("<Q", superblock, 20)
    if address == _NOWHERE:
        return
    flags = os.pread(descriptor, 6, address)[5]
    at = address + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
    width = 1 << (flags & 3)
    end = at + width + int.from_bytes(os.pread(descriptor, width, at), "little")
    at += width
    while at + 4 <= end:
        kind, size = struct.unpack("<BH", os.pread(descriptor, 3, at))
        yield kind
        at += (6 if flags & 4 else 4) + size


class Behind:
    """A file as h5py takes one, of which what is before the end is not changed: that is kept in memory."""

    def __init__(self, descriptor: int, end: int) -> None:
        self.descriptor = descriptor
        self.end = end
        self.pages: dict[int, bytearray] = {}
        self.at = 0
        self.error: OSError | None = None

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a place."""
        start = (0, self.at, os.fstat(self.descriptor).st_size)[whence]
        self.at = start + offset
        return self.at

    def tell(self) -> int:
        """Return the place."""
        return self.at

    def read(self, size: int) -> bytes:
        """Return bytes from there on."""
        buffer = bytearray(size)
        return bytes(buffer[: self.readinto(buffer)])

    def readinto(self, buffer: Any) -> int:
        """Read bytes from there on; return how many there were."""
        view, done = memoryview(buffer).cast("B"), 0
        while done < len(view) and (data := os.pread(self.descriptor, len(view) - done, self.at + done)):
            view[done : done + len(data)] = data
            done += len(data)
        for number in self._touched(done) if self.pages else ():
            if number in self.pages:
                first, stop = (
                    max(self.at, number * _PAGE),
                    min(self.at + done, (number + 1) * _PAGE, self.end),
                )
                if first < stop:
                    at = number * _PAGE
                    view[first - self.at : stop - self.at] = self.pages[number][first - at : stop - at]
        self.at += done
        return done

    def write(self, data: Any) -> int:
        """Write bytes there: before the end in memory, behind it to the file."""
        view = memoryview(data).cast("B")
        size = len(view)
        for number in self._touched(min(size, max(0, self.end - self.at))):
            at = number * _PAGE
            page = self.pages.setdefault(number, bytearray(os.pread(self.descriptor, _PAGE, at).ljust(_PAGE)))
            first, stop = max(self.at, at), min(self.at + size, at + _PAGE, self.end)
            page[first - at : stop - at] = view[first - self.at : stop - self.at]
        done = min(size, max(0, self.end - self.at))
        try:
            while done < size:
                done += os.pwrite(self.descriptor, view[done:], self.at + done)
        except OSError as error:
            self.error = error
            raise
        self.at += size
        return size

    def _touched(self, size: int) -> Iterator[int]:
        return iter(range(self.at // _PAGE, (self.at + size - 1) // _PAGE + 1) if size > 0 else ())

    def truncate(self, size: int | None = None) -> int:
        """Cut the file, but not before its end."""
        size = max(self.end, self.at if size is None else size)
        os.ftruncate(self.descriptor, size)
        return size

    def flush(self) -> None:
        """Nothing waits to be written."""
