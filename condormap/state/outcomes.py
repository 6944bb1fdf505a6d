"""The outcomes of a map's items: which frame of which file has each, and what it is."""

from __future__ import annotations

import contextlib
import itertools
import json
import pickle
from array import array
from collections import OrderedDict
from typing import Any

from ..errors import RemoteError, StorageError
from ..in_job.packed import Packed
from ..in_job.payload import DIED, RESULT, DamagedError, Frame
from . import item_errors
from .attempt import Attempt
from .frames import LoadedFrame
from .ledger import Ledger

_CACHED_FRAMES = 4
_LARGE = 4 << 20  # bytes


class Outcomes:
    """The outcomes of a map's items: the ledger says which frame has an item's, and here is what is in it.

    Parameters
    ----------
    n_items : int
        How many items the map has.
    """

    def __init__(self, n_items: int) -> None:
        self.ledger = Ledger(n_items)
        self.n_timed = self.microseconds = 0  # items of which it is known how long they took, and how long
        self.preflights: list[
            tuple[int, int]
        ] = []  # frames of functions that can't be loaded: submission, number
        self.n_frames = 0  # read so far; `arrived` tells what each brought
        self.rejected: list[
            tuple[str, int]
        ] = []  # file, offset of frames with a state that has a result twice
        self._duplicates: dict[
            tuple[str, int], int
        ] = {}  # file, offset -> outcomes of items that had one already
        # File, offset, attempt, runs, code of the submission.
        self._frames: list[tuple[str, int, Attempt, tuple[tuple[int, int], ...], int]] = []
        self._loaded: OrderedDict[int, LoadedFrame] = OrderedDict()

    @property
    def duplicates(self) -> int:
        """How many outcomes came for items that had one already."""
        return sum(self._duplicates.values())

    def arrived(self, frame: int) -> list[int]:
        """Return the items whose outcome is in a frame, by the frame's number in the order of reading."""
        ledger = self.ledger
        return [
            item
            for first, stop in self._frames[frame][3]
            for item in range(first, stop)
            if ledger.frame_of[item] == frame and not ledger.is_open(item)
        ]

    def place(self, frame: int) -> tuple[str, int]:
        """Return the file and the offset of a frame, by its number in the order of reading."""
        return self._frames[frame][:2]

    def place_of(self, item: int) -> tuple[str, int]:
        """Return the file and the offset of the frame that has the outcome of an item."""
        return self.place(self.ledger.frame_of[item])

    def add(self, path: str, frame: Frame, attempt: Attempt, code: int = 0) -> int:
        """Take note of a frame of items; return how many of them have another outcome now than before.

        Ctrl-C may end this between any two steps; the same frame is then added again.

        Parameters
        ----------
        path, frame
            Where it is.
        attempt : Attempt
            The one that wrote it.
        code : int
            The code of the submission in the ledger.
        """
        ledger, number = self.ledger, len(self._frames)
        runs = tuple((first, stop) for first, stop in frame.header["runs"])
        states = frame.header["states"].encode()
        if "state" in frame.header and self._has_some(path, frame.start, runs, states):
            self.rejected.append((path, frame.start))
            self._duplicates[path, frame.start] = len(states)
            return 0
        self._frames.append((path, frame.start, attempt, runs, code))
        shared = frame.header.get("shared", False)
        column = new = again = 0
        for first, stop in runs:
            n = stop - first
            here = states * n if shared else states[column : column + n]
            if ledger.states.count(code, first, stop) == n:
                ledger.take_all(first, stop, here, number)
                new += n
            else:
                for item, state in zip(range(first, stop), here, strict=True):
                    if ledger.is_open(item):
                        # An error that comes when a newer submission has the item is no longer heard.
                        counts = state == ord(RESULT) or ledger.states[item] == code
                    else:
                        known = self._frames[ledger.frame_of[item]]
                        if known[:2] == (path, frame.start):
                            continue
                        again += 1
                        counts = (
                            state == ord(RESULT) and ledger.states[item] != ord(RESULT) and known[4] != code
                        )
                    if counts:
                        ledger.take(item, state, number)
                        new += 1
            column += n
        if "preflight" in frame.header:
            self.preflights.append((code, number))
        if again:
            self._duplicates[path, frame.start] = again
        if "us" in frame.header and states.count(RESULT.encode()) == len(states):
            us = frame.header["us"]
            self.microseconds += us if isinstance(us, int) else sum(us)
            self.n_timed += len(states)
        self.n_frames = number + 1
        return new

    def _has_some(self, path: str, start: int, runs: tuple[tuple[int, int], ...], states: bytes) -> bool:
        """Tell whether one of a frame's results is there already, so that its state can't count."""
        known = self.ledger.states
        if not any(known.count(ord(RESULT), first, stop) for first, stop in runs):
            return False
        items = (item for first, stop in runs for item in range(first, stop))
        return any(
            state == known[item] == ord(RESULT) and self.place_of(item) != (path, start)
            for item, state in zip(items, states, strict=True)
        )

    def attempt(self, item: int) -> Attempt:
        """Return the attempt that gave an item its outcome."""
        return self._frames[self.ledger.frame_of[item]][2]

    def file(self, item: int) -> str:
        """Return the outcome file that has the outcome of an item."""
        return self._frames[self.ledger.frame_of[item]][0]

    def seconds(self, item: int) -> float:
        """Return how long the item took in the job; 0 where its worker died."""
        frame = self._frame(item)
        return frame.microseconds[frame.position(item)] / 1e6

    def value(self, item: int) -> Any:
        """Return the result of an item that has one.

        Raises
        ------
        RemoteError
            It can't be unpickled here.
        """
        frame = self._frame(item)
        position = frame.position(item)
        try:
            (value,) = frame.values(position, position + 1)
        except Exception as error:
            raise RemoteError(
                f"the result of item {item} cannot be unpickled here: {type(error).__name__}: {error}. It is not "
                "lost: make importable here what it needs, and ask again"
            ) from error
        return value

    def values_from(self, item: int) -> list[Any]:
        """Return the results of an item that has one and of those after it, as many as its frame has in a row.

        Whoever reads many results so reads each in a fifth of the time that `value` takes.

        Raises
        ------
        RemoteError
            The first one can't be unpickled here.
        """
        number, frame = self.ledger.frame_of[item], self._frame(item)
        first = frame.position(item)
        stop = next(stop for start, stop in frame.runs if start <= item < stop)
        states = frame.states[first : first + stop - item]
        n = len(states) - len(states.lstrip(RESULT))
        if (
            self.ledger.frame_of[item : item + n] == array("I", [number]) * n
        ):  # else another attempt's outcome counts
            with contextlib.suppress(Exception):
                return frame.values(first, first + n)
        return [self.value(item)]

    def error(self, item: int) -> BaseException:
        """Return the exception of an item that failed: the original object, with the remote traceback as cause."""
        frame, attempt = self._frame(item), self.attempt(item)
        data = frame.pickle(item)
        # What the supervisor tells is JSON; the worker's is the pickle of a dict of plain values.
        told = json.loads(data) if self.ledger.states[item] == ord(DIED) else pickle.loads(data)
        if frame.preflight:
            runs = [range(first, stop) for first, stop in frame.runs]
            items = runs[0] if len(runs) == 1 else tuple(itertools.chain(*runs))
            return item_errors.unloadable(attempt.where, told, attempt.job, items)
        tell = item_errors.died if self.ledger.states[item] == ord(DIED) else item_errors.raised
        return tell(f"item {item}, {attempt.where}", told)

    def unloadable(self, code: int) -> int | None:
        """Return an item of a job of this submission that could not load the function; None without any."""
        for frame_code, frame in self.preflights:
            if frame_code == code and (items := self.arrived(frame)):
                return items[0]
        return None

    def _frame(self, item: int) -> LoadedFrame:
        number = self.ledger.frame_of[item]
        frame = self._loaded.get(number)
        if frame is None:
            path, start, *_ = self._frames[number]
            try:
                frame = LoadedFrame(path, start)
            except (OSError, DamagedError) as error:
                raise StorageError(f"the outcome of item {item} cannot be read: {error}") from error
            # Whoever gets the arrays of a packed one may change them; a large one is most likely wanted once.
            if isinstance(frame.data, Packed) or frame.size > _LARGE:
                return frame
            self._loaded[number] = frame
            if len(self._loaded) > _CACHED_FRAMES:
                self._loaded.popitem(last=False)
        return frame
