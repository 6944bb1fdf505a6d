"""JobGroup: several clusters at a prompt, also of several schedds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, overload

from ..condor import Condor, connect
from ..errors import CondormapError, InvalidInputError, UnsubmittedJobError
from ..folders.paths import current_folder
from ..jdf.split import Block
from ..pool.choose import choose_pool
from .cluster import JobCluster
from .described import Described
from .job import Job
from .part import Part
from .several import Several
from .state import ClusterState
from .steering import Steered
from .submit import Commands, PoolChoice, blocks_of, is_local, submit_blocks, with_commands
from .table import html, in_words, jobs_html


class JobGroup(Several[Job], Described):
    """Several clusters, of one schedd or of several, steered together.

    It answers as a `Job` does, with a dict from `Job` to values (two schedds may have the same ids), and costs one
    question to each schedd. ``g.clusters`` are the clusters; ``len(g)`` is the number of all jobs, to iterate
    gives each `Job`, ``g[0]`` is the first of them and ``g[2:5]`` a group of some; ``g["RequestMemory"]`` is an
    attribute of all; ``g | other`` is the union with a group, a cluster or a job.

    Parameters
    ----------
    members : iterable of JobGroup, JobCluster and Job
        What it has, submitted; a job that comes twice is taken once.
    """

    def __init__(self, members: Iterable[Steered] = ()) -> None:
        self._blocks: tuple[Block, ...] | None = None
        self._pool: PoolChoice = None
        self._schedd: str | None = None
        found: dict[tuple[int, int], Part] = {}
        for each in members if isinstance(members, Iterable) else (members,):
            if not isinstance(each, Steered):
                raise InvalidInputError(
                    f"a JobGroup has JobGroups, JobClusters and Jobs, and not a {type(each).__name__}: {each!r}"
                )
            for part in each._parts():
                key = (id(part.state.condor), part.state.cluster)
                found[key] = found[key].union(part) if key in found else part
        self._found = tuple(found.values())

    @classmethod
    def _of(cls, parts: Iterable[Part]) -> Self:
        """Return the group of some parts, of which no two are of the same cluster."""
        group = cls()
        group._found = tuple(part for part in parts if part.procs)
        return group

    def _describe(self, blocks: Sequence[Block], pool: PoolChoice, schedd: str | None) -> None:
        self._blocks, self._pool, self._schedd, self._found = tuple(blocks), pool, schedd, ()

    @classmethod
    def from_data(
        cls,
        base: Commands,
        overrides: Iterable[Mapping[str, object]],
        submit: bool = True,
        *,
        count: int = 1,
        pool: PoolChoice = None,
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
        if isinstance(overrides, Mapping) or not isinstance(overrides, Iterable):
            raise InvalidInputError(
                "overrides are mappings of submit commands, one for each cluster, in a list or another iterable;"
                f" not a {type(overrides).__name__}: {overrides!r}"
            )
        (common,) = blocks_of(base, count)
        text = ", <text>" if common.line else ""
        blocks = [
            with_commands(common, own, f"overrides[{index}]{text}") for index, own in enumerate(overrides)
        ]
        return cls._from_blocks(blocks, submit, pool, schedd)

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
            states = submit_blocks(connect(address), self._blocks, current_folder(), local=is_local(address))
            self._found = tuple(Part(state) for state in states)
        self._blocks = None
        return [part.state.cluster for part in self._found]

    # -- what it is ------------------------------------------------------------------------------------------

    @property
    def clusters(self) -> tuple[JobCluster, ...]:
        """The clusters."""
        return tuple(JobCluster._of(part) for part in self._parts())

    @overload
    def __getitem__(self, which: int) -> Job: ...
    @overload
    def __getitem__(self, which: slice) -> Self: ...
    @overload
    def __getitem__(self, which: str) -> dict[Job, Any]: ...
    def __getitem__(self, which: int | slice | str) -> Job | Self | dict[Job, Any]:
        if isinstance(which, str):
            return self._attribute(which)
        if not isinstance(which, slice | int) or isinstance(which, bool):
            raise InvalidInputError(
                f'a JobGroup has g[3], g[1:3] and g["Attribute"], and nothing for {which!r}; a job by its id is in'
                " one of g.clusters"
            )
        jobs = [(part.state, proc) for part in self._parts() for proc in part.procs]
        if isinstance(which, int):
            try:
                return Job._of(*jobs[which])
            except IndexError:
                raise IndexError(f"the group has {len(jobs)} jobs, and none at {which}") from None
        chosen: dict[ClusterState, list[int]] = {}
        for state, proc in jobs[which]:
            chosen.setdefault(state, []).append(proc)
        return self._of(Part(state, tuple(procs)) for state, procs in chosen.items())

    def union(self, *others: Steered) -> JobGroup:
        """Return the group of all jobs of this one and of others."""
        return JobGroup([self, *others])

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

    def _key(self, state: ClusterState, proc: int) -> Job:
        return Job._of(state, proc)

    def _narrowed(self, parts: Sequence[Part]) -> Self:
        return self._of(parts)


def group_of(
    condor: Condor, clusters: Mapping[int, int], log: Path, on_release: Callable[[], object]
) -> JobGroup:
    """Return the group of all jobs of clusters that somebody else has submitted; nobody is asked.

    Parameters
    ----------
    condor : Condor
        Where they are.
    clusters : mapping of int to int
        Their ids, and how many jobs they have.
    log : Path
        The event log that they share.
    on_release : callable
        Is called when jobs of the group were released or removed.
    """
    parts = []
    for cluster, n_jobs in clusters.items():
        state = ClusterState(condor, cluster, n_jobs)
        state.set_log(log)
        state.on_release = on_release
        parts.append(Part(state))
    return JobGroup._of(parts)
