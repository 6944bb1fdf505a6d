"""`Condor`: what can be asked of one pool's HTCondor, and done with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from condormap.address import PoolAddress
from condormap.condor import check
from condormap.condor.questions import Asking
from condormap.condor.results import Action, ActResult
from condormap.condor.submission import Submitting


class Condor(Submitting, Asking):
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


_connected: dict[tuple[object, ...], Condor] = {}


def connect(address: PoolAddress) -> Condor:
    """Return this process's one `Condor` for `address`; its child is started by the first call."""
    key = (address.config_file, address.collector, address.schedd)
    # In one step, so that no lock is needed, which a fork might copy locked.
    return _connected.setdefault(key, Condor(address))
