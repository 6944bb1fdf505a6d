"""Checks of what callers pass, before a child or a daemon is asked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from condormap.condor.results import Action
from condormap.errors import InvalidInputError

_SUBMISSION_ID = re.compile(r"[A-Za-z0-9_.:-]+")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ROW_VALUE = re.compile(r"[A-Za-z0-9_.-]+")
_JOB = re.compile(r"\d+(\.\d+)?")
_QUEUE = re.compile(r"^\s*queue\b", re.IGNORECASE | re.MULTILINE)


def submission(description: str, rows: Sequence[Mapping[str, str]], name: str) -> None:
    """Check what is to be submitted."""
    submission_id(name)
    if _QUEUE.search(description):
        raise InvalidInputError(
            "the submit description has a queue statement, and HTCondor would drop what follows it: leave it out,"
            " and give rows or count"
        )
    if not rows:
        return
    keys = rows[0].keys()
    for key in keys:
        if not _NAME.fullmatch(key):
            raise InvalidInputError(f"{key!r} cannot name a variable of the submit language")
    for index, row in enumerate(rows):
        if row.keys() != keys:
            raise InvalidInputError(f"row {index} has {sorted(row)}, and row 0 has {sorted(keys)}")
        for key, value in row.items():
            if not _ROW_VALUE.fullmatch(value):
                raise InvalidInputError(
                    f"row {index}: {key} = {value!r}, and HTCondor carries only letters, digits and _.- unchanged"
                )


def submission_id(name: str) -> None:
    """Check the id of a submission."""
    if not _SUBMISSION_ID.fullmatch(name):
        raise InvalidInputError(f"a submission id has letters, digits and _.:- only: {name!r}")


def action(name: Action | str) -> Action:
    """Return the action of that name."""
    try:
        return Action(name)
    except ValueError:
        names = ", ".join(each.value for each in Action)
        raise InvalidInputError(f"{name!r} cannot be done to jobs; what can: {names}") from None


def attributes(values: Mapping[str, str]) -> None:
    """Check the names of attributes to edit; their values are checked by HTCondor's parser in the child."""
    if not values:
        raise InvalidInputError("no attribute to edit was given")
    for name in values:
        if not _NAME.fullmatch(name):
            raise InvalidInputError(f"{name!r} cannot name an attribute")


def jobs_or_constraint(jobs: Sequence[str] | None, constraint: str | None) -> list[str] | str:
    """Return the one of the two that was given."""
    if jobs is None and constraint is not None:
        return constraint
    if jobs is None or constraint is not None:
        raise InvalidInputError("say which jobs: either jobs= or constraint=")
    if isinstance(jobs, str) or not jobs or not all(_JOB.fullmatch(job) for job in jobs):
        raise InvalidInputError(f"jobs is a list of ids, as ['12', '13.0']: {jobs!r}")
    return list(jobs)


def constraint_of(jobs: Sequence[str]) -> str:
    """Return the constraint that is true of these jobs and clusters."""
    clauses = []
    for job in jobs:
        cluster, _, proc = job.partition(".")
        clauses.append(f"(ClusterId == {cluster} && ProcId == {proc})" if proc else f"ClusterId == {cluster}")
    return " || ".join(clauses)
