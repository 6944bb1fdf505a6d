"""JobCluster: the jobs of one cluster at a prompt."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self, overload

from ..address import PoolAddress
from ..condor import connect
from ..errors import CondormapError, InvalidInputError, UnsubmittedJobError
from ..jdf.split import Block, parse_jdf, read_jdf
from ..jdf.write import jdf_of_ads
from ..pool.choose import choose_pool
from ..status import JobStatus
from .job import Job, parse_id
from .state import Part, find_cluster, refresh
from .steering import Steered
from .submit import Commands, blocks_of, is_local, submit_blocks
from .table import html, in_words, jobs_html

if TYPE_CHECKING:
    from ..pool.personal import PersonalPool


class JobCluster(Steered):
    """The jobs of one cluster, or a selection of them.

    ``len(c)`` is their number, those included that a factory has not made yet; ``c[3]`` is the `Job` with the
    proc 3; ``c[1:3]`` and `select` are clusters narrowed to a selection, on which everything works likewise; to
    iterate gives every `Job`.

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
        pool: PersonalPool | PoolAddress | str | None = None,
        schedd: str | None = None,
    ) -> None:
        self._describe(blocks_of(commands, count), pool, schedd)

    def _describe(
        self, blocks: Sequence[Block], pool: PersonalPool | PoolAddress | str | None, schedd: str | None
    ) -> None:
        if (
            sum(block.depth == 0 for block in blocks) > 1
        ):  # of those inside an `if`, HTCondor knows which count
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
    def from_jdf(
        cls,
        path: str | os.PathLike[str],
        submit: bool = True,
        *,
        pool: PersonalPool | PoolAddress | str | None = None,
        schedd: str | None = None,
        **overrides: object,
    ) -> Self:
        """Return the cluster of a job description file with one queue statement, and submit it.

        Parameters
        ----------
        path : path-like
            The file. Relative paths in it are relative to the current folder, as condor_submit sees them.
        submit : bool
            False holds back, until ``submit()`` is called.
        pool, schedd
            Where to submit, as for `Job`.
        **overrides
            Submit commands that hold as if they stood last before the queue statement.

        Raises
        ------
        JdfError
            A mistake in the file, with its line; nothing was submitted.
        InvalidInputError
            The file has several queue statements; `JobGroup.from_jdf` takes it.
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
        """Return the cluster of a job description in a string; else as `from_jdf`."""
        return cls._from_blocks(parse_jdf(text, path=None, **overrides), submit, pool, schedd)

    @classmethod
    def _from_blocks(
        cls,
        blocks: Sequence[Block],
        submit: bool,
        pool: PersonalPool | PoolAddress | str | None,
        schedd: str | None,
    ) -> Self:
        cluster = cls.__new__(cls)
        cluster._describe(blocks, pool, schedd)
        if submit:
            cluster.submit()
        return cluster

    @classmethod
    def from_queue(
        cls,
        cluster: int | str,
        *,
        pool: PersonalPool | PoolAddress | str | None = None,
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
            connect(address), self._blocks, Path.cwd(), local=is_local(address), only_one=True
        )
        self._part = Part(state)
        return state.cluster

    # -- what it is ------------------------------------------------------------------------------------------

    @property
    def id(self) -> int:
        """The cluster's id."""
        return self._submitted.state.cluster

    @property
    def status(self) -> dict[int, JobStatus]:
        """The state of every job by its proc, now: one question to the schedd, none when all have ended."""
        part = self._submitted
        refresh([part])
        return {proc: part.state.record(proc).status for proc in part.procs}

    @property
    def exit_codes(self) -> dict[int, int | None]:
        """The exit codes by proc; None for jobs that have none (yet)."""
        part = self._submitted
        refresh([part])
        return {proc: part.state.record(proc).exit_code for proc in part.procs}

    def __len__(self) -> int:
        return len(self._submitted.procs)

    def __iter__(self) -> Iterator[Job]:
        part = self._submitted
        return (Job._of(part.state, proc) for proc in part.procs)

    @overload
    def __getitem__(self, which: int) -> Job: ...
    @overload
    def __getitem__(self, which: slice) -> Self: ...
    def __getitem__(self, which: int | slice) -> Job | Self:
        part = self._submitted
        if isinstance(which, slice):
            return self._of(Part(part.state, tuple(part.procs[which])))
        proc = which + part.state.n_procs if which < 0 and part.chosen is None else which
        if proc not in part.procs:
            raise IndexError(f"cluster {self.id} has {len(self)} jobs here, and none with the proc {which}")
        return Job._of(part.state, proc)

    def select(
        self,
        status: JobStatus | Sequence[JobStatus] | None = None,
        where: Callable[[Job], bool] | None = None,
    ) -> Self:
        """Return the jobs that are in a state now, or that fulfil a condition: ``c.select(JobStatus.HELD)``."""
        part = self._submitted
        chosen = list(part.procs)
        if status is not None:
            wanted = {status} if isinstance(status, int) else set(status)
            now = self.status
            chosen = [proc for proc in chosen if now[proc] in wanted]
        if where is not None:
            chosen = [proc for proc in chosen if where(Job._of(part.state, proc))]
        return self._of(Part(part.state, tuple(chosen)))

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

    @property
    def _submitted(self) -> Part:
        if self._part is None:
            raise UnsubmittedJobError("the cluster has not been submitted: call submit() first")
        return self._part

    def _parts(self) -> Sequence[Part]:
        return (self._submitted,)

    def _key(self, part: Part, proc: int) -> Hashable:
        return proc
