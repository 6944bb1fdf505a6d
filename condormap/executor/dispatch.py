"""What a `CondorExecutor`, its views and its futures ask of the executor's thread, from any thread."""

from __future__ import annotations

import os
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING

from ..address import PoolAddress
from ..capacity import jobs_at_once
from ..condor import connect
from ..errors import CondormapError, PoolLostError
from ..in_job.payload import chunk_file
from ..options import JobOptions
from .callqueue import Call, CallQueue
from .executor_map import ExecutorMap
from .exiting import interpreter_ends, wait_at_exit_for
from .future import CondorFuture
from .loop import Loop, Orders
from .pace import Pace

if TYPE_CHECKING:
    from ..jobs.job import Job


class Dispatcher:
    """The calls of an executor and the thread that makes them.

    Parameters
    ----------
    address : PoolAddress
        The pool.
    tag : str
        The tag of the map, which is made when there are calls.
    max_workers : int or None
        How many jobs may be in the queue at once.
    pace : Pace
        How long calls took before.
    """

    def __init__(self, address: PoolAddress, tag: str, max_workers: int | None, pace: Pace) -> None:
        self.tag = tag
        self.max_workers = max_workers
        self._address = address
        self._pid = os.getpid()
        self._orders = Orders()
        self._queue = CallQueue()
        self._loop = Loop(tag, address, max_workers, self._queue, self._orders, pace)
        self._thread: threading.Thread | None = None  # with the lock of the queue
        wait_at_exit_for(self)
        connect(address).start()

    @classmethod
    def attach(
        cls, map: ExecutorMap, max_workers: int | None, pace: Pace
    ) -> tuple[Dispatcher, list[CondorFuture]]:
        """Return the dispatcher of a map that exists, and the futures of all its calls."""
        self = cls(map.record.address, map.record.tag, max_workers, pace)
        pending, state = self._loop.use(map), map.state
        state.poll()
        futures = {item: CondorFuture(self) for item in range(len(state.ledger))}
        for item, future in futures.items():
            future.index, future.place = item, state.chunk_of(item)
        cancelled = [futures[item] for item in map.cancelled.numbers & futures.keys()]
        for future in cancelled:
            Future.cancel(future)
        pending.add(futures)
        pending.cancelled(cancelled)
        with self._queue.lock:
            self._start()
        return self, list(futures.values())

    # -- calls -------------------------------------------------------------------------------------------------

    def submit(self, call: Call) -> None:
        """Take a call.

        Raises
        ------
        RuntimeError
            The executor takes no more; a `PoolLostError`, if its pool was lost.
        """
        if self._forked:  # first, for another thread may have held the lock
            raise RuntimeError("a CondorExecutor cannot be used in a forked process: make one there")
        with self._queue.lock:
            if (lost := self._loop.lost) is not None:
                raise PoolLostError(str(lost)) from lost.__cause__
            if interpreter_ends():
                raise RuntimeError("cannot schedule new futures after interpreter shutdown")
            if self._orders.close or self._orders.detach:
                raise RuntimeError("cannot schedule new futures after shutdown")
            if self._queue.append(call):
                self._loop.wake()
            self._start()

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._loop.run, name=f"condormap-executor-{self.tag}")
            self._thread.start()

    def may_cancel(self, future: CondorFuture) -> bool:
        """Tell whether a call that is pending can be cancelled, and see that it is not made then."""
        if self._queue.cancels(future):
            return True
        map = self._loop.map
        assert map is not None
        assert future.index is not None
        try:
            map.cancelled.mark(future.index)
        except CondormapError:
            return False  # its job would not know
        place = future.place
        if place is None:
            return True
        if not os.path.exists(chunk_file(place[0].folder / "outcomes", place[1], "0")):
            return True  # its job makes this file, and then reads the mark
        map.cancelled.unmark([future.index])
        return False

    def note_cancelled(self, future: CondorFuture) -> None:
        """Take note that a future was cancelled."""
        self._loop.note_cancelled(future)

    def job_of(self, future: CondorFuture) -> Job | None:
        """Return the job that makes a call."""
        map = self._loop.map
        return None if map is None or future.place is None else map.job_of(*future.place)

    def slots(self, options: JobOptions) -> int:
        """Return how many jobs with these options the pool runs at once."""
        return jobs_at_once(connect(self._address), options)

    # -- the end -----------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Take no more calls, and end when those there are have ended; may be called by a finalizer."""
        self._orders.close = True
        self._loop.wake()

    def shut_down(self, *, wait: bool, cancel: bool) -> None:
        """Take no more calls; see `CondorExecutor.shutdown`."""
        if self._forked:
            return
        with self._queue.lock:  # from here on `submit` refuses
            self._orders.close = True
        self._orders.cancel |= cancel  # for those that are between the queue and the pool
        if cancel:
            pending = self._loop.pending
            for future in self._queue.futures() + (pending.futures() if pending else []):
                future.cancel()
        self._loop.wake()
        if wait:
            try:
                self.join()
            except KeyboardInterrupt as interrupt:
                interrupt.add_note(
                    f"condormap: the program waits at its end for the calls of the executor {self.tag!r}; Ctrl-C "
                    "leaves them to the pool then"
                )
                raise

    def terminate(self) -> None:
        """Take no more calls, cancel them, and remove their jobs."""
        self._orders.terminate = True
        self.shut_down(wait=False, cancel=True)

    def detach(self) -> bool:
        """Submit what is in the queue and end; return whether there is anything to come back to."""
        with self._queue.lock:
            self._orders.detach = True
        self._loop.wake()
        self.join()
        return self._thread is not None

    def exit(self) -> None:
        """End as `close` does, but do not wait for jobs that a user holds."""
        self._orders.exit = True
        self.close()

    def leave(self) -> None:
        """Leave the calls to the pool, at the end of the interpreter."""
        self._orders.leave = True
        self.exit()

    def join(self) -> None:
        """Wait for the end of the thread."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread() and not self._forked:
            self._loop.wait()
            thread.join()

    @property
    def _forked(self) -> bool:
        return os.getpid() != self._pid
