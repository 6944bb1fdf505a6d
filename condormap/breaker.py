"""Stopping a map of which too many items fail: 1,000 equal errors tell no more than ten do, and cost hours.

A job that cannot load the function at all is one too many. Whoever waits for the map
watches; a map that nobody waits for is not stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NoReturn

from .condor import Condor
from .errors import CondorError, TooManyFailuresError
from .options import JobOptions
from .report.progress import Progress
from .state.map_state import MapState
from .status import ItemState
from .waiting import Waiter
from .waves import Waves

_EVERY = 1.0  # seconds between two counts of the items whose jobs died, for which all jobs are looked at
_REMOVAL = 60.0  # seconds that the removed jobs may take to end


class Breaker(Waiter):
    """A wait that ends with one error when too many items have failed; else it is a `Waiter`.

    Parameters
    ----------
    state, condor, options, progress
        As for `Waiter`.
    remove : callable
        Removes the map's jobs, for the reason that it is given.
    errors : callable
        Returns the errors so far, by item.
    ended : callable
        Is told when the wait is over.
    meanwhile : callable
        Is called at each look: what else there is to do.
    waves : Waves
        What goes on with what waits for room.
    """

    def __init__(
        self,
        state: MapState,
        condor: Condor,
        options: JobOptions,
        progress: Progress,
        *,
        remove: Callable[[str], object],
        errors: Callable[[], dict[int, BaseException]],
        ended: Callable[[], None],
        meanwhile: Callable[[], None],
        waves: Waves,
    ) -> None:
        super().__init__(state, condor, options, progress)
        self._remove = remove
        self._errors = errors
        self._ended = ended
        self._meanwhile = meanwhile
        self._waves = waves
        self._next_count = 0.0

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self._ended()

    def until(self, condition: Callable[[], bool], until: float | None = None) -> bool:
        """Look until the condition holds; see `Waiter.until`.

        Raises
        ------
        TooManyFailuresError
            So many items have failed that the rest of the map was removed.
        PreflightError
            A job could not load the function, so the rest of the map was removed.
        """
        hopeless, is_first = False, True

        def look() -> bool:
            nonlocal hopeless, is_first
            hopeless = self._is_hopeless()
            self._meanwhile()
            if not hopeless:
                self._waves.look(anew=is_first)
            is_first = False
            return hopeless or condition()

        found = super().until(look, until)
        if hopeless:
            self._stop()
        return found

    def for_the_rest(self, until: float | None = None) -> None:
        """With ``max_failures=``, wait until the others are settled, or too many of them have failed too."""
        if self._options.max_failures is not None:
            self.until(self._state.all_settled, until)

    def _is_hopeless(self) -> bool:
        """Tell whether too many items have failed, and others are still to be computed."""
        state, most = self._state, self._options.max_failures
        if state.unloadable() is not None:
            return not state.all_settled()
        if most is None:
            return False
        n_failed = state.ledger.n_finished - state.ledger.n_results
        if n_failed < most and time.monotonic() > self._next_count:
            self._next_count = time.monotonic() + _EVERY
            n_failed = state.counts()[ItemState.ERROR]
        return n_failed >= most and not state.all_settled()

    def _stop(self) -> NoReturn:
        """Remove the map's jobs, and say so."""
        allowed, n_items = self._options.max_failures, len(self._state.ledger)
        unloadable, failure = self._state.unloadable(), ""
        why = f"{allowed} items failed, which is as many as max_failures allows"
        try:
            self._remove(why if unloadable is None else "the function cannot be loaded in the jobs")
            super().until(self._state.all_settled, time.monotonic() + _REMOVAL)
        except CondorError as error:
            failure = f" (that could not be done: {error})"
        errors = self._errors()
        if unloadable is not None:
            errors[unloadable].add_note(f"condormap: the map's other jobs were removed{failure}")
            raise errors[unloadable]
        # What was removed for it may have a lower number than what failed.
        item = min(errors, key=lambda item: self._state.item_state(item) is not ItemState.ERROR)
        first = errors[item]
        n_failed = self._state.counts()[ItemState.ERROR]
        raise TooManyFailuresError(
            f"{n_failed} of {n_items} items failed (max_failures={allowed}), so the map's other jobs were "
            f"removed{failure}. The first: item {item}, {type(first).__name__}: {first}. m.errors() has all of "
            "them, m.results('skip') what was finished, and m.retry() runs the rest again"
        ) from first
