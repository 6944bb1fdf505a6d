"""A sequence of integers that pickles small: frames, atoms, offsets."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

import numpy as np


class Indices(Sequence[int]):
    """Integers that never change; their pickle holds the differences from one to the next, compressed.

    So 100 offsets of an XTC file take some 200 bytes, and the 856 atoms of a protein's backbone 400; an
    arithmetic progression stays a range.

    Parameters
    ----------
    values : iterable of int
        What they are; a range stays one.
    """

    __slots__ = ("_packed", "_values")
    _values: range | np.ndarray[Any, Any]
    _packed: bytes | None  # when it has been pickled once

    def __init__(self, values: Iterable[int]) -> None:
        if isinstance(values, Indices):
            values = values._values
        elif not isinstance(values, range):
            values = _as_range_or_array(
                np.array(values if isinstance(values, np.ndarray) else list(values), "<i8")
            )
        self._values = values
        self._packed = None

    def __len__(self) -> int:
        return len(self._values)

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> Indices: ...
    def __getitem__(self, index: int | slice) -> int | Indices:
        return Indices(self._values[index]) if isinstance(index, slice) else int(self._values[index])

    def __iter__(self) -> Iterator[int]:
        return iter(self._values if isinstance(self._values, range) else self._values.tolist())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Indices) and np.array_equal(self.array, other.array)

    def __hash__(self) -> int:
        return hash(self.array.tobytes())

    def __repr__(self) -> str:
        if isinstance(self._values, range):
            return f"Indices({self._values})"
        shown = ", ".join(map(str, self._values[:5].tolist()))
        return f"Indices([{shown}, ...], {len(self)} in all)" if len(self) > 5 else f"Indices([{shown}])"

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        return np.array(self._values, dtype or np.int64)

    def __reduce__(self) -> tuple[Any, ...]:
        if isinstance(self._values, range):
            return Indices, (self._values,)
        if self._packed is None:
            self._packed = zlib.compress(np.diff(self._values, prepend=0).astype("<i8").tobytes(), 6)
        return _unpacked, (self._packed,)

    @property
    def array(self) -> np.ndarray[Any, Any]:
        """The integers as an array of 64 bits; do not write to it."""
        values = self._values
        return np.arange(values.start, values.stop, values.step) if isinstance(values, range) else values

    @property
    def is_ascending(self) -> bool:
        """Whether each is larger than the one before it."""
        if isinstance(self._values, range):
            return self._values.step > 0 or len(self) < 2
        return bool(np.all(np.diff(self._values) > 0))


def _as_range_or_array(values: np.ndarray[Any, Any]) -> range | np.ndarray[Any, Any]:
    if len(values) < 2:
        return range(int(values[0]), int(values[0]) + 1) if len(values) else range(0)
    step = int(values[1] - values[0])
    if step and np.all(np.diff(values) == step):
        return range(int(values[0]), int(values[-1]) + (1 if step > 0 else -1), step)
    values.setflags(write=False)
    return values


def _unpacked(data: bytes) -> Indices:
    return Indices(np.cumsum(np.frombuffer(zlib.decompress(data), "<i8")))
