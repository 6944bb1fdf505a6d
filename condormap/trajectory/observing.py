"""What a job calls for each chunk: read its frames, call the function, see that each frame got its row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from ..reducers.series import Label
from .chunk import Chunk
from .reading import Reader

Kind = Literal["any", "array", "dataset", "observable"]
_STORED = {"dataset": "biufcSV", "observable": "biufc"}  # what HDF5 has a type for, and wepy


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
    kind : str
        What it is for: ``"array"``, a reducer that can't be given dicts; ``"dataset"``, an HDF5 file;
        ``"observable"``, one of a WepyHDF5 file.
    """

    def __init__(
        self, func: Callable[..., Any], reader: Reader, *, rows: bool, parts: bool, kind: Kind = "any"
    ) -> None:
        self.func = func
        self.reader = reader
        self.rows = rows
        self.parts = parts
        self.kind = kind

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
        if isinstance(value, dict):
            self._check_dict(value, chunk)
        return self._checked(value, chunk) if self.rows else value

    def _check_dict(self, value: dict[Any, Any], chunk: Chunk) -> None:
        told = f"the function returned a dict of {', '.join(map(repr, value)) or 'nothing'} for {in_words(chunk)}"
        if self.kind == "observable":
            raise TypeError(f"{told}; one observable is one array: return that, and call once for each")
        if self.kind == "array":
            raise TypeError(f"{told}, and the reducer takes an array: return that which is meant")
        if self.rows and not value:
            raise ValueError(f"{told}: one row for each frame is needed")
        if self.kind == "dataset" and not all(isinstance(key, str) and _is_name(key) for key in value):
            raise ValueError(f"{told}: these are no names of datasets, which are texts without a slash")

    def _checked(self, value: Any, chunk: Chunk) -> Any:
        if isinstance(value, dict):
            return {name: self._stored(each, chunk) for name, each in value.items()}
        if isinstance(value, tuple) and self.parts:
            return tuple(_rows(each, chunk) for each in value)
        return self._stored(value, chunk)

    def _stored(self, value: Any, chunk: Chunk) -> Any:
        rows = _rows(value, chunk)
        if self.kind in _STORED and rows.dtype.kind not in _STORED[self.kind]:
            what = (
                "an observable's values are numbers" if self.kind == "observable" else "HDF5 has no such type"
            )
            raise TypeError(f"the function returned rows of {rows.dtype} for {in_words(chunk)}: {what}")
        return rows


def _is_name(key: str) -> bool:
    return key not in ("", ".") and not set(key) & {"/", "\0"}


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
    label = Label(chunk.path, chunk.run, chunk.traj, chunk.frames, chunk.format == "wepy")
    return label.in_words(0, chunk.n_out)
