"""The calls of an executor: how they travel in the items of its map, and what makes them in the job.

Travels into the job; standard library only there. An item is a pair (number, call), and the call a triple
(function, arguments, keyword arguments). A call that was cancelled before its job began is skipped: its number
stands in a file, which is read once, when the job begins.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import mmap
    from collections.abc import Callable
    from typing import Any

SKIPPED = "condormap: cancelled before its job began"  # the argument of the CancelledError of such a call


class Caller:
    """The function of an executor's map, in the job.

    Parameters
    ----------
    cancelled : str
        The file with the numbers of the calls that were cancelled, a line each.
    """

    def __init__(self, cancelled: str) -> None:
        self._file = cancelled
        self._cancelled: frozenset[int] | None = None

    def __call__(self, number: int, call: tuple[Any, ...]) -> Any:
        """Make a call, or raise CancelledError instead."""
        if self._cancelled is None:
            self._cancelled = cancelled_in(self._file)
        if number in self._cancelled:
            from concurrent.futures import CancelledError

            raise CancelledError(SKIPPED)
        function, args, kwargs = call
        return function(*args, **kwargs)


def mapped(function: Callable[[Any], Any], items: list[Any]) -> list[Any]:
    """Call a function with each of some items."""
    return [function(item) for item in items]


def star_mapped(function: Callable[..., Any], items: list[Any]) -> list[Any]:
    """Call a function with the elements of each of some items."""
    return [function(*item) for item in items]


def mapped_file(path: str, begin: int, size: int) -> mmap.mmap:
    """Return a part of a file as memory, read when it is used; what is written there does not reach the file."""
    import mmap

    with open(path, "rb") as file:
        flags, protection = mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE
        return mmap.mmap(file.fileno(), size, flags=flags, prot=protection, offset=begin)


def cancelled_in(path: str) -> frozenset[int]:
    """Return the numbers that stand in a file; none where there is no such file."""
    try:
        with open(path, "rb") as file:
            return frozenset(map(int, file.read().split()))
    except FileNotFoundError:
        return frozenset()
