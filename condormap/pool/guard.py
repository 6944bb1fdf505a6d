"""The guardian of a personal pool: one small process above condor_master, run as a script.

::

    owner (Python) <··pidfd·· guard ──> condor_master ──> collector, negotiator, schedd, startd ──> ... jobs

Nothing of the pool outlives it, nor does the folder of a temporary pool whose owner is gone. It is a "child
subreaper": every process of the pool stays its descendant, also a job that made itself a daemon, and the daemons
of a master that was killed. It holds the folder's lock, so "does a pool run here" is a question to the kernel.
It ends the pool when

- it is told to (SIGTERM),
- the process that owns the pool is gone (a detached pool has no owner),
- the queue was empty and untouched for the idle time-out,
- condor_master has ended or was killed.

Should the guard itself be killed, the kernel tells condor_master to stop (PR_SET_PDEATHSIG).
Standard library only and run by path, so that it starts fast and needs nothing but a Python.
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
from typing import Any

#: Seconds that HTCondor's own fast shutdown may take before whatever is left is killed.
FAST_SHUTDOWN = 5.0
#: Exit code: the kernel refused the user namespace.
NAMESPACE_REFUSED = 77

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_CLONE_NEWUSER = 0x10000000


def main() -> int:
    """Start condor_master, stay until the pool has to end, end it. Standard input has one JSON object."""
    plan = json.load(sys.stdin)
    libc = ctypes.CDLL(None, use_errno=True)
    if plan["namespace"]:
        try:
            _enter_user_namespace(libc, *plan["namespace"])
        except OSError as error:
            print(error, file=sys.stderr)
            return NAMESPACE_REFUSED
    if not plan["owner"] and os.fork():
        return 0  # a detached pool's guard is nobody's child
    new = plan["state_file"] + ".new"
    with open(new, "w") as file:
        json.dump({**plan["state"], "pid": os.getpid()}, file, indent=1)
    os.replace(new, plan["state_file"])
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    wake, alarm = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(alarm, False)
    signal.set_wakeup_fd(alarm)
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: told.append(number))
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    for ignored in (signal.SIGINT, signal.SIGHUP):  # the owner's terminal is none of the pool's business
        signal.signal(ignored, signal.SIG_IGN)
    watched = [wake]
    if plan["owner"]:
        # Before the check of the parent: an owner that dies in between is noticed by one of the two.
        with contextlib.suppress(OSError):
            watched.append(os.pidfd_open(plan["owner"]))

    def in_master() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT, 0, 0, 0)
        for restored in (signal.SIGINT, signal.SIGHUP):
            signal.signal(restored, signal.SIG_DFL)

    master = subprocess.Popen(
        plan["master"],
        stdin=subprocess.DEVNULL,
        env=os.environ,
        cwd=plan["folder"],
        preexec_fn=in_master,
    )
    idle = _Idle(plan) if plan["idle_timeout"] is not None else None
    abandoned = False
    while not told and master.pid not in _reap():
        if plan["owner"] and os.getppid() != plan["owner"]:
            abandoned = True
            break
        if idle and idle.over():
            break
        pause = idle.pause() if idle else None
        if plan["owner"] and len(watched) == 1:  # no pidfd (an old kernel): look at the parent once a second
            pause = min(1.0, pause or 1.0)
        ready, _, _ = select.select(watched, [], [], pause)
        if any(fd != wake for fd in ready):
            abandoned = True
            break
        with contextlib.suppress(BlockingIOError):
            os.read(wake, 4096)
    _end(master.pid)
    if abandoned and plan["temporary"]:
        import shutil  # here, for it is seldom needed

        shutil.rmtree(plan["folder"], ignore_errors=True)
    return 0


class _Idle:
    """Tell whether the queue has been empty, and untouched, for the time-out."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self._plan = plan
        self._timeout: float = plan["idle_timeout"]
        self._next: float = time.time() + self._timeout

    def pause(self) -> float:
        return max(0.05, self._next - time.time())

    def over(self) -> bool:
        if time.time() < self._next:
            return False
        try:
            # The schedd writes every change of its queue to the one file; the other says that it has started.
            changed = max(os.stat(self._plan[name]).st_mtime for name in ("queue", "ready"))
        except OSError:
            self._next = time.time() + 1.0
            return False
        self._next = changed + self._timeout
        if time.time() < self._next:
            return False
        try:
            answer = subprocess.run(
                self._plan["list_jobs"],
                env=os.environ,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=20,
            )
        except (OSError, subprocess.TimeoutExpired):
            answer = None
        if answer and answer.returncode == 0 and not answer.stdout.strip():
            return True
        self._next = time.time() + max(1.0, self._timeout / 10)  # jobs are in the queue: ask again later
        return False


def _enter_user_namespace(libc: ctypes.CDLL, inside_uid: int, inside_gid: int) -> None:
    """Become another user inside a namespace of our own; outside of it this process stays who it is."""
    uid, gid = os.geteuid(), os.getegid()
    if libc.unshare(_CLONE_NEWUSER) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    for name, content in (
        ("setgroups", "deny"),
        ("uid_map", f"{inside_uid} {uid} 1"),
        ("gid_map", f"{inside_gid} {gid} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(content)


def _end(master: int) -> None:
    """End the pool: HTCondor's fast shutdown first, which keeps the queue; then whatever is left is killed."""
    deadline = time.monotonic() + FAST_SHUTDOWN
    with contextlib.suppress(ProcessLookupError):
        os.kill(master, signal.SIGQUIT)
    while master in _descendants() and time.monotonic() < deadline:
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


def _descendants() -> set[int]:
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
                parents[int(name)] = int(file.read().rpartition(b")")[2].split()[1])
    found = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {os.getpid()}


if __name__ == "__main__":
    sys.exit(main())
