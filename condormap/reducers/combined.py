"""Reducers made of others: several at once, one for each key."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from .protocol import Reducer, as_reducer, returned

_Groups = dict[
    Any, tuple[tuple[int, int], Any]
]  # key -> where it came first (item, place in its result), state


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
        return [
            returned(each.add(one, index, value), one) for each, one in zip(self.reducers, state, strict=True)
        ]

    def merge(self, a: list[Any], b: list[Any]) -> list[Any]:
        """Return the state of both."""
        return [returned(each.merge(*pair), pair[0]) for each, *pair in zip(self.reducers, a, b, strict=True)]

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

    def zero(self) -> _Groups:
        """Return the state of no results."""
        return {}

    def add(self, state: _Groups, index: int, value: Any) -> _Groups:
        """Return the state with one more result."""
        for number, (key, one) in enumerate(self._pairs(value)):
            place, before = state[key] if key in state else ((index, number), self.reducer.zero())
            state[key] = place, self.reducer.add(before, index, one)
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

    def merge(self, a: _Groups, b: _Groups) -> _Groups:
        """Return the state of both."""
        for key, (place, one) in b.items():
            if key in a:
                first, before = a[key]
                a[key] = min(first, place), self.reducer.merge(before, one)
            else:
                a[key] = place, one
        return a

    def finish(self, state: _Groups) -> dict[Any, Any]:
        """Return the values by key; the keys are in the order in which the items bring them."""
        groups = sorted(state.items(), key=lambda group: group[1][0])
        return {key: self.reducer.finish(one) for key, (_, one) in groups}
