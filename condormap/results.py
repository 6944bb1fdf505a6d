"""The results of a map as they come: one, all in order, or each as soon as it is there."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from .errors import InvalidInputError, RemoteError, WaitTimeoutError
from .in_job.payload import RESULT
from .payload.item_store import unpickle_items
from .state.map_state import MapState
from .status import ItemState
from .times import deadline
from .waiting import Waiter

Errors = Literal["raise", "return", "skip"]


@dataclass(frozen=True)
class Item:
    """One item of a map that is settled: it has an outcome, or a reason why it has none.

    Attributes
    ----------
    index : int
        Its place in the input.
    state : ItemState
        Its state.
    host : str
        Where it was computed; empty where it wasn't.
    attempt : int
        The attempt of its job that computed it, from 0.
    error : BaseException or None
        Why it has no result.
    """

    index: int
    state: ItemState
    host: str
    attempt: int
    error: BaseException | None
    _results: Results

    def result(self) -> Any:
        """Return the item's result, or raise its error."""
        return self._results.one(self.index)


class Results:
    """The results of one map.

    Parameters
    ----------
    path : Path
        The map's folder.
    state : MapState
        Its state.
    new_waiter : callable
        Begins a wait.
    with_input : bool
        A result is a pair (item, result).
    kept : bool
        There are results: they were not only merged.
    inputs : callable or None
        Yields the items, of which it is given the indices; None for those of the folder's store.
    """

    def __init__(
        self,
        path: Path,
        state: MapState,
        new_waiter: Callable[[], Waiter],
        *,
        with_input: bool = False,
        kept: bool = True,
        inputs: Callable[[Iterable[int]], Iterator[Any]] | None = None,
    ) -> None:
        self._inputs = inputs or partial(unpickle_items, path)
        self.state = state
        self.new_waiter = new_waiter
        self.with_input = with_input
        self.kept = kept

    def __len__(self) -> int:
        return len(self.state.ledger)

    def check_kept(self) -> None:
        """Refuse to give results that were only merged."""
        if not self.kept:
            raise InvalidInputError(
                "the map reduces its results and keeps none of them: m.result() has what they were merged to, "
                "m.partial what there is so far. condormap(..., reduce=..., keep=True) keeps them too"
            )

    def one(self, item: int) -> Any:
        """Wait for an item and return its result, or raise its error."""
        return self.some((item,))[0]

    def some(self, items: range | tuple[int, ...]) -> list[Any]:
        """Wait for some items and return their results, or raise the first error."""
        self.check_kept()
        found = []
        with self.new_waiter() as waiter:
            for item in items:
                error = self.wait_for(item, waiter)
                if error is not None:
                    raise raisable(item, error)
                found.append(self._value(item))
        return found

    def all(self, errors: Errors, timeout: float | None) -> list[Any]:
        """Wait for all items and return their results; see `CondorMap.results`."""
        if errors not in ("raise", "return", "skip"):
            raise InvalidInputError(f'errors must be "raise", "return" or "skip", not {errors!r}')
        self.check_kept()
        until = deadline(timeout)
        self.state.look_for_submissions()
        found: list[Any] = []
        with self.new_waiter() as waiter:
            item = 0
            while item < len(self):
                error = self.wait_for(item, waiter, until)
                if error is None:
                    try:
                        values = self.values_from(item)
                        found += values
                        item += len(values)
                        continue
                    except RemoteError as unreadable:
                        error = unreadable
                if errors == "raise":
                    waiter.for_the_rest(until)
                    raise raisable(item, error)
                if errors == "return":
                    found.append(error)
                item += 1
        return found

    def as_completed(self) -> Generator[Item]:
        """Yield every item as soon as it is settled; see `CondorMap.as_completed`."""
        state, outcomes, seen = self.state, self.state.outcomes, 0
        state.look_for_submissions()
        with self.new_waiter() as waiter:
            while True:
                waiter.until(lambda: outcomes.n_frames > seen or state.all_settled())  # noqa: B023
                if seen == outcomes.n_frames:
                    break
                for item in outcomes.arrived(seen):
                    yield self.item(item)
                seen += 1
        for item in [item for item in range(len(self)) if state.ledger.is_open(item)]:
            yield self.item(item)

    def wait_for(self, item: int, waiter: Waiter, until: float | None = None) -> BaseException | None:
        """Wait until an item is settled, and return why it has no result; None where it has one."""
        state = self.state
        while True:
            self._wait_for(item, waiter, until)
            error = self.error(item)
            if error is None or not state.look_for_submissions():
                return error

    def _wait_for(self, item: int, waiter: Waiter, until: float | None) -> None:
        state = self.state
        if state.ledger.is_open(item) and not waiter.until(lambda: state.is_settled(item), until):
            raise WaitTimeoutError(
                f"item {item} had no outcome when the time was over ({state.ledger.n_finished} of {len(self)} "
                "items have one); its job goes on, and the handle stays usable"
            )

    def _value(self, item: int) -> Any:
        """Return the result of an item that has one."""
        value = self.state.outcomes.value(item)
        return (self._input(item), value) if self.with_input else value

    def values_from(self, item: int) -> list[Any]:
        """Return the results of an item that has one and of those right after it, as many as are read at once."""
        values = self.state.outcomes.values_from(item)
        if not self.with_input:
            return values
        items = range(item, item + len(values))
        return list(zip(self._inputs(items), values, strict=True))

    def error(self, item: int) -> BaseException | None:
        """Return why an item has no result; None where it has one, or may still get one."""
        if self.state.ledger.is_open(item):
            return self.state.fates.failure(*self.state.chunk_of(item))
        has_result = chr(self.state.ledger.states[item]) == RESULT
        return None if has_result else self.state.outcomes.error(item)

    def errors(self) -> dict[int, BaseException]:
        """Return the errors so far, by item."""
        state = self.state
        state.poll()
        found = {
            item: error for item in state.ledger.failed_items() if (error := self.error(item)) is not None
        }
        for submission, chunk in state.chunks():
            open_items = state.open_items(submission, chunk)
            failure = state.fates.failure(submission, chunk) if open_items else None
            if failure is not None:
                found |= dict.fromkeys(open_items, failure)
        return dict(sorted(found.items()))

    def output_file(self, item: int, stream: str) -> Path:
        """Return the file of the standard ``"out"`` or ``"err"`` of the job that computed an item, or is to."""
        if self.state.ledger.is_open(item):
            submission, chunk = self.state.chunk_of(item)
            return submission.output_file(chunk, stream)
        outcomes = Path(self.state.outcomes.file(item))  # <submission>/outcomes/<shard>/<chunk>.<attempt>
        shard, chunk_name = outcomes.parent.name, outcomes.name.partition(".")[0]
        return outcomes.parents[2] / "stdio" / shard / f"{chunk_name}.{stream}"

    def item(self, item: int) -> Item:
        """Return an item that is settled."""
        state = self.state
        attempt = None if state.ledger.is_open(item) else state.outcomes.attempt(item)
        host, number = ("", 0) if attempt is None else (attempt.host, attempt.number)
        return Item(item, state.item_state(item), host, number, self.error(item), self)

    def _input(self, item: int) -> Any:
        (value,) = self._inputs((item,))
        return value


def raisable(item: int, error: BaseException) -> BaseException:
    """Return what to raise for an item that failed.

    StopIteration is made a RuntimeError, as in a generator: else it would look like an end of something, and
    nothing that is awaited can raise it.
    """
    if not isinstance(error, StopIteration):
        return error
    stands_for = RuntimeError(f"item {item} raised StopIteration")
    stands_for.__cause__ = error
    return stands_for


class InOrder(Iterator[Any]):
    """The results in order. Not a generator: it goes on after an item that raised."""

    def __init__(self, results: Results) -> None:
        results.check_kept()
        self._results = results
        self._next = 0
        self._values: list[Any] = []  # results that were read at once
        self._place = 0  # of the next one in them
        self._waiter = results.new_waiter()

    def __next__(self) -> Any:
        place = self._place
        try:
            value = self._values[place]
        except IndexError:
            # At once, and before the wait: interrupted in it, the same item comes again.
            self._next, self._values, self._place = self._next + place, [], 0
            self._values, place = self._read(self._next), 0
            value = self._values[0]
        self._place = place + 1
        return value

    def _read(self, item: int) -> list[Any]:
        """Wait for an item; return its result and those that come with it, or raise its error."""
        if item == len(self._results):
            self._results.state.look_for_submissions()
        if item == len(self._results):
            self._waiter.__exit__()
            raise StopIteration
        error = self._results.wait_for(item, self._waiter)
        if error is None:
            try:
                return self._results.values_from(item)
            except RemoteError as unreadable:
                error = unreadable
        self._next = item + 1
        self._waiter.__exit__()  # the next wait shows another bar
        raise raisable(item, error)
