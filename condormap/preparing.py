"""The folders of submissions, with all that their jobs need; nothing is submitted here."""

from __future__ import annotations

import contextlib
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
from .payload import carried, extra_files
from .payload.bundle import RUN_ARCHIVE, bundle
from .payload.item_files import write_item_files
from .payload.slices import nbytes_with_data, write_slices
from .payload.transfer import Transfer
from .payload.waves import Wave, plan_waves, smaller_chunks
from .submission import (
    SAVED,
    SLICES,
    Submission,
    checksums,
    describe,
    load_submission,
)
from .waits import write_waits

_SEVERAL = 8  # jobs, for which there is to be room at a time, if so many can run


def write_submissions(
    folder: Path,
    final: Path,
    record: MapRecord,
    chunks: Sequence[range],
    options: JobOptions,
    *,
    slots: int,
    transfer: Transfer,
    selection: Sequence[int] | None = None,
    taken: int = 0,
) -> list[Submission]:
    """Make the folders of a map's next submissions, with all that their jobs need; nothing is submitted.

    Parameters
    ----------
    folder : Path
        The map's folder, where it is now; its lock is ours.
    final : Path
        Where it is when the jobs run.
    record, chunks, options, slots, transfer, selection, taken
        As for `condormap.submitting.add_submissions`.

    Returns
    -------
    list of Submission
        One; or several, where there is no room for what all jobs are sent (`condormap.waves`): those that wait for
        room lack that. Their folders are those in `final`.

    Raises
    ------
    StorageError
        What is sent for a single item takes more than there may be of all that is sent.
    """
    parent = folder / SUBMISSIONS_FOLDER
    number = _remove_stale(folder)
    lib = bundle(data_home())
    spec = {
        "star": record.star,
        "reduce": record.reduce,
        "retries": options.retries,
        "item_timeout": options.item_timeout,
    }
    spec |= _spec_of_files(options, transfer)
    waves = [Wave(range(len(chunks)))]
    if transfer.sent:
        chunks, waves = _waves(folder, chunks, selection, taken, max(1, slots))
    made: list[Submission] = []
    staged: list[Path] = []
    with contextlib.ExitStack() as stack:
        for wave in waves:
            new = stack.enter_context(staging(parent))
            staged.append(new)
            part, items = _part(chunks, selection, wave.chunks)
            write_work(new, part, spec, items)
            write_json(new / "submission.json", _new_record(new, options, transfer, lib, len(made)))
            if wave.waits is not None:
                write_waits(new, wave.waits)
            submission = load_submission(new)
            if transfer.sent:
                _write_what_is_sent(submission, lib, wave.room)
                if record.executes:
                    of_chunks = [submission.items(chunk) for chunk in range(len(submission.chunks))]
                    write_item_files(folder, submission.folder, of_chunks)
            place = final / SUBMISSIONS_FOLDER / str(number + len(made))
            describe(submission, place, record, lib, slots)
            made.append(dataclasses.replace(submission, folder=place))
        # The first one last, for it makes the others count: `condormap.folders.store.submission_folders`.
        for submission, new in reversed(list(zip(made, staged, strict=True))):
            os.rename(new, parent / submission.folder.name)
    return made


def _remove_stale(folder: Path) -> int:
    """Remove what a process has left that was killed; return the number of the next submission."""
    parent, there = folder / SUBMISSIONS_FOLDER, {path.name for path in submission_folders(folder)}
    for stale in parent.glob("*"):
        if stale.name not in there:
            shutil.rmtree(stale, ignore_errors=True)
    return len(there)


def _waves(
    store: Path, chunks: Sequence[range], selection: Sequence[int] | None, taken: int, slots: int
) -> tuple[Sequence[range], list[Wave]]:
    """Return the chunks, and which of them are sent their items now, and which when there is room."""
    if not carried.has_carried(store):
        return chunks, [Wave(range(len(chunks)))]
    first, stop = chunks[0].start, chunks[-1].stop
    sizes = nbytes_with_data(store, range(first, stop) if selection is None else selection)
    limit = carried.limit(store, taken)
    if sum(sizes) > limit:  # there is to be room for several that run, while others are prepared
        chunks = smaller_chunks(chunks, sizes, limit // (2 * min(slots, _SEVERAL)))
    of_chunks = [sum(sizes[chunk.start - first : chunk.stop - first]) for chunk in chunks]
    return chunks, plan_waves(of_chunks, limit, limit - taken, carried.told_limit())


def _part(
    chunks: Sequence[range], selection: Sequence[int] | None, which: range
) -> tuple[Sequence[range], Sequence[int] | None]:
    """Return some chunks in a row, and the items of their positions."""
    part = chunks[which.start : which.stop]
    if selection is None or len(part) == len(chunks):
        return part, selection
    first, stop = part[0].start, part[-1].stop
    return [range(chunk.start - first, chunk.stop - first) for chunk in part], selection[first:stop]


def write_work(
    folder: Path, chunks: Sequence[range], spec: Mapping[str, Any], selection: Sequence[int] | None = None
) -> None:
    """Write what the runner reads of a submission, and make the folders that it writes to.

    Parameters
    ----------
    folder : Path
        The submission's folder, two below that of the function and the items.
    chunks, selection
        As for `condormap.submitting.add_submissions`.
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


def _write_what_is_sent(submission: Submission, lib: Path, room: carried.Room | None) -> None:
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
    if submission.waits is None:
        write_slices(folder.parents[1], folder / SLICES, chunks, SLICE, room)
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


def _new_record(
    folder: Path, options: JobOptions, transfer: Transfer, lib: Path, wave: int
) -> dict[str, Any]:
    return {
        "id": new_id(),
        "created": time.time(),
        "user": getpass.getuser(),
        "lib": lib.name,
        "crc": checksums(folder),
        "options": options.as_record(),
        "transfer": {"sent": transfer.sent, "why": transfer.why},
        "wave": wave,
    }
