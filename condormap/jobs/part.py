"""Some jobs of a cluster, or all of them: what is acted on, asked about and waited for."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass

from ..condor import Condor
from ..status import JobStatus
from .state import ClusterState

# An evaluator that recurses does so for every "||": longer lists of alternatives are tested by member().
_ALTERNATIVES = 20

#: One job: its cluster, and its proc.
JobKey = tuple[ClusterState, int]


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

    def without(self, procs: Set[int]) -> Part:
        """Return the part without some jobs."""
        left = tuple(proc for proc in self.procs if proc not in procs)
        return self if len(left) == len(self.procs) else Part(self.state, left)

    def union(self, other: Part) -> Part:
        """Return the jobs of this part and of another one of the same cluster."""
        if self.chosen is None or other.chosen is None:
            return Part(self.state)
        return Part(self.state, tuple(sorted({*self.chosen, *other.chosen})))

    def whole_ads(self) -> list[dict[str, str]]:
        """Return the jobs' whole ads as text, of the queue and of the history."""
        ads = self.state.condor.query_text(constraint([self], cluster_ads=False))
        left = self.without({int(ad["ProcId"]) for ad in ads})
        if ads and left.procs:  # the history is only asked for what the queue has none of
            ads += self.state.condor.query_text(constraint([left], cluster_ads=False))
        return ads

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


def counts(parts: Iterable[Part]) -> dict[JobStatus, int]:
    """Return how many jobs are in each state, as last seen; only states that some are in."""
    found: dict[JobStatus, int] = {}
    for part in parts:
        for proc in part.procs:
            status = part.state.record(proc).status
            found[status] = found.get(status, 0) + 1
    return dict(sorted(found.items()))


def constraint(parts: Sequence[Part], *, cluster_ads: bool = True) -> str:
    """Return the ClassAd expression that is true of the jobs of the parts, and of the clusters' own ads."""
    whole = [part.state.cluster for part in parts if part.chosen is None]
    clauses = [f"ClusterId == {cluster}" for cluster in whole]
    if len(whole) > _ALTERNATIVES:
        clauses = [f"member(ClusterId, {{{', '.join(map(str, whole))}}})"]
    for part in parts:
        if part.chosen is not None:
            own = ["ProcId is undefined"] if cluster_ads else []
            clauses.append(f"(ClusterId == {part.state.cluster} && ({_any(_procs(part.chosen) + own)}))")
    return _any(clauses)


def _procs(chosen: Sequence[int]) -> list[str]:
    """Return alternatives, one of which is true of each of the procs: runs of them, and the rest by name."""
    alternatives, alone = [], []
    for _, run in itertools.groupby(enumerate(sorted(chosen)), key=lambda pair: pair[1] - pair[0]):
        procs = [proc for _, proc in run]
        if len(procs) == 1:
            alone.append(procs[0])
        else:
            alternatives.append(f"(ProcId >= {procs[0]} && ProcId <= {procs[-1]})")
    if len(alone) > _ALTERNATIVES:
        alternatives.append(f"member(ProcId, {{{', '.join(map(str, alone))}}})")
    else:
        alternatives += [f"ProcId == {proc}" for proc in alone]
    return alternatives or ["false"]


def _any(clauses: Sequence[str]) -> str:
    """Return the disjunction as a balanced tree, which an evaluator can recurse into whatever its length."""
    if len(clauses) <= _ALTERNATIVES:
        return " || ".join(clauses)
    half = len(clauses) // 2
    return f"({_any(clauses[:half])}) || ({_any(clauses[half:])})"
