"""condormap(): a function over a dataset on an HTCondor pool, as if it were `map`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from .address import PoolAddress
from .catalog import remove_finished
from .errors import InvalidInputError
from .handle import CondorMap
from .making import Content, Request, make_map
from .names import WithNames
from .options import make_options
from .payload.item_store import write_items
from .plan import Plan
from .pool.personal import PersonalPool


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
    request = Request(
        chunksize=chunksize,
        max_jobs=max_jobs,
        target_runtime=target_runtime,
        reduce=reduce,
        keep=keep,
        until=until,
        on_complete=on_complete,
        with_input=with_input,
        tag=tag,
        pool=pool,
        schedd=schedd,
        progress=progress,
        options=make_options(options, others=condormap.__wrapped__.__kwdefaults__ or ()),
    )

    def content(*_: Any) -> Content:
        return Content(
            function=partial(func, **common) if common else func,
            write_items=lambda folder: write_items(folder, iterables, strict=strict),
            star=len(iterables) > 1,
            known_as=func,
        )

    made = make_map(request, content, dry_run=dry_run)
    if isinstance(made, Plan):
        return made  # type: ignore[return-value]
    return CondorMap(made, with_input=with_input, progress=progress)


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
