"""Actions on plain jobs: HTCondor's totals, and which jobs failed and why."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..condor import Action, ActResult, Condor
from ..errors import CondorError, InvalidInputError, NoSuchJobError, NotAuthorizedError
from ..status import JobStatus
from .part import Part, by_schedd, constraint
from .queue import refresh
from .reading import expire_ads
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
    UnreachableError, DeadlineError
        No schedd that has any of them answers.
    """
    if not isinstance(reason, str):
        raise InvalidInputError(f"a reason is text, and not a {type(reason).__name__}: {reason!r}")
    totals = dict.fromkeys(_TOTALS, 0)
    if not any(part.procs for part in parts):
        return ActionResult(totals)
    done = _at_each_schedd(parts, lambda condor, group: _act(condor, group, action, reason), action.value)
    for name, n in done.totals.items():
        totals[name] = totals.get(name, 0) + n
    for part in parts:
        if action is Action.REMOVE:
            removed = {proc for proc in part.procs if not done.why_not[part, proc]}
            part.state.removed_here.update(removed)
            for proc in removed.intersection(part.state.unmade):
                part.state.record(proc).never_made()
        if action is Action.RELEASE:
            part.state.released_at = time.monotonic()
        if action in (Action.RELEASE, Action.REMOVE):
            part.state.on_release()
    expire_ads(parts)
    return ActionResult(totals, done.failed(key))


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
    done = _at_each_schedd(parts, lambda condor, group: _edit(condor, group, attributes), "edit")
    expire_ads(parts)
    return ActionResult(done.totals, done.failed(key))


@dataclass
class _Done:
    """What was done: HTCondor's totals, and why not to which jobs; empty for those to which it was done."""

    totals: dict[str, int]
    why_not: dict[tuple[Part, int], str]

    def failed(self, key: Key) -> dict[Hashable, str]:
        return {key(part.state, proc): why for (part, proc), why in self.why_not.items() if why}


def _at_each_schedd(parts: Sequence[Part], do: Callable[[Condor, Sequence[Part]], _Done], what: str) -> _Done:
    """Do something at each schedd that has any of the jobs; raise its error only where no schedd did it."""
    done = _Done({}, {})
    errors: list[CondorError] = []
    n_done = 0
    for condor, group in by_schedd(parts):
        try:
            refresh(
                group
            )  # what could fail is only known before: afterwards, a released job looks like any other
            if not any(part.unfinished() for part in group):
                done.why_not |= {pair: _gone(*pair) for pair in _pairs(group)}
                continue
            here = do(condor, group)
        except CondorError as error:
            errors.append(error)
            done.why_not |= {pair: _gone(*pair) or str(error) for pair in _pairs(group)}
        else:
            n_done += 1
            done.why_not |= here.why_not
            for name, n in here.totals.items():
                done.totals[name] = done.totals.get(name, 0) + n
    if n_done:
        return done
    raise errors[0] if errors else _none_left(parts, what)


def _act(condor: Condor, group: Sequence[Part], action: Action, reason: str) -> _Done:
    why_not = {(part, proc): _why_not(part, proc, action) for part, proc in _pairs(group)}
    result = condor.act(action, jobs=_ids(group), reason=reason)
    absent = {(part, proc): _not_there(part, proc, action) for part, proc in _pairs(group)}
    if result["TotalSuccess"] >= sum(not why for why in absent.values()):
        why_not = absent  # the others came to the state that the action needs in between
    if result["TotalPermissionDenied"]:
        foreign = _foreign(condor, group, absent)
        if not result["TotalSuccess"] and all(pair in foreign for pair, why in absent.items() if not why):
            raise _not_ours(action.value, condor, foreign)
        why_not |= foreign
    return _Done(dict(result), why_not)


def _edit(condor: Condor, group: Sequence[Part], attributes: Mapping[str, str]) -> _Done:
    why_not = {(part, proc): _not_editable(part, proc) for part, proc in _pairs(group)}
    n_expected = sum(not why for why in why_not.values())
    edited = 0
    # A factory makes its later jobs from the cluster's own ad.
    factories = [part for part in group if part.chosen is None and part.state.unmade]
    for some, own_ads in ((factories, True), ([part for part in group if part not in factories], False)):
        if _ids(some):
            which = constraint(some, cluster_ads=False)
            edited += condor.edit(attributes, constraint=which, cluster_ads=own_ads)
    # The schedd is asked to edit this user's jobs only, and says no more than how many these were.
    if len({part.state.owner for part in group}) > 1 or (n_expected and not edited):
        foreign = _foreign(condor, group, why_not)
        if n_expected and not edited and foreign:
            raise _not_ours("edit", condor, foreign)
        why_not |= foreign
    return _Done({"TotalSuccess": edited}, why_not)


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


def _foreign(
    condor: Condor, group: Sequence[Part], absent: Mapping[tuple[Part, int], str]
) -> dict[tuple[Part, int], str]:
    """Return the jobs that are there and not this user's, each with whose it is."""
    me = condor.ping().user.partition("@")[0]
    return {
        (part, proc): f"it belongs to {part.state.owner or 'another user'}"
        for part, proc in _pairs(group)
        if not absent[part, proc] and part.state.owner != me
    }


def _not_ours(what: str, condor: Condor, foreign: Mapping[tuple[Part, int], str]) -> NotAuthorizedError:
    (part, proc), whose = next(iter(foreign.items()))
    return NotAuthorizedError(
        f"{what}: job {part.state.cluster}.{proc} is not yours: {whose}, and the schedd takes you for"
        f" {condor.ping().user}. What to do: ask its owner, or check as whom you are authenticated"
        " (`condormap doctor`)"
    )


def _pairs(parts: Sequence[Part]) -> list[tuple[Part, int]]:
    return [(part, proc) for part in parts for proc in part.procs]


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


def _none_left(parts: Sequence[Part], what: str) -> NoSuchJobError:
    """Return the error for jobs of which none is in the queue any more."""
    pairs = _pairs(parts)
    part, proc = pairs[0]
    one = len(pairs) == 1
    name = f"job {part.state.cluster}.{proc} is not" if one else f"none of the {len(pairs)} jobs is"
    record = part.state.record(proc)
    how = record.in_words() if one else f"the first, {part.state.cluster}.{proc}: {record.in_words()}"
    return NoSuchJobError(f"{what}: {name} in the queue any more; {how}. To run it again, submit it again")
