"""One submission of a map: its folder, its submit description, and its cluster in the queue."""

from __future__ import annotations

import bisect
import contextlib
import dataclasses
import json
import os
import sys
import zlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import StorageError
from .options import JobOptions, escape, one_line, quote
from .paths import current_folder
from .payload import (
    CHUNKS_FILE,
    FILES_PER_FOLDER,
    SELECTION_FILE,
    DamagedError,
    array_from,
    chunk_file,
    read_chunks,
)
from .store import MapRecord, write_json

# What a job gets of the environment of the process that submits it, so that the same interpreter finds the same
# libraries; the rest is the job's own business (`environment=`).
_PASSED_ON = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV", "TZ")

# Idle jobs that a factory keeps in the queue, per slot: a claim that finds no idle job is given back.
_IDLE_PER_SLOT, _LEAST_IDLE = 3, 10

CLUSTER_FILE = "cluster.json"
_QUEUE = "queue chunk, shard from (\n"


@dataclass(frozen=True)
class Submission:
    """One submission of a map, as its folder has it.

    Parameters
    ----------
    folder : Path
        See `condormap.store`.
    id : str
        The submission's id, which its jobs carry.
    created : float
        Seconds since the epoch.
    chunks : tuple of range
        The positions of each chunk.
    selection : array of int or None
        Position -> item, in ascending order; None where a position is an item's index.
    cluster : int or None
        The cluster in the queue; None where it isn't known (yet).
    options : JobOptions
        What its jobs ask for.
    """

    folder: Path
    id: str
    created: float
    chunks: tuple[range, ...]
    selection: array[int] | None
    cluster: int | None
    options: JobOptions

    def items(self, chunk: int) -> Sequence[int]:
        """Return the items of a chunk."""
        positions = self.chunks[chunk]
        if self.selection is None:
            return positions
        items = self.selection[positions.start : positions.stop]
        in_a_row = len(items) > 0 and items[-1] - items[0] == len(items) - 1
        return range(items[0], items[-1] + 1) if in_a_row else items  # a range is counted in no time

    def position(self, item: int) -> int:
        """Return the position of an item; -1 where it has none."""
        if self.selection is None:
            return item
        position = bisect.bisect_left(self.selection, item)
        found = position < len(self.selection) and self.selection[position] == item
        return position if found else -1

    def output_file(self, chunk: int, stream: str) -> Path:
        """Return the file of a chunk's standard ``"out"`` or ``"err"``; it may not exist."""
        return Path(chunk_file(self.folder / "stdio", chunk, stream))


def load_submission(folder: Path) -> Submission:
    """Read a submission from its folder.

    Raises
    ------
    StorageError
        A file is missing or damaged.
    """
    selection = folder / SELECTION_FILE
    try:
        record = json.loads((folder / "submission.json").read_bytes())
        if record["crc"] != checksums(folder):
            raise DamagedError(f"{CHUNKS_FILE} or {SELECTION_FILE} is not what was written")
        return Submission(
            folder,
            record["id"],
            record["created"],
            tuple(read_chunks(folder)),
            array_from(selection.read_bytes()) if selection.exists() else None,
            read_cluster(folder),
            JobOptions(**record["options"]),
        )
    except (OSError, ValueError, KeyError, TypeError, DamagedError) as error:
        raise StorageError(
            f"{folder} is damaged: {type(error).__name__}: {error}. Restore its files, or give the map up: "
            "condormap.remove() removes its jobs too"
        ) from error


def read_cluster(folder: Path) -> int | None:
    """Return the cluster; None where it was not noted, or the note cannot be read."""
    try:
        return int(json.loads((folder / CLUSTER_FILE).read_bytes())["cluster"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def checksums(folder: Path) -> dict[str, int]:
    """Return a checksum for each of a submission's tables, which a wrong byte would turn into other items."""
    paths = [folder / name for name in (CHUNKS_FILE, SELECTION_FILE)]
    return {path.name: zlib.crc32(path.read_bytes()) for path in paths if path.exists()}


def describe(submission: Submission, final: Path, record: MapRecord, lib: Path, slots: int) -> None:
    """Write the submit description of a submission into its folder; condor_submit takes the file as it is.

    Parameters
    ----------
    submission : Submission
        The submission, in the folder where it is now.
    final : Path
        Its folder when the jobs run.
    record : MapRecord
        The map.
    lib : Path
        The folder of the runner (`condormap.bundle`).
    slots : int
        How many of these jobs run at once.
    """
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    stdio = escape(str(final / "stdio"))
    commands = {
        "universe": "vanilla",
        "executable": escape(one_line("the path of this Python", sys.executable)),
        "arguments": quote([str(lib / "run.py"), str(final / "spec.json")])[:-1]
        + ' $(chunk) $(ClusterId).$(ProcId)"',
        "transfer_executable": "False",
        "should_transfer_files": "NO",
        "initialdir": escape(one_line("the path of the current folder", current_folder())),
        "environment": quote(passed_on | dict(submission.options.environment)),
        "log": escape(one_line("the path of the event log", record.log(final.parent.parent))),
        "output": f"{stdio}/$(shard)/$(chunk).out",
        "error": f"{stdio}/$(shard)/$(chunk).err",
        "batch_name": record.tag,
        "submit_event_user_notes": f"condormap {submission.id} $(chunk)",
        "MY.CondormapMap": f'"{record.id}"',
        "MY.CondormapChunk": "$(chunk)",
    }
    commands |= submission.options.commands()
    if "hold" not in {name.lower() for name in submission.options.submit}:  # a factory would not heed it
        commands["max_idle"] = str(max(_LEAST_IDLE, _IDLE_PER_SLOT * slots))
    text = "".join(f"{name} = {value}\n" for name, value in commands.items())
    table = "".join(f"{row['chunk']}, {row['shard']}\n" for row in rows(len(submission.chunks)))
    (submission.folder / "submit.sub").write_text(f"{text}{_QUEUE}{table})\n")


def description_of(submission: Submission) -> str:
    """Return the submit description of a submission without its queue statement, which `rows` stands for."""
    return (submission.folder / "submit.sub").read_text().partition(_QUEUE)[0]


def rows(n_chunks: int) -> list[dict[str, str]]:
    """Return the item data of a submission: a row for each chunk."""
    return [{"chunk": str(chunk), "shard": str(chunk // FILES_PER_FOLDER)} for chunk in range(n_chunks)]


def note_cluster(submission: Submission, cluster: int) -> Submission:
    """Note the cluster in the submission's folder, where that can be written; the queue can be asked again."""
    with contextlib.suppress(OSError):
        write_json(submission.folder / CLUSTER_FILE, {"cluster": cluster, "n_procs": len(submission.chunks)})
    return dataclasses.replace(submission, cluster=cluster)
