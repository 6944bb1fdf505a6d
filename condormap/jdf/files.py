"""The files that a job description names and that must be there when it is submitted: HTCondor looks at none."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from ..condor import LATER
from ..line_ends import how_to_convert, is_script_of_windows
from .split import Block

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
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
#: The commands whose values are needed here.
WANTED = [name for names in (_FILES | _OTHER).values() for name in names]
# In these, `executable` may be left out, or is only a name.
_NO_EXECUTABLE = frozenset({"docker", "container", "vm", "grid", "9", "13"})


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


def check_files(block: Block, expanded: Mapping[str, str], folder: Path, names: Iterable[str] = ()) -> None:
    """Check the files of a job; raise JdfError for one that is not there.

    Parameters
    ----------
    block : Block
        The job's block.
    expanded : mapping
        The values of the commands in `WANTED`, for this job.
    folder : Path
        What relative paths are relative to.
    names : iterable of str, optional
        All commands, to find one that was mistyped.
    """
    values = _named(expanded)
    executable = values.get("executable", "")
    needs_none = "shell" in values or "container_image" in values or "docker_image" in values
    if values.get("universe", "").lower() in _NO_EXECUTABLE:
        needs_none = True
    if not executable and not needs_none:
        similar = difflib.get_close_matches("executable", map(str.lower, names), 1, 0.8)
        hint = f": {similar[0]!r} is no submit command, did you mean it?" if similar else ""
        raise block.error(f"no executable is given, for this queue statement{hint}")
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
        if command == "executable" and path.is_dir():
            raise block.error(f"{command}: {path} is a folder, not a program", line)
        if command == "executable" and path.stat().st_size == 0:
            raise block.error(f"{command}: {path} is empty", line)
        if command == "executable" and is_script_of_windows(path):
            raise block.error(
                f"{command}: {path} is a script with the line ends of Windows (CRLF), so its interpreter would"
                f" not be found: convert it ({how_to_convert(path)})",
                line,
            )


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
