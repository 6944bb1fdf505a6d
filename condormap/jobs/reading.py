"""Reading the ads of jobs: of the queue, else of the history, else what was seen last; one question for all."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from typing import Any

from ..condor import Condor
from ..errors import DeadlineError, NoSuchJobError, UnreachableError
from .ad import JobAd, KeptAd
from .part import JobKey, Part, by_schedd, constraint
from .queue import past

_FRESH = 1.0  # seconds for which a whole ad is not asked for again
_LEAST, _PER_JOB = 20.0, 0.003  # seconds until the deadline; whole ads of 10,000 jobs take 2.5 s


def read_ads(
    parts: Sequence[Part], names: Sequence[str] = (), *, now: bool = False
) -> dict[JobKey, JobAd | NoSuchJobError]:
    """Return the ads of jobs; in the place of an ad that nobody has, the error that says so.

    Parameters
    ----------
    parts : sequence of Part
        The jobs.
    names : sequence of str, optional
        The attributes that are wanted; by default all. Whole ads are kept and serve for a second.
    now : bool, optional
        Ask, even if the last ad is new.
    """
    began = math.inf if now else time.monotonic()
    new: dict[JobKey, JobAd] = {}
    for condor, group in by_schedd(parts):
        old = [part for part in (_of_old_ads(part, began) for part in group) if part.procs]
        if old:
            new |= _ask(condor, old, names)
    found: dict[JobKey, JobAd | NoSuchJobError] = {}
    for part in parts:
        for proc in part.procs:
            key = (part.state, proc)
            found[key] = new[key] if key in new else _kept(key)
    return found


def expire_ads(parts: Iterable[Part]) -> None:
    """Note that jobs were changed: their ads are asked for when they are read next."""
    for part in parts:
        ads = part.state.ads
        for proc in ads.keys() & set(part.procs):
            if ads[proc].until < math.inf:
                ads[proc] = KeptAd(ads[proc].ad, 0.0)


def _of_old_ads(part: Part, now: float) -> Part:
    """Return the jobs of a part whose ads are not new any more; an ad of the history is for ever."""
    state = part.state
    return part.without({proc for proc, kept in state.ads.items() if state.still or kept.until >= now})


def _ask(condor: Condor, parts: Sequence[Part], names: Sequence[str]) -> dict[JobKey, JobAd]:
    """Return the ads that the queue has, and those of the history for the others."""
    wanted = [*names, "ClusterId", "ProcId"] if names else []
    deadline = _LEAST + _PER_JOB * sum(len(part.procs) for part in parts)
    by_cluster = {part.state.cluster: part for part in parts}
    own_ads = any(
        part.state.unmade for part in parts
    )  # of which a factory makes those that it has not made yet
    found: dict[JobKey, JobAd] = {}

    def take(ads: Iterable[dict[str, Any]], until: float) -> None:
        for ad in ads:
            part, proc = by_cluster[ad["ClusterId"]], ad.get("ProcId")
            procs = [proc] if proc is not None else part.state.unmade
            for each in procs:
                found[part.state, each] = JobAd({**ad, "ProcId": each})
                if not names:
                    part.state.ads[each] = KeptAd(found[part.state, each], until)
            if not names:
                part.state.take_ad(ad)

    try:
        which = constraint(parts, cluster_ads=own_ads)
        ads = condor.query(which, wanted, all_users=True, cluster_ads=own_ads, deadline=deadline)
        take(ads, time.monotonic() + _FRESH)
        gone = [part.without({proc for state, proc in found if state is part.state}) for part in parts]
        if gone := [part for part in gone if part.procs]:
            n_gone = sum(len(part.procs) for part in gone)
            take(past(condor, constraint(gone, cluster_ads=False), wanted, limit=n_gone), math.inf)
    except (UnreachableError, DeadlineError):
        for part in parts:
            if not all(part.state.record(proc).ended and proc in part.state.ads for proc in part.procs):
                raise  # of what has ended, the last ad serves
    return found


def _kept(key: JobKey) -> JobAd | NoSuchJobError:
    """Return the last ad that was seen of a job."""
    state, proc = key
    if (kept := state.ads.get(proc)) is not None:
        if kept.until < math.inf and state.record(proc).ended:  # its log has told more
            return JobAd({**kept.ad, "JobStatus": int(state.record(proc).status)})
        return kept.ad
    return NoSuchJobError(
        f"job {state.cluster}.{proc} has no ad: it is neither in the queue nor in the history"
        f" ({state.record(proc).in_words()})"
    )
