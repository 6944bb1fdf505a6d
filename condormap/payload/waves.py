"""Which jobs are sent their copies of data at once, and which when there is room again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import StorageError
from ..waits import Waits
from .carried import Room, no_room

# A later wave takes this part of all room at most: it can begin while the jobs of another one still run.
_PART = 2


@dataclass(frozen=True)
class Wave:
    """Some chunks in a row, which become one submission.

    Parameters
    ----------
    chunks : range
        Their numbers.
    room : Room or None
        The room for what they are sent, where that is limited.
    waits : Waits or None
        There is no room now.
    """

    chunks: range
    room: Room | None = None
    waits: Waits | None = None


def smaller_chunks(chunks: Sequence[range], sizes: Sequence[int], most: int) -> list[range]:
    """Return the chunks, and those with more bytes divided, as far as they have several items.

    Parameters
    ----------
    chunks : sequence of range
        The positions of each, without a gap.
    sizes : sequence of int
        The bytes of each position, from the first one on.
    most : int
        How many bytes a chunk may have.
    """
    found = []
    for chunk in chunks:
        start, left = chunk.start, most
        for position in chunk:
            size = sizes[position - chunks[0].start]
            if size > left and position > start:
                found.append(range(start, position))
                start, left = position, most
            left -= size
        found.append(range(start, chunk.stop))
    return found


def plan_waves(sizes: Sequence[int], limit: int, room: int, told: int | None = None) -> list[Wave]:
    """Divide the chunks of a call: as many as there is room for now, and the others.

    Parameters
    ----------
    sizes : sequence of int
        The bytes that each chunk is sent.
    limit : int
        How many bytes there may be at a time.
    room : int
        How many of these are free.
    told : int or None
        The limit for later, where the user has set one.

    Returns
    -------
    list of Wave
        In order. The first one has to wait too if there is no room for a single chunk.

    Raises
    ------
    StorageError
        A single chunk has more than `limit`.
    """
    if sizes and max(sizes) > limit:
        what = f"that of one item alone (about {max(sizes) / 1e6:.0f} MB) would take"
        raise StorageError(f"{no_room(what, limit)}. Nothing was submitted")
    waves = []
    stop = _fits(sizes, 0, room)
    if stop:
        waves.append(Wave(range(stop), Room(room)))
    while stop < len(sizes):
        start, stop = stop, _fits(sizes, stop, limit // _PART)
        stop = max(stop, start + 1)
        waves.append(Wave(range(start, stop), waits=Waits(nbytes=sum(sizes[start:stop]), limit=told)))
    return waves or [Wave(range(0))]


def _fits(sizes: Sequence[int], start: int, room: int) -> int:
    """Return the number of the first chunk from `start` on for which there is no room."""
    for number in range(start, len(sizes)):
        room -= sizes[number]
        if room < 0:
            return number
    return len(sizes)
