"""What a cluster and a group of clusters have in common: all that a Job has, for every job at once."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Generic, Self, TypeVar

from ..errors import CondormapError, InvalidInputError
from ..status import JobStatus
from ..times import deadline
from .ad import JobAd
from .explain import explain
from .following import Following
from .job import Job
from .log import JobEvent, job_events
from .output import log_readers, logs, outputs
from .part import JobKey, Part
from .queue import refresh
from .reading import read_ads
from .record import JobRecord
from .state import ClusterState
from .steering import Steered

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Several(Steered, Generic[K]):
    """Jobs, each answer about which is a dict: by proc for a `JobCluster`, by `Job` for a `JobGroup`.

    An answer costs one question to each schedd, however many jobs there are, and none where all have ended. A
    value is None for a job that has none; texts and ads of which no job has any are an error.
    """

    @abstractmethod
    def _key(self, state: ClusterState, proc: int) -> K:
        """Return what names a job in an answer."""

    @abstractmethod
    def _narrowed(self, parts: Sequence[Part]) -> Self:
        """Return the same with these jobs only."""

    # -- what they are ---------------------------------------------------------------------------------------

    @property
    def status(self) -> dict[K, JobStatus]:
        """The state of every job, now. One that got lost is ``REMOVED``."""
        return self._each(lambda record: record.status)

    @property
    def exit_code(self) -> dict[K, int | None]:
        """The exit codes; see `Job.exit_code`."""
        return self._each(lambda record: record.exit_code)

    @property
    def exit_signal(self) -> dict[K, int | None]:
        """The signals that ended the jobs; see `Job.exit_signal`."""
        return self._each(lambda record: record.signal)

    @property
    def hold_reason(self) -> dict[K, str | None]:
        """Why they are on hold; see `Job.hold_reason`."""
        return self._each(lambda record: record.hold_reason)

    @property
    def remove_reason(self) -> dict[K, str | None]:
        """Why they were removed, and by whom; see `Job.remove_reason`."""
        return self._each(lambda record: record.remove_reason)

    @property
    def host(self) -> dict[K, str]:
        """The slots that they run on, or ran on last; see `Job.host`."""
        return self._each(lambda record: record.host)

    @property
    def ad(self) -> dict[K, JobAd | None]:
        """All attributes, see `Job.ad`. For one attribute of many jobs, ``c["RequestMemory"]`` is faster."""
        return self._named(read_ads(self._parts()))

    def refresh(self) -> dict[K, JobAd | None]:
        """Ask for the ads now, however new the last ones are."""
        return self._named(read_ads(self._parts(), now=True))

    def explain(self) -> dict[K, str]:
        """Return in sentences why each job is in its state; see `Job.explain`."""
        parts = self._parts()
        refresh(parts)
        return {self._key(state, proc): text for (state, proc), text in explain(parts).items()}

    # -- what they wrote -------------------------------------------------------------------------------------

    def stdout(self) -> dict[K, str | None]:
        """Return what they have written to their standard outputs, as far as that is here; see `Job.stdout`."""
        return self._named(outputs(self._parts(), "Out"))

    def stderr(self) -> dict[K, str | None]:
        """Return what they have written to their standard errors; see `Job.stderr`."""
        return self._named(outputs(self._parts(), "Err"))

    def log(self) -> dict[K, str | None]:
        """Return what the event logs say of each job, word for word; see `Job.log`."""
        return self._named(logs(self._parts()))

    def events(self, *, follow: bool = False, timeout: float | None = None) -> Iterator[JobEvent]:
        """Return the history of all jobs by their event logs, in one sequence; see `Job.events`."""
        parts = self._parts()
        more = Following(parts, deadline(timeout))
        return job_events(log_readers(parts), more if follow else lambda: False)

    # -- which they are --------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return sum(len(part.procs) for part in self._parts())

    def __iter__(self) -> Iterator[Job]:
        return (Job._of(part.state, proc) for part in self._parts() for proc in part.procs)

    def select(
        self,
        status: JobStatus | Iterable[JobStatus] | None = None,
        where: Callable[[Job], bool] | None = None,
    ) -> Self:
        """Return the jobs that are in a state now, or that fulfil a condition: ``c.select(JobStatus.HELD)``.

        Parameters
        ----------
        status : JobStatus or several of them, optional
            The states.
        where : callable, optional
            Takes a `Job`, returns whether it is chosen. All ads are read before, with one question.
        """
        wanted = None if status is None else _states(status)
        if where is not None and not callable(where):
            raise InvalidInputError(
                f"where is a function of a Job, and not a {type(where).__name__}: {where!r}"
            )
        parts = self._parts()
        refresh(parts)
        if wanted is not None:
            parts = [
                part.without({proc for proc in part.procs if part.state.record(proc).status not in wanted})
                for part in parts
            ]
        if where is not None:
            parts = _fulfilling(parts, where)
        return self._narrowed(parts)

    def _attribute(self, name: str) -> dict[K, Any]:
        """Return one attribute of every job's ad; None for jobs that do not have it."""
        found: dict[JobKey, JobAd] = {}
        if re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
            ads = read_ads(self._parts(), (name,))
            found = {key: ad for key, ad in ads.items() if isinstance(ad, JobAd) and name in ad}
        if not found:
            raise KeyError(f"no job here has the attribute {name}")
        return {
            self._key(part.state, proc): found[part.state, proc][name]
            if (part.state, proc) in found
            else None
            for part in self._parts()
            for proc in part.procs
        }

    # -- inside ----------------------------------------------------------------------------------------------

    def _each(self, value: Callable[[JobRecord], T]) -> dict[K, T]:
        """Return a value of what is known about each job, now."""
        parts = self._parts()
        refresh(parts)
        return {
            self._key(part.state, proc): value(part.state.record(proc))
            for part in parts
            for proc in part.procs
        }

    def _named(self, found: Mapping[JobKey, T | CondormapError]) -> dict[K, T | None]:
        """Return an answer with None in the place of errors; when there is nothing else, raise the first."""
        errors = [each for each in found.values() if isinstance(each, CondormapError)]
        if errors and len(errors) == len(found):
            raise errors[0]
        return {
            self._key(state, proc): None if isinstance(each, CondormapError) else each
            for (state, proc), each in found.items()
        }


def _states(status: JobStatus | Iterable[JobStatus]) -> set[JobStatus]:
    # Bare numbers are refused: they look like procs, and what is selected may be removed.
    wanted = [status] if isinstance(status, JobStatus) or not isinstance(status, Iterable) else list(status)
    if isinstance(status, str) or not all(isinstance(each, JobStatus) for each in wanted):
        raise InvalidInputError(
            f"status is a JobStatus or several of them (JobStatus.HELD), not {status!r}; jobs by their numbers are"
            " c[3], c[1:3], c[[0, 3]]"
        )
    return set(wanted)


def _fulfilling(parts: Sequence[Part], where: Callable[[Job], bool]) -> list[Part]:
    """Return the jobs that fulfil a condition; what was just read answers for all of them."""
    read_ads(parts)
    chosen = []
    states = {part.state for part in parts}
    for state in states:
        state.still = True
    try:
        for part in parts:
            chosen.append(part.without({proc for proc in part.procs if not where(Job._of(part.state, proc))}))
    finally:
        for state in states:
            state.still = False
    return chosen
