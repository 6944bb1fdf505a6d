"""Actions on plain jobs: HTCondor's totals, and which jobs failed and why."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..condor import Action, ActResult, Condor
from ..errors import InvalidInputError, NoSuchJobError, NotAuthorizedError
from ..status import JobStatus
from .part import Part, by_schedd, constraint
from .queue import refresh
from .reading import expire_ads
from .record import JobRecord
from .state import ClusterState

Key = Callable[[ClusterState, int], Hashable]

# The totals that HTCondor reports, in the order in which they are shown.
_TOTALS = (
    *("TotalSuccess", "TotalNotFound", "TotalBadStatus", "TotalAlreadyDone", "TotalPermissionDenied"),
    *("TotalError", "TotalJobAds", "TotalChangedAds"),
)


@dataclass(frozen=True)
class ActionResult(ActResult):
    """The totals of an action as HTCondor reports them, a mapping: ``TotalSuccess``, ``TotalBadStatus``...

    Of a factory, ``TotalSuccess`` counts the cluster's own ad too: 7 for a cluster of 6 jobs.

    Parameters
    ----------
    failed : dict
        The jobs that it was not done to, and why: by proc for a job or a cluster, by `Job` for a group.
    """

    failed: dict[Any, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<ActionResult {self.totals}{f', failed: {self.failed}' if self.failed else ''}>"


# The states that a job must be in for an action to mean anything; other actions are for any job of the queue.
_NEEDS = {
    Action.RELEASE: (JobStatus.HELD, "it is not on hold"),
    Action.VACATE: (JobStatus.RUNNING, "it does not run"),
    Action.SUSPEND: (JobStatus.RUNNING, "it does not run"),
    Action.CONTINUE: (JobStatus.SUSPENDED, "it is not suspended"),
}
_RUNS = (JobStatus.RUNNING, JobStatus.TRANSFERRING_OUTPUT)


def act(parts: Sequence[Part], action: Action, reason: str, key: Key) -> ActionResult:
    """Do something to jobs: one call for each schedd.

    Parameters
    ----------
    parts : sequence of Part
        The jobs.
    action, reason
        What, and why.
    key : callable
        What names a job in the result.

    Raises
    ------
    NoSuchJobError
        None of them is in the queue any more.
    NotAuthorizedError
        None of them is this user's.
    """
    if not isinstance(reason, str):
        raise InvalidInputError(f"a reason is text, and not a {type(reason).__name__}: {reason!r}")
    totals = dict.fromkeys(_TOTALS, 0)
    if not any(part.procs for part in parts):
        return ActionResult(totals)
    refresh(parts)  # what could fail is only known before: afterwards, a released job looks like any other
    before = {(part, proc): _why_not(part, proc, action) for part in parts for proc in part.procs}
    _check_any_left(parts, action.value)
    failed: dict[Any, str] = {}
    for condor, group in by_schedd(parts):
        if not (ids := _ids(group)):
            failed |= _failed(before, group, key)
            continue
        result = condor.act(action, jobs=ids, reason=reason)
        for name, n in result.items():
            totals[name] = totals.get(name, 0) + n
        absent = {(part, proc): _not_there(part, proc, action) for part in group for proc in part.procs}
        if result["TotalSuccess"] >= sum(not why for why in absent.values()):
            before |= absent  # the others came to the state that the action needs in between
        if result["TotalPermissionDenied"]:
            for part in group:
                for proc in part.procs:
                    before[part, proc] = before[part, proc] or _owned(part.state.record(proc))
        if result["TotalPermissionDenied"] and not result["TotalSuccess"]:
            raise NotAuthorizedError(_not_ours(action.value, condor, group))
        failed |= _failed(before, group, key)
    if action is Action.REMOVE:
        for part in parts:
            part.state.removed_here.update(proc for proc in part.procs if not before[part, proc])
    for part in parts:
        if action is Action.RELEASE:
            part.state.released_at = time.monotonic()
        if action in (Action.RELEASE, Action.REMOVE):
            part.state.on_release()
    expire_ads(parts)
    return ActionResult(totals, failed)


def edit(
    parts: Sequence[Part], values: Mapping[str, Any], expressions: Mapping[str, str], key: Key
) -> ActionResult:
    """Change attributes of jobs; see `Job.edit`."""
    attributes = {name: literal(name, value) for name, value in values.items()}
    if not isinstance(expressions, Mapping) or not all(isinstance(e, str) for e in expressions.values()):
        raise InvalidInputError(
            "expressions are a mapping from attributes to ClassAd expressions as text, such as"
            f' {{"RequestMemory": "2 * MemoryUsage"}}, and not {expressions!r}'
        )
    attributes |= expressions
    if not any(part.procs for part in parts):
        return ActionResult({"TotalSuccess": 0})
    refresh(parts)
    _check_any_left(parts, "edit")
    before = {(part, proc): _not_editable(part, proc) for part in parts for proc in part.procs}
    edited = 0
    for condor, group in by_schedd(parts):
        # A factory makes its later jobs from the cluster's own ad.
        factories = [part for part in group if part.chosen is None and part.state.unmade]
        for some, own_ads in ((factories, True), ([part for part in group if part not in factories], False)):
            if not _ids(some):
                continue
            which = constraint(some, cluster_ads=False)
            n_edited = condor.edit(attributes, constraint=which, cluster_ads=own_ads)
            if n_edited == 0 and any(not before[part, proc] for part in some for proc in part.procs):
                raise NotAuthorizedError(_not_ours("edit", condor, some))
            edited += n_edited
    failed = {key(part.state, proc): why for (part, proc), why in before.items() if why}
    expire_ads(parts)
    return ActionResult({"TotalSuccess": edited}, failed)


def literal(name: str, value: Any) -> str:
    """Return a Python value as a ClassAd literal."""
    if value is None:
        return "undefined"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        if value != value or abs(value) > _LARGEST:
            raise InvalidInputError(f"{name}: a ClassAd has no number such as {value!r}")
        return repr(value)
    if isinstance(value, str):
        if not value.isprintable():
            raise InvalidInputError(f"{name}: an edited text is one line of printable text, not {value!r}")
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    if isinstance(value, list | tuple):
        return f"{{{', '.join(literal(name, each) for each in value)}}}"
    raise InvalidInputError(
        f"{name}: a {type(value).__name__} is no ClassAd value; give a str, a number, a bool, None or a list of"
        " them, or an expression, as expressions={...}"
    )


_LARGEST = 2**63 - 1
_NOT_MADE = "its factory has not made it yet"


def _why_not(part: Part, proc: int, action: Action) -> str:
    """Return why an action will not be done to a job; empty if it will."""
    record = part.state.record(proc)
    if why := _not_there(part, proc, action):
        return why
    if action is Action.HOLD and record.status is JobStatus.HELD and proc not in part.state.unmade:
        return "it is on hold already"
    if action not in _NEEDS or proc in part.state.unmade:
        return ""
    wanted, why = _NEEDS[action]
    fits = record.status in _RUNS if action is Action.VACATE else record.status is wanted
    return "" if fits else f"{why}: {record.in_words()}"


def _not_there(part: Part, proc: int, action: Action) -> str:
    """Return why there is no job to act on; empty if there is one."""
    if proc not in part.state.unmade:
        return _gone(part, proc)
    needs_job = action in (Action.VACATE, Action.SUSPEND, Action.CONTINUE) or part.chosen is not None
    return _NOT_MADE if needs_job else _gone(part, proc)


def _not_editable(part: Part, proc: int) -> str:
    return _NOT_MADE if proc in part.state.unmade and part.chosen is not None else _gone(part, proc)


def _gone(part: Part, proc: int) -> str:
    record = part.state.record(proc)
    return f"it is not in the queue: {record.in_words()}" if record.ended else ""


def _owned(record: JobRecord) -> str:
    return f"it belongs to {record.owner}" if record.owner else "it belongs to another user"


def _not_ours(what: str, condor: Condor, group: Sequence[Part]) -> str:
    part, proc = next((part, proc) for part in group for proc in part.procs)
    who = condor.ping().user
    return (
        f"{what}: job {part.state.cluster}.{proc} is not yours: {_owned(part.state.record(proc))}, and the schedd"
        f" takes you for {who}. What to do: ask its owner, or check as whom you are authenticated"
        " (`condormap doctor`)"
    )


def _ids(group: Sequence[Part]) -> list[str]:
    """Return the ids to act on: a cluster's own for all of it, which reaches a factory too."""
    ids = []
    for part in group:
        left = part.unfinished()
        if left and part.chosen is None:
            ids.append(str(part.state.cluster))
        else:
            ids += [f"{part.state.cluster}.{proc}" for proc in left]
    return ids


def _check_any_left(parts: Sequence[Part], what: str) -> None:
    """Raise when no job is in the queue any more."""
    if any(part.unfinished() for part in parts):
        return
    pairs = [(part, proc) for part in parts for proc in part.procs]
    part, proc = pairs[0]
    one = len(pairs) == 1
    name = f"job {part.state.cluster}.{proc} is not" if one else f"none of the {len(pairs)} jobs is"
    record = part.state.record(proc)
    how = record.in_words() if one else f"the first, {part.state.cluster}.{proc}: {record.in_words()}"
    raise NoSuchJobError(f"{what}: {name} in the queue any more; {how}. To run it again, submit it again")


def _failed(before: Mapping[tuple[Part, int], str], group: Sequence[Part], key: Key) -> dict[Hashable, str]:
    return {
        key(part.state, proc): why for part in group for proc in part.procs if (why := before[part, proc])
    }
