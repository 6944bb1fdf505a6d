"""The arguments of CondorMapper that are neither templates nor options of jobs, checked."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from ..errors import InvalidInputError
from ..folders.paths import absolute
from .tasks import Command

_REFUSED = "Nothing was submitted"


def number_of(iterables: Sequence[Iterable[Any]]) -> int:
    """Return how many iterables there are, or refuse what is no iterable of items."""
    for number, iterable in enumerate(iterables, 2):
        if isinstance(iterable, str | bytes | Path) or not isinstance(iterable, Iterable):
            raise InvalidInputError(
                f"argument {number} must be an iterable of items, not {iterable!r}; one item is [{iterable!r}]. "
                f"{_REFUSED}"
            )
    if not iterables:
        raise InvalidInputError(f"give CondorMapper at least one iterable after the executable. {_REFUSED}")
    return len(iterables)


def exit_codes(success: object) -> frozenset[int]:
    """Return the exit codes that are no failure."""
    codes = [success] if isinstance(success, int) else success
    if not isinstance(codes, Collection) or not all(
        isinstance(code, int) and 0 <= code < 256 for code in codes
    ):
        raise InvalidInputError(f"success must be exit codes from 0 to 255, not {success!r}. {_REFUSED}")
    return frozenset(codes)


def function_or_none(name: str, value: Any) -> Any:
    """Return a function or None; refuse anything else."""
    if value is not None and not callable(value):
        raise InvalidInputError(
            f"{name} must be callable, not a {type(value).__name__}: {value!r}. {_REFUSED}"
        )
    return value


def output_folder(outdir: str | os.PathLike[str] | None, command: Command, keep: bool) -> Path | None:
    """Return the folder that the user named for the output files, or refuse it."""
    if outdir is None:
        return None
    if not command.outputs and command.stdout is None:
        raise InvalidInputError(
            f"outdir= is for output files, and outtmpl= or stdout= names none. {_REFUSED}"
        )
    if not keep:
        raise InvalidInputError(
            f"outdir= is where output files stay, and keep_outputs=False keeps none. {_REFUSED}"
        )
    path = absolute(outdir)
    if path.exists() and not (path.is_dir() and os.access(path, os.W_OK)):
        raise InvalidInputError(f"outdir: {path} is no folder that you can write. {_REFUSED}")
    return Path(os.path.normpath(path))


def new_log(log: str | os.PathLike[str] | None) -> Path | None:
    """Return the path of a new event log, or of the folder for it."""
    if log is None:
        return None
    path = absolute(log)
    if path.exists() and not path.is_dir():
        raise InvalidInputError(
            f"log: there is a file {path} already, and a map's event log is its own: name another one, or a "
            f"folder. {_REFUSED}"
        )
    return path
