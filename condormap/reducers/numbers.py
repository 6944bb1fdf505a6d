"""Sums and extremes of numbers and arrays, as NumPy has them of all results at once."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

from .protocol import Reducer

#: What the samples are of which a statistic is made: each result as it is (``numpy.stack(results)``, axis 0), the
#: rows of all results (``numpy.concatenate(results)``, axis 0), or the numbers in them all.
Over = Literal["items", "rows", "elements"]


def check_over(over: str, allowed: tuple[str, ...] = ("items", "rows", "elements")) -> None:
    """Refuse what is no `Over`."""
    if over not in allowed:
        raise ValueError(f"over must be one of {', '.join(map(repr, allowed))}, not {over!r}")


class Sum(Reducer):
    """The sum of all results.

    Integers of Python are exact; NumPy's have 64 bits, as in ``numpy.sum``. Sums of floats are compensated
    (Knuth's TwoSum), so the order in which they arrive changes the last bit at most.

    Parameters
    ----------
    over : {"items", "rows", "elements"}
        What is summed: the results, the rows of all results, or all numbers in them.
    """

    def __init__(self, over: Over = "items") -> None:
        check_over(over)
        self.over = over

    def zero(self) -> tuple[Any, Any]:
        """Return the state of no results: the sum, and what rounding has lost of it."""
        return 0, 0

    def add(self, state: tuple[Any, Any], index: int, value: Any) -> tuple[Any, Any]:
        """Return the state with one more result."""
        if self.over == "items" and type(value) in (int, float):
            return _two_sum(state, (value, 0))
        import numpy as np

        value = as_numbers(value)
        if self.over == "items":
            value = value[None]
        total = np.sum(value, axis=None if self.over == "elements" else 0)
        return _two_sum(state, (plain(total), 0))

    def merge(self, a: tuple[Any, Any], b: tuple[Any, Any]) -> tuple[Any, Any]:
        """Return the state of both."""
        return _two_sum(a, b)

    def finish(self, state: tuple[Any, Any]) -> Any:
        """Return the sum."""
        total, lost = state
        if type(total) is float:
            return total + lost if math.isfinite(total) else total
        if not _is_inexact(total):
            return total
        import numpy as np

        with np.errstate(all="ignore"):
            return plain(np.where(np.isfinite(total), total + lost, total)[()])


def as_array(value: Any) -> Any:
    """Return a result as an array; a TypeError where it has masked values, whose mask would be lost."""
    import numpy as np

    if np.ma.is_masked(value):
        raise TypeError(
            f"a result has masked values, and masks are not reduced: return array.compressed() or "
            f"array.filled(numpy.nan), not {value!r:.80}"
        )
    return np.asarray(value)


def as_numbers(value: Any) -> Any:
    """Return a result as an array; a TypeError where it has text, a date or None, which NumPy would convert."""
    array = as_array(value)
    if array.dtype.kind in "USVM" or (array.dtype.kind == "O" and None in array.ravel().tolist()):
        raise TypeError(f"a result must be numbers, not a {type(value).__name__}: {value!r:.80}")
    return array


def pair_of(value: Any) -> tuple[Any, Any]:
    """Return a value and its weight; a TypeError where a result is no such pair."""
    try:
        one, weight = value
    except (TypeError, ValueError):
        told = f"a {type(value).__name__}: {value!r:.80}"
        raise TypeError(f"weighted=True: a result must be a pair (value, weight), not {told}") from None
    return one, weight


def _two_sum(a: tuple[Any, Any], b: tuple[Any, Any]) -> tuple[Any, Any]:
    """Return the sum of two sums, each with what rounding has lost of it."""
    total = a[0] + b[0]
    if type(total) is float:
        part = total - a[0]
        return total, a[1] + b[1] + ((a[0] - (total - part)) + (b[0] - part))
    if not _is_inexact(total):
        return total, 0
    import numpy as np

    with np.errstate(all="ignore"):
        part = total - a[0]
        return total, a[1] + b[1] + ((a[0] - (total - part)) + (b[0] - part))


def _is_inexact(value: Any) -> bool:
    return isinstance(value, complex) or getattr(getattr(value, "dtype", None), "kind", "") in ("f", "c")


def plain(value: Any) -> Any:
    """Return a number of NumPy's as Python's, whose integers don't overflow; anything else as it is."""
    return value.item() if getattr(value, "ndim", 1) == 0 and value.dtype.kind in "biufc" else value


class Extreme(NamedTuple):
    """A smallest or largest value, and where it is.

    Attributes
    ----------
    value : number or array
        The value.
    index : int or array of int
        The item that has it: of several the first one.
    position : tuple of int
        Where it is in the item's array, for ``over="elements"``; else empty.
    """

    value: Any
    index: Any
    position: tuple[int, ...] = ()


class Min(Reducer):
    """The smallest result, and which item has it. As in NumPy, NaN is smaller and larger than everything.

    Parameters
    ----------
    over : {"items", "elements"}
        The smallest of the results (of arrays: element by element), or of all numbers in them.
    """

    _sign = -1

    def __init__(self, over: Literal["items", "elements"] = "items") -> None:
        check_over(over, ("items", "elements"))
        self.over = over

    def zero(self) -> None:
        """Return the state of no results."""

    def add(self, state: Extreme | None, index: int, value: Any) -> Extreme | None:
        """Return the state with one more result."""
        if isinstance(value, int | float | str | bytes):
            return self.merge(state, Extreme(value, index))
        import numpy as np

        array = as_array(value)
        if self.over == "elements":
            if not array.size:
                return state
            flat = int(array.argmin() if self._sign < 0 else array.argmax())
            position = tuple(int(k) for k in np.unravel_index(flat, array.shape))
            return self.merge(state, Extreme(plain(array[position]), index, position))
        if array.ndim == 0:
            return self.merge(state, Extreme(plain(array[()]), index))
        return self.merge(state, Extreme(array, np.full(array.shape, index)))

    def merge(self, a: Extreme | None, b: Extreme | None) -> Extreme | None:
        """Return the state of both."""
        if a is None or b is None:
            return b if a is None else a
        if getattr(a.value, "ndim", 0):
            import numpy as np

            (first, second), takes = (a, b), self._wins(b, a)
            return Extreme(
                np.where(takes, second.value, first.value), np.where(takes, second.index, first.index)
            )
        return b if self._wins(b, a) else a

    def _wins(self, b: Extreme, a: Extreme) -> Any:
        """Tell, for numbers or arrays, whether `b` comes before `a`."""
        beyond = b.value < a.value if self._sign < 0 else b.value > a.value
        a_is_nan, b_is_nan = a.value != a.value, b.value != b.value
        same = (a.value == b.value) | (a_is_nan & b_is_nan)
        earlier = b.index < a.index
        return (beyond & (a_is_nan == False)) | (b_is_nan & (a_is_nan == False)) | (same & earlier)  # noqa: E712

    def finish(self, state: Extreme | None) -> Extreme:
        """Return the value and where it is; a ValueError where there is none."""
        if state is None:
            raise ValueError("there are no results, so none of them is the smallest or largest")
        return state


class Max(Min):
    """The largest result, and which item has it; see `Min`."""

    _sign = 1
