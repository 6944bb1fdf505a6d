"""What a pool that crashed leaves behind: processes without a guard, and files that name them."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

#: In the environment of every daemon of a pool: the pool's folder.
MARK = "CONDORMAP_POOL"


def clear(folder: Path, *, timeout: float = 10.0) -> list[int]:
    """Kill the processes of a pool in `folder` and remove its stale files; the queue stays. The lock is ours.

    Returns
    -------
    list of int
        The processes that were killed.
    """
    killed: list[int] = []
    deadline = time.monotonic() + timeout
    while (alive := processes(folder)) and time.monotonic() < deadline:
        for pid in alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        killed += [pid for pid in alive if pid not in killed]
        time.sleep(0.02)
    for stale in (folder / "ready", *(folder / "log").glob(".*_address*"), *(folder / "lock").glob("*")):
        with contextlib.suppress(OSError):
            stale.unlink()
    return killed


def processes(folder: Path) -> list[int]:
    """Return the processes of a pool in `folder`: daemons by their mark, jobs by their scratch folder."""
    daemon = f"{MARK}={folder}".encode()
    job = f"_CONDOR_SCRATCH_DIR={folder / 'execute'}/".encode()
    found = []
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            environment = Path(entry.path, "environ").read_bytes().split(b"\0")
        except OSError:  # another user's, or just gone
            continue
        if any(item == daemon or item.startswith(job) for item in environment):
            found.append(int(entry.name))
    return found
