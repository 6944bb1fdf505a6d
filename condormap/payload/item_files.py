"""The files that the jobs of a `CondorMapper` are sent: the executable, and the input files of their items."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ..errors import InvalidInputError
from ..in_job.payload import FILES_PER_FOLDER
from ..in_job.place import SENT_FOLDER
from ..in_job.room import EXECUTABLE, INPUTS, RESULTS
from . import extra_files
from .item_store import unpickle_items


def write_item_files(store: Path, folder: Path, chunks: Sequence[Sequence[int]]) -> None:
    """Put links to what the jobs are sent into a submission's folder, and make the empty folders of their results.

    Parameters
    ----------
    store : Path
        The map's folder.
    folder : Path
        The submission's folder.
    chunks : sequence of sequence of int
        The items of each chunk.

    Raises
    ------
    InvalidInputError
        An input file is gone.
    """
    for name in RESULTS:
        (folder / name).mkdir()
    sent = folder / SENT_FOLDER / EXECUTABLE
    sent.mkdir()
    for link in (store / EXECUTABLE).iterdir():
        (sent / link.name).symlink_to(link.resolve())
    for chunk, items in enumerate(chunks):
        target = folder / INPUTS / str(chunk // FILES_PER_FOLDER) / str(chunk) / INPUTS
        target.mkdir(parents=True)
        for item, number, path in _input_files(store, items):
            extra_files.link_one(path, target / f"{item}.{number}")


def check_item_files(store: Path, items: Iterable[int]) -> None:
    """Refuse items of a map whose input files are gone.

    Raises
    ------
    InvalidInputError
        An input file is gone.
    """
    for _ in _input_files(store, items):
        pass


def _input_files(store: Path, items: Iterable[int]) -> Iterator[tuple[int, int, str]]:
    """Yield each input file: its item, its number, and where it is."""
    for task in unpickle_items(store, items):
        for number, (_, path) in enumerate(task["inputs"]):
            if not os.path.exists(path):
                raise InvalidInputError(
                    f"item {task['item']}: its input file {path} is gone. Nothing was submitted"
                )
            yield task["item"], number, path
