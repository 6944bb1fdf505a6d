"""Items to chunks: how many jobs, and how many items in each."""

from __future__ import annotations

import math
from typing import Any

from ..errors import InvalidInputError

ROUNDS = 4  # of falling sizes, where nothing is known of the items
# Seconds of one job, where the time of an item is known: a shorter one costs more than it computes, and a longer
# one is late, or lost, with its machine.
SHORTEST, LONGEST = 0.25, 3600.0
MOST_JOBS = 50_000  # longer ones instead


def plan_chunks(
    n_items: int,
    *,
    chunksize: int | str = "auto",
    slots: int = 1,
    rounds: int = ROUNDS,
    max_jobs: int | None = None,
    target_runtime: float | None = None,
    seconds: float | None = None,
) -> list[range]:
    """Divide ``range(n_items)`` into the chunks that become the jobs of a map.

    With ``"auto"`` the sizes fall (factoring: Hummel, Schonberg and Flynn, Comm. ACM 35(8), 1992): each of
    `rounds` rounds hands out half of what is left, in as many equal chunks as there are slots, and the last one
    the rest. So a slow item or a slow machine delays the end by a small chunk, and not by the largest. Where the
    time of an item is known, there are as many rounds as keep each job between `SHORTEST` and `LONGEST`.

    Parameters
    ----------
    n_items : int
        How many items there are.
    chunksize : int or "auto"
        The largest number of items in one job.
    slots : int
        How many jobs run at once, for ``"auto"``.
    rounds : int
        How many rounds, where the time of an item is not known.
    max_jobs : int or None
        The largest number of jobs.
    target_runtime : float or None
        Seconds that a job is to take; needs `seconds`, and is no use without.
    seconds : float or None
        How long an item takes, as far as that is known.

    Returns
    -------
    list of range
        They cover ``range(n_items)`` in order without a gap; none is empty.

    Raises
    ------
    InvalidInputError
        `chunksize` is neither ``"auto"`` nor a positive integer, another value is not positive, or two of them
        cannot both be had.
    """
    slots = max(1, slots)
    most = None if max_jobs is None else _positive_integer("max_jobs", max_jobs)
    if target_runtime is not None and (
        isinstance(target_runtime, bool)
        or not isinstance(target_runtime, int | float)
        or not target_runtime > 0
    ):
        raise InvalidInputError(
            f"target_runtime must be a positive number of seconds, not {target_runtime!r}"
        )
    if chunksize != "auto":
        if most is not None or target_runtime is not None:
            raise InvalidInputError("give either chunksize or max_jobs and target_runtime, which choose it")
        return _equal(n_items, _positive_integer("chunksize", chunksize, ' or "auto"'))
    if seconds is None:
        chunks = _factoring(n_items, slots, rounds)
    elif target_runtime is None:
        chunks = _factoring_in_time(n_items, slots, max(seconds, 1e-9))
    else:
        size = round(target_runtime / max(seconds, 1e-9))
        chunks = _equal(n_items, max(1, min(size, math.ceil(n_items / slots))))
    if most is not None and len(chunks) > most:
        at_once = min(slots, most)
        chunks = _factoring(n_items, at_once, min(rounds, most // at_once))
    return chunks


def _positive_integer(name: str, value: Any, otherwise: str = "") -> int:
    if isinstance(value, str | bool) or not hasattr(value, "__index__"):
        raise InvalidInputError(f"{name} must be a positive integer{otherwise}, not {value!r}")
    number = int(value.__index__())
    if number < 1:
        raise InvalidInputError(f"{name} must be 1 or more, not {number}")
    return number


def _equal(n_items: int, size: int) -> list[range]:
    return [range(start, min(start + size, n_items)) for start in range(0, n_items, size)]


def _factoring(n_items: int, slots: int, rounds: int) -> list[range]:
    chunks: list[range] = []
    start = 0
    for rounds_left in range(rounds - 1, -1, -1):
        share = (n_items - start) / (2 if rounds_left else 1)
        first, n_chunks = start, min(slots, max(1, round(share)))
        for k in range(1, n_chunks + 1):
            stop = first + round(share * k / n_chunks)
            if stop > start:
                chunks.append(range(start, stop))
                start = stop
    return chunks


def _factoring_in_time(n_items: int, slots: int, seconds: float) -> list[range]:
    largest = max(1, round(LONGEST / seconds), math.ceil(n_items / MOST_JOBS))
    smallest = min(largest, max(1, round(SHORTEST / seconds)))
    chunks: list[range] = []
    start = 0
    while start < n_items:
        size = min(largest, max(smallest, math.ceil((n_items - start) / (2 * slots))))
        for _ in range(slots):
            stop = min(start + size, n_items)
            if stop > start:
                chunks.append(range(start, stop))
            start = stop
    return chunks
