"""The extra input files of a map's jobs (``files=``): what they are called in a job, and where they are here.

A path is kept as rsync writes it, ``/home/ann/fit/./data/a.txt``: what follows ``/./`` is the name in the job. So
it means the same when another process, in another folder, submits jobs with the same options.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ..errors import InvalidInputError
from ..folders.paths import absolute

_MARK = "/./"


def anchored(files: object) -> tuple[str, ...]:
    """Return the paths as they are kept; one that is kept already stays as it is.

    Parameters
    ----------
    files : sequence of path
        A relative path is the name in the job; of any other, the last part is.

    Raises
    ------
    InvalidInputError
        They are no paths, or two would have one name in the job, or one is within another.
    """
    if not isinstance(files, Sequence) or isinstance(files, str | bytes):
        raise InvalidInputError(f"files must be a list of paths, not {files!r}")
    found: dict[str, str] = {}
    for file in files:
        path = _anchored(file)
        name = name_of(path)
        other = next((each for each in found if _is_within(each, name) or _is_within(name, each)), None)
        if other is not None and found[other] != path:
            one, two = os.path.normpath(found[other]), os.path.normpath(path)
            raise InvalidInputError(
                f"files: {one} and {two} would be {other} and {name} in the job, and one of them hides "
                "the other. Give a folder that has both, or rename one"
            )
        found[name] = path
    return tuple(found.values())


def _anchored(file: object) -> str:
    if not isinstance(file, str | os.PathLike) or not isinstance(os.fspath(file), str):
        raise InvalidInputError(f"files: {file!r} is no path")
    folder, mark, name = os.fspath(file).partition(_MARK)
    if not mark:
        folder, name = "", folder
    name = os.path.normpath(name)
    if not mark and (os.path.isabs(name) or name.startswith(("~", ".."))):
        folder, name = os.path.split(os.path.normpath(absolute(name)))
    if name in ("", ".") or name.startswith(("..", "/")):
        raise InvalidInputError(f"files: {os.fspath(file)!r} is the name of no file or folder in a job")
    return f"{absolute(folder or '.')}{_MARK}{name}".replace("//", "/")


def _is_within(folder: str, name: str) -> bool:
    return name == folder or name.startswith(f"{folder}/")


def name_of(path: str) -> str:
    """Return what a file is called in a job."""
    return path.rpartition(_MARK)[2]


def check(files: Iterable[str]) -> None:
    """Refuse files that can't be read.

    Raises
    ------
    InvalidInputError
        One is not there, or this user may not read it.
    """
    for file in files:
        if not os.path.exists(file):
            raise InvalidInputError(f"files: there is no {os.path.normpath(file)}. Nothing was submitted")
        if not os.access(file, os.R_OK):
            raise InvalidInputError(
                f"files: you may not read {os.path.normpath(file)}. Nothing was submitted"
            )


def link(files: Iterable[str], folder: Path) -> None:
    """Put a link to each single file into `folder`, under its name in the job; HTCondor follows such links."""
    folder.mkdir()
    for file in files:
        target = folder / name_of(file)
        target.parent.mkdir(parents=True, exist_ok=True)
        link_one(file, target)


def link_one(file: str, target: Path) -> None:
    """Put a link to a file there, or, for a folder, a folder with a link to each single file in it."""
    if not os.path.isdir(file):
        target.symlink_to(file)
        return
    for source, below, names in _walk(file):
        here = target / below
        here.mkdir()
        for name in names:
            (here / name).symlink_to(f"{source}/{name}")


def _walk(top: str) -> Iterator[tuple[str, str, list[str]]]:
    """Yield each folder from `top` on, its path from there, and its files; follow links, but not in a circle."""
    seen = set()
    for source, folders, names in os.walk(top, followlinks=True):
        seen.add(os.path.realpath(source))
        folders[:] = [each for each in folders if os.path.realpath(f"{source}/{each}") not in seen]
        yield source, os.path.relpath(source, top), names
