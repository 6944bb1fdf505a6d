"""Programs that a submit description has run: for a list of items, or to be included.

HTCondor does not look at how they end, and leaves those that it includes behind as zombies.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import time
from collections.abc import Iterator

_FROM = re.compile(r"((?:^|.*\s)from\s+(?:\[[^\]]*\]\s*)?)([^\s\"(].*)\|\s*", re.IGNORECASE | re.DOTALL)
_FILE = re.compile(r"(?:^|\s)from\s+(?:\[[^\]]*\]\s*)?([^(\s].*)", re.IGNORECASE | re.DOTALL)
_PATIENCE = 0.2  # seconds for a program to end once it has closed its output
_STDERR_KEPT = 1000


@contextlib.contextmanager
def items(arguments: str) -> Iterator[tuple[str, tuple[str, int, str] | None]]:
    """Run the program of ``queue ... from PROGRAM |``, here and not in HTCondor, to know how it ends.

    Gives the queue statement's arguments with a file in the program's place, in which its output is, and the
    program, its exit status and the end of its standard error; unchanged and None if there is no program, or
    none that can be run.
    """
    found = _FROM.fullmatch(arguments)
    if found is None:
        yield arguments, None
        return
    command = found[2].split()  # as HTCondor does, but for a command in quotes, which is left to it
    output = os.memfd_create("items")
    try:
        try:
            run = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.PIPE)
        except OSError:
            yield arguments, None
            return
        error = run.stderr.decode(errors="replace").strip()[-_STDERR_KEPT:]
        os.lseek(output, 0, os.SEEK_SET)
        yield f"{found[1]}/proc/self/fd/{output}", (" ".join(command), run.returncode, error)
    finally:
        os.close(output)


def source(arguments: str) -> str:
    """Return in words where the items of a queue statement come from."""
    found = _FILE.search(arguments)
    if not found:
        return "the items"
    if found[1].rstrip().endswith("|"):
        return f"the items that {found[1].rstrip(' |')!r} gives"
    return f"the items in {found[1].strip()}"


def reap() -> list[int]:
    """Reap the programs that have ended; return the exit statuses other than 0."""
    statuses: list[int] = []
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return statuses
        if pid and status:
            statuses.append(os.waitstatus_to_exitcode(status))
        elif not pid and time.monotonic() > until:
            return statuses
        elif not pid:
            time.sleep(0.001)
