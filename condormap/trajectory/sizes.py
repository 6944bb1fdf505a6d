"""How many bytes the frames of a chunk take where they are sent (`carrying`), without reading them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .indices import Indices
    from .source import Source

_DCD_HEAD, _DCD_FRAME = (
    2048,
    80,
)  # bytes of a header with its title, at most, and of a frame beside the coordinates
_PLACE = 8  # bytes that say where a frame begins


def sent_nbytes(
    source: Source, frames: Indices, atoms: Indices | None, n_atoms: int, values_nbytes: int
) -> int:
    """Return how many bytes some frames of a file take: a part of it, or their arrays.

    Parameters
    ----------
    source : Source
        The file.
    frames, atoms
        As of a chunk.
    n_atoms : int
        How many atoms are chosen.
    values_nbytes : int
        The bytes of a frame as arrays.
    """
    rows: Any = frames.array
    if not frames.is_ascending:
        rows = np.unique(rows)
    if atoms is None and source.offsets is not None:
        begins, last = source.offsets, len(source.offsets) - 1
        ends = np.where(rows < last, begins[np.minimum(rows + 1, last)], source.size)
        return int((ends - begins[rows]).sum()) + _PLACE * len(rows)
    if atoms is None and source.format == "dcd":
        return _DCD_HEAD + len(rows) * (12 * n_atoms + _DCD_FRAME)
    return len(rows) * values_nbytes  # a part with more bytes than the chosen atoms take is not sent
