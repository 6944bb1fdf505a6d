"""The guardian of a personal pool: one small process above condor_master, run as a script.

::

    owner (Python) ──pipe──> guard ──> condor_master ──> collector, negotiator, schedd, startd ──> ... jobs

Whatever happens, nothing of the pool outlives it. It is a "child subreaper", so that every process of the pool
stays its descendant, also a job that made itself a daemon and also the daemons of a master that was killed. It
holds the folder's lock, so that "does a pool run here" is a question to the kernel. It ends the pool when

- it is told to (SIGTERM),
- its owner is gone (end of file on the pipe that is its standard input; a detached pool has none),
- condor_master has ended (an idle time-out) or was killed.

Should the guard itself be killed, the kernel tells condor_master to stop (PR_SET_PDEATHSIG).
Standard library only, and run by path, so that it starts fast and needs nothing but a Python.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time

FAST_SHUTDOWN = 8.0  # seconds that HTCondor's own fast shutdown may take before the rest is killed
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
CLONE_NEWUSER = 0x10000000
NAMESPACE_REFUSED = 77  # exit code


def main() -> int:
    """Start condor_master, stay until the pool has to end, end it. Arguments: one JSON object."""
    plan = json.loads(sys.argv[1])
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    wake, alarm = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(alarm, False)
    signal.set_wakeup_fd(alarm)
    ending: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: ending.append(number))
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    for ignored in (signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    if plan["namespace"]:
        try:
            _enter_user_namespace(libc, *plan["namespace"])
        except OSError as error:
            print(error, file=sys.stderr)
            return NAMESPACE_REFUSED

    def in_master() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGQUIT, 0, 0, 0)
        for restored in (signal.SIGINT, signal.SIGHUP):
            signal.signal(restored, signal.SIG_DFL)

    master = subprocess.Popen(  # noqa: PLW1509 - this process has one thread
        plan["command"], stdin=subprocess.DEVNULL, env=plan["environment"], cwd=plan["folder"], preexec_fn=in_master
    )
    watched = [wake, 0] if plan["owned"] else [wake]
    while not ending and master.pid not in _reap():
        ready, _, _ = select.select(watched, [], [])
        if 0 in ready:  # nobody writes to the pipe: readable means that the owner is gone
            break
        with contextlib.suppress(BlockingIOError):
            os.read(wake, 4096)
    _end(master.pid)
    return 0


def _enter_user_namespace(libc: ctypes.CDLL, inside_uid: int, inside_gid: int) -> None:
    """Become another user inside a namespace of our own; outside of it this process stays who it is."""
    uid, gid = os.geteuid(), os.getegid()
    if libc.unshare(CLONE_NEWUSER) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    with open("/proc/self/setgroups", "w") as file:
        file.write("deny")
    with open("/proc/self/uid_map", "w") as file:
        file.write(f"{inside_uid} {uid} 1")
    with open("/proc/self/gid_map", "w") as file:
        file.write(f"{inside_gid} {gid} 1")


def _end(master: int) -> None:
    """End the pool: HTCondor's fast shutdown first, which keeps the queue; then whatever is left is killed."""
    deadline = time.monotonic() + FAST_SHUTDOWN
    with contextlib.suppress(ProcessLookupError):
        os.kill(master, signal.SIGQUIT)
    while master in _children() and time.monotonic() < deadline:
        _reap()
        time.sleep(0.01)
    while left := _descendants():
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        _reap()
        time.sleep(0.01)


def _reap() -> set[int]:
    """Collect every child that has ended, ours or inherited; return their ids."""
    ended = set()
    with contextlib.suppress(ChildProcessError):
        while pid := os.waitpid(-1, os.WNOHANG)[0]:
            ended.add(pid)
    return ended


def _parents() -> dict[int, int]:
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
                parents[int(name)] = int(file.read().rpartition(b")")[2].split()[1])
    return parents


def _children() -> set[int]:
    return {pid for pid, parent in _parents().items() if parent == os.getpid()}


def _descendants() -> set[int]:
    parents, found = _parents(), {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {os.getpid()}


if __name__ == "__main__":
    sys.exit(main())
