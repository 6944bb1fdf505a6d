"""What a job writes to its standard output and error. Travels into the job; standard library only."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

TAIL = 2000  # bytes


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


def flush() -> None:
    """Write what Python, or C code in this process, has in its buffers for standard output and error."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass  # the function closed or replaced it
    if _has_foreign_code():
        import ctypes

        c = ctypes.CDLL(None)
        try:
            c.fflush(ctypes.c_void_p.in_dll(c, "stdout"))
        except (ValueError, AttributeError):
            pass  # another C library than those we know


def leave(code: int) -> NoReturn:
    """End this process without Python's clean-up, but with that of foreign code, which may have files to write."""
    flush()
    if _has_foreign_code():
        import ctypes

        ctypes.PyDLL(None).exit(code)  # C, C++ and Fortran write what they have in their buffers
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
