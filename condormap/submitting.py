"""Adding a submission to a map, and having HTCondor get it exactly once.

::

    folder complete -> renamed into place -> submitted -> cluster.json

Whoever goes from one step to the next holds the map's lock (`condormap.folders.locks`), and so does the process
for calls to HTCondor during a submit, which may outlive this one for a moment. So a submission without a
``cluster.json`` that is found under the lock is in the queue, the history or the log by its id, or it never was
submitted.
"""

from __future__ import annotations

import contextlib
import dataclasses
import getpass
import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .condor import Condor
from .errors import CondorError, InvalidInputError, StorageError, SubmitUnknownError
from .folders.locks import locked
from .folders.paths import data_home
from .folders.store import (
    GONE,
    NEW,
    SUBMISSIONS_FOLDER,
    MapRecord,
    discard,
    new_id,
    staging,
    storage_errors,
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
from .payload.slices import write_slices
from .payload.transfer import Transfer
from .submission import (
    CLUSTER_FILE,
    SAVED,
    SLICES,
    Submission,
    checksums,
    describe,
    description_of,
    load_submission,
    note_cluster,
    rows,
)

_CLOCKS = 600.0  # seconds by which the clocks of two machines may differ


def add_submission(
    folder: Path,
    record: MapRecord,
    chunks: Sequence[range],
    options: JobOptions,
    condor: Condor,
    *,
    lock: int,
    slots: int,
    transfer: Transfer,
    selection: Sequence[int] | None = None,
) -> Submission:
    """Add a submission to a map and submit it; where that surely failed, the map stays as it was.

    Parameters
    ----------
    folder : Path
        The map's folder.
    record : MapRecord
        What its ``map.json`` says.
    chunks : sequence of range
        The positions of each chunk.
    options : JobOptions
        What the jobs ask for.
    condor : Condor
        The map's pool.
    lock : int
        The descriptor of the folder's lock (``with locked(folder) as lock``).
    slots : int
        How many of the jobs run at once.
    transfer : Transfer
        How they get their files.
    selection : sequence of int, optional
        Position -> item; by default a position is an item's index.

    Raises
    ------
    CondorError, InvalidInputError, StorageError
        Nothing was submitted.
    SubmitUnknownError
        The schedd did not answer; `complete` finds out later.
    """
    with storage_errors(folder):
        submission = write_submission(
            folder,
            folder,
            record,
            chunks,
            options,
            slots=slots,
            transfer=transfer,
            selection=selection,
        )
    return submit_or_discard(condor, submission, lock=lock, folder=submission.folder)


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
        As for `add_submission`.

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
        As for `add_submission`.
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


def submit_or_discard(condor: Condor, submission: Submission, *, lock: int, folder: Path) -> Submission:
    """Submit for the first time; where that surely failed, remove `folder`: the submission's, or a new map's."""
    try:
        return _submit(condor, submission, lock)
    except SubmitUnknownError as error:
        error.add_note(
            "condormap: condormap.load() with the map's tag finds out, and submits what was not submitted"
        )
        raise
    except KeyboardInterrupt as interrupt:
        try:
            cluster = condor.find_submission(submission.id, since=submission.created - _CLOCKS, deadline=5.0)
            if cluster is not None:
                condor.act("remove", jobs=[str(cluster)], reason="interrupted while it was submitted")
        except CondorError:
            interrupt.add_note(
                "condormap: jobs may be in the queue; condormap.remove() with the map's tag removes them"
            )
        else:
            discard(folder)
        raise
    except (CondorError, InvalidInputError, StorageError):
        discard(folder)
        raise


def complete(condor: Condor, folder: Path, log: Path) -> list[Submission]:
    """Return the submissions of a map; one whose submit was interrupted is found again, or else submitted now.

    Parameters
    ----------
    condor : Condor
        The map's pool.
    folder, log : Path
        The map's folder and its event log.

    Raises
    ------
    WaitTimeoutError
        Another process is submitting, and does not finish.
    CondorError
        The pool could not be asked.
    """
    with contextlib.suppress(
        StorageError
    ):  # a folder that is being removed is no damage; under the lock it would be
        submissions = [load_submission(part) for part in submission_folders(folder)]
        if all(submission.cluster is not None for submission in submissions):
            return submissions
    with locked(folder) as lock:
        return complete_locked(condor, folder, log, lock=lock)


def complete_locked(condor: Condor, folder: Path, log: Path, *, lock: int) -> list[Submission]:
    """Do as `complete`, with the map's lock held: before a submission is added, those before it are submitted."""
    submissions = [load_submission(part) for part in submission_folders(folder)]
    return [submit_once(condor, submission, log, lock=lock) for submission in submissions]


def submit_once(condor: Condor, submission: Submission, log: Path, *, lock: int) -> Submission:
    """Return the submission with its cluster; it is submitted unless it was before.

    Parameters
    ----------
    condor : Condor
        The map's pool.
    submission : Submission
        It was read while the map's lock was held.
    log : Path
        The map's event log.
    lock : int
        The lock's descriptor.
    """
    if submission.cluster is not None:
        return submission
    cluster = condor.find_submission(submission.id, since=submission.created - _CLOCKS)
    if cluster is None:
        cluster = _cluster_in_log(condor, submission, log)
    if cluster is not None:
        return note_cluster(submission, cluster)
    if (submission.folder / CLUSTER_FILE).exists():
        raise StorageError(
            f"{submission.folder / CLUSTER_FILE} is damaged, and no cluster of this submission is in the queue, "
            "the history or the event log; restore the file, or give the map up: condormap.remove()"
        )
    return _submit(condor, submission, lock)


def _cluster_in_log(condor: Condor, submission: Submission, log: Path) -> int | None:
    """Return the cluster by the notes of a job's submit event: a schedd may keep no history, or a short one."""
    offset = 0
    while log.exists():
        batch = condor.events(log, offset)
        for event in batch.events:
            if submission.id in str(event.info.get("UserNotes") or event.info.get("LogNotes", "")).split():
                return event.cluster
        if batch.offset == offset:
            break
        offset = batch.offset
    return None


def _submit(condor: Condor, submission: Submission, lock: int) -> Submission:
    submitted = condor.submit(
        description_of(submission),
        rows=rows(len(submission.chunks)),
        submission_id=submission.id,
        lock=lock,
    )
    return note_cluster(submission, submitted.cluster)


def note_options(submission: Submission, options: JobOptions) -> Submission:
    """Note in the submission's folder that its jobs ask for something else now."""
    file = submission.folder / "submission.json"
    with storage_errors(file):
        write_json(file, json.loads(file.read_bytes()) | {"options": options.as_record()})
    return dataclasses.replace(submission, options=options)
