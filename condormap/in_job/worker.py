"""The process inside a job that runs the user's function.

See `runner` for how it works together with its supervisor. Travels into the job; standard library only.
"""

from __future__ import annotations

import io
import os
import pickle
import signal
import sys
import time

from . import printed
from .items import read_blocks
from .leftovers import Leftovers, out_of_the_way
from .packed import Buffers, load, packed_parts, read_exactly, read_packed
from .payload import COLUMNS, ERROR, FUNCTION_FILE, RESULT, write_frame
from .preflight import LOADING, other_modules
from .shared import (
    AREA_SIZE,
    COLUMN,
    COLUMN_NAMES,
    FAILED,
    FINISHED,
    FLUSH_SIZE,
    LAST_RECORD,
    LOADED,
    PRINTED,
    SPILLED,
    WRITES,
    SharedMemory,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, BinaryIO, NoReturn

    from .place import Place

# Values of these types can always be pickled, and soon: they need no pickler that can change its mind.
SCALARS = frozenset({int, float, complex, bool, str, type(None)})

SLOW = 1_000_000  # nanoseconds; an item that takes longer can be told from the next by where its output ends

# What the worker asks its supervisor for, with a byte; the answer is a byte.
ROOM = b"\0"  # write what is in the memory
WRITTEN = b"\1"  # a large result has been written to the outcome file


current: Worker | None = None  # in the process that it lives in


class Worker:
    """Computes items one after the other; lives in a process of its own and never returns from `run`."""

    def __init__(
        self,
        spec: dict[str, Any],
        place: Place,
        needs: dict[str, Any],
        memory: SharedMemory,
        todo: Sequence[int],
        out: BinaryIO,
        ask: int,
        acks: int,
    ) -> None:
        self.spec = spec
        self.star: bool = spec["star"]
        self.place = place
        self.needs = needs
        self.memory = memory
        self.todo = todo
        self.out = out
        self.ask = ask
        self.acks = acks
        self.n_done = 0  # items that are in the outcome file
        self.record = 0  # the next one
        self.kind: type | None = None  # of the results, where they are in a column
        self.column: memoryview[Any] = memory.sizes  # that column; any, where there is none
        self.begin = self.end = 0  # of the newest pickle in the memory's area
        self.spilling = False
        self.storing = False  # an item is over, but its outcome is not where it belongs
        self.buffers = Buffers()
        self.pickler = pickle.Pickler(self, protocol=5, buffer_callback=self.buffers)

    @property
    def item(self) -> int:
        """The item that is computed now."""
        return self.todo[self.n_done + self.record]

    def run(self) -> NoReturn:
        """Compute all items and leave without the interpreter's clean-up."""
        global current
        current, code = self, 1
        try:
            self._settle_in()
            try:
                with open(f"{self.place.home}/{FUNCTION_FILE}", "rb", buffering=0) as file:
                    function = load(read_packed(file, os.fstat(file.fileno()).st_size)[0])
            except BaseException as error:
                self._store_error(error, LOADING)
            else:
                if others := other_modules(self.needs):
                    print(f"condormap: this job has {', '.join(others)}", file=sys.stderr)
                self._mark_output()
                self._compute(function)
            code = 0
        except BaseException:
            self.memory.counters[FAILED] = 2 if self.storing else 1
            sys.excepthook(*sys.exc_info())
        finally:
            printed.leave(code)  # whatever threads and exit handlers the function left behind

    def _settle_in(self) -> None:
        """Become a process apart from the supervisor."""
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self.ask, self.acks = out_of_the_way(self.ask), out_of_the_way(self.acks)
        self.out, self.memory.spill = _moved(self.out), _moved(self.memory.spill)
        self.lines = printed.Lines()
        self._mark_output()

    def _mark_output(self) -> None:
        """Note that what is written from here on comes from the next item."""
        self.lines.note_modules()
        counters = self.memory.counters
        counters[PRINTED], counters[PRINTED + 1] = printed.positions()

    def _compute(self, function: Callable[..., Any]) -> None:
        star = self.star
        clock = time.perf_counter_ns
        counters, times = self.memory.counters, self.memory.nanoseconds
        leftovers = Leftovers()
        counters[LOADED] = 1
        began = clock()
        for values, unpickle in read_blocks(self.place.store, self.todo, _open_out_of_the_way):
            for value in values:
                if unpickle is not None:
                    try:
                        value = unpickle(value)
                    except BaseException as error:
                        self._store_error(error, "unpickling the item", clock() - began)
                        began = clock()
                        continue
                try:
                    result = function(*value) if star else function(value)
                except BaseException as error:
                    if leftovers:
                        leftovers.undo()
                    self._store_error(error, "", clock() - began)
                    began = clock()
                    continue
                if leftovers:
                    leftovers.undo()
                now = clock()
                took = now - began
                record = self.record
                if type(result) is self.kind:
                    # Numbers, all of one type: the same as _store(), in a tenth of the time.
                    try:
                        self.column[record] = result
                    except (ValueError, OverflowError):  # too large
                        pass
                    else:
                        times[record] = took
                        self.record = counters[FINISHED] = record + 1
                        if took > SLOW or record == LAST_RECORD:
                            if record == LAST_RECORD:
                                self._ask(ROOM)
                            self._mark_output()
                            now = clock()
                        began = now
                        continue
                self._store(result, ord(RESULT), took)
                if took > SLOW:
                    self._mark_output()
                began = clock()

    def _store_error(self, error: BaseException, while_doing: str, nanoseconds: int = 0) -> None:
        """Hand an exception to the supervisor, with what its item wrote to standard output and error."""
        from .thrown import describe

        counters = self.memory.counters
        self.lines.flush()
        tails = printed.tails((counters[PRINTED], counters[PRINTED + 1]))
        told = describe(error, while_doing, tails) | {"others": other_modules(self.needs)}
        self._store(told, ord(ERROR), nanoseconds)
        self._mark_output()

    def _store(self, value: Any, state: int, nanoseconds: int) -> None:
        """Hand a value to the supervisor: in a column or pickled."""
        self.storing = True
        if self.record == 0 and state == ord(RESULT) and self._start_column(value):
            self.memory.nanoseconds[0] = nanoseconds
            self.record = self.memory.counters[FINISHED] = 1
            self.storing = False
            return
        if self.kind is not None:
            self._ask(ROOM)  # what is in the memory is a column; from here on there are pickles
        begin = self.begin = self.end
        if type(value) in SCALARS:
            pickled = pickle.dumps(value, 5)
            if begin + len(pickled) < FLUSH_SIZE:  # soon done, without a pickler that can change its mind
                self.end = begin + len(pickled)
                self.memory.area[begin : self.end] = pickled
                self._finish(state, nanoseconds, len(pickled))
                return
        self.buffers.kept.clear()
        try:
            self.pickler.dump(value)
        except BaseException:
            state = self._store_otherwise(value, state)
        finally:
            self.pickler.clear_memo()
        if self.buffers.kept:
            self._write_packed(nanoseconds)
        else:
            self._finish(state, nanoseconds, self.memory.spill.tell() if self.spilling else self.end - begin)

    def _start_column(self, value: Any) -> bool:
        """Begin the empty memory with a column, if the value is a number of a type that has one."""
        of = type(value)
        name = of.__name__ if of.__module__ == "builtins" else f"{of.__module__}.{of.__name__}"
        code = COLUMNS.get(name) if sys.byteorder == "little" else None
        if code is None:
            return False
        try:
            self.memory.columns[code][0] = value
        except (ValueError, OverflowError):
            return False
        self.kind, self.column = of, self.memory.columns[code]
        self.memory.counters[COLUMN] = COLUMN_NAMES.index(name) + 1
        return True

    def _finish(self, state: int, nanoseconds: int, size: int) -> None:
        """Count the record whose pickle is in the memory, or in the spill file."""
        memory, record = self.memory, self.record
        memory.sizes[record], memory.nanoseconds[record] = size, nanoseconds
        if state != ord(RESULT):
            memory.states[record] = state
        self.record = record + 1
        if self.spilling:
            memory.counters[SPILLED] = record + 1
        memory.counters[FINISHED] = record + 1
        self.storing = False
        if self.spilling or self.end >= FLUSH_SIZE or record == LAST_RECORD:
            self._ask(ROOM)

    def _write_packed(self, nanoseconds: int) -> None:
        """Write the newest pickle and its large buffers to the outcome file, which nobody else does meanwhile."""
        parts = packed_parts(self._newest_pickle(), self.buffers.kept)
        self._ask(ROOM)
        item = self.item
        header = {
            "kind": "items",
            "runs": [[item, item + 1]],
            "states": RESULT,
            "packed": True,
            "us": [nanoseconds // 1000],
        }
        self.memory.counters[WRITES] = 1
        write_frame(self.out, header, parts, sum(len(part) for part in parts))
        self.memory.counters[WRITES] = 0
        self.n_done += 1
        self.storing = False
        self._ask(WRITTEN)

    def _newest_pickle(self) -> bytes:
        if not self.spilling:
            return bytes(self.memory.area[self.begin : self.end])
        self.memory.spill.seek(0)
        return read_exactly(self.memory.spill, os.fstat(self.memory.spill.fileno()).st_size)

    def _ask(self, what: bytes) -> None:
        """Have the supervisor write what is in the memory; it is empty then."""
        os.write(self.ask, what)
        if not os.read(self.acks, 1):
            os._exit(1)  # the supervisor is gone, and with it whoever would read another word
        self.n_done += self.record
        self.record = self.begin = 0
        self.kind = None
        self._rewind()

    def _store_otherwise(self, value: Any, state: int) -> int:
        """Pickle by value what can't be pickled by reference, or else the reason; return the item's state."""
        self._rewind()
        try:
            import cloudpickle

            cloudpickle.dump(value, self, protocol=5, buffer_callback=self.buffers)
        except BaseException as error:
            from .thrown import describe

            self._rewind()
            told = describe(error, f"pickling the result, a {type(value).__qualname__}")
            pickle.dump(told | {"others": other_modules(self.needs)}, self, protocol=5)
            return ord(ERROR)
        return state

    def _rewind(self) -> None:
        """Take back what was written of the newest pickle."""
        self.buffers.kept.clear()
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


def _moved(file: BinaryIO | io.FileIO) -> io.FileIO:
    """Return an open file with its descriptor out of the way."""
    return io.FileIO(out_of_the_way(os.dup(file.fileno())), "r+")


def _open_out_of_the_way(path: str, flags: int) -> int:
    return out_of_the_way(os.open(path, flags))
