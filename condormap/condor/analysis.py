"""Why jobs do not run: their requirements and the slots', tried by HTCondor's own evaluator, in the child."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import classad2

_QUOTED = re.compile(r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'")
_VALUES_SHOWN = 5
# What a partitionable slot has left, and what it has when nobody uses it.
_UNUSED = {name: f"TotalSlot{name}" for name in ("Cpus", "Memory", "Disk", "GPUs")}


def analyse(jobs: Sequence[Any], ads: Sequence[Any]) -> dict[str, Any]:
    """Return how the requirements of jobs and of slots meet.

    Returns
    -------
    dict
        ``matches``, each the fields of a `Match`, and ``jobs``: (cluster, proc) -> the index of its match.
    """
    slots = [ad for ad in ads if ad.get("DynamicSlot") is not True]  # those are parts of partitionable ones
    whole = [unused(slot) for slot in slots]
    asked_by_slots = {
        reference.rpartition(".")[2]
        for requirements in {str(slot.lookup("Requirements")) for slot in slots}
        for reference in classad2.ClassAd().externalRefs(classad2.ExprTree(requirements))
    }
    matches: list[dict[str, Any]] = []
    alike: dict[tuple[str, ...], int] = {}
    found: dict[tuple[int, int], int] = {}
    for job in jobs:
        requirements = job.lookup("Requirements")
        seen = sorted(asked_by_slots.union(job.internalRefs(requirements)))
        signature = (str(requirements), *(str(job.get(name)) for name in seen))
        if signature not in alike:
            alike[signature] = len(matches)
            matches.append(_match(job, requirements, slots, whole))
        found[job["ClusterId"], job["ProcId"]] = alike[signature]
    return {"matches": matches, "jobs": found}


def _match(job: Any, requirements: Any, slots: Sequence[Any], whole: Sequence[Any]) -> dict[str, Any]:
    """Return the fields of a `Match`: of one job with the slots as they are, and as they are when unused."""
    clauses = []
    for text in clauses_of(str(requirements)):
        clause = classad2.ExprTree(text)
        n_true = sum(is_true(clause, job, slot) for slot in whole)
        theirs = values_of(whole, job, clause)
        clauses.append({"text": text, "n_slots": n_true, "job": _ours(job, clause), "slots": theirs})
    unclaimed = [slot for slot in slots if slot.get("State") in ("Unclaimed", "Backfill")]
    return {
        "n_slots": len(slots),
        "clauses": clauses,
        "n_fit": sum(is_true(requirements, job, slot) for slot in whole),
        "n_willing": sum(_agree(requirements, job, slot) for slot in whole),
        "n_free": sum(_agree(requirements, job, slot) for slot in unclaimed),
    }


def is_true(expression: Any, ad: Any, target: Any) -> bool:
    """Tell whether an expression is true of an ad and its target; none at all is."""
    if expression is None:
        return True
    try:
        value = expression.eval(ad, target)
        return value is True or (type(value) is int and value != 0)
    except classad2.ClassAdException:
        return False


def _agree(requirements: Any, job: Any, slot: Any) -> bool:
    return is_true(requirements, job, slot) and is_true(slot.lookup("Requirements"), slot, job)


def unused(slot: Any) -> Any:
    """Return a slot's ad as it is when nobody uses any of it."""
    if slot.get("PartitionableSlot") is not True:
        return slot
    whole = classad2.ClassAd(str(slot))
    for name, total in _UNUSED.items():
        if total in whole:
            whole[name] = whole[total]
    return whole


def clauses_of(text: str) -> Iterator[str]:
    """Give the parts of an expression that all have to be true."""
    text = text.strip()
    top = _top_level(text)
    if set(top) <= set("() ") and top.startswith("(") and top.count("(") == 1:
        yield from clauses_of(text[1:-1])
        return
    ends = [match.start() for match in re.finditer("&&", top)]
    if not ends or "||" in top or re.search(r"(?<!=)\?", top):  # these are weaker than "&&"
        yield text
        return
    for begin, end in zip([0, *(end + 2 for end in ends)], [*ends, len(text)], strict=True):
        yield from clauses_of(text[begin:end])


def _top_level(text: str) -> str:
    """Return the text with blanks in place of everything that stands in quotation marks or brackets."""
    text = _QUOTED.sub(lambda match: "x" * len(match[0]), text)
    depth, top = 0, []
    for letter in text:
        depth -= letter in ")]}"
        top.append(letter if depth == 0 else " ")
        depth += letter in "([{"
    return "".join(top)


def _ours(job: Any, clause: Any) -> dict[str, str]:
    """Return the values of the job's own attributes in a clause."""
    return {name: str(job.get(name)) for name in sorted(set(job.internalRefs(clause))) if name}


def values_of(slots: Sequence[Any], job: Any, clause: Any) -> dict[str, list[str]]:
    """Return what the slots have for the attributes in a clause: the largest number, or some of the values."""
    found = {}
    for reference in sorted(set(filter(None, job.externalRefs(clause)))):
        name = reference.partition(".")[2] or reference
        values = {slot.get(name) for slot in slots}
        numbers = [value for value in values if type(value) in (int, float)]
        if numbers:
            found[name] = [f"at most {max(numbers)}"]
        else:
            found[name] = sorted("undefined" if value is None else str(value) for value in values)[
                :_VALUES_SHOWN
            ]
    return found
