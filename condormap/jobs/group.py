"""JobGroup: several clusters at a prompt, also of several schedds."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

from ..address import PoolAddress
from ..condor import connect
from ..errors import CondormapError, InvalidInputError, UnsubmittedJobError
from ..jdf.split import Block, parse_jdf, read_jdf
from ..pool.choose import choose_pool
from ..status import JobStatus
from .cluster import JobCluster
from .job import Job
from .state import Part, refresh
from .steering import Steered
from .submit import Commands, blocks_of, is_local, submit_blocks
from .table import html, in_words, jobs_html

if TYPE_CHECKING:
    from ..pool.personal import PersonalPool


class JobGroup(Steered):
    """Several clusters, of one schedd or of several, steered together.

    ``len(g)`` is the number of all jobs, to iterate gives each `Job`, ``g.clusters`` are the clusters, and
    ``a | b`` is the union.

    Parameters
    ----------
    clusters : iterable of JobCluster or JobGroup
        Its clusters, submitted ones; one that comes twice is taken once.
    """

    def __init__(self, clusters: Iterable[JobCluster | JobGroup] = ()) -> None:
        self._blocks: tuple[Block, ...] | None = None
        self._found: tuple[Part, ...] = ()
        self._pool: PersonalPool | PoolAddress | str | None = None
        self._schedd: str | None = None
        parts: dict[tuple[int, int, object], Part] = {}
        for each in clusters:
            if not isinstance(each, JobCluster | JobGroup):
                raise InvalidInputError(
                    f"a JobGroup has JobClusters and JobGroups, not a {type(each).__name__}"
                )
            for part in each._parts():
                parts.setdefault((id(part.state.condor), part.state.cluster, part.chosen), part)
        self._found = tuple(parts.values())

    @classmethod
    def from_data(
        cls,
        base: Commands,
        overrides: Iterable[Mapping[str, object]],
        submit: bool = True,
        *,
        count: int = 1,
        pool: PersonalPool | PoolAddress | str | None = None,
        schedd: str | None = None,
    ) -> Self:
        """Return a cluster for each mapping of submit commands, and submit them, all or none.

        Parameters
        ----------
        base : mapping or str
            The submit commands that all have, as for `Job`.
        overrides : iterable of mappings
            For each cluster the commands that are its own; they take the place of the base's.
        submit : bool
            False holds back, until ``submit()`` is called.
        count : int
            How many jobs each cluster has.
        pool, schedd
            Where to submit, as for `Job`.
        """
        common = "".join(line.text for line in blocks_of(base, count)[0].commands)
        blocks = []
        for own in overrides:
            if not isinstance(own, Mapping):
                raise InvalidInputError(
                    f"overrides are mappings of submit commands, not a {type(own).__name__}"
                )
            text = "".join(line.text for line in blocks_of(own, count)[0].commands)
            blocks += parse_jdf(f"{common}{text}queue {count}\n")
        return cls._from_blocks(blocks, submit, pool, schedd)

    @classmethod
    def from_jdf(
        cls,
        path: str | os.PathLike[str],
        submit: bool = True,
        *,
        pool: PersonalPool | PoolAddress | str | None = None,
        schedd: str | None = None,
        **overrides: object,
    ) -> Self:
        """Return a cluster for each queue statement of a job description file, and submit them, all or none.

        Parameters and errors are those of `JobCluster.from_jdf`.
        """
        return cls._from_blocks(read_jdf(path, **overrides), submit, pool, schedd)

    @classmethod
    def from_text(
        cls,
        text: str,
        submit: bool = True,
        *,
        pool: PersonalPool | PoolAddress | str | None = None,
        schedd: str | None = None,
        **overrides: object,
    ) -> Self:
        """Return a cluster for each queue statement of a string; else as `from_jdf`."""
        return cls._from_blocks(parse_jdf(text, path=None, **overrides), submit, pool, schedd)

    @classmethod
    def _from_blocks(
        cls,
        blocks: Iterable[Block],
        submit: bool,
        pool: PersonalPool | PoolAddress | str | None,
        schedd: str | None,
    ) -> Self:
        group = cls()
        group._blocks, group._pool, group._schedd = tuple(blocks), pool, schedd
        if submit:
            group.submit()
        return group

    def submit(self) -> list[int]:
        """Submit the clusters, all or none; return their ids.

        Raises
        ------
        InvalidInputError
            They were submitted before, or a description has a mistake; nothing was submitted.
        SubmitRefusedError
            HTCondor did not accept one of them; those before it were removed again.
        """
        if self._blocks is None:
            raise InvalidInputError("the group is submitted already; for another, make another JobGroup")
        if self._blocks:
            address = choose_pool(self._pool, self._schedd)
            states = submit_blocks(connect(address), self._blocks, Path.cwd(), local=is_local(address))
            self._found = tuple(Part(state) for state in states)
        self._blocks = None
        return [part.state.cluster for part in self._found]

    # -- what it is ------------------------------------------------------------------------------------------

    @property
    def clusters(self) -> tuple[JobCluster, ...]:
        """The clusters."""
        return tuple(JobCluster._of(part) for part in self._parts())

    @property
    def status(self) -> dict[Job, JobStatus]:
        """The state of every job, now: one question to each schedd, none to one where all have ended.

        By `Job`, and not by id, for two schedds may have the same ids.
        """
        parts = self._parts()
        refresh(parts)
        return {
            Job._of(part.state, proc): part.state.record(proc).status for part in parts for proc in part.procs
        }

    def __len__(self) -> int:
        return sum(len(part.procs) for part in self._parts())

    def __iter__(self) -> Iterator[Job]:
        return (Job._of(part.state, proc) for part in self._parts() for proc in part.procs)

    def __or__(self, other: JobGroup | JobCluster) -> JobGroup:
        if not isinstance(other, JobCluster | JobGroup):
            return NotImplemented
        return JobGroup([self, other])

    def union(self, *others: JobGroup | JobCluster) -> JobGroup:
        """Return the group of all clusters of this one and of others."""
        return JobGroup([self, *others])

    def select(self, status: JobStatus | Sequence[JobStatus]) -> JobGroup:
        """Return the jobs that are in a state now: ``g.select(JobStatus.HELD).release()``."""
        refresh(self._parts())
        return JobGroup([cluster.select(status) for cluster in self.clusters])

    # -- inside ----------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        if self._blocks is not None:
            return f"<JobGroup of {len(self._blocks)} clusters, not submitted>"
        try:
            told = in_words(self.counts)
        except CondormapError as error:
            told = f"states unknown, {type(error).__name__}"
        return f"<JobGroup of {len(self._found)} clusters: {len(self)} jobs{f', {told}' if told else ''}>"

    def _repr_html_(self) -> str:
        if self._blocks is not None:
            return html(repr(self))
        rows = (
            (f"{part.state.cluster}.{proc}", part.state.record(proc))
            for part in self._found
            for proc in part.procs
        )
        return jobs_html(repr(self).strip("<>"), rows)

    def _parts(self) -> Sequence[Part]:
        if self._blocks is not None:
            raise UnsubmittedJobError("the group has not been submitted: call submit() first")
        return self._found

    def _key(self, part: Part, proc: int) -> Hashable:
        return Job._of(part.state, proc)
