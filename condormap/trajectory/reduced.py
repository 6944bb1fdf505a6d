"""Observables that are small whatever the trajectory's length: made and added up in the jobs.

Each is a function of frames and its own reducer, ``compute_observable(DistanceHistogram(100, (0.0, 5.0)), data)``;
a class of your own that is both does as well. What they compute for some frames takes memory for a block of
distances at a time, however many pairs there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ..reducers.histograms import Histogram
from ..reducers.protocol import Reducer

_PAIRS = 1 << 18  # whose distances are computed at once,
_BLOCK = 1 << 23  # and how many distances that are


class DistanceHistogram(Histogram):
    """A histogram of the distances between atoms in all frames; the value is a `Counts`: counts, edges, stderr.

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
        self.pairs = _checked(pairs)
        self.periodic = periodic

    def __call__(self, frames: Any) -> Any:
        """Return the counts of some frames."""
        counts = np.zeros(len(self.edges) - 1, np.int64)
        for distances in _distances(frames, self.pairs, self.periodic):
            counts += np.histogram(distances, self.bins, self.range)[0]
        return counts

    def add(self, state: Any, index: int, value: Any) -> Any:
        """Return the state with the counts of more frames."""
        return state[0] + value, None


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
    """

    r: Any
    g: Any
    counts: Any
    n_frames: int


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
        """Return counts, the sum of the densities of one pair in each frame, and how many frames there are."""
        if frames.unitcell_lengths is None:
            raise ValueError(
                "a radial distribution function needs the density, and the frames have no unit cells"
            )
        pairs = self.histogram.pairs
        n = frames.n_atoms * (frames.n_atoms - 1) // 2 if pairs is None else len(pairs)
        return self.histogram(frames), n * float(np.sum(1.0 / frames.unitcell_volumes)), frames.n_frames

    def zero(self) -> Any:
        """Return the state of no frames."""
        return self.histogram.zero()[0], 0.0, 0

    def add(self, state: Any, index: int, value: Any) -> Any:
        """Return the state with more frames."""
        return self.merge(state, value)

    def merge(self, a: Any, b: Any) -> Any:
        """Return the state of both."""
        return tuple(x + y for x, y in zip(a, b, strict=True))

    def finish(self, state: Any) -> RadialDistribution:
        """Return the function."""
        counts, density, n_frames = state
        edges = np.array(self.histogram.edges)
        shells = 4 / 3 * np.pi * np.diff(edges**3)
        g = counts / (density * shells) if n_frames else np.full(len(counts), np.nan)
        return RadialDistribution((edges[1:] + edges[:-1]) / 2, g, counts.copy(), n_frames)


class Contacts(NamedTuple):
    """How often residues are in contact.

    Attributes
    ----------
    fraction : array
        Of the frames, for each pair.
    pairs : array of int of shape (n, 2)
        The pairs of residues.
    n_frames : int
        How many frames there are.
    """

    fraction: Any
    pairs: Any
    n_frames: int

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
        """Return in how many frames each pair is in contact, how many frames there are, and the pairs."""
        import mdtraj

        counts: Any = 0
        for block in _blocks(frames, frames.n_atoms**2 // 2):
            distances, pairs = mdtraj.compute_contacts(block, **self.options)
            counts = counts + (distances < self.cutoff).sum(axis=0)
        return counts, frames.n_frames, pairs

    def zero(self) -> Any:
        """Return the state of no frames."""
        return ()

    def add(self, state: Any, index: int, value: Any) -> Any:
        """Return the state with more frames."""
        return self.merge(state, value)

    def merge(self, a: Any, b: Any) -> Any:
        """Return the state of both."""
        return (a[0] + b[0], a[1] + b[1], a[2]) if a and b else a or b

    def finish(self, state: Any) -> Contacts:
        """Return the contacts."""
        if not state:
            return Contacts(np.zeros(0), np.zeros((0, 2), int), 0)
        counts, n_frames, pairs = state
        return Contacts(counts / n_frames, np.array(pairs), n_frames)


def _checked(pairs: Any) -> Any:
    """Return the pairs of atoms as an array; None stays None."""
    if pairs is None:
        return None
    pairs = np.asarray(pairs)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.dtype.kind not in "iu" or not len(pairs):
        raise ValueError(f"pairs must be integers of the shape (n, 2), not {pairs.dtype} of {pairs.shape}")
    return pairs.astype(np.int32)


def _distances(frames: Any, pairs: Any, periodic: bool) -> Iterator[Any]:
    """Yield the distances of pairs of atoms in all frames, a block at a time."""
    import mdtraj

    for some in _all_pairs(frames.n_atoms) if pairs is None else _parts(pairs):
        for block in _blocks(frames, len(some)):
            yield mdtraj.compute_distances(block, some, periodic=periodic)


def _parts(pairs: Any) -> Iterator[Any]:
    for start in range(0, len(pairs), _PAIRS):
        yield pairs[start : start + _PAIRS]


def _all_pairs(n: int) -> Iterator[Any]:
    """Yield all pairs of `n` atoms, each once, a block at a time."""
    rows = max(1, _PAIRS // max(1, n))
    for start in range(0, n - 1, rows):
        first = np.arange(start, min(start + rows, n - 1), dtype=np.int32)
        others = n - 1 - first  # how many atoms come after each
        i = np.repeat(first, others)
        within = np.arange(len(i), dtype=np.int32) - np.repeat(np.cumsum(others) - others, others)
        yield np.column_stack([i, i + 1 + within])


def _blocks(frames: Any, distances: int) -> Iterator[Any]:
    """Yield the frames, as many at a time as make a block of distances, of which each frame has so many."""
    step = max(1, _BLOCK // max(1, distances))
    if step >= frames.n_frames:
        yield frames
        return
    for start in range(0, frames.n_frames, step):
        yield frames[start : start + step]
