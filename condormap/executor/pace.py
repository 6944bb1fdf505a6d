"""How long calls took: short ones go in fewer jobs, for each job costs a good part of a second."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Iterable
from typing import Any

from ..payload.chunks import ROUNDS

# With less work for each slot there is one round of jobs: seconds, and times what the start of a job takes. What
# then ends late is less than the imports of more jobs.
_SHORT, _STARTS = 1.0, 4.0
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
        self._firsts: dict[Hashable, float] = {}  # the first of a job, which imports what all of them need

    def note(self, kind: Hashable, seconds: float, *, first: bool = False) -> None:
        """Note how long a call took; the latest count most.

        Parameters
        ----------
        kind : hashable
            See `kind_of`.
        seconds : float
            How long.
        first : bool
            It was the first of its job.
        """
        known = self._firsts if first else self._seconds
        if len(known) > _MOST:
            known.clear()
        known[kind] = (known.get(kind, seconds) + seconds) / 2

    def rounds(self, kinds: Iterable[Hashable], slots: int) -> int:
        """Return in how many rounds of jobs calls of these kinds go, one kind for each call."""
        work = start = 0.0
        for kind in kinds:
            first = self._firsts.get(kind)
            seconds = self._seconds.get(kind, first)
            if seconds is None:
                return ROUNDS
            work += seconds
            if first is not None:
                start = max(start, first - seconds)
        return 1 if work < max(_SHORT, _STARTS * start) * slots else ROUNDS
