"""Whether slots fit a job that is not yet submitted, tried by HTCondor's own evaluator, in the child."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import classad2

from condormap.condor.analysis import clauses_of, is_true, unused, values_of

_RESOURCES = ("Cpus", "Memory", "Disk", "GPUs")
_ALWAYS = {*_RESOURCES, *(f"TotalSlot{each}" for each in _RESOURCES), "PartitionableSlot", "DynamicSlot"}
# What a slot keeps as long as it lives; `unused` sees to the resources.
_FIXED = re.compile(
    r"cpus|memory|disk|gpus\w*|arch|opsys\w*|microarch|cpu(family|modelnumber|cachesize)|machine|name"
    r"|detected\w+|total(slot)?(cpus|memory|disk|gpus)|slot(id|type|typeid)|partitionableslot|dynamicslot"
    r"|has\w+|utsname\w+|condor(version|platform)|filesystemdomain|uiddomain|condormap\w+",
    re.IGNORECASE,
)
# In the name of an attribute that no slot has now, and may get.
_MAY_APPEAR = re.compile(r"time|last|drain", re.IGNORECASE)
_CHANGING = re.compile(r"\bcurrenttime\b|\b(\w*time|random)\s*\(", re.IGNORECASE)
_QUOTED = re.compile(r"\"(?:\\.|[^\"\\])*\"")


def fit(request: Mapping[str, Any], query: Callable[[list[str]], Sequence[Any]]) -> dict[str, Any]:
    """Return how a pool's slots fit a request; `condormap.condor.Fit` has the fields.

    Parameters
    ----------
    request : mapping of str to ExprTree
        Attributes of the job that is to come, ``Requirements`` among them.
    query : callable
        Returns the slots' ads with the given attributes.
    """
    job = classad2.ClassAd()
    for name, expression in request.items():
        job[name] = expression
    requirements = job.lookup("Requirements")
    slots = _slots(requirements, job, query)
    parts = [classad2.ExprTree(text) for text in clauses_of(str(requirements))]
    lasting = [part for part in parts if _lasts(part, job, slots)]
    return {
        "n_slots": len(slots),
        "n_fit": sum(is_true(requirements, job, slot) for slot in slots),
        "n_ever": sum(all(is_true(part, job, slot) for part in lasting) for slot in slots),
        "unfulfilled": {
            str(part): values_of(slots, job, part)
            for part in parts
            if not any(is_true(part, job, slot) for slot in slots)
        },
    }


def _slots(requirements: Any, job: Any, query: Callable[[list[str]], Sequence[Any]]) -> list[Any]:
    """Return the slots, without parts of others, with the attributes that the requirements need."""
    wanted = _ALWAYS | _names(job.externalRefs(requirements)) | _names(job.internalRefs(requirements))
    while True:
        slots = query(sorted(wanted))
        # The value of one may be an expression of others.
        more = {name for ad in slots for each in ad for name in _names(ad.externalRefs(ad.lookup(each)))}
        if more <= wanted:
            return [unused(ad) for ad in slots if ad.get("DynamicSlot") is not True]
        wanted |= more


def _names(references: Sequence[str]) -> set[str]:
    return {each.rpartition(".")[2] for each in references if each}


def _lasts(clause: Any, job: Any, slots: Sequence[Any]) -> bool:
    """Tell whether a clause's value for a slot stays as it is: nothing in it changes, and all of it is known."""
    if _CHANGING.search(_QUOTED.sub('""', str(clause))):
        return False
    for reference in job.externalRefs(clause):
        scope, _, name = reference.rpartition(".")
        if not reference or (scope.lower() in ("", "target") and _FIXED.fullmatch(name)):
            continue
        # Without a scope it may be an attribute that the job gets later.
        absent = scope.lower() == "target" and not any(name in slot for slot in slots)
        if not absent or _MAY_APPEAR.search(name):
            return False
    return True
