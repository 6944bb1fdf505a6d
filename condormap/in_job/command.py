"""An executable as the function of a map: how a job runs it for an item, and the outcome of that.

Travels into the job; standard library only. An item is a task, a dict::

    item       its index in the map
    args       the arguments
    inputs     pairs: the name of an input file in the job, and where the submitter has it
    outputs    key -> name of an output file in the job
    stdin      None, bytes, or the number of the input that is read
    stdout     None, or the key of the output that standard output is written to
    env        environment variables of this item
    input      the pickle of what the user gave, which is not for the job

Each item is run in a folder of its own in the job's scratch folder, with its input files. Its output files are
moved from there to where they stay: to the map's ``outputs``, or, where it failed, to ``kept``. A job that does
not see the map's folder moves them to folders of these names, which HTCondor brings home before the outcomes.
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import time

from .delivering import deliver, remove
from .outcome import Outcome
from .payload import FILES_PER_FOLDER
from .room import WORK, room_in_job
from .shared import GROUP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from typing import Any

    from .outcome import Located, Printed
    from .room import Room

INLINE = 1 << 20  # bytes of standard output or error that travel with the outcome; more is a file


class CommandFailed(Exception):  # it never gets out of the job: `CommandError` does
    """An executable failed; `condormap.errors.CommandError` tells of it where the map was submitted.

    Attributes
    ----------
    told : dict
        In plain values: its outcome, why it failed, the names of its input files.
    """

    def __init__(
        self, outcome: Outcome, task: Mapping[str, Any], *, missing: Sequence[str] = (), start: str = ""
    ) -> None:
        self.told = {
            "outcome": outcome.plain(),
            "inputs": [name for name, _ in task["inputs"]],
            "missing": list(missing),
            "start": start,
        }
        super().__init__(start or f"{' '.join(outcome.command)} exited with code {outcome.exit_code}")


class Command:
    """The function of such a map.

    Parameters
    ----------
    name : str
        The executable as the user named it.
    path : str or None
        Where it is; None for one that is looked for in PATH.
    home : str
        The map's folder.
    outputs : str or None
        Where the output files stay; None where they are gone when the next item runs.
    success : collection of int
        The exit codes that are no failure.
    read : callable or None
        Makes the item's result of its outcome.
    """

    def __init__(
        self,
        name: str,
        path: str | None,
        home: str,
        outputs: str | None,
        success: Collection[int],
        read: Callable[[Outcome], Any] | None,
    ) -> None:
        self.name = name
        self.path = path
        self.home = home
        self.outputs = outputs
        self.success = success
        self.read = read
        self._room: Room | None = None

    def __call__(self, task: dict[str, Any]) -> Any:
        """Run the executable for an item, in a job."""
        from .worker import current

        assert current is not None
        if self._room is None:
            self._room = room_in_job(current.place, self.name, self.path, self.home, self.outputs)
        if self.outputs is None:
            remove(self._room.outputs[0])  # of the item before
        counters, left = current.memory.counters, current.spec["retries"]
        while True:
            try:
                outcome = self.run(task, self._room, lambda group: counters.__setitem__(GROUP, group))
            except CommandFailed:
                if not left:
                    raise
                left -= 1
            else:
                return outcome if self.read is None else self.read(outcome)

    def run(
        self, task: dict[str, Any], room: Room, note_group: Callable[[int], None] = lambda _: None
    ) -> Outcome:
        """Run the executable for an item; return its outcome, or raise `CommandFailed`.

        Parameters
        ----------
        task : dict
            The item.
        room : Room
            Where its files are.
        note_group : callable
            Is told the group of the processes that are to be killed with this one, and 0 when there are none.
        """
        folder = room.open_folder()
        try:
            room.stage(task, f"{folder}/{WORK}")
            began = time.monotonic()
            code = self._execute(task, room.program, folder, note_group)
            return self._collect(task, room, folder, code, time.monotonic() - began)
        finally:
            room.close_folder(folder)

    def _execute(
        self, task: Mapping[str, Any], program: str, folder: str, note_group: Callable[[int], None]
    ) -> int:
        """Run the executable in the folder of an item; return its exit code when nothing of it is left."""
        work = f"{folder}/{WORK}"
        try:
            with (
                _stdin(task, folder) as stdin,
                open(_stdout(task, folder), "wb") as out,
                open(f"{folder}/stderr", "wb") as err,
            ):
                process = subprocess.Popen(
                    [program, *task["args"]],
                    cwd=work,
                    env={**os.environ, "PWD": work, **task["env"]},
                    stdin=stdin,
                    stdout=out,
                    stderr=err,
                    start_new_session=True,  # its processes are one group
                )
        except OSError as error:
            outcome = Outcome((self.name, *task["args"]), 127, 0.0, b"", b"", {})
            raise CommandFailed(outcome, task, start=why_not_started(program, error)) from None
        note_group(process.pid)
        try:
            code = process.wait()
        finally:
            kill_group(process.pid)
            process.wait()  # again, where an exception came: Ctrl-C, an alarm
        note_group(0)
        return code

    def _collect(
        self, task: Mapping[str, Any], room: Room, folder: str, code: int, seconds: float
    ) -> Outcome:
        """Move what the executable has written to where it stays; return the outcome."""
        work = f"{folder}/{WORK}"
        there = {key: name for key, name in task["outputs"].items() if _can_be_moved(f"{work}/{name}")}
        missing = [name for key, name in task["outputs"].items() if key not in there]
        failed = code not in self.success or bool(missing)
        shard = f"{task['item'] // FILES_PER_FOLDER}/{task['item']}"
        kept = (f"{room.kept[0]}/{shard}", f"{room.kept[1]}/{shard}")
        remove(kept[0])  # of an earlier run
        here, home = kept if failed else room.outputs
        outputs = {key: (f"{here}/{name}", home and f"{home}/{name}") for key, name in there.items()}
        if task["stdout"]:
            stdout: Printed = outputs.get(task["stdout"], b"")
        else:
            stdout = _printed("stdout", folder, kept)
        stderr = _printed("stderr", folder, kept)
        for key, name in there.items():
            deliver(f"{work}/{name}", outputs[key][0])
        outcome = Outcome((self.name, *task["args"]), code, seconds, stdout, stderr, outputs)
        if failed:
            raise CommandFailed(outcome, task, missing=missing if code in self.success else ())
        return outcome


def _stdout(task: Mapping[str, Any], folder: str) -> str:
    """Return the file that standard output goes to."""
    return f"{folder}/{WORK}/{task['outputs'][task['stdout']]}" if task["stdout"] else f"{folder}/stdout"


def _can_be_moved(path: str) -> bool:
    """Tell whether a path is a file or a folder, or a link to one; not a pipe, which nobody could read."""
    return os.path.isfile(path) or os.path.isdir(path)


def _stdin(task: Mapping[str, Any], folder: str) -> Any:
    """Return the open file that standard input comes from."""
    stdin = task["stdin"]
    if stdin is None:
        return open(os.devnull, "rb")
    if isinstance(stdin, int):
        return open(f"{folder}/{WORK}/{task['inputs'][stdin][0]}", "rb")
    with open(f"{folder}/stdin", "wb") as file:
        file.write(stdin)
    return open(f"{folder}/stdin", "rb")


def _printed(stream: str, folder: str, kept: Located) -> Printed:
    """Return what was printed, or, where it is much, the file of it from now on."""
    path = f"{folder}/{stream}"
    if os.path.getsize(path) > INLINE:
        deliver(path, f"{kept[0]}/{stream}")
        return f"{kept[0]}/{stream}", f"{kept[1]}/{stream}"
    with open(path, "rb") as file:
        return file.read()


def kill_group(group: int) -> None:
    """Kill what an executable has left running."""
    try:
        os.killpg(group, signal.SIGKILL)
    except OSError:
        pass


def why_not_started(program: str, error: OSError) -> str:
    """Return in words why a program could not be started."""
    reason = error.strerror or str(error)
    if error.errno == errno.ENOENT and os.path.exists(program):
        with open(program, "rb") as file:
            first = file.readline(300).decode(errors="replace").strip()
        if first.startswith("#!"):
            reason = f"its interpreter is not there: {first[2:].strip()}"
        else:
            reason = "its loader is not there: it is made for another system"
    elif error.errno == errno.ENOEXEC:
        reason += " (a script begins with #!, as in #!/bin/sh; a binary is for one kind of machine)"
    return f"{os.path.basename(program)} could not be started: {reason}"
