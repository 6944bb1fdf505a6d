"""`Condor`: calls to one pool's HTCondor, each bounded by a deadline, each failure a typed error."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from condormap import errors
from condormap.address import PoolAddress
from condormap.condor import check, translate
from condormap.condor.environment import child_environment
from condormap.condor.process import ChildLostError, ChildTimeoutError, Process
from condormap.condor.results import Action, ActResult, EventBatch, Identity, Submitted, read_events

#: Seconds that a call may take unless it is given another deadline, by the kind of call.
DEADLINES: Mapping[str, float] = {
    "act": 20,
    "edit": 20,
    "events": 20,  # a local file: only a dead file server takes this long
    "history": 60,  # a schedd reads through its whole history
    "importable": 20,
    "param": 20,
    "ping": 20,
    "query": 20,
    "schedd_ad": 20,
    "slots": 20,
    "submit": 60,
}
_SUBMIT_PER_JOB = 0.01  # seconds more for each job: a busy schedd takes some 1,000 ads a second
_LOOK_UP = 20.0  # seconds to find out how a submit ended that gave no answer
_CLOCKS = 600.0  # seconds by which the schedd's clock may be behind ours


class Condor:
    """One pool's HTCondor, through a child process that the first call starts; get one from `connect`.

    Calls may come from several threads; they are made one at a time, and waiting for its turn counts towards a
    call's deadline. In a forked process the object works on, with a child of its own.

    Every call takes `deadline`, in seconds; without it, `DEADLINES`. A call raises

    - `UnreachableError`: the daemon refused the connection, or went away while the call was under way;
    - `UnknownScheddError`: the pool knows no such schedd;
    - `NotAuthorizedError`: the daemon does not let this user do that, or could not find out who that is;
    - `DeadlineError`: no answer in time. The child is killed, and the next call starts another;
    - `RefusedError`: the daemon answered, and the answer was no;
    - `InvalidInputError`: an argument that is not what it should be; nothing was asked of a daemon.

    Parameters
    ----------
    address : PoolAddress
        Where the pool is.
    """

    def __init__(self, address: PoolAddress) -> None:
        self.address = address
        self._at = {"schedd": address.schedd, "collector": address.collector}
        self._process = Process(lambda: child_environment(address))

    def __repr__(self) -> str:
        return f"Condor({self.address!r})"

    def start(self) -> None:
        """Start the child without waiting for it, so that its imports overlap with the caller's work."""
        self._process.start()

    def close(self) -> None:
        """End the child. A later call starts another."""
        self._process.close()

    # -- jobs -------------------------------------------------------------------------------------------------

    def submit(
        self,
        description: str,
        *,
        rows: Sequence[Mapping[str, str]] = (),
        count: int = 0,
        submission_id: str,
        deadline: float | None = None,
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
        n_jobs = max(1, len(rows)) * max(1, count)
        seconds = DEADLINES["submit"] + _SUBMIT_PER_JOB * n_jobs if deadline is None else deadline
        arguments = {
            "at": self._at,
            "folder": os.getcwd(),
            # First, so that a last line that is continued cannot take it in.
            "description": f'MY.CondormapSubmission = "{submission_id}"\n{description}\n',
            "rows": [dict(row) for row in rows],
            "count": count,
        }
        began = time.time()
        try:
            kind, value, log = self._process.call("submit", arguments, until=time.monotonic() + seconds)
        except ChildTimeoutError as error:
            failure: errors.CondormapError = self._late("submit", seconds, waiting=error.waiting)
            if error.waiting:
                raise failure from None
        except ChildLostError as error:
            failure = self._lost("submit", str(error))
        else:
            if kind == "ok":
                return Submitted(*value)
            failure = translate.error(kind, value, log, call="submit", where=self._where())
            if kind != "uncertain" or not isinstance(failure, errors.UnreachableError):
                raise failure
        return self._end_of_submit(submission_id, n_jobs, failure, began, min(seconds, _LOOK_UP))

    def _end_of_submit(
        self, submission_id: str, n_jobs: int, failure: errors.CondormapError, began: float, seconds: float
    ) -> Submitted:
        """Find out how a submit ended that gave no answer.

        The schedd's answer is certain: it serves a submit's connection until that is closed, and drops what was
        not committed. So when it answers after that, the cluster is there or never will be.
        """
        try:
            cluster = self.find_submission(submission_id, since=began - _CLOCKS, deadline=seconds)
        except errors.CondorError as unknown:
            raise errors.SubmitUnknownError(
                f"submission {submission_id} got no answer, and whether it is in the queue could not be found out:"
                f" {unknown} (the submit itself: {failure}). Do not submit again before `condor_q -constraint"
                f" 'CondormapSubmission == \"{submission_id}\"'` has told"
            ) from failure
        if cluster is None:
            raise type(failure)(f"{failure}. Nothing was submitted") from None
        return Submitted(cluster, 0, n_jobs)

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
        constraint = f'CondormapSubmission == "{submission_id}"'
        seconds = DEADLINES["history"] if deadline is None else deadline
        until = time.monotonic() + seconds
        ads = self.query(
            constraint, ["ClusterId"], limit=1, all_users=True, cluster_ads=True, deadline=seconds
        )
        if not ads:
            arguments = {"constraint": constraint, "projection": ["ClusterId"], "limit": 1}
            stop = "" if since is None else f"EnteredCurrentStatus < {int(since)}"
            ads = self._call(
                "history", {"at": self._at, "since": stop, **arguments}, until - time.monotonic(), again=True
            )
        return int(ads[0]["ClusterId"]) if ads else None

    def act(
        self,
        action: Action | str,
        *,
        jobs: Sequence[str] | None = None,
        constraint: str | None = None,
        reason: str = "",
        deadline: float | None = None,
    ) -> ActResult:
        """Hold, release, remove, vacate, suspend or continue jobs.

        Parameters
        ----------
        action : Action or str
            What to do, or its name: ``"hold"``.
        jobs : sequence of str, optional
            Ids of jobs (``"12.0"``) and of clusters (``"12"``).
        constraint : str, optional
            A ClassAd expression that is true of the jobs; give either this or `jobs`.
        reason : str, optional
            Why, for whoever looks at the job; HTCondor adds the user's name. On one line.
        deadline : float, optional
            Seconds.

        Returns
        -------
        ActResult
            HTCondor's totals. A job that is not there is no error: ``TotalNotFound`` counts it.
        """
        action = check.action(action)
        arguments = {
            "at": self._at,
            "action": action.value,
            "jobs": check.jobs_or_constraint(jobs, constraint),
            "reason": reason or f"{action.value} by condormap",
        }
        return ActResult(self._call("act", arguments, deadline))

    def edit(
        self,
        attributes: Mapping[str, str],
        *,
        jobs: Sequence[str] | None = None,
        constraint: str | None = None,
        deadline: float | None = None,
    ) -> int:
        """Change attributes of this user's jobs; return how many jobs that was.

        One attribute after the other, each for all jobs. Of a factory, only jobs that have materialised change.

        Parameters
        ----------
        attributes : mapping
            Names, and values as ClassAd expressions: ``{"RequestMemory": "2048"}``.
        jobs, constraint
            Which jobs, as in `act`.
        deadline : float, optional
            Seconds.
        """
        check.attributes(attributes)
        which = check.jobs_or_constraint(jobs, constraint)
        arguments = {
            "at": self._at,
            "attributes": dict(attributes),
            "constraint": which if isinstance(which, str) else check.constraint_of(which),
        }
        return int(self._call("edit", arguments, deadline))

    # -- questions --------------------------------------------------------------------------------------------

    def query(
        self,
        constraint: str,
        projection: Sequence[str] = (),
        *,
        limit: int = -1,
        all_users: bool = False,
        cluster_ads: bool = False,
        deadline: float | None = None,
    ) -> list[dict[str, Any]]:
        """Return jobs of the queue.

        Parameters
        ----------
        constraint : str
            A ClassAd expression; ``"true"`` for all.
        projection : sequence of str, optional
            The attributes wanted; all by default. (HTCondor adds ``ServerTime``.)
        limit : int, optional
            At most so many; -1 for no limit.
        all_users : bool, optional
            Other users' jobs too.
        cluster_ads : bool, optional
            Ads of clusters too; they have no ``ProcId``. A factory has no other before its first job.
        deadline : float, optional
            Seconds.

        Returns
        -------
        list of dict
            Plain values: str, int, float, bool, None (undefined), list, dict; an expression that has no value by
            itself as its text.
        """
        arguments = {
            "at": self._at,
            "constraint": constraint,
            "projection": list(projection),
            "limit": limit,
            "all_users": all_users,
            "cluster_ads": cluster_ads,
        }
        return list(self._call("query", arguments, deadline, again=True))

    def history(
        self,
        constraint: str,
        projection: Sequence[str] = (),
        *,
        limit: int = -1,
        deadline: float | None = None,
    ) -> list[dict[str, Any]]:
        """Return jobs that have left the queue, the last first; parameters and values as in `query`."""
        arguments = {
            "at": self._at,
            "constraint": constraint,
            "projection": list(projection),
            "limit": limit,
            "since": "",
        }
        return list(self._call("history", arguments, deadline, again=True))

    def slots(
        self, constraint: str = "true", projection: Sequence[str] = (), *, deadline: float | None = None
    ) -> list[dict[str, Any]]:
        """Return the slots that the collector knows, values as in `query`."""
        arguments = {
            "collector": self.address.collector,
            "constraint": constraint,
            "projection": list(projection),
        }
        return list(self._call("slots", arguments, deadline, again=True))

    def schedd_ad(self, *, deadline: float | None = None) -> dict[str, Any]:
        """Return the ad of the schedd in use, as the schedd itself gives it."""
        return dict(self._call("schedd_ad", {"at": self._at}, deadline, again=True))

    def ping(self, *, deadline: float | None = None) -> Identity:
        """Return who the schedd takes us for when we ask to change its queue."""
        return Identity(**self._call("ping", {"at": self._at}, deadline, again=True))

    def param(self, *names: str, deadline: float | None = None) -> dict[str, str | None]:
        """Return values of HTCondor's configuration as the child has it; None for what it does not define."""
        return dict(self._call("param", {"names": list(names)}, deadline, again=True))

    def importable(self, names: Sequence[str], *, deadline: float | None = None) -> dict[str, str | None]:
        """Return where a fresh interpreter finds top-level modules; None for those that it does not.

        Fresh: this Python without ``PYTHONPATH``, without the current folder, and without what this process has
        done to ``sys.path``; a job's Python on a shared file system, that is.
        """
        return dict(self._call("importable", {"names": list(names)}, deadline, again=True))

    def events(
        self, path: str | os.PathLike[str], offset: int, *, limit: int = 10_000, deadline: float | None = None
    ) -> EventBatch:
        """Return the events of a job event log after a byte offset, without waiting for any.

        No daemon is asked. An event that is being written is left for the next call.

        Parameters
        ----------
        path : str or path
            The log; `StorageError` when it does not exist.
        offset : int
            0, or the offset of the batch before, of this or of another process.
        limit : int, optional
            At most so many events.
        deadline : float, optional
            Seconds.
        """
        arguments = {"path": os.path.abspath(path), "offset": offset, "limit": limit}
        text, end, damaged = self._call("events", arguments, deadline, again=True)
        if damaged is not None:
            damaged = f"{os.fspath(path)} is damaged: {damaged}"
        return EventBatch(read_events(text), end, damaged)

    # -- one call ---------------------------------------------------------------------------------------------

    def _call(
        self, name: str, arguments: Mapping[str, Any], deadline: float | None, *, again: bool = False
    ) -> Any:
        """Make a call, one that only asks once more when the child was lost (`again`); return its value."""
        seconds = DEADLINES[name] if deadline is None else deadline
        until = time.monotonic() + seconds
        while True:
            try:
                kind, value, log = self._process.call(name, arguments, until=until)
            except ChildTimeoutError as error:
                raise self._late(name, seconds, waiting=error.waiting) from None
            except ChildLostError as error:
                if not again:
                    raise self._lost(name, str(error)) from None
                again = False
            else:
                if kind == "ok":
                    return value
                raise translate.error(kind, value, log, call=name, where=self._where(name))

    def _late(self, call: str, seconds: float, *, waiting: bool) -> errors.DeadlineError:
        if waiting:
            return errors.DeadlineError(
                f"{call}: not begun within {seconds:.3g} s, for other calls to {self._where(call)} were under way."
                " What to do: call again, or give a longer deadline"
            )
        return errors.DeadlineError(
            f"{call}: no answer from {self._where(call)} within {seconds:.3g} s. It may be stopped, overloaded, or"
            " behind a firewall. What to do: see whether it runs (`condormap doctor`), call again, or give a"
            " longer deadline"
        )

    def _lost(self, call: str, stderr: str) -> errors.UnreachableError:
        return errors.UnreachableError(
            f"{call}: condormap's process for calls to HTCondor ended while the call was under way"
            f" ({stderr or 'it was killed'}). What to do: call again, which starts another"
        )

    def _where(self, call: str = "") -> str:
        if call == "events":
            return "the file system"
        if call in ("param", "importable"):
            return "condormap's process for calls to HTCondor"
        name = "the collector" if call == "slots" else f"the schedd {self.address.schedd or ''}".strip()
        found = [
            str(each) for each in (self.address.collector, self.address.config_file, self.address.why) if each
        ]
        return f"{name} ({'; '.join(found) or 'of the configuration'})"


_connected: dict[tuple[object, ...], Condor] = {}


def connect(address: PoolAddress) -> Condor:
    """Return this process's one `Condor` for `address`; its child is started by the first call."""
    key = (address.config_file, address.collector, address.schedd)
    # In one step, so that no lock is needed, which a fork might copy locked.
    return _connected.setdefault(key, Condor(address))
