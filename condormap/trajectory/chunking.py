"""How many frames a chunk has, and which chunks go to one job."""

from __future__ import annotations

import math
import time
import tracemalloc
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import InvalidInputError
from ..options import megabytes
from .chunk import Chunk, Chunks

if TYPE_CHECKING:
    from .described import Described

_BASE = 250 << 20  # bytes of Python with mdtraj, before anything is read
_MEMORY = 1024  # MB of a job, where nothing else is said
_CHUNKS_PER_SLOT = 4  # so that a slow one delays the end little
_SURE = 0.7  # of the memory, where it is known what the function takes
_LONGEST = 600.0  # seconds of a chunk: so much is lost with a job
_PROBED = 8  # frames with which a function is called that takes little of one
_QUICK, _LITTLE = 1.0, 32 << 20  # seconds and bytes for a frame


def chosen_size(
    data: Described, chunk_size: int | str, *, memory: int | str | None, slots: int, probe: Any
) -> int:
    """Return how many frames a chunk has at most; see `Described.chunks`."""
    if chunk_size != "auto":
        return _positive("chunk_size", chunk_size, ' or "auto"')
    slots = _positive("slots", slots)
    limit = (_MEMORY if memory is None else megabytes(memory, "memory")) << 20
    share = math.ceil(sum(data.n_frames) / (_CHUNKS_PER_SLOT * slots))
    _check_fits(data, data.read_nbytes, limit)
    if probe is None:
        return max(1, min((limit - _BASE) // 2 // data.read_nbytes, share))
    cost = probed(data, probe)
    n_bytes = data.read_nbytes + cost.n_bytes
    _check_fits(data, n_bytes, limit)
    return max(1, min(int((limit - _BASE) * _SURE / n_bytes), share, int(_LONGEST / max(cost.seconds, 1e-9))))


def _check_fits(data: Described, n_bytes: int, limit: int) -> None:
    if n_bytes > limit - _BASE:
        raise InvalidInputError(
            f"a frame of {data.n_atoms} atoms takes {n_bytes / 1e6:.1f} MB, and a job of {limit >> 20} MB has no "
            "room for one beside Python and mdtraj: ask for more (memory=), or choose fewer atoms. Nothing was "
            "submitted"
        )


class Cost(NamedTuple):
    """What a function takes for a frame.

    Attributes
    ----------
    n_bytes : int
        Memory at its peak, beside the frame, with what it returns.
    seconds : float
        Time.
    """

    n_bytes: int
    seconds: float


def probed(data: Described, function: Callable[[Any], Any]) -> Cost:
    """Call a function with a frame, and with a few if that takes little; return what it takes for one.

    What it raises comes as it is: it would raise that in the jobs too.
    """
    (chunk, *_) = data.chunks(_PROBED)
    n_bytes, seconds = _traced(function, data.reader(next(chunk.split(1))))
    if seconds > _QUICK or n_bytes > _LITTLE or chunk.n_out == 1:
        return Cost(n_bytes, seconds)
    n_bytes, _ = _traced(function, data.reader(chunk))
    frames = data.reader(chunk)
    start = time.perf_counter()
    function(frames)
    return Cost(n_bytes // chunk.n_out, (time.perf_counter() - start) / chunk.n_out)


def _traced(function: Callable[[Any], Any], frames: Any) -> tuple[int, float]:
    """Return the memory at the peak of a call, and its time, which is longer for being watched."""
    watched = tracemalloc.is_tracing()
    tracemalloc.start()
    try:
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        start = time.perf_counter()
        function(frames)
        seconds = time.perf_counter() - start
        _, peak = tracemalloc.get_traced_memory()
    finally:
        if not watched:
            tracemalloc.stop()
    return max(0, peak - before), seconds


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
