"""Job: one job at a prompt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from ..condor import connect
from ..errors import CondormapError, InvalidInputError, UnsubmittedJobError
from ..folders.paths import current_folder
from ..jdf.write import jdf_of_ads
from ..pool.choose import choose_pool
from .ad import KeptAd, plain_ad
from .ids import parse_id
from .one import One
from .queue import find_cluster
from .state import ClusterState
from .submit import Commands, PoolChoice, blocks_of, is_local, submit_blocks
from .table import html, job_html


class Job(One):
    """One HTCondor job: described here, then submitted; or taken from the queue or the history.

    ``job["Cmd"]`` is an attribute of its ad; ``"Cmd" in job``, ``list(job)``, ``dict(job)`` and `get` work as with
    a mapping.

    Parameters
    ----------
    commands : mapping or str
        Submit commands: ``{"executable": "/bin/sleep", "arguments": "60"}``, or text as in a submit file. Values
        are in the submit language, so ``$(ClusterId)`` stands for the number. Relative paths are relative to the
        current folder at the time of `submit`.
    pool : PersonalPool, PoolAddress or str, optional
        Where to submit; see `condormap.pool.choose`.
    schedd : str, optional
        The schedd's name, where it is not the pool's (or this machine's) own.

    Raises
    ------
    InvalidInputError
        Commands that are none, or that make several jobs.
    """

    def __init__(
        self,
        commands: Commands,
        *,
        pool: PoolChoice = None,
        schedd: str | None = None,
    ) -> None:
        blocks = blocks_of(commands)
        if len(blocks) != 1 or blocks[0].queue.split()[1:] not in ([], ["1"]):
            raise InvalidInputError(
                "the queue statement of these submit commands is not just `queue`, and a Job is one job: use"
                " JobCluster.from_text()"
            )
        self._block = blocks[0]
        self._pool = pool
        self._schedd = schedd
        self._state: ClusterState | None = None
        self._proc = 0

    @classmethod
    def _of(cls, state: ClusterState, proc: int) -> Self:
        """Return the job `proc` of a cluster."""
        job = cls.__new__(cls)
        job._state, job._proc = state, proc
        return job

    @classmethod
    def from_queue(
        cls,
        id: str | int | tuple[int, int],
        *,
        pool: PoolChoice = None,
        schedd: str | None = None,
    ) -> Self:
        """Return a job that is in the queue, or that has left it and is in the history; anybody's.

        Parameters
        ----------
        id : str, int or (int, int)
            ``"78.0"``, ``(78, 0)``; or ``78`` for the one job of that cluster.
        pool, schedd
            Where it is, as for `Job`.

        Raises
        ------
        NoSuchJobError
            Neither has it.
        """
        cluster, proc = parse_id(id)
        state = find_cluster(connect(choose_pool(pool, schedd)), cluster, proc)
        if proc is None and state.n_procs != 1:
            raise InvalidInputError(
                f"cluster {cluster} has {state.n_procs} jobs: say which, as in ({cluster}, 0), or take"
                f" JobCluster.from_queue({cluster})"
            )
        return cls._of(state, proc or 0)

    @classmethod
    def from_ad(
        cls,
        ad: Mapping[str, Any],
        *,
        pool: PoolChoice = None,
        schedd: str | None = None,
    ) -> Self:
        """Return the job that a ClassAd describes, as a query gives it. Nobody is asked.

        Parameters
        ----------
        ad : mapping
            A ClassAd or a dict; it needs ``ClusterId`` and ``ProcId``.
        pool, schedd
            Where the job is, as for `Job`.
        """
        values = plain_ad(ad)
        cluster, proc = values.get("ClusterId"), values.get("ProcId")
        if type(cluster) is not int or type(proc) is not int:
            raise InvalidInputError(
                "the ad is no job's: it has no ClusterId and ProcId. For a new job: Job({...})"
            )
        state = ClusterState(connect(choose_pool(pool, schedd)), cluster)
        if isinstance(values.get("JobStatus"), int):
            state.take_ad({**values, "ProcId": proc})
        state.ads[proc] = KeptAd(values, 0.0)
        return cls._of(state, proc)

    def submit(self) -> int:
        """Submit the job; return its cluster.

        Raises
        ------
        InvalidInputError
            It was submitted before, or the description has a mistake (an executable that is not there...).
        SubmitRefusedError
            HTCondor did not accept it.
        """
        if self._state is not None:
            raise InvalidInputError(f"job {self.id} is submitted already; for another, make another Job")
        address = choose_pool(self._pool, self._schedd)
        (self._state,) = submit_blocks(
            connect(address), [self._block], current_folder(), local=is_local(address)
        )
        return self._state.cluster

    # -- what it is ------------------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The job's id, ``"78.0"``."""
        return f"{self._cluster.cluster}.{self._proc}"

    def to_jdf(self) -> str:
        """Return the job as a job description file that condor_submit makes the same job of."""
        return self._block.text if self._state is None else jdf_of_ads(self._parts()[0].whole_ads())

    # -- inside ----------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        if self._state is None:
            return f"<Job, not submitted: {' '.join(self._block.text.split())[:60]}>"
        return f"<Job {self.id}>"

    def _repr_html_(self) -> str:
        if self._state is None:
            return html(repr(self))
        try:
            self._now()
        except CondormapError as error:
            return html(f"{self!r}: state unknown, {type(error).__name__}")
        return job_html(self.id, self._cluster.record(self._proc))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Job) or self._state is None or other._state is None:
            return self is other
        return self._identity == other._identity

    def __hash__(self) -> int:
        if self._state is None:
            raise TypeError("a Job has no hash before it is submitted, for it has no id")
        return hash(self._identity)

    @property
    def _identity(self) -> tuple[int, int, int]:
        return id(self._cluster.condor), self._cluster.cluster, self._proc

    @property
    def _cluster(self) -> ClusterState:
        if self._state is None:
            raise UnsubmittedJobError("the job has not been submitted: call submit() first")
        return self._state
