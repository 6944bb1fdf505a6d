"""Starting a personal pool: its configuration, its guard, and the wait until it takes jobs."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from condormap.errors import PoolRunningError, PoolStartError
from condormap.pool import guard, leftovers
from condormap.pool.config import PoolSettings, config_text
from condormap.pool.folder import CONFIG_FILE, READY_FILE, STATE_FILE, FolderLock
from condormap.pool.logs import last_words, tail


def launch(
    settings: PoolSettings,
    namespace: tuple[int, int] | None,
    *,
    owner: int | None,
    temporary: bool,
    idle_timeout: float | None,
) -> subprocess.Popen[bytes] | None:
    """Write the configuration and start the guard, which starts the daemons.

    Parameters
    ----------
    settings : PoolSettings
        What the pool is given.
    namespace : tuple of int or None
        See `condormap.pool.identity`.
    owner : int or None
        The process that the pool ends with; None for a detached pool.
    temporary : bool
        Remove the folder, should the owner be gone without having done so.
    idle_timeout : float or None
        Seconds.

    Returns
    -------
    Popen or None
        The guard; None where it is not this process's child, because the pool is detached.

    Raises
    ------
    PoolRunningError
        A pool runs in the folder.
    """
    folder = settings.folder
    lock = FolderLock(folder)
    # Somebody who only looks whether a pool runs holds the lock for an instant.
    if not lock.take(patience=0.3):
        raise PoolRunningError(
            f"A personal pool runs in {folder} already, or is being started there.\n"
            "Use it, stop it (condormap pool stop), or choose another folder."
        )
    try:
        leftovers.clear(folder)
        (folder / CONFIG_FILE).write_text(config_text(settings))
        child = _spawn(settings, namespace, owner, temporary, idle_timeout, lock)
    finally:
        lock.release()  # the guard has it now
    if owner is not None:
        return child
    _check_end(child.wait(), folder)
    return None


def wait_until_ready(
    settings: PoolSettings, child: subprocess.Popen[bytes] | None, *, timeout: float
) -> None:
    """Wait until the pool takes jobs; `child` is what `launch` returned."""
    folder, bin_folder = settings.folder, settings.daemons.bin
    deadline = time.monotonic() + timeout
    lock = FolderLock(folder)
    addresses = [folder / "log" / f".{name}_address" for name in ("collector", "schedd", "startd")]
    question = [str(bin_folder / "condor_status"), "-any", "-af", "MyType"]
    environment = _environment(folder / CONFIG_FILE)
    while True:
        if child is not None:
            _check_end(child.poll(), folder)
        if not lock.held():
            raise PoolStartError(f"The pool in {folder} ended while it started.\n{last_words(folder)}")
        if time.monotonic() > deadline:
            raise PoolStartError(
                f"The pool in {folder} was not ready after {timeout:g} s.\n{last_words(folder)}"
            )
        if all(file.exists() for file in addresses):
            try:
                answer = subprocess.run(
                    question, env=environment, capture_output=True, text=True, timeout=timeout
                )
            except subprocess.TimeoutExpired:
                continue
            types = answer.stdout.split()
            have_slots = types.count("Machine") + types.count("Slot") >= settings.slots
            if have_slots and "Scheduler" in types and "Negotiator" in types:
                (folder / READY_FILE).touch()
                return
        time.sleep(0.02)


def _spawn(
    settings: PoolSettings,
    namespace: tuple[int, int] | None,
    owner: int | None,
    temporary: bool,
    idle_timeout: float | None,
    lock: FolderLock,
) -> subprocess.Popen[bytes]:
    folder, daemons = settings.folder, settings.daemons
    order = {
        "master": [str(daemons.sbin / "condor_master"), "-f"],
        "folder": str(folder),
        "namespace": namespace,
        "owner": owner,
        "temporary": temporary,
        "idle_timeout": idle_timeout,
        "state_file": str(folder / STATE_FILE),
        "state": {
            "cpus": settings.cpus,
            "memory": settings.memory,
            "release": str(daemons.release),
            "idle_timeout": idle_timeout,
            "fsync": settings.fsync,
            "settings": dict(settings.extra),
        },
        "ready": str(folder / READY_FILE),
        "queue": str(folder / "spool" / "job_queue.log"),
        "list_jobs": [str(daemons.bin / "condor_q"), "-allusers", "-af", "ClusterId"],
    }
    with open(folder / "log" / "guard", "wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-I", "-S", guard.__file__],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env={**_environment(folder / CONFIG_FILE), leftovers.MARK: str(folder)},
            pass_fds=[lock.fd],
            start_new_session=True,
        )
    # Not as an argument, which everybody on the machine could read.
    assert child.stdin is not None
    with contextlib.suppress(BrokenPipeError), child.stdin as pipe:
        pipe.write(json.dumps(order).encode())
    return child


def _check_end(code: int | None, folder: Path) -> None:
    """Raise what the guard's exit code says went wrong before condor_master could be started."""
    if code == guard.NAMESPACE_REFUSED:
        raise PoolStartError(
            "A personal pool that root starts needs a user namespace, and this machine refused it: "
            f"{' '.join(tail(folder / 'log' / 'guard', 1))}.\n"
            "Start it as a normal user, or allow user namespaces (sysctl user.max_user_namespaces; in a "
            "container, a security profile that permits unshare)."
        )


def _environment(config_file: Path) -> dict[str, str]:
    """Return this process's environment, turned to the pool and without settings meant for another HTCondor."""
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith("_CONDOR_")}
    return {**kept, "CONDOR_CONFIG": str(config_file)}
