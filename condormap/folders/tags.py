"""Tags: the names that users know their maps by.

A tag is a symbolic link to the map's folder, which never moves; so a map can get another tag while its jobs write.
``map.json`` has the tag too, and it is right where the two differ: a process was killed in `rename_tag`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import os
import random
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import InvalidInputError, StorageError
from .locks import is_locked, locked
from .paths import data_folder, data_home, maps_folder
from .store import NEW, discard, new_id, read_record, storage_errors, write_record

_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_ADJECTIVES = (
    "amber brave calm dusky eager fond gentle keen lucid merry noble quiet rapid sunny vivid".split()
)
_NOUNS = (
    "boson comet fjord gluon heron isotope kestrel lepton muon nebula osprey photon quark raven tern".split()
)


@dataclass(frozen=True)
class NewMap:
    """A map that is being made, with its lock held.

    Parameters
    ----------
    id, tag : str
        Its id and its name.
    folder : Path
        Its folder, to be renamed to `final` when it is complete.
    final : Path
        Its folder from then on.
    lock : int
        The descriptor of the lock.
    """

    id: str
    tag: str
    folder: Path
    final: Path
    lock: int


@contextlib.contextmanager
def new_map(tag: str | None) -> Iterator[NewMap]:
    """Give a new folder for a map, and its tag; both are removed unless the folder was renamed meanwhile.

    Parameters
    ----------
    tag : str or None
        The wish; None for a random readable one.

    Raises
    ------
    InvalidInputError
        It is no tag, or is in use.
    StorageError
        The folder can't be made.
    """
    id = new_id()
    new, final = data_folder() / f"{NEW}{id}", data_folder() / id
    with storage_errors(data_home()):
        for folder in (data_home(), maps_folder(), data_folder()):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    taken = None
    with contextlib.ExitStack() as stack:
        try:
            with locked(data_home()), storage_errors(new):
                taken = check_tag(tag)
                new.mkdir(mode=0o700)
                lock = stack.enter_context(locked(new))
                _link(taken, id)
            yield NewMap(id, taken, new, final, lock)
        finally:
            if new.is_dir():
                discard(new)
            if taken is not None and not final.is_dir():
                unlink(taken, final)


def is_tag(tag: object) -> bool:
    """Tell whether this could be a map's name."""
    return isinstance(tag, str) and _TAG.fullmatch(tag) is not None


def check_tag(tag: str | None) -> str:
    """Return a tag that is free: the given one, or a random readable one.

    Raises
    ------
    InvalidInputError
        The given one is no tag, or is in use.
    """
    if tag is None:
        while True:
            tag = f"{random.choice(_ADJECTIVES)}-{random.choice(_NOUNS)}-{secrets.token_hex(2)}"
            if not (maps_folder() / tag).is_symlink():
                return tag
    if not is_tag(tag):
        raise InvalidInputError(
            f"{tag!r} is no tag: up to 64 letters, digits, dots, dashes and underscores, a letter or digit first"
        )
    if _is_being_made(tag):  # asked first: a map that is complete by the next line is one
        raise InvalidInputError(f"another process is making a map with the tag {tag!r} right now")
    if (maps_folder() / tag).exists():
        raise InvalidInputError(
            f"there is a map with the tag {tag!r} already: condormap.load({tag!r}) returns it; "
            f"if it is an executor's, CondorExecutor.attach({tag!r})"
        )
    return tag


def folder_of(tag: str) -> Path:
    """Return the folder of the map with this tag.

    Raises
    ------
    InvalidInputError
        There is none.
    """
    link = maps_folder() / str(tag)
    if is_tag(tag) and link.is_dir():
        return data_folder() / os.readlink(link).rpartition("/")[2] if link.is_symlink() else link
    tags = list(all_tags())
    close = difflib.get_close_matches(str(tag), tags)
    hint = f"; did you mean {' or '.join(close)}?" if close else f" ({len(tags)} maps in {maps_folder()})"
    if is_tag(tag) and _is_being_made(tag):
        hint = " yet: another process is making it"
    raise InvalidInputError(f"there is no map with the tag {tag!r}{hint}")


def all_tags() -> list[str]:
    """Return the tags of all maps, sorted."""
    folder = maps_folder()
    return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def rename_tag(old: str, new: str) -> None:
    """Give a map another tag; see `condormap.retag`."""
    folder_of(old)  # refuses in words what is not there, and the next line would make the lock's folder
    with locked(data_home()):
        folder = folder_of(old)
        record = read_record(folder)
        if new == record.tag:
            if old != new:
                unlink(old, folder)
            return
        link = maps_folder() / str(new)
        if not (
            link.is_symlink() and is_tag(new) and _target(link) == folder.name
        ):  # else: interrupted last time
            check_tag(new)
            with storage_errors(link):
                _link(new, folder.name)
        try:
            with storage_errors(folder):
                write_record(folder, dataclasses.replace(record, tag=new))
        except BaseException:
            if read_record(folder).tag != new:
                unlink(new, folder)
            raise
        unlink(old, folder)


def unlink(tag: str, folder: Path) -> None:
    """Remove a tag, if it is one of the map in `folder`."""
    link = maps_folder() / tag
    with contextlib.suppress(OSError):
        if _target(link) == folder.name:
            link.unlink()


def is_stale(tag: str) -> bool:
    """Tell whether a tag leads nowhere, or to a map that has another one: a process was killed.

    The lock of condormap's folder is ours.
    """
    link = maps_folder() / tag
    if not link.is_symlink() or _is_being_made(tag):
        return False
    try:
        return not link.exists() or read_record(link).tag != tag
    except StorageError:
        return False


def _link(tag: str, id: str) -> None:
    link = maps_folder() / tag
    link.unlink(missing_ok=True)  # one that leads nowhere: `check_tag`
    link.symlink_to(f"../{data_folder().name}/{id}")


def _target(link: Path) -> str:
    return os.readlink(link).rpartition("/")[2]


def _is_being_made(tag: str) -> bool:
    link = maps_folder() / tag
    return link.is_symlink() and is_locked(data_folder() / f"{NEW}{_target(link)}")
