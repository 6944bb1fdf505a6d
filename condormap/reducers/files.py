"""Output files of the items as one file."""

from __future__ import annotations

import os
from typing import Any

from .protocol import Reducer

_State = tuple[int, list[tuple[bytes, bytes]]]


def path_in_folder(path: str | os.PathLike[str]) -> str:
    """Return the whole path of a file that is to be written; a FileNotFoundError where it has no folder."""
    whole = os.path.abspath(path)
    if not os.path.isdir(os.path.dirname(whole)):
        raise FileNotFoundError(
            f"there is no folder {os.path.dirname(whole)} for {os.path.basename(whole)}: make it"
        )
    return whole


class ConcatenateFiles(Reducer):
    """One file of all results, in the order of the items; the value is its path.

    A result is the path of a file that the function wrote, which is read in the job, or the bytes themselves. What
    is written is counted, so a process that is killed and started again goes on where the count says.

    Parameters
    ----------
    path : path
        The file; one that is there is replaced.
    header : int
        So many lines at the beginning of each result are kept of the first one only.
    """

    ordered = True
    collects = True
    writes = True

    def __init__(self, path: str | os.PathLike[str], *, header: int = 0) -> None:
        self.path = path_in_folder(path)
        self.header = header

    def zero(self) -> _State:
        """Return the state of no results: bytes in the file, (header, body) of what is to be written."""
        return 0, []

    def add(self, state: _State, index: int, value: Any) -> _State:
        """Return the state with one more result."""
        if not isinstance(value, bytes | bytearray):
            if not isinstance(value, str | os.PathLike):
                raise TypeError(f"a result must be a path, or bytes, not a {type(value).__name__}: {value!r}")
            with open(value, "rb") as file:
                value = file.read()
        lines = bytes(value).split(b"\n", self.header)
        body = lines[-1] if len(lines) > self.header else b""
        state[1].append((bytes(value[: len(value) - len(body)]), body))
        return state

    def merge(self, a: _State, b: _State) -> _State:
        """Write what is not in the file yet; return the state."""
        written, pairs = a[0], [*a[1], *b[1]]
        if not pairs:
            return a
        parts = [body for _, body in pairs]
        if not written:
            parts.insert(0, pairs[0][0])
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        with open(descriptor, "r+b") as file:
            if os.fstat(descriptor).st_size < written:
                raise OSError(f"{self.path} is shorter than what was written to it: {written} bytes")
            file.seek(written)
            file.writelines(parts)
            file.truncate()
        return written + sum(map(len, parts)), []

    def finish(self, state: _State) -> str:
        """Write what is not in the file yet; return its path."""
        self.merge((state[0], list(state[1])), (0, [(b"", b"")]))
        return self.path
