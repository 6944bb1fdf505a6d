"""One submission of a map: its folder, its submit description, and its cluster in the queue."""

from __future__ import annotations

import bisect
import contextlib
import dataclasses
import json
import os
import re
import sys
import zlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import InvalidInputError, StorageError
from .folders.paths import current_folder
from .folders.store import MapRecord, write_json
from .in_job.payload import (
    CHUNKS_FILE,
    FILES_PER_FOLDER,
    SELECTION_FILE,
    DamagedError,
    array_from,
    chunk_file,
    read_chunks,
)
from .in_job.place import CHECKPOINTS, SENT_FOLDER, SENT_OUTCOME, SLICE
from .in_job.room import INPUTS, RESULTS
from .options import JobOptions, escape, one_line, quote
from .payload.bundle import RUN_ARCHIVE, RUN_FILE
from .waits import Waits, read_waits

# What a job gets of the environment of the process that submits it, so that the same interpreter finds the same
# libraries; the rest is the job's own business (`environment=`).
_PASSED_ON = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV", "TZ")

# Idle jobs that a factory keeps in the queue, per slot: a claim that finds no idle job is given back.
_IDLE_PER_SLOT, _LEAST_IDLE = 3, 10

CLUSTER_FILE = "cluster.json"
# Where the jobs are sent their files: the folders of their slices of the item store, and of what items had saved.
SLICES, SAVED = "slices", "saved"

_JOB = "$(ClusterId).$(ProcId)"
# No two attempts write the same outcome file. HTCondor expands it for each start, and has counted that one.
_EARLIER_STARTS = "$$([(NumShadowStarts?:1)-1])"
_SENDABLE = re.compile(r"""[^,;="'\\]*[^,;="'\\\s]""")
_QUEUE = "queue chunk, shard from (\n"


@dataclass(frozen=True)
class Submission:
    """One submission of a map, as its folder has it.

    Parameters
    ----------
    folder : Path
        See `condormap.folders.store`.
    id : str
        The submission's id, which its jobs carry.
    created : float
        When it was made, or got room: seconds since the epoch.
    chunks : tuple of range
        The positions of each chunk.
    selection : array of int or None
        Position -> item, in ascending order; None where a position is an item's index.
    cluster : int or None
        The cluster in the queue; None where it isn't known (yet).
    options : JobOptions
        What its jobs ask for.
    sent : bool
        Its jobs are sent their files and send their outcomes back, instead of reading and writing in the folder.
    wave : int
        Its number among those of one call that waited for room; see `condormap.waves`.
    waits : Waits or None
        It waits for room.
    """

    folder: Path
    id: str
    created: float
    chunks: tuple[range, ...]
    selection: array[int] | None
    cluster: int | None
    options: JobOptions
    sent: bool = False
    wave: int = 0
    waits: Waits | None = None

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

    @property
    def has_slices(self) -> bool:
        """Whether the slices of its jobs were made, all of them."""
        return (self.folder / SLICES).exists()

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
        cluster, waits = read_cluster(folder), read_waits(folder)
        got_room = _when_changed(folder / (SLICES if cluster is None else CLUSTER_FILE)) if waits else 0.0
        return Submission(
            folder,
            record["id"],
            max(record["created"], got_room),
            tuple(read_chunks(folder)),
            array_from(selection.read_bytes()) if selection.exists() else None,
            cluster,
            JobOptions(**record["options"]),
            record["transfer"]["sent"],
            record.get("wave", 0),
            waits if cluster is None else None,
        )
    except (OSError, ValueError, KeyError, TypeError, DamagedError) as error:
        raise StorageError(
            f"{folder} is damaged: {type(error).__name__}: {error}. Restore its files, or give the map up: "
            "condormap.remove() removes its jobs too"
        ) from error


def _when_changed(path: Path) -> float:
    """Return when a file or folder was changed last; 0 where there is none."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


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
        The folder of the runner (`condormap.payload.bundle`).
    slots : int
        How many of these jobs run at once.
    """
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    stdio = escape(str(final / "stdio"))
    python = submission.options.python or sys.executable
    commands = {
        "universe": "vanilla",
        "executable": escape(one_line("the path of this Python", python)),
        "transfer_executable": "False",
        **(
            _commands_if_sent(submission, final, record)
            if submission.sent
            else _commands_if_shared(final, lib)
        ),
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


def redescribe(submission: Submission, options: JobOptions) -> None:
    """Let the submit description of a submission that waits ask for something else; all else stays as it is."""
    file = submission.folder / "submit.sub"
    head, queue, table = file.read_text().partition(_QUEUE)
    old = submission.options.commands()
    kept = [line for line in head.splitlines() if line.partition(" = ")[0] not in old]
    new = [f"{name} = {value}" for name, value in options.commands().items()]
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    temporary.write_text("\n".join([*kept, *new, ""]) + queue + table)
    os.replace(temporary, file)


def _commands_if_shared(folder: Path, lib: Path) -> dict[str, str]:
    """Return the commands for jobs that see the submission's folder."""
    return {
        "arguments": _arguments(str(lib / RUN_FILE), str(folder / "spec.json"), "$(chunk)", _JOB),
        "should_transfer_files": "NO",
        "initialdir": escape(one_line("the path of the current folder", current_folder())),
    }


def _commands_if_sent(submission: Submission, folder: Path, record: MapRecord) -> dict[str, str]:
    """Return the commands for jobs that are sent what is in the submission's folder: `condormap.in_job.place`."""
    if not _SENDABLE.fullmatch(str(folder)):
        raise InvalidInputError(
            f"HTCondor cannot send files from {folder}: a path may have no comma, semicolon, equals sign, quote, "
            "backslash or trailing space. Set CONDORMAP_HOME to another folder. Nothing was submitted"
        )
    here, spec = escape(str(folder)), f"{SENT_FOLDER}/spec.json"
    saved = f"{SAVED}/$(shard)/$(chunk)" if (submission.folder / SAVED / "0").exists() else SAVED
    slice = f"{SLICES}/$(shard)/{SLICE}$(chunk)"
    sent = [SENT_FOLDER, SENT_OUTCOME, slice, f"{saved}/{CHECKPOINTS}"]
    brought = [SENT_OUTCOME, CHECKPOINTS]
    if record.executes:
        sent += [*RESULTS, f"{INPUTS}/$(shard)/$(chunk)/{INPUTS}"]
        brought = [*RESULTS, *brought]  # in this order: when an outcome is here, its files are
    outcome = f"{here}/outcomes/$(shard)/$(chunk).{_EARLIER_STARTS}"
    return {
        "arguments": _arguments(f"{SENT_FOLDER}/{RUN_ARCHIVE}", spec, "$(chunk)", _JOB, _EARLIER_STARTS),
        "should_transfer_files": "YES",
        "when_to_transfer_output": "ON_EXIT_OR_EVICT",
        "transfer_input_files": ", ".join(f"{here}/{name}" for name in sent),
        "transfer_output_files": ", ".join(brought),
        "transfer_output_remaps": f'"{SENT_OUTCOME}={outcome}"',
        "initialdir": escape(str(folder.parents[1])),  # where the checkpoints go
    }


def _arguments(run: str, spec: str, *macros: str) -> str:
    """Return the value of ``arguments``: two paths, and macros that HTCondor expands."""
    return " ".join([quote([run, spec])[:-1], *macros]) + '"'


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
    return dataclasses.replace(submission, cluster=cluster, waits=None)
