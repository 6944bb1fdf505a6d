"""Mistakes in a job description, found before anything is submitted, with the file and the line.

HTCondor itself would take an unknown macro function as text, and the bindings look at no file.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from ..condor import LATER, Condor, Expansion
from ..errors import DeadlineError, InvalidInputError
from .split import Block

# config.cpp, is_special_config_macro: names in capitals, and $F with letters for parts of a file's name.
_FUNCTIONS = frozenset(
    "ENV RANDOM_CHOICE RANDOM_INTEGER CHOICE SUBSTR INT REAL STRING EVAL BASENAME DIRNAME".split()
)
_FILE_FUNCTION = re.compile(r"F[pnxdqabfwuPNXDQABFWU]*")
_CALL = re.compile(r"(?<!\$)\$([A-Za-z_][A-Za-z0-9_]*)\(")
_BRACES = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_.]*)\}")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_INCLUDE = re.compile(r"\s*@?include\b([^:]*):\s*(.*)", re.IGNORECASE | re.DOTALL)
_CONDITION = re.compile(r"\s*:?\s*(if|elif|else|endif)\b", re.IGNORECASE)
_DEFINES = r"\s*{}\s*(?:\+\S{{0,2}}|@)?="

# The commands that name files, each with the other names that HTCondor knows it by.
_FILES: dict[str, tuple[str, ...]] = {
    "executable": ("executable", "Cmd"),
    "input": ("input", "stdin", "In"),
    "transfer_input_files": ("transfer_input_files", "TransferInputFiles", "TransferInput"),
}
_OTHER: dict[str, tuple[str, ...]] = {
    "initialdir": ("initialdir", "initial_dir", "job_iwd", "Iwd"),
    "transfer_executable": ("transfer_executable", "TransferExecutable"),
    "transfer_input": ("transfer_input", "TransferIn"),
    "universe": ("universe", "JobUniverse"),
    "container_image": ("container_image", "ContainerImage"),
    "docker_image": ("docker_image", "DockerImage"),
    "shell": ("shell",),
    "skip_filechecks": ("skip_filechecks",),
}
_WANTED = [name for names in (_FILES | _OTHER).values() for name in names]
# In these, `executable` may be left out, or is only a name.
_NO_EXECUTABLE = frozenset({"docker", "container", "vm", "grid", "9", "13"})


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
        The first mistake that was found: a line that HTCondor cannot read, an unknown macro function, an
        executable or input file that is not there, a list of items that cannot be read, no jobs at all.

    Warns
    -----
    UserWarning
        ``${name}``, which to HTCondor is plain text.
    """
    run_folder = Path(folder or os.curdir).absolute()
    checked = []
    told: set[int] = set()
    for block in blocks:
        expansion = _expand(block, condor, run_folder, deadline)
        if not expansion.reached:
            continue
        _check_macros(block, expansion, told)
        if not expansion.n_jobs:
            raise block.error(
                "the queue statement makes no job: its list of items is empty, nothing matches, or the number is 0"
            )
        if not all(map(any, expansion.rows)) and expansion.variables and _is_factory(expansion):
            raise block.error(
                "an item is empty, which HTCondor does not take with max_idle or max_materialize; remove that line"
            )
        for values in expansion.values:
            _check_files(block, _named(values), run_folder)
        checked.append(replace(block, n_jobs=expansion.n_jobs))
    return checked


def _expand(block: Block, condor: Condor, folder: Path, deadline: float | None) -> Expansion:
    statements = [(line.text, line.depth) for line in block.commands]
    try:
        expansion = condor.expand_block(
            statements, block.queue, folder=folder, wanted=_WANTED, deadline=deadline
        )
    except InvalidInputError as error:
        raise block.error(f"the queue statement: {str(error).removeprefix('expand: ')}") from error
    except DeadlineError as error:
        raise block.error(
            "HTCondor did not come to the end of it in time: a script that gives items or is included takes too"
            " long, or waits for input, which it does not get"
        ) from error
    if expansion.mistake is not None:
        line = block.commands[expansion.mistake]
        raise block.error(_diagnosis(line.text, folder), line.number or None)
    return expansion


def _diagnosis(statement: str, folder: Path) -> str:
    text = " ".join(statement.split())
    if condition := _CONDITION.match(statement):
        return (
            f"HTCondor cannot read {text!r}: a condition is true, false, a number, a macro, `defined NAME` or"
            f" `version >= X.Y.Z`, and each `{condition[1]}` needs its place between `if` and `endif`"
        )
    if include := _INCLUDE.match(statement):
        name = include[2].strip()
        there = include[1].strip() or name.endswith("|") or "$" in name or (folder / name).exists()
        why = "it fails, has a mistake or a queue statement" if there else "it is not there"
        return f"HTCondor cannot include {name!r}, seen from {folder}: {why}"
    return f"HTCondor cannot read {text!r}: it is no command (name = value) and no queue statement"


def _is_factory(expansion: Expansion) -> bool:
    names = {name.lower() for name in expansion.commands}
    return bool(names & {"max_idle", "materialize_max_idle", "max_materialize"})


def _check_macros(block: Block, expansion: Expansion, told: set[int]) -> None:
    for name, value in expansion.commands.items():
        for function in _CALL.findall(value):
            if function not in _FUNCTIONS and not _FILE_FUNCTION.fullmatch(function):
                known = ", ".join(f"${each}()" for each in sorted(_FUNCTIONS))
                raise block.error(
                    f"{name}: HTCondor has no macro function ${function}(). It has {known}, $F() with letters of"
                    " pnxdqabfwu, and $(NAME) for a variable",
                    _line_with(block, f"${function}("),
                )
        for variable in _BRACES.findall(value):
            line = _line_with(block, f"${{{variable}}}")
            if line in told:
                continue
            told.add(line)
            warnings.warn(
                f"{block.path or '<text>'}:{line}: {name}: ${{{variable}}} is plain text to HTCondor; if you meant"
                f" its variable, write $({variable})",
                stacklevel=3,
            )


def _line_with(block: Block, text: str) -> int:
    """Return the last line that has this text, or the queue statement's: it is in an included file then."""
    return next((each.number for each in reversed(block.commands) if text in each.text), block.line)


def _line_of(block: Block, names: Iterable[str]) -> int:
    pattern = re.compile(_DEFINES.format(f"(?:{'|'.join(names)})"), re.IGNORECASE)
    return (
        next((each.number for each in reversed(block.commands) if pattern.match(each.text)), 0) or block.line
    )


def _named(values: Mapping[str, str]) -> dict[str, str]:
    """Return the values by the first name of each command; what is not set is left out."""
    lower = {name.lower(): value for name, value in values.items()}
    found: dict[str, str] = {}
    for first, names in (_FILES | _OTHER).items():
        for name in names:
            if lower.get(name.lower()):
                found.setdefault(first, lower[name.lower()])
    return found


def _check_files(block: Block, values: Mapping[str, str], folder: Path) -> None:
    executable = values.get("executable", "")
    needs_none = "shell" in values or "container_image" in values or "docker_image" in values
    if values.get("universe", "").lower() in _NO_EXECUTABLE:
        needs_none = True
    if not executable and not needs_none:
        raise block.error("no executable is given, for this queue statement")
    if values.get("skip_filechecks", "").lower() in ("true", "t", "yes", "1"):
        return
    initial = folder / values.get("initialdir", "")
    if not _known(values.get("initialdir", "")):
        return
    if not initial.is_dir():
        raise block.error(
            f"the initial folder {initial} does not exist", _line_of(block, _OTHER["initialdir"])
        )
    for command, path in _paths(values, folder, initial):
        if not _known(str(path)):
            continue
        line = _line_of(block, _FILES[command])
        if not path.exists():
            where = (
                "" if command == "executable" else "; relative paths are seen from the job's initial folder"
            )
            hint = _on_path(path) if command == "executable" else ""
            raise block.error(f"{command}: {path} does not exist{where}{hint}", line)
        if command == "executable" and path.stat().st_size == 0:
            raise block.error(f"{command}: {path} is empty", line)


def _paths(values: Mapping[str, str], folder: Path, initial: Path) -> Iterator[tuple[str, Path]]:
    """Give each file that must be here when the job is submitted, and the command that names it."""
    executable, universe = values.get("executable", ""), values.get("universe", "").lower()
    transferred = not values.get("transfer_executable", "").lower().startswith("f")
    if executable and transferred and "shell" not in values and universe not in ("vm", "13", "grid", "9"):
        yield "executable", folder / executable  # and not the initial folder: as condor_submit sees it
    if "input" in values and not values.get("transfer_input", "").lower().startswith("f"):
        yield "input", initial / values["input"]
    for each in values.get("transfer_input_files", "").split(","):
        if (name := each.strip()) and not _URL.match(name):
            yield "transfer_input_files", initial / name


def _known(path: str) -> bool:
    """Tell whether the path is known now, and not only when the job is in the queue or is matched."""
    return "$$" not in path and LATER not in path


def _on_path(path: Path) -> str:
    found = next((each for each in os.get_exec_path() if (Path(each) / path.name).is_file()), None)
    if found is None:
        return ""
    return f"; HTCondor does not look through PATH: write {found}/{path.name}"
