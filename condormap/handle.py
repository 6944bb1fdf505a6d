"""CondorMap: the handle of a map. It reads what the map's folder has, and holds nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, overload

from .condor import Action, ActResult, connect
from .errors import (
    CondormapError,
    InvalidInputError,
    JobHeldError,
    RemoteError,
    StorageError,
    WaitTimeoutError,
)
from .options import JobOptions
from .payload import RESULT, read_items
from .report.progress import Progress
from .serialize import unpickle_item
from .state import MapState
from .status import ItemState
from .store import read_record, submission_folders
from .submission import CLOCKS, Submission, load_submission, note_cluster
from .times import deadline
from .tracking import TrackedJob
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
    _map: CondorMap

    def result(self) -> Any:
        """Return the item's result, or raise its error."""
        return self._map[self.index]


class CondorMap:
    """The handle of a map: its results in order, its state, its jobs. `condormap` and `load` return it.

    ``len(m)`` is the number of items, ``m[i]`` and ``m[a:b]`` wait for just these results. Iterating gives the
    results in order, as they come; an item that failed raises its own error, and ``next()`` goes on after it.
    Ctrl-C while it waits leaves the jobs running and the handle as it is.

    Attributes
    ----------
    tag : str
        The map's name, for `load`.
    path : Path
        Its folder.
    progress : bool or None
        Show a bar while waiting; None does so on a terminal and in a notebook.
    """

    def __init__(self, path: Path, *, with_input: bool = False, progress: bool | None = None) -> None:
        record = read_record(path)
        self.path = path
        self.tag = record.tag
        self.progress = progress
        self._record = record
        self._with_input = with_input
        self._condor = connect(record.address)
        self._submissions = [self._found(load_submission(folder)) for folder in submission_folders(path)]
        self._state = MapState(path, record.n_items, self._submissions, self._condor)

    def _found(self, submission: Submission) -> Submission:
        """Return the submission with its cluster, which is looked up when a submit was interrupted."""
        if submission.cluster is not None:
            return submission
        cluster = self._condor.find_submission(submission.id, since=submission.created - CLOCKS)
        if cluster is None:
            raise StorageError(
                f"the map {self.tag!r} was never submitted: its process was stopped before that. "
                f"condormap.remove({self.tag!r}) removes its folder, {self.path}"
            )
        return note_cluster(submission, cluster)

    def __repr__(self) -> str:
        try:
            counts = ", ".join(f"{n} {state.value}" for state, n in sorted(self.status.items()))
        except CondormapError as error:
            counts = f"unknown, {type(error).__name__}"
        return (
            f"<CondorMap {self.tag}: {self._record.function} over {len(self)} items: {counts or 'finished'}>"
        )

    # -- results ---------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return self._record.n_items

    def __iter__(self) -> Iterator[Any]:
        return _Results(self)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            items = range(len(self))[index]
            with self._waiter() as waiter:
                return [self._result(item, waiter) for item in items]
        try:
            item = range(len(self))[index]
        except IndexError:
            raise IndexError(f"the map has {len(self)} items, and none with the index {index}") from None
        with self._waiter() as waiter:
            return self._result(item, waiter)

    def results(self, errors: Errors = "raise", timeout: float | None = None) -> list[Any]:
        """Wait for all results and return them in order.

        Parameters
        ----------
        errors : {"raise", "return", "skip"}
            What to do with an item that has no result: raise its error, put the error in its place, or leave
            it out.
        timeout : float or None
            Seconds to wait at most.

        Raises
        ------
        WaitTimeoutError
            The time passed first.
        """
        if errors not in ("raise", "return", "skip"):
            raise InvalidInputError(f'errors must be "raise", "return" or "skip", not {errors!r}')
        until = deadline(timeout)
        found: list[Any] = []
        with self._waiter() as waiter:
            item = 0
            while item < len(self):
                error = self._wait_for(item, waiter, until)
                if error is None:
                    try:
                        values = self._values_from(item)
                        found += values
                        item += len(values)
                        continue
                    except RemoteError as unreadable:
                        error = unreadable
                if errors == "raise":
                    raise error
                if errors == "return":
                    found.append(error)
                item += 1
        return found

    def as_completed(self) -> Generator[Item]:
        """Yield every item as soon as it is settled, in the order in which they are.

        Items that are on hold come last, when nothing else is left to wait for.
        """
        state, outcomes, seen = self._state, self._state.outcomes, 0
        with self._waiter() as waiter:
            while True:
                waiter.until(lambda: outcomes.n_frames > seen or state.all_settled())  # noqa: B023
                if seen == outcomes.n_frames:
                    break
                for item in outcomes.arrived(seen):
                    yield self._item(item)
                seen += 1
        for item in [item for item in range(len(self)) if not outcomes.states[item]]:
            yield self._item(item)

    def errors(self) -> dict[int, BaseException]:
        """Return the errors so far, by item, without waiting."""
        self._state.poll()
        return {item: error for item in range(len(self)) if (error := self._error(item)) is not None}

    def _result(self, item: int, waiter: Waiter) -> Any:
        """Wait for an item and return its result, or raise its error."""
        error = self._wait_for(item, waiter)
        if error is not None:
            raise error
        return self._value(item)

    def _wait_for(self, item: int, waiter: Waiter, until: float | None = None) -> BaseException | None:
        """Wait until an item is settled, and return why it has no result; None where it has one."""
        state = self._state
        if not state.outcomes.states[item] and not waiter.until(lambda: state.is_settled(item), until):
            raise WaitTimeoutError(
                f"item {item} had no outcome when the time was over ({state.outcomes.n_finished} of {len(self)} "
                "items have one); its job goes on, and the handle stays usable"
            )
        return self._error(item)

    def _value(self, item: int) -> Any:
        """Return the result of an item that has one."""
        value = self._state.outcomes.value(item)
        return (self._input(item), value) if self._with_input else value

    def _values_from(self, item: int) -> list[Any]:
        """Return the results of an item that has one and of those right after it, as many as are read at once."""
        values = self._state.outcomes.values_from(item)
        if not self._with_input:
            return values
        items = range(item, item + len(values))
        inputs = [
            unpickle_item(index, data)
            for index, data in zip(items, read_items(self.path, items), strict=True)
        ]
        return list(zip(inputs, values, strict=True))

    def _error(self, item: int) -> BaseException | None:
        """Return why an item has no result; None where it has one, or may still get one."""
        letter = self._state.outcomes.states[item]
        if not letter:
            return self._state.failure(*self._state.chunk_of(item))
        return None if chr(letter) == RESULT else self._state.outcomes.error(item)

    def _input(self, item: int) -> Any:
        (data,) = read_items(self.path, (item,))
        return unpickle_item(item, data)

    def _item(self, item: int) -> Item:
        state = self._state
        attempt = state.outcomes.attempt(item) if state.outcomes.states[item] else {}
        host, number = attempt.get("host", ""), attempt.get("attempt", 0)
        return Item(item, state.item_state(item), host, number, self._error(item), self)

    # -- waiting ---------------------------------------------------------------------------------------------

    def wait(self, timeout: float | None = None, *, holds_ok: bool = False) -> bool:
        """Wait until every item is settled.

        Parameters
        ----------
        timeout : float or None
            Seconds to wait at most.
        holds_ok : bool
            Return also when all that is unfinished is on hold.

        Returns
        -------
        bool
            False when the time passed first.

        Raises
        ------
        JobHeldError
            All that is unfinished is on hold.
        """
        until = deadline(timeout)
        with self._waiter() as waiter:
            if not waiter.until(self._state.all_settled, until):
                return False
        held = [failure for failure in self._state.failures() if isinstance(failure, JobHeldError)]
        if held and not holds_ok:
            error = held[0]
            if len(held) > 1:
                error.add_note(f"condormap: {len(held)} jobs are on hold; this is the first")
            raise error
        return True

    def _waiter(self) -> Waiter:
        options = self._submissions[-1].options if self._submissions else JobOptions()
        progress = Progress(len(self), self.tag, self.progress)
        return Waiter(self._state, self._condor, options, progress)

    # -- state and steering ----------------------------------------------------------------------------------

    @property
    def status(self) -> Counter[ItemState]:
        """How many items are in each state, now."""
        self._state.poll()
        return self._state.counts()

    @property
    def jobs(self) -> list[TrackedJob]:
        """The map's jobs that are or were in the queue, in the order of their chunks."""
        self._state.poll()
        table = self._state.jobs.by_chunk
        return [
            table[key] for s in self._submissions for c in range(len(s.chunks)) if (key := (s.id, c)) in table
        ]

    def to_jdf(self) -> str:
        """Return the map's newest submission as a job description file for condor_submit."""
        if not self._submissions:
            raise InvalidInputError("an empty map has no jobs")
        return (self._submissions[-1].folder / "submit.sub").read_text()

    def hold(self, reason: str = "") -> ActResult:
        """Put the map's jobs on hold; return HTCondor's totals. A map whose items all have an outcome has none."""
        self._state.poll()
        if self._state.outcomes.n_finished == len(self):
            return ActResult(
                {"TotalSuccess": 0}
            )  # its factory would be held while it leaves the queue, for good
        return self._act(Action.HOLD, reason)

    def release(self, reason: str = "") -> ActResult:
        """Release the map's jobs from hold; return HTCondor's totals."""
        return self._act(Action.RELEASE, reason)

    def remove(self, reason: str = "") -> ActResult:
        """Remove the map's jobs from the queue; results that are there stay. Return HTCondor's totals."""
        return self._act(Action.REMOVE, reason)

    def vacate(self, reason: str = "") -> ActResult:
        """Take the map's running jobs off their machines; they go on elsewhere. Return HTCondor's totals."""
        return self._act(Action.VACATE, reason)

    def _act(self, action: Action, reason: str) -> ActResult:
        clusters = [str(submission.cluster) for submission in self._submissions]
        if not clusters:
            return ActResult({"TotalSuccess": 0})
        result = self._condor.act(action, jobs=clusters, reason=reason)
        if action in (Action.RELEASE, Action.REMOVE):
            self._state.note_end_of_holds()
        return result


class _Results(Iterator[Any]):
    """The results in order. Not a generator: it goes on after an item that raised."""

    def __init__(self, m: CondorMap) -> None:
        self._map = m
        self._next = 0
        self._values: list[Any] = []  # results that were read at once
        self._place = 0  # of the next one in them
        self._waiter = m._waiter()

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
        if item == len(self._map):
            self._waiter.__exit__()
            raise StopIteration
        error = self._map._wait_for(item, self._waiter)
        if error is None:
            try:
                return self._map._values_from(item)
            except RemoteError as unreadable:
                error = unreadable
        self._next = item + 1
        self._waiter.__exit__()  # the next wait shows another bar
        if isinstance(error, StopIteration):  # as in a generator: else it would look like the end
            raise RuntimeError(f"item {item} raised StopIteration") from error
        raise error
