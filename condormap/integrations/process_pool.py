"""MapPool: the interface of `multiprocessing.Pool` on an HTCondor pool."""

from __future__ import annotations

import itertools
import multiprocessing
import queue
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from concurrent.futures import Future, wait
from functools import partial
from typing import Any, Generic, Self, TypeVar

from ..address import PoolAddress
from ..executor.executor import CondorExecutor
from ..executor.future import CondorFuture
from ..executor.pace import Pace, kind_of
from ..payload.chunks import plan_chunks
from ..payload.stand_in import in_job
from ..pool.personal import PersonalPool

T = TypeVar("T")
_LATE = "the result is not there yet; the call goes on"


class PoolTimeoutError(multiprocessing.TimeoutError, TimeoutError):
    """A result was not there in time: the error of `multiprocessing`, and Python's own."""


class MapPool:
    """A pool as of `multiprocessing.Pool`, whose workers are jobs: for emcee, dynesty and whatever takes a pool.

    Functions and items travel as with `condormap`, so that lambdas and closures do. A call of `map` or `starmap`
    sends the function once for each job.

    Parameters
    ----------
    processes : int or None
        How many jobs may be in the queue at once; None for no limit.
    pool, schedd
        The pool, as for `condormap`.
    **options
        What each job asks for, as for `condormap`.

    Attributes
    ----------
    size : int
        How many jobs the pool runs at once.

    Examples
    --------
    >>> from condormap import MapPool
    >>> with MapPool() as pool:
    ...     pool.map(abs, [-1, -2])
    [1, 2]
    """

    def __init__(
        self,
        processes: int | None = None,
        *,
        pool: PersonalPool | PoolAddress | str | None = None,
        schedd: str | None = None,
        **options: Any,
    ) -> None:
        self._executor = CondorExecutor(processes, pool=pool, schedd=schedd, **options)
        self._each = self._executor.with_options(chunksize=1)
        self._pace = Pace()
        self._running = True

    def __repr__(self) -> str:
        return f"<MapPool {self._executor.tag}>"

    @property
    def size(self) -> int:
        """How many jobs the pool runs at once."""
        return self._executor.slots

    @property
    def _processes(self) -> int:
        """What libraries look for that know `multiprocessing.Pool`."""
        return self.size

    # -- calls -----------------------------------------------------------------------------------------------

    def apply(
        self, func: Callable[..., T], args: Iterable[Any] = (), kwds: Mapping[str, Any] | None = None
    ) -> T:
        """Return ``func(*args, **kwds)``."""
        return self.apply_async(func, args, kwds).get()

    def apply_async(
        self,
        func: Callable[..., T],
        args: Iterable[Any] = (),
        kwds: Mapping[str, Any] | None = None,
        callback: Callable[[T], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> AsyncResult[T]:
        """Have the function called, and return what its result can be had from."""
        self._check_running()
        future = self._executor.submit(func, *args, **(kwds or {}))
        return AsyncResult([future], lambda: future.result(), callback, error_callback)

    def map(self, func: Callable[[Any], T], iterable: Iterable[Any], chunksize: int | None = None) -> list[T]:
        """Return ``list(map(func, iterable))``."""
        return self.map_async(func, iterable, chunksize).get()

    def map_async(
        self,
        func: Callable[[Any], T],
        iterable: Iterable[Any],
        chunksize: int | None = None,
        callback: Callable[[list[T]], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> AsyncResult[list[T]]:
        """Do as `map`, without waiting."""
        return self._in_chunks("mapped", func, iterable, chunksize, callback, error_callback)

    def starmap(
        self, func: Callable[..., T], iterable: Iterable[Iterable[Any]], chunksize: int | None = None
    ) -> list[T]:
        """Return ``list(itertools.starmap(func, iterable))``."""
        return self.starmap_async(func, iterable, chunksize).get()

    def starmap_async(
        self,
        func: Callable[..., T],
        iterable: Iterable[Iterable[Any]],
        chunksize: int | None = None,
        callback: Callable[[list[T]], object] | None = None,
        error_callback: Callable[[BaseException], object] | None = None,
    ) -> AsyncResult[list[T]]:
        """Do as `starmap`, without waiting."""
        return self._in_chunks("star_mapped", func, iterable, chunksize, callback, error_callback)

    def imap(
        self, func: Callable[[Any], T], iterable: Iterable[Any], chunksize: int | None = None
    ) -> Iterator[T]:
        """Return an iterator over the results, in order; an error does not end it."""
        return _Results(self._submit_all(func, iterable, chunksize))

    def imap_unordered(
        self, func: Callable[[Any], T], iterable: Iterable[Any], chunksize: int | None = None
    ) -> Iterator[T]:
        """Return an iterator over the results, as they come; an error does not end it."""
        return _AsTheyCome(self._submit_all(func, iterable, chunksize))

    def _submit_all(
        self, func: Callable[[Any], T], iterable: Iterable[Any], chunksize: int | None
    ) -> list[Future[T]]:
        self._check_running()
        executor = self._executor if chunksize is None else self._executor.with_options(chunksize=chunksize)
        return [executor.submit(func, item) for item in iterable]

    def _in_chunks(
        self,
        how: str,
        func: Callable[..., T],
        iterable: Iterable[Any],
        chunksize: int | None,
        callback: Callable[[list[T]], object] | None,
        error_callback: Callable[[BaseException], object] | None,
    ) -> AsyncResult[list[T]]:
        self._check_running()
        items = list(iterable)
        size = "auto" if chunksize is None else chunksize
        slots, kind = self.size if items else 1, kind_of(func)
        rounds = self._pace.rounds(itertools.repeat(kind, len(items)), slots)
        run = in_job("calls", how)
        futures = []
        for chunk in plan_chunks(len(items), chunksize=size, slots=slots, rounds=rounds):
            futures.append(self._each.submit(run, func, items[chunk.start : chunk.stop]))
            futures[-1].add_done_callback(partial(self._note_pace, kind, len(chunk)))

        def results() -> list[T]:
            return list(itertools.chain.from_iterable(future.result() for future in futures))

        return AsyncResult(futures, results, callback, error_callback)

    def _note_pace(self, kind: Hashable, n_items: int, future: Future[Any]) -> None:
        if isinstance(future, CondorFuture) and future.seconds is not None:
            self._pace.note(kind, future.seconds / n_items)

    # -- the end ---------------------------------------------------------------------------------------------

    def _check_running(self) -> None:
        if not self._running:
            raise ValueError("Pool not running")

    def close(self) -> None:
        """Take no more calls."""
        self._running = False
        self._executor.shutdown(wait=False)

    def terminate(self) -> None:
        """Take no more calls, cancel those whose jobs have not begun, and remove the jobs of the others."""
        self._running = False
        self._executor.terminate_workers()

    def join(self) -> None:
        """Wait for all calls, after `close` or `terminate`."""
        if self._running:
            raise ValueError("Pool is still running")
        self._executor.shutdown()

    def __enter__(self) -> Self:
        self._check_running()
        return self

    def __exit__(self, *_: object) -> None:
        """End as `multiprocessing.Pool` does: what has not ended is stopped."""
        self.terminate()
        self.join()

    def __reduce__(self) -> Any:
        raise NotImplementedError("a MapPool cannot be passed to a job or pickled")


class AsyncResult(Generic[T]):
    """The result of a call that may not have ended, as of `multiprocessing.pool`.

    Parameters
    ----------
    futures : list of Future
        What it depends on.
    result : callable
        Returns the result, or raises the error, when these are done.
    callback, error_callback : callable or None
        Called with the result, or the error.
    """

    def __init__(
        self,
        futures: list[Any],
        result: Callable[[], T],
        callback: Callable[[T], object] | None,
        error_callback: Callable[[BaseException], object] | None,
    ) -> None:
        self._futures = futures
        self._result = result
        if callback is not None or error_callback is not None:
            left = itertools.count(len(futures) - 1, -1)
            for future in futures:  # all call back from one thread
                future.add_done_callback(partial(self._call_back, left, callback, error_callback))
            if not futures and callback is not None:
                callback(result())

    def _call_back(
        self,
        left: Iterator[int],
        callback: Callable[[T], object] | None,
        error_callback: Callable[[BaseException], object] | None,
        _: Future[Any],
    ) -> None:
        if next(left):
            return
        try:
            value = self._result()
        except BaseException as error:
            if error_callback is not None:
                error_callback(error)
        else:
            if callback is not None:
                callback(value)

    def wait(self, timeout: float | None = None) -> None:
        """Wait until the call has ended, for so many seconds at most."""
        wait(self._futures, timeout)

    def ready(self) -> bool:
        """Tell whether the call has ended."""
        return all(future.done() for future in self._futures)

    def successful(self) -> bool:
        """Tell whether it ended without an error; a ValueError if it has not ended."""
        if not self.ready():
            raise ValueError(f"{self!r} not ready")
        return all(not future.cancelled() and future.exception() is None for future in self._futures)

    def get(self, timeout: float | None = None) -> T:
        """Return the result, or raise the error.

        Raises
        ------
        PoolTimeoutError
            So many seconds were not enough; a `multiprocessing.TimeoutError` and a TimeoutError.
        """
        until = None if timeout is None else time.monotonic() + timeout
        for future in self._futures:  # the first error ends the wait
            _wait_for(future, None if until is None else max(0.0, until - time.monotonic()))
            future.result()
        return self._result()


class _Results(Iterator[T]):
    """Results of futures, in order; no generator, for it goes on after one that raised."""

    def __init__(self, futures: Iterable[Future[T]]) -> None:
        self._futures = deque(futures)

    def __next__(self) -> T:
        return self.next()

    def next(self, timeout: float | None = None) -> T:
        """Return the next result; one that takes too long (`PoolTimeoutError`) is still the next then."""
        if not self._futures:
            raise StopIteration
        _wait_for(self._futures[0], timeout)
        return self._futures.popleft().result()


class _AsTheyCome(Iterator[T]):
    """Results of futures, as they come; it goes on after one that raised."""

    def __init__(self, futures: list[Future[T]]) -> None:
        self._n_left = len(futures)
        self._done: queue.SimpleQueue[Future[T]] = queue.SimpleQueue()
        for future in futures:
            future.add_done_callback(self._done.put)

    def __next__(self) -> T:
        return self.next()

    def next(self, timeout: float | None = None) -> T:
        """Return the next result; after a `PoolTimeoutError` none is missing."""
        if not self._n_left:
            raise StopIteration
        try:
            future = self._done.get(timeout=timeout)
        except queue.Empty:
            raise PoolTimeoutError(_LATE) from None
        self._n_left -= 1
        return future.result()


def _wait_for(future: Future[Any], timeout: float | None) -> None:
    """Wait until a future is done, for so many seconds at most."""
    wait([future], timeout)
    if not future.done():
        raise PoolTimeoutError(_LATE)
