"""Submitting plain jobs: blocks of the submit language, each of which becomes one cluster."""

from __future__ import annotations

import contextlib
import time
import uuid
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ..address import PoolAddress
from ..condor import Condor
from ..errors import CondorError, CondormapError, InvalidInputError, StorageError
from ..folders.paths import data_home
from ..jdf.check import check, refused, rehearse
from ..jdf.split import Block, block_of, parse_jdf
from ..pool.personal import PersonalPool
from .queue import describe
from .state import ClusterState

_KEPT = 30 * 24 * 3600.0  # seconds for which an event log of ours stays after its last event

Commands = Mapping[str, object] | str
PoolChoice = PersonalPool | PoolAddress | str | None


def blocks_of(commands: Commands, count: int | None = None) -> list[Block]:
    """Return the blocks of submit commands.

    Parameters
    ----------
    commands : mapping or str
        Submit commands: name -> value, or text. Text may have queue statements.
    count : int or None
        How many jobs; for commands that have no queue statement.

    Raises
    ------
    InvalidInputError
        A name that is no submit command, a value that is more than one line.
    """
    if count is not None and (not isinstance(count, int) or isinstance(count, bool) or count < 1):
        raise InvalidInputError(f"count is a number of jobs, 1 or more, not {count!r}")
    if isinstance(commands, str):
        blocks = parse_jdf(commands)
        if count is not None:
            if blocks[0].queue.split()[1:] or len(blocks) > 1:
                raise InvalidInputError("the text has a queue statement of its own: leave out count=")
            blocks = parse_jdf(_without_queue(blocks[0]) + f"queue {count}\n")
        return blocks
    if not isinstance(commands, Mapping):
        raise InvalidInputError(
            f"submit commands are a mapping or text, not a {type(commands).__name__}: {commands!r}"
        )
    return [block_of(commands, count or 1)]


def _without_queue(block: Block) -> str:
    return "".join(line.text for line in block.commands)


def with_commands(block: Block, own: Mapping[str, object], name: str) -> Block:
    """Return a block with more commands behind its own; errors about it begin with `name`."""
    if not isinstance(own, Mapping):
        raise InvalidInputError(
            f"{name}: overrides are mappings of submit commands, not a {type(own).__name__}: {own!r}"
        )
    try:
        more = block_of(own, 1).commands
    except InvalidInputError as error:
        raise InvalidInputError(f"{name}: {error}") from error
    return replace(block, commands=(*block.commands, *more), line=0, path=Path(name))


def submit_blocks(
    condor: Condor, blocks: Sequence[Block], folder: Path, *, local: bool, only_one: bool = False
) -> list[ClusterState]:
    """Submit blocks, all or none: when one is refused, those before it are removed again.

    Parameters
    ----------
    condor : Condor
        The pool.
    blocks : sequence of Block
        What to submit; their mistakes are looked for first.
    folder : Path
        What relative paths are relative to.
    local : bool
        The schedd is on this machine, so jobs without an event log get one of ours.
    only_one : bool
        Refuse blocks of which not exactly one is left when HTCondor has decided every ``if``.
    """
    checked = check(blocks, condor, folder=folder)
    if only_one and len(checked) != 1:
        raise InvalidInputError(
            f"{len(checked)} queue statements stand in branches of an `if` that are taken, and a cluster has one: "
            "nothing was submitted. JobGroup makes one cluster of each"
        )
    name = f"{time.strftime('%Y%m%dT%H%M%S')}-{uuid.uuid4().hex[:12]}"
    # First, so that a log of the description's own takes its place.
    head = f"log = {_new_log(name)}\n" if local else ""
    # The first one is looked at when it is submitted, for then nothing is before it.
    for block in checked[1:]:
        rehearse(block, condor, folder=folder, head=head)
    states: list[ClusterState] = []
    for number, block in enumerate(checked):
        try:
            submitted = condor.submit_block(
                head + block.text, folder=folder, submission_id=f"{name}.{number}", n_jobs=block.n_jobs or 1
            )
        except CondorError as error:
            if (told := refused(block, error, _take_back(condor, states))) is error:
                raise
            raise told from error
        except BaseException:
            _take_back(condor, states)
            raise
        for text in submitted.warnings:
            warnings.warn(f"{block.place(0)}{text}", stacklevel=2)
        states.append(ClusterState(condor, submitted.cluster, submitted.n_procs))
    for state in states:
        describe(state)
    return states


def _take_back(condor: Condor, states: Sequence[ClusterState]) -> str:
    """Remove what was submitted before a block that was refused; return what has become of it."""
    if not states:
        return "Nothing was submitted"
    clusters = [str(state.cluster) for state in states]
    told = f"The clusters before it ({', '.join(clusters)})"
    try:
        condor.act("remove", jobs=clusters, reason="a later cluster of the same group was refused")
    except CondormapError as error:
        return f"{told} could not be removed ({error}): condor_rm {' '.join(clusters)}"
    return f"{told} were removed again"


def is_local(address: PoolAddress) -> bool:
    """Tell whether the schedd is this machine's, as far as that was said."""
    return address.schedd is None and address.collector is None


def _new_log(name: str) -> Path:
    """Return the path of an event log for jobs that have none of their own, and remove logs that are old."""
    folder = data_home() / "logs"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for log in folder.glob("*.log"):
            with contextlib.suppress(OSError):
                if time.time() - log.stat().st_mtime > _KEPT:
                    log.unlink()
    except OSError as error:
        raise StorageError(
            f"the folder for event logs, {folder}, cannot be made: {error.strerror}. Nothing was submitted. What"
            " to do: make it writable, or set CONDORMAP_HOME"
        ) from error
    return folder / f"{name}.log"
