"""What the states of a map's frames are merged to, in its folder.

::

    reduce/
        here.pkl      the reducer and `until`, for whoever merges
        state.pkl     the merged state and which frames are in it, replaced in one step
        stopped.pkl   the same, once `until` was true: nothing is merged any more
        lock          whoever merges with a reducer that writes files locks it
        discard       there, if the reducer has something to remove with the map

A frame stays in its outcome file, so ``state.pkl`` only saves time: without it, or where it does not fit, the
frames are merged anew. And frames that it does not have are merged when it is read again. So each counts once,
whenever a process is killed.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import secrets
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cloudpickle

from .. import reducers
from ..errors import InvalidInputError, ReduceError, SerializationError
from ..folders.store import storage_errors
from ..in_job.packed import Buffers, packed_parts
from ..in_job.payload import REDUCER_FILE, write_all
from ..payload.needs import note_code
from ..payload.serialize import pickled_by_value

FOLDER = "reduce"
_HERE, _STATE, _STOPPED, _DISCARD = "here.pkl", "state.pkl", "stopped.pkl", "discard"


@dataclass
class Merged:
    """A merged state.

    Parameters
    ----------
    state : object
        The reducer's state.
    frames : dict of str to list of int
        Outcome file, from the map's folder -> where the frames begin in it that are merged.
    head : int
        All items before this one are merged, for an ordered reducer.
    items : list of (int, int)
        The items that are merged, in ranges.
    stopped : bool
        Nothing is merged any more.
    """

    state: Any
    frames: dict[str, list[int]] = field(default_factory=dict)
    head: int = 0
    items: list[tuple[int, int]] = field(default_factory=list)
    stopped: bool = False

    def note(self, file: str, start: int, items: list[tuple[int, int]]) -> None:
        """Note that a frame was merged."""
        self.frames.setdefault(file, []).append(start)
        for first, stop in items:
            if self.items and self.items[-1][1] == first:
                self.items[-1] = (self.items[-1][0], stop)
            else:
                self.items.append((first, stop))
        if len(self.items) > 2 * len(self.frames) + 100:
            self.items = joined(self.items)


def joined(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return ranges of items in order, those that touch as one."""
    found: list[tuple[int, int]] = []
    for first, stop in sorted(ranges):
        if found and found[-1][1] == first:
            found[-1] = (found[-1][0], stop)
        else:
            found.append((first, stop))
    return found


def write_reducer(folder: Path, reducer: Any, until: Any) -> None:
    """Write a reducer into a map's folder, for the jobs and for whoever merges; local modules go by value.

    Raises
    ------
    SerializationError
        It can't be pickled.
    """
    buffers = Buffers()
    try:
        here = cloudpickle.dumps((reducer, until), protocol=5)
        with pickled_by_value([reducers.__name__]):  # a job need not have condormap
            job = cloudpickle.dumps(reducer, protocol=5, buffer_callback=buffers)
    except Exception as error:
        raise SerializationError(
            f"the reducer {reducer!r} (or until=) cannot be pickled, so no job can get it: "
            f"{type(error).__name__}: {error}. Nothing was submitted"
        ) from error
    with storage_errors(folder):
        (folder / FOLDER).mkdir(exist_ok=True, mode=0o700)
        _replace(folder / FOLDER / _HERE, [here])
        _replace(folder / REDUCER_FILE, packed_parts(job, buffers.kept) if buffers.kept else [job])
        note_code(folder)
        if hasattr(reducer, "discard_files"):
            (folder / FOLDER / _DISCARD).touch()


def discard_files(folder: Path) -> None:
    """Have the reducer of a map that is being removed remove what nobody else needs."""
    if (folder / FOLDER / _DISCARD).exists():
        with contextlib.suppress(Exception):  # the map goes in any case
            Store(folder).reducer.discard_files()


class Store:
    """The files of one map's reduction.

    Parameters
    ----------
    folder : Path
        The map's folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / FOLDER
        here = (self.folder / _HERE).read_bytes()
        self._crc = zlib.crc32(here)
        try:
            self.reducer, self.until = pickle.loads(here)
        except Exception as error:
            raise ReduceError(
                f"the reducer of the map in {folder} cannot be unpickled here: {type(error).__name__}: {error}. "
                "Make importable here what it needs, and ask again",
                stage="load",
            ) from error

    def load(self) -> Merged:
        """Return what was merged so far; nothing, where that is missing, damaged or another reducer's."""
        for name in (_STOPPED, _STATE):
            with contextlib.suppress(Exception), (self.folder / name).open("rb") as file:
                crc, merged = pickle.load(file)
                if crc == self._crc and isinstance(merged, Merged):
                    return merged
        return Merged(self.reducer.zero())

    def stamp(self) -> tuple[int, int]:
        """Return what changes when another process saves."""
        try:
            found = os.stat(self.folder / _STATE)
        except OSError:
            return 0, 0
        return found.st_ino, found.st_mtime_ns

    def is_stopped(self) -> bool:
        """Tell whether some process stopped the map because `until` was true."""
        return self.until is not None and (self.folder / _STOPPED).exists()

    def save(self, merged: Merged) -> None:
        """Replace the state in one step; the first one that is stopped stays."""
        merged.items = joined(merged.items)
        try:
            data = pickle.dumps((self._crc, merged), 5)
        except Exception:
            try:
                data = cloudpickle.dumps((self._crc, merged), 5)
            except Exception as error:
                raise ReduceError(
                    f"the state of the reducer cannot be pickled: {type(error).__name__}: {error}. All results "
                    "are kept; a state is best made of plain values and arrays",
                    stage="save",
                ) from error
        with storage_errors(self.folder):
            if not merged.stopped:
                _replace(self.folder / _STATE, [data])
                return
            temporary = _written(self.folder / _STOPPED, [data])
            try:
                with contextlib.suppress(FileExistsError):
                    os.link(temporary, self.folder / _STOPPED)
            finally:
                temporary.unlink()

    def forget(self) -> None:
        """Begin with nothing merged."""
        with storage_errors(self.folder):
            (self.folder / _STATE).unlink(missing_ok=True)


def replace_reducer(folder: Path, reducer: Any, until: Any = None) -> None:
    """Give a map another reducer, with which its frames are merged anew, and another `until`, if there is one.

    Raises
    ------
    InvalidInputError
        `until` has stopped the map.
    """
    store = Store(folder)
    if store.is_stopped():
        raise InvalidInputError("until= has stopped the map: its result stands")
    write_reducer(folder, reducer, store.until if until is None else until)


def _replace(path: Path, parts: Any) -> None:
    os.replace(_written(path, parts), path)


def _written(path: Path, parts: Any) -> Path:
    """Write a new file beside `path`."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with temporary.open("xb", buffering=0) as file:
            for part in parts:
                write_all(file, part)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    return temporary
