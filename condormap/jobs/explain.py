"""Why jobs are in their states, in sentences."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..condor import Condor, Match
from ..status import JobStatus
from .holds import advice
from .part import JobKey, Part, by_schedd, constraint
from .record import JobRecord

_DEFERRAL = "DeferralTime"
_ATTRIBUTES = [
    *(
        "ClusterId",
        "ProcId",
        "LastRejMatchReason",
        "LastRejMatchTime",
        "LastMatchTime",
        "QDate",
        "DeferralTime",
    ),
    *("NumJobStarts", "LastVacateReason", "VacateReason", "ServerTime"),
]


def explain(parts: Sequence[Part]) -> dict[JobKey, str]:
    """Return sentences about each job as it was last seen, one to a line; see `Job.explain`.

    However many jobs wait, each schedd is asked for their ads once, and once how they match the slots.
    """
    told: dict[JobKey, list[str]] = {}
    for part in parts:
        for proc in part.procs:
            record = part.state.record(proc)
            told[part.state, proc] = list(_state(f"Job {part.state.cluster}.{proc}", record))
    for condor, group in by_schedd(parts):
        waiting = []
        for part in group:
            idle = {proc for proc in part.procs if part.state.record(proc).status is JobStatus.IDLE}
            for proc in idle.intersection(part.state.unmade):
                told[part.state, proc].append(
                    "Its factory has not made it yet: it makes one when fewer than max_idle of its jobs are idle."
                )
            waiting.append(part.without(set(part.procs) - idle | set(part.state.unmade)))
        if waiting := [part for part in waiting if part.procs]:
            for key, sentences in _waiting(condor, waiting).items():
                told[key] += sentences
    return {key: "\n".join(sentences) for key, sentences in told.items()}


def _state(job: str, record: JobRecord) -> Iterator[str]:
    yield f"{job}: {record.in_words()}."
    if record.status is JobStatus.HELD:
        yield f"What to do: {advice(record.code, record.subcode)}."


def _waiting(condor: Condor, parts: Sequence[Part]) -> dict[JobKey, list[str]]:
    """Say why jobs that are in the queue are idle."""
    which = constraint(parts, cluster_ads=False)
    ads = {(ad["ClusterId"], ad["ProcId"]): ad for ad in condor.query(which, _ATTRIBUTES, all_users=True)}
    matches = condor.analyse(which) if ads else {}
    limits = list(_limits(condor)) if any(match.n_willing for match in matches.values()) else []
    told: dict[JobKey, list[str]] = {}
    for part in parts:
        for proc in part.procs:
            id = (part.state.cluster, proc)
            sentences = told[part.state, proc] = list(_noted(ads[id])) if id in ads else []
            if (match := matches.get(id)) is None:
                sentences.append("It has just left the queue.")
                continue
            sentences += _deferred(match) if _starts_later(ads.get(id, {})) else _matching(match)
            sentences += limits if match.n_willing else []
    return told


def _noted(ad: Mapping[str, Any]) -> Iterator[str]:
    """Say what the schedd and the negotiator have noted in the job's ad."""
    now = ad.get("ServerTime") or time.time()
    if _starts_later(ad):
        start = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(ad["DeferralTime"]))
        yield f"It is not to start before {start} (deferral_time), and gets no slot until shortly before."
        return
    if ad.get("NumJobStarts"):
        why = ad.get("VacateReason") or ad.get("LastVacateReason")
        yield f"It has started {ad['NumJobStarts']} times before" + (
            f", and was stopped: {why}." if why else "."
        )
    if reason := ad.get("LastRejMatchReason"):
        ago = max(0, int(now - (ad.get("LastRejMatchTime") or now)))
        yield f"The negotiator looked at it {ago} s ago and gave it no slot: {str(reason).strip()}."
    elif not ad.get("LastMatchTime"):
        waiting = max(0, int(now - (ad.get("QDate") or now)))
        yield f"The negotiator has not decided about it yet; it was submitted {waiting} s ago."


def _starts_later(ad: Mapping[str, Any]) -> bool:
    deferred = ad.get("DeferralTime")
    return isinstance(deferred, int) and deferred > (ad.get("ServerTime") or time.time())


def _deferred(match: Match) -> Iterator[str]:
    """Say what else than the time stands against a job that is to start later."""
    clauses = [clause for clause in match.clauses if _DEFERRAL not in clause["text"]]
    if any(clause["n_slots"] == 0 for clause in clauses):
        yield from _matching(replace(match, clauses=clauses, n_fit=0))


def _matching(match: Match) -> Iterator[str]:
    """Say how the requirements of the job and of the slots meet."""
    if not match.n_slots:
        yield "The pool has no slots now: no machine has joined it, or all have left."
        return
    if not match.n_fit:
        yield f"None of the pool's {match.n_slots} slots fulfils its requirements:"
        failing = [clause for clause in match.clauses if clause["n_slots"] < match.n_slots]
        for clause in sorted(failing, key=lambda clause: int(clause["n_slots"])):
            yield f"  {clause['n_slots']} of {match.n_slots} fulfil  {clause['text']}  {_values(clause)}".rstrip()
        yield "What to do: edit what it asks for (requirements, request_...), or remove it and submit it again."
        return
    yield f"{match.n_fit} of the pool's {match.n_slots} slots fulfil its requirements."
    if match.n_willing < match.n_fit:
        yield (
            f"{match.n_fit - match.n_willing} of these do not take it by their own policy (START); "
            + ("the others do." if match.n_willing else "so it cannot run here.")
        )
    if match.n_willing and not match.n_free:
        yield "All that would take it are in use now: it waits for its turn."
    elif match.n_willing:
        yield f"{match.n_free} of them are free now."


def _values(clause: dict[str, Any]) -> str:
    told = [f"its {name} is {value}" for name, value in clause["job"].items()]
    told += [f"the slots' {name} is {' or '.join(values)}" for name, values in clause["slots"].items()]
    return f"({'; '.join(told)})" if told else ""


def _limits(condor: Condor) -> Iterator[str]:
    """Say whether the schedd runs as many jobs as it may."""
    most = condor.schedd_ad().get("MaxJobsRunning")
    # Counted, for the ad's own figure is as old as the schedd's last look.
    running = len(condor.query("JobStatus == 2", ["ProcId"], all_users=True, limit=most)) if most else 0
    if most and running >= most:
        yield f"The schedd runs {running} jobs, and it may run {most} at once (MAX_JOBS_RUNNING)."
    else:
        yield "So it should start at one of the next negotiation cycles, in the order of the users' priorities."
