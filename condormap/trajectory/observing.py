"""What a job calls for each chunk: read its frames, call the function, see that each frame got its row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .chunk import Chunk
from .reading import Reader


class Observe:
    """A function of frames as one of chunks.

    Parameters
    ----------
    func : callable
        The function of frames.
    reader : Reader
        Reads a chunk.
    rows : bool
        Its value must have a row for each frame.
    parts : bool
        It may be a tuple of arrays that each have so: values and weights.
    """

    def __init__(self, func: Callable[..., Any], reader: Reader, *, rows: bool, parts: bool) -> None:
        self.func = func
        self.reader = reader
        self.rows = rows
        self.parts = parts

    def is_called(self, name: str) -> None:
        """Take a name, as a function has one."""
        vars(self).update(__module__="", __qualname__=name)

    def __call__(self, chunk: Chunk, **common: Any) -> Any:
        """Return the function's value for the frames of a chunk."""
        frames = self.reader(chunk)
        try:
            value = self.func(frames, **common)
        except Exception as error:
            error.add_note(f"condormap: it was called with {in_words(chunk)}")
            raise
        return self._checked(value, chunk) if self.rows else value

    def _checked(self, value: Any, chunk: Chunk) -> Any:
        if isinstance(value, dict):
            return {name: _rows(each, chunk) for name, each in value.items()}
        if isinstance(value, tuple) and self.parts:
            return tuple(_rows(each, chunk) for each in value)
        return _rows(value, chunk)


def _rows(value: Any, chunk: Chunk) -> Any:
    """Return an array with a row for each frame of a chunk."""
    if isinstance(value, tuple):
        raise TypeError(
            f"the function returned a tuple of {len(value)} for {in_words(chunk)}; it must return one array (or a "
            "dict of arrays): wrap it in a function that returns the part that is meant"
        )
    try:
        rows = value if isinstance(value, np.ma.MaskedArray) else np.asarray(value)
        if rows.dtype.hasobject:
            raise ValueError("its elements are no numbers or texts")
    except ValueError as error:
        raise ValueError(
            f"what the function returned for {in_words(chunk)} is no array with a row for each ({error}); for "
            "lists of different lengths give reduce=, a function of two such as operator.add"
        ) from None
    if rows.ndim and len(rows) == chunk.n_out:
        return rows
    raise ValueError(
        f"the function returned an array of shape {rows.shape} for {in_words(chunk)}: one row for each frame is "
        "needed. Where it returns something else, say how two of them are combined: reduce=numpy.add, "
        "reduce=Concatenate()"
    )


def in_words(chunk: Chunk) -> str:
    """Return which frames a chunk has: ``frames 100 to 199 of run.xtc``."""
    first, last = chunk.frames[0], chunk.frames[-1]
    what = f"frame {first}" if chunk.n_out == 1 else f"{chunk.n_out} frames ({first} to {last})"
    where = chunk.path or f"trajectory {chunk.traj} in memory"
    return f"{what} of {where}" + (
        f", run {chunk.run}, trajectory {chunk.traj}" if chunk.format == "wepy" else ""
    )
