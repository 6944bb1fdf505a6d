"""One item of a CondorMapper by hand: run here, or as a line for a shell."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..folders.store import storage_errors
from ..in_job.command import CommandFailed
from ..in_job.delivering import remove
from ..in_job.room import EXECUTABLE, KEPT, OUTPUTS, Room, runnable
from ..payload import extra_files
from ..state.item_errors import failed_command
from .described import Described
from .tasks import Task


def run_here(described: Described, task: Task, home: Path, files: Sequence[str]) -> Any:
    """Run the executable for an item in the folder ``debug`` of its map's; see `CondorMapper.debug`."""
    folder = home / "debug" / str(task["item"])
    remove(str(folder))
    with storage_errors(folder):
        folder.mkdir(parents=True)
        extra_files.link(files, folder / "files")
    path = described.executable.path
    program = described.executable.name if path is None else runnable(str(path), f"{folder}/{EXECUTABLE}")
    outputs, kept = f"{folder}/{OUTPUTS}", f"{folder}/{KEPT}"
    room = Room(str(folder), program, None, (outputs, outputs), (kept, kept), f"{folder}/files")
    try:
        outcome = described.here(home).run(task, room)
    except CommandFailed as failed:
        raise failed_command(f"item {task['item']}, run here", failed.told) from None
    return outcome if described.read is None else described.read(outcome)


def shell_line(described: Described, task: Task, files: Sequence[str]) -> str:
    """Return what a shell runs for an item; see `CondorMapper.command_line`."""
    steps = ['cd "$(mktemp -d)"']
    links = [*((extra_files.name_of(file), file) for file in files), *task["inputs"]]
    for name in [*(name for name, _ in links), *task["outputs"].values()]:
        if parent := os.path.dirname(name):
            steps.append(shlex.join(["mkdir", "-p", parent]))
    steps += [shlex.join(["ln", "-s", os.path.normpath(path), name]) for name, path in links]
    program = str(described.executable.path or described.executable.name)
    if described.executable.path is not None and not os.access(program, os.X_OK):
        steps.append(shlex.join(["install", "-m", "700", program, "condormap.executable"]))
        program = "./condormap.executable"
    command = shlex.join([program, *task["args"]])
    if task["env"]:
        variables = [f"{name}={value}" for name, value in task["env"].items()]
        command = f"{shlex.join(['env', *variables])} {command}"
    if isinstance(task["stdin"], int):
        command += f" < {shlex.quote(task['inputs'][task['stdin']][0])}"
    elif task["stdin"] is not None:
        command = f"printf %s {shlex.quote(os.fsdecode(task['stdin']))} | {command}"
    if task["stdout"]:
        command += f" > {shlex.quote(task['outputs'][task['stdout']])}"
    return " && ".join([*dict.fromkeys(steps), command])
