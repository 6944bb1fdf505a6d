"""Adding submissions to a map that exists: items that run again, and more items."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from . import timings
from .capacity import jobs_at_once
from .condor import Action
from .errors import InvalidInputError
from .folders.locks import locked
from .holds import NOT_SUBMITTED
from .open_map import OpenMap
from .options import JobOptions
from .payload.carried import has_carried
from .payload.chunks import plan_chunks
from .payload.item_store import write_items
from .payload.serialize import modules_by_value, pickled_by_value
from .payload.transfer import Transfer, decide
from .status import ItemState
from .steering import FAILED, Steering, changed_options
from .submitting import add_submissions
from .waves import free_copies, give_up


class Adding:
    """Adds submissions to one map.

    Parameters
    ----------
    open_map : OpenMap
        The map.
    steering : Steering
        What else can be done to its jobs.
    """

    def __init__(self, open_map: OpenMap, steering: Steering) -> None:
        self._map = open_map
        self._steering = steering

    def retry(self, items: Iterable[int] | None, chunksize: int | str, changes: Mapping[str, Any]) -> None:
        """Run items again; see `CondorMap.retry`."""
        options = changed_options(self._steering.options, changes)
        plan_chunks(0, chunksize=chunksize)  # refuses a wrong one
        self._steering.wait_for_removal()
        with locked(self._map.path) as lock:
            self._steering.note_new_submissions(lock)
            chosen = self._chosen(items, include_held=bool(changes))
            held_jobs, chosen = self._with_whole_jobs(chosen)
            if not chosen:
                return
            self._map.state.ledger.next_code()  # refuses one retry too many
            slots, transfer = jobs_at_once(self._map.condor, options), decide(self._map.condor, options)
            reason = "its items are retried in another job"  # before: no item may have two jobs
            if NOT_SUBMITTED in held_jobs:
                give_up(self._map, reason)
                held_jobs.remove(NOT_SUBMITTED)
            if held_jobs:
                self._map.condor.act(Action.REMOVE, jobs=held_jobs, reason=reason)
            self._submit(range(len(chosen)), chunksize, options, slots, transfer, lock, selection=chosen)

    def extend(
        self,
        iterables: Sequence[Iterable[Any]],
        strict: bool,
        chunksize: int | str,
        changes: Mapping[str, Any],
    ) -> None:
        """Add items; see `CondorMap.extend`."""
        options = changed_options(self._steering.options, changes)
        plan_chunks(0, chunksize=chunksize)  # refuses a wrong one
        if not iterables or self._map.record.star != (len(iterables) > 1):
            wanted = "several iterables, as it was made of" if self._map.record.star else "one iterable"
            raise InvalidInputError(
                f"extend: the map takes {wanted}, not {len(iterables)}. Nothing was submitted"
            )
        with locked(self._map.path) as lock:
            self._steering.note_new_submissions(lock)
            slots, before = jobs_at_once(self._map.condor, options), len(self._map.state.ledger)
            transfer = decide(self._map.condor, options)
            with pickled_by_value(modules_by_value(self._map.condor, sent=transfer.sent)):
                after = write_items(self._map.path, iterables, strict=strict, after=before)
            if after > before:
                self._submit(range(before, after), chunksize, options, slots, transfer, lock)

    def _submit(
        self,
        positions: range,
        chunksize: int | str,
        options: JobOptions,
        slots: int,
        transfer: Transfer,
        lock: int,
        selection: Sequence[int] | None = None,
    ) -> None:
        """Submit jobs for consecutive positions."""
        seconds = timings.known(self._map.record.function_id)
        planned = plan_chunks(len(positions), chunksize=chunksize, slots=slots, seconds=seconds)
        chunks = [positions[chunk.start : chunk.stop] for chunk in planned]
        path, record, condor = self._map.path, self._map.record, self._map.condor
        submissions = add_submissions(
            path,
            record,
            chunks,
            options,
            condor,
            lock=lock,
            slots=slots,
            transfer=transfer,
            selection=selection,
            taken=free_copies(self._map.state) if has_carried(path) else 0,
        )
        for submission in submissions:
            self._map.state.note(submission)

    def _chosen(self, items: Iterable[int] | None, *, include_held: bool) -> list[int]:
        """Return the items to retry, or refuse those that are not over."""
        state = self._map.state
        if items is None:
            chosen = self._steering.failed()
            return sorted({*chosen, *self._held()}) if include_held else chosen
        state.poll()
        indices = range(len(state.ledger))
        chosen = []
        for item in items:
            try:
                chosen.append(indices[item])
            except (IndexError, TypeError):
                raise InvalidInputError(
                    f"retry: the map has {len(indices)} items, and none is {item!r}"
                ) from None
        for item in chosen:
            now = state.item_state(item)
            if now not in (*FAILED, ItemState.HELD):
                why = (
                    "has a result"
                    if now == ItemState.RESULT
                    else f"is {now.value}, so it may still get a result"
                )
                raise InvalidInputError(
                    f"retry: item {item} {why}; only items that failed or are held can be retried"
                )
        return sorted(set(chosen))

    def _held(self) -> list[int]:
        return [item for hold in self._steering.holds() for item in hold.items]

    def _with_whole_jobs(self, chosen: list[int]) -> tuple[list[str], list[int]]:
        """Return the held jobs of the items, and the items with all others that lose their job with these."""
        state, wanted = self._map.state, set(chosen)
        if not any(state.item_state(item) == ItemState.HELD for item in chosen):
            return [], chosen
        jobs = []
        for hold in self._steering.holds():
            if not wanted.isdisjoint(hold.items):
                jobs.append(hold.job)
                wanted.update(hold.items)
        for submission, chunk in state.chunks():
            if str(submission.cluster) in jobs:  # a whole cluster, which makes no jobs while it is held
                wanted.update(state.open_items(submission, chunk))
        return jobs, sorted(wanted)
