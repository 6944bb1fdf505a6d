"""Observables that are small whatever the trajectory's length: made and added up in the jobs.

Each is a function of frames and its own reducer, ``compute_observable(DistanceHistogram(100, (0.0, 5.0)), data)``;
a class of your own that is both does as well. What they compute for some frames takes memory for a block of
distances at a time, however many pairs there are.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..reducers.histograms import Histogram
from ..reducers.protocol import Reducer
from .distances import blocks, checked_pairs, contacts, distances


class DistanceCounts(NamedTuple):
    """A histogram of distances.

    Attributes
    ----------
    counts : array of int
        How many distances are in each bin.
    edges : array
        The edges of the bins, in nm.
    stderr : array
        The standard error of each count: its root.
    not_finite : int
        How many distances are not known, for a coordinate of one of the atoms (or the unit cell) is NaN or
        infinite: they are in no bin, as those outside of all.
    """

    counts: Any
    edges: Any
    stderr: Any
    not_finite: int


class DistanceHistogram(Histogram):
    """A histogram of the distances between atoms in all frames; the value is a `DistanceCounts`.

    Parameters
    ----------
    bins : int or sequence of float
        How many bins of one width there are, or their edges, in nm.
    range : (float, float) or None
        The first and the last edge, where `bins` is a number.
    pairs : array of int of shape (n, 2), or None
        The pairs of atoms; None for all (each once).
    periodic : bool
        Distances are those of the nearest images, where the frames have unit cells.
    """

    def __init__(
        self, bins: Any, range: tuple[float, float] | None = None, *, pairs: Any = None, periodic: bool = True
    ) -> None:
        super().__init__(bins, range)
        self.pairs = checked_pairs(pairs)
        self.periodic = periodic

    def __call__(self, frames: Any) -> Any:
        """Return the counts of some frames, and how many distances are not finite."""
        counts, not_finite = DistanceHistogram.zero(self)  # not that of a class made of this one
        for block in distances(frames, self.pairs, self.periodic):
            counts += np.histogram(block, self.bins, self.range)[0]
            not_finite += block.size - np.count_nonzero(np.isfinite(block))
        return counts, not_finite

    def zero(self) -> Any:
        """Return the state of no frames."""
        return np.zeros(len(self.edges) - 1, np.int64), 0

    def add(self, state: Any, index: int, value: Any) -> Any:
        """Return the state with more frames."""
        return state[0] + value[0], state[1] + value[1]

    def merge(self, a: Any, b: Any) -> Any:
        """Return the state of both."""
        return a[0] + b[0], a[1] + b[1]

    def finish(self, state: Any) -> Any:
        """Return the histogram."""
        return DistanceCounts(state[0].copy(), np.array(self.edges), np.sqrt(state[0]), int(state[1]))


class RadialDistribution(NamedTuple):
    """A radial distribution function.

    Attributes
    ----------
    r : array
        The centres of the bins, in nm.
    g : array
        The function.
    counts : array of int
        How many distances are in each bin.
    n_frames : int
        In how many frames.
    not_finite : int
        How many distances are not known, as in `DistanceCounts`. They are in no bin, and `g` is by so much too
        small (as in mdtraj).
    """

    r: Any
    g: Any
    counts: Any
    n_frames: int
    not_finite: int


class RDF(Reducer):
    """The radial distribution function, as ``mdtraj.compute_rdf`` has it of all frames at once.

    Each frame counts with the density that its own unit cell gives; the value is a `RadialDistribution`.

    Parameters
    ----------
    pairs : array of int of shape (n, 2), or None
        The pairs of atoms, as ``topology.select_pairs`` returns them; None for all.
    r_range : (float, float)
        The smallest and the largest radius, in nm.
    bin_width : float
        In nm.
    n_bins : int or None
        How many bins, instead of their width.
    periodic : bool
        Distances are those of the nearest images.
    """

    def __init__(
        self,
        pairs: Any = None,
        *,
        r_range: tuple[float, float] = (0.0, 1.0),
        bin_width: float = 0.005,
        n_bins: int | None = None,
        periodic: bool = True,
    ) -> None:
        n_bins = int((r_range[1] - r_range[0]) / bin_width) if n_bins is None else n_bins
        self.histogram = DistanceHistogram(n_bins, r_range, pairs=pairs, periodic=periodic)

    def __call__(self, frames: Any) -> Any:
        """Return counts, the densities of one pair in each frame summed up, the frames, the unknown distances."""
        if frames.unitcell_lengths is None:
            raise ValueError(
                "a radial distribution function needs the density, and the frames have no unit cells"
            )
        pairs = self.histogram.pairs
        n = frames.n_atoms * (frames.n_atoms - 1) // 2 if pairs is None else len(pairs)
        counts, not_finite = self.histogram(frames)
        return counts, n * float(np.sum(1.0 / frames.unitcell_volumes)), frames.n_frames, not_finite

    def zero(self) -> Any:
        """Return the state of no frames."""
        return self.histogram.zero()[0], 0.0, 0, 0

    def add(self, state: Any, index: int, value: Any) -> Any:
        """Return the state with more frames."""
        return self.merge(state, value)

    def merge(self, a: Any, b: Any) -> Any:
        """Return the state of both."""
        return tuple(x + y for x, y in zip(a, b, strict=True))

    def finish(self, state: Any) -> RadialDistribution:
        """Return the function."""
        counts, density, n_frames, not_finite = state
        edges = np.array(self.histogram.edges)
        shells = 4 / 3 * np.pi * np.diff(edges**3)
        g = counts / (density * shells) if n_frames else np.full(len(counts), np.nan)
        return RadialDistribution((edges[1:] + edges[:-1]) / 2, g, counts.copy(), n_frames, not_finite)


class Contacts(NamedTuple):
    """How often residues are in contact.

    Attributes
    ----------
    fraction : array
        Of the frames in which the distance is known, for each pair; NaN where it is in none.
    pairs : array of int of shape (n, 2)
        The pairs of residues.
    n_frames : int
        How many frames there are.
    not_finite : array of int
        In how many of them the distance is not known, for each pair: a coordinate of an atom that the scheme looks
        at (or the unit cell) is NaN or infinite.
    """

    fraction: Any
    pairs: Any
    n_frames: int
    not_finite: Any

    def matrix(self) -> Any:
        """Return the map: the fractions as a symmetric matrix of all residues up to the last one in a pair."""
        size = int(self.pairs.max()) + 1 if len(self.pairs) else 0
        matrix = np.zeros((size, size))
        i, j = self.pairs.T
        matrix[i, j] = matrix[j, i] = self.fraction
        return matrix


class ContactMap(Reducer):
    """In which fraction of the frames each pair of residues is in contact; the value is a `Contacts`.

    Parameters
    ----------
    cutoff : float
        Residues that are nearer than that are in contact, in nm.
    **options
        As for ``mdtraj.compute_contacts``: ``contacts``, ``scheme``, ``ignore_nonprotein``, ``periodic``...
    """

    def __init__(self, cutoff: float = 0.45, **options: Any) -> None:
        self.cutoff = cutoff
        self.options = options

    def __call__(self, frames: Any) -> Any:
        """Return in how many frames each pair is in contact, or not known to be; their number; the pairs."""
        near: Any = 0
        unknown: Any = 0
        for block in blocks(frames, frames.n_atoms**2 // 2):
            found, pairs = contacts(block, self.options)
            near = near + (found < self.cutoff).sum(axis=0)
            unknown = unknown + (~np.isfinite(found)).sum(axis=0)
        return near, unknown, frames.n_frames, pairs

    def zero(self) -> Any:
        """Return the state of no frames."""
        return ()

    def add(self, state: Any, index: int, value: Any) -> Any:
        """Return the state with more frames."""
        return self.merge(state, value)

    def merge(self, a: Any, b: Any) -> Any:
        """Return the state of both."""
        return (a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3]) if a and b else a or b

    def finish(self, state: Any) -> Contacts:
        """Return the contacts."""
        if not state:
            return Contacts(np.zeros(0), np.zeros((0, 2), int), 0, np.zeros(0, int))
        near, unknown, n_frames, pairs = state
        known = n_frames - unknown
        fraction = np.divide(near, known, out=np.full(len(near), np.nan), where=known > 0)
        return Contacts(fraction, np.array(pairs), n_frames, unknown.copy())
