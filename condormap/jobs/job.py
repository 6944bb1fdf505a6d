"""Job: one job at a prompt."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from ..address import PoolAddress
from ..condor import Action, connect
from ..errors import InvalidInputError, UnsubmittedJobError
from ..jdf.write import jdf_of_ads
from ..pool.choose import choose_pool
from ..status import JobStatus
from .actions import ActionResult
from .ad import AdReader, JobAd
from .explain import explain
from .log import JobEvent, job_events, job_text
from .output import Following, log_path, output_text
from .record import JobRecord
from .state import ClusterState, Part, find_cluster, refresh
from .steering import Steered
from .submit import Commands, blocks_of, is_local, submit_blocks
from .table import html, job_html

if TYPE_CHECKING:
    from ..pool.personal import PersonalPool


class Job(Steered):
    """One HTCondor job: described here, then submitted; or taken from the queue or the history.

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
        pool: PersonalPool | PoolAddress | str | None = None,
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
        self._ads: AdReader | None = None

    @classmethod
    def _of(cls, state: ClusterState, proc: int) -> Self:
        """Return the job `proc` of a cluster."""
        job = cls.__new__(cls)
        job._state, job._proc, job._ads = state, proc, None
        return job

    @classmethod
    def from_queue(
        cls,
        id: str | int | tuple[int, int],
        *,
        pool: PersonalPool | PoolAddress | str | None = None,
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
        pool: PersonalPool | PoolAddress | str | None = None,
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
        values = JobAd({str(name): _plain(ad[name]) for name in ad})
        cluster, proc = values.get("ClusterId"), values.get("ProcId")
        if not isinstance(cluster, int) or not isinstance(proc, int):
            raise InvalidInputError(
                "the ad is no job's: it has no ClusterId and ProcId. For a new job: Job({...})"
            )
        state = ClusterState(connect(choose_pool(pool, schedd)), cluster)
        if isinstance(values.get("JobStatus"), int):
            state.take_ad({**values, "ProcId": proc})
        job = cls._of(state, proc)
        job._reader.give(values)
        return job

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
        (self._state,) = submit_blocks(connect(address), [self._block], Path.cwd(), local=is_local(address))
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
        """All attributes, at most a second old; after the job has left the queue, those of the history."""
        return self._reader.read()

    def refresh(self) -> JobAd:
        """Ask for the ad now, however new the last one is."""
        self._reader.refresh()
        return self._reader.read()

    def __getitem__(self, attribute: str) -> Any:
        return self.ad[attribute]

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
        record = self._now()
        return record.hold_in_words() if record.status is JobStatus.HELD else None

    @property
    def remove_reason(self) -> str | None:
        """Why it was removed, and by whom; None for one that was not."""
        record = self._now()
        return record.reason if record.status is JobStatus.REMOVED else None

    @property
    def host(self) -> str:
        """The slot that it runs on, or ran on last; empty before it ran."""
        return self._now().host

    def explain(self) -> str:
        """Return in sentences why the job is in its state; of an idle one, why it is not running.

        The requirements are tried clause by clause on the pool's slots, by HTCondor's own evaluator; the rest is
        what the schedd and the negotiator have noted in their ads.
        """
        record = self._now()
        return explain(self._cluster, self._proc, record)

    # -- what it wrote ---------------------------------------------------------------------------------------

    def stdout(self) -> str:
        """Return what it has written to its standard output, as far as that is here.

        Files that are transferred come at the end of the job; before, there is nothing.

        Raises
        ------
        StorageError
            The job has ended, and the file is not here or cannot be read.
        """
        return output_text(self.ad, "Out", ended=self._now().ended)

    def stderr(self) -> str:
        """Return what it has written to its standard error; see `stdout`."""
        return output_text(self.ad, "Err", ended=self._now().ended)

    def log(self) -> str:
        """Return what its event log says of it, word for word.

        Raises
        ------
        StorageError
            It has no log that can be read here.
        """
        return job_text(self._log_path(), self._cluster.cluster, self._proc)

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
        more = Following(self._now, timeout) if follow else lambda: False
        return job_events(
            self._cluster.condor, self._log_path(), self._cluster.cluster, self._proc, more=more
        )

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
        return job_html(self.id, self._now())

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

    def _key(self, part: Part, proc: int) -> Hashable:
        return proc

    def _act(self, action: Action, reason: str) -> ActionResult:
        result = super()._act(action, reason)
        self._reader.expire()
        return result

    def edit(self, *, expressions: Mapping[str, str] | None = None, **values: Any) -> ActionResult:
        """Change attributes of the job's ad, see `JobCluster.edit`."""
        result = super().edit(expressions=expressions, **values)
        self._reader.expire()
        return result

    def _log_path(self) -> Path:
        log = self._cluster.log
        if log is not None and self._cluster.record(self._proc).in_log:
            return log.path
        return log_path(self.ad)

    def _now(self) -> JobRecord:
        """Return what is known about the job, now."""
        refresh(self._parts())
        return self._cluster.record(self._proc)

    @property
    def _reader(self) -> AdReader:
        if self._ads is None:
            self._ads = AdReader(self._cluster, self._proc)
        return self._ads


def parse_id(id: str | int | tuple[int, int]) -> tuple[int, int | None]:
    """Return the cluster and the proc that an id names; no proc for a cluster's id."""
    if isinstance(id, str) and (match := re.fullmatch(r"\s*(\d+)(?:\.(\d+))?\s*", id)):
        return int(match[1]), None if match[2] is None else int(match[2])
    if isinstance(id, int) and not isinstance(id, bool) and id >= 0:
        return id, None
    if isinstance(id, tuple) and len(id) == 2 and all(isinstance(each, int) and each >= 0 for each in id):
        return id
    raise InvalidInputError(f'a job\'s id is "78.0", (78, 0), or 78, and not {id!r}')


def _plain(value: Any) -> Any:
    """Return a value of a ClassAd as the seam gives it; without the bindings, which are not loaded here."""
    if value is None or type(value) in (str, int, float, bool, list, dict):
        return value
    text = str(value)
    return None if text in ("Undefined", "undefined", "Value.Undefined") else text
