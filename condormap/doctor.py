"""The doctor: which pool is used and why, as whom, and whether a job runs there."""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

from .address import PoolAddress
from .capacity import capacity, matching_slots
from .catalog import remove
from .condor import Condor, connect
from .errors import CondormapError, DeadlineError, UnreachableError, WaitTimeoutError
from .folders.paths import pool_folder
from .mapping import condormap
from .options import JobOptions
from .pool.choose import choose_pool
from .pool.folder import had_pool
from .pool.personal import PersonalPool

PROBE_TIMEOUT = 120.0  # seconds
_PROBE = JobOptions(memory=64)  # what even the smallest personal pool has


@dataclass(frozen=True)
class Finding:
    """One thing that the doctor looked at.

    Parameters
    ----------
    ok : bool
        It is as it should be.
    what : str
        What was looked at.
    told : str
        What was found; where it is not ok, why and what to do.
    """

    ok: bool
    what: str
    told: str


def examine(
    pool: str | None = None, schedd: str | None = None, *, timeout: float = PROBE_TIMEOUT
) -> Iterator[Finding]:
    """Yield one finding after the other; the last one is of a job that ran, or the first that is not ok.

    Parameters
    ----------
    pool, schedd : str or None
        As for `condormap`.
    timeout : float
        Seconds for the probe job.
    """
    address = None
    try:
        address = choose_pool(pool, schedd)
        yield Finding(True, "pool", _address_in_words(address))
        condor = connect(address)
        who = condor.ping()
        yield Finding(True, "schedd", f"{who.schedd} at {who.address}, {_version(who.version)}")
        yield Finding(True, "you are", f"{who.user}, authenticated by {who.method or 'nothing'}")
        yield _slots(condor)
        yield _probe(address, condor, timeout)
    except CondormapError as error:
        told = str(error)
        if address is not None and isinstance(error, DeadlineError | UnreachableError):
            # Without its own advice, which is to ask the doctor.
            told = f"{told.partition('. What to do: ')[0]}. What to do: {_remedy(address)}"
        yield Finding(False, type(error).__name__, told)


def _remedy(address: PoolAddress) -> str:
    """Return what to do about a pool that does not answer."""
    folder = address.config_file.parent if address.config_file else None
    if folder is None or not had_pool(folder):
        return (
            "see whether its daemons run (`condor_status -any`, or `condor_who` on their machine); if they do not,"
            " or if you cannot tell, ask the pool's administrator"
        )
    where = "" if folder == pool_folder() else f" --dir {folder}"
    if PersonalPool(folder).running:
        return (
            f"the personal pool in {folder} runs, so `condormap pool logs schedd{where}` may tell why it does not "
            f"answer; `condormap pool stop{where}` and `start{where}` keep its queue"
        )
    return (
        f"the personal pool in {folder} does not run; `condormap pool start{where}` starts it, with its queue"
    )


def _address_in_words(address: PoolAddress) -> str:
    parts = [f"config {address.config_file}"] if address.config_file else []
    parts += [f"collector {address.collector}"] if address.collector else []
    return f"{', '.join(parts) or 'as this machine is configured'}; chosen because {address.why}"


def _version(text: str) -> str:
    words = text.strip("$ ").split()
    return f"HTCondor {words[1]}" if len(words) > 1 else text


def _slots(condor: Condor) -> Finding:
    found = capacity(condor)
    if found is None:
        return Finding(
            False, "slots", "the collector does not tell its slots: chunks are sized for a small pool"
        )
    if found.personal:
        return Finding(True, "slots", f"a personal pool of {found.personal}")
    cpus, memory = sum(slot.cpus for slot in found.slots), sum(slot.memory for slot in found.slots)
    return Finding(bool(found.slots), "slots", f"{len(found.slots)} slots with {cpus} cpus and {memory} MB")


def _probe(address: PoolAddress, condor: Condor, timeout: float) -> Finding:
    """Run one job and report where it ran."""
    began = time.monotonic()
    m = condormap(_look_around, [None], pool=address, progress=False, memory=_PROBE.memory)
    try:
        ((python, executable),) = m.results(timeout=timeout)
        ((job, host),) = m.jobs.host.items()
    except WaitTimeoutError:
        return Finding(
            False, "probe job", f"it has not run after {timeout:.0f} s and was removed: {_matching(condor)}"
        )
    finally:
        remove(m.tag)
    told = f"job {job.id} ran on {host} in {time.monotonic() - began:.1f} s: Python {python}, {executable}"
    here = platform.python_version()
    if python != here:
        return Finding(False, "probe job", f"{told}; but here it is Python {here} ({sys.executable})")
    return Finding(True, "probe job", told)


def _matching(condor: Condor) -> str:
    n = matching_slots(condor, _PROBE)
    if n is None:
        return "the collector does not tell which slots match"
    if n == 0:
        return f"no slot offers 1 cpu and {_PROBE.memory} MB of memory"
    return f"{n} slots match; they are busy, or do not accept your jobs (condor_q -better-analyze tells)"


def _look_around(_: None) -> tuple[str, str]:
    return platform.python_version(), sys.executable
