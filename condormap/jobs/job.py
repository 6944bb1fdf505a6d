"""Job: one job at a prompt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self, TypeVar

from ..condor import connect
from ..errors import CondormapError, InvalidInputError, UnsubmittedJobError
from ..jdf.write import jdf_of_ads
from ..paths import current_folder
from ..pool.choose import choose_pool
from ..status import JobStatus
from ..times import deadline
from .ad import JobAd, KeptAd, plain_ad
from .explain import explain
from .following import Following
from .ids import parse_id
from .log import JobEvent, job_events
from .output import log_readers, logs, outputs
from .part import JobKey, Part
from .queue import find_cluster, refresh
from .reading import read_ads
from .record import JobRecord
from .state import ClusterState
from .steering import Steered
from .submit import Commands, PoolChoice, blocks_of, is_local, submit_blocks
from .table import html, job_html

T = TypeVar("T")


class Job(Steered):
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

    @property
    def status(self) -> JobStatus:
        """The state, now: the schedd is asked, unless the job has ended. One that got lost is ``REMOVED``."""
        return self._now().status

    @property
    def ad(self) -> JobAd:
        """All attributes, at most a second old; after the job has left the queue, those of the history.

        Raises
        ------
        NoSuchJobError
            Neither has it, and nobody has seen its ad before.
        """
        return self._only(read_ads(self._parts()))

    def refresh(self) -> JobAd:
        """Ask for the ad now, however new the last one is."""
        return self._only(read_ads(self._parts(), now=True))

    def __getitem__(self, attribute: str) -> Any:
        return self.ad[attribute]

    def __contains__(self, attribute: object) -> bool:
        return attribute in self.ad

    def __iter__(self) -> Iterator[str]:
        return iter(self.ad)

    def keys(self) -> list[str]:
        """Return the names of all attributes."""
        return list(self.ad)

    def get(self, attribute: str, default: Any = None) -> Any:
        """Return an attribute, or `default` where the ad does not have it."""
        return self.ad.get(attribute, default)

    @property
    def exit_code(self) -> int | None:
        """The exit code; None while it has none, and for a job that a signal or a removal ended."""
        return self._now().exit_code

    @property
    def exit_signal(self) -> int | None:
        """The signal that ended it; None where none did."""
        return self._now().signal

    @property
    def hold_reason(self) -> str | None:
        """Why it is on hold: what the codes mean, the codes, HTCondor's reason; None for one that is not."""
        return self._now().hold_reason

    @property
    def remove_reason(self) -> str | None:
        """Why it was removed, and by whom; None for one that was not."""
        return self._now().remove_reason

    @property
    def host(self) -> str:
        """The slot that it runs on, or ran on last; empty before it ran."""
        return self._now().host

    def explain(self) -> str:
        """Return in sentences why the job is in its state; of an idle one, why it is not running.

        The requirements are tried clause by clause on the pool's slots, by HTCondor's own evaluator; the rest is
        what the schedd and the negotiator have noted in their ads.
        """
        refresh(self._parts())
        return self._only(explain(self._parts()))

    # -- what it wrote ---------------------------------------------------------------------------------------

    def stdout(self) -> str:
        """Return what it has written to its standard output, as far as that is here.

        Files that are transferred come at the end of the job; before, there is nothing.

        Raises
        ------
        StorageError
            The job has ended, and the file is not here or cannot be read.
        """
        return self._only(outputs(self._parts(), "Out"))

    def stderr(self) -> str:
        """Return what it has written to its standard error; see `stdout`."""
        return self._only(outputs(self._parts(), "Err"))

    def log(self) -> str:
        """Return what its event log says of it, word for word.

        Raises
        ------
        StorageError
            It has no log that can be read here.
        """
        return self._only(logs(self._parts()))

    def events(self, *, follow: bool = False, timeout: float | None = None) -> Iterator[JobEvent]:
        """Return its history by its event log.

        Parameters
        ----------
        follow : bool
            Go on with what comes, until the job has ended.
        timeout : float or None
            Seconds to follow at most.

        Raises
        ------
        StorageError
            It has no log that can be read here.
        """
        parts = self._parts()
        more = Following(parts, deadline(timeout))
        return job_events(log_readers(parts), more if follow else lambda: False)

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

    def _parts(self) -> Sequence[Part]:
        return (Part(self._cluster, (self._proc,)),)

    def _key(self, state: ClusterState, proc: int) -> int:
        return proc

    def _only(self, found: Mapping[JobKey, T | CondormapError]) -> T:
        """Return the answer about this job, or raise why there is none."""
        answer = found[self._cluster, self._proc]
        if isinstance(answer, CondormapError):
            raise answer
        return answer

    def _now(self) -> JobRecord:
        """Return what is known about the job, now."""
        refresh(self._parts())
        return self._cluster.record(self._proc)
