"""The process of a job that starts the one of the function, and writes what that finishes: see `runner`.

The supervisor also sees that an item takes longer than it may (``item_timeout``), and kills the worker, whatever
the function does to signals and threads. Travels into the job; standard library only.
"""

from __future__ import annotations

import json
import mmap
import os
import resource
import select
import signal
import sys
import time

from .payload import DIED, ERROR, RESULT, read_frame, runs_of, write_frame
from .place import Place
from .preflight import other_python, read_needs
from .printed import tails
from .shared import (
    COLUMN,
    COLUMN_NAMES,
    FAILED,
    FINISHED,
    GROUP,
    KEPT,
    LOADED,
    PRINTED,
    SPILLED,
    SharedMemory,
)
from .watch import Watch
from .worker import WRITTEN, Worker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType
    from typing import Any, BinaryIO

TICK = 0.1  # seconds; what was finished before one tick is on disk after the next one
KILL_GRACE = 1.5  # seconds in which HTCondor kills the rest of a job, once it has killed the worker
MAX_TIMES = 1000  # in one frame; of more, and so very short, items the sum is kept


class Supervisor:
    """Runs one attempt at one chunk."""

    worker_class = Worker

    def __init__(self, spec_file: str, chunk: int, job: str, attempt: int = 0) -> None:
        with open(spec_file, "rb") as file:
            self.spec: dict[str, Any] = json.load(file)
        self.place = Place(self.spec, spec_file, chunk)
        self.job = job
        self.attempt = attempt
        self.needs = read_needs(self.place.home)
        self.memory = SharedMemory()
        self.has_loaded = False  # the function, in one of the workers
        self.deaths: dict[int, int] = {}
        self.limit: float | None = self.spec["item_timeout"]
        self.told_to_stop = False

    def run(self) -> int:
        """Compute what earlier attempts left of the chunk; return the job's exit code."""
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self.signals, signals_end = os.pipe()
        os.set_blocking(signals_end, False)
        signal.set_wakeup_fd(signals_end, warn_on_full_buffer=False)
        self.out, attempt, finished = self.place.open_outcome(self.attempt)
        items = self.place.items()
        self.place.enter()
        self.todo: Sequence[int] = [item for item in items if item not in finished] if finished else items
        write_frame(self.out, self._start_header(attempt))
        if self.todo and (other := other_python(self.needs)):
            self._record_for_all(DIED, json.dumps(other).encode())
        while self.todo and not self.told_to_stop:
            self._run_worker()
        write_frame(self.out, self._end_header())
        if self.told_to_stop:
            return 128 + signal.SIGTERM
        remove_empty_output(self.place.folder)
        return 0

    def _stop(self, signum: int, frame: FrameType | None) -> None:
        """Note HTCondor's request to leave the machine; the wait for the worker ends with it."""
        self.told_to_stop = True

    def _start_header(self, attempt: int) -> dict[str, Any]:
        return {
            "kind": "start",
            "attempt": attempt,
            "job": self.job,
            "host": os.uname().nodename,
            "slot": os.environ.get("_CONDOR_SLOT", ""),
            "python": sys.version.split()[0],
            "executable": sys.executable,
            "time": time.time(),
        }

    def _end_header(self) -> dict[str, Any]:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return {
            "kind": "end",
            "complete": not self.todo,
            "time": time.time(),
            "cpu": used.ru_utime + used.ru_stime,
            "max_rss_kb": used.ru_maxrss,
        }

    def _run_worker(self) -> None:
        """Fork a worker for what is left, write what it finishes, and record its death if it dies."""
        memory = self.memory
        memory.clear()
        self.flushed = self.flushed_size = 0
        self.out_size = self.out.tell()
        asks, ask = os.pipe()
        acks, self.ack = os.pipe()
        self.worker = os.fork()
        if self.worker == 0:
            os.close(asks)
            os.close(self.ack)
            self.worker_class(self.spec, self.place, self.needs, memory, self.todo, self.out, ask, acks).run()
        try:
            os.setpgid(self.worker, self.worker)  # the worker does the same: whoever is first
        except OSError:
            pass  # it has ended
        n_todo = len(self.todo)
        self.overdue: int | None = None  # the item whose time was over
        try:
            status = self._follow(asks)
        finally:
            kill_group(self.worker)
            if memory.counters[GROUP]:
                kill_group(memory.counters[GROUP])
        for end in (asks, ask, acks, self.ack):
            os.close(end)
        if memory.counters[LOADED]:
            self.has_loaded = True
        elif memory.counters[FINISHED]:
            self._record_for_all(ERROR, bytes(memory.area[: memory.sizes[0]]))
            return
        self._take_large()
        self._flush(memory.counters[FINISHED])
        self._forget_flushed()
        if not self.todo or self.told_to_stop:
            return
        if memory.counters[FAILED] == 1 and len(self.todo) < n_todo:
            return  # an earlier item took from the worker what it needs, and another worker has it
        self._record_death(status, loading=not memory.counters[LOADED])

    def _follow(self, asks: int) -> int:
        """Write the worker's items as they are finished; return its wait status."""
        seen = 0
        watch = Watch(self.limit)
        while True:
            ready, _, _ = select.select([asks, self.signals], [], [], TICK)
            if self.signals in ready:
                os.read(self.signals, 4096)
            if self.told_to_stop:
                kill(self.worker)
            pid, status = os.waitpid(self.worker, os.WNOHANG)
            if pid:
                return status
            if watch.is_over(len(self.todo), self.memory.counters):
                self.overdue = watch.overdue(self.todo, self.memory.counters)
                kill(self.worker)
            if asks in ready:  # the worker wants something, and waits until it has it
                if os.read(asks, 1) == WRITTEN:
                    self._take_large()
                self._flush(self.memory.counters[FINISHED])
                self._forget_flushed()
                seen = 0
                os.write(self.ack, b"\0")
            elif not ready:
                # Only what was there a tick ago: by now its bytes are visible to this process.
                self._flush(seen)
                seen = self.memory.counters[FINISHED]

    def _flush(self, finished: int) -> None:
        """Write the items that are finished and not in the outcome file yet as one frame."""
        if finished <= self.flushed or not self.memory.counters[LOADED]:
            return
        memory, new = self.memory, slice(self.flushed, finished)
        times, states = memory.nanoseconds[new].tolist(), bytes(memory.states[new]).decode()
        header = {
            "kind": "items",
            "runs": [[run.start, run.stop] for run in runs_of(self.todo[new])],
            "states": states,
            "us": sum(times) // 1000 if len(times) > MAX_TIMES else [time // 1000 for time in times],
        }
        spilled = 0
        if column := memory.counters[COLUMN]:
            header["column"] = COLUMN_NAMES[column - 1]
            in_area = 8 * (finished - self.flushed)
        else:
            sizes = memory.sizes[new].tolist()
            header["sizes"] = sizes[0] if sizes.count(sizes[0]) == len(sizes) else sizes
            spilled = sizes[-1] if memory.counters[SPILLED] == finished else 0
            in_area = sum(sizes) - spilled
        parts: list[bytes | memoryview] = [memory.area[self.flushed_size : self.flushed_size + in_area]]
        if spilled:
            parts.append(memoryview(mmap.mmap(memory.spill.fileno(), spilled, access=mmap.ACCESS_READ)))
        write_frame(self.out, header, parts, in_area + spilled)
        self._forget_checkpoints(self.todo[new], states)
        self.flushed = finished
        self.flushed_size += in_area
        self.out_size = self.out.tell()

    def _take_large(self) -> None:
        """Count the large result that the worker itself wrote; cut it off where the worker died meanwhile."""
        if frame := read_frame(self.out, self.out_size):
            self._forget_checkpoints(self.todo[:1], RESULT)
            self.todo = self.todo[1:]
            self.out_size = frame.end
        self.out.seek(self.out_size)
        self.out.truncate()

    def _forget_checkpoints(self, items: Sequence[int], states: str) -> None:
        """Remove what items have saved that have a result now."""
        if self.memory.counters[KEPT]:
            from .keeping import forget

            forget(self.place.checkpoints, [items[n] for n, state in enumerate(states) if state == RESULT])

    def _forget_flushed(self) -> None:
        """Start the shared memory anew; the worker does not write meanwhile."""
        self.todo = self.todo[self.flushed :]
        self.flushed = self.flushed_size = 0
        self.memory.forget_records()

    def _record_death(self, status: int, *, loading: bool) -> None:
        """Record the death of the worker at its current item, or while it loaded the function."""
        code, item = os.waitstatus_to_exitcode(status), self.todo[0]
        if self.overdue is None:
            if code == -signal.SIGKILL and self._is_being_killed():
                return
        elif self.overdue != item:
            return  # it was over at the last moment, and this is the next one
        self.deaths[item] = self.deaths.get(item, 0) + 1
        if self.deaths[item] <= self.spec["retries"]:
            return
        counters = self.memory.counters
        death = {
            "exit": code,
            "loading": loading,
            "limit": None if self.overdue is None else self.limit,
            "storing": counters[FAILED] == 2,
            "printed": self._printed(),
            "deaths": self.deaths[item],
        }
        data = json.dumps(death).encode()
        if loading and not self.has_loaded:
            self._record_for_all(DIED, data)
        else:
            write_shared(self.out, [item], DIED, data)
            self.todo = self.todo[1:]

    def _printed(self) -> tuple[str, str]:
        """Return the ends of what the item of a dead worker has printed, or the executable that it ran."""
        counters = self.memory.counters
        if counters[GROUP]:
            from .room import tails_of_runs

            return tails_of_runs(os.environ["_CONDOR_SCRATCH_DIR"])
        return tails((counters[PRINTED], counters[PRINTED + 1]))

    def _record_for_all(self, state: str, data: bytes) -> None:
        """Record that the function cannot be loaded, and be done; if it never could, no other job needs to try."""
        write_shared(self.out, self.todo, state, data, preflight=not self.has_loaded)
        self.todo = range(0)

    def _is_being_killed(self) -> bool:
        """Wait a moment, for HTCondor kills the processes of a job one after the other, and this one not first."""
        until = time.monotonic() + KILL_GRACE
        while time.monotonic() < until and not self.told_to_stop:
            time.sleep(TICK)
        return self.told_to_stop


def write_shared(
    out: BinaryIO, items: Sequence[int], state: str, data: bytes, *, preflight: bool = False
) -> None:
    """Write one frame that says the same of several items."""
    runs = [[run.start, run.stop] for run in runs_of(items)]
    header = {"kind": "items", "runs": runs, "states": state, "shared": True}
    write_frame(out, header | {"preflight": True} if preflight else header, [data], len(data))


def kill(worker: int) -> None:
    """Kill the worker, which has not been waited for yet, and what it started."""
    os.kill(worker, signal.SIGKILL)
    kill_group(worker)


def kill_group(worker: int) -> None:
    """Kill the worker and whatever processes it left behind."""
    try:
        os.killpg(worker, signal.SIGKILL)
    except OSError:
        pass  # nobody is left


def remove_empty_output(folder: str) -> None:
    """Remove the job's standard output and error files in `folder` where nothing was written to them."""
    for stream in (1, 2):
        try:
            path = os.readlink(f"/proc/self/fd/{stream}")
            if path.startswith(os.path.realpath(folder) + "/") and os.stat(path).st_size == 0:
                os.unlink(path)
        except OSError:
            pass  # it is no file, or gone
