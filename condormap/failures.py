"""Why a job gives no outcome for its items, as an error that says what happened and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .errors import JobDiedError, JobHeldError, JobLostError, JobRemovedError
from .status import hold_advice, hold_in_words
from .submission import Submission
from .tracking import TrackedJob

_STDERR_TAIL = 2000  # bytes of standard error in a message

Items = range | tuple[int, ...]


def lost(job: TrackedJob) -> JobLostError:
    """Return the error of a job that is gone without a trace."""
    what = f"{_what(job)} is gone from the queue, and neither its event log nor the history says how it ended"
    return JobLostError(f"{what}; retry() runs its items again", job=job.id, items=as_items(job.items))


def held(job: TrackedJob) -> JobHeldError:
    """Return the error of a job that is on hold."""
    text = f"{_what(job)} is on hold: {hold_in_words(job.code, job.subcode)}"
    text += f" ({job.reason.rstrip('.')})" if job.reason else ""
    text += f"; {hold_advice(job.code, job.subcode)}"
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
    return JobDiedError(text, job=job.id, items=as_items(job.items))


def never_made(submission: Submission, chunk: int) -> JobRemovedError:
    """Return the error of a chunk whose cluster was removed before it made a job for it."""
    items = as_items(submission.items(chunk))
    text = f"cluster {submission.cluster} ({in_words(items)}) was removed from the queue before it made a job for"
    return JobRemovedError(f"{text} these items", job=str(submission.cluster), items=items)


def paused(submission: Submission, chunk: int, reason: str) -> JobHeldError:
    """Return the error of a chunk whose cluster makes no jobs for now."""
    items = as_items(submission.items(chunk))
    text = (
        f"cluster {submission.cluster} ({in_words(items)}) is on hold: {reason}; release() it, or remove() it"
    )
    return JobHeldError(text, job=str(submission.cluster), items=items, code=1)


def as_items(items: Sequence[int]) -> Items:
    """Return items such that they can be compared."""
    return items if isinstance(items, range) else tuple(items)


def in_words(items: Sequence[int]) -> str:
    """Return which items they are, in a few words."""
    if len(items) == 1:
        return f"item {items[0]}"
    if isinstance(items, range):
        return f"items {items[0]} to {items[-1]}"
    return f"{len(items)} items, the first of them {items[0]}"


def _what(job: TrackedJob) -> str:
    return f"job {job.id} ({in_words(job.items)})"


def _stderr(path: Path) -> str:
    """Return the end of a job's standard error as a clause for a message."""
    try:
        text = path.read_bytes()[-_STDERR_TAIL:].decode(errors="replace").strip()
    except OSError:
        text = ""
    return f". The end of its standard error ({path}):\n{text}" if text else "; its standard error is empty"
