"""CondorExecutor: `concurrent.futures` on an HTCondor pool."""

from __future__ import annotations

import itertools
import time
import weakref
from collections import deque
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator
from concurrent.futures import Executor
from typing import Any, Self

from ..address import PoolAddress
from ..errors import InvalidInputError
from ..folders.tags import check_tag, folder_of
from ..options import JobOptions, make_options
from ..payload.chunks import ROUNDS, plan_chunks
from ..pool.choose import choose_pool
from ..pool.personal import PersonalPool
from .callqueue import Call
from .dispatch import Dispatcher
from .executor_map import ExecutorMap
from .future import CondorFuture
from .pace import Pace, kind_of

_MANY = (
    1000  # what libraries that ask an executor how much it can do at once are told where nothing limits it
)
# Of the executors and pools of the standard library.
_OF_PROCESSES = {
    "initializer",
    "initargs",
    "max_tasks_per_child",
    "maxtasksperchild",
    "mp_context",
    "context",
}


class CondorExecutor(Executor):
    """An executor whose calls are jobs of an HTCondor pool, for whatever takes a `concurrent.futures.Executor`.

    Calls that are submitted within some milliseconds become one submission, of as many jobs as the pool can run
    at once and a few more. Functions travel as with `condormap`, exceptions come back as themselves. To leave a
    ``with`` block, `shutdown` and the end of the interpreter wait for the calls.

    Parameters
    ----------
    max_workers : int or None
        How many jobs may be in the queue at once; None for no limit.
    chunksize : int or "auto"
        How many calls one job makes at most. With ``"auto"``, calls share jobs only where there are more of them
        than the pool runs at once.
    tag : str or None
        The name that `attach` finds the calls by; a readable random one by default.
    pool, schedd
        The pool, as for `condormap`.
    **options
        What each job asks for: `condormap.options.JobOptions` (``cpus=2, memory="4GB"``).

    Attributes
    ----------
    tag : str
        The name that `attach` finds the calls by.
    futures : tuple of CondorFuture
        Of an executor that was attached, all calls from before, in the order of their `index`.

    Raises
    ------
    InvalidInputError
        A wrong argument; a ValueError.
    NoPoolError
        There is no pool.

    Examples
    --------
    >>> from condormap import CondorExecutor
    >>> with CondorExecutor(memory="500MB") as executor:
    ...     executor.submit(pow, 2, 5).result()
    32
    """

    _pace: Pace | None = None  # what all executors of a class know of calls; None: each for itself

    def __init__(
        self,
        max_workers: int | None = None,
        *,
        chunksize: int | str = "auto",
        tag: str | None = None,
        pool: PersonalPool | PoolAddress | str | None = None,
        schedd: str | None = None,
        **options: Any,
    ) -> None:
        _check_max_workers(max_workers)
        self._set(_options_of(options), chunksize, ())
        self.tag = check_tag(tag)
        self._share(Dispatcher(choose_pool(pool, schedd), self.tag, max_workers, self._pace or Pace()))

    def _set(self, options: JobOptions, chunksize: int | str, futures: tuple[CondorFuture, ...]) -> None:
        plan_chunks(0, chunksize=chunksize)  # refuses a wrong one
        self._options = options
        self._chunksize = chunksize
        self.futures = futures

    def _share(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        weakref.finalize(self, dispatcher.close).atexit = False

    @classmethod
    def attach(
        cls,
        tag: str,
        max_workers: int | None = None,
        *,
        chunksize: int | str = "auto",
        **options: Any,
    ) -> Self:
        """Return an executor with the calls of one that was detached, or whose process was killed.

        Parameters
        ----------
        tag : str
            Its name.
        max_workers, chunksize, **options
            For calls that come.

        Raises
        ------
        InvalidInputError
            There is none with this tag, or another process uses it.
        CondorError, StorageError
            Its jobs may not have been submitted, and the pool could not be asked; or the folder is damaged.
        """
        _check_max_workers(max_workers)
        self = cls.__new__(cls)
        self._set(_options_of(options), chunksize, ())
        dispatcher, futures = Dispatcher.attach(ExecutorMap(folder_of(tag)), max_workers, cls._pace or Pace())
        self.tag, self.futures = dispatcher.tag, tuple(futures)
        self._share(dispatcher)
        return self

    def __repr__(self) -> str:
        return f"<CondorExecutor {self.tag}>"

    @property
    def _max_workers(self) -> int:
        """What libraries look for, dask and joblib among them."""
        return self._dispatcher.max_workers or _MANY

    @property
    def slots(self) -> int:
        """How many jobs the pool runs at once, or fewer where `max_workers` says so."""
        slots, most = self._dispatcher.slots(self._options), self._dispatcher.max_workers
        return slots if most is None else min(slots, most)

    def with_options(self, *, chunksize: int | str | None = None, **options: Any) -> Self:
        """Return this executor with other options for the calls that are submitted through what is returned.

        Parameters
        ----------
        chunksize, **options
            As for the class; what isn't given stays as it is.
        """
        view = type(self).__new__(type(self))
        changed = _options_of(options, self._options)
        view._set(changed, self._chunksize if chunksize is None else chunksize, self.futures)
        view.tag, view._dispatcher = self.tag, self._dispatcher
        view._whole = self  # type: ignore[attr-defined]  # which else might be collected, and so shut down
        return view

    # -- calls -----------------------------------------------------------------------------------------------

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> CondorFuture:
        """Have a function called in a job, and return the future of the call.

        A function or an argument that can't be pickled is the exception of the future.

        Parameters
        ----------
        fn : callable
            The function.
        *args, **kwargs
            Its arguments.

        Raises
        ------
        RuntimeError
            The executor was shut down; `PoolLostError`: its pool was lost.
        """
        return self._submit(fn, args, kwargs, self._chunksize)

    def _submit(
        self,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        chunksize: int | str,
        rounds: int = ROUNDS,
        kind: Hashable = None,
    ) -> CondorFuture:
        future = CondorFuture(self._dispatcher, kind_of(fn) if kind is None else kind)
        self._dispatcher.submit(Call(future, fn, args, kwargs, self._options, chunksize, rounds))
        return future

    def map(
        self,
        fn: Callable[..., Any],
        /,
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int | str | None = None,
        buffersize: int | None = None,
    ) -> Iterator[Any]:
        """Return an iterator over the results of ``map(fn, *iterables)``, in order; the calls are submitted now.

        Parameters
        ----------
        fn : callable
            The function.
        *iterables : iterable
            Its arguments.
        timeout : float or None
            Seconds from now until when a result has to be there, or else TimeoutError is raised.
        chunksize : int, "auto" or None
            How many calls one job makes at most; None for the executor's own.
        buffersize : int or None
            Submit so many calls ahead of the results that were taken, so that the iterables may be endless;
            None for all.

        Raises
        ------
        ValueError, TypeError
            A wrong argument.
        """
        chunksize = self._chunksize if chunksize is None else chunksize
        plan_chunks(0, chunksize=chunksize)  # refuses a wrong one
        if buffersize is not None and not isinstance(buffersize, int):
            raise TypeError("buffersize must be an integer or None")
        if buffersize is not None and buffersize < 1:
            raise ValueError("buffersize must be None or > 0")
        until = None if timeout is None else time.monotonic() + timeout
        calls = (self._submit(fn, args, {}, chunksize) for args in zip(*iterables, strict=False))
        first = deque(calls if buffersize is None else itertools.islice(calls, buffersize))
        return _results(first, calls, until)

    # -- the end ---------------------------------------------------------------------------------------------

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls; when those there are have ended, free everything.

        Parameters
        ----------
        wait : bool
            Return when that is done.
        cancel_futures : bool
            Cancel the calls whose jobs have not begun.
        """
        self._dispatcher.shut_down(wait=wait, cancel=cancel_futures)

    def terminate_workers(self) -> None:
        """Take no more calls, cancel those whose jobs have not begun, and remove the jobs of the others.

        These fail with a `JobRemovedError`. As that of `concurrent.futures.ProcessPoolExecutor` (Python 3.14), it
        does not wait.
        """
        self._dispatcher.terminate()

    def detach(self) -> str:
        """Leave the calls to the pool, end, and return the tag, by which `attach` finds them again.

        All calls are in the queue when it returns, whatever `max_workers` says. Futures whose calls have not ended
        get a `DetachedError`.

        Raises
        ------
        InvalidInputError
            No call was submitted, so there is nothing to come back to.
        """
        if not self._dispatcher.detach():
            raise InvalidInputError("there is nothing to detach: no call was submitted to this executor")
        return self.tag


def _results(
    futures: deque[CondorFuture], more: Iterator[CondorFuture], until: float | None
) -> Generator[Any]:
    """Yield the results in order; what is left when that ends is cancelled."""
    try:
        while futures:
            futures.extend(itertools.islice(more, 1))
            # Nothing of a result stays here when it is yielded.
            yield _result_or_cancel(futures, until)
    finally:
        for future in futures:
            future.cancel()


def _result_or_cancel(futures: deque[CondorFuture], until: float | None) -> Any:
    future = futures.popleft()
    try:
        return future.result(None if until is None else until - time.monotonic())
    finally:
        future.cancel()  # where the time was over
        del future


def _options_of(options: dict[str, Any], before: JobOptions | None = None) -> JobOptions:
    for name in _OF_PROCESSES & options.keys():
        raise InvalidInputError(
            f"{name}= is for processes that last; a job makes some calls and ends. Let the function make what it "
            "needs: functools.cache makes it once for each job"
        )
    found = make_options(options) if before is None else make_options(options, before)
    if found.max_failures is not None:
        raise InvalidInputError(
            "max_failures is for maps: the calls of an executor do not depend on each other"
        )
    return found


def _check_max_workers(max_workers: int | None) -> None:
    if max_workers is not None and (isinstance(max_workers, bool) or not hasattr(max_workers, "__index__")):
        raise InvalidInputError(f"max_workers must be an integer or None, not {max_workers!r}")
    if max_workers is not None and max_workers <= 0:
        raise InvalidInputError("max_workers must be greater than 0")
