"""The thread of an executor: it submits calls together, and watches over all of them until they have ended.

::

    CallQueue -> (a moment later, all of them) -> submission of the executor's map -> HTCondor
                                                                                          |
    futures <------------------- Pending <------- MapState (event log, outcome files) <---+
"""

from __future__ import annotations

import dataclasses
import queue
import sys
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable

from ..address import PoolAddress
from ..condor import Condor
from ..errors import (
    CondormapError,
    DeadlineError,
    DetachedError,
    PoolLostError,
    SubmitUnknownError,
    UnreachableError,
)
from ..options import JobOptions
from ..patience import Patience
from ..report.progress import Progress
from ..results import Results
from ..state.map_state import MapState
from ..waiting import Waiter
from .callqueue import CallQueue
from .executor_map import ExecutorMap
from .future import CondorFuture
from .pace import Pace
from .pending import Pending

_TRY_AGAIN = 1.0  # seconds until calls are submitted again that the schedd did not answer
_SILENCE = (SubmitUnknownError, UnreachableError, DeadlineError)


@dataclasses.dataclass(slots=True, eq=False)
class Orders:
    """What the thread is to do beside making calls; any thread may set it, and wakes the executor's then.

    Parameters
    ----------
    close : bool
        End when all calls have.
    cancel : bool
        Cancel the calls whose jobs have not begun.
    terminate : bool
        Remove the jobs of the others.
    exit : bool
        The interpreter ends: do not wait for jobs that a user holds.
    leave : bool
        Somebody interrupts the end of the interpreter: leave all calls to the pool, and say so.
    detach : bool
        Leave all calls to the pool.
    """

    close: bool = False
    cancel: bool = False
    terminate: bool = False
    exit: bool = False
    leave: bool = False
    detach: bool = False


class Loop:
    """What the thread of an executor does.

    Parameters
    ----------
    tag : str
        The tag of the map, which is made when there are calls.
    address : PoolAddress
        The pool.
    max_workers : int or None
        How many jobs may be in the queue at once.
    calls : CallQueue
        The calls that are not submitted yet.
    orders : Orders
        What else is to be done.
    pace : Pace
        How long calls took before.

    Attributes
    ----------
    map : ExecutorMap or None
        The map.
    pending : Pending or None
        Its calls.
    lost : PoolLostError or None
        Why it ended before its time; the lock of the calls is held while this is set.
    """

    def __init__(
        self,
        tag: str,
        address: PoolAddress,
        max_workers: int | None,
        calls: CallQueue,
        orders: Orders,
        pace: Pace,
    ) -> None:
        self.map: ExecutorMap | None = None
        self.pending: Pending | None = None
        self.lost: PoolLostError | None = None
        self._tag = tag
        self._address = address
        self._max_workers = max_workers
        self._queue = calls
        self._orders = orders
        self._pace = pace
        # A finalizer may put something into it at any moment, which nothing with a lock would bear.
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._cancelled: deque[CondorFuture] = deque()
        self._not_before = 0.0
        self._patience = Patience()
        self._ended = threading.Event()

    def use(self, map: ExecutorMap) -> Pending:
        """Take the map, and return its calls, of which there are none yet."""
        state, condor = map.state, map.condor
        results = Results(
            map.folder, state, lambda: Waiter(state, condor, JobOptions(), Progress(0, "", False))
        )
        self.map, self.pending = map, Pending(state, results, condor, self._pace)
        return self.pending

    # -- for any thread ----------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Have it look at once what is to be done."""
        self._wake.put(None)

    def note_cancelled(self, future: CondorFuture) -> None:
        """Take note that a future was cancelled."""
        self._cancelled.append(future)
        self.wake()

    def wait(self) -> None:
        """Wait until it has ended, again after an interrupt: `Thread.join` can't before Python 3.13."""
        self._ended.wait()

    # -- the thread's ------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Run until there is nothing more to do."""
        try:
            map = self.map
            if map is None:
                map = ExecutorMap.create(self._tag, self._address)
                self.use(map)
            with _Watch(map.state, map.condor, self._pause) as watch:
                watch.until(self._step)
        except BaseException as error:  # nobody is to wait for ever
            self._lose(error)
        else:
            self._end()
        finally:
            self._ended.set()

    def _step(self) -> bool:
        """Do what is to be done; return whether that was all."""
        assert self.map is not None
        assert self.pending is not None
        pending, orders = self.pending, self._orders
        pending.look()
        if orders.cancel:
            for future in pending.futures():
                future.cancel()
        pending.cancelled([self._cancelled.popleft() for _ in range(len(self._cancelled))])
        if time.monotonic() > self._not_before:
            try:
                if self.map.unsure is not None:
                    pending.add(self.map.send_unsure())
                self._send_skipped()
                self._send_queue()
                if orders.terminate:
                    pending.remove_jobs()
            except _SILENCE as error:
                self._patience.no_answer(error)
                self._not_before = time.monotonic() + _TRY_AGAIN
            else:
                self._patience.answered()
        if pending and (orders.leave or (orders.exit and pending.all_held)):
            orders.detach = True
        if self._queue or self._cancelled or self.map.unsure is not None:
            return False
        return orders.detach or (orders.close and not pending)

    def _pause(self, seconds: float) -> None:
        """Wait until there is something to do, as far as that is known."""
        assert self.map is not None
        if not (self._queue or self.pending or self.map.unsure):
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
        assert self.map is not None
        assert self.pending is not None
        at_once = self._orders.close or self._orders.detach
        while self._room() > 0 and (calls := self._queue.take(now=at_once)):
            try:
                self.pending.add(self.map.send(calls, self._queue.number, self._pace, limit=self._room()))
            except _SILENCE:
                raise
            except Exception as error:  # a warning too, where those are errors
                for call in calls:
                    call.future.settle(error=error)
            finally:
                self._queue.put_back(calls)

    def _room(self) -> int:
        """Return how many jobs may be submitted now."""
        if self._max_workers is None or self._orders.detach or self.pending is None:
            return sys.maxsize
        return self._max_workers - self.pending.n_jobs

    def _send_skipped(self) -> None:
        """Submit calls again that their jobs have skipped although they were not cancelled."""
        assert self.map is not None
        assert self.pending is not None
        if not self.pending.skipped:
            return
        try:
            again = self.map.send_skipped(self.pending.skipped)
        except _SILENCE:
            raise
        except CondormapError as error:
            for future in self.pending.skipped:
                future.settle(error=error)
            self.pending.skipped = []
        else:
            self.pending.skipped = []
            self.pending.add(again)

    # -- the end ---------------------------------------------------------------------------------------------

    def _end(self) -> None:
        """Leave the jobs to the pool, or remove the map, of which nothing is needed any more."""
        assert self.map is not None
        assert self.pending is not None
        if self._orders.detach:
            self._tell_what_stays()
            self.pending.end(
                DetachedError(
                    f"the executor was detached before this call had ended; CondorExecutor.attach({self._tag!r}) "
                    "has it as futures[index]"
                )
            )
            self.map.close()
            return
        try:
            self.map.remove()
        except CondormapError as error:
            warnings.warn(
                f"the folder of the executor {self._tag!r} stays: {error}. "
                f"condormap.remove({self._tag!r}) removes it",
                stacklevel=1,
            )

    def _tell_what_stays(self) -> None:
        """Say at the end of the interpreter what it did not wait for."""
        if not self._orders.exit:
            return
        n, how = (
            len(self.pending or ()),
            "go on in the pool" if self._orders.leave else "are on hold, and stay",
        )
        print(
            f"condormap: {n} calls {how}: CondorExecutor.attach({self._tag!r}) finds them again, "
            f"condormap.remove({self._tag!r}) removes them",
            file=sys.stderr,
        )

    def _lose(self, cause: BaseException) -> None:
        """Settle all with the error that ended the thread."""
        if self.map is None:
            text = f"the executor cannot start: {cause}"
        else:
            text = (
                f"the executor has lost its pool: {str(cause).rstrip('.')}. Its jobs go on as far as they can; "
                f"CondorExecutor.attach({self._tag!r}) finds them again"
            )
        lost = PoolLostError(text)
        lost.__cause__ = cause
        with self._queue.lock:
            self.lost = lost
        for future in self._queue.futures():
            future.settle(error=lost)
        if self.map is not None and self.map.unsure is not None:
            for future in self.map.unsure[1].values():
                future.settle(error=lost)
        if self.pending is not None:
            self.pending.end(lost)
        if self.map is not None:
            self.map.close()


class _Watch(Waiter):
    """A wait whose pauses end when somebody has something to do."""

    def __init__(self, state: MapState, condor: Condor, pause: Callable[[float], None]) -> None:
        super().__init__(state, condor, JobOptions(), Progress(0, "", False))
        self._pause_of = pause

    def _pause(self, seconds: float) -> None:
        self._pause_of(seconds)
