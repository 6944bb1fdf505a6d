"""The jobs of a cluster as they were last seen, and how to look again: the queue, the event log, the history.

A job that is in the queue is what the queue says. One that has left it is what its event log says; where that is
silent, what the history says; where both are, it is lost. What has ended is never asked for again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..condor import Condor, Event
from ..errors import NoSuchJobError, RefusedError
from ..events import EventType
from ..status import JobStatus
from .log import LogFollower, follow
from .record import ATTRIBUTES, JobRecord

_LIVE = [
    *("ClusterId", "ProcId"),
    *("JobMaterializeNextProcId", "JobMaterializeLimit", "JobMaterializePaused", "JobMaterializePauseReason"),
    *ATTRIBUTES,
]
_PROJECTION = [*_LIVE, "TotalSubmitProcs", "UserLog", "Iwd"]
_PAUSED = (1, -1)  # JobMaterializePaused: by a hold, by an error; others mean that nothing is left to make
# An evaluator that recurses does so for every "||": longer lists of alternatives are tested by member().
_ALTERNATIVES = 20


class ClusterState:
    """One cluster of one schedd.

    Parameters
    ----------
    condor : Condor
        Who is asked.
    cluster : int
        The cluster's id.
    n_procs : int
        How many jobs it has, those that a factory has not made yet included; 0 while that is not known.

    Attributes
    ----------
    log : LogFollower or None
        The cluster's event log, where it has one that can be read here.
    paused : str
        Why the cluster's factory makes no more jobs; empty where it does, or where there is none.
    factory : bool
        Whether its jobs are made one after the other.
    removed_here : set of int
        The procs that this process removed.
    """

    def __init__(self, condor: Condor, cluster: int, n_procs: int = 0) -> None:
        self.condor = condor
        self.cluster = cluster
        self.n_procs = n_procs
        self.log: LogFollower | None = None
        self.paused = ""
        self.removed_here: set[int] = set()
        self.factory = False
        self._next = 0  # the proc that the factory makes next
        self._log_path: Path | None = None
        self._records: dict[int, JobRecord] = {}

    def record(self, proc: int) -> JobRecord:
        """Return what is known about a job."""
        record = self._records.get(proc)
        if record is None:
            record = self._records[proc] = JobRecord()
        return record

    def set_log(self, path: Path) -> None:
        """Note where the cluster's event log is."""
        if path != self._log_path:
            self._log_path = path
            if path.is_file():
                self.log = follow(self.condor, path)
                self.log.listen(self.cluster, self._take_event)

    @property
    def unmade(self) -> range:
        """The procs that the cluster's factory has not made yet, as far as is known."""
        return range(self._next if self.factory else self.n_procs, self.n_procs)

    def take_ad(self, ad: dict[str, Any]) -> None:
        """Note what an ad says, the cluster's own or a job's, of the queue or of the history."""
        proc = ad.get("ProcId")
        self.n_procs = max(
            self.n_procs, int(ad.get("TotalSubmitProcs") or 0), -1 if proc is None else proc + 1
        )
        if "JobMaterializeLimit" in ad:
            self.factory = True
            self.n_procs = max(self.n_procs, int(ad["JobMaterializeLimit"] or 0))
            # What the history has is of the time when the job ended.
            self._next = max(self._next, int(ad.get("JobMaterializeNextProcId") or 0))
            paused = ad.get("JobMaterializePaused") in _PAUSED
            self._set_paused(str(ad.get("JobMaterializePauseReason") or "no reason") if paused else "")
        if proc is not None:
            self.record(proc).take_ad(ad)
        if self.log is None and ad.get("UserLog"):
            self.set_log(Path(ad.get("Iwd") or "/", ad["UserLog"]))

    def _take_event(self, event: Event) -> None:
        if event.type == EventType.FACTORY_PAUSED and event.info.get("PauseCode") in _PAUSED:
            self._set_paused(str(event.info.get("Reason") or "no reason"))
        elif event.type == EventType.FACTORY_RESUMED:
            self._set_paused("")
        elif event.type == EventType.CLUSTER_REMOVE:
            # What a factory never made leaves no event of its own. (Of a cluster without one, it says n_procs.)
            self._next = int(event.info.get("NextProcId", self.n_procs))
            for proc in self.unmade:
                self.record(proc).never_made()
        elif event.proc >= 0:
            self.record(event.proc).take_event(event)

    def _set_paused(self, reason: str) -> None:
        """Note that the factory was put on hold, or released: that holds for what it has not made yet."""
        if reason != self.paused:
            self.paused = reason
            for proc in self.unmade:
                if not (record := self.record(proc)).in_log:
                    record.factory_paused(reason)


@dataclass(frozen=True)
class Part:
    """Some jobs of a cluster, or all of them.

    Parameters
    ----------
    state : ClusterState
        The cluster.
    chosen : tuple of int or None
        The procs; None for all.
    """

    state: ClusterState
    chosen: tuple[int, ...] | None = None

    @property
    def procs(self) -> Sequence[int]:
        """The procs."""
        return range(self.state.n_procs) if self.chosen is None else self.chosen

    def whole_ads(self) -> list[dict[str, str]]:
        """Return the jobs' whole ads as text, of the queue, else of the history."""
        constraint = f"ClusterId == {self.state.cluster}"
        if self.chosen is not None:
            constraint += f" && ({' || '.join(f'ProcId == {proc}' for proc in self.chosen) or 'false'})"
        return self.state.condor.query_text(constraint)

    def unfinished(self) -> list[int]:
        """Return the procs that have not ended, as far as is known."""
        record = self.state.record
        return [proc for proc in self.procs if not record(proc).ended]


def by_schedd(parts: Iterable[Part]) -> Iterator[tuple[Condor, list[Part]]]:
    """Yield each schedd once, with its parts."""
    found: dict[int, tuple[Condor, list[Part]]] = {}
    for part in parts:
        found.setdefault(id(part.state.condor), (part.state.condor, []))[1].append(part)
    yield from found.values()


def refresh(parts: Iterable[Part], deadline: float | None = None) -> None:
    """Look at all jobs of the parts that had not ended: one query of each schedd, then logs and history."""
    for condor, group in by_schedd(part for part in parts if part.unfinished()):
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


def constraint(parts: Sequence[Part], *, cluster_ads: bool = True) -> str:
    """Return the ClassAd expression that is true of the jobs of the parts, and of the clusters' own ads."""
    whole = [part.state.cluster for part in parts if part.chosen is None]
    clauses = [f"ClusterId == {cluster}" for cluster in whole]
    if len(whole) > _ALTERNATIVES:
        clauses = [f"member(ClusterId, {{{', '.join(map(str, whole))}}})"]
    for part in parts:
        if part.chosen is not None:
            procs = [f"ProcId == {proc}" for proc in part.chosen]
            if len(procs) > _ALTERNATIVES:
                procs = [f"member(ProcId, {{{', '.join(map(str, part.chosen))}}})"]
            own = ["ProcId is undefined"] if cluster_ads else []
            clauses.append(f"(ClusterId == {part.state.cluster} && ({' || '.join(procs + own)}))")
    return _any(clauses)


def _any(clauses: Sequence[str]) -> str:
    """Return the disjunction as a balanced tree, which an evaluator can recurse into whatever its length."""
    if len(clauses) <= _ALTERNATIVES:
        return " || ".join(clauses)
    half = len(clauses) // 2
    return f"({_any(clauses[:half])}) || ({_any(clauses[half:])})"


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
    """Ask for the cluster's own ad once, for what concerns all of its jobs."""
    only = f"ClusterId == {state.cluster} && ProcId is undefined"
    for ad in state.condor.query(only, _PROJECTION, all_users=True, cluster_ads=True, limit=1):
        state.take_ad(ad)


def counts(parts: Iterable[Part]) -> dict[JobStatus, int]:
    """Return how many jobs are in each state, as last seen; only states that some are in."""
    found: dict[JobStatus, int] = {}
    for part in parts:
        for proc in part.procs:
            status = part.state.record(proc).status
            found[status] = found.get(status, 0) + 1
    return dict(sorted(found.items()))
