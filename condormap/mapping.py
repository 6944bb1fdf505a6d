"""condormap(): a function over a dataset on an HTCondor pool, as if it were `map`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from . import timings
from .address import PoolAddress
from .capacity import jobs_at_once
from .catalog import remove_finished
from .condor import connect
from .errors import InvalidInputError
from .folders import store
from .folders.tags import check_tag, new_map
from .handle import CondorMap
from .merging.value import check_value_options, checked_reducer, write_value_options
from .names import WithNames
from .options import make_options
from .payload.chunks import plan_chunks
from .payload.serialize import (
    describe_function,
    modules_by_value,
    pickled_by_value,
    write_function,
    write_items,
)
from .payload.transfer import decide
from .plan import plan_of, room_for
from .pool.choose import choose_pool
from .pool.personal import PersonalPool
from .preparing import write_submission
from .report.progress import check_wanted
from .submitting import submit_or_discard


@WithNames
def condormap(
    func: Callable[..., Any],
    /,
    *iterables: Iterable[Any],
    chunksize: int | str = "auto",
    max_jobs: int | None = None,
    target_runtime: float | None = None,
    common: Mapping[str, Any] | None = None,
    reduce: Any = None,
    keep: bool = False,
    until: Callable[[Any], object] | None = None,
    on_complete: Callable[[list[Any]], Any] | None = None,
    strict: bool = False,
    with_input: bool = False,
    tag: str | None = None,
    pool: PersonalPool | PoolAddress | str | None = None,
    schedd: str | None = None,
    progress: bool | None = None,
    dry_run: bool = False,
    **options: Any,
) -> CondorMap:
    """Submit ``map(func, *iterables)`` to an HTCondor pool and return at once.

    Parameters
    ----------
    func : callable
        Called in the jobs; lambdas, closures and functions from a notebook or a local module work. Print and
        write what you like: a job runs in the current folder, and its output is kept.
    *iterables : iterable
        The items, read to the end and stored before anything is submitted. Of several, `func` gets one element
        each, as with `map`.
    chunksize : int or "auto"
        How many items a job computes at most. ``"auto"`` makes chunks that fall in size, a few for each slot;
        once a map of the function has completed, by the time that its items took.
    max_jobs : int or None
        How many jobs there are at most.
    target_runtime : float or None
        Seconds that a job is to take, from the second map of the function on.
    common : mapping of str to object, or None
        Keyword arguments for every call, sent once: a large table that all items need.
    reduce : reducer, callable, tuple or dict, or None
        Merges the results, in the jobs and as they arrive, for `CondorMap.result`: one of `condormap.reducers`,
        several of them, or a function of two (``operator.add``).
    keep : bool
        Keep the results of the items too.
    until : callable or None
        Is called with what the results are merged to so far; the map stops when it returns true.
    on_complete : callable or None
        Is called once, with all results, for `CondorMap.result`.
    strict : bool
        Refuse iterables of different lengths.
    with_input : bool
        Results are pairs (item, result).
    tag : str or None
        The map's name, for `load`; a readable random one by default.
    pool : PersonalPool, PoolAddress, str or None
        The pool, or its collector's address; None for `condormap.pool.choose_pool`'s choice.
    schedd : str or None
        The schedd's name, where the pool has several.
    progress : bool or None
        Show a bar while waiting; None does so on a terminal and in a notebook.
    dry_run : bool
        Submit nothing and leave nothing behind: return a `Plan`.
    **options
        What each job asks for: `condormap.options.JobOptions` (``cpus=2, memory="4GB"``).

    Returns
    -------
    CondorMap
        The handle: iterate over it for the results. With ``dry_run``, a `Plan`: jobs, items per job, bytes, slots.

    Raises
    ------
    InvalidInputError
        The call can't be meant: `func` isn't callable, an item can't be pickled... Nothing was submitted.
    NoPoolError
        There is no pool.
    CondorError
        The pool could not be reached, or refused the submission. Nothing was submitted.
    SubmitUnknownError
        The schedd did not answer the submission; `load` with the tag finds it again if it is in the queue.
    StorageError
        The map's folder could not be written. Nothing was submitted.

    Examples
    --------
    >>> from condormap import condormap
    >>> list(condormap(lambda x: x * x, range(5)))
    [0, 1, 4, 9, 16]
    """
    _check_call(func, iterables, common)
    reduces = check_value_options(reduce, keep, until, on_complete, with_input)
    reducer = None if reduce is None else checked_reducer(reduce)
    job_options = make_options(options)
    chunking = partial(plan_chunks, chunksize=chunksize, max_jobs=max_jobs, target_runtime=target_runtime)
    chunking(0)  # refuses what is wrong
    check_wanted(progress)
    if tag is not None:
        check_tag(tag)
    address = choose_pool(pool, schedd)
    condor = connect(address)
    condor.start()
    transfer = decide(condor, job_options)
    with new_map(tag) as new:
        with pickled_by_value(modules_by_value(condor, sent=transfer.sent)):
            n_items = write_items(new.folder, iterables, strict=strict)
            with store.storage_errors(new.final):
                write_function(new.folder, partial(func, **common) if common else func)
            write_value_options(new.folder, reducer, until, on_complete)
        with store.storage_errors(new.final):
            record = store.new_record(
                new.id,
                new.tag,
                n_items,
                len(iterables) > 1,
                describe_function(func),
                address,
                function_id=timings.function_id(func),
                reduce=reduces,
            )
            seconds = timings.known(record.function_id)
            if dry_run:
                at_once, problems = room_for(condor, job_options)
                planned = chunking(n_items, slots=at_once, seconds=seconds)
                return plan_of(  # type: ignore[return-value]
                    new.folder, record, planned, condor, job_options, at_once, problems, seconds
                )
            store.write_record(new.folder, record)
            store.make_log(new.folder, record)
            submission = None
            if n_items:
                slots = jobs_at_once(condor, job_options)
                chunks = chunking(n_items, slots=slots, seconds=seconds)
                submission = write_submission(
                    new.folder, new.final, record, chunks, job_options, slots=slots, transfer=transfer
                )
            os.rename(new.folder, new.final)
        if submission is not None:
            submit_or_discard(condor, submission, lock=new.lock, folder=new.final)
    return CondorMap(new.final, with_input=with_input, progress=progress)


def map(func: Callable[..., Any], /, *iterables: Iterable[Any], **options: Any) -> list[Any]:
    """Return ``list(map(func, *iterables))``, computed on the pool; takes the options of `condormap`.

    The map is removed again, unless it was given a `tag`. This is what SciPy takes as ``workers=``.
    """
    m = condormap(func, *iterables, **options)
    keep = options.get("tag") is not None
    try:
        return m.results()
    except BaseException:
        if not keep:
            m.remove()
        raise
    finally:
        if not keep:
            remove_finished(m.tag, m._state)


def _check_call(
    func: Callable[..., Any], iterables: tuple[Iterable[Any], ...], common: Mapping[str, Any] | None
) -> None:
    if not callable(func):
        raise InvalidInputError(f"the first argument must be callable, not a {type(func).__name__}: {func!r}")
    if not iterables:
        raise InvalidInputError("give condormap at least one iterable after the function")
    for number, iterable in enumerate(iterables, 2):
        try:
            iter(iterable)
        except TypeError:
            raise InvalidInputError(
                f"argument {number} must be iterable, not a {type(iterable).__name__}: {iterable!r}"
            ) from None
    if common is not None and not (
        isinstance(common, Mapping) and all(isinstance(key, str) for key in common)
    ):
        raise InvalidInputError(f"common must be a mapping from names of arguments to values, not {common!r}")
