"""Mistakes in a job description, found before anything is submitted, with the file and the line.

HTCondor itself finds some only when it makes a job's ad, takes an unknown macro function as text, and the bindings
look at no file.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from ..condor import Condor, Expansion
from ..errors import CondorError, CondormapError, DeadlineError, InvalidInputError, SubmitRefusedError
from ..folders.paths import absolute
from . import macros, mistakes
from .files import WANTED, check_files
from .split import Block

_NOTHING = "Nothing was submitted"
_LIMIT = "MAX_JOBS_PER_SUBMISSION"
_FEW = 1000  # jobs that no pool refuses


def check(
    blocks: Iterable[Block],
    condor: Condor,
    *,
    folder: str | os.PathLike[str] | None = None,
    deadline: float | None = None,
) -> list[Block]:
    """Return the blocks that HTCondor comes to, with the number of jobs that each makes.

    Parameters
    ----------
    blocks : iterable of Block
        From `condormap.jdf.read_jdf`.
    condor : Condor
        The pool; its configuration counts, no daemon is asked. Files are read and scripts run as HTCondor does
        when it submits: lists of items, ``include``.
    folder : path-like, optional
        What relative paths are relative to, the current folder if left out, as for condor_submit.
    deadline : float, optional
        Seconds for each block, of which only scripts take more than some milliseconds; 60 if left out.

    Raises
    ------
    JdfError
        The first mistake that was found: a line that HTCondor cannot read, an unknown macro function, macros that
        refer to each other in a circle, an executable or input file that is not there, a list of items that cannot
        be read, no jobs at all.

    Warns
    -----
    UserWarning
        ``${name}`` of a variable, which to HTCondor is plain text; a macro function with wrong arguments; a name
        that nothing uses; ``warning : text`` of the file itself; a program that gave items or was included, and
        failed.
    """
    given = list(blocks)
    run_folder = absolute(folder or os.curdir)
    checked = []
    told: set[str] = set()
    for block in given:
        expansion = _expand(block, condor, run_folder, deadline)
        if not expansion.reached:
            continue
        _check_block(block, expansion, run_folder)
        for text in (*macros.hints(block, expansion), *_failures(block, expansion)):
            if (same := text.removeprefix(str(block.path))) not in told:
                told.add(same)
                warnings.warn(text, stacklevel=2)
        if expansion.n_jobs > _FEW and not _is_factory(expansion):
            _check_limit(block, expansion.n_jobs, condor)
        checked.append(replace(block, n_jobs=expansion.n_jobs))
    if given and not checked:
        raise given[-1].error(
            "no queue statement is reached, for each stands in a branch of an `if` that is not taken: nothing was"
            " submitted. condor_submit would make one job of the other commands: if that is meant, write `queue`"
            " behind the `endif`"
        )
    return checked


def rehearse(block: Block, condor: Condor, *, folder: str | os.PathLike[str], head: str = "") -> None:
    """Find out whether HTCondor can make a block's jobs, the first 1000 of them; nothing is submitted.

    Parameters
    ----------
    block : Block
        A block that `check` has returned.
    condor : Condor
        The pool, whose schedd is asked.
    folder : path-like
        What relative paths are relative to.
    head : str, optional
        Commands that will stand above it.

    Raises
    ------
    JdfError, or SubmitRefusedError if the commands were not given as text
        It cannot; with the line, where that is known.
    """
    try:
        condor.rehearse_block(head + block.text, folder=folder)
    except SubmitRefusedError as error:
        raise refused(block, error) from error


def refused(block: Block, error: CondorError, rest: str = _NOTHING) -> CondormapError:
    """Return the error for a block that was not submitted: a JdfError where the mistake is one of the text.

    Parameters
    ----------
    block : Block
        The block.
    error : CondorError
        The error of the call that was to submit it.
    rest : str, optional
        What has become of other blocks.
    """
    if isinstance(error, SubmitRefusedError) and error.said:
        line, override = mistakes.line_of(block, error.said)
        told = f" (given besides the file: {override})" if override else ""
        message = f"HTCondor can make no job of it: {error.said}{told}. {rest}"
        if block.line or line:
            return block.error(message, line)
        return SubmitRefusedError(block.place(0) + message, said=error.said)
    if isinstance(error, SubmitRefusedError) or rest != _NOTHING:
        return type(error)(f"{block.place(0)}{str(error).removesuffix(f'. {_NOTHING}')}. {rest}")
    return error


def _expand(block: Block, condor: Condor, folder: Path, deadline: float | None) -> Expansion:
    statements = [(line.text, line.depth) for line in block.commands]
    try:
        expansion = condor.expand_block(
            statements, block.queue, folder=folder, wanted=WANTED, deadline=deadline
        )
    except InvalidInputError as error:
        raise block.error(f"the queue statement: {str(error).removeprefix('expand: ')}") from error
    except DeadlineError as error:
        raise block.error(
            "HTCondor did not come to the end of it in time: a script that gives items or is included takes too"
            " long, or waits for input, which it does not get"
        ) from error
    if expansion.loop:
        raise macros.circle(block, expansion.loop)
    if expansion.mistake is not None:
        raise mistakes.unreadable(block, expansion.mistake, expansion.said, condor, folder)
    return expansion


def _check_block(block: Block, expansion: Expansion, folder: Path) -> None:
    macros.check_functions(block, expansion)
    variables = {name.lower() for name in expansion.variables}
    for name in block.overrides:
        if name.lower() in variables:
            raise block.error(
                f"{name!r} was given besides the file, but it is a variable of the queue statement, whose items"
                " hold: change those, or use another name"
            )
    if not expansion.n_jobs:
        failed = "".join(f"; {text}" for text in _failures(block, expansion, placed=False))
        raise block.error(
            "the queue statement makes no job: its list of items is empty, nothing matches, or the number is 0"
            f"{failed}"
        )
    if not all(map(any, expansion.rows)) and expansion.variables and _is_factory(expansion):
        raise block.error(
            "an item is empty, which HTCondor does not take with max_idle or max_materialize; remove that line"
        )
    for values in expansion.values:
        check_files(block, values, folder, expansion.commands)


def _check_limit(block: Block, n_jobs: int, condor: Condor) -> None:
    """Refuse more jobs than the schedd takes at once; of another machine's, only itself knows how many."""
    if condor.address.schedd is not None or condor.address.collector is not None:
        return
    limit = condor.param(_LIMIT)[_LIMIT] or ""
    if limit.isdigit() and n_jobs > int(limit):
        raise block.error(
            f"it makes {n_jobs} jobs, and the schedd takes {limit} of one submission ({_LIMIT}): set"
            " max_materialize (1000, say), by which it makes the jobs little by little, or submit"
            " them as several clusters"
        )


def _is_factory(expansion: Expansion) -> bool:
    names = {name.lower() for name in expansion.commands}
    return bool(names & {"max_idle", "materialize_max_idle", "max_materialize"})


def _failures(block: Block, expansion: Expansion, *, placed: bool = True) -> list[str]:
    """Return what is to be told of programs that failed; condor_submit takes what they wrote before."""
    told = []
    if expansion.script and expansion.script[1]:
        command, status, error = expansion.script
        place = block.place(0) if placed else ""
        why = f": {error}" if error else ""
        told.append(f"{place}{command!r}, which gives the items, ended with exit status {status}{why}")
    if expansion.included and placed:
        place = block.place(mistakes.line_of_included_program(block))
        statuses = ", ".join(map(str, expansion.included))
        told.append(f"{place}a program that is included ended with exit status {statuses}")
    return told
