"""Distances of pairs of atoms, a block at a time; NaN where coordinates of an atom are not finite."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

_PAIRS = 1 << 18  # whose distances are computed at once,
_BLOCK = 1 << 23  # and how many distances that are


def checked_pairs(pairs: Any) -> Any:
    """Return the pairs of atoms as an array; None stays None."""
    if pairs is None:
        return None
    pairs = np.asarray(pairs)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.dtype.kind not in "iu" or not len(pairs):
        raise ValueError(f"pairs must be integers of the shape (n, 2), not {pairs.dtype} of {pairs.shape}")
    return pairs.astype(np.int32)


def distances(frames: Any, pairs: Any, periodic: bool) -> Iterator[Any]:
    """Yield the distances of pairs of atoms in all frames, a block at a time."""
    import mdtraj

    is_finite = bool(finite_atoms(frames, periodic).all())
    for some in _all_pairs(frames.n_atoms) if pairs is None else _parts(pairs):
        for block in blocks(frames, len(some)):
            found = mdtraj.compute_distances(block, some, periodic=periodic)
            if not is_finite:  # periodic, mdtraj gives a large number then
                known = finite_atoms(block, periodic)
                found[~(known[:, some[:, 0]] & known[:, some[:, 1]])] = np.nan
            yield found


def contacts(frames: Any, options: dict[str, Any]) -> tuple[Any, Any]:
    """Return the distances of ``mdtraj.compute_contacts``, and the pairs of residues."""
    import mdtraj

    found, pairs = mdtraj.compute_contacts(frames, **options)
    with_cells = bool(options.get("periodic", True))
    wrong = np.flatnonzero(~finite_atoms(frames, with_cells).all(axis=1))
    if len(wrong):  # without unit cells, mdtraj gives NaN for those that the scheme looks at
        some = frames[wrong]  # a copy
        some.xyz[~np.isfinite(some.xyz)] = np.nan
        plain, _ = mdtraj.compute_contacts(some, **options | {"periodic": False})
        known = np.isfinite(plain) & _finite_cells(some, with_cells)[:, None]
        found[wrong] = np.where(known, found[wrong], np.nan)
    return found, pairs


def finite_atoms(frames: Any, periodic: bool) -> Any:
    """Return, for each atom of each frame, whether its distances are known: where it is, and the unit cell."""
    return np.isfinite(frames.xyz).all(axis=2) & _finite_cells(frames, periodic)[:, None]


def _finite_cells(frames: Any, periodic: bool) -> Any:
    if not periodic or frames.unitcell_lengths is None:
        return np.ones(frames.n_frames, bool)
    return np.isfinite(np.hstack([frames.unitcell_lengths, frames.unitcell_angles])).all(axis=1)


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


def blocks(frames: Any, per_frame: int) -> Iterator[Any]:
    """Yield the frames, as many at a time as make a block of distances, of which each frame has so many."""
    step = max(1, _BLOCK // max(1, per_frame))
    if step >= frames.n_frames:
        yield frames
        return
    for start in range(0, frames.n_frames, step):
        yield frames[start : start + step]
