"""The thread of an executor: it gathers calls, submits them together, and watches over all of them.

::

    submit() -> queue -> (a moment later, all of them) -> submission of the executor's map -> HTCondor
                                                                                                 |
    futures <------------------- Pending <------- MapState (event log, outcome files) <----------+
"""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING

from ..address import PoolAddress
from ..capacity import jobs_at_once
from ..condor import Condor, connect
from ..errors import (
    CondormapError,
    DeadlineError,
    DetachedError,
    PoolLostError,
    SubmitUnknownError,
    UnreachableError,
)
from ..in_job.payload import chunk_file
from ..options import JobOptions
from ..patience import Patience
from ..report.progress import Progress
from ..results import Results
from ..state.map_state import MapState
from ..waiting import Waiter
from .callqueue import Call, CallQueue
from .executor_map import ExecutorMap
from .exiting import interpreter_ends, wait_at_exit_for
from .future import CondorFuture
from .pending import Pending

if TYPE_CHECKING:
    from ..jobs.job import Job

_TRY_AGAIN = 1.0  # seconds until calls are submitted again that the schedd did not answer
_SILENCE = (SubmitUnknownError, UnreachableError, DeadlineError)


class Dispatcher:
    """What a `CondorExecutor` and its views share: the calls, the thread, the map.

    Parameters
    ----------
    address : PoolAddress
        The pool.
    tag : str
        The tag of the map, which is made when there are calls.
    max_workers : int or None
        How many jobs may be in the queue at once.
    """

    def __init__(self, address: PoolAddress, tag: str, max_workers: int | None) -> None:
        self.tag = tag
        self.max_workers = max_workers
        self._address = address
        self._pid = os.getpid()
        self._queue = CallQueue()
        # With the lock of the queue:
        self._thread: threading.Thread | None = None
        self._lost: PoolLostError | None = None
        self._closing = self._detaching = False
        # A finalizer may put something into it at any moment, which nothing with a lock would bear.
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._cancelled: deque[CondorFuture] = deque()
        self._cancel_all = self._exiting = False
        # The thread's own:
        self._map: ExecutorMap | None = None
        self._pending: Pending | None = None
        self._not_before = 0.0
        self._patience = Patience()
        wait_at_exit_for(self)
        connect(address).start()

    @classmethod
    def attach(cls, map: ExecutorMap, max_workers: int | None) -> tuple[Dispatcher, list[CondorFuture]]:
        """Return the dispatcher of a map that exists, and the futures of all its calls."""
        self = cls(map.record.address, map.record.tag, max_workers)
        self._map, self._pending = map, self._new_pending(map)
        state = map.state
        state.poll()
        futures = {item: CondorFuture(self) for item in range(len(state.ledger))}
        for item, future in futures.items():
            future.index, future.place = item, state.chunk_of(item)
        cancelled = [futures[item] for item in map.marked & futures.keys()]
        for future in cancelled:
            Future.cancel(future)
        self._pending.add(futures)
        self._pending.cancelled(cancelled)
        with self._queue.lock:
            self._start()
        return self, list(futures.values())

    # -- for the executor and its futures, in any thread -----------------------------------------------------

    def submit(self, call: Call) -> None:
        """Take a call.

        Raises
        ------
        RuntimeError
            The executor takes no more; a `PoolLostError`, if its pool was lost.
        """
        with self._queue.lock:
            if self._lost is not None:
                raise PoolLostError(str(self._lost)) from self._lost.__cause__
            if interpreter_ends():
                raise RuntimeError("cannot schedule new futures after interpreter shutdown")
            if self._closing or self._detaching:
                raise RuntimeError("cannot schedule new futures after shutdown")
            if os.getpid() != self._pid:
                raise RuntimeError("a CondorExecutor cannot be used in a forked process: make one there")
            if self._queue.append(call):
                self._wake.put(None)
            self._start()

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=f"condormap-executor-{self.tag}")
            self._thread.start()

    def close(self) -> None:
        """Take no more calls, and end when those there are have ended; may be called by a finalizer."""
        self._closing = True
        self._wake.put(None)

    def shut_down(self, *, wait: bool, cancel: bool) -> None:
        """Take no more calls; see `CondorExecutor.shutdown`."""
        with self._queue.lock:  # from here on `submit` refuses
            self._closing = True
        self._cancel_all |= cancel  # for those that are between the queue and the pool
        if cancel:
            for future in self._queue.futures() + (self._pending.futures() if self._pending else []):
                future.cancel()
        self._wake.put(None)
        if wait:
            self.join()

    def exit(self) -> None:
        """End as `close` does, but do not wait for jobs that a user holds."""
        self._exiting = True
        self.close()

    def detach(self) -> bool:
        """Submit what is in the queue and end; return whether there is anything to come back to."""
        with self._queue.lock:
            self._detaching = True
        self._wake.put(None)
        self.join()
        return self._thread is not None

    def join(self) -> None:
        """Wait for the end of the thread."""
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def may_cancel(self, future: CondorFuture) -> bool:
        """Tell whether a call that is pending can be cancelled, and see that it is not made then."""
        if self._queue.cancels(future):
            return True
        assert self._map is not None
        assert future.index is not None
        try:
            self._map.mark(future.index)
        except CondormapError:
            return False  # its job would not know
        place = future.place
        if place is None:
            return True
        if not os.path.exists(chunk_file(place[0].folder / "outcomes", place[1], "0")):
            return True  # its job makes this file, and then reads the mark
        self._map.unmark([future.index])
        return False

    def slots(self, options: JobOptions) -> int:
        """Return how many jobs with these options the pool runs at once."""
        return jobs_at_once(connect(self._address), options)

    def note_cancelled(self, future: CondorFuture) -> None:
        """Take note that a future was cancelled."""
        self._cancelled.append(future)
        self._wake.put(None)

    def job_of(self, future: CondorFuture) -> Job | None:
        """Return the job that makes a call."""
        return None if self._map is None or future.place is None else self._map.job_of(*future.place)

    # -- the thread ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            if self._map is None:
                self._map = ExecutorMap.create(self.tag, self._address)
                self._pending = self._new_pending(self._map)
            with _Watch(self._map.state, self._map.condor, self._pause) as watch:
                watch.until(self._step)
        except BaseException as error:  # nobody is to wait for ever
            self._lose(error)
        else:
            self._end()

    def _new_pending(self, map: ExecutorMap) -> Pending:
        state, condor = map.state, map.condor
        results = Results(
            map.folder, state, lambda: Waiter(state, condor, JobOptions(), Progress(0, "", False))
        )
        return Pending(state, results, condor)

    def _step(self) -> bool:
        """Do what is to be done; return whether that was all."""
        assert self._map is not None
        assert self._pending is not None
        pending = self._pending
        pending.look()
        if self._cancel_all:
            for future in pending.futures():
                future.cancel()
        pending.cancelled([self._cancelled.popleft() for _ in range(len(self._cancelled))])
        if time.monotonic() > self._not_before:
            try:
                if self._map.unsure is not None:
                    pending.add(self._map.send_unsure())
                self._send_skipped()
                self._send_queue()
            except _SILENCE as error:
                self._patience.no_answer(error)
                self._not_before = time.monotonic() + _TRY_AGAIN
            else:
                self._patience.answered()
        if self._exiting and pending.all_held:
            print(
                f"condormap: {len(pending)} calls are on hold, and stay: CondorExecutor.attach({self.tag!r}) "
                "finds them again",
                file=sys.stderr,
            )
            self._detaching = True
        if self._queue or self._cancelled or self._map.unsure is not None:
            return False
        return self._detaching or (self._closing and not pending)

    def _pause(self, seconds: float) -> None:
        """Wait until there is something to do, as far as that is known."""
        assert self._map is not None
        if not (self._queue or self._pending or self._map.unsure):
            timeout = None
        else:
            due = self._queue.seconds_left()
            timeout = min(seconds, due) if self._queue and due > 0 else seconds
        try:
            self._wake.get(timeout=timeout)
            while True:
                self._wake.get_nowait()
        except queue.Empty:
            pass

    def _send_queue(self) -> None:
        """Submit the calls of the queue that are due."""
        assert self._map is not None
        assert self._pending is not None
        while self._room() > 0 and (calls := self._queue.take(now=self._closing or self._detaching)):
            try:
                self._pending.add(self._map.send(calls, self._queue.number, limit=self._room()))
            except _SILENCE:
                raise
            except CondormapError as error:
                for call in calls:
                    call.future.settle(error=error)
            finally:
                self._queue.put_back(calls)

    def _room(self) -> int:
        """Return how many jobs may be submitted now."""
        if self.max_workers is None or self._detaching or self._pending is None:
            return sys.maxsize
        return self.max_workers - self._pending.n_jobs

    def _send_skipped(self) -> None:
        """Submit calls again that their jobs have skipped although they were not cancelled."""
        assert self._map is not None
        assert self._pending is not None
        if not self._pending.skipped:
            return
        try:
            again = self._map.send_skipped(self._pending.skipped)
        except _SILENCE:
            raise
        except CondormapError as error:
            for future in self._pending.skipped:
                future.settle(error=error)
            self._pending.skipped = []
        else:
            self._pending.skipped = []
            self._pending.add(again)

    # -- the end ---------------------------------------------------------------------------------------------

    def _end(self) -> None:
        """Leave the jobs to the pool, or remove the map, of which nothing is needed any more."""
        assert self._map is not None
        assert self._pending is not None
        if self._detaching:
            self._pending.end(
                DetachedError(
                    f"the executor was detached before this call had ended; CondorExecutor.attach({self.tag!r}) "
                    "has it as futures[index]"
                )
            )
            self._map.close()
            return
        try:
            self._map.remove()
        except CondormapError as error:
            warnings.warn(
                f"the folder of the executor {self.tag!r} stays: {error}. "
                f"condormap.remove({self.tag!r}) removes it",
                stacklevel=1,
            )

    def _lose(self, cause: BaseException) -> None:
        """Settle all with the error that ended the thread."""
        if self._map is None:
            text = f"the executor cannot start: {cause}"
        else:
            text = (
                f"the executor has lost its pool: {cause}. Its jobs go on as far as they can; "
                f"CondorExecutor.attach({self.tag!r}) finds them again"
            )
        lost = PoolLostError(text)
        lost.__cause__ = cause
        with self._queue.lock:
            self._lost = lost
        for future in self._queue.futures():
            future.settle(error=lost)
        if self._map is not None and self._map.unsure is not None:
            for future in self._map.unsure[1].values():
                future.settle(error=lost)
        if self._pending is not None:
            self._pending.end(lost)
        if self._map is not None:
            self._map.close()


class _Watch(Waiter):
    """A wait whose pauses end when somebody has something to do."""

    def __init__(self, state: MapState, condor: Condor, pause: Callable[[float], None]) -> None:
        super().__init__(state, condor, JobOptions(), Progress(0, "", False))
        self._pause_of = pause

    def _pause(self, seconds: float) -> None:
        self._pause_of(seconds)
