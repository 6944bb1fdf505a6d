"""An HDF5 file that is written as results arrive, while others read it, and that a killed writer leaves whole."""

from __future__ import annotations

import contextlib
import os
import struct
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from .basic import Collect
from .files import path_in_folder

CHUNK = 1 << 18  # bytes of a chunk of a dataset, where its shape is not given
_CACHE = 64 << 20  # bytes of chunks in memory: one that is written in parts is compressed once
_FORMAT = ("v110", "v110")  # the oldest that can be read while it is written
_NAME = "condormap"  # the attribute that tells whose file it is


class HDF5Writer(Collect):
    """A reducer that writes to an HDF5 file of its own.

    Parameters
    ----------
    path : path
        The file, which must not be there yet.
    compression, compression_opts
        As for ``h5py.Group.create_dataset``.
    chunk_rows : int or None
        How many rows a chunk of a dataset has; by default as many as make 256 KB.
    """

    writes = True

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        compression: str | None = "gzip",
        compression_opts: Any = None,
        chunk_rows: int | None = None,
    ) -> None:
        import h5py  # here, for it is an extra; without it nothing should be submitted  # noqa: F401

        self.path = path_in_folder(path)
        if os.path.exists(self.path):
            raise FileExistsError(f"{self.path} is there already: remove it, or give another path")
        self.compression = compression
        self.compression_opts = compression_opts
        self.chunk_rows = chunk_rows
        self.id = uuid.uuid4().hex
        self._file: Any = None  # while it is open

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
                raise FileExistsError(f"{self.path} is not this map's: remove it, or give another path")
            file.swmr_mode = True
        except BaseException:
            file.close()
            raise
        return file

    def _create(self, fill: Callable[[Any], None]) -> None:
        """Make the file and keep it open: in one step for whoever looks for it, with what `fill` makes in it."""
        import h5py

        temporary = f"{self.path}.{os.getpid()}.new"
        try:
            with h5py.File(temporary, "w", libver=_FORMAT) as file:
                file.attrs[_NAME] = self.id
                fill(file)
            os.rename(temporary, self.path)
        finally:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        self._file = self._open()

    def _add_dataset(self, group: Any, name: str, rows: int, like: Any) -> None:
        """Make a dataset of so many rows like those of an array; it can grow, and is NaN or 0 so far."""
        row = like.shape[1:]
        size = max(1, like.dtype.itemsize * like[:1].size)
        group.create_dataset(
            name,
            shape=(rows, *row),
            maxshape=(None, *row),
            dtype=like.dtype,
            chunks=(self.chunk_rows or max(1, CHUNK // size), *(max(1, n) for n in row)),
            compression=self.compression,
            compression_opts=self.compression_opts,
            fillvalue=float("nan") if like.dtype.kind == "f" else None,
        )


# ---- after a crash ----------------------------------------------------------------------------------------

_SUPERBLOCK = "<8sBBBBQQQQ"  # of version 3; the checksum of these bytes follows
SIGNATURE = b"\x89HDF\r\n\x1a\n"
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
        if (signature, version, offsets, lengths) != (SIGNATURE, 3, 8, 8) or not flags:
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
