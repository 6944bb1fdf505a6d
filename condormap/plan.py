"""What a map will do, before it does: jobs, items per job, bytes, slots, and what stands in the way."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .capacity import jobs_at_once, matching_slots
from .condor import Condor
from .errors import ImpossibleRequestError
from .folders.store import MapRecord
from .in_job.items import INDEX_FILE, ITEMS_FILE
from .in_job.payload import FUNCTION_FILE
from .options import JobOptions

_UNITS = ("bytes", "kB", "MB", "GB", "TB")


@dataclass(frozen=True)
class Plan:
    """What a map will do; `condormap` with ``dry_run=True`` and `CondorMap.plan` return it.

    Attributes
    ----------
    function : str
        The function's name.
    n_items, n_jobs : int
        How many items, and how many jobs for them.
    items_per_job : (int, int)
        The fewest and the most.
    n_bytes : int
        The size of the function and all items, which the jobs read.
    at_once : int
        How many of the jobs the pool can run at once; 0 for none.
    n_slots : int or None
        How many slots fulfil what a job asks for, used or not; None where the pool doesn't tell.
    seconds : float or None
        How long all items take, one after the other, by earlier maps of the function; None where none was seen.
    problems : tuple of str
        What will keep the jobs from running.
    """

    function: str
    n_items: int
    n_jobs: int
    items_per_job: tuple[int, int]
    n_bytes: int
    at_once: int
    n_slots: int | None
    seconds: float | None
    problems: tuple[str, ...]

    def __repr__(self) -> str:
        fewest, most = self.items_per_job
        size = str(most) if fewest == most else f"{fewest} to {most}"
        lines = [
            f"<Plan of {self.function} over {self.n_items} items>",
            f"  jobs           {self.n_jobs}, of {size} items each",
            f"  bytes          {_in_units(self.n_bytes)} for the function and the items",
            f"  at once        {self.at_once} jobs",
            f"  slots          {'unknown' if self.n_slots is None else self.n_slots} fulfil what a job asks for",
        ]
        if self.seconds is not None:
            lines.append(f"  time           about {_in_words(self.seconds / max(1, self.at_once))}")
        return "\n".join([*lines, *(f"  in the way     {problem}" for problem in self.problems)])


def plan_of(
    folder: Path,
    record: MapRecord,
    chunks: Sequence[Sequence[int]],
    condor: Condor,
    options: JobOptions,
    at_once: int,
    problems: Sequence[str],
    seconds: float | None,
) -> Plan:
    """Return the plan for some chunks of a map.

    Parameters
    ----------
    folder : Path
        The map's folder, where it is now.
    record : MapRecord
        What its ``map.json`` says.
    chunks : sequence of sequence of int
        The items of each job.
    condor : Condor
        The pool.
    options : JobOptions
        What the jobs ask for.
    at_once, problems
        What `room_for` said.
    seconds : float or None
        How long an item takes.
    """
    sizes = [len(chunk) for chunk in chunks] or [0]
    files = (folder / name for name in (FUNCTION_FILE, ITEMS_FILE, INDEX_FILE))
    return Plan(
        function=record.function,
        n_items=sum(sizes),
        n_jobs=len(chunks),
        items_per_job=(min(sizes), max(sizes)),
        n_bytes=sum(file.stat().st_size for file in files),
        at_once=at_once,
        n_slots=matching_slots(condor, options),
        seconds=None if seconds is None else seconds * sum(sizes),
        problems=tuple(problems),
    )


def room_for(condor: Condor, options: JobOptions) -> tuple[int, list[str]]:
    """Return how many jobs the pool can run at once, and what keeps them from running."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            at_once = jobs_at_once(condor, options)
        except ImpossibleRequestError as error:
            return 0, [str(error)]
    problems = [str(warning.message) for warning in caught]
    return 0 if problems else at_once, problems


def _in_units(n_bytes: float) -> str:
    for unit in _UNITS:
        if n_bytes < 1000 or unit == _UNITS[-1]:
            break
        n_bytes /= 1000
    return f"{n_bytes:.0f} {unit}" if unit == "bytes" else f"{n_bytes:.1f} {unit}"


def _in_words(seconds: float) -> str:
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.2g} seconds"
