"""Trajectories as collections of dask's: made without reading anything, and each part reads its own frames."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .chunk import Chunk
    from .described import Described
    from .reading import Reader

_PART = 64 << 20  # bytes of the frames of a part, with "auto"


def delayed(data: Described, chunk_size: int | str) -> list[Any]:
    """Return a `dask.delayed.Delayed` for each chunk; see `Described.to_delayed`."""
    from dask.delayed import Delayed

    graph, names = _graph(_read, data, _chunks(data, chunk_size))
    return [Delayed(name, graph) for name in names]  # type: ignore[no-untyped-call]


def bag(data: Described, chunk_size: int | str) -> Any:
    """Return a `dask.bag.Bag` of the chunks; see `Described.to_bag`."""
    from dask.bag import Bag

    graph, names = _graph(_read_in_list, data, _chunks(data, chunk_size))
    return Bag(graph, names[0][0], len(names))


def array(data: Described, name: str, chunk_size: int | str) -> Any:
    """Return a `dask.array.Array`, or a list of them; see `Described.to_dask_array`."""
    from dask.array import Array

    rows = [data.row_of(name, number) for number in range(len(data.trajectories))]
    kind = np.ma.masked_array if data.is_masked(name) else np.asarray
    found = []
    chunks = _chunks(data, chunk_size)
    for number, (row, dtype) in enumerate(rows):
        own = [chunk for chunk in chunks if chunk.source == number]
        graph, names = _graph(_read_array, data, own, name, kind, dtype, trailing=len(row))
        sizes = (tuple(chunk.n_out for chunk in own), *((n,) for n in row))
        empty = kind(np.empty((0,) * len(sizes), dtype))
        found.append(Array(graph, names[0][0], sizes, meta=empty))  # type: ignore[no-untyped-call]
    return data.one_or_all(found)


def labelled(data: Described, name: str, chunk_size: int | str) -> Any:
    """Return an `xarray.DataArray`, or a list of them; see `Described.to_xarray`."""
    from dask.array.ma import filled
    from xarray import DataArray

    arrays = array(data, name, chunk_size)
    found = []
    for source, each in zip(data.trajectories, [arrays] if data.is_one else arrays, strict=True):
        coords = {"frame": source.frames.array, "run": source.run, "traj": source.traj}
        dims = tuple(f"{name}_{k}" for k in range(each.ndim - 1))
        if each.shape[1:] == (data.n_atoms, 3):
            dims, coords["axis"] = ("atom", "axis"), ["x", "y", "z"]
        if data.is_masked(name):  # xarray's arrays have no masks, but NaN
            each = filled(each if each.dtype.kind in "fc" else each.astype(float), np.nan)
        found.append(DataArray(each, coords, ("frame", *dims), name, {"path": source.path}))
    return data.one_or_all(found)


def _chunks(data: Described, chunk_size: int | str) -> list[Chunk]:
    return data.chunks(max(1, _PART // data.frame_nbytes) if chunk_size == "auto" else chunk_size)


def _graph(
    read: Any, data: Described, chunks: list[Chunk], *args: Any, trailing: int = 0
) -> tuple[dict[Any, Any], list[tuple[Any, ...]]]:
    """Return a graph of a task for each chunk, and the names of these; the reader is in it once."""
    id = uuid.uuid4().hex
    reader = f"frames-reader-{id}"
    names = [(f"frames-{id}", number, *(0,) * trailing) for number in range(len(chunks))]
    tasks = {name: (read, reader, chunk, *args) for name, chunk in zip(names, chunks, strict=True)}
    return {reader: data.reader, **tasks}, names


def _read(reader: Reader, chunk: Chunk) -> Any:
    return reader(chunk)


def _read_in_list(reader: Reader, chunk: Chunk) -> list[Any]:
    return [reader(chunk)]


def _read_array(reader: Reader, chunk: Chunk, name: str, kind: Any, dtype: Any) -> Any:
    frames = reader(chunk)
    found = frames[name] if isinstance(frames, dict) else getattr(frames, name)
    return kind(found, dtype=dtype)
