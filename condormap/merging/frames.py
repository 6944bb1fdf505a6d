"""Frames of outcome files merged to the state of a reducer; they go by their numbers in the order of reading."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ReduceError
from ..in_job.packed import load
from ..in_job.payload import RESULT, DamagedError, Frame, read_frame, read_state
from ..reducers.protocol import returned
from .merged import joined

if TYPE_CHECKING:
    from ..reducers.protocol import Reducer
    from ..state.outcomes import Outcomes


class Frames:
    """The frames of a map.

    Parameters
    ----------
    folder : Path
        The map's folder.
    outcomes : Outcomes
        Its outcomes.
    """

    def __init__(self, folder: Path, outcomes: Outcomes) -> None:
        self._folder = folder
        self._outcomes = outcomes

    def name(self, path: str) -> str:
        """Return the name of an outcome file: its path in the map's folder."""
        return path.removeprefix(f"{self._folder}/")

    def place(self, number: int) -> tuple[str, int]:
        """Return the name of the file that a frame is in, and where it begins."""
        path, start = self._outcomes.place(number)
        return self.name(path), start

    def results(self, number: int) -> list[tuple[int, int]]:
        """Return which items have their result in a frame, in ranges."""
        path, start = self._outcomes.place(number)
        return self._results_in(path, _frame(path, start))

    def merge(self, reducer: Reducer, state: Any, number: int) -> tuple[Any, list[tuple[int, int]]]:
        """Return the state with the results of a frame, and these items, in ranges.

        Raises
        ------
        ReduceError
            The reducer failed, or the frame cannot be read.
        """
        path, start = self._outcomes.place(number)
        chunk = f"chunk {os.path.basename(path).partition('.')[0]}"
        frame = _frame(path, start)
        items = self._results_in(path, frame)
        if "state" in frame.header:
            with as_stage("merge", f"{chunk}, items {items[0][0]} to {items[-1][1] - 1}"):
                return returned(reducer.merge(state, load(read_state(path, frame))), state), items
        for first, stop in items:
            for item in range(first, stop):
                value = self._outcomes.value(item)
                with as_stage("add", f"{chunk}, item {item}"):
                    state = returned(reducer.add(state, item, value), state)
        return state, items

    def _results_in(self, path: str, frame: Frame) -> list[tuple[int, int]]:
        states, at, found = frame.header["states"], 0, []
        if frame.header.get("shared"):
            return []
        for first, stop in frame.header["runs"]:
            for item, state in zip(range(first, stop), states[at : at + stop - first], strict=True):
                if state == RESULT and self._outcomes.place_of(item) == (path, frame.start):
                    found.append((item, item + 1))
            at += stop - first
        return joined(found)


def _frame(path: str, start: int) -> Frame:
    try:
        with open(path, "rb") as file:
            frame = read_frame(file, start)
        if frame is None:
            raise DamagedError(f"{path} ends before byte {start}")
    except (OSError, DamagedError) as error:
        raise ReduceError(f"an outcome cannot be read: {error}", stage="read") from error
    return frame


@contextlib.contextmanager
def as_stage(stage: str, what: str) -> Iterator[None]:
    """Tell which stage of the reducer failed, with what."""
    try:
        yield
    except ReduceError:
        raise
    except Exception as error:
        mended = "m.set_reducer(reducer, until=...)" if stage == "until" else "m.set_reducer()"
        raise ReduceError(
            f"the reducer failed in {stage}(), with {what}: {type(error).__name__}: {error}. All results are "
            f"kept: {mended} takes one that is mended, and m.result() then merges them again, without "
            "running the map again",
            stage=stage,
        ) from error
