"""The HTCondor configuration of a personal pool, as text. docs/pool.md has every knob with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from condormap.pool.daemons import Daemons


@dataclass(frozen=True, kw_only=True)
class PoolSettings:
    """What a personal pool is given.

    Parameters
    ----------
    folder : Path
        Everything of the pool is in here.
    daemons : Daemons
        The HTCondor that it runs.
    cpus : int
        How many cpus its jobs may use together.
    memory : int
        How much memory its jobs may use together, in MB.
    idle_timeout : float or None
        Seconds with an empty queue after which the pool ends itself; None for never.
    fsync : bool
        Whether the queue reaches the disk at once. Without, a crash of the machine may lose jobs.
    extra : mapping of str to str
        More configuration; it overrides what is here.
    """

    folder: Path
    daemons: Daemons
    cpus: int
    memory: int
    idle_timeout: float | None = None
    fsync: bool = True
    extra: Mapping[str, str] = field(default_factory=dict)


SPARE_SLOTS = 32


def config_text(settings: PoolSettings, user: str) -> str:
    """Return the configuration file's text; `user` is who may use the pool."""
    folder, daemons = settings.folder, settings.daemons
    knobs = {
        "RELEASE_DIR": daemons.release,
        "BIN": daemons.bin,
        "SBIN": daemons.sbin,
        "LIB": daemons.lib,
        "LIBEXEC": daemons.libexec,
        "LOCAL_DIR": folder,
        "LOG": folder / "log",
        "SPOOL": folder / "spool",
        "EXECUTE": folder / "execute",
        "LOCK": folder / "lock",
        "RUN": folder / "run",
        "LOCAL_CONFIG_FILE": "",
        "LOCAL_CONFIG_DIR": "",
        "REQUIRE_LOCAL_CONFIG_FILE": "False",
        "DAEMON_LIST": "MASTER, COLLECTOR, NEGOTIATOR, SCHEDD, STARTD",
        "CONDOR_HOST": "127.0.0.1",
        "COLLECTOR_HOST": "127.0.0.1:0",
        "NETWORK_INTERFACE": "127.0.0.1",
        "ENABLE_IPV6": "False",
        "USE_SHARED_PORT": "False",
        "MASTER_ADDRESS_FILE": "$(LOG)/.master_address",
        "COLLECTOR_ADDRESS_FILE": "$(LOG)/.collector_address",
        "SCHEDD_ADDRESS_FILE": "$(LOG)/.schedd_address",
        "STARTD_ADDRESS_FILE": "$(LOG)/.startd_address",
        "NEGOTIATOR_ADDRESS_FILE": "$(LOG)/.negotiator_address",
        "SEC_DEFAULT_AUTHENTICATION": "REQUIRED",
        "SEC_DEFAULT_AUTHENTICATION_METHODS": "FS",
        "SEC_FS_ENFORCE_CHANNEL_BINDING": "False",
        "ALLOW_ADMINISTRATOR": f"{user}@*",
        "ALLOW_DAEMON": f"{user}@*",
        "ALLOW_NEGOTIATOR": f"{user}@*",
        "ALLOW_WRITE": f"{user}@*",
        "ALLOW_READ": f"{user}@*",
        "NEGOTIATOR_INTERVAL": "1",
        "NEGOTIATOR_CYCLE_DELAY": "0",
        "NEGOTIATOR_MIN_INTERVAL": "0",
        "NEGOTIATOR_PRE_JOB_RANK": "random(1000)",
        "SCHEDD_INTERVAL": "10",
        "SCHEDD_MIN_INTERVAL": "0",
        "MAX_JOBS_RUNNING": settings.cpus,
        "UPDATE_INTERVAL": "30",
        "STARTER_UPDATE_INTERVAL": "5",
        "CLAIM_WORKLIFE": "-1",
        "RUNBENCHMARKS": "False",
        "GUIDANCE_MUMS_THE_WORD": "True",
        "JOB_EPOCH_HISTORY": "",
        "NUM_CPUS": SPARE_SLOTS,
        "MEMORY": settings.memory // settings.cpus * SPARE_SLOTS,
        "NUM_SLOTS": SPARE_SLOTS,
        "SLOT_TYPE_1": "cpus=1",
        "NUM_SLOTS_TYPE_1": SPARE_SLOTS,
        "SLOT_TYPE_1_PARTITIONABLE": "False",
        "CONDOR_FSYNC": settings.fsync,
        "CONDORMAP_CPUS": settings.cpus,
        "CONDORMAP_MEMORY": settings.memory,
        "CondormapPersonal": "True",
        "CondormapCpus": settings.cpus,
        "CondormapMemory": settings.memory,
        "SCHEDD_ATTRS": "$(SCHEDD_ATTRS) CondormapPersonal CondormapCpus CondormapMemory",
        "STARTD_ATTRS": "$(STARTD_ATTRS) CondormapPersonal CondormapCpus CondormapMemory",
        "START": "True",
        "SINGULARITY": "/bin/false",
        "DOCKER": "",
        **settings.extra,
    }
    return "".join(f"{name} = {value}\n" for name, value in knobs.items())
