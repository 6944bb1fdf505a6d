"""The process inside a job that runs the user's function, and the memory that it shares with its supervisor.

See `condormap.runner` for how the two work together. Travels with every map; standard library only.
"""

from __future__ import annotations

import io
import mmap
import os
import pickle
import signal
import sys
import time

from .payload import ERROR, FUNCTION_FILE, RESULT, read_items

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, NoReturn

MAX_RECORDS = 1 << 16  # items in one frame
FLUSH_SIZE = 1 << 20  # bytes in one frame, where the items are smaller than that
AREA_SIZE = 2 * FLUSH_SIZE

# Values of these types can always be pickled, and soon: they need no pickler that can change its mind.
SCALARS = frozenset({int, float, complex, bool, str, type(None)})

# The counters in the shared memory.
FINISHED = 0  # records in the memory
LOADED = 1  # 1 once the function is loaded
SPILLED = 2  # the record that lies in the spill file, plus 1


class SharedMemory:
    """The finished items that are not in the outcome file yet: a column per property, and their pickles."""

    def __init__(self) -> None:
        view = memoryview(mmap.mmap(-1, 64 + MAX_RECORDS * 17 + AREA_SIZE))
        stops = [64, 64 + MAX_RECORDS * 8, 64 + MAX_RECORDS * 16, 64 + MAX_RECORDS * 17]
        # Casts to the machine's own 64-bit integers: each is stored at once and never seen half written.
        self.counters = view[: stops[0]].cast("Q")
        self.sizes = view[stops[0] : stops[1]].cast("Q")
        self.nanoseconds = view[stops[1] : stops[2]].cast("Q")
        self.states = view[stops[2] : stops[3]]
        self.area = view[stops[3] :]
        self.spill = open_nameless_file(os.environ.get("_CONDOR_SCRATCH_DIR") or "/tmp")

    def clear(self) -> None:
        """Forget every record; nobody writes meanwhile."""
        self.counters[LOADED] = 0
        self.forget_records()
        self.spill.seek(0)
        self.spill.truncate()

    def forget_records(self) -> None:
        """Start with the first record again, and take each for a result unless the worker says otherwise."""
        self.counters[FINISHED] = self.counters[SPILLED] = 0
        self.states[:] = RESULT.encode() * MAX_RECORDS


class Worker:
    """Computes items one after the other; lives in a process of its own and never returns from `run`."""

    def __init__(
        self,
        spec: dict[str, Any],
        folder: str,
        memory: SharedMemory,
        todo: Sequence[int],
        ask: int,
        acks: int,
    ) -> None:
        self.star: bool = spec["star"]
        self.items = f"{folder}/{spec['items']}"
        self.memory = memory
        self.todo = tuple(todo)
        self.ask = ask
        self.acks = acks
        self.record = 0  # the next one
        self.begin = self.end = 0  # of the newest pickle in the memory's area
        self.spilling = False
        self.pickler = pickle.Pickler(self, protocol=5)

    def run(self) -> NoReturn:
        """Compute all items and leave without the interpreter's clean-up."""
        code = 1
        try:
            os.setpgid(0, 0)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            try:
                with open(f"{self.items}/{FUNCTION_FILE}", "rb") as file:
                    function = pickle.load(file)
            except BaseException as error:
                self._store(describe(error, "unpickling the function"), ord(ERROR), 0)
            else:
                self._compute(function)
            code = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            for stream in (sys.stdout, sys.stderr):
                try:
                    stream.flush()
                except Exception:
                    pass  # the function closed it
            os._exit(code)  # whatever threads and exit handlers the function left behind

    def _compute(self, function: Callable[..., Any]) -> None:
        star, ok, failed = self.star, ord(RESULT), ord(ERROR)
        clock, loads, dumps = time.perf_counter_ns, pickle.loads, pickle.dumps
        counters, sizes, times = self.memory.counters, self.memory.sizes, self.memory.nanoseconds
        area = self.memory.area
        copies: list[bool] = []
        os.register_at_fork(after_in_child=lambda: copies.append(True))
        counters[LOADED] = 1
        for data in read_items(self.items, self.todo):
            started = clock()
            try:
                value = function(*loads(data)) if star else function(loads(data))
                state = ok
            except BaseException as error:
                value, state = describe(error), failed
            elapsed = clock() - started
            if copies:
                os._exit(0)  # a child that the function forked and that came back
            if type(value) in SCALARS:
                # The same as _store(), without its calls: half the time of a trivial item.
                pickled = dumps(value, 5)
                begin, record = self.end, self.record
                end = begin + len(pickled)
                if end < FLUSH_SIZE and record < MAX_RECORDS - 1:
                    area[begin:end] = pickled
                    sizes[record], times[record] = end - begin, elapsed
                    self.end, self.record = end, record + 1
                    counters[FINISHED] = record + 1
                    continue
            self._store(value, state, elapsed)

    def _store(self, value: Any, state: int, nanoseconds: int) -> None:
        """Pickle a value and hand it to the supervisor."""
        begin = self.begin = self.end
        try:
            self.pickler.dump(value)
        except BaseException:
            state = self._store_otherwise(value, state)
        finally:
            self.pickler.clear_memo()
        memory, record = self.memory, self.record
        memory.sizes[record] = memory.spill.tell() if self.spilling else self.end - begin
        memory.nanoseconds[record] = nanoseconds
        if state != ord(RESULT):
            memory.states[record] = state
        self.record = record + 1
        if self.spilling:
            memory.counters[SPILLED] = record + 1
        memory.counters[FINISHED] = record + 1
        if self.spilling or self.end >= FLUSH_SIZE or self.record == MAX_RECORDS:
            os.write(self.ask, b"\0")
            os.read(self.acks, 1)
            self.record = self.begin = 0
            self._rewind()

    def _store_otherwise(self, value: Any, state: int) -> int:
        """Pickle by value what can't be pickled by reference, or else the reason; return the item's state."""
        self._rewind()
        try:
            import cloudpickle

            cloudpickle.dump(value, self, protocol=5)
        except BaseException as error:
            self._rewind()
            reason = describe(error, f"pickling the result, a {type(value).__qualname__}")
            pickle.dump(reason, self, protocol=5)
            return ord(ERROR)
        return state

    def _rewind(self) -> None:
        """Take back what was written of the newest pickle."""
        self.end = self.begin
        if self.spilling:
            self.memory.spill.seek(0)
            self.memory.spill.truncate()
            self.spilling = False

    def write(self, data: Any) -> int:
        """Take the next bytes of a pickle: into the shared memory, or, once too large, the spill file."""
        view = data if type(data) is bytes else pickle.PickleBuffer(data).raw()
        size = len(view)
        if not self.spilling:
            end = self.end + size
            if end <= AREA_SIZE:
                self.memory.area[self.end : end] = view
                self.end = end
                return size
            self.spilling = True
            self._write_spill(self.memory.area[self.begin : self.end])
            self.end = self.begin
        self._write_spill(memoryview(view))
        return size

    def _write_spill(self, view: memoryview) -> None:
        while view:
            view = view[self.memory.spill.write(view) :]


def describe(error: BaseException, while_doing: str = "") -> dict[str, Any]:
    """Return what travels of an exception: the object if it can be pickled, and its traceback as text."""
    import traceback

    trace = error.__traceback__
    if trace is not None and not while_doing:
        trace = trace.tb_next  # without the worker's own frame
    text = "".join(traceback.format_exception(type(error), error, trace))
    return {
        "type": f"{type(error).__module__}.{type(error).__qualname__}",
        "summary": "".join(traceback.format_exception_only(type(error), error)).strip(),
        "traceback": text,
        "while": while_doing,
        "pickle": pickle_error(error),
    }


def pickle_error(error: BaseException) -> bytes | None:
    """Return the pickle of an exception that can be unpickled again, else None."""
    for dumps in (pickle.dumps, _cloudpickle_dumps):
        try:
            data = dumps(error)
            pickle.loads(data)
        except BaseException:
            continue
        return data
    return None


def _cloudpickle_dumps(value: Any) -> bytes:
    import cloudpickle

    return bytes(cloudpickle.dumps(value))


def open_nameless_file(folder: str) -> io.FileIO:
    """Return a new file in `folder` that is gone when it is closed, whoever removes what meanwhile."""
    path = f"{folder}/.condormap-spill.{os.urandom(8).hex()}"
    file = io.FileIO(path, "x+")
    os.unlink(path)
    return file
