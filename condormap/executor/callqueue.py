"""The calls of an executor that are not submitted yet; they wait a moment for others, to go together."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..options import JobOptions
from ..payload.chunks import ROUNDS
from .future import CondorFuture

_WINDOW, _LONGEST_WINDOW = 0.005, 0.05  # seconds: they go when no call has come for so long, or by then


@dataclasses.dataclass(slots=True, eq=False)
class Call:
    """A call that is not in the queue of the pool yet."""

    future: CondorFuture
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    options: JobOptions
    chunksize: int | str
    rounds: int = ROUNDS


class CallQueue:
    """The calls, in order. Any thread may use it.

    Attributes
    ----------
    lock : Lock
        Held while a call comes in.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._calls: deque[Call] = deque()
        self._first = self._last = 0.0  # when the first of them came, and the last

    def __len__(self) -> int:
        return len(self._calls)

    def append(self, call: Call) -> bool:
        """Add a call, with the lock held; return whether it is the first."""
        self._last = time.monotonic()
        self._calls.append(call)
        if len(self._calls) > 1:
            return False
        self._first = self._last
        return True

    def seconds_left(self) -> float:
        """Return how long the calls wait for others, from now on."""
        return min(self._last + _WINDOW, self._first + _LONGEST_WINDOW) - time.monotonic()

    def take(self, *, now: bool) -> list[Call]:
        """Take calls that ask for the same; none if it is not time yet, unless they are to go `now`."""
        with self.lock:
            if not now and self.seconds_left() > 0:
                return []
            calls = [call for call in self._calls if not (call.future.cancelling or call.future.done())]
            kind = _kind(calls[0]) if calls else None
            self._calls = deque(call for call in calls if _kind(call) != kind)
        return [call for call in calls if _kind(call) == kind]

    def put_back(self, calls: Iterable[Call]) -> None:
        """Put those back, before the others, that have neither been submitted nor failed."""
        with self.lock:
            back = [call for call in calls if call.future.index is None and not call.future.done()]
            self._calls.extendleft(reversed(back))

    def number(self, future: CondorFuture, index: int) -> bool:
        """Give a call its number, unless it is being cancelled; from then on, that has to be told to its job."""
        with self.lock:
            if future.cancelling or future.done():
                return False
            future.index = index
            return True

    def cancels(self, future: CondorFuture) -> bool:
        """Tell whether a call has no number yet; it is not going to get one then."""
        with self.lock:
            future.cancelling = future.index is None
            return future.cancelling

    def futures(self) -> list[CondorFuture]:
        """Return the futures of all calls."""
        with self.lock:
            return [call.future for call in self._calls]


def _kind(call: Call) -> tuple[JobOptions, int | str, int]:
    return call.options, call.chunksize, call.rounds
