"""Submissions that wait for room on the disk.

Where jobs are sent copies of their data (`condormap.payload.carried`), all copies together may take too much::

    one call -> a submission of as many jobs as there is room for, which is submitted at once
             -> others, which have all but the copies (slices), and no cluster: they wait

Whoever waits for the map goes on with them, in order, with the map's lock held: the copies of jobs that have left
the queue are removed; where there is room for all copies of the next submission, they are made, some at each look,
in ``.slices``; that becomes ``slices`` when it is whole, and then the submission is submitted as any other is
(`condormap.submitting`). So a process may be killed at any step, and another one goes on with the next.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from .condor import Action, within
from .errors import (
    CondormapError,
    DeadlineError,
    JobHeldError,
    StorageError,
    SubmitUnknownError,
    UnreachableError,
    WaitTimeoutError,
)
from .folders.locks import locked
from .folders.store import storage_errors, submission_folders
from .holds import Items, in_words
from .in_job.payload import FILES_PER_FOLDER
from .in_job.place import SLICE
from .open_map import OpenMap
from .patience import Patience
from .payload import carried
from .payload.slices import write_with_data
from .state.map_state import MapState
from .submission import SLICES, Submission
from .submitting import find_again, submit_new, submit_once
from .waits import write_waits

_STAGED, _PART = ".slices", ".part"  # slices that are not all there; the one that is being written
_STEP = 0.25  # seconds for which copies are made at one look
_PAUSE = 0.02  # seconds between two steps, in which another process may take the lock
_EVERY, _SHARE = 0.25, 10  # seconds between two looks for room, and times as long as one took
_TRY_AGAIN, _LONGEST = 1.0, 30.0  # seconds, after something has failed; twice as long each time
_SILENCE = (UnreachableError, DeadlineError, SubmitUnknownError)


class Waves:
    """What goes on with the submissions of one map that wait for room.

    Parameters
    ----------
    open_map : OpenMap
        The map.
    """

    def __init__(self, open_map: OpenMap) -> None:
        self._map = open_map
        self._next = 0.0  # when to look again
        self._pause = _TRY_AGAIN
        self._patience = Patience()

    def look(self, *, anew: bool = False) -> None:
        """Do what can be done now, in a fraction of a second; `anew`, in a new wait, also what has failed before.

        Raises
        ------
        UnreachableError
            The schedd has not answered for a minute.
        """
        state = self._map.state
        is_due = time.monotonic() >= self._next or (anew and state.fates.stalled is not None)
        if not (is_due and state.unsubmitted):
            return
        began = time.monotonic()
        self._next = began + _EVERY  # where another process has the lock
        try:
            with locked(self._map.path, timeout=0.0) as lock:
                state.look_for_submissions()
                state.unsubmitted.look()
                state.fates.stalled = None
                goes_on = self._go_on(lock)
            now = time.monotonic()
            if goes_on:
                state.changed, self._next = now, now + _PAUSE
            else:
                self._next = now + max(_EVERY, _SHARE * (now - began))
        except WaitTimeoutError:  # another process goes on with them
            state.fates.stalled = None
        except _SILENCE as error:
            self._patience.no_answer(error)
            self._next = time.monotonic() + _TRY_AGAIN
        except CondormapError as error:
            self._fail(error)
        else:
            self._patience.answered()
            self._pause = _TRY_AGAIN

    def _fail(self, error: CondormapError) -> None:
        """Let the items that wait have an error, until it is tried again."""
        if not self._map.path.exists():
            raise error
        self._map.state.fates.stalled = lambda items: copy.copy(error)
        self._next, self._pause = time.monotonic() + self._pause, min(_LONGEST, 2 * self._pause)

    def _go_on(self, lock: int) -> bool:
        """Make copies, and submit what has all of them; return whether there is more to do now."""
        state = self._map.state
        taken = free_copies(state)
        until = time.monotonic() + _STEP
        for waiting in state.unsubmitted:
            submission = state.unsubmitted.look_again(waiting)
            waits = submission.waits
            if waits is None or not waits.is_open:
                continue
            if not submission.has_slices:
                limit = carried.limit(self._map.path, taken, waits.limit)
                made = _Made(taken, is_full=True)
                if (submission.folder / _STAGED).exists() or taken + waits.nbytes <= limit:
                    with storage_errors(submission.folder):
                        made = _make_copies(submission, taken, limit, until)
                taken = made.taken
                if made.is_full:
                    self._note_no_room(submission, waits.nbytes, limit - taken)
                if not made.is_whole:
                    return not made.is_full
            self._submit(submission, lock)
            if time.monotonic() > until:
                return True
        return False

    def _submit(self, submission: Submission, lock: int) -> None:
        condor, staged = self._map.condor, submission.folder / _STAGED
        with within(None):  # else a wait that ends now would leave open whether it was submitted
            if staged.exists():
                os.rename(staged, submission.folder / SLICES)
                submitted = submit_new(condor, submission, lock=lock)
            else:  # a submit was interrupted
                log = self._map.record.log(self._map.path)
                submitted = submit_once(condor, submission, log, lock=lock)
        submitted = dataclasses.replace(submitted, created=time.time())
        self._map.state.replace(submitted)
        self._map.state.changed = time.monotonic()

    def _note_no_room(self, submission: Submission, nbytes: int, room: int) -> None:
        """Where no job is left that will make room, let the items that wait have an error that says so."""
        state = self._map.state
        if state.is_under_way():
            return
        if next(state.held(), None) is not None:
            state.fates.stalled = _behind_held
            return

        def too_little(items: Items) -> CondormapError:
            what = f"those of the next jobs ({len(submission.chunks)}, about {nbytes / 1e6:.0f} MB) take"
            return StorageError(
                f"{in_words(items)} can't be submitted now: {carried.no_room(what, max(0, room))}"
            )

        state.fates.stalled = too_little


def _behind_held(items: Items) -> CondormapError:
    return JobHeldError(
        f"the job of {in_words(items)} waits for room, which the copies for jobs on hold take; m.holds() tells "
        "why those are; m.release() or m.remove() them",
        items=items,
    )


class _Made(NamedTuple):
    """How far the copies for a submission are: the bytes of all copies, if it has its own, or there is no room."""

    taken: int
    is_whole: bool = False
    is_full: bool = False


def _make_copies(submission: Submission, taken: int, limit: int, until: float) -> _Made:
    """Make what the jobs of a submission are sent, that of at least one, and then of others for some time."""
    store, staged = submission.folder.parents[1], submission.folder / _STAGED
    made_one = False
    for chunk in range(len(submission.chunks)):
        path = staged / str(chunk // FILES_PER_FOLDER) / f"{SLICE}{chunk}"
        if path.exists():
            continue
        if made_one and time.monotonic() > until:
            return _Made(taken)
        path.parent.mkdir(parents=True, exist_ok=True)
        part, room = path.with_name(f"{path.name}{_PART}"), carried.Room(limit - taken)
        try:
            with part.open("wb") as out:
                write_with_data(store, submission.items(chunk), out, room)
        except BaseException as error:
            part.unlink(missing_ok=True)
            if isinstance(error, StorageError) and room.was_too_little:
                return _Made(taken, is_full=True)
            raise
        os.rename(part, path)
        taken += path.stat().st_size
        made_one = True
    return _Made(taken, is_whole=True)


def free_copies(state: MapState) -> int:
    """Remove the copies for jobs that have left the queue; return how many bytes the others take.

    The map's lock is ours.
    """
    taken, known = 0, {submission.folder: submission for submission in state.submissions}
    for folder in submission_folders(state.folder):
        submission = known.get(folder)
        for path in [*_files(folder / SLICES), *_files(folder / _STAGED)]:
            if path.suffix == _PART:  # of a process that was killed
                is_over = True
            else:
                chunk = int(path.name.removeprefix(SLICE))
                is_over = submission is not None and state.has_left(submission, chunk)
            if is_over:
                path.unlink(missing_ok=True)
            else:
                taken += path.stat().st_size
    return taken


def _files(folder: Path) -> Iterator[Path]:
    """Yield the slices in a folder, which need not exist."""
    with contextlib.suppress(FileNotFoundError):
        for shard in folder.iterdir():
            yield from shard.iterdir()


# -- steering --------------------------------------------------------------------------------------------------


def steer_waiting(open_map: OpenMap, action: Action, reason: str) -> None:
    """Hold, release or remove what waits for room, for this process and all others.

    Raises
    ------
    CondorError
        A submit was interrupted, and it can't be found out whether it is in the queue.
    StorageError, WaitTimeoutError
        The map's folder is gone, or another process has its lock.
    """
    if open_map.state.unsubmitted:
        with locked(open_map.path):
            open_map.state.unsubmitted.look()
            _steer(open_map, action, reason)


def give_up(open_map: OpenMap, reason: str) -> None:
    """Remove what waits for room; the map's lock is ours."""
    _steer(open_map, Action.REMOVE, reason)


def _steer(open_map: OpenMap, action: Action, reason: str) -> None:
    state = open_map.state
    state.fates.stalled = None
    for submission in reversed(list(state.unsubmitted)):  # of what is killed in between, the first ones go on
        if submission.has_slices:
            found = find_again(open_map.condor, submission, open_map.record.log(open_map.path))
            if found.cluster is not None:
                state.replace(found)
                continue
        assert submission.waits is not None
        why = reason or "no reason was given"
        if action == Action.REMOVE:
            waits = dataclasses.replace(submission.waits, removed=why)
        else:
            waits = dataclasses.replace(submission.waits, held=why if action == Action.HOLD else None)
        write_waits(submission.folder, waits)
        if action == Action.REMOVE:
            for name in (_STAGED, SLICES):
                shutil.rmtree(submission.folder / name, ignore_errors=True)
        state.replace(dataclasses.replace(submission, waits=waits))
