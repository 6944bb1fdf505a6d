"""Why a job gives no outcome for its items, as an error that says what happened and what to do."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from ..errors import (
    CondormapError,
    JobDiedError,
    JobError,
    JobHeldError,
    JobLostError,
    JobRemovedError,
    PreflightError,
    StorageError,
)
from ..holds import Items, advice, as_items, in_words
from ..in_job.place import DISK_FULL
from ..output import tail_of_output
from ..payload.bundle import RUN_FILE
from ..status import ItemState, hold_in_words
from ..submission import Submission
from ..waits import Waits
from .tracked import TrackedJob

_STDERR_TAIL = 2000  # bytes of standard error in a message
#: Python's exit code when it can't open the file that it is to run.
NO_PROGRAM = 2


def lost(job: TrackedJob) -> JobLostError:
    """Return the error of a job that is gone without a trace."""
    what = f"{_what(job)} is gone from the queue, and neither its event log nor the history says how it ended"
    return JobLostError(f"{what}; retry() runs its items again", job=job.id, items=as_items(job.items))


def held(job: TrackedJob) -> JobHeldError:
    """Return the error of a job that is on hold."""
    text = f"{_what(job)} is on hold: {hold_in_words(job.code, job.subcode)}"
    text += f" ({job.reason.rstrip('.')})" if job.reason else ""
    text += f"; {advice(job.code, job.subcode)}"
    return JobHeldError(text, job=job.id, items=as_items(job.items), code=job.code, subcode=job.subcode)


def removed(job: TrackedJob) -> JobRemovedError:
    """Return the error of a job that was removed."""
    text = f"{_what(job)} was removed from the queue: {job.reason or 'no reason was given'}"
    return JobRemovedError(text, job=job.id, items=as_items(job.items))


def died(job: TrackedJob) -> JobDiedError:
    """Return the error of a job that ended without an outcome for all of its items."""
    how = f"exited with code {job.exit_code}" if job.signal is None else f"was killed by signal {job.signal}"
    stderr = _stderr(job.submission.output_file(job.chunk, "err"))
    text = f"{_what(job)} on {job.host} {how} and left no outcome{stderr}"
    if job.exit_code == NO_PROGRAM and not job.submission.sent and f"{RUN_FILE}'" in stderr:
        text += "\nThat machine does not see the map's folder: "
        text += "m.remove(); m.retry(transfer='always') sends the files"
    if job.exit_code == 0:
        text += ". So its outcome file was cut off or removed; m.retry() runs these items again"
    if job.exit_code == DISK_FULL:
        text += ". The disk of its results was full: free some space, then retry() runs what is left"
    return JobDiedError(text, job=job.id, items=as_items(job.items))


def unrunnable(job: TrackedJob) -> PreflightError:
    """Return the error of a job whose interpreter does not run it."""
    stderr = _stderr(job.submission.output_file(job.chunk, "err"))
    python = job.submission.options.python or sys.executable
    text = (
        f"{_what(job)} on {job.host}: {python} exited with code {job.exit_code} before it ran anything{stderr}\n"
        "Nothing was computed there: m.remove(); m.retry(python=...) with the path of another Python"
    )
    return PreflightError(text, job=job.id, items=as_items(job.items))


def unreadable(job: TrackedJob, damage: str) -> StorageError:
    """Return the error of a job whose outcome file is damaged."""
    return StorageError(
        f"the outcomes of {_what(job)} cannot be read: {damage}; m.retry() runs these items again"
    )


#: By the state of the job's items.
MAKERS: Mapping[ItemState, Callable[[TrackedJob], JobError]] = {
    ItemState.LOST: lost,
    ItemState.HELD: held,
    ItemState.REMOVED: removed,
    ItemState.ERROR: died,
}


def without_job(submission: Submission, chunk: int, paused: str | None) -> JobError:
    """Return the error of a chunk for which its cluster makes no job.

    Parameters
    ----------
    submission, chunk
        Which one.
    paused : str or None
        Why the cluster makes no jobs for now; None if it was removed.
    """
    items = as_items(submission.items(chunk))
    cluster, what = str(submission.cluster), f"cluster {submission.cluster} ({in_words(items)})"
    if paused is None:
        text = f"{what} was removed from the queue before it made a job for these items"
        return JobRemovedError(text, job=cluster, items=items)
    text = f"{what} is on hold: {paused}; m.release() it, or m.remove() it"
    return JobHeldError(text, job=cluster, items=items, code=1)


def not_submitted(
    submission: Submission,
    chunk: int,
    waits: Waits,
    stalled: Callable[[Items], CondormapError] | None,
) -> CondormapError:
    """Return the error of a chunk that waits for room, and is not to be submitted for now, or ever.

    Parameters
    ----------
    submission, chunk
        Which one.
    waits : Waits
        What is known of it.
    stalled : callable or None
        Makes the error where nobody holds it and it can't go on.
    """
    items = as_items(submission.items(chunk))
    if waits.removed is not None:
        text = f"the job of {in_words(items)} was removed before it was submitted: {waits.removed}"
        return JobRemovedError(text, items=items)
    if waits.held is None and stalled is not None:
        return stalled(items)
    text = f"the job of {in_words(items)} waits for room, and is on hold: {waits.held}; "
    text += "m.release() it, or m.remove() it"
    return JobHeldError(text, items=items, code=1)


def unknown(submission: Submission, chunk: int, damage: str) -> JobLostError:
    """Return the error of a chunk of which nobody can say what has become."""
    items = as_items(submission.items(chunk))
    what = f"cluster {submission.cluster} ({in_words(items)}) is gone from the queue"
    text = f"{what}, and no job for these items is known: {damage}; m.retry() runs them again"
    return JobLostError(text, job=str(submission.cluster), items=items)


def _what(job: TrackedJob) -> str:
    return f"job {job.id} ({in_words(job.items)})"


def _stderr(path: Path) -> str:
    """Return the end of a job's standard error as a clause for a message."""
    text = tail_of_output(path, _STDERR_TAIL)
    return f". The end of its standard error ({path}):\n{text}" if text else "; its standard error is empty"
