"""How long the worker has made no progress. Travels into the job; standard library only."""

from __future__ import annotations

import time

from .shared import FINISHED, GROUP, LOADED, WRITES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

LEAVING = 5.0  # seconds that a worker has to leave when its last item is over
LONGEST_LOOK = 1.0  # seconds that one look takes for a time limit: a job may be stopped in between


class Watch:
    """Watches the time of one worker.

    Parameters
    ----------
    limit : float or None
        Seconds that an item may take.
    """

    def __init__(self, limit: float | None) -> None:
        self._limit = limit
        self._progress, self._unchanged, self._looked = (0, 0, 0), 0.0, time.monotonic()

    def is_over(self, n_todo: int, counters: Sequence[Any]) -> bool:
        """Tell whether an item takes longer than it may, or the worker does not leave after the last one."""
        now = time.monotonic()
        passed, self._looked = min(now - self._looked, LONGEST_LOOK), now
        progress = (n_todo, counters[FINISHED], counters[GROUP])
        if progress != self._progress or counters[WRITES]:
            self._progress, self._unchanged = progress, 0.0
            return False
        self._unchanged += passed
        if counters[FINISHED] == (n_todo if counters[LOADED] else 1):
            return self._unchanged > LEAVING
        if not counters[LOADED]:
            self._unchanged = 0.0  # the limit is for the items
        return self._limit is not None and self._unchanged > self._limit

    @staticmethod
    def overdue(todo: Sequence[int], counters: Sequence[Any]) -> int | None:
        """Return the item whose time is over; None where it is only that the worker does not leave."""
        finished = counters[FINISHED]
        return todo[finished] if counters[LOADED] and finished < len(todo) else None
