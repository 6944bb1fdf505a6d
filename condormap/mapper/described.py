"""What a CondorMapper executes, in its folder.

::

mapper.pkl    the executable and the templates, see `Described`
draft.json    how it is to be submitted, where that was held back
executable/   a link to the executable
outputs/      the output files; a link to the folder that the user named for them
kept/         <item // 1000>/<item>/: the output files of items that failed, and what is long that was printed
debug/        what `CondorMapper.debug` has run
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle

from ..errors import InvalidInputError, SerializationError
from ..folders.store import storage_errors, write_json
from ..in_job.command import Command as CommandInJob
from ..in_job.outcome import Outcome
from ..in_job.room import EXECUTABLE, KEPT, OUTPUTS
from ..making import Request
from ..options import JobOptions
from ..payload.stand_in import in_job
from .executable import Executable
from .tasks import Command

_MAPPER_FILE, _DRAFT_FILE = "mapper.pkl", "draft.json"


@dataclass(frozen=True)
class Described:
    """What a map executes, as its folder has it.

    Parameters
    ----------
    executable : Executable
        The executable.
    command : Command
        The templates.
    n_iterables : int
        Of how many iterables the items were made.
    success : frozenset of int
        The exit codes that are no failure.
    read : callable or None
        Makes an item's result of its outcome.
    keep_outputs : bool
        The output files come home.
    """

    executable: Executable
    command: Command
    n_iterables: int
    success: frozenset[int]
    read: Callable[[Outcome], Any] | None
    keep_outputs: bool

    def in_job(self, home: Path, outputs: Path) -> _InJob:
        """Return what becomes the function of the map in the job."""
        return _InJob(self._arguments(home, outputs))

    def here(self, home: Path) -> CommandInJob:
        """Return the function of the map, for use in this process."""
        return CommandInJob(*self._arguments(home, home / OUTPUTS))

    def _arguments(self, home: Path, outputs: Path) -> tuple[Any, ...]:
        path = self.executable.path
        where = None if path is None else str(path)
        there = str(outputs) if self.keep_outputs else None
        return self.executable.name, where, str(home), there, tuple(self.success), self.read


class _InJob:
    """Becomes, in the job, the `Command` of `condormap.in_job.command`."""

    def __init__(self, arguments: tuple[Any, ...]) -> None:
        self._arguments = arguments

    def __call__(self, *_: Any) -> None:
        """Be a function, as which it is pickled."""

    def __repr__(self) -> str:
        return str(self._arguments[0])

    def __reduce__(self) -> tuple[Any, ...]:
        return in_job("command", "Command"), self._arguments


def read_described(folder: Path) -> Described:
    """Return what the map in a folder executes.

    Raises
    ------
    SerializationError
        It can't be unpickled here.
    """
    try:
        described = pickle.loads((folder / _MAPPER_FILE).read_bytes())
    except Exception as error:
        raise SerializationError(
            f"{folder / _MAPPER_FILE} cannot be unpickled here: {type(error).__name__}: {error}"
        ) from error
    assert isinstance(described, Described)
    return described


def write_folders(new: Path, described: Described) -> None:
    """Write what a map of an executable has besides into its new folder."""
    try:
        data = cloudpickle.dumps(described, 5)
    except Exception as error:
        raise SerializationError(
            f"stdin= or read= cannot be pickled: {type(error).__name__}: {error}. Nothing was submitted"
        ) from error
    (new / _MAPPER_FILE).write_bytes(data)
    (new / KEPT).mkdir()
    (new / EXECUTABLE).mkdir()
    if (path := described.executable.path) is not None:
        (new / EXECUTABLE / path.name).symlink_to(path)


def make_outputs(new: Path, outdir: Path | None) -> None:
    """Make the folder of the output files, or a link to the one that the user named."""
    if outdir is None:
        (new / OUTPUTS).mkdir()
    else:
        try:
            outdir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidInputError(
                f"outdir: the folder {outdir} cannot be made: {error.strerror}. Nothing was submitted"
            ) from None
        (new / OUTPUTS).symlink_to(outdir)


def write_draft(new: Path, request: Request) -> None:
    """Write how a map is to be submitted that is held back."""
    names = ("chunksize", "max_jobs", "target_runtime")
    draft = {name: getattr(request, name) for name in names}
    write_json(new / _DRAFT_FILE, draft | {"options": request.options.as_record()})


def read_draft(folder: Path) -> Request:
    """Return how a map is to be submitted that was held back."""
    with storage_errors(folder):
        draft = json.loads((folder / _DRAFT_FILE).read_bytes())
    return Request(**{**draft, "options": JobOptions(**draft["options"])})
