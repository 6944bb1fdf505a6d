"""`clean()`: what killed processes left behind, what no map needs any more, and old maps."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path

from ..catalog import remove
from ..errors import CondormapError, InvalidInputError
from . import store
from .listing import MapInfo, maps
from .locks import is_locked, locked
from .paths import data_folder, data_home, lib_folder, maps_folder
from .tags import is_stale

_DAY = 86400.0
_LIB_AGE = _DAY  # seconds for which an unused folder in lib stays: a map that is being made may need it


@dataclass(frozen=True)
class Cleaned:
    """Something that `clean` removed, or would remove.

    Parameters
    ----------
    what : str
        What it is, in words.
    path : Path
        Where it is.
    kept : str
        Why it is still there, where it could not be removed.
    """

    what: str
    path: Path
    kept: str = ""

    def __str__(self) -> str:
        return f"{self.what}: {self.path}" + (f" (kept: {self.kept})" if self.kept else "")


class CleanedList(list[Cleaned]):
    """What was cleaned, shown one on a line."""

    def __repr__(self) -> str:
        return "\n".join(map(str, self)) or "nothing to clean"

    def _repr_html_(self) -> str:
        return f"<pre>{escape(repr(self))}</pre>"


def clean(*, days: float | None = None, unfinished: bool = False, dry_run: bool = False) -> CleanedList:
    """Remove what killed processes left behind and what no map needs any more; with `days`, old maps too.

    Parameters
    ----------
    days : float or None
        Remove the finished maps that nothing has happened to for so many days, with their results; None: no map.
    unfinished : bool
        Together with `days`: also the maps that are not finished; their jobs are removed from the queue.
    dry_run : bool
        Only tell what would be removed.

    Returns
    -------
    list of Cleaned
        What was removed, and what could not be, and why; it is shown one on a line.
    """
    if (
        isinstance(days, bool)
        or not isinstance(days, int | float | None)
        or (days is not None and not days >= 0)
    ):
        raise InvalidInputError(f"days is a number that is not negative, or None, not {days!r}")
    if unfinished and days is None:
        raise InvalidInputError("unfinished=True needs days=: how long nothing has happened to the maps")
    done = CleanedList()
    if not data_home().is_dir():
        return done
    for info in maps() if days is not None else ():
        if days is not None and _is_old(info, days) and (info.finished or unfinished):
            done.append(_remove_map(info, dry_run))
    with locked(data_home()):  # nobody begins a new map meanwhile
        for path in _left_behind():
            done.append(_remove(f"left by a process that was killed ({path.name})", path, dry_run))
        for path in _unused_libs():
            done.append(_remove("code for jobs that no map uses", path, dry_run))
    return done


def _is_old(info: MapInfo, days: float) -> bool:
    if info.damage:
        return False
    try:
        changed = store.read_record(info.path).log(info.path).stat().st_mtime
    except OSError:
        changed = 0.0
    created = info.created.timestamp() if info.created else 0.0
    return max(created, changed) <= time.time() - days * _DAY


def _remove_map(info: MapInfo, dry_run: bool) -> Cleaned:
    what = f"map {info.tag} ({info.summary})"
    if not dry_run:
        try:
            remove(info.tag)
        except CondormapError as error:
            return Cleaned(what, info.path, str(error))
    return Cleaned(what, info.path)


def _left_behind() -> Iterator[Path]:
    """Yield folders that were being made or removed, and tags that lead nowhere."""
    for parent in (maps_folder(), data_folder()):
        for path in sorted(parent.glob(".*")):
            if path.name.startswith((store.NEW, store.GONE)) and not is_locked(path):
                yield path
    for path in sorted(maps_folder().glob("*")):
        if is_stale(path.name):
            yield path


def _unused_libs() -> Iterator[Path]:
    """Yield the folders in lib that no submission names, if it is known of each what it names."""
    folders = [*data_folder().glob("[!.]*"), *(p for p in maps_folder().glob("*") if not p.is_symlink())]
    try:
        used = {
            json.loads((part / "submission.json").read_bytes())["lib"]
            for folder in folders
            for part in store.submission_folders(folder)
        }
    except (OSError, ValueError, KeyError, TypeError):
        return  # a damaged map, or one of an older layout
    for path in sorted(lib_folder().glob("*")):
        if path.name not in used and path.stat().st_mtime < time.time() - _LIB_AGE:
            yield path


def _remove(what: str, path: Path, dry_run: bool) -> Cleaned:
    if not dry_run:
        try:
            if path.is_symlink():
                path.unlink()
            elif path.parent == lib_folder():
                shutil.rmtree(path)
            else:
                store.discard(path)
        except OSError as error:
            return Cleaned(what, path, str(error))
        if path.exists():
            return Cleaned(what, path, "some of it could not be removed")
    return Cleaned(what, path)
