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
import stat
import subprocess
import time

from .delivering import deliver, remove
from .outcome import Outcome
from .payload import FILES_PER_FOLDER
from .shared import GROUP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from typing import Any

    from .outcome import Located, Printed
    from .place import Place

OUTPUTS, KEPT, INPUTS, EXECUTABLE = "outputs", "kept", "inputs", "executable"
RESULTS = (OUTPUTS, KEPT)  # what is brought home
INLINE = 1 << 20  # bytes of standard output or error that travel with the outcome; more is a file
TAIL = 2000  # bytes
_RUN = "condormap.run"  # how the name of an item's folder begins
_WORK = "work"  # in it: where the executable is run
_STREAMS = ("stdout", "stderr")


class CommandFailed(Exception):  # it never gets out of the job: `CommandError` does
    """An executable failed; `condormap.errors.CommandError` tells of it where the map was submitted.

    Attributes
    ----------
    told : dict
        In plain values: its outcome, why it failed, the names of its input files.
    """

    def __init__(
        self, outcome: Outcome, inputs: Sequence[str], *, missing: Sequence[str] = (), start: str = ""
    ) -> None:
        self.told = {
            "outcome": outcome.plain(),
            "inputs": list(inputs),
            "missing": list(missing),
            "start": start,
        }
        super().__init__(start or f"{' '.join(outcome.command)} exited with code {outcome.exit_code}")


class Room:
    """Where a command finds and leaves its files.

    Parameters
    ----------
    scratch : str
        A folder for the folders of the items.
    program : str
        What is executed.
    inputs : str or None
        The folder of the input files, which have numbers as names there; None where each is at its own path.
    outputs, kept : (str, str)
        Where output files go: here, and the same at the submitter's.
    files : str or None
        A folder whose files every item finds in its own.
    """

    def __init__(
        self,
        scratch: str,
        program: str,
        inputs: str | None,
        outputs: Located,
        kept: Located,
        files: str | None,
    ) -> None:
        self.scratch = scratch
        self.program = program
        self.inputs = inputs
        self.outputs = outputs
        self.kept = kept
        self.files = files


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
    outputs : str
        Where the output files stay.
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
        outputs: str,
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
        self._n_folders = 0
        self._folder = ""  # an empty one

    def __call__(self, task: dict[str, Any]) -> Any:
        """Run the executable for an item, in a job."""
        from .worker import current

        assert current is not None
        if self._room is None:
            self._room = self._room_in_job(current.place)
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
        folder = self._folder or self._new_folder(room.scratch)
        self._folder = ""
        try:
            return self._run(task, room, folder, note_group)
        finally:
            if is_as_new(folder):
                self._folder = folder
            else:
                remove(folder)

    def _new_folder(self, scratch: str) -> str:
        """Return a new folder for an item: others get it too, as long as it can be emptied, for that is faster."""
        self._n_folders += 1
        folder = f"{scratch}/{_RUN}.{os.getpid()}.{self._n_folders}"
        os.makedirs(f"{folder}/{_WORK}")
        return folder

    def _run(
        self, task: dict[str, Any], room: Room, folder: str, note_group: Callable[[int], None]
    ) -> Outcome:
        work, names = f"{folder}/{_WORK}", [name for name, _ in task["inputs"]]
        stage(task, room, work)
        command = (self.name, *task["args"])
        stdout = f"{work}/{task['outputs'][task['stdout']]}" if task["stdout"] else f"{folder}/stdout"
        began = time.monotonic()
        try:
            with (
                _stdin(task, work, folder) as stdin,
                open(stdout, "wb") as out,
                open(f"{folder}/stderr", "wb") as err,
            ):
                process = subprocess.Popen(
                    [room.program, *task["args"]],
                    cwd=work,
                    env={**os.environ, "PWD": work, **task["env"]},
                    stdin=stdin,
                    stdout=out,
                    stderr=err,
                    start_new_session=True,  # its processes are one group
                )
        except OSError as error:
            outcome = Outcome(command, 127, 0.0, b"", b"", {})
            raise CommandFailed(outcome, names, start=why_not_started(room.program, error)) from None
        note_group(process.pid)
        try:
            code = process.wait()
        finally:
            kill_group(process.pid)
            process.wait()  # again, where an exception came: Ctrl-C, an alarm
        note_group(0)
        seconds = time.monotonic() - began
        there = {key: name for key, name in task["outputs"].items() if os.path.lexists(f"{work}/{name}")}
        missing = [name for key, name in task["outputs"].items() if key not in there]
        failed = code not in self.success or bool(missing)
        kept = f"{task['item'] // FILES_PER_FOLDER}/{task['item']}"
        remove(f"{room.kept[0]}/{kept}")
        target = tuple(f"{each}/{kept}" for each in room.kept) if failed else room.outputs
        outputs = {key: (f"{target[0]}/{name}", f"{target[1]}/{name}") for key, name in there.items()}
        printed: list[Printed] = [
            _printed(path, *(f"{each}/{kept}/{stream}" for each in room.kept))
            for stream, path in (("stdout", stdout), ("stderr", f"{folder}/stderr"))
            if stream == "stderr" or not task["stdout"]
        ]
        if task["stdout"]:
            printed.insert(0, outputs.get(task["stdout"], b""))
        for key, name in there.items():
            deliver(f"{work}/{name}", outputs[key][0])
        outcome = Outcome(command, code, seconds, printed[0], printed[1], outputs)
        if failed:
            raise CommandFailed(outcome, names, missing=missing if code in self.success else ())
        return outcome

    def _room_in_job(self, place: Place) -> Room:
        scratch = os.environ.get("_CONDOR_SCRATCH_DIR") or os.getcwd()
        home = (self.outputs, f"{self.home}/{KEPT}")
        if place.is_sent:
            here = os.path.dirname(place.outcome)
            program = f"{place.home}/{EXECUTABLE}/{os.path.basename(self.path)}" if self.path else self.name
            inputs: str | None = f"{here}/{INPUTS}"
            outputs, kept = f"{here}/{OUTPUTS}", f"{here}/{KEPT}"
        else:
            program, inputs, (outputs, kept) = self.path or self.name, None, home
        if self.path:
            program = runnable(program, f"{scratch}/condormap.{EXECUTABLE}")
        files = os.getcwd() if place.is_sent or place.files else None
        return Room(scratch, program, inputs, (outputs, home[0]), (kept, home[1]), files)


def stage(task: Mapping[str, Any], room: Room, work: str) -> None:
    """Put what an item finds into its folder: the files for every item, its own, and folders of its outputs."""
    for name in os.listdir(room.files) if room.files else ():
        os.symlink(f"{room.files}/{name}", f"{work}/{name}")
    for number, (name, path) in enumerate(task["inputs"]):
        here = path if room.inputs is None else f"{room.inputs}/{task['item']}.{number}"
        if not os.path.exists(here):
            raise FileNotFoundError(errno.ENOENT, "the input file is gone", path)
        os.makedirs(os.path.dirname(f"{work}/{name}"), exist_ok=True)
        os.symlink(here, f"{work}/{name}")
    for name in task["outputs"].values():
        os.makedirs(os.path.dirname(f"{work}/{name}"), exist_ok=True)


def _stdin(task: Mapping[str, Any], work: str, folder: str) -> Any:
    stdin = task["stdin"]
    if isinstance(stdin, int):
        return open(f"{work}/{task['inputs'][stdin][0]}", "rb")
    if stdin is None:
        return open(os.devnull, "rb")
    with open(f"{folder}/stdin", "wb") as file:
        file.write(stdin)
    return open(f"{folder}/stdin", "rb")


def _printed(path: str, here: str, home: str) -> Printed:
    """Return what was printed to a file, or where the file is from now on."""
    if os.path.getsize(path) > INLINE:
        deliver(path, here)
        return here, home
    with open(path, "rb") as file:
        return file.read()


def is_as_new(folder: str) -> bool:
    """Empty the folder of an item; tell whether it can be that of another one."""
    work = f"{folder}/{_WORK}"
    try:
        if not stat.S_ISDIR(os.lstat(work).st_mode) or not os.access(work, os.R_OK | os.W_OK | os.X_OK):
            return False
        for name in os.listdir(work):
            remove(f"{work}/{name}")
        for name in os.listdir(folder):
            if name != _WORK:  # not cut off when they are opened again: ext4 then writes them to the disk
                remove(f"{folder}/{name}")
        return os.listdir(folder) == [_WORK] and not os.listdir(work)
    except OSError:
        return False


def kill_group(group: int) -> None:
    """Kill what an executable has left running."""
    try:
        os.killpg(group, signal.SIGKILL)
    except OSError:
        pass


def runnable(program: str, folder: str) -> str:
    """Return a program, or, where it must not be executed for its mode, a copy of it that may."""
    if os.access(program, os.X_OK) or not os.path.exists(program):
        return program
    import shutil

    os.makedirs(folder, exist_ok=True)
    copy = f"{folder}/{os.path.basename(program)}"
    shutil.copyfile(program, copy)
    os.chmod(copy, 0o700)
    return copy


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


def tails_of_runs(scratch: str) -> tuple[str, str]:
    """Return the ends of what the executable had printed whose process was killed; remove its folder."""
    found = ("", "")
    for name in os.listdir(scratch):
        if name.startswith(_RUN + "."):
            found = tuple(_tail(f"{scratch}/{name}/{stream}") for stream in _STREAMS)  # type: ignore[assignment]
            remove(f"{scratch}/{name}")
    return found


def _tail(path: str) -> str:
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL))
            data = file.read()
    except OSError:
        return ""
    if size > TAIL:
        data = data.partition(b"\n")[2] or data
    return data.decode(errors="replace").strip()
