"""Making a map: its folder, whole, and its first submission; for `condormap` and for `CondorMapper`."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import timings
from .address import PoolAddress
from .capacity import jobs_at_once
from .condor import connect
from .folders import store
from .folders.tags import NewMap, check_tag, new_map
from .merging.value import check_value_options, checked_reducer, write_value_options
from .options import JobOptions
from .payload.chunks import plan_chunks
from .payload.serialize import describe_function, modules_by_value, pickled_by_value, write_function
from .payload.transfer import Transfer, decide
from .plan import Plan, plan_of, room_for
from .pool.choose import choose_pool
from .pool.personal import PersonalPool
from .preparing import write_submissions
from .report.progress import check_wanted
from .submitting import submit_or_discard


@dataclass(frozen=True, kw_only=True)
class Request:
    """How a map is to be made, whatever it computes: the keyword arguments of `condormap`, checked.

    Raises
    ------
    InvalidInputError
        They can't be meant.
    """

    chunksize: int | str = "auto"
    max_jobs: int | None = None
    target_runtime: float | None = None
    reduce: Any = None
    keep: bool = False
    until: Callable[[Any], object] | None = None
    on_complete: Callable[[list[Any]], Any] | None = None
    with_input: bool = False
    tag: str | None = None
    pool: PersonalPool | PoolAddress | str | None = None
    schedd: str | None = None
    progress: bool | None = None
    options: JobOptions

    def __post_init__(self) -> None:
        _ = self.reduces
        if self.reduce is not None:
            checked_reducer(self.reduce)
        self.chunks(0)
        check_wanted(self.progress)
        if self.tag is not None:
            check_tag(self.tag)

    @property
    def reduces(self) -> str | None:
        """What is done with results besides, see `MapRecord.reduce`."""
        return check_value_options(self.reduce, self.keep, self.until, self.on_complete, self.with_input)

    def chunks(self, n_items: int, *, slots: int = 1, seconds: float | None = None) -> list[range]:
        """Return the items of each job."""
        return plan_chunks(
            n_items,
            chunksize=self.chunksize,
            max_jobs=self.max_jobs,
            target_runtime=self.target_runtime,
            slots=slots,
            seconds=seconds,
        )


@dataclass(frozen=True, kw_only=True)
class Content:
    """What a new map computes.

    Parameters
    ----------
    function : callable
        The function of the jobs.
    write_items : callable
        Writes the items into the folder that it is given; returns how many there are.
    star : bool
        An item is a tuple of arguments.
    known_as : callable or None
        The function that the user gave; None for that of the jobs.
    """

    function: Callable[..., Any]
    write_items: Callable[[Path], int]
    star: bool = False
    known_as: Callable[..., Any] | None = None


def make_map(
    request: Request,
    content: Callable[[NewMap, Transfer], Content],
    *,
    executes: bool = False,
    log: Path | None = None,
    dry_run: bool = False,
    submit: bool = True,
) -> Path | Plan:
    """Make a map and submit it; return its folder. Where that fails, nothing of it stays.

    Parameters
    ----------
    request : Request
        How.
    content : callable
        Returns what it computes, when it is known where it will be and how its jobs get their files; it may write
        into the new folder.
    executes, log
        As for `condormap.folders.store.new_record`.
    dry_run : bool
        Make and submit nothing; return a `Plan`.
    submit : bool
        False leaves the map without a submission.

    Raises
    ------
    CondormapError
        As `condormap`.
    """
    options = request.options
    reducer = None if request.reduce is None else checked_reducer(request.reduce)
    address = choose_pool(request.pool, request.schedd)
    condor = connect(address)
    condor.start()
    transfer = decide(condor, options)
    with new_map(request.tag) as new:
        with pickled_by_value(modules_by_value(condor, sent=transfer.sent)):
            what = content(new, transfer)
            n_items = what.write_items(new.folder)
            with store.storage_errors(new.final):
                write_function(new.folder, what.function)
            write_value_options(new.folder, reducer, request.until, request.on_complete)
        with store.storage_errors(new.final):
            known_as = what.known_as or what.function
            record = store.new_record(
                new.id,
                new.tag,
                n_items,
                what.star,
                describe_function(known_as),
                address,
                function_id=timings.function_id(known_as),
                reduce=request.reduces,
                executes=executes,
                log=log,
            )
            seconds = timings.known(record.function_id)
            if dry_run:
                at_once, problems = room_for(condor, options)
                planned = request.chunks(n_items, slots=at_once, seconds=seconds)
                return plan_of(new.folder, record, planned, condor, options, at_once, problems, seconds)
            store.write_record(new.folder, record)
            store.make_log(new.folder, record)
            submissions = []
            if n_items and submit:
                slots = jobs_at_once(condor, options)
                chunks = request.chunks(n_items, slots=slots, seconds=seconds)
                submissions = write_submissions(
                    new.folder, new.final, record, chunks, options, slots=slots, transfer=transfer
                )
            os.rename(new.folder, new.final)
        if submissions:
            submit_or_discard(condor, submissions[0], lock=new.lock, folder=new.final)
    return new.final
