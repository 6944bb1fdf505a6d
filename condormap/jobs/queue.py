"""Looking at jobs again: the queue, the event log, the history.

A job that is in the queue is what the queue says. One that has left it is what its event log says; where that is
silent, what the history says; where both are, it is lost. What has ended is never asked for again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from typing import Any

from ..condor import Condor
from ..errors import CondorError, NoSuchJobError, RefusedError
from ..events import AD_ATTRIBUTES
from ..status import JobStatus
from .ad import JobAd, KeptAd
from .part import Part, by_schedd, constraint
from .state import ClusterState

_LIVE = [
    *("ClusterId", "ProcId"),
    *("JobMaterializeNextProcId", "JobMaterializeLimit", "JobMaterializePaused", "JobMaterializePauseReason"),
    "Owner",
    *AD_ATTRIBUTES,
]
_PROJECTION = [*_LIVE, "TotalSubmitProcs", "UserLog", "Iwd"]


def refresh(parts: Iterable[Part], deadline: float | None = None) -> None:
    """Look at all jobs of the parts that had not ended: one query of each schedd, then logs and history.

    Where a schedd does not answer, its error is raised when all others have been asked.
    """
    errors: list[CondorError] = []
    for condor, group in by_schedd(part for part in parts if not part.state.still and part.unfinished()):
        try:
            _refresh(condor, group, deadline)
        except CondorError as error:
            errors.append(error)
    if errors:
        raise errors[0]


def _refresh(condor: Condor, group: Sequence[Part], deadline: float | None) -> None:
    for log in {part.state.log for part in group if part.state.log is not None}:
        log.read()  # before the queue is asked, so that an old event does not hide what it says
    wanted = _PROJECTION if any(part.state.log is None for part in group) else _LIVE
    ads = condor.query(constraint(group), wanted, all_users=True, cluster_ads=True, deadline=deadline)
    states: dict[int, set[ClusterState]] = {}
    for part in group:
        states.setdefault(part.state.cluster, set()).add(part.state)
    present: dict[int, set[int]] = {cluster: set() for cluster in states}
    for ad in ads:
        cluster, proc = ad["ClusterId"], ad.get("ProcId")
        for state in states[cluster]:
            state.take_ad(ad)
        present[cluster].update([proc] if proc is not None else next(iter(states[cluster])).unmade)
    for part in group:
        _find(part, present[part.state.cluster], deadline)


def _find(part: Part, present: Set[int], deadline: float | None) -> None:
    """Find out how those jobs ended that the queue does not have."""
    state = part.state

    def missing() -> list[int]:
        return [proc for proc in part.unfinished() if proc not in present]

    if missing() and state.log is not None:
        state.log.read()
    if not (gone := missing()):
        return
    which = constraint([Part(state, None if part.chosen is None else tuple(gone))], cluster_ads=False)
    for ad in past(state.condor, which, _PROJECTION, limit=len(part.procs), deadline=deadline):
        state.take_ad(ad)
    for proc in missing():
        if proc in state.unmade:
            state.record(proc).never_made()
        else:
            state.record(proc).not_found()


def look_anew(parts: Iterable[Part], deadline: float | None = None) -> None:
    """Have the schedds look at their idle jobs anew, if one of these is idle and this user's.

    A schedd (25.14) may leave an idle job out for 20 minutes: when the claim that it was to run on was refused,
    and when it was released while it was still being stopped for a hold. It looks at all of them again when an
    attribute such as JobPrio is set, be it to what it was.
    """
    for condor, group in by_schedd(parts):
        idle = (
            f"{part.state.cluster}.{proc}"
            for part in group
            for proc in part.unfinished()
            if part.state.record(proc).status is JobStatus.IDLE and proc not in part.state.unmade
        )
        if (job := next(idle, None)) is not None:
            cluster, _, proc = job.partition(".")
            which = f"ClusterId == {cluster} && ProcId == {proc}"
            for ad in condor.query(which, ["JobPrio"], deadline=deadline):
                condor.edit({"JobPrio": str(ad.get("JobPrio", 0))}, jobs=[job], deadline=deadline)


def past(
    condor: Condor,
    which: str,
    projection: Sequence[str] = (),
    *,
    limit: int = -1,
    deadline: float | None = None,
) -> list[dict[str, Any]]:
    """Return jobs of the history; none where the schedd keeps none."""
    try:
        return condor.history(which, projection, limit=limit, deadline=deadline)
    except RefusedError:
        return []


def find_cluster(condor: Condor, cluster: int, proc: int | None = None) -> ClusterState:
    """Return a cluster, or one job of it, from the queue or the history.

    Raises
    ------
    NoSuchJobError
        Neither has it.
    """
    state = ClusterState(condor, cluster)
    only = "" if proc is None else f" && (ProcId == {proc} || ProcId is undefined)"
    ads = condor.query(f"ClusterId == {cluster}{only}", _PROJECTION, all_users=True, cluster_ads=True)
    jobs = [ad for ad in ads if ad.get("ProcId") is not None]
    for ad in ads:
        state.take_ad(ad)
    n_wanted = state.n_procs - len(state.unmade) if proc is None else 1
    if len(jobs) < n_wanted or not ads:
        which = f"ClusterId == {cluster}" if proc is None else f"ClusterId == {cluster} && ProcId == {proc}"
        for ad in past(condor, which, _PROJECTION, limit=max(1, n_wanted - len(jobs)) if ads else -1):
            state.take_ad(ad)
            jobs.append(ad)
    found = {ad["ProcId"] for ad in jobs}
    if proc is not None and (proc in found or proc in state.unmade):
        return state
    if proc is None and (found or ads):
        return state
    name = f"cluster {cluster}" if proc is None else f"job {cluster}.{proc}"
    raise NoSuchJobError(
        f"{name} is neither in the queue of {condor.address.schedd or 'the schedd'} nor in its history"
        f" ({condor.address.why or 'the pool of the configuration'}). Look at the number, or name the schedd that"
        " has it, as schedd="
    )


def describe(state: ClusterState) -> None:
    """Ask for the cluster's own ad once, for what concerns all of its jobs; a single one's first ad is like it."""
    only = f"ClusterId == {state.cluster} && ProcId is undefined"
    wanted = _PROJECTION if state.n_procs > 1 else ()
    for ad in state.condor.query(only, wanted, all_users=True, cluster_ads=True, limit=1):
        state.take_ad(ad)
        if state.n_procs == 1:
            state.ads[0] = KeptAd(JobAd({**ad, "ProcId": 0}), 0.0)
