"""Frames that travel with their specification: of an `mdtraj.Trajectory`, or of a file that the jobs don't see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..indices import Indices


class InMemory:
    """Some frames of arrays; pickled, it has just these.

    Parameters
    ----------
    arrays : dict of str to array
        Of whole trajectories; they are not copied.
    positions : Indices
        Which frames.
    atoms : array of int or None
        Which atoms of "xyz", ascending; None for all.
    """

    def __init__(self, arrays: Mapping[str, Any], positions: Indices, atoms: Any = None) -> None:
        self._arrays = arrays
        self.positions = positions
        self._atoms = atoms

    def __getitem__(self, rows: slice) -> InMemory:
        return InMemory(self._arrays, self.positions[rows], self._atoms)

    def read(self, rows: Any, atoms: Any = None) -> dict[str, Any]:
        """Return copies of some frames, of the atoms that were chosen already."""
        arrays: dict[str, Any] = {}
        for name, each in self._arrays.items():
            arrays[name] = None if each is None else each[rows]
            if name == "xyz" and self._atoms is not None:
                arrays[name] = arrays[name][:, self._atoms]
        return arrays

    def __reduce__(self) -> tuple[Any, ...]:
        rows, positions = np.unique(self.positions.array, return_inverse=True)
        return InMemory, (self.read(rows), Indices(positions))
