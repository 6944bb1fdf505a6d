"""JobCluster: the jobs of one cluster at a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self, overload

from ..condor import connect
from ..errors import CondormapError, InvalidInputError, UnsubmittedJobError
from ..folders.paths import current_folder
from ..jdf.split import Block
from ..jdf.write import jdf_of_ads
from ..pool.choose import choose_pool
from .described import Described
from .ids import parse_id
from .job import Job
from .part import Part
from .queue import find_cluster
from .several import Several
from .state import ClusterState
from .submit import Commands, PoolChoice, blocks_of, is_local, submit_blocks
from .table import html, in_words, jobs_html


class JobCluster(Several[int], Described):
    """The jobs of one cluster, or a selection of them.

    It answers as a `Job` does, with a dict from procs to values, and costs one question however many jobs there
    are; ``c["RequestMemory"]`` is an attribute of all. A value is None for a job that has none.

    ``len(c)`` is their number, those included that a factory has not made yet; ``c[3]`` is the `Job` with the
    proc 3; ``c[1:3]``, ``c[[0, 3]]`` and `select` are clusters narrowed to a selection, on which everything works
    likewise; to iterate gives every `Job`.

    Parameters
    ----------
    commands : mapping or str
        Submit commands, as for `Job`; text may end with a queue statement.
    count : int, optional
        How many jobs; for commands without a queue statement.
    pool, schedd
        Where to submit, as for `Job`.
    """

    def __init__(
        self,
        commands: Commands,
        count: int | None = None,
        *,
        pool: PoolChoice = None,
        schedd: str | None = None,
    ) -> None:
        self._describe(blocks_of(commands, count), pool, schedd)

    def _describe(self, blocks: Sequence[Block], pool: PoolChoice, schedd: str | None) -> None:
        # Of those inside an `if`, HTCondor knows which count.
        if sum(block.depth == 0 for block in blocks) > 1:
            lines = ", ".join(str(block.line) for block in blocks)
            raise InvalidInputError(
                f"{blocks[0].path or 'the text'} has {len(blocks)} queue statements (lines {lines}), and each"
                " makes a cluster of its own: use JobGroup.from_jdf() (JobGroup.from_text() for text)"
            )
        self._blocks: tuple[Block, ...] | None = tuple(blocks)
        self._pool = pool
        self._schedd = schedd
        self._part: Part | None = None

    @classmethod
    def _of(cls, part: Part) -> Self:
        """Return the cluster of a part."""
        cluster = cls.__new__(cls)
        cluster._blocks, cluster._part = None, part
        return cluster

    @classmethod
    def from_queue(
        cls,
        cluster: int | str,
        *,
        pool: PoolChoice = None,
        schedd: str | None = None,
    ) -> Self:
        """Return a cluster that is in the queue, or whose jobs are in the history; anybody's.

        Raises
        ------
        NoSuchJobError
            Neither has it.
        """
        number, proc = parse_id(cluster)
        if proc is not None:
            raise InvalidInputError(
                f"{cluster!r} is one job: use Job.from_queue(), or the cluster's id, {number}"
            )
        return cls._of(Part(find_cluster(connect(choose_pool(pool, schedd)), number)))

    def submit(self) -> int:
        """Submit the jobs; return their cluster.

        Raises
        ------
        InvalidInputError
            They were submitted before, or the description has a mistake; nothing was submitted.
        SubmitRefusedError
            HTCondor did not accept it.
        """
        if self._part is not None or self._blocks is None:
            raise InvalidInputError(
                f"cluster {self.id} is submitted already; for another, make another JobCluster"
            )
        address = choose_pool(self._pool, self._schedd)
        (state,) = submit_blocks(
            connect(address), self._blocks, current_folder(), local=is_local(address), only_one=True
        )
        self._part = Part(state)
        return state.cluster

    # -- what it is ------------------------------------------------------------------------------------------

    @property
    def id(self) -> int:
        """The cluster's id."""
        return self._submitted.state.cluster

    @overload
    def __getitem__(self, which: int) -> Job: ...
    @overload
    def __getitem__(self, which: slice | list[int]) -> Self: ...
    @overload
    def __getitem__(self, which: str) -> dict[int, Any]: ...
    def __getitem__(self, which: int | slice | list[int] | str) -> Job | Self | dict[int, Any]:
        part = self._submitted
        if isinstance(which, str):
            return self._attribute(which)
        if isinstance(which, slice):
            return self._of(Part(part.state, tuple(part.procs[which])))
        if isinstance(which, list):
            return self._of(Part(part.state, tuple(dict.fromkeys(self._proc(each) for each in which))))
        return Job._of(part.state, self._proc(which))

    def _proc(self, which: int) -> int:
        """Return the proc that a number names; negative ones count from the end of a whole cluster."""
        part = self._submitted
        if not isinstance(which, int) or isinstance(which, bool):
            raise InvalidInputError(
                f'a JobCluster has c[3], c[1:3], c[[0, 3]] and c["Attribute"], and nothing for {which!r}'
            )
        proc = which + part.state.n_procs if which < 0 and part.chosen is None else which
        if proc not in part.procs:
            raise IndexError(f"cluster {self.id} has {len(self)} jobs here, and none with the proc {which}")
        return proc

    def to_jdf(self) -> str:
        """Return the jobs as a job description file that condor_submit makes the same jobs of, in one cluster.

        Of a factory, jobs that have not been made yet are missing; a comment in the text tells how many.
        """
        if self._part is None:
            return "".join(block.text for block in self._blocks or ())
        return jdf_of_ads(self._part.whole_ads())

    # -- inside ----------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        if self._part is None:
            text = "".join(block.text for block in self._blocks or ())
            return f"<JobCluster, not submitted: {' '.join(text.split())[:60]}>"
        try:
            told = in_words(self.counts) or "none"
        except CondormapError as error:
            told = f"states unknown, {type(error).__name__}"
        return f"<JobCluster {self.id}: {len(self)} jobs, {told}>"

    def _repr_html_(self) -> str:
        if self._part is None:
            return html(repr(self))
        state = self._part.state
        rows = ((f"{state.cluster}.{proc}", state.record(proc)) for proc in self._part.procs)
        return jobs_html(repr(self).strip("<>"), rows)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, JobCluster) or self._part is None or other._part is None:
            return self is other
        same = self._identity == other._identity
        return same and list(self._part.procs) == list(other._part.procs)

    def __hash__(self) -> int:
        if self._part is None:
            raise TypeError("a JobCluster has no hash before it is submitted, for it has no id")
        return hash(self._identity)

    @property
    def _identity(self) -> tuple[int, int]:
        return id(self._submitted.state.condor), self.id

    @property
    def _submitted(self) -> Part:
        if self._part is None:
            raise UnsubmittedJobError("the cluster has not been submitted: call submit() first")
        return self._part

    def _parts(self) -> Sequence[Part]:
        return (self._submitted,)

    def _key(self, state: ClusterState, proc: int) -> int:
        return proc

    def _narrowed(self, parts: Sequence[Part]) -> Self:
        return self._of(parts[0])
