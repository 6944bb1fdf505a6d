"""Submitting a cluster once or not at all, and finding it again."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from condormap import errors
from condormap.condor import check
from condormap.condor.calls import DEADLINES, Calls, UncertainError
from condormap.condor.results import Submitted
from condormap.paths import current_folder

_PER_JOB = 0.01  # seconds more for each job; 10,000 plain jobs take 2.3 s where nothing else is going on
_LOOK_UP = 20.0  # seconds to find out how a submit ended that gave no answer
_CLOCKS = 600.0  # seconds by which the schedd's clock may be behind ours


def submit(
    calls: Calls,
    description: str,
    rows: Sequence[Mapping[str, str]],
    count: int,
    submission_id: str,
    deadline: float | None,
    lock: int | None,
) -> Submitted:
    """Submit one cluster; see `Condor.submit`."""
    check.submission(description, rows, submission_id)
    return _once(
        calls,
        "submit",
        max(1, len(rows)) * max(1, count),
        submission_id,
        deadline,
        lock,
        folder=str(current_folder()),
        description=_marked(description, submission_id),
        rows=[dict(row) for row in rows],
        count=count,
    )


def submit_block(
    calls: Calls, text: str, folder: str, n_jobs: int, submission_id: str, deadline: float | None
) -> Submitted:
    """Submit the cluster of a queue statement; see `Condor.submit_block`."""
    check.submission_id(submission_id)
    return _once(
        calls,
        "submit_block",
        n_jobs,
        submission_id,
        deadline,
        None,
        folder=folder,
        environment=dict(os.environ),
        description=_marked(text, submission_id),
    )


def _marked(description: str, submission_id: str) -> str:
    # Ours is first, so that a last line of theirs that is continued cannot take it in.
    return f'MY.CondormapSubmission = "{submission_id}"\n{description}\n'


def _once(
    calls: Calls,
    call: str,
    n_jobs: int,
    submission_id: str,
    deadline: float | None,
    lock: int | None,
    **arguments: Any,
) -> Submitted:
    """Make a call that submits; if it gives no answer, find out how it ended."""
    seconds = DEADLINES[call] + _PER_JOB * n_jobs if deadline is None else deadline
    began = time.time()
    try:
        answer = calls.change_or_uncertain(call, seconds, () if lock is None else (lock,), **arguments)
    except UncertainError as uncertain:
        failure = uncertain.failure
    else:
        return Submitted(*answer)
    # The schedd's answer is certain: it serves a submit's connection until that is closed, which it is, and drops
    # what was not committed. So if it answers now, the cluster is there or never will be.
    try:
        cluster = find(calls, submission_id, since=began - _CLOCKS, deadline=min(seconds, _LOOK_UP))
    except errors.CondorError as unknown:
        raise errors.SubmitUnknownError(
            f"submission {submission_id} got no answer, and whether it is in the queue could not be found out:"
            f" {unknown} (the submit itself: {failure}). Do not submit again before `condor_q -all -constraint"
            f" 'CondormapSubmission == \"{submission_id}\"'` has told"
        ) from failure
    if cluster is None:
        raise type(failure)(f"{failure}. Nothing was submitted") from None
    return Submitted(cluster, 0, n_jobs)


def find(calls: Calls, submission_id: str, *, since: float | None, deadline: float | None) -> int | None:
    """Return the cluster of a submission from the queue or the history; see `Condor.find_submission`."""
    check.submission_id(submission_id)
    until = time.monotonic() + (DEADLINES["history"] if deadline is None else deadline)
    constraint = f'CondormapSubmission == "{submission_id}"'
    # All users' jobs, for the id is unique, and whom the schedd takes for "me" depends on how it was asked.
    ads = calls.ask(
        "query",
        until - time.monotonic(),
        constraint=constraint,
        projection=["ClusterId"],
        limit=1,
        all_users=True,
        cluster_ads=True,
    ) or calls.ask(
        "history",
        until - time.monotonic(),
        constraint=constraint,
        projection=["ClusterId"],
        limit=1,
        since="" if since is None else f"EnteredCurrentStatus < {int(since)}",
    )
    return int(ads[0]["ClusterId"]) if ads else None
