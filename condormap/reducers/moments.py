"""Means, variances and covariances in one pass, merged pairwise.

The state is (n, W, W2, mean, M2): the number of samples, the sums of their weights and of the squares of these,
the mean, and the weighted sum of squared deviations from it. Two states are merged without cancellation (Chan,
Golub and LeVeque, The American Statistician 37(3), 1983), so 10^8 values of 1e9 plus noise keep their variance.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from .numbers import Over, as_numbers, check_over, pair_of, plain
from .protocol import Reducer

_State = tuple[int, Any, Any, Any, Any]


class Estimate(NamedTuple):
    """A mean and how well it is known.

    Attributes
    ----------
    mean : float or array
        The (weighted) mean; NaN of no samples.
    stderr : float or array
        Its standard error, for independent samples; NaN of fewer than two.
    std : float or array
        The standard deviation of a sample (unbiased variance).
    n : int
        How many samples there are.
    weight : float or array
        The sum of their weights.
    """

    mean: Any
    stderr: Any
    std: Any
    n: int
    weight: Any


class _Moments(Reducer):
    """What mean and variance have in common.

    Parameters
    ----------
    over : {"items", "rows", "elements"}
        The samples: the results, the rows of all results, or all numbers in them.
    weighted : bool
        Each result is a pair (value, weight); for rows and elements the weights are an array, one for each sample.
    """

    def __init__(self, over: Over = "items", *, weighted: bool = False) -> None:
        check_over(over)
        self.over = over
        self.weighted = weighted

    def zero(self) -> _State:
        """Return the state of no results."""
        return 0, 0.0, 0.0, 0.0, 0.0

    def add(self, state: _State, index: int, value: Any) -> _State:
        """Return the state with one more result."""
        value, weight = pair_of(value) if self.weighted else (value, 1.0)
        if self.over == "items" and type(value) in (int, float) and type(weight) in (int, float):
            return self.merge(state, (1, weight, weight * weight, float(value), 0.0))
        import numpy as np

        samples, weights = as_numbers(value), np.asarray(weight, dtype=float)
        if samples.dtype.kind != "c":
            samples = samples.astype(float, copy=False)
        if self.over == "items":
            samples, weights = samples[None], weights.reshape(1)
        elif self.over == "elements":
            samples = samples.ravel()
        weights = weights.ravel()
        return self.merge(state, self._of(samples, weights if self.weighted else None))

    def _of(self, samples: Any, weights: Any) -> _State:
        """Return the state of samples along the first axis; the weights are None where all are 1."""
        import numpy as np

        n = len(samples)
        if not n:
            return self.zero()
        if weights is None:
            total = squares = float(n)
            mean = samples.mean(axis=0)
            return n, total, squares, mean, self._deviations(samples - mean, None)
        if len(weights) != n:
            raise ValueError(f"there are {n} samples and {len(weights)} weights")
        total, squares = float(weights.sum()), float(np.square(weights).sum())
        if total == 0.0:
            return n, total, squares, np.zeros(samples.shape[1:])[()], self._deviations(samples * 0.0, None)
        mean = np.tensordot(weights, samples, axes=(0, 0))[()] / total
        return n, total, squares, mean, self._deviations(samples - mean, weights)

    def _deviations(self, away: Any, weights: Any) -> Any:
        """Return the M2 of deviations from the mean."""
        import numpy as np

        squared = np.square(away) if away.dtype.kind != "c" else np.square(away.real) + np.square(away.imag)
        return squared.sum(axis=0) if weights is None else np.tensordot(weights, squared, axes=(0, 0))[()]

    def _between(self, away: Any) -> Any:
        """Return the square of the distance of two means."""
        return abs(away) ** 2

    def merge(self, a: _State, b: _State) -> _State:
        """Return the state of both."""
        if not a[0] or not b[0]:
            return a if a[0] else b
        total = a[1] + b[1]
        away = b[3] - a[3]
        share = b[1] / total if total else 0.0
        if isinstance(away, float) and not math.isfinite(away) and total:  # else inf, then 1 would be NaN
            return a[0] + b[0], total, a[2] + b[2], (a[1] * a[3] + b[1] * b[3]) / total, math.nan
        return (
            a[0] + b[0],
            total,
            a[2] + b[2],
            a[3] + away * share,
            a[4] + b[4] + self._between(away) * (a[1] * share),
        )


class Mean(_Moments):
    """The mean and its standard error, as an `Estimate`; see the parameters of `Variance`."""

    def finish(self, state: _State) -> Estimate:
        """Return the mean."""
        n, total, squares, mean, m2 = state
        nan = float("nan")
        if not n or not total:
            return Estimate(nan, nan, nan, n, total)
        freedom = total - squares / total
        variance = m2 / freedom if n > 1 and freedom > 0 else m2 + nan
        stderr = (variance * squares) ** 0.5 / total
        return Estimate(plain(mean), plain(stderr), plain(variance**0.5), n, total)


class Variance(_Moments):
    """The variance, as ``numpy.var`` has it; weighted, sum(w * |x - mean|^2) / (sum(w) - ddof).

    Parameters
    ----------
    over : {"items", "rows", "elements"}
        The samples: the results, the rows of all results, or all numbers in them.
    weighted : bool
        Each result is a pair (value, weight); for rows and elements the weights are an array, one for each sample.
    ddof : float
        Delta degrees of freedom.
    """

    def __init__(self, over: Over = "items", *, weighted: bool = False, ddof: float = 0) -> None:
        super().__init__(over, weighted=weighted)
        self.ddof = ddof

    def finish(self, state: _State) -> Any:
        """Return the variance."""
        _, total, _, _, m2 = state
        return plain(m2 / (total - self.ddof) if total > self.ddof else m2 + float("nan"))


class Covariance(_Moments):
    """The covariance matrix of samples that are vectors, as ``numpy.cov(samples, rowvar=False)`` has it.

    Parameters
    ----------
    over : {"items", "rows"}
        A result is one vector, or has a vector in each row.
    weighted : bool
        Each result is a pair (value, weight), the weights those that ``numpy.cov`` calls aweights.
    ddof : int
        Delta degrees of freedom, by default 1.
    """

    def __init__(self, over: Over = "items", *, weighted: bool = False, ddof: int = 1) -> None:
        check_over(over, ("items", "rows"))
        super().__init__(over, weighted=weighted)
        self.ddof = ddof

    def add(self, state: _State, index: int, value: Any) -> _State:
        """Return the state with one more result."""
        if type(value) in (int, float):
            raise TypeError(f"a sample must be a vector, not a number: {value!r}")
        return super().add(state, index, value)

    def _deviations(self, away: Any, weights: Any) -> Any:
        if away.ndim != 2:
            raise ValueError(f"a sample must be a vector, and its shape is {away.shape[1:]}")
        return away.T @ (away if weights is None else away * weights[:, None]).conj()

    def _between(self, away: Any) -> Any:
        import numpy as np

        return np.outer(away, away.conj())

    def finish(self, state: _State) -> Any:
        """Return the matrix."""
        _, total, squares, _, m2 = state
        freedom = total - self.ddof * squares / total if total else 0.0
        return m2 / freedom if freedom > 0 else m2 + float("nan")
