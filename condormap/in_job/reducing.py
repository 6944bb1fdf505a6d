"""Reducing in the job: the results of items are added to one state, which travels instead of them.

Travels into the job; standard library only. As in `worker` and `supervisor`, but for how results
come back: the worker itself writes a frame that has the state of its items (see `payload`), and begins
another state. So a state counts for the items of its frame, or, where the worker dies before, for none: these
are computed again. Frames come the more rarely the longer a job takes: an hour's job writes about 90.
"""

from __future__ import annotations

import os
import pickle
import time

from .packed import Buffers, load, packed_parts, read_packed
from .payload import ERROR, REDUCER_FILE, RESULT, read_frame, runs_of, write_frame
from .preflight import other_modules
from .shared import AGAIN, FINISHED, FLUSH_SIZE, LOADED, MAX_RECORDS, WRITES
from .supervisor import MAX_TIMES, Supervisor
from .thrown import describe
from .worker import WRITTEN, Worker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

FIRST_PAUSE = 0.2  # seconds between two frames, at the least,
SHARE = 0.1  # or this share of the time since the beginning,
COST = 20  # or so many times as long as the last frame took
LARGE = 16 << 20  # bytes of results in a state that grows with each


class _LeaveError(BaseException):
    """The worker leaves, and another one computes again what has no frame."""


class ReducingWorker(Worker):
    """A worker that adds the results up."""

    def _compute(self, function: Callable[..., Any]) -> None:
        try:
            with open(f"{self.place.home}/{REDUCER_FILE}", "rb", buffering=0) as file:
                self.reducer = load(read_packed(file, os.fstat(file.fileno()).st_size)[0])
            self.state = self.reducer.zero()
        except BaseException as error:
            self._store_error(error, "loading the reducer")
            return
        self.keep = self.spec["reduce"] == "keep"
        self.one_by_one: bool = self.spec.get("one_by_one", False)  # a frame for each item
        self.unreduced: bool = self.spec.get("unreduced", False)  # the state can't travel, so results do
        self.ordered: bool = getattr(self.reducer, "ordered", True)
        self.collects: bool = getattr(self.reducer, "collects", False)
        self.position = 0  # of the next item
        self.began = self.last = time.monotonic()
        self.pause = FIRST_PAUSE
        self._forget()
        try:
            super()._compute(function)
            self._hand_over()
        except _LeaveError:
            pass

    @property
    def item(self) -> int:
        """The item that is computed now."""
        return self.todo[self.position]

    def _forget(self) -> None:
        """Begin with no items."""
        self.new_items: list[int] = []  # since the last frame
        self.states = bytearray()
        self.pickles: list[bytes] = []
        self.times: list[int] = []
        self.size = self.collected = 0

    def _store(self, value: Any, state: int, nanoseconds: int) -> None:
        """Add a result to the state, or note an error."""
        if not self.memory.counters[LOADED]:
            super()._store(value, state, nanoseconds)
            return
        self.storing = True
        item, is_result = self.item, state == ord(RESULT)
        if self.ordered and self.new_items and (not is_result or item != self.new_items[-1] + 1):
            self._hand_over()  # the state of an ordered reducer has no gap
        data = b""
        if not is_result:
            data = pickle.dumps(value, 5)
        elif self.keep or self.unreduced:
            data, state = self._pickled(value)
            is_result = state == ord(RESULT)
        if is_result and not self.unreduced:
            try:
                before, self.state = self.state, self.reducer.add(self.state, item, value)
                if self.state is None and before is not None:
                    raise TypeError("add() returned None")  # it is told where the result is added again
            except BaseException:
                self._send_unreduced(item, value, nanoseconds)
                self.storing = False
                return
            if self.collects:
                self.collected += _size(value)
        self._note(item, state, data, nanoseconds)
        alone = self.one_by_one or (self.ordered and not is_result)
        full = max(self.size, self.collected * FLUSH_SIZE // LARGE) >= FLUSH_SIZE
        if alone or full or len(self.new_items) == MAX_RECORDS or time.monotonic() > self.last + self.pause:
            self._hand_over()
        self.storing = False

    def _note(self, item: int, state: int, data: bytes, nanoseconds: int) -> None:
        self.new_items.append(item)
        self.states.append(state)
        self.pickles.append(data)
        self.times.append(nanoseconds // 1000)
        self.size += len(data)
        self.position += 1
        self.memory.counters[FINISHED] = len(self.new_items)

    def _send_unreduced(self, item: int, value: Any, nanoseconds: int) -> None:
        """Send a result that could not be added as it is; adding it again where it arrives tells why.

        What it left of the state is of no use, so the items in it are computed again, from now on one by one.
        """
        others = bool(self.new_items)
        data, state = self._pickled(value)
        self._forget()
        self._note(item, state, data, nanoseconds)
        self._write([], 0)
        if others:
            self.memory.counters[AGAIN] = 1
            raise _LeaveError
        self._forget()
        self.one_by_one = True
        self.state = self.reducer.zero()

    def _pickled(self, value: Any) -> tuple[bytes, int]:
        """Return the pickle of a result and the state of its item: an error where it can't be pickled."""
        try:
            return _dumps(value), ord(RESULT)
        except BaseException as error:
            reason = describe(error, f"pickling the result, a {type(value).__qualname__}")
            return pickle.dumps(reason | {"others": other_modules(self.needs)}, 5), ord(ERROR)

    def _hand_over(self) -> None:
        """Write a frame of the new items and their state, and begin another state."""
        if not self.new_items:
            return
        began = time.monotonic()
        self.memory.counters[WRITES] = 1
        parts: list[bytes | memoryview] = []
        if RESULT.encode() in self.states and not self.unreduced:
            buffers = Buffers()
            try:
                data = _dumps(self.state, buffers)
            except BaseException:
                self.memory.counters[AGAIN] = 2
                raise _LeaveError from None
            parts = packed_parts(data, buffers.kept) if buffers.kept else [data]
        self._write(parts, sum(len(part) for part in parts))
        self.memory.counters[WRITES] = 0
        self._forget()
        self.state = self.reducer.zero()
        self.last = time.monotonic()
        self.pause = max(FIRST_PAUSE, SHARE * (self.last - self.began), COST * (self.last - began))

    def _write(self, state: Sequence[bytes | memoryview], size: int) -> None:
        """Write the frame of the new items."""
        header = {
            "kind": "items",
            "runs": [[run.start, run.stop] for run in runs_of(self.new_items)],
            "states": self.states.decode(),
            "sizes": [len(data) for data in self.pickles] if self.size else 0,
            "us": sum(self.times) if len(self.times) > MAX_TIMES else self.times,
        }
        if state:
            header["state"] = size
        write_frame(self.out, header, [*state, *self.pickles], size + self.size)
        self._ask(WRITTEN)


class ReducingSupervisor(Supervisor):
    """A supervisor of such workers."""

    worker_class = ReducingWorker

    def _flush(self, finished: int) -> None:
        """Note how many items are finished that no frame has yet: the worker writes the frames."""
        self.unwritten = finished

    def _take_large(self) -> None:
        """Count the items of the frame that the worker wrote; cut it off where the worker died meanwhile."""
        if frame := read_frame(self.out, self.out_size):
            items = [item for start, stop in frame.header["runs"] for item in range(start, stop)]
            self._forget_checkpoints(items, frame.header["states"])
            self.todo = without(self.todo, items)
            self.out_size = frame.end
            self.memory.counters[FINISHED] = self.memory.counters[WRITES] = 0
        self.out.seek(self.out_size)
        self.out.truncate()

    def _record_death(self, status: int, *, loading: bool) -> None:
        """Record the death of the worker at its current item; those before it that have no frame run again."""
        counters = self.memory.counters
        if counters[AGAIN]:
            self.spec["one_by_one" if counters[AGAIN] == 1 else "unreduced"] = True
            return
        if loading:
            super()._record_death(status, loading=loading)
            return
        at = self.unwritten
        if counters[WRITES]:  # it died with the state, and it can't be told which item made it so
            self.spec["one_by_one"] = True
            at -= 1
        self.todo = [self.todo[at], *self.todo[:at], *self.todo[at + 1 :]]
        super()._record_death(status, loading=False)
        self.todo = sorted(self.todo)


def _size(value: Any) -> int:
    """Return about how many bytes a result has, as far as it is arrays, or a dict or tuple of them."""
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else (value,)
    return sum(getattr(part, "nbytes", 0) or 64 for part in parts)


def _dumps(value: Any, buffers: Buffers | None = None) -> bytes:
    """Return a pickle, by value where by reference doesn't do; `buffers` gets what stays out of it."""
    try:
        return pickle.dumps(value, 5, buffer_callback=buffers)
    except Exception:
        import cloudpickle

        if buffers is not None:
            buffers.kept.clear()
        return bytes(cloudpickle.dumps(value, 5, buffer_callback=buffers))


def without(todo: Sequence[int], items: Sequence[int]) -> Sequence[int]:
    """Return the items that are still to be computed, in ascending order; most often others follow on these."""
    if list(todo[: len(items)]) == items:
        return todo[len(items) :]  # a range stays one
    gone = set(items)
    return [item for item in todo if item not in gone]
