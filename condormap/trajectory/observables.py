"""compute_observable(): a function of frames over whole trajectories, chunk by chunk in the jobs."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ..capacity import jobs_at_once
from ..catalog import remove_finished
from ..condor import connect
from ..errors import InvalidInputError, ReduceError
from ..mapping import condormap
from ..merging.value import checked_reducer
from ..options import JobOptions, make_options
from ..payload.serialize import describe_function
from ..pool.choose import choose_pool
from ..reducers.hdf5_series import SeriesHDF5
from ..reducers.series import Label, Places, Rows, by_row, needs_arrays, needs_rows
from .described import Described
from .observing import Kind, Observe
from .trajectory import Trajectory
from .wepy_observables import OBSERVABLES, WepyObservables

if TYPE_CHECKING:
    from ..reducers.protocol import Reducer
    from .chunk import Chunk

_METHODS = ("zero", "add", "merge", "finish")


def compute_observable(
    func: Callable[..., Any],
    data: Any,
    *,
    reduce: Any = None,
    out: Any = None,
    chunk_size: int | str = "auto",
    wait: bool = True,
    **options: Any,
) -> Any:
    """Call a function with all frames of trajectories, a chunk of them at a time, in jobs.

    Parameters
    ----------
    func : callable
        Gets an `mdtraj.Trajectory` of the frames of a chunk (a dict of arrays, where `data` has fields), and
        returns a row for each frame: an array or a list, or a dict of these. mdtraj's own functions do as they
        are, and with `functools.partial`. What it does to the frames stays in the job.
    data : Trajectory, WepyH5, mdtraj.Trajectory or list of mdtraj.Trajectory
        The frames.
    reduce : reducer, callable, tuple or dict, or None
        Merges the rows in the jobs: a reducer gets that of each frame as one result (``Mean()`` is the mean over
        frames). A function of two (``numpy.add``), ``Concatenate()`` and histograms take what `func` returns for a
        chunk as it is, whatever its shape. `DistanceHistogram`, `ContactMap` and `RDF` are functions that bring
        their reducer.
    out : path, (path, str), or "observables/NAME"
        Write the rows to an HDF5 file while they come, as a dataset ``data`` or of the given name
        (`condormap.reducers.hdf5_series`). ``"observables/NAME"``: as an observable into the WepyHDF5 file that
        `data` describes (`WepyObservables`).
    chunk_size : int, "auto" or "probe"
        How many frames a chunk has at most: so many are in the memory of a job at a time. ``"auto"`` goes by
        their bytes, the memory of a job and the number of slots; ``"probe"`` also by the memory and the time that
        `func` takes, which is called here with a few frames.
    wait : bool
        Wait and return the value, and remove the map, unless it was given a `tag`. Else return the map's handle
        at once.
    **options
        As for `condormap.condormap`, whose items are the chunks.

    Returns
    -------
    array, list of array, or object
        The rows in the order of the frames; of a list of trajectories, or a WepyHDF5 file, a list in their order.
        ``data.labels`` tells which frames they are of. With `reduce`, the reducer's value; with `out`, an
        `HDF5Rows`, or a list of them.
    CondorMap
        With ``wait=False``: its ``result()`` is that value, also of ``condormap.load(tag)``.

    Raises
    ------
    InvalidInputError
        The call can't be meant. Nothing was submitted.
    TrajectoryChangedError
        A file is no longer what it was when it was described. Nothing was submitted.
    FileExistsError
        `out` is there already.

    What `func` raises comes as it is, with notes that tell the frames. What other chunks brought is kept: ``load``
    the map by the tag that the last note has, and ``retry()``.

    Examples
    --------
    >>> import mdtraj
    >>> from condormap.trajectory import Trajectory, compute_observable
    >>> data = Trajectory("run.xtc", top="system.pdb")  # doctest: +SKIP
    >>> compute_observable(mdtraj.compute_rg, data).shape  # doctest: +SKIP
    (1000,)
    """
    if not callable(func):
        raise InvalidInputError(
            f"the first argument must be callable, not a {type(func).__name__}: {func!r}. Nothing was submitted"
        )
    if reduce is not None and out is not None:
        raise InvalidInputError("reduce= and out= both say what becomes of the rows: give one of them")
    if options.get("on_complete") is not None:
        raise InvalidInputError("compute_observable makes the value itself: it takes no on_complete=")
    of_map = condormap.__wrapped__.__kwdefaults__
    job = make_options(
        {name: value for name, value in options.items() if name not in of_map},
        others={*of_map, *(compute_observable.__kwdefaults__ or ())},
    )
    data = _described(data)
    data.check_unchanged()
    chunks = _chunks(func, data, chunk_size, options, job)
    reducer = _reducer(func, data, chunks, reduce, out)
    observe = Observe(
        func, data.reader, rows=needs_rows(reducer), parts=reduce is not None, kind=_kind(reducer)
    )
    size = max(chunk.n_out for chunk in chunks)
    observe.is_called(f"{describe_function(func)} of {size} frames")  # by that the times of jobs are known
    m = condormap(observe, chunks, reduce=reducer, **options)
    if not wait or options.get("dry_run"):
        return m
    try:
        value = m.result()
    except BaseException as error:
        again = "" if isinstance(error, ReduceError) else "then m.retry() runs again what failed, and "
        error.add_note(
            f"condormap: the map {m.tag!r} keeps what was computed: m = condormap.load({m.tag!r}), {again}"
            f"m.result() goes on; condormap.remove({m.tag!r}) removes it"
        )
        raise
    if options.get("tag") is None:
        remove_finished(m.tag, m._state)
    return value


def _described(data: Any) -> Described:
    if isinstance(data, Described):
        return data
    several = isinstance(data, list | tuple) and bool(data)
    if all(hasattr(each, "xyz") for each in (data if several else [data])):
        return Trajectory(data)
    raise InvalidInputError(
        f"the data must be a Trajectory or WepyH5 of condormap.trajectory, or an mdtraj.Trajectory, not {data!r}; "
        "a path is given as Trajectory(path, top=...)"
    )


def _chunks(
    func: Callable[..., Any], data: Described, chunk_size: int | str, options: dict[str, Any], job: JobOptions
) -> list[Chunk]:
    slots, memory, probe = 1, options.get("memory"), None
    if chunk_size == "probe":
        chunk_size, probe = "auto", partial(func, **(options.get("common") or {}))
    if chunk_size == "auto":
        condor = connect(choose_pool(options.get("pool"), options.get("schedd")))
        slots = jobs_at_once(condor, job)
    return data.chunks(chunk_size, memory=memory, slots=slots, probe=probe)


def _reducer(func: Any, data: Described, chunks: list[Chunk], reduce: Any, out: Any) -> Reducer:
    labels = [
        Label(each.path, each.run, each.traj, each.frames, each.format == "wepy")
        for each in data.trajectories
    ]
    places = Places(
        data.n_frames,
        np.array([chunk.source for chunk in chunks]),
        np.array([chunk.out_start for chunk in chunks]),
        np.array([chunk.n_out for chunk in chunks]),
        data.is_one,
        labels,
    )
    if out is not None:
        return _writer(data, places, out)
    if reduce is None and all(callable(getattr(func, name, None)) for name in _METHODS):
        return func  # type: ignore[no-any-return]
    return Rows(places) if reduce is None else by_row(checked_reducer(reduce), places)


def _kind(reducer: Any) -> Kind:
    if isinstance(reducer, SeriesHDF5):
        return "observable" if isinstance(reducer, WepyObservables) else "dataset"
    return "array" if needs_arrays(reducer) else "any"


def _writer(data: Described, places: Places, out: Any) -> Reducer:
    path, name = out if isinstance(out, tuple) and len(out) == 2 else (out, "data")
    if not isinstance(path, str | os.PathLike) or not isinstance(name, str):
        raise InvalidInputError(f"out must be a path, or a path and the name of a dataset, not {out!r}")
    text = os.fspath(path)
    if text.startswith(f"{OBSERVABLES}/"):
        if data.trajectories[0].format != "wepy":
            raise InvalidInputError(
                f"out={text!r} is for the WepyHDF5 file that the data are of, and these are of none: give the "
                f"path of an HDF5 file (that in the folder {OBSERVABLES} as './{text}'). Nothing was submitted"
            )
        return WepyObservables(text.removeprefix(f"{OBSERVABLES}/"), places)
    return SeriesHDF5(path, name, places)
