"""Following the event logs of jobs that have not ended."""

from __future__ import annotations

import time
from collections.abc import Sequence

from ..errors import DeadlineError, UnreachableError
from ..patience import Patience
from .part import Part
from .queue import refresh

_PAUSE = 0.05  # seconds between two looks at a log
_FIRST_QUESTION, _LONGEST_INTERVAL = 5.0, 300.0  # seconds between two questions to the schedd meanwhile


class Following:
    """Waits, again and again, for more events of jobs, until they have ended or the time is over.

    Parameters
    ----------
    parts : sequence of Part
        The jobs. The schedd is asked about them ever less often, for a log might never tell of the end.
    until : float or None
        How long to follow at most, by `time.monotonic`.
    """

    def __init__(self, parts: Sequence[Part], until: float | None) -> None:
        self._parts = parts
        self._until = until
        self._interval = _FIRST_QUESTION
        self._ask_at = time.monotonic() + self._interval
        self._ended = False
        self._patience = Patience()

    def __call__(self) -> bool:
        """Wait a moment; return whether to look at the logs again."""
        now = time.monotonic()
        left = float("inf") if self._until is None else self._until - now
        if self._ended or left <= 0:
            return False
        time.sleep(min(_PAUSE, left))
        if now >= self._ask_at:
            self._ask()
            self._interval = min(2 * self._interval, _LONGEST_INTERVAL)
            self._ask_at = time.monotonic() + self._interval
        return True  # after the end once more, for the last events

    def _ask(self) -> None:
        try:
            refresh(self._parts)
        except (UnreachableError, DeadlineError) as error:
            self._patience.no_answer(error)
        else:
            self._patience.answered()
            self._ended = not any(part.unfinished() for part in self._parts)
