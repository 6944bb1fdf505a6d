"""The results of a map merged as they arrive."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..errors import CondorError, WaitTimeoutError
from ..folders.locks import locked
from ..state.map_state import MapState
from ..state.outcomes import Outcomes
from .frames import Frames, as_stage
from .merged import FOLDER, Merged, Store, joined, replace_reducer

_TURN = 60.0  # seconds that another process may take to merge into a file
_SAVE_PAUSE, _SAVE_COST = 1.0, 20  # seconds between two saves, or so many times as long as the last one took
_UNTIL_PAUSE, _UNTIL_COST = 0.1, 10  # the same for the question whether to stop
_REMOVE_PAUSE = 5.0  # seconds until jobs are removed again that could not be


class Reduction:
    """The reduction of one map: what its frames are merged to, and how far that is.

    Parameters
    ----------
    folder : Path
        The map's folder.
    state : MapState
        The map's state.
    remove : callable
        Removes the map's jobs, for the reason that it is given.
    """

    def __init__(self, folder: Path, state: MapState, remove: Callable[[str], object]) -> None:
        self._folder = folder
        self._state = state
        self._outcomes: Outcomes = state.outcomes
        self._frames = Frames(folder, state.outcomes)
        self._remove = remove
        self._next_save = self._next_question = self._next_removal = 0.0
        self._forget()

    def _forget(self) -> None:
        """Know nothing of what is merged: the folder knows."""
        self._store: Store | None = None
        self._merged: Merged | None = None
        self._stamp = (0, 0)
        self._next: int = 0  # to be looked at
        self._waiting: dict[int, int] = {}  # of an ordered reducer: first item -> frame
        self._n_rejected = 0
        self._is_saved, self._is_asked = True, False

    # -- for the handle --------------------------------------------------------------------------------------

    def is_complete(self, until: float | None = None) -> bool:
        """Merge what is new; tell whether there is nothing more to merge, and nothing will come.

        Raises
        ------
        ReduceError
            The reducer failed.
        """
        while True:
            self.merge_some()
            if self.is_stopped:
                return True
            settled = self._state.all_settled()
            if not self._has_new():
                if settled:
                    self._save(now=True)
                return settled
            if until is not None and time.monotonic() >= until:
                return False

    @property
    def is_stopped(self) -> bool:
        """Whether `until` has stopped the map."""
        return self._merged is not None and self._merged.stopped

    def was_stopped(self) -> bool:
        """Tell whether `until` has stopped the map, here or elsewhere."""
        return self._loaded()[1].stopped or self._loaded()[0].is_stopped()

    def value(self, *, partial: bool = True) -> Any:
        """Return the reducer's value so far; not `partial`: also what waits for failed items before it.

        Raises
        ------
        ReduceError
            The reducer failed.
        """
        store, _ = self._loaded()
        with self._alone(store, timeout=_TURN) if _writes(store) else contextlib.nullcontext():
            store, merged = self._loaded()
            state = merged.state
            if not partial and self._waiting and not merged.stopped:
                self._save(now=True)
                with as_stage("merge", "the results after those of items that failed"):
                    try:
                        for _, number in sorted(self._waiting.items()):
                            state, _ = self._frames.merge(store.reducer, state, number)
                    finally:
                        self._forget()  # it is read again: this state is for this value only
            with as_stage("finish", "the state of all results" if not partial else "the state so far"):
                try:
                    return store.reducer.finish(state)
                except Exception:
                    if partial and not merged.frames:
                        return None  # of no results there need not be a value
                    raise

    def items(self) -> list[int]:
        """Return the items whose results are merged."""
        _, merged = self._loaded()
        return [item for first, stop in joined(merged.items) for item in range(first, stop)]

    def replace_reducer(self, reducer: Any, until: Any) -> None:
        """Merge with another reducer, all anew."""
        replace_reducer(self._folder, reducer, until)
        self._forget()

    # -- merging ---------------------------------------------------------------------------------------------

    def merge_some(self, seconds: float = 0.25) -> None:
        """Merge frames that are new, for so many seconds about.

        Raises
        ------
        ReduceError
            The reducer failed. What was merged before stays so, and the next call tries again.
        """
        store, merged = self._loaded()
        if merged.stopped:
            self._end_jobs()
            return
        if store.is_stopped():  # by another process
            self._forget()
            return
        if not self._has_new():
            self._ask_until(store, merged)
            return
        writes = _writes(store)
        try:
            with self._alone(store) if writes else contextlib.nullcontext():
                store, merged = self._loaded()
                with contextlib.ExitStack() as file:
                    if writes:
                        with as_stage("writing", "its file"):
                            file.enter_context(store.reducer.writing())
                    self._merge_new(store, merged, time.monotonic() + seconds)
                self._is_saved = self._is_asked = False
                self._save(now=writes)
        except WaitTimeoutError:
            return  # another process merges
        except BaseException:
            self._forget()  # the state may be half changed
            raise
        self._ask_until(store, merged)

    def _loaded(self) -> tuple[Store, Merged]:
        """Return the files and what is merged; read them where that is not known."""
        if self._store is None or self._merged is None:
            self._store = Store(self._folder)
            self._stamp = self._store.stamp()
            with as_stage("zero", "no results"):
                self._merged = self._store.load()
        if len(self._outcomes.rejected) > self._n_rejected and not self._merged.stopped:
            rejected = self._outcomes.rejected[self._n_rejected :]
            self._n_rejected = len(self._outcomes.rejected)
            if any(start in self._merged.frames.get(self._frames.name(path), ()) for path, start in rejected):
                self._store.forget()  # another process took this frame, and not one that this process took
                self._forget()
                return self._loaded()
        return self._store, self._merged

    @contextlib.contextmanager
    def _alone(self, store: Store, *, timeout: float = 0.0) -> Iterator[None]:
        """Keep other processes from merging, and go on where the last one was."""
        with locked(self._folder / FOLDER, timeout=timeout):
            if store.stamp() != self._stamp:
                self._forget()
            yield

    def _has_new(self) -> bool:
        head = self._merged.head if self._merged is not None else 0
        return self._next < self._outcomes.n_frames or head in self._waiting

    def _merge_new(self, store: Store, merged: Merged, until: float) -> None:
        ordered = getattr(store.reducer, "ordered", True)
        while self._has_new():
            if not ordered:
                self._take(store, merged, self._next)
                self._next += 1
            else:
                while self._next < self._outcomes.n_frames:
                    self._note_waiting(merged, self._next)
                    self._next += 1
                while merged.head in self._waiting:
                    self._take(store, merged, self._waiting.pop(merged.head))
                    if time.monotonic() > until:
                        break
            if time.monotonic() > until:
                return

    def _note_waiting(self, merged: Merged, number: int) -> None:
        """Note which item a frame begins with; the frame itself waits in its file."""
        file, start = self._frames.place(number)
        if start not in merged.frames.get(file, ()):
            for first, _ in self._frames.results(number)[:1]:
                self._waiting[first] = number

    def _take(self, store: Store, merged: Merged, number: int) -> None:
        """Merge a frame, unless it was merged before or has no results."""
        file, start = self._frames.place(number)
        if start in merged.frames.get(file, ()):
            return
        merged.state, items = self._frames.merge(store.reducer, merged.state, number)
        if items:
            merged.note(file, start, items)
            merged.head = items[-1][1]

    # -- what is kept ----------------------------------------------------------------------------------------

    def _save(self, *, now: bool) -> None:
        """Save what is merged, if that is due."""
        began = time.monotonic()
        if (
            self._store is None
            or self._merged is None
            or self._is_saved
            or (not now and began < self._next_save)
        ):
            return
        self._store.save(self._merged)
        self._stamp, self._is_saved = self._store.stamp(), True
        ended = time.monotonic()
        self._next_save = ended + max(_SAVE_PAUSE, _SAVE_COST * (ended - began))

    def _ask_until(self, store: Store, merged: Merged) -> None:
        """Stop the map if its result is good enough."""
        began = time.monotonic()
        if store.until is None or self._is_asked or not merged.frames or self._state.all_settled():
            return
        if began < self._next_question:
            return
        value = self.value()
        with as_stage("until", "the value so far"):
            enough = bool(store.until(value))
        self._is_asked = True
        ended = time.monotonic()
        self._next_question = ended + max(_UNTIL_PAUSE, _UNTIL_COST * (ended - began))
        if enough:
            merged.stopped = True
            store.save(merged)
            self._forget()  # another process may have stopped it before, with another value
            self._loaded()
            self._end_jobs()

    def _end_jobs(self) -> None:
        """Remove the jobs of a map that has stopped, if there are any."""
        if time.monotonic() < self._next_removal or self._state.all_settled():
            return
        self._next_removal = time.monotonic() + _REMOVE_PAUSE
        with contextlib.suppress(CondorError):
            self._remove("until= found the map's result good enough")


def _writes(store: Store) -> bool:
    """Tell whether the reducer writes files of its own, which one process at a time may do."""
    return getattr(store.reducer, "writes", False)
