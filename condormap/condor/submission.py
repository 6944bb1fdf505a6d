"""Submitting: what HTCondor makes of a description, a cluster once or not at all, and finding it again."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from condormap import errors
from condormap.condor import check
from condormap.condor.calls import DEADLINES, Caller, UncertainError
from condormap.condor.results import LATER, Expansion, Submitted
from condormap.folders.paths import current_folder

_PER_JOB = 0.01  # seconds more for each job; 10,000 plain jobs take 2.3 s where nothing else is going on
_LOOK_UP = 20.0  # seconds to find out how a submit ended that gave no answer
_CLOCKS = 600.0  # seconds by which the schedd's clock may be behind ours


class Submitting(Caller):
    """The part of `Condor` that submits."""

    def submit(
        self,
        description: str,
        *,
        rows: Sequence[Mapping[str, str]] = (),
        count: int = 0,
        submission_id: str,
        deadline: float | None = None,
        lock: int | None = None,
    ) -> Submitted:
        """Submit one cluster. It is submitted once or not at all, or `SubmitUnknownError` is raised.

        Parameters
        ----------
        description : str
            The submit language, without a queue statement; ``max_idle`` or ``max_materialize`` make it a factory.
            Relative paths are relative to this process's current folder. Nothing is added to it but
            ``MY.CondormapSubmission``.
        rows : sequence of mappings, optional
            The variables of each job (``queue ... from``), the same in every row, their values of letters, digits
            and ``_.-`` only: HTCondor would silently cut or drop others.
        count : int, optional
            How many jobs, or how many for each row; 0 means 1.
        submission_id : str
            A name for this submission that no other has, to find it again: letters, digits and ``_.:-``.
        deadline : float, optional
            Seconds; the default grows with the number of jobs. To find out how a submit without an answer ended
            takes up to 20 s more, and not longer than `deadline`.
        lock : int, optional
            The file descriptor of a lock: it is held until the submit has ended, also where this process is killed
            during it, and the child a moment later.

        Raises
        ------
        SubmitRefusedError
            HTCondor did not accept the description.
        UnreachableError, DeadlineError
            Nothing was submitted.
        SubmitUnknownError
            There was no answer, and the queue could not be asked afterwards: `find_submission` tells later.
        """
        check.submission(description, rows, submission_id)
        return self._once(
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
        self,
        text: str,
        *,
        folder: str | os.PathLike[str],
        submission_id: str,
        n_jobs: int = 1,
        deadline: float | None = None,
    ) -> Submitted:
        """Submit the cluster of one queue statement, as condor_submit would; else as `submit`.

        Parameters
        ----------
        text : str
            The submit language, its one queue statement at the end: a `condormap.jdf.Block`'s text.
        folder : path-like
            What relative paths are relative to.
        submission_id, deadline
            As in `submit`.
        n_jobs : int, optional
            How many jobs it makes, by which the default deadline grows.
        """
        check.submission_id(submission_id)
        return self._once(
            "submit_block",
            n_jobs,
            submission_id,
            deadline,
            None,
            folder=os.path.abspath(folder),
            environment=dict(os.environ),
            description=_marked(text, submission_id),
        )

    def rehearse_block(
        self, text: str, *, folder: str | os.PathLike[str], deadline: float | None = None
    ) -> None:
        """Find out whether HTCondor can make the jobs of a block, the first 1000 of them; submit nothing.

        The schedd is asked, and uses up the number of a cluster for it.

        Parameters
        ----------
        text, folder
            As in `submit_block`.
        deadline : float, optional
            Seconds.

        Raises
        ------
        SubmitRefusedError
            It cannot.
        """
        self._calls.ask(
            "rehearse_block",
            deadline,
            folder=os.path.abspath(folder),
            environment=dict(os.environ),
            description=text,
        )

    def expand_block(
        self,
        statements: Sequence[tuple[str, int]],
        queue: str,
        *,
        folder: str | os.PathLike[str],
        wanted: Sequence[str] = (),
        limit: int = 10_000,
        deadline: float | None = None,
    ) -> Expansion:
        """Return what HTCondor makes of a queue statement and the commands above it; no daemon is asked.

        The statement's file is read, its script is run, and so are commands of ``include``.

        Parameters
        ----------
        statements : sequence of (str, int)
            The commands, and how many ``if`` are open behind each.
        queue : str
            The queue statement with its items.
        folder : path-like
            What relative paths are relative to.
        wanted : sequence of str, optional
            The commands whose values are wanted.
        limit : int, optional
            For how many jobs at most.
        deadline : float, optional
            Seconds.

        Raises
        ------
        InvalidInputError
            The queue statement is wrong, or its items cannot be read.
        """
        expansion = self._calls.local(
            "expand_block",
            deadline,
            folder=os.path.abspath(folder),
            environment=dict(os.environ),
            statements=list(statements),
            queue=queue,
            wanted=list(wanted),
            limit=limit,
            later=LATER,
        )
        return Expansion(**expansion)

    def find_submission(
        self, submission_id: str, *, since: float | None = None, deadline: float | None = None
    ) -> int | None:
        """Return the cluster of a submission from the queue, a factory without jobs too, or from the history.

        Parameters
        ----------
        submission_id : str
            As it was given to `submit`.
        since : float, optional
            Do not read history from before this time, in epoch seconds: a site's history may be gigabytes.
        deadline : float, optional
            Seconds for both together.
        """
        check.submission_id(submission_id)
        until = time.monotonic() + (DEADLINES["history"] if deadline is None else deadline)
        constraint = f'CondormapSubmission == "{submission_id}"'
        # All users' jobs, for the id is unique, and whom the schedd takes for "me" depends on how it was asked.
        ads = self._calls.ask(
            "query",
            until - time.monotonic(),
            constraint=constraint,
            projection=["ClusterId"],
            limit=1,
            all_users=True,
            cluster_ads=True,
        ) or self._calls.ask(
            "history",
            until - time.monotonic(),
            constraint=constraint,
            projection=["ClusterId"],
            limit=1,
            since="" if since is None else f"EnteredCurrentStatus < {int(since)}",
        )
        return int(ads[0]["ClusterId"]) if ads else None

    def _once(
        self,
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
            answer = self._calls.change_or_uncertain(
                call, seconds, () if lock is None else (lock,), **arguments
            )
        except UncertainError as uncertain:
            failure = uncertain.failure
        else:
            return Submitted(*answer)
        # The schedd's answer is certain: it serves a submit's connection until that is closed, which it is, and
        # drops what was not committed. So if it answers now, the cluster is there or never will be.
        try:
            cluster = self.find_submission(
                submission_id, since=began - _CLOCKS, deadline=min(seconds, _LOOK_UP)
            )
        except errors.CondorError as unknown:
            raise errors.SubmitUnknownError(
                f"submission {submission_id} got no answer, and whether it is in the queue could not be found out:"
                f" {unknown} (the submit itself: {failure}). Do not submit again before `condor_q -all -constraint"
                f" 'CondormapSubmission == \"{submission_id}\"'` has told"
            ) from failure
        if cluster is None:
            raise type(failure)(f"{failure}. Nothing was submitted") from None
        return Submitted(cluster, 0, n_jobs)


def _marked(description: str, submission_id: str) -> str:
    # Ours is first, so that a last line of theirs that is continued cannot take it in.
    return f'MY.CondormapSubmission = "{submission_id}"\n{description}\n'
