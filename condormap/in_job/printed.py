"""What a job writes to its standard output and error. Travels into the job; standard library only."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

TAIL = 2000  # bytes
_LINES = 1  # C's _IOLBF


def positions() -> tuple[int, int]:
    """Return how far standard output and error have been written; 0 where they are no files."""
    return _position(1), _position(2)


def _position(descriptor: int) -> int:
    try:
        return os.lseek(descriptor, 0, os.SEEK_CUR)
    except OSError:
        return 0


def tails(since: tuple[int, int]) -> tuple[str, str]:
    """Return the ends of what was written to standard output and error since those positions."""
    out, err = _tail(1, since[0]), _tail(2, since[1])
    return out, "" if err == out and _are_one() else err


def _tail(descriptor: int, since: int) -> str:
    try:
        size = os.fstat(descriptor).st_size
        if size <= since:
            return ""
        with open(f"/proc/self/fd/{descriptor}", "rb") as file:
            first = max(since, size - TAIL)
            file.seek(first)
            data = file.read(TAIL)
    except OSError:
        return ""  # it is closed, or no file
    if first > since:
        data = data.partition(b"\n")[2] or data
    return data.decode(errors="replace").strip()


def _are_one() -> bool:
    try:
        return os.path.sameopenfile(1, 2)
    except OSError:
        return False


class Lines:
    """Has Python, and C code in this process, write each line at once: a crash leaves no time for it."""

    def __init__(self) -> None:
        self._n_modules = 0
        self._c: Any = None
        try:
            sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
        except Exception:
            pass  # there is none

    def note_modules(self) -> None:
        """Look for C code in the modules that have been loaded since."""
        if self._c is None and len(sys.modules) != self._n_modules:
            self._n_modules = len(sys.modules)
            if _has_foreign_code():
                self._c = _libc()
                if (stdout := _stdout(self._c)) is not None:
                    self._c.setvbuf(stdout, None, _LINES, 0)

    def flush(self) -> None:
        """Write what is not a whole line yet."""
        _flush_python()
        self.note_modules()
        if self._c is not None:
            self._c.fflush(_stdout(self._c))


def _flush_python() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass  # the function closed or replaced it


def _libc() -> Any:
    import ctypes

    return ctypes.PyDLL(None)


def _stdout(c: Any) -> Any:
    """Return C's standard output; in a C library that hides it, all of C's streams."""
    import ctypes

    try:
        return ctypes.c_void_p.in_dll(c, "stdout")
    except ValueError:
        return None


def leave(code: int) -> NoReturn:
    """End this process without Python's clean-up, but with that of foreign code, which may have files to write."""
    _flush_python()
    if _has_foreign_code():
        _libc().exit(code)  # C, C++ and Fortran write what they have in their buffers
    os._exit(code)


def _has_foreign_code() -> bool:
    """Tell whether an extension module has been loaded that is not Python's own, or C is called directly."""
    if "ctypes" in sys.modules:
        return True
    for module in list(sys.modules.values()):
        file = getattr(module, "__dict__", {}).get("__file__")
        if isinstance(file, str) and file.endswith(".so") and "/lib-dynload/" not in file:
            return True
    return False
