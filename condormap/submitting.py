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
import json
from collections.abc import Sequence
from pathlib import Path

from .condor import Condor
from .errors import CondorError, InvalidInputError, StorageError, SubmitUnknownError
from .folders.locks import locked
from .folders.store import (
    MapRecord,
    discard,
    storage_errors,
    submission_folders,
    write_json,
)
from .options import JobOptions
from .payload.transfer import Transfer
from .preparing import write_submissions
from .submission import (
    CLUSTER_FILE,
    Submission,
    description_of,
    load_submission,
    note_cluster,
    rows,
)

_CLOCKS = 600.0  # seconds by which the clocks of two machines may differ


def add_submissions(
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
    taken: int = 0,
) -> list[Submission]:
    """Add submissions to a map and submit the first one; where that surely failed, the map stays as it was.

    There is one, but where the jobs are sent more than there is room for: see `condormap.waves`.

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
    taken : int
        The bytes of the copies of items' data (`condormap.payload.carried`) that are there.

    Raises
    ------
    CondorError, InvalidInputError, StorageError
        Nothing was submitted.
    SubmitUnknownError
        The schedd did not answer; `complete` finds out later.
    """
    with storage_errors(folder):
        first, *others = write_submissions(
            folder,
            folder,
            record,
            chunks,
            options,
            slots=slots,
            transfer=transfer,
            selection=selection,
            taken=taken,
        )
    if first.waits is None:
        first = submit_or_discard(condor, first, lock=lock, folder=first.folder)
    return [first, *others]


def submit_or_discard(condor: Condor, submission: Submission, *, lock: int, folder: Path) -> Submission:
    """Submit for the first time; where that surely failed, remove `folder`: the submission's, or a new map's."""
    try:
        return submit_new(condor, submission, lock=lock)
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
        if all(submission.cluster is not None or waits_for_room(submission) for submission in submissions):
            return submissions
    with locked(folder) as lock:
        return complete_locked(condor, folder, log, lock=lock)


def complete_locked(condor: Condor, folder: Path, log: Path, *, lock: int) -> list[Submission]:
    """Do as `complete`, with the map's lock held: before a submission is added, those before it are submitted."""
    submissions = [load_submission(part) for part in submission_folders(folder)]
    return [submit_once(condor, submission, log, lock=lock) for submission in submissions]


def submit_once(condor: Condor, submission: Submission, log: Path, *, lock: int) -> Submission:
    """Return the submission with its cluster; it is submitted unless it was before, or waits for room.

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
    if submission.cluster is not None or waits_for_room(submission):
        return submission
    found = find_again(condor, submission, log)
    if found.cluster is not None:
        return found
    if (submission.folder / CLUSTER_FILE).exists():
        raise StorageError(
            f"{submission.folder / CLUSTER_FILE} is damaged, and no cluster of this submission is in the queue, "
            "the history or the event log; restore the file, or give the map up: condormap.remove()"
        )
    return submit_new(condor, submission, lock=lock)


def waits_for_room(submission: Submission) -> bool:
    """Tell whether a submission is not to be submitted now: it lacks its slices, is held, or was removed."""
    waits = submission.waits
    return waits is not None and not (waits.is_open and submission.has_slices)


def find_again(condor: Condor, submission: Submission, log: Path) -> Submission:
    """Return a submission with its cluster, if it is in the queue, the history or the log."""
    cluster = condor.find_submission(submission.id, since=submission.created - _CLOCKS)
    if cluster is None:
        cluster = _cluster_in_log(condor, submission, log)
    return submission if cluster is None else note_cluster(submission, cluster)


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


def submit_new(condor: Condor, submission: Submission, *, lock: int) -> Submission:
    """Submit what surely was not submitted before; return it with its cluster."""
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
