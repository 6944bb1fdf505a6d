"""How many jobs of a kind a pool can run at once, and whether it can run them at all."""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

from .condor import Condor, Fit
from .errors import CondorError, ImpossibleRequestError, InvalidInputError
from .options import JobOptions, megabytes

_FRESH = 60.0  # seconds for which a pool's slots are taken as they were
_UNKNOWN = 4  # slots, where the collector doesn't tell
_SIZES = ("Cpus", "Memory", "Disk")
_ATTRIBUTES = [*_SIZES, *(f"TotalSlot{name}" for name in _SIZES), "PartitionableSlot", "DynamicSlot"]
_ATTRIBUTES += ["CondormapCpus", "CondormapMemory"]  # published by a personal pool
_ATTRIBUTES += ["FileSystemDomain"]
_KB_PER_MB = 1024
_cache: WeakKeyDictionary[Condor, tuple[float, Capacity]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Size:
    """What a slot has, or a job asks for.

    Parameters
    ----------
    cpus : int
        Cores.
    memory : int
        MB.
    disk : int
        MB; 0 where a job leaves it to HTCondor.
    """

    cpus: int
    memory: int
    disk: int

    def __str__(self) -> str:
        return f"{self.cpus} cpus, {self.memory} MB of memory and {self.disk} MB of disk"

    def room_for(self, job: Size) -> int:
        """Return how many such jobs fit in it."""
        n = min(self.cpus // job.cpus, self.memory // job.memory)
        return min(n, self.disk // job.disk) if job.disk else n


@dataclass(frozen=True)
class Capacity:
    """What a pool can run at once.

    Parameters
    ----------
    slots : tuple of Size
        The slots, partitionable ones whole.
    personal : Size or None
        What a personal pool has, which advertises more slots than it has cores; None for another pool.
    domains : frozenset of str
        The slots' FileSystemDomain: machines where it is the same see the same files.
    """

    slots: tuple[Size, ...]
    personal: Size | None
    domains: frozenset[str]

    def jobs_at_once(self, options: JobOptions) -> int:
        """Return how many jobs with these options fit at once, by cores, memory and disk."""
        if self.personal and options.gpus:
            return 0  # a personal pool offers none
        job = _asked(options)
        return sum(slot.room_for(job) for slot in ((self.personal,) if self.personal else self.slots))


def capacity(condor: Condor) -> Capacity | None:
    """Return what the pool can run, not older than a minute; None where its collector doesn't tell."""
    known = _cache.get(condor)
    if known and time.monotonic() < known[0] + _FRESH:
        return known[1]
    try:
        ads = condor.slots("DynamicSlot =!= true", _ATTRIBUTES)
    except CondorError:
        return None
    domains = frozenset(str(ad.get("FileSystemDomain") or "unknown") for ad in ads)
    found = Capacity(tuple(_size(ad) for ad in ads), _personal(ads), domains)
    _cache[condor] = (time.monotonic(), found)
    return found


def _size(ad: Mapping[str, Any]) -> Size:
    """Return what a slot has, used or not."""
    prefix = "TotalSlot" if ad.get("PartitionableSlot") else ""
    cpus, memory, disk = (int(ad.get(f"{prefix}{name}") or 0) for name in _SIZES)
    return Size(cpus, memory, disk // _KB_PER_MB)


def _personal(ads: list[dict[str, Any]]) -> Size | None:
    """Return what a personal pool has, which its slots publish; each has as much disk as the pool."""
    for ad in ads:
        if "CondormapCpus" in ad:
            return Size(int(ad["CondormapCpus"]), int(ad["CondormapMemory"]), _size(ad).disk)
    return None


def jobs_at_once(condor: Condor, options: JobOptions) -> int:
    """Return how many jobs with these options the pool can run at once, at least 1.

    Warns where no slot of a site's pool offers what they ask for now.

    Raises
    ------
    ImpossibleRequestError
        It is a personal pool, and can never run one such job.
    """
    if options.retry_memory is not None:  # what it would ask for at last has to fit as well
        jobs_at_once(condor, replace(options, memory=options.retry_memory, retry_memory=None))
    found = capacity(condor)
    if found is None:
        return _UNKNOWN
    n = found.jobs_at_once(options)
    if not n:
        asked, advice = f"what a job asks for ({_in_words(options)})", "ask for less, or start a larger pool"
    else:
        fit = _fit_of(condor, options)
        if fit is None or (fit.n_ever if found.personal else fit.n_fit):
            return n
        asked, advice = (
            f"a job's requirements ({_unfulfilled(options, fit)})",
            "correct them, or use another pool",
        )
    if found.personal:
        raise ImpossibleRequestError(
            f"this personal pool of {found.personal} can never fulfil {asked}. Nothing was submitted: {advice} "
            "(condormap pool start --cpus N --memory M)"
        )
    largest = max(found.slots, key=lambda slot: (slot.cpus, slot.memory), default="no cpus")
    warnings.warn(
        f"no slot of the pool fulfils {asked} now: the jobs wait until one does "
        f"({len(found.slots)} slots, the largest of {largest})",
        stacklevel=3,
    )
    return max(1, n)


def matching_slots(condor: Condor, options: JobOptions) -> int | None:
    """Return how many slots fulfil the options and their requirements; None if that can't be known."""
    try:
        found, fit = capacity(condor), condor.fit(_request(options), deadline=3.0)
    except (CondorError, InvalidInputError):
        return None
    return min(fit.n_fit, found.personal.cpus) if found and found.personal else fit.n_fit


# -- what a job asks for --------------------------------------------------------------------------------------


def _commands(options: JobOptions) -> dict[str, str]:
    """Return the submit commands by their names in lower case; a job's last word is `JobOptions.submit`."""
    return {name.lower(): value for name, value in options.commands().items()}


def _asked(options: JobOptions) -> Size:
    """Return the sizes that a job asks for, as far as they are numbers."""
    commands = _commands(options)
    cpus = commands["request_cpus"]
    own = "request_memory" in {name.lower() for name in options.submit}
    memory = _megabytes(commands["request_memory"], 1) if own else options.memory_mb
    disk = _megabytes(commands.get("request_disk", ""), _KB_PER_MB)
    return Size(max(1, int(cpus)) if cpus.isdecimal() else 1, memory or 1, disk or 0)


def _megabytes(text: str, per_mb: int) -> int | None:
    """Return a size of the submit language in MB; None for what is no size, an expression say."""
    try:
        return -(-int(text) // per_mb) if text.isdecimal() else megabytes(text, "")
    except InvalidInputError:
        return None


def _in_words(options: JobOptions) -> str:
    asked = _asked(options)
    words = f"cpus={asked.cpus}, memory={asked.memory} MB"
    words += f", disk={asked.disk} MB" if asked.disk else ""
    return words + (f", gpus={options.gpus}" if options.gpus else "")


def _fit_of(condor: Condor, options: JobOptions) -> Fit | None:
    """Return how the pool's slots fit the job's own requirements; None without any, or if that can't be known."""
    text = _commands(options).get("requirements", "")
    if not text or "$" in text:  # macros of the submit language
        return None
    try:
        return condor.fit(_request(options))
    except (CondorError, InvalidInputError):
        return None  # the submission tells what is wrong


def _request(options: JobOptions) -> dict[str, str]:
    """Return a job's attributes, as expressions, that its match depends on."""
    commands, asked = _commands(options), _asked(options)
    request = {
        re.sub(r"^([+]|my[.])", "", name): value
        for name, value in commands.items()
        if name.startswith(("+", "my.")) and "$" not in value
    }
    clauses = ["TARGET.Cpus >= RequestCpus", "TARGET.Memory >= RequestMemory"]
    request |= {"RequestCpus": str(asked.cpus), "RequestMemory": str(asked.memory)}
    if asked.disk:
        request["RequestDisk"] = str(asked.disk * _KB_PER_MB)
        clauses.append("TARGET.Disk >= RequestDisk")
    if options.gpus:
        request["RequestGPUs"] = str(options.gpus)
        clauses.append("TARGET.GPUs >= RequestGPUs")
    own = commands.get("requirements", "")
    if own and "$" not in own:
        clauses.insert(0, f"({own})")
    return {**request, "Requirements": " && ".join(clauses)}


def _unfulfilled(options: JobOptions, fit: Fit) -> str:
    """Say which part of the requirements no slot fulfils, and what the slots have."""
    if not fit.unfulfilled:
        return f"no slot has all of: {_commands(options)['requirements']}"
    told = []
    for clause, values in fit.unfulfilled.items():
        has = ", ".join(f"the slots' {name} is {' or '.join(each)}" for name, each in values.items())
        told.append(f"{clause}: {has}" if has else clause)
    return "; ".join(told)
