"""How many frames a chunk has, and which chunks go to one job."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..errors import InvalidInputError
from ..options import megabytes
from .chunk import Chunk, Chunks

if TYPE_CHECKING:
    from .described import Described

_BASE = 250 << 20  # bytes of Python with mdtraj, before anything is read
_MEMORY = 1024  # MB of a job, where nothing else is said
_CHUNKS_PER_SLOT = 4  # so that a slow one delays the end little


def chosen_size(
    data: Described, chunk_size: int | str, *, memory: int | str | None, slots: int, probe: Any
) -> int:
    """Return how many frames a chunk has at most; see `Described.chunks`."""
    if chunk_size != "auto":
        return _positive("chunk_size", chunk_size, ' or "auto"')
    slots = _positive("slots", slots)
    limit = (_MEMORY if memory is None else megabytes(memory, "memory")) << 20
    room = (limit - _BASE) // 2
    fits = room // data.read_nbytes
    if fits < 1:
        raise InvalidInputError(
            f"a frame of {data.n_atoms} atoms takes {data.read_nbytes / 1e6:.1f} MB to read, and a job of "
            f"{limit >> 20} MB has room for none beside Python and mdtraj: ask for more (memory=), or choose "
            "fewer atoms. Nothing was submitted"
        )
    return max(1, min(fits, math.ceil(sum(data.n_frames) / (_CHUNKS_PER_SLOT * slots))))


def packed(chunks: Iterable[Chunk], most: int) -> list[Chunks]:
    """Return the chunks in groups of at most `most` frames, in order; one that alone has more is a group."""
    most = _positive("frames", most)
    groups: list[list[Chunk]] = []
    n = 0
    for chunk in chunks:
        if not groups or n + chunk.n_out > most:
            groups.append([])
            n = 0
        groups[-1].append(chunk)
        n += chunk.n_out
    return [Chunks(group) for group in groups]


def _positive(name: str, value: Any, otherwise: str = "") -> int:
    if isinstance(value, str | bool) or not hasattr(value, "__index__") or value < 1:
        raise InvalidInputError(f"{name} must be a positive integer{otherwise}, not {value!r}")
    return int(value)
