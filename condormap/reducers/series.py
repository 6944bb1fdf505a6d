"""Results that are rows of longer arrays: the frames of trajectories, of which each item has some."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from .arrays import Concatenate
from .basic import Collect
from .combined import Several
from .histograms import Histogram, Histogram2D
from .moments import _Moments
from .numbers import Min, Sum
from .protocol import Function, Reducer


class Label(NamedTuple):
    """What the rows of a series are of.

    Attributes
    ----------
    path : str
        The trajectory's file; empty where it has none.
    run, traj : int
        Its numbers.
    frames : sequence of int
        The number of the frame of each row.
    in_run : bool
        The file has several trajectories, in runs.
    """

    path: str
    run: int
    traj: int
    frames: Sequence[int]
    in_run: bool = False

    def in_words(self, first: int, n: int) -> str:
        """Return which frames some rows are of: ``10 frames (100 to 109) of run.xtc``."""
        begin, end = self.frames[first], self.frames[first + n - 1]
        what = f"frame {begin}" if n == 1 else f"{n} frames ({begin} to {end})"
        where = self.path or f"trajectory {self.traj} in memory"
        return f"{what} of {where}" + (f", run {self.run}, trajectory {self.traj}" if self.in_run else "")


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
    labels : sequence of Label
        What the rows of each series are of.
    """

    lengths: tuple[int, ...]
    series: Any
    first: Any
    n: Any
    is_one: bool = False
    labels: Sequence[Label] = ()

    def one_or_all(self, values: list[Any]) -> Any:
        """Return the values of all series, or that of the only one."""
        return values[0] if self.is_one else values

    def in_words(self, item: int) -> str:
        """Return which frames an item has."""
        if not self.labels:
            return f"item {item}"
        label: Label = self.labels[self.series[item]]
        return label.in_words(int(self.first[item]), int(self.n[item]))


def parts_of(value: Any) -> dict[str, Any]:
    """Return the arrays that a value consists of: a dict has several, an array only itself, without a name."""
    return value if isinstance(value, dict) else {"": value}


def kind_of(value: Any) -> str:
    """Return what the rows of a value are, in words."""
    if isinstance(value, dict):
        return f"a dict of {', '.join(map(repr, value))}"
    return f"rows of {value.dtype} of shape {value.shape[1:]}"


def failed(message: str, stage: str) -> Exception:
    """Return an error that says itself what to do."""
    from ..errors import ReduceError  # here, for a job need not have condormap

    return ReduceError(message, stage=stage)


class Rows(Collect):
    """The rows of all results as one array, or as a list of arrays where there are several series.

    Of results that are dicts of arrays the value has dicts; masked arrays stay so. Rows that have no result (yet)
    are NaN, or 0 where the numbers are no floats, or masked.

    Parameters
    ----------
    places : Places
        Where the rows belong.
    """

    needs_rows = True

    def __init__(self, places: Places) -> None:
        self.places = places

    def finish(self, state: list[tuple[int, Any]]) -> Any:
        """Return the array, or the list of arrays."""
        pieces: list[list[tuple[int, Any]]] = [[] for _ in self.places.lengths]
        for item, value in sorted(state, key=lambda piece: (self.places.first[piece[0]], piece[0])):
            pieces[self.places.series[item]].append((item, value))
        wholes = [self._whole(parts, n) for parts, n in zip(pieces, self.places.lengths, strict=True)]
        return self.places.one_or_all(wholes)

    def _whole(self, pieces: list[tuple[int, Any]], n: int) -> Any:
        """Return the rows of one series."""
        names = list(parts_of(pieces[0][1])) if pieces else [""]
        for one in pieces:
            if set(parts_of(one[1])) != set(names):
                raise self._unlike(pieces[0], one)
        found = {}
        for name in names:
            arrays = [(item, parts_of(value)[name]) for item, value in pieces]
            for one in arrays:
                if one[1].shape[1:] != arrays[0][1].shape[1:]:
                    raise self._unlike(arrays[0], one, name)
            found[name] = _joined([(int(self.places.first[item]), rows) for item, rows in arrays], n)
        return found.get("", found)

    def _unlike(self, one: tuple[int, Any], other: tuple[int, Any], name: str = "") -> Exception:
        of = f" in {name!r}" if name else ""
        return failed(
            f"the function returned {kind_of(one[1])}{of} for {self.places.in_words(one[0])}, and "
            f"{kind_of(other[1])} for {self.places.in_words(other[0])}: as one array they must be alike. All that "
            "the jobs computed is kept: m.set_reducer(condormap.reducers.Collect()).result() is a list of what "
            "the function returned for each chunk",
            "finish",
        )


def _joined(pieces: list[tuple[int, Any]], n: int) -> Any:
    """Return `n` rows, of which the pieces have some, each from a row on."""
    import numpy as np

    arrays = [array for _, array in pieces]
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

    needs_rows = True

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
            try:
                state = self.reducer.add(state, number, each)
            except Exception as error:
                raise failed(
                    f"the reducer failed in add(), with row {number - row} of what the function returned for "
                    f"{self.places.in_words(index)}: {type(error).__name__}: {error}. Mend the reducer or the "
                    "function, and call compute_observable again",
                    "add",
                ) from error
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
    return getattr(reducer, "needs_rows", False) or getattr(reducer, "over", "") == "rows"


def needs_arrays(reducer: Any) -> bool:
    """Tell whether what `by_row` returned can't be given dicts."""
    if isinstance(reducer, Several):
        return any(needs_arrays(each) for each in reducer.reducers)
    if isinstance(reducer, EachRow):
        return needs_arrays(reducer.reducer)
    return isinstance(reducer, Sum | Min | _Moments | Histogram | Histogram2D | Concatenate)
