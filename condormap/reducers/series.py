"""Results that are rows of longer arrays: the frames of trajectories, of which each item has some."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, NamedTuple

from .arrays import Concatenate
from .basic import Collect
from .combined import Several
from .histograms import Histogram, Histogram2D
from .moments import _Moments
from .numbers import Sum
from .protocol import Function, Reducer


class Places(NamedTuple):
    """Where the rows of each item belong.

    Attributes
    ----------
    lengths : tuple of int
        How many rows each series has.
    series : array of int
        The series of each item,
    first : array of int
        the first of its rows in it,
    n : array of int
        and how many they are.
    is_one : bool
        There is one series, whose value stands by itself and not in a list.
    """

    lengths: tuple[int, ...]
    series: Any
    first: Any
    n: Any
    is_one: bool = False

    def one_or_all(self, values: list[Any]) -> Any:
        """Return the values of all series, or that of the only one."""
        return values[0] if self.is_one else values


def parts_of(value: Any) -> dict[str, Any]:
    """Return the arrays that a value consists of: a dict has several, an array only itself, without a name."""
    return value if isinstance(value, dict) else {"": value}


class Rows(Collect):
    """The rows of all results as one array, or as a list of arrays where there are several series.

    Of results that are dicts of arrays the value has dicts; masked arrays stay so. Rows that have no result (yet)
    are NaN, or 0 where the numbers are no floats, or masked.

    Parameters
    ----------
    places : Places
        Where the rows belong.
    """

    def __init__(self, places: Places) -> None:
        self.places = places

    def finish(self, state: list[tuple[int, Any]]) -> Any:
        """Return the array, or the list of arrays."""
        lengths, series, first, *_ = self.places
        pieces: list[list[tuple[int, Any]]] = [[] for _ in lengths]
        for item, value in state:
            pieces[series[item]].append((int(first[item]), value))
        wholes = [self._whole(parts, n) for parts, n in zip(pieces, lengths, strict=True)]
        return self.places.one_or_all(wholes)

    def _whole(self, pieces: list[tuple[int, Any]], n: int) -> Any:
        """Return the rows of one series."""
        pieces.sort(key=lambda piece: piece[0])
        names = list(parts_of(pieces[0][1])) if pieces else [""]
        found = {name: _joined([(at, parts_of(value)[name]) for at, value in pieces], n) for name in names}
        return found.get("", found)


def _joined(pieces: list[tuple[int, Any]], n: int) -> Any:
    """Return `n` rows, of which the pieces have some, each from a row on."""
    import numpy as np

    arrays = [array for _, array in pieces]
    for at, array in pieces:
        if array.shape[1:] != arrays[0].shape[1:]:
            raise ValueError(
                f"from row {at} on there are rows of shape {array.shape[1:]}, and those before have the shape "
                f"{arrays[0].shape[1:]}: all rows of a series must have the same"
            )
    masked = any(isinstance(array, np.ma.MaskedArray) for array in arrays)
    if pieces and sum(map(len, arrays)) == n:
        return np.ma.concatenate(arrays) if masked else np.concatenate(arrays)  # type: ignore[no-untyped-call]
    dtype = np.result_type(*arrays) if arrays else np.dtype(float)
    whole = np.zeros((n, *(arrays[0].shape[1:] if arrays else ())), dtype)
    if dtype.kind in "fc":
        whole[...] = np.nan
    if masked:
        whole = np.ma.masked_all_like(whole)  # type: ignore[no-untyped-call]
    for at, array in pieces:
        whole[at : at + len(array)] = array
    return whole


class EachRow(Reducer):
    """Hands the rows of results to a reducer one by one, with the number of each among all rows as its index.

    Parameters
    ----------
    reducer : reducer
        The reducer.
    places : Places
        Where the rows belong.
    """

    def __init__(self, reducer: Any, places: Places) -> None:
        self.reducer = reducer
        self.places = places
        self.ordered = getattr(reducer, "ordered", True)
        self.collects = getattr(reducer, "collects", False)
        self.writes = getattr(reducer, "writes", False)
        before = [0]
        for length in places.lengths:
            before.append(before[-1] + length)
        self.before = before

    def writing(self) -> Any:
        """Keep the files of the reducer open."""
        return self.reducer.writing()

    def zero(self) -> Any:
        """Return the state of no results."""
        return self.reducer.zero()

    def add(self, state: Any, index: int, value: Any) -> Any:
        """Return the state with the rows of one more result."""
        row = self.before[self.places.series[index]] + int(self.places.first[index])
        for number, each in enumerate(_rows(value), row):
            state = self.reducer.add(state, number, each)
        return state

    def merge(self, a: Any, b: Any) -> Any:
        """Return the state of both."""
        return self.reducer.merge(a, b)

    def finish(self, state: Any) -> Any:
        """Return the reducer's value."""
        return self.reducer.finish(state)


def _rows(value: Any) -> Iterator[Any]:
    """Yield the rows of an array; of a dict or tuple of arrays, dicts or tuples of rows."""
    if isinstance(value, dict):
        return (dict(zip(value, row, strict=True)) for row in zip(*value.values(), strict=True))
    return zip(*value, strict=True) if isinstance(value, tuple) else iter(value)


def by_row(reducer: Any, places: Places) -> Any:
    """Return a reducer of results with many rows that does with each row what `reducer` does with each result.

    Those that combine arrays of any length take the results as they are: functions of two, `Concatenate`,
    histograms, and what is made of all ``"elements"``.
    """
    if isinstance(reducer, Several):
        both = copy.copy(reducer)
        both.reducers = tuple(by_row(each, places) for each in reducer.reducers)
        return both
    if isinstance(reducer, Function | Concatenate | Histogram | Histogram2D):
        return reducer
    if isinstance(reducer, Sum | _Moments):
        if reducer.over == "elements":
            return reducer
        if reducer.over == "items":  # the same, and no loop over the rows
            rows = copy.copy(reducer)
            rows.over = "rows"
            return rows
    return EachRow(reducer, places)


def needs_rows(reducer: Any) -> bool:
    """Tell whether what `by_row` returned needs results that have the rows of their place."""
    if isinstance(reducer, Several):
        return any(needs_rows(each) for each in reducer.reducers)
    return isinstance(reducer, Rows | EachRow) or getattr(reducer, "over", "") == "rows"
