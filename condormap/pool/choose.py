"""Which pool a call uses: the one place that decides.

In this order: what the caller named; the machine's HTCondor configuration; this user's running personal pool; and
only where nothing is configured, and not on a shared hub, a personal pool that is started for the call.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pwd
import sys
from pathlib import Path

from condormap.address import PoolAddress
from condormap.errors import DaemonsNotFoundError, InvalidInputError, NoPoolError, PoolRunningError
from condormap.folders.paths import pool_folder
from condormap.pool.daemons import find_daemons
from condormap.pool.personal import PersonalPool

#: A pool that was started for a call ends itself after so many seconds with an empty queue.
STARTED_FOR_A_CALL = 15 * 60.0


def choose_pool(
    pool: PersonalPool | PoolAddress | str | None = None, schedd: str | None = None
) -> PoolAddress:
    """Return the address of the pool that a call uses. Nothing is contacted, but a pool may be started.

    Parameters
    ----------
    pool : PersonalPool, PoolAddress or str, optional
        The pool itself, or its collector's address (``"cm.lab.example"``).
    schedd : str, optional
        The schedd's name, where it is not the pool's (or this machine's) own.

    Raises
    ------
    NoPoolError
        There is none and none may be started here; the message names the command to run.
    PoolStartError
        The pool that was to be started did not start.
    """
    if schedd is not None and not (schedd and isinstance(schedd, str)):
        raise InvalidInputError(f"schedd= is a schedd's name, not a {type(schedd).__name__}: {schedd!r}")
    address = _chosen(pool)
    return dataclasses.replace(address, schedd=schedd) if schedd is not None else address


def _chosen(pool: PersonalPool | PoolAddress | str | None) -> PoolAddress:
    if isinstance(pool, PoolAddress):
        return pool
    if isinstance(pool, PersonalPool):
        if not pool.running:
            raise NoPoolError(
                f"The personal pool in {pool.folder} does not run; start it first (pool.start())."
            )
        return pool.address
    if pool is not None and not (pool and isinstance(pool, str)):
        raise InvalidInputError(
            f"pool= is a PersonalPool, a PoolAddress or a collector's address, not {pool!r}"
        )
    found = configured()
    if isinstance(pool, str):
        file, _ = found or (None, "")
        return PoolAddress(config_file=file, collector=pool, why=f"pool={pool!r} was given")
    if found is not None:
        # An unreachable pool is an error of the first call, never a reason to go elsewhere.
        file, why = found
        return PoolAddress(config_file=file, why=why)
    running = PersonalPool(pool_folder())
    if running.running:
        return running.address
    return _start_one()


def configured() -> tuple[Path | None, str] | None:
    """Return the machine's HTCondor configuration as HTCondor itself looks for it, and why; None without one.

    The file is None where only HTCondor knows it (its own search, or settings in the environment alone).
    """
    named = os.environ.get("CONDOR_CONFIG")
    if named:
        if named == "ONLY_ENV":
            return None, "CONDOR_CONFIG is ONLY_ENV"
        if not named.rstrip().endswith("|") and (os.path.isdir(named) or not os.access(named, os.R_OK)):
            wrong = (
                "that is a folder" if os.path.isdir(named) else "there is no such file, or it cannot be read"
            )
            raise NoPoolError(
                f"CONDOR_CONFIG is {named}, and {wrong}.\n"
                "Name HTCondor's configuration file in it, or unset it to let condormap find a pool."
            )
        return Path(named), f"CONDOR_CONFIG is {named}"
    candidates = [Path("/etc/condor/condor_config"), Path("/usr/local/etc/condor_config")]
    with contextlib.suppress(KeyError):
        candidates.append(Path(pwd.getpwnam("condor").pw_dir, "condor_config"))
    for file in candidates:
        if os.access(file, os.R_OK):
            return file, f"this machine's HTCondor configuration is {file}"
    return None


def _start_one() -> PoolAddress:
    """Start this user's default personal pool, where that is nobody else's business."""
    hub = sorted(name for name in os.environ if name.startswith("JUPYTERHUB_"))
    if hub:
        raise NoPoolError(
            "No HTCondor is configured here and no personal pool of yours runs. None was started, because this "
            f"is a shared hub ({hub[0]} is set).\nIf you may run jobs on it: condormap pool start --cpus 2"
        )
    try:
        daemons = find_daemons()
    except DaemonsNotFoundError as error:
        raise NoPoolError(
            "No HTCondor is configured here and no personal pool of yours runs; one could not be started, "
            f"because HTCondor's daemons are not here.\n{error}\n"
            "Then `condormap pool start`, or just call again."
        ) from error
    pool = PersonalPool(pool_folder(), daemons=daemons, idle_timeout=STARTED_FOR_A_CALL)
    try:
        pool.start()
    except PoolRunningError:
        # Another process had the same idea at the same time.
        return PersonalPool.attach_when_ready(pool.folder).address
    print(
        f"condormap: no HTCondor is configured here, so a personal pool was started in {pool.folder} "
        f"({pool.cpus} cpus, {pool.memory} MB); it ends itself after {STARTED_FOR_A_CALL / 60:.0f} idle minutes.",
        file=sys.stderr,
        flush=True,
    )
    return dataclasses.replace(pool.address, why="no HTCondor is configured, so a personal pool was started")
