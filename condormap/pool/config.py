"""The HTCondor configuration of a personal pool, as text.

docs/pool.md has the table: every knob, its default, the value here, the reason and the measured effect.
"""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from condormap.pool.daemons import Daemons

_UNUSED = 'State == "Claimed" && Activity == "Idle" && time() - EnteredCurrentActivity > 15'
_ADDRESS_FILES = ("MASTER", "COLLECTOR", "NEGOTIATOR", "SCHEDD", "STARTD")


@dataclass(frozen=True, kw_only=True)
class PoolSettings:
    """What a personal pool is given.

    Parameters
    ----------
    folder : Path
        Everything of the pool is in here.
    daemons : Daemons
        The HTCondor that it runs.
    user : str
        The one user who may do anything with the pool, by the name that the daemons see.
    cpus, memory, disk : int
        What all jobs may use together; memory and disk in MB.
    fsync : bool
        Whether every change of the queue reaches the disk at once.
    extra : mapping of str to str
        More configuration; it overrides what is here.
    """

    folder: Path
    daemons: Daemons
    user: str
    cpus: int
    memory: int
    disk: int
    fsync: bool = True
    extra: Mapping[str, str] = field(default_factory=dict)

    @property
    def slots(self) -> int:
        """How many partitionable slots, each as large as the whole pool, are advertised.

        A slot that was given back is unusable for about 1 s (the collector has an old ad of it), so the next
        match must find another. 16 for a cpu is enough for that; 64 at most, because every ad costs time in
        every negotiation cycle.
        """
        return min(16 * self.cpus, 64)


def config_text(settings: PoolSettings) -> str:
    """Return the text of the configuration file."""
    knobs = {
        **_places(settings),
        **_network_and_access(settings),
        **_latency(settings),
        **_slots(settings),
        **_policy(settings),
        **_published(settings),
    }
    lines = [f"{name} = {value}" for name, value in knobs.items()]
    lines.append("use POLICY : HOLD_IF_MEMORY_EXCEEDED")  # no cgroups without root: the startd looks instead
    lines += [f"{name} = {value}" for name, value in settings.extra.items()]
    return "\n".join(lines) + "\n"


def _places(settings: PoolSettings) -> dict[str, object]:
    folder = settings.folder
    return {
        **settings.daemons.settings(),
        "LOCAL_DIR": folder,
        "LOG": folder / "log",
        "SPOOL": folder / "spool",
        "EXECUTE": folder / "execute",
        "LOCK": folder / "lock",
        "RUN": folder / "run",
        # Nothing from outside of this file: /etc/condor of a system HTCondor is another pool's.
        "LOCAL_CONFIG_FILE": "",
        "LOCAL_CONFIG_DIR": "",
        "REQUIRE_LOCAL_CONFIG_FILE": False,
        "USER_CONFIG_FILE": "",
        **{f"{name}_ADDRESS_FILE": f"$(LOG)/.{name.lower()}_address" for name in _ADDRESS_FILES},
        "MAIL": "/bin/true",
        "SCHEDD_RESTART_REPORT": "",
        "JOB_EPOCH_HISTORY": "",
        "CONDOR_FSYNC": settings.fsync,
    }


def _network_and_access(settings: PoolSettings) -> dict[str, object]:
    host = socket.gethostname() or "localhost"
    only_us = f"{settings.user}@{host}"
    return {
        "DAEMON_LIST": "MASTER, COLLECTOR, NEGOTIATOR, SCHEDD, STARTD",
        "CONDOR_HOST": "127.0.0.1",
        "COLLECTOR_HOST": "127.0.0.1:0",  # the system chooses; the address file tells
        "NETWORK_INTERFACE": "127.0.0.1",
        "BIND_ALL_INTERFACES": False,
        "NETWORK_HOSTNAME": host,  # spares every daemon a look-up that a laptop's DNS may not answer
        "ENABLE_IPV6": False,
        # Each daemon has a port of its own: nobody outside can reach them anyway, it is one daemon and one hop
        # less, and there are no socket files, whose paths may not be longer than 107 bytes.
        "USE_SHARED_PORT": False,
        "UID_DOMAIN": host,
        "FILESYSTEM_DOMAIN": host,
        "SEC_DEFAULT_AUTHENTICATION": "REQUIRED",
        "SEC_DEFAULT_AUTHENTICATION_METHODS": "FS",
        "SEC_FS_ENFORCE_CHANNEL_BINDING": False,  # else a 25.14 client refuses a 23.9 schedd
        "SEC_PASSWORD_DIRECTORY": "$(LOCAL_DIR)/security",
        "SEC_TOKEN_DIRECTORY": "$(LOCAL_DIR)/security",
        "SEC_TOKEN_SYSTEM_DIRECTORY": "$(LOCAL_DIR)/security",
        "SEC_TOKEN_POOL_SIGNING_KEY_FILE": "$(LOCAL_DIR)/security/POOL",
        **{
            f"ALLOW_{level}": only_us
            for level in ("READ", "WRITE", "DAEMON", "NEGOTIATOR", "ADMINISTRATOR", "CONFIG")
        },
        "DISCARD_SESSION_KEYRING_ON_STARTUP": False,
        # Root's own tools, outside of the namespace, would look for a user "condor" without it.
        **({"CONDOR_IDS": "0.0"} if os.geteuid() == 0 else {}),
    }


def _latency(settings: PoolSettings) -> dict[str, object]:
    return {
        # A submission asks for a cycle and gets it at once; the interval is for what a cycle could not place.
        "NEGOTIATOR_INTERVAL": 1,
        "NEGOTIATOR_MIN_INTERVAL": 0,
        "NEGOTIATOR_CYCLE_DELAY": 0,
        "SCHEDD_INTERVAL": 10,
        "SCHEDD_MIN_INTERVAL": 0,
        # 0 is "no limit": these two make a schedd that was busy for some ms wait for a whole second.
        "SCHEDD_INTERVAL_TIMESLICE": 0,
        "SCHEDD_NEGOTIATE_TIMESLICE": 0,
        "PERIODIC_EXPR_INTERVAL": 10,
        "CLAIM_WORKLIFE": -1,
        "GUIDANCE_MUMS_THE_WORD": True,  # else 25.x lets every short job with file transfer sleep for 5 s
        "RUNBENCHMARKS": False,
        # IS_OWNER below is looked at by a poll (every 5 s, while there are claims) that only an update begins.
        "UPDATE_INTERVAL": 15,
        "STARTER_INITIAL_UPDATE_INTERVAL": 2,
        "STARTER_UPDATE_INTERVAL": 5,
        "SHADOW_QUEUE_UPDATE_INTERVAL": 60,
    }


def _slots(settings: PoolSettings) -> dict[str, object]:
    """Return the spare slots, and the rule that keeps what is in use below what the pool was given."""
    slots, cpus, memory = settings.slots, settings.cpus, settings.memory
    disk = settings.disk * 1024  # KB, as HTCondor counts it

    def left_in_all(resource: str) -> str:
        return "sum({" + ", ".join(f"slot{number}_{resource}" for number in range(1, slots + 1)) + "})"

    # What one slot gives to a job is missing in it; what is missing in all of them together may not be more than
    # one slot's worth. Only the dynamic slot asks: the startd makes it, with the newest figures of its brothers,
    # when a claim is requested and again when a job starts, so old ads in the collector cannot break the rule.
    honest = " && ".join(
        f"{left_in_all(resource)} >= {(slots - 1) * whole}"
        for resource, whole in (("Cpus", cpus), ("Memory", memory), ("Disk", disk))
    )
    # One-item maps in a row: each cluster prefers other slots than the ones before it.
    stride = max(1, min(cpus, slots // 16))
    return {
        "NUM_CPUS": slots * cpus,
        "MEMORY": slots * memory,
        "DISK": slots * disk,
        "NUM_SLOTS_TYPE_1": slots,
        "SLOT_TYPE_1": f"cpus={cpus}, memory={memory}",
        "SLOT_TYPE_1_PARTITIONABLE": True,
        "STARTD_SLOT_ATTRS": "Cpus Memory Disk",
        # A claim that the schedd forgot (its job was held as it started, or it crashed) would keep its part of the
        # pool for ever. It is given up 15 to 20 s after it began to idle: 23.9 asks START for it, 25.14 IS_OWNER.
        "START": f"(DynamicSlot isnt True) || (({honest}) && ({_UNUSED}) isnt True)",
        "IS_OWNER": _UNUSED,
        "NEGOTIATOR_PRE_JOB_RANK": f"(SlotID + {stride} * TARGET.ClusterId) % {slots}",
        "MAX_JOBS_RUNNING": cpus,
        # With MAX_JOBS_RUNNING the schedd offers only so many jobs at once; one offer at a time, and one that
        # nothing matches does not keep all others from their turn.
        "NEGOTIATOR_RESOURCE_REQUEST_LIST_SIZE": 1,
        # Else the schedd claims what a job leaves of its slot for the next job, is refused where the pool is full,
        # and then (25.14) may not look at that job again for 20 minutes.
        "CLAIM_PARTITIONABLE_LEFTOVERS": False,
        # Requests are not rounded up: a job that asks for all of the memory fits.
        "MODIFY_REQUEST_EXPR_REQUESTMEMORY": "RequestMemory",
        "MODIFY_REQUEST_EXPR_REQUESTDISK": "RequestDisk",
    }


def _policy(settings: PoolSettings) -> dict[str, object]:
    probes = {}
    if not shutil.which("apptainer") and not shutil.which("singularity"):
        probes["SINGULARITY"] = "/bin/false"
    if not shutil.which("docker"):
        probes["DOCKER"] = ""
    return {
        # A daemon that died is started again after 2 s instead of 10, should it die again after 3, 5, 9...
        "MASTER_BACKOFF_CONSTANT": 1,
        "NEGOTIATOR_CONSIDER_PREEMPTION": False,
        "SUSPEND": False,
        "PREEMPT": False,
        "KILL": False,
        "MachineMaxVacateTime": 10,
        # A starter whose program can't be executed hangs, and its slot with it, until it is killed.
        "KILLING_TIMEOUT": 3,
        # The pool stops as a whole: after it there is no running job to reconnect to, and with a lease the
        # schedd would look for one for 40 minutes before it started the job again.
        "JOB_DEFAULT_LEASE_DURATION": "undefined",
        **probes,
    }


def _published(settings: PoolSettings) -> dict[str, object]:
    """Return what tells a client how large the pool really is, as ad attributes and as configuration."""
    attributes = "CondormapPersonal CondormapCpus CondormapMemory"
    return {
        "CONDORMAP_CPUS": settings.cpus,
        "CONDORMAP_MEMORY": settings.memory,
        "CONDORMAP_USER": settings.user,
        "CondormapPersonal": True,
        "CondormapCpus": settings.cpus,
        "CondormapMemory": settings.memory,
        "SCHEDD_ATTRS": f"$(SCHEDD_ATTRS) {attributes}",
        "STARTD_ATTRS": f"$(STARTD_ATTRS) {attributes}",
    }
