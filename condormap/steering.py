"""Steering a map that exists: hold, release, remove and edit its jobs; which items failed, which are held."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from . import holds
from .capacity import jobs_at_once
from .condor import Action, ActResult
from .errors import CondorError, InvalidInputError
from .folders.locks import locked
from .holds import Hold, HoldInfo, as_items
from .open_map import OpenMap
from .options import JobOptions, make_options
from .status import ItemState
from .submission import redescribe
from .submitting import complete_locked, note_options
from .waiting import Waiter
from .waves import steer_waiting

#: The states of items that have ended without a result.
FAILED = (ItemState.ERROR, ItemState.REMOVED, ItemState.LOST)

_REMOVAL = 60.0  # seconds that removed jobs may take to leave; a running one gets time to end
# What can be changed of jobs that are in the queue.
_EDITABLE = ("cpus", "memory", "disk", "priority")


class Steering:
    """What can be done to the jobs of one map.

    Parameters
    ----------
    open_map : OpenMap
        The map.
    new_waiter : callable
        Begins a wait for it.
    """

    def __init__(
        self,
        open_map: OpenMap,
        new_waiter: Callable[[], Waiter],
    ) -> None:
        self._map = open_map
        self._new_waiter = new_waiter
        self._removing_until = 0.0  # jobs that were removed here may still be ending until then

    @property
    def options(self) -> JobOptions:
        """The options of the newest submission."""
        submissions = self._map.state.submissions
        return submissions[-1].options if submissions else JobOptions()

    def act(self, action: Action, reason: str) -> ActResult:
        """Do something to all jobs; see `CondorMap.hold` and its like."""
        state = self._map.state
        with contextlib.suppress(OSError):  # of a folder that was deleted, the jobs can still be removed
            state.note_new_submissions()
            state.poll()
        if action in (Action.HOLD, Action.RELEASE, Action.REMOVE) and self._map.path.is_dir():
            steer_waiting(self._map, action, reason)
        clusters = [submission.cluster for submission in state.submissions]
        if action == Action.HOLD:  # a finished factory would be held while it leaves the queue, for good
            clusters = [each.cluster for each in state.submissions if state.has_open_items(each)]
        if not any(clusters):
            return ActResult({"TotalSuccess": 0})
        ids = [str(cluster) for cluster in clusters if cluster is not None]
        result = self._map.condor.act(action, jobs=ids, reason=reason)
        if action in (Action.RELEASE, Action.REMOVE):
            state.note_end_of_holds()
        if action == Action.REMOVE:
            self._removing_until = time.monotonic() + _REMOVAL
        return result

    # -- which items ------------------------------------------------------------------------------------------

    def failed(self) -> list[int]:
        """Return the items that have ended without a result; see `CondorMap.failed`."""
        state = self._map.state
        state.poll()
        found = state.ledger.failed_items()
        for submission, chunk in state.chunks():
            open_items = state.open_items(submission, chunk)
            if open_items and state.fates.of(submission, chunk) in FAILED:
                found += open_items
        return sorted(found)

    def holds(self) -> list[Hold]:
        """Return the jobs that are on hold; see `CondorMap.holds`."""
        state = self._map.state
        state.poll()
        found: dict[str, tuple[HoldInfo, list[int]]] = {}  # a paused cluster's chunks are one hold
        waiting: list[int] = []
        failure: BaseException | None = None
        for submission, chunk in state.chunks():
            open_items = state.open_items(submission, chunk)
            if open_items and state.fates.of(submission, chunk) == ItemState.HELD:
                if submission.waits is not None:
                    waiting.extend(open_items)
                    failure = failure or state.fates.failure(submission, chunk)
                    continue
                info = state.fates.hold(submission, chunk)
                found.setdefault(info.job, (info, []))[1].extend(open_items)
        ads = self._ads(found) if found else {}
        of_jobs = [
            holds.hold(info, as_items(_run(items)), ads.get(job, {})) for job, (info, items) in found.items()
        ]
        return (
            [*of_jobs, holds.hold_of_waiting(as_items(_run(sorted(waiting))), failure)]
            if waiting
            else of_jobs
        )

    def _ads(self, jobs: Iterable[str]) -> dict[str, Mapping[str, Any]]:
        """Return what the schedd says of held jobs; nothing where it does not answer."""
        clusters = sorted({int(job.partition(".")[0]) for job in jobs})
        there = " || ".join(f"ClusterId == {cluster}" for cluster in clusters)
        try:
            ads = self._map.condor.query(f"JobStatus == 5 && ({there})", holds.ATTRIBUTES)
        except CondorError:
            return {}
        return {f"{ad['ClusterId']}.{ad['ProcId']}": ad for ad in ads}

    def wait_for_removal(self) -> None:
        """Wait until jobs that were removed here have ended: until then, their items have not failed."""
        if time.monotonic() < self._removing_until:
            with self._new_waiter() as waiter:
                waiter.until(self._map.state.all_settled, self._removing_until)

    def note_new_submissions(self, lock: int) -> None:
        """Take note of what other processes submitted, or were killed before they had; the map's lock is ours."""
        complete_locked(self._map.condor, self._map.path, self._map.record.log(self._map.path), lock=lock)
        self._map.state.note_new_submissions()
        self._map.state.unsubmitted.look()

    # -- changes ------------------------------------------------------------------------------------------------

    def edit(self, changes: Mapping[str, Any]) -> ActResult:
        """Change what the jobs in the queue ask for; see `CondorMap.edit`."""
        state = self._map.state
        changed_options(self.options, changes)  # refuses what is unknown or wrong
        fixed = sorted(changes.keys() - set(_EDITABLE))
        if fixed or not changes:
            what = f"{', '.join(fixed)} of jobs that are in the queue" if fixed else "nothing"
            raise InvalidInputError(
                f"edit() cannot change {what}: it can change {', '.join(_EDITABLE)}. To run the unfinished "
                "items with other options, m.remove(), and then m.retry() with them"
            )
        with locked(self._map.path) as lock:
            self.note_new_submissions(lock)
            state.poll()
            queued = [
                each
                for each in state.submissions
                if each.cluster is not None
                and each.cluster not in state.jobs.gone
                and state.has_open_items(each)
            ]
            waiting = list(state.unsubmitted)
            if not (queued or waiting):
                raise InvalidInputError(
                    "edit() found no job of the map in the queue; m.retry() runs failed items again, and takes "
                    "changed options too"
                )
            jobs_at_once(
                self._map.condor, changed_options((waiting or queued)[-1].options, changes)
            )  # refuses what can never run
            edited = 0
            for submission in queued:
                options = changed_options(submission.options, changes)
                values = _attributes(submission.options, options, changes)
                edited += self._map.condor.edit(values, jobs=[str(submission.cluster)], cluster_ads=True)
                state.replace(note_options(submission, options))
            for submission in waiting:
                options = changed_options(submission.options, changes)
                redescribe(submission, options)
                state.replace(note_options(submission, options))
        return ActResult({"TotalSuccess": edited})


def changed_options(options: JobOptions, changes: Mapping[str, Any]) -> JobOptions:
    """Return changed options; no more memory is tried than what is asked for now, if that is the larger."""
    if "memory" in changes and options.retry_memory_mb is not None:
        without = make_options({**changes, "retry_memory": None}, options)
        if without.memory_mb >= options.retry_memory_mb:
            return without
    return make_options(changes, options)


def _attributes(before: JobOptions, options: JobOptions, changed: Iterable[str]) -> dict[str, str]:
    """Return the attributes of a job that stand for changed options: name -> expression."""
    every = {
        "cpus": ("RequestCpus", str(options.cpus)),
        "memory": ("RequestMemory", options.request_memory),
        "disk": ("RequestDisk", str(options.disk_mb * 1024)),
        "priority": ("JobPrio", str(options.priority)),
    }
    values = dict(every[option] for option in changed)
    if "RequestMemory" in values and before.retry_memory is not None:
        values["PeriodicRelease"] = options.commands().get("periodic_release", "false")
    return values


def _run(items: Sequence[int]) -> Sequence[int]:
    """Return ascending items as a range where they are one."""
    whole = range(items[0], items[-1] + 1)
    return whole if len(whole) == len(items) else items
