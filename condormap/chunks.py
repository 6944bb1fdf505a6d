"""Items to chunks: how many jobs, and how many items in each."""

from __future__ import annotations

from .errors import InvalidInputError

ROUNDS = 4


def plan_chunks(n_items: int, *, chunksize: int | str = "auto", slots: int = 1) -> list[range]:
    """Divide ``range(n_items)`` into the chunks that become the jobs of a map.

    With ``"auto"`` the sizes fall (factoring: Hummel, Schonberg and Flynn, Comm. ACM 35(8), 1992): each of
    `ROUNDS` rounds hands out half of what is left, in as many equal chunks as there are slots, and the last one
    the rest. So a slow item or a slow machine delays the end by a small chunk, and not by the largest.

    Parameters
    ----------
    n_items : int
        How many items there are.
    chunksize : int or "auto"
        The largest number of items in one job.
    slots : int
        How many jobs run at once, for ``"auto"``.

    Returns
    -------
    list of range
        They cover ``range(n_items)`` in order without a gap; none is empty.

    Raises
    ------
    InvalidInputError
        `chunksize` is neither ``"auto"`` nor a positive integer.
    """
    if chunksize == "auto":
        return _factoring(n_items, max(1, slots))
    if isinstance(chunksize, str | bool) or not hasattr(chunksize, "__index__"):
        raise InvalidInputError(f'chunksize must be a positive integer or "auto", not {chunksize!r}')
    size = chunksize.__index__()
    if size < 1:
        raise InvalidInputError(f"chunksize must be 1 or more, not {size}")
    return [range(start, min(start + size, n_items)) for start in range(0, n_items, size)]


def _factoring(n_items: int, slots: int) -> list[range]:
    chunks: list[range] = []
    start = 0
    for rounds_left in range(ROUNDS - 1, -1, -1):
        share = (n_items - start) / (2 if rounds_left else 1)
        first, n_chunks = start, min(slots, max(1, round(share)))
        for k in range(1, n_chunks + 1):
            stop = first + round(share * k / n_chunks)
            if stop > start:
                chunks.append(range(start, stop))
                start = stop
    return chunks
