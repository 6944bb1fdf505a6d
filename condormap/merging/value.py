"""The one value of a map: what its results are reduced to, or what a function makes of them all."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from ..errors import InvalidInputError, ReduceError, WaitTimeoutError
from ..in_job.payload import RESULT
from ..open_map import OpenMap
from ..payload.serialize import modules_by_value, pickled_by_value
from ..reducers import as_reducer
from ..results import Results, raisable
from ..times import deadline
from ..waiting import Waiter
from . import completion
from .merged import write_reducer
from .reduction import Reduction

_LONG = 1e9  # seconds


class Value:
    """The value of one map.

    Parameters
    ----------
    open_map : OpenMap
        The map.
    results : Results
        Its results.
    new_waiter : callable
        Begins a wait.
    remove : callable
        Removes the map's jobs, for the reason that it is given.
    """

    def __init__(
        self,
        open_map: OpenMap,
        results: Results,
        new_waiter: Callable[[], Waiter],
        remove: Callable[[str], object],
    ) -> None:
        self._map = open_map
        self._results = results
        self._new_waiter = new_waiter
        self._reduction = Reduction(open_map.path, open_map.state, remove) if open_map.record.reduce else None
        self._cannot_merge = False

    def is_settled(self, until: float | None = None) -> bool:
        """Tell whether a wait is over, the merging of what there is included, for which there is time `until`."""
        return (
            self._map.state.all_settled() if self._reduction is None else self._reduction.is_complete(until)
        )

    def merge(self) -> None:
        """Merge what has arrived, while results are waited for; where that fails, `result` says so."""
        if self._reduction is None or self._cannot_merge:
            return
        try:
            self._reduction.merge_some()
        except ReduceError:
            self._cannot_merge = True

    @property
    def is_stopped(self) -> bool:
        """Whether ``until=`` has stopped the map."""
        return self._reduction is not None and self._reduction.is_stopped

    def complete(self) -> None:
        """Call the function of all results, if there is one that was not called, and all results are there."""
        if completion.has_completion(self._map.path) and self._has_all():
            self._completed(_LONG)

    def result(self, errors: Literal["raise", "skip"], timeout: float | None) -> Any:
        """Return the value; see `CondorMap.result`."""
        if errors not in ("raise", "skip"):
            raise InvalidInputError(f'errors must be "raise" or "skip", not {errors!r}')
        if self._reduction is None and not completion.has_completion(self._map.path):
            raise InvalidInputError(
                "the map has no one result: m.results() has those of all items. condormap(..., reduce=...) or "
                "m.set_on_complete(function) make one of them"
            )
        if self._reduction is None and errors == "skip":
            raise InvalidInputError('an on_complete function needs all results, so errors can\'t be "skip"')
        until = deadline(timeout)
        with self._new_waiter() as waiter:
            if not waiter.until(lambda: self.is_settled(until), until):
                ledger = self._map.state.ledger
                raise WaitTimeoutError(
                    f"{ledger.n_finished} of {len(ledger)} items had an outcome when the "
                    "time was over; the jobs go on, and the handle stays usable"
                )
        if self._reduction is not None:
            if errors == "raise" and not self._reduction.is_stopped:
                self._raise_first_error()
            return self._reduction.value(partial=False)
        self._raise_first_error()
        return self._completed(_LONG if until is None else max(0.0, until - time.monotonic()))

    def partial(self) -> Any:
        """Return the reducer's value so far; see `CondorMap.partial`."""
        reduction = self._reducing()
        self._map.state.poll()
        reduction.is_complete()
        return reduction.value()

    def merged(self) -> list[int]:
        """Return the items whose results are merged."""
        return self._reducing().items()

    def set_reducer(self, reducer: Any, until: Any) -> None:
        """Reduce with another reducer; see `CondorMap.set_reducer`."""
        reduction, reducer = self._reducing(), checked_reducer(reducer)
        _check_callable("until", until)
        with self._local_modules():
            reduction.replace_reducer(reducer, until)
        self._cannot_merge = False

    def set_on_complete(self, function: Callable[[list[Any]], Any]) -> None:
        """Have a function called with all results; see `CondorMap.set_on_complete`."""
        if self._reduction is not None:
            raise InvalidInputError(
                "m.result() of a map with reduce= is what the reducer returns: it has no on_complete"
            )
        with self._local_modules():
            completion.write_completion(self._map.path, function, len(self._map.state.ledger))

    def refuse_more(self) -> None:
        """Refuse to run items of a map that has stopped."""
        if self._reduction is not None and self._reduction.was_stopped():
            raise InvalidInputError("until= has stopped the map: its result stands, and no more items run")

    def _local_modules(self) -> contextlib.AbstractContextManager[None]:
        """Pickle by value what the jobs, or whoever loads the map, could not import."""
        sent = any(submission.sent for submission in self._map.state.submissions)
        return pickled_by_value(modules_by_value(self._map.condor, sent=sent))

    def _reducing(self) -> Reduction:
        if self._reduction is None:
            raise InvalidInputError("the map has no reducer: give condormap one with reduce=")
        return self._reduction

    def _has_all(self) -> bool:
        return self._map.state.ledger.n_results == len(self._map.state.ledger)

    def _completed(self, timeout: float) -> Any:
        n_items = len(self._map.state.ledger)
        return completion.complete(self._map.path, n_items, lambda: self._results.all("raise", None), timeout)

    def _raise_first_error(self) -> None:
        if self._has_all():
            return
        for item, letter in enumerate(self._map.state.ledger.states):
            if letter != ord(RESULT) and (error := self._results.error(item)) is not None:
                raise raisable(item, error)
        raise ReduceError("an item has no result, and no error either", stage="finish")


def checked_reducer(reducer: Any) -> Any:
    """Return the reducer that an argument means, or refuse it."""
    try:
        return as_reducer(reducer)
    except TypeError as error:
        raise InvalidInputError(f"reduce: {error}") from None


def check_value_options(
    reduce: Any, keep: bool, until: Any, on_complete: Any, with_input: bool
) -> str | None:
    """Refuse what does not go together; return what is done with results besides, as `MapRecord.reduce`."""
    if reduce is None:
        for name, value in (("keep", keep), ("until", until)):
            if value:
                raise InvalidInputError(f"{name}= is for a map with reduce=")
    elif on_complete is not None:
        raise InvalidInputError(
            "reduce= and on_complete= both make the value of m.result(): give one of them"
        )
    elif with_input and not keep:
        raise InvalidInputError(
            "with_input= is for results, and a map with reduce= has none without keep=True"
        )
    for name, value in (("until", until), ("on_complete", on_complete)):
        _check_callable(name, value)
    return None if reduce is None else "keep" if keep else "discard"


def _check_callable(name: str, value: Any) -> None:
    if value is not None and not callable(value):
        raise InvalidInputError(f"{name} must be callable, not a {type(value).__name__}: {value!r}")


def write_value_options(folder: Path, reducer: Any, until: Any, on_complete: Any) -> None:
    """Write what makes the map's value into its folder."""
    if reducer is not None:
        write_reducer(folder, reducer, until)
    if on_complete is not None:
        completion.write_completion(folder, on_complete, 0)
