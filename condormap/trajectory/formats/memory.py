"""Frames that travel with their specification: of an `mdtraj.Trajectory`, or of a file that the jobs don't see."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..indices import Indices
from . import Arrays


class InMemory:
    """Some frames of arrays; pickled, it has just these.

    Parameters
    ----------
    arrays : Arrays
        Of whole trajectories; they are not copied.
    positions : Indices
        Which frames.
    atoms : array of int or None
        Which atoms, ascending; None for all.
    """

    def __init__(self, arrays: Arrays, positions: Indices, atoms: Any = None) -> None:
        self._arrays = arrays
        self.positions = positions
        self._atoms = atoms

    def __getitem__(self, rows: slice) -> InMemory:
        return InMemory(self._arrays, self.positions[rows], self._atoms)

    def read(self, rows: Any) -> Arrays:
        """Return copies of some frames, of the chosen atoms."""
        arrays = Arrays(*(None if each is None else each[rows] for each in self._arrays))
        return arrays if self._atoms is None else arrays._replace(xyz=arrays.xyz[:, self._atoms])

    def __reduce__(self) -> tuple[Any, ...]:
        rows, positions = np.unique(self.positions.array, return_inverse=True)
        return InMemory, (self.read(rows), Indices(positions))
