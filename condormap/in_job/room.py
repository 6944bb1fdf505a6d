"""Where an executable finds and leaves its files in a job. Travels into the job; standard library only."""

from __future__ import annotations

import errno
import os
import stat

from .delivering import remove

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from .outcome import Located
    from .place import Place

OUTPUTS, KEPT, INPUTS, EXECUTABLE = "outputs", "kept", "inputs", "executable"
RESULTS = (OUTPUTS, KEPT)  # what is brought home
TAIL = 2000  # bytes
RUN = "condormap.run"  # how the name of an item's folder begins
WORK = "work"  # in it: where the executable is run


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
        Where output files go: here, and the same at the submitter's; empty for those that do not get there.
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
        self._n_folders = 0
        self._empty = ""  # a folder of an item that another one can have

    def open_folder(self) -> str:
        """Return the folder of an item, with an empty one in it where the executable is run."""
        if not self._empty:
            self._n_folders += 1
            self._empty = f"{self.scratch}/{RUN}.{os.getpid()}.{self._n_folders}"
            os.makedirs(f"{self._empty}/{WORK}")
        folder, self._empty = self._empty, ""
        return folder

    def close_folder(self, folder: str) -> None:
        """Take a folder back: another item gets it, where it can be emptied, for new ones take longer."""
        if _is_as_new(folder):
            self._empty = folder
        else:
            remove(folder)

    def stage(self, task: Mapping[str, Any], work: str) -> None:
        """Put what an item finds into its folder: files for every item, its own, and folders of its outputs."""
        for name in os.listdir(self.files) if self.files else ():
            os.symlink(f"{self.files}/{name}", f"{work}/{name}")
        for number, (name, path) in enumerate(task["inputs"]):
            here = path if self.inputs is None else f"{self.inputs}/{task['item']}.{number}"
            if not os.path.exists(here):
                raise FileNotFoundError(errno.ENOENT, "the input file is gone", path)
            os.makedirs(os.path.dirname(f"{work}/{name}"), exist_ok=True)
            os.symlink(here, f"{work}/{name}")
        for name in task["outputs"].values():
            os.makedirs(os.path.dirname(f"{work}/{name}"), exist_ok=True)


def room_in_job(place: Place, name: str, path: str | None, home: str, outputs: str | None) -> Room:
    """Return where a job finds and leaves the files of its items.

    Parameters
    ----------
    place : Place
        Where the job is.
    name, path, home, outputs
        As for `Command`.
    """
    scratch = os.environ.get("_CONDOR_SCRATCH_DIR") or os.getcwd()
    results = here = (outputs or "", f"{home}/{KEPT}")
    program, inputs = path or name, None
    if place.is_sent:
        sandbox = os.path.dirname(place.outcome)
        inputs = f"{sandbox}/{INPUTS}"
        here = (f"{sandbox}/{OUTPUTS}", f"{sandbox}/{KEPT}")
        if path:
            program = f"{place.home}/{EXECUTABLE}/{os.path.basename(path)}"
    if outputs is None:
        here = (f"{scratch}/condormap.{OUTPUTS}", here[1])
    if path:
        program = runnable(program, f"{scratch}/condormap.{EXECUTABLE}")
    files = os.getcwd() if place.is_sent or place.files else None
    return Room(scratch, program, inputs, (here[0], results[0]), (here[1], results[1]), files)


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


def _is_as_new(folder: str) -> bool:
    """Empty the folder of an item; tell whether it can be that of another one."""
    work = f"{folder}/{WORK}"
    try:
        if not stat.S_ISDIR(os.lstat(work).st_mode) or not os.access(work, os.R_OK | os.W_OK | os.X_OK):
            return False
        for name in os.listdir(work):
            remove(f"{work}/{name}")
        for name in os.listdir(folder):
            if name != WORK:  # not cut off when they are opened again: ext4 then writes them to the disk
                remove(f"{folder}/{name}")
        return os.listdir(folder) == [WORK] and not os.listdir(work)
    except OSError:
        return False


def tails_of_runs(scratch: str) -> tuple[str, str]:
    """Return the ends of what the executable had printed that was killed with its worker; remove its folder."""
    out = err = ""
    for name in os.listdir(scratch):
        if name.startswith(f"{RUN}."):
            out = out or _tail(f"{scratch}/{name}/stdout")
            err = err or _tail(f"{scratch}/{name}/stderr")
            remove(f"{scratch}/{name}")
    return out, err


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
