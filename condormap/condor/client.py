"""`Condor`: what can be asked of one pool's HTCondor, and done with it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from condormap.address import PoolAddress
from condormap.condor import check, submission
from condormap.condor.calls import Calls
from condormap.condor.results import (
    LATER,
    Action,
    ActResult,
    EventBatch,
    Expansion,
    Fit,
    Identity,
    Match,
    Submitted,
    read_events,
)


class Condor:
    """One pool's HTCondor, through a child process that the first call starts; get one from `connect`.

    Calls may come from several threads; they are made one at a time, and waiting for its turn counts towards a
    call's deadline. In a forked process the object works on, with a child of its own.

    Every call takes `deadline`, in seconds; without it, `calls.DEADLINES`. A call raises

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
        self._calls = Calls(address)

    def __repr__(self) -> str:
        return f"Condor({self.address!r})"

    @property
    def pid(self) -> int | None:
        """The child's process id, or None while there is no child."""
        return self._calls.process.pid

    def start(self) -> None:
        """Start the child without waiting for it, so that its imports overlap with the caller's work."""
        self._calls.start()

    def close(self) -> None:
        """End the child. A later call starts another."""
        self._calls.process.close()

    # -- jobs -------------------------------------------------------------------------------------------------

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
        return submission.submit(self._calls, description, rows, count, submission_id, deadline, lock)

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
        return submission.submit_block(
            self._calls, text, os.path.abspath(folder), n_jobs, submission_id, deadline
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
        return submission.find(self._calls, submission_id, since=since, deadline=deadline)

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
        which = check.jobs_or_constraint(jobs, constraint)
        reason = reason or f"{action.value} by condormap"
        return ActResult(self._calls.change("act", deadline, action=action.value, jobs=which, reason=reason))

    def edit(
        self,
        attributes: Mapping[str, str],
        *,
        jobs: Sequence[str] | None = None,
        constraint: str | None = None,
        cluster_ads: bool = False,
        deadline: float | None = None,
    ) -> int:
        """Change attributes of this user's jobs; return how many jobs that was.

        One attribute after the other, each for all jobs.

        Parameters
        ----------
        attributes : mapping
            Names, and values as ClassAd expressions: ``{"RequestMemory": "2048"}``.
        jobs, constraint
            Which jobs, as in `act`.
        cluster_ads : bool, optional
            Change the clusters' own ads too, from which a factory makes its later jobs: without it, only jobs
            that have materialised change.
        deadline : float, optional
            Seconds.
        """
        check.attributes(attributes)
        which = check.jobs_or_constraint(jobs, constraint)
        clause = which if isinstance(which, str) else check.constraint_of(which)
        return int(
            self._calls.change(
                "edit", deadline, attributes=dict(attributes), constraint=clause, cluster_ads=cluster_ads
            )
        )

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
        return list(
            self._calls.ask(
                "query",
                deadline,
                constraint=constraint,
                projection=list(projection),
                limit=limit,
                all_users=all_users,
                cluster_ads=cluster_ads,
            )
        )

    def history(
        self,
        constraint: str,
        projection: Sequence[str] = (),
        *,
        limit: int = -1,
        deadline: float | None = None,
    ) -> list[dict[str, Any]]:
        """Return jobs that have left the queue, the last first; parameters and values as in `query`."""
        attributes = list(projection)
        return list(
            self._calls.ask(
                "history", deadline, constraint=constraint, projection=attributes, limit=limit, since=""
            )
        )

    def query_text(self, constraint: str, *, deadline: float | None = None) -> list[dict[str, str]]:
        """Return whole ads of any user's jobs, of the queue, or if it has none, of the history.

        The values are expressions of the submit language, which `query` does not tell from text: ``'"text"'``,
        ``'2 * RequestCpus'``.
        """
        return list(self._calls.ask("query_text", deadline, constraint=constraint))

    def slots(
        self, constraint: str = "true", projection: Sequence[str] = (), *, deadline: float | None = None
    ) -> list[dict[str, Any]]:
        """Return the slots that the collector knows, values as in `query`."""
        collector, attributes = self.address.collector, list(projection)
        return list(
            self._calls.local(
                "slots", deadline, collector=collector, constraint=constraint, projection=attributes
            )
        )

    def analyse(self, constraint: str, *, deadline: float | None = None) -> dict[tuple[int, int], Match]:
        """Return how the requirements of jobs in the queue and those of the slots meet, by cluster and proc.

        Parameters
        ----------
        constraint : str
            A ClassAd expression that is true of the jobs, anybody's. Jobs that match alike are analysed once.
        deadline : float, optional
            Seconds.
        """
        answer = self._calls.ask("analyse", deadline, collector=self.address.collector, constraint=constraint)
        found = [Match(**match) for match in answer["matches"]]
        return {job: found[index] for job, index in answer["jobs"].items()}

    def fit(self, request: Mapping[str, str], *, deadline: float | None = None) -> Fit:
        """Return how the pool's slots fit a job that is not in the queue.

        Parameters
        ----------
        request : mapping of str to str
            The job's attributes, as ClassAd expressions; ``Requirements`` has to be among them.
        deadline : float, optional
            Seconds.
        """
        answer = self._calls.local("fit", deadline, collector=self.address.collector, request=dict(request))
        return Fit(**answer)

    def schedd_ad(self, *, deadline: float | None = None) -> dict[str, Any]:
        """Return the ad of the schedd in use, as the schedd itself gives it."""
        return dict(self._calls.ask("schedd_ad", deadline))

    def ping(self, *, deadline: float | None = None) -> Identity:
        """Return who the schedd takes us for when we ask to change its queue."""
        return Identity(**self._calls.ask("ping", deadline))

    def param(self, *names: str, deadline: float | None = None) -> dict[str, str | None]:
        """Return values of HTCondor's configuration as the child has it; None for what it does not define."""
        return dict(self._calls.local("param", deadline, names=list(names)))

    def importable(self, names: Sequence[str], *, deadline: float | None = None) -> dict[str, str | None]:
        """Return where a fresh interpreter finds top-level modules; None for those that it does not.

        Fresh: this Python without ``PYTHONPATH``, without the current folder, and without what this process has
        done to ``sys.path``; a job's Python on a shared file system, that is.
        """
        return dict(self._calls.local("importable", deadline, names=list(names)))

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
        text, end, damaged = self._calls.local(
            "events", deadline, path=os.path.abspath(path), offset=offset, limit=limit
        )
        if damaged is not None:
            damaged = f"{os.fspath(path)} is damaged: {damaged}"
        return EventBatch(read_events(text), end, damaged)


_connected: dict[tuple[object, ...], Condor] = {}


def connect(address: PoolAddress) -> Condor:
    """Return this process's one `Condor` for `address`; its child is started by the first call."""
    key = (address.config_file, address.collector, address.schedd)
    # In one step, so that no lock is needed, which a fork might copy locked.
    return _connected.setdefault(key, Condor(address))
