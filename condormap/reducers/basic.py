"""Reducers that need no numbers: results as they are, how many, sets, dicts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .protocol import Reducer


class Collect(Reducer):
    """All results, as a list in the order of the items; items without a result are left out."""

    collects = True

    def zero(self) -> list[tuple[int, Any]]:
        """Return the state of no results."""
        return []

    def add(self, state: list[tuple[int, Any]], index: int, value: Any) -> list[tuple[int, Any]]:
        """Return the state with one more result."""
        state.append((index, value))
        return state

    def merge(self, a: list[tuple[int, Any]], b: list[tuple[int, Any]]) -> list[tuple[int, Any]]:
        """Return the state of both."""
        if len(a) < len(b):
            a, b = b, a
        a += b
        return a

    def finish(self, state: list[tuple[int, Any]]) -> Any:
        """Return the results."""
        return [value for _, value in sorted(state, key=lambda pair: pair[0])]


class Count(Reducer):
    """How many results there are.

    Parameters
    ----------
    where : callable or None
        Only the results for which it is true.
    """

    def __init__(self, where: Callable[[Any], object] | None = None) -> None:
        self.where = where

    def zero(self) -> int:
        """Return the state of no results."""
        return 0

    def add(self, state: int, index: int, value: Any) -> int:
        """Return the state with one more result."""
        return state + (1 if self.where is None or self.where(value) else 0)

    def merge(self, a: int, b: int) -> int:
        """Return the state of both."""
        return a + b

    def finish(self, state: int) -> int:
        """Return the number."""
        return state


class Union(Reducer):
    """The union of results that are sets, or other iterables of hashable values."""

    collects = True

    def zero(self) -> set[Any]:
        """Return the state of no results."""
        return set()

    def add(self, state: set[Any], index: int, value: Iterable[Any]) -> set[Any]:
        """Return the state with one more result."""
        if isinstance(value, str | bytes):
            raise TypeError(
                f"a result must be a set or another iterable, not text: {value!r}; {{{value!r}}} is one"
            )
        state.update(value)
        return state

    def merge(self, a: set[Any], b: set[Any]) -> set[Any]:
        """Return the state of both."""
        if len(a) < len(b):
            a, b = b, a
        a |= b
        return a

    def finish(self, state: set[Any]) -> set[Any]:
        """Return the set."""
        return set(state)


class MergeDicts(Reducer):
    """One dict of all results, which are dicts, with the keys in the order in which the items bring them.

    Parameters
    ----------
    combine : callable or None
        Combines two values of a key; associative. Without it the value of the last item counts.
    """

    ordered = True
    collects = True

    def __init__(self, combine: Callable[[Any, Any], Any] | None = None) -> None:
        self.combine = combine

    def zero(self) -> dict[Any, Any]:
        """Return the state of no results."""
        return {}

    def add(self, state: dict[Any, Any], index: int, value: Mapping[Any, Any]) -> dict[Any, Any]:
        """Return the state with one more result."""
        if not isinstance(value, Mapping):
            raise TypeError(f"a result must be a dict, not a {type(value).__name__}: {value!r:.80}")
        if self.combine is None:
            state.update(value)
        else:
            for key, one in value.items():
                state[key] = self.combine(state[key], one) if key in state else one
        return state

    def merge(self, a: dict[Any, Any], b: dict[Any, Any]) -> dict[Any, Any]:
        """Return the state of both."""
        return self.add(a, 0, b)

    def finish(self, state: dict[Any, Any]) -> dict[Any, Any]:
        """Return the dict."""
        return dict(state)
