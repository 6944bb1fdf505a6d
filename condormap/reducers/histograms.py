"""Histograms with fixed edges, as ``numpy.histogram`` and ``numpy.histogram2d`` have them of all data."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, NamedTuple

from .numbers import as_numbers, pair_of
from .protocol import Reducer

_State = tuple[Any, Any]


class Counts(NamedTuple):
    """A histogram.

    Attributes
    ----------
    counts : array
        How many values, or the sum of their weights, are in each bin; values outside and NaN are in none.
    edges : array, or tuple of two arrays
        The edges of the bins; the last bin of an axis includes its right edge.
    stderr : array
        The standard error of each count: the root of the sum of the squares of the weights.
    """

    counts: Any
    edges: Any
    stderr: Any


class Histogram(Reducer):
    """A histogram of all numbers in the results.

    Parameters
    ----------
    bins : int or sequence of float
        How many bins of one width there are, or their edges.
    range : (float, float) or None
        The first and the last edge, where `bins` is a number.
    weighted : bool
        Each result is a pair (values, weights).
    """

    def __init__(
        self,
        bins: int | Sequence[float],
        range: tuple[float, float] | None = None,
        *,
        weighted: bool = False,
    ) -> None:
        self.bins, self.range, self.edges = _bins(bins, range)
        self.weighted = weighted

    def zero(self) -> _State:
        """Return the state of no results: the counts, and the sums of the squares of the weights."""
        import numpy as np

        n = len(self.edges) - 1
        return (np.zeros(n), np.zeros(n)) if self.weighted else (np.zeros(n, np.int64), None)

    def add(self, state: _State, index: int, value: Any) -> _State:
        """Return the state with one more result."""
        counts, squares = state
        if type(value) in (int, float) and not self.weighted:
            edges = self.edges
            if edges[0] <= value <= edges[-1]:
                counts[min(bisect_right(edges, value), len(edges) - 1) - 1] += 1
            return state
        import numpy as np

        if not self.weighted:
            counts += np.histogram(_as_real(value), self.bins, self.range)[0]
            return state
        value, weights = np.broadcast_arrays(*map(_as_real, pair_of(value)))
        counts += np.histogram(value, self.bins, self.range, weights=weights)[0]
        squares += np.histogram(value, self.bins, self.range, weights=np.square(weights))[0]
        return state

    def merge(self, a: _State, b: _State) -> _State:
        """Return the state of both."""
        return a[0] + b[0], None if a[1] is None else a[1] + b[1]

    def finish(self, state: _State) -> Counts:
        """Return the histogram."""
        import numpy as np

        counts, squares = state
        return Counts(counts.copy(), np.array(self.edges), np.sqrt(counts if squares is None else squares))


class Histogram2D(Reducer):
    """A histogram of pairs; each result is a pair (x, y) of numbers or arrays.

    Parameters
    ----------
    bins : int, or pair of (int or sequence of float)
        How many bins of one width each axis has; or, for each axis, how many it has, or their edges.
    range : pair of ((float, float) or None), or None
        For each axis, the first and the last edge, where its bins are a number.
    weighted : bool
        Each result is a triple (x, y, weights).
    """

    def __init__(
        self,
        bins: int | tuple[int | Sequence[float], int | Sequence[float]],
        range: tuple[tuple[float, float] | None, tuple[float, float] | None] | None = None,
        *,
        weighted: bool = False,
    ) -> None:
        if isinstance(bins, int):
            bins = bins, bins
        axes = [_bins(n, limits) for n, limits in zip(bins, range or (None, None), strict=True)]
        self.edges = tuple(edges for _, _, edges in axes)
        self.weighted = weighted

    def zero(self) -> _State:
        """Return the state of no results: the counts, and the sums of the squares of the weights."""
        import numpy as np

        shape = [len(edges) - 1 for edges in self.edges]
        return np.zeros(shape), np.zeros(shape) if self.weighted else None

    def add(self, state: _State, index: int, value: Any) -> _State:
        """Return the state with one more result."""
        import numpy as np

        counts, squares = state
        x, y, *weights = (np.ravel(part) for part in np.broadcast_arrays(*map(_as_real, value)))
        if len(weights) != self.weighted:
            raise ValueError(f"a result must be {'(x, y, weights)' if self.weighted else '(x, y)'}")
        known = ~(np.isnan(x) | np.isnan(y))  # else they would be in the last bin
        if not known.all():
            x, y, weights = x[known], y[known], [part[known] for part in weights]
        counts += np.histogram2d(x, y, self.edges, weights=weights[0] if weights else None)[0]
        if squares is not None:
            squares += np.histogram2d(x, y, self.edges, weights=np.square(weights[0]))[0]
        return state

    def merge(self, a: _State, b: _State) -> _State:
        """Return the state of both."""
        return a[0] + b[0], None if a[1] is None else a[1] + b[1]

    def finish(self, state: _State) -> Counts:
        """Return the histogram."""
        import numpy as np

        counts, squares = state
        edges = tuple(np.array(each) for each in self.edges)
        return Counts(counts.copy(), edges, np.sqrt(counts if squares is None else squares))


def _as_real(value: Any) -> Any:
    """Return a result as an array of real numbers; a TypeError where it has others."""
    array = as_numbers(value)
    if array.dtype.kind == "c":
        raise TypeError(f"a histogram is of real numbers, not of {value!r:.80}")
    return array.astype(int) if array.dtype.kind == "b" else array


def _bins(
    bins: Any, range: tuple[float, float] | None
) -> tuple[Any, tuple[float, float] | None, list[float]]:
    """Return the arguments of ``numpy.histogram``, and the edges as a list; a ValueError where they are wrong."""
    import numpy as np

    if isinstance(bins, str) or (range is None and np.ndim(bins) == 0):
        raise ValueError(f"the edges must be known before the data: give range= too, not only bins={bins!r}")
    edges = np.histogram_bin_edges([], bins, range)
    if len(edges) < 2 or not np.all(np.isfinite(edges)):
        raise ValueError(f"a histogram needs at least two finite edges, not {edges.tolist()}")
    return (bins, range, edges.tolist()) if np.ndim(bins) == 0 else (edges, None, edges.tolist())
