"""How long calls took: short ones go in fewer jobs, for each job costs a good part of a second."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Iterable
from typing import Any

from ..payload.chunks import ROUNDS

_SHORT = 1.0  # seconds for which a slot has work: with less, one round of jobs
_MOST = 1000  # kinds of calls


def kind_of(function: Callable[..., Any]) -> Hashable:
    """Return what calls have in common that may take equally long: their code, if it can be told."""
    while isinstance(function, functools.partial):
        function = function.func
    kind: Hashable = getattr(function, "__code__", None) or getattr(function, "__qualname__", type(function))
    return kind


class Pace:
    """How long calls of each kind took; every slot gets a job all the same."""

    def __init__(self) -> None:
        self._seconds: dict[Hashable, float] = {}

    def note(self, kind: Hashable, seconds: float) -> None:
        """Note how long a call took; the latest count most."""
        if len(self._seconds) > _MOST:
            self._seconds.clear()
        self._seconds[kind] = (self._seconds.get(kind, seconds) + seconds) / 2

    def rounds(self, kinds: Iterable[Hashable], slots: int) -> int:
        """Return in how many rounds of jobs calls of these kinds go, one kind for each call."""
        total = 0.0
        for kind in kinds:
            seconds = self._seconds.get(kind)
            if seconds is None:
                return ROUNDS
            total += seconds
        return 1 if total < _SHORT * slots else ROUNDS
