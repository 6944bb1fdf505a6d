"""The large arrays of calls that are submitted together: each is written once, however many calls have it."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, Self

from ..folders.store import storage_errors
from ..in_job.payload import write_all
from ..payload.known_buffers import KnownBuffers
from ..payload.stand_in import in_job


class SharedBuffers:
    """A file of large buffers; a context manager.

    Jobs map them into their memory, where what they change stays their own.

    Parameters
    ----------
    path : Path
        The file; it is made when there is a buffer.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._end = 0
        self._known = KnownBuffers()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def put(self, views: Sequence[memoryview]) -> list[Any]:
        """Return what these buffers are in the pickle of a call, where a job gets the memory from."""
        return [self._put(view) for view in views]

    def _put(self, view: memoryview) -> Any:
        mapped = self._known.get(view)
        if mapped is None:
            mapped = in_job("calls", "mapped_file", str(self._path), self._write(view), view.nbytes)
            self._known.note(view, mapped)
        return mapped

    def _write(self, view: memoryview) -> int:
        """Write a buffer behind the others, and return where it begins."""
        with storage_errors(self._path):
            if self._file is None:
                self._file = self._path.open("wb", buffering=0)
            write_all(self._file, view)
            begin, self._end = self._end, self._end + view.nbytes
            padding = -self._end % mmap.ALLOCATIONGRANULARITY
            write_all(self._file, bytes(padding))
            self._end += padding
        return begin
