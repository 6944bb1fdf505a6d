"""Reducers made of others: several at once, one for each key."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from .protocol import Reducer, as_reducer


class Several(Reducer):
    """Several reducers in one pass, each of which gets every result; the value is a tuple or dict of their values.

    Parameters
    ----------
    reducers : tuple or dict
        The reducers.
    """

    def __init__(self, reducers: tuple[Any, ...] | Mapping[Any, Any]) -> None:
        is_dict = isinstance(reducers, Mapping)
        self.names = tuple(reducers) if is_dict else None
        self.reducers = tuple(
            as_reducer(each) for each in (reducers.values() if isinstance(reducers, Mapping) else reducers)
        )
        self.ordered = any(getattr(each, "ordered", True) for each in self.reducers)
        self.collects = any(getattr(each, "collects", False) for each in self.reducers)
        self.writes = any(getattr(each, "writes", False) for each in self.reducers)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Keep the files of all open while the block runs."""
        with contextlib.ExitStack() as stack:
            for each in self.reducers:
                if getattr(each, "writes", False):
                    stack.enter_context(each.writing())
            yield

    def zero(self) -> list[Any]:
        """Return the state of no results."""
        return [each.zero() for each in self.reducers]

    def add(self, state: list[Any], index: int, value: Any) -> list[Any]:
        """Return the state with one more result."""
        return [each.add(one, index, value) for each, one in zip(self.reducers, state, strict=True)]

    def merge(self, a: list[Any], b: list[Any]) -> list[Any]:
        """Return the state of both."""
        return [each.merge(*pair) for each, *pair in zip(self.reducers, a, b, strict=True)]

    def finish(self, state: list[Any]) -> tuple[Any, ...] | dict[Any, Any]:
        """Return the values."""
        values = tuple(each.finish(one) for each, one in zip(self.reducers, state, strict=True))
        return values if self.names is None else dict(zip(self.names, values, strict=True))


class GroupBy(Reducer):
    """One reducer for each key; the value is a dict of their values.

    Parameters
    ----------
    reducer : reducer
        What reduces the values of a key.
    key : callable or None
        Returns the key of a result. Without it a result is a dict key -> value, or one pair (key, value).
    """

    def __init__(self, reducer: Any, key: Callable[[Any], Any] | None = None) -> None:
        self.reducer = as_reducer(reducer)
        self.key = key
        if getattr(self.reducer, "writes", False):
            raise ValueError("a reducer that writes to a file cannot be there once for each key")
        self.ordered = getattr(self.reducer, "ordered", True)
        self.collects = getattr(self.reducer, "collects", False)

    def zero(self) -> dict[Any, Any]:
        """Return the state of no results."""
        return {}

    def add(self, state: dict[Any, Any], index: int, value: Any) -> dict[Any, Any]:
        """Return the state with one more result."""
        for key, one in self._pairs(value):
            before = state[key] if key in state else self.reducer.zero()
            state[key] = self.reducer.add(before, index, one)
        return state

    def _pairs(self, value: Any) -> Iterable[tuple[Any, Any]]:
        if self.key is not None:
            return ((self.key(value), value),)
        if isinstance(value, Mapping):
            return value.items()
        if isinstance(value, tuple) and len(value) == 2:
            return (value,)
        raise TypeError(
            f"a result must be a dict key -> value or a pair (key, value), not a {type(value).__name__}: "
            f"{value!r}; or give GroupBy a key="
        )

    def merge(self, a: dict[Any, Any], b: dict[Any, Any]) -> dict[Any, Any]:
        """Return the state of both."""
        for key, one in b.items():
            a[key] = self.reducer.merge(a[key], one) if key in a else one
        return a

    def finish(self, state: dict[Any, Any]) -> dict[Any, Any]:
        """Return the values by key; the keys are in the order in which they came."""
        return {key: self.reducer.finish(one) for key, one in state.items()}
