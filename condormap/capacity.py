"""How many jobs of a kind a pool can run at once."""

from __future__ import annotations

import re
import time
import warnings
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from .condor import Condor
from .errors import CondorError, ImpossibleRequestError
from .options import JobOptions

_FRESH = 60.0  # seconds for which a pool's slots are taken as they were
_UNKNOWN = 4  # slots, where the collector doesn't tell
_ATTRIBUTES = ["Cpus", "Memory", "TotalSlotCpus", "TotalSlotMemory", "PartitionableSlot", "DynamicSlot"]
_ATTRIBUTES += ["CondormapCpus", "CondormapMemory"]  # published by a personal pool
_cache: WeakKeyDictionary[Condor, tuple[float, Capacity]] = WeakKeyDictionary()


@dataclass(frozen=True)
class Capacity:
    """What a pool can run at once.

    Parameters
    ----------
    slots : tuple of (int, int)
        Cores and MB of memory of each slot, partitionable ones whole.
    personal : (int, int) or None
        Cores and MB of a personal pool, which advertises more slots than it has cores; None for another pool.
    """

    slots: tuple[tuple[int, int], ...]
    personal: tuple[int, int] | None

    def jobs_at_once(self, options: JobOptions) -> int:
        """Return how many jobs with these options fit at once, by cores and memory."""
        if self.personal and options.gpus:
            return 0  # a personal pool offers none
        slots = (self.personal,) if self.personal else self.slots
        return sum(min(cpus // options.cpus, memory // options.memory_mb) for cpus, memory in slots)


def capacity(condor: Condor) -> Capacity | None:
    """Return what the pool can run, not older than a minute; None where its collector doesn't tell."""
    known = _cache.get(condor)
    if known and time.monotonic() < known[0] + _FRESH:
        return known[1]
    try:
        ads = condor.slots(projection=_ATTRIBUTES)
    except CondorError:
        return None
    found = Capacity(tuple(_size(ad) for ad in ads if not ad.get("DynamicSlot")), _personal(ads))
    _cache[condor] = (time.monotonic(), found)
    return found


def _size(ad: dict[str, Any]) -> tuple[int, int]:
    """Return the cores and MB of a slot, used or not."""
    prefix = "TotalSlot" if ad.get("PartitionableSlot") else ""
    return int(ad.get(f"{prefix}Cpus", 0)), int(ad.get(f"{prefix}Memory", 0))


def _personal(ads: list[dict[str, Any]]) -> tuple[int, int] | None:
    """Return the cores and MB of a personal pool, which its slots publish."""
    for ad in ads:
        if "CondormapCpus" in ad:
            return int(ad["CondormapCpus"]), int(ad["CondormapMemory"])
    return None


def jobs_at_once(condor: Condor, options: JobOptions) -> int:
    """Return how many jobs with these options the pool can run at once, at least 1.

    Raises
    ------
    ImpossibleRequestError
        It is a personal pool, and smaller than one such job.
    """
    found = capacity(condor)
    if found is None:
        return _UNKNOWN
    n = found.jobs_at_once(options)
    if n:
        return n
    request = f"cpus={options.cpus}, memory={options.memory_mb} MB"
    if options.gpus:
        request += f", gpus={options.gpus}"
    if found.personal:
        cpus, memory = found.personal
        raise ImpossibleRequestError(
            f"a job with {request} can never run in this personal pool of {cpus} cpus and {memory} MB. Nothing "
            "was submitted: ask for less, or start a larger pool (condormap pool start --cpus N --memory M)"
        )
    warnings.warn(
        f"no slot of the pool offers {request} now: the jobs wait until one does "
        f"({len(found.slots)} slots, the largest of {max(found.slots, default=(0, 0))} cpus and MB)",
        stacklevel=3,
    )
    return 1


def matching_slots(condor: Condor, options: JobOptions) -> int | None:
    """Return how many slots fulfil the options, by cores, memory and requirements; None if that can't be known."""
    constraint = (
        f"max({{Cpus, TotalSlotCpus ?: 0}}) >= {options.cpus} && "
        f"max({{Memory, TotalSlotMemory ?: 0}}) >= {options.memory_mb} && DynamicSlot =!= true"
    )
    if options.requirements:
        in_the_slot = re.sub(r"(?i)\bTARGET[.]", "", options.requirements)
        constraint += f" && ({in_the_slot})"
    try:
        ads = condor.slots(constraint, ["CondormapCpus"], deadline=3.0)
    except CondorError:
        return None
    personal = next((int(ad["CondormapCpus"]) for ad in ads if "CondormapCpus" in ad), None)
    return len(ads) if personal is None else min(len(ads), personal)
