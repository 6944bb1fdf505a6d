"""The folder of a submission, with all that its jobs need; nothing is submitted here."""

from __future__ import annotations

import dataclasses
import getpass
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .folders.paths import data_home
from .folders.store import (
    GONE,
    NEW,
    SUBMISSIONS_FOLDER,
    MapRecord,
    new_id,
    staging,
    submission_folders,
    write_json,
)
from .in_job.payload import (
    FILES_PER_FOLDER,
    FUNCTION_FILE,
    REDUCER_FILE,
    SELECTION_FILE,
    array_bytes,
    chunk_file,
    little_endian,
    make_shards,
    write_chunks,
)
from .in_job.place import CHECKPOINTS, SENT_FILES, SENT_FOLDER, SENT_OUTCOME, SLICE
from .in_job.preflight import NEEDS_FILE
from .options import JobOptions
from .payload import extra_files
from .payload.bundle import RUN_ARCHIVE, bundle
from .payload.item_files import write_item_files
from .payload.slices import write_slices
from .payload.transfer import Transfer
from .submission import (
    SAVED,
    SLICES,
    Submission,
    checksums,
    describe,
    load_submission,
)


def write_submission(
    folder: Path,
    final: Path,
    record: MapRecord,
    chunks: Sequence[range],
    options: JobOptions,
    *,
    slots: int,
    transfer: Transfer,
    selection: Sequence[int] | None = None,
) -> Submission:
    """Make the folder of a map's next submission, with all that its jobs need; nothing is submitted.

    Parameters
    ----------
    folder : Path
        The map's folder, where it is now; its lock is ours.
    final : Path
        Where it is when the jobs run.
    record, chunks, options, slots, transfer, selection
        As for `condormap.submitting.add_submission`.

    Returns
    -------
    Submission
        Its folder is the one in `final`.
    """
    parent = folder / SUBMISSIONS_FOLDER
    for stale in [*parent.glob(f"{NEW}*"), *parent.glob(f"{GONE}*")]:  # of a process that was killed
        shutil.rmtree(stale, ignore_errors=True)
    number = str(len(submission_folders(folder)))
    lib = bundle(data_home())
    with staging(parent) as new:
        spec = {
            "star": record.star,
            "reduce": record.reduce,
            "retries": options.retries,
            "item_timeout": options.item_timeout,
        }
        write_work(new, chunks, {**spec, **_spec_of_files(options, transfer)}, selection)
        write_json(new / "submission.json", _new_record(new, options, transfer, lib))
        submission = load_submission(new)
        if transfer.sent:
            _write_what_is_sent(submission, lib)
            if record.executes:
                items = [submission.items(chunk) for chunk in range(len(submission.chunks))]
                write_item_files(folder, submission.folder, items)
        describe(submission, final / SUBMISSIONS_FOLDER / number, record, lib, slots)
        os.rename(new, parent / number)
    return dataclasses.replace(submission, folder=final / SUBMISSIONS_FOLDER / number)


def write_work(
    folder: Path, chunks: Sequence[range], spec: Mapping[str, Any], selection: Sequence[int] | None = None
) -> None:
    """Write what the runner reads of a submission, and make the folders that it writes to.

    Parameters
    ----------
    folder : Path
        The submission's folder, two below that of the function and the items.
    chunks, selection
        As for `condormap.submitting.add_submission`.
    spec : mapping
        What else the runner needs to know; see `condormap.in_job.runner`.
    """
    write_chunks(folder, chunks)
    if selection is not None:
        (folder / SELECTION_FILE).write_bytes(array_bytes(little_endian(selection)))
    write_json(folder / "spec.json", {"items": "../..", **spec})
    for name in ("outcomes", "stdio"):
        make_shards(folder / name, len(chunks))


def _spec_of_files(options: JobOptions, transfer: Transfer) -> dict[str, Any]:
    if transfer.sent:
        return {"sent": True}
    return {"files": [(extra_files.name_of(file), file) for file in options.files]} if options.files else {}


def _write_what_is_sent(submission: Submission, lib: Path) -> None:
    """Put what the jobs are sent into the submission's folder, two below that of the function and the items."""
    folder, sent = submission.folder, submission.folder / SENT_FOLDER
    sent.mkdir()
    targets = {"spec.json": "../spec.json", RUN_ARCHIVE: str(lib / RUN_ARCHIVE)}
    for name in (FUNCTION_FILE, NEEDS_FILE, REDUCER_FILE):
        if (folder.parents[1] / name).exists():
            targets[name] = f"../../../{name}"
    for name, target in targets.items():
        (sent / name).symlink_to(target)
    extra_files.link(submission.options.files, sent / SENT_FILES)
    (folder / SENT_OUTCOME).touch()
    chunks = [submission.items(chunk) for chunk in range(len(submission.chunks))]
    write_slices(folder.parents[1], folder / SLICES, chunks, SLICE)
    _link_checkpoints(folder.parents[1] / CHECKPOINTS, folder / SAVED, chunks)


def _link_checkpoints(home: Path, saved: Path, chunks: Sequence[Sequence[int]]) -> None:
    """Put links to what the items of each chunk had saved into a folder for it, where any had saved something."""
    states = {int(path.stem): path for path in home.glob("*/*.state")}
    for chunk, items in enumerate(chunks) if states else ():
        folder = saved / str(chunk // FILES_PER_FOLDER) / str(chunk) / CHECKPOINTS
        folder.mkdir(parents=True)
        for item in states.keys() & set(items):
            target = Path(chunk_file(folder, item, "state"))
            target.parent.mkdir(exist_ok=True)
            target.symlink_to(states[item])
    if not states:
        (saved / CHECKPOINTS).mkdir(parents=True)


def _new_record(folder: Path, options: JobOptions, transfer: Transfer, lib: Path) -> dict[str, Any]:
    return {
        "id": new_id(),
        "created": time.time(),
        "user": getpass.getuser(),
        "lib": lib.name,
        "crc": checksums(folder),
        "options": options.as_record(),
        "transfer": {"sent": transfer.sent, "why": transfer.why},
    }
