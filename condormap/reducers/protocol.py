"""The protocol of reducers, and a function of two as one."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable
from typing import Any


class Reducer:
    """Merges the results of a map; any object with these methods and attributes is one.

    A job adds the results of its items to a state of its own; where the map is waited for, the states of the jobs
    are merged as they arrive, and at the end the last state becomes the map's result. A state travels by pickle,
    so it is best made of plain values and arrays.

    Attributes
    ----------
    ordered : bool
        Merge needs its states in the order of the items: a state is then of consecutive items, and the next one
        begins with the item that comes after them.
    collects : bool
        A state grows with each result (a list of them), so a job hands it over before it is large.
    writes : bool
        Merge writes to files, so only one process at a time may do it.

    A method ``discard_files()``, if there is one, is called when the map is removed: for files that then nobody
    needs.
    """

    ordered: bool = False
    collects: bool = False
    writes: bool = False

    def writing(self) -> contextlib.AbstractContextManager[None]:
        """Return what a run of merges stands in (``with``), for a reducer that opens files."""
        return contextlib.nullcontext()

    def zero(self) -> Any:
        """Return the state of no results."""
        raise NotImplementedError

    def add(self, state: Any, index: int, value: Any) -> Any:
        """Return the state with the result of item `index`; the given one may be changed, and is not used more."""
        raise NotImplementedError

    def merge(self, a: Any, b: Any) -> Any:
        """Return the state of the results of both; these may be changed, and are not used again."""
        raise NotImplementedError

    def finish(self, state: Any) -> Any:
        """Return the value that a state stands for; the state stays as it is, for more may be merged."""
        raise NotImplementedError


def returned(state: Any, before: Any) -> Any:
    """Return the state that a reducer's method returned; a TypeError where it has forgotten to."""
    if state is None and before is not None:
        raise TypeError("it returned None, and has to return what it has made of both")
    return state


class Function(Reducer):
    """A function of two, as `functools.reduce` takes it: ``Function(operator.add)``.

    It must be associative: ``f(f(a, b), c) == f(a, f(b, c))``.

    Parameters
    ----------
    function : callable
        Takes two results and returns something of their kind. Where it changes its first argument, it changes a
        result that nobody else has.
    ordered : bool
        Its arguments come in the order of the items; False where ``f(a, b) == f(b, a)``.
    """

    def __init__(self, function: Callable[[Any, Any], Any], *, ordered: bool = True) -> None:
        self.function = function
        self.ordered = ordered

    def zero(self) -> tuple[Any, ...]:
        """Return the state of no results."""
        return ()

    def add(self, state: tuple[Any, ...], index: int, value: Any) -> tuple[Any, ...]:
        """Return the state with one more result."""
        return self.merge(state, (value,))

    def merge(self, a: tuple[Any, ...], b: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the state of both."""
        return (returned(self.function(a[0], b[0]), a[0]),) if a and b else a or b

    def finish(self, state: tuple[Any, ...]) -> Any:
        """Return the value; a ValueError where there are no results."""
        if not state:
            raise ValueError("there are no results, and of none this function has no value")
        return state[0]


_NOT_ASSOCIATIVE = frozenset(  # of the module operator, and of NumPy
    "sub truediv floordiv mod pow isub itruediv ifloordiv imod ipow subtract divide floor_divide remainder "
    "power float_power".split()
)


def _check_takes_two(function: Callable[..., Any]) -> None:
    """Refuse a function of all values at once, where it can be told: ``numpy.sum``, ``statistics.mean``."""
    name = getattr(function, "__name__", repr(function))
    if name in _NOT_ASSOCIATIVE and getattr(function, "__module__", None) in (
        "_operator",
        "builtins",
        "numpy",
        None,
    ):
        raise TypeError(
            f"{name} is not associative: f(f(a, b), c) is not f(a, f(b, c)), so the value would depend on how the "
            "items are divided into jobs"
        )
    advice = "condormap.reducers has what is often wanted; on_complete= takes a function of all results"
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return  # of some built-in functions nobody knows
    try:
        signature.bind(None, None)
    except TypeError:
        raise TypeError(f"{name}{signature} is no function of two values. {advice}") from None
    if list(signature.parameters)[1:2] == ["axis"]:
        raise TypeError(f"{name}() takes all values at once, and is no function of two. {advice}")


_METHODS = ("zero", "add", "merge", "finish")


def as_reducer(what: Any) -> Any:
    """Return the reducer that an argument means: one, a class of them, a tuple or dict of them, a function of two.

    Raises
    ------
    TypeError
        It means none.
    """
    from .combined import Several

    if isinstance(what, type) and all(hasattr(what, name) for name in _METHODS):
        what = what()
    if all(callable(getattr(what, name, None)) for name in _METHODS):
        return what
    if isinstance(what, tuple | dict) and what:
        return Several(what)
    if what is sum:
        raise TypeError("sum() takes all values at once: give operator.add, or condormap.reducers.Sum()")
    if callable(what):
        _check_takes_two(what)
        return Function(what)
    raise TypeError(
        "a reducer is an object with the methods zero, add, merge and finish, a tuple or dict of such, or a "
        f"function of two, not a {type(what).__name__}: {what!r}"
    )
