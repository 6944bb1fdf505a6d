"""CondorMap: the handle of a map. It reads what the map's folder has, and holds nothing else."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, overload

from . import timings
from .adding import Adding
from .breaker import Breaker
from .condor import Action, ActResult, connect
from .errors import CondormapError, InvalidInputError
from .folders.store import read_record
from .holds import Hold
from .merging.value import Value
from .open_map import OpenMap
from .output import read_output
from .payload.item_store import unpickle_items
from .plan import Plan, plan_of, room_for
from .replay import replay
from .report.progress import Progress
from .results import Errors, InOrder, Item, Results
from .state.map_state import MapState
from .status import ItemState
from .steering import Steering
from .submitting import complete
from .times import deadline
from .waiting import Waiter
from .waves import Waves

if TYPE_CHECKING:
    from .jobs.group import JobGroup

_SHORT_WAIT = 0.5  # seconds


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
        self._is_timed = False
        self._condor = connect(record.address)
        self._state = MapState(path, record, complete(self._condor, path, record.log(path)), self._condor)
        self._jobs: JobGroup | None = None
        open_map = OpenMap(path, record, self._condor, self._state)
        self._steering = Steering(open_map, self._patient_waiter)
        self._adding = Adding(open_map, self._steering)
        self._waves = Waves(open_map)
        kept = record.reduce != "discard"
        self._results = Results(
            path, self._state, self._waiter, with_input=with_input, kept=kept, inputs=self._inputs
        )
        self._value = Value(open_map, self._results, self._waiter, self.remove)

    def __repr__(self) -> str:
        try:
            counts = ", ".join(f"{n} {state.value}" for state, n in sorted(self.status.items()))
        except CondormapError as error:
            counts = f"unknown, {type(error).__name__}"
        if n_waiting := self._state.n_unsubmitted():
            counts += f"; {n_waiting} of them wait for room"
        name, what = type(self).__name__, self._record.function
        return f"<{name} {self.tag}: {what} over {len(self)} items: {counts or 'finished'}>"

    # -- results ---------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        self._state.look_for_submissions()
        return len(self._results)

    def __iter__(self) -> Iterator[Any]:
        return InOrder(self._results)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return self._results.some(range(len(self))[index])
        return self._results.one(self._item_of(index))

    def _item_of(self, index: int) -> int:
        """Return the item of an index, which may count from the end."""
        try:
            return range(len(self))[index]
        except IndexError:
            raise IndexError(f"the map has {len(self)} items, and none with the index {index}") from None

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
        return self._results.all(errors, timeout)

    def as_completed(self) -> Generator[Item]:
        """Yield every item as soon as it is settled, in the order in which they are.

        Items that are on hold come last, when nothing else is left to wait for.
        """
        return self._results.as_completed()

    def errors(self) -> dict[int, BaseException]:
        """Return the errors so far, by item, without waiting."""
        return self._results.errors()

    def stdout(self, index: int) -> str:
        """Return what the job that computed an item, or computes it, has printed, for all its items together."""
        return self._output(index, "out")

    def stderr(self, index: int) -> str:
        """Return what the job that computed an item, or computes it, wrote to standard error, as `stdout` does."""
        return self._output(index, "err")

    def debug(self, index: int, *, pdb: bool = False) -> Any:
        """Compute an item here, with the stored function and the stored item as its job got them.

        Parameters
        ----------
        index : int
            The item.
        pdb : bool
            Do so in the debugger, which stops at the function's first line.

        Raises
        ------
        SerializationError
            The function or the item can't be unpickled here. What the function raises comes as it is.
        """
        return replay(self.path, self._record, self._item_of(index), pdb=pdb)

    def _output(self, index: int, stream: str) -> str:
        self._state.poll()
        return read_output(self._results.output_file(self._item_of(index), stream))

    def __await__(self) -> Generator[Any, None, Any]:
        """Wait as `results` does, with a reducer as `result`, while the event loop goes on: ``await m``."""
        return self._awaited().__await__()

    async def _awaited(self) -> Any:
        import asyncio  # here, for it takes long

        value, settled = self._value, False
        with self._waiter() as waiter:
            while not settled:  # in short waits: a cancelled one leaves its thread for a moment only
                until = time.monotonic() + _SHORT_WAIT
                settled = await asyncio.to_thread(waiter.until, partial(value.is_settled, until), until)
        return await asyncio.to_thread(self.result if self._record.reduce else self.results)

    # -- their one value -------------------------------------------------------------------------------------

    def result(self, errors: Literal["raise", "skip"] = "raise", timeout: float | None = None) -> Any:
        """Wait, and return what the results were merged to (``reduce=``), or what ``on_complete=`` made of them.

        Parameters
        ----------
        errors : {"raise", "skip"}
            Where items have no result: raise the first one's error, or leave them out.
        timeout : float or None
            Seconds to wait at most.

        Raises
        ------
        WaitTimeoutError
            The time passed first.
        ReduceError
            The reducer or the function failed. The results are kept: mend it (`set_reducer`), and ask again.
        """
        return self._value.result(errors, timeout)

    @property
    def partial(self) -> Any:
        """What the results are merged to so far, after those that have arrived; None where that is nothing yet."""
        return self._value.partial()

    def merged(self) -> list[int]:
        """Return the items whose results are in `partial`."""
        return self._value.merged()

    def set_reducer(self, reducer: Any, *, until: Callable[[Any], object] | None = None) -> Self:
        """Replace the map's reducer, and merge anew what its jobs have sent; return the map.

        The states that jobs have made must mean the same to both. Jobs that start later use the new one. `until`
        stays as it is, unless another one is given.
        """
        self._value.set_reducer(reducer, until)
        return self

    def set_on_complete(self, function: Callable[[list[Any]], Any]) -> Self:
        """Have a function called with the list of all results when the last one is in; return the map.

        It is called once, by the process that is in `wait` or `result` then, or comes to be; `result` returns its
        value, there and in every other process. After `extend` it is called again, with all results.
        """
        self._value.set_on_complete(function)
        return self

    # -- waiting ---------------------------------------------------------------------------------------------

    def wait(self, timeout: float | None = None, *, holds_ok: bool = False) -> bool:
        """Wait until every item is settled; merge what arrives, and call what is to be called with all results.

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
        ReduceError
            The reducer or the on_complete function failed; the jobs go on.
        """
        until = deadline(timeout)
        with self._waiter() as waiter:
            if not waiter.until(lambda: self._value.is_settled(until), until):
                return False
        if self._value.is_stopped:
            return True
        self._value.complete()
        held = list(self._state.held())
        if held and not holds_ok:
            error = held[0]
            if len(held) > 1:
                error.add_note(f"condormap: {len(held)} jobs are on hold; this is the first")
            raise error
        return True

    def _inputs(self, items: Iterable[int]) -> Iterator[Any]:
        """Yield items as the user gave them."""
        return unpickle_items(self.path, items)

    def _waiter(self) -> Waiter:
        """Begin a wait for results, which too many failures end."""
        return Breaker(
            self._state,
            self._condor,
            self._steering.options,
            Progress(len(self), self.tag, self.progress),
            remove=self.remove,
            errors=self._results.errors,
            ended=self._note_time,
            meanwhile=self._value.merge,
            waves=self._waves,
        )

    def _note_time(self) -> None:
        """Once the map is complete, note how long an item took, for the next map of the function."""
        outcomes = self._state.outcomes
        if self._is_timed or not outcomes.n_timed or outcomes.ledger.n_results < len(self):
            return
        self._is_timed = True
        timings.note(self._record.function_id, outcomes.microseconds / 1e6 / outcomes.n_timed)

    def _patient_waiter(self) -> Waiter:
        """Begin a wait that no failure ends."""
        progress = Progress(len(self), self.tag, self.progress)
        return Waiter(self._state, self._condor, self._steering.options, progress)

    # -- state and steering ----------------------------------------------------------------------------------

    @property
    def status(self) -> Counter[ItemState]:
        """How many items are in each state, now."""
        self._state.poll()
        return self._state.counts()

    @property
    def jobs(self) -> JobGroup:
        """The map's jobs, those that its factories have not made yet included, as a `JobGroup`.

        ``m.jobs.status``, ``m.jobs[0]``, ``m.jobs.host``... ask the schedd and the event log; the map itself does
        not need them. ``m.jobs["CondormapChunk"]`` is the chunk that each computes.
        """
        from .jobs.group import group_of  # here, for a map does without those rooms

        clusters = {s.cluster: len(s.chunks) for s in self._state.submissions if s.cluster is not None}
        if self._jobs is None or len(self._jobs.clusters) != len(clusters):
            log, released = self._record.log(self.path), self._state.note_end_of_holds
            self._jobs = group_of(self._condor, clusters, log, released)
        return self._jobs

    def to_jdf(self) -> str:
        """Return the map's newest submission as a job description file for condor_submit."""
        submissions = self._state.submissions
        if not submissions:
            raise InvalidInputError("an empty map has no jobs")
        return (submissions[-1].folder / "submit.sub").read_text()

    def hold(self, reason: str = "") -> ActResult:
        """Put the map's jobs on hold; return HTCondor's totals. A map whose items all have an outcome has none."""
        return self._steering.act(Action.HOLD, reason)

    def release(self, reason: str = "") -> ActResult:
        """Release the map's jobs from hold; return HTCondor's totals."""
        return self._steering.act(Action.RELEASE, reason)

    def remove(self, reason: str = "") -> ActResult:
        """Remove the map's jobs from the queue; results that are there stay. Return HTCondor's totals."""
        return self._steering.act(Action.REMOVE, reason)

    def vacate(self, reason: str = "") -> ActResult:
        """Take the map's running jobs off their machines; they go on elsewhere. Return HTCondor's totals."""
        return self._steering.act(Action.VACATE, reason)

    def edit(self, **options: Any) -> ActResult:
        """Change what the map's jobs in the queue ask for, those that its factory has not made yet too.

        A running job has what it started with until it runs again; one on hold runs on after `release`.

        Parameters
        ----------
        **options
            ``cpus``, ``memory``, ``disk`` or ``priority``, as for `condormap`.

        Raises
        ------
        InvalidInputError
            Another option, or a wrong value, or no job is in the queue: `retry` takes other options.
        """
        return self._steering.edit(options)

    def failed(self) -> list[int]:
        """Return the items that ended without a result so far: an error, or a job that died, was removed or lost.

        Items that are on hold have not ended; `holds` lists them.
        """
        return self._steering.failed()

    def holds(self) -> list[Hold]:
        """Return the map's jobs that are on hold: why in words, and what to type."""
        return self._steering.holds()

    def retry(
        self, items: Iterable[int] | None = None, *, chunksize: int | str = "auto", **options: Any
    ) -> Self:
        """Run items again, in new jobs of this map; return the map.

        Their errors are forgotten: until the new jobs settle them, they are idle or running. A late result of
        an older job still counts.

        Parameters
        ----------
        items : iterable of int or None
            Which; None for all that `failed`, and, where options are changed, those on hold too. An item on
            hold takes its job's other unfinished items along: that job is removed first, so no item has two.
        chunksize : int or "auto"
            How many items a job computes at most.
        **options
            What the new jobs ask for; the others are as they were.

        Raises
        ------
        InvalidInputError
            An item that has a result, or may still get one; an unknown option. Nothing was submitted.
        CondorError
            The pool could not be reached, or refused the jobs.
        """
        self._value.refuse_more()
        self._adding.retry(items, chunksize, options)
        return self

    def extend(
        self,
        *iterables: Iterable[Any],
        chunksize: int | str = "auto",
        strict: bool = False,
        **options: Any,
    ) -> Self:
        """Add items to the map, which run in new jobs; return the map. What there is stays as it is.

        Parameters
        ----------
        *iterables : iterable
            The items, as many iterables as the map was made of (one, or more than one).
        chunksize, strict
            As for `condormap`.
        **options
            What the new jobs ask for; the others are as they were.

        Raises
        ------
        InvalidInputError
            An item can't be pickled, an option is wrong... Nothing was submitted.
        CondorError
            The pool could not be reached, or refused the jobs.
        """
        self._value.refuse_more()
        self._adding.extend(iterables, strict, chunksize, options)
        return self

    def plan(self) -> Plan:
        """Return what is still to be done and what stands in the way, as ``dry_run=True`` does before."""
        state, options = self._state, self._steering.options
        state.poll()
        waiting = [
            items for submission, chunk in state.chunks() if (items := state.open_items(submission, chunk))
        ]
        at_once, problems = room_for(self._condor, options)
        seconds = timings.known(self._record.function_id)
        return plan_of(self.path, self._record, waiting, self._condor, options, at_once, problems, seconds)
