"""Chunks that carry their frames, for jobs that do not see the file.

Of an XTC, TRR or DCD file that is a part of the file, cut out at the frames, which is such a file again; where
the chosen atoms take fewer bytes than all of them do there, and for the other formats, it is their arrays.
"""

from __future__ import annotations

import dataclasses
import tempfile
from typing import Any

import numpy as np

from .chunk import Chunk
from .formats import format_of
from .formats.memory import InMemory
from .indices import Indices
from .reading import check_unchanged, each_once, from_file


class FileCut:
    """Some frames of a file, as a file of its own.

    Parameters
    ----------
    format : str
        Its format.
    data : array of uint8
        Its bytes.
    offsets : array of int or None
        Where its frames begin, where the format needs that.
    positions : Indices
        Which of them are meant.
    """

    def __init__(self, format: str, data: Any, offsets: Any, positions: Indices) -> None:
        self._format = format
        self._data = data
        self._offsets = offsets
        self.positions = positions

    def __getitem__(self, rows: slice) -> FileCut:
        return FileCut(self._format, self._data, self._offsets, self.positions[rows])

    def read(self, rows: Any, atoms: Any) -> dict[str, Any]:
        """Return some frames, by way of a file in the job's folder for temporary files."""
        with tempfile.NamedTemporaryFile(suffix=f".{self._format}") as file:
            file.write(memoryview(self._data))
            file.flush()
            offsets = None if self._offsets is None else self._offsets[rows]
            return format_of(self._format).read(file.name, rows, offsets, atoms)._asdict()


def with_data(chunk: Chunk) -> Chunk:
    """Return a chunk with its frames; see `Chunk.with_data`."""
    if chunk.data is not None:
        return chunk
    check_unchanged(chunk)
    rows, back = each_once(chunk.frames)
    positions = Indices(np.arange(len(rows)) if back is None else back)
    cut = None if chunk.format == "wepy" else getattr(format_of(chunk.format), "cut", None)
    atoms = None if chunk.atoms is None else np.sort(chunk.atoms.array)
    if cut is not None:
        offsets = None if chunk.offsets is None else np.unique(chunk.offsets.array)
        most = None if atoms is None else len(rows) * len(atoms) * 12
        found = cut(chunk.path, rows, offsets, most)
        if found is not None:
            data, starts = found
            held = FileCut(chunk.format, data, starts, positions)
            return dataclasses.replace(chunk, offsets=None, data=held)
    return dataclasses.replace(chunk, offsets=None, data=InMemory(from_file(chunk, rows, atoms), positions))
