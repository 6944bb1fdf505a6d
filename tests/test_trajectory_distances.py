"""Distances of coordinates that are not finite are counted, and not hidden."""

from __future__ import annotations

from typing import Any

import mdtraj
import numpy as np
import pytest
from trajectories import trajectory

from condormap.reducers.protocol import Reducer
from condormap.trajectory import RDF, ContactMap, DistanceHistogram

ATOMS = 32
PAIRS = ATOMS * (ATOMS - 1) // 2


def frames(*, cells: bool) -> mdtraj.Trajectory:
    """Return frames of which one has no coordinates of an atom, one infinite ones, and one none at all."""
    made = trajectory(6, cells=cells)
    made.xyz[2, 5] = np.nan
    made.xyz[3, 9, 1] = np.inf
    made.xyz[4] = np.nan
    return made


def value(function: Reducer, made: mdtraj.Trajectory) -> Any:
    """Return what a function that is its own reducer makes of frames, in two chunks."""
    state = function.zero()
    for number, part in enumerate((made[:3], made[3:])):
        state = function.add(state, number, function(part))  # type: ignore[operator]
    return function.finish(state)


@pytest.mark.parametrize("cells", [True, False])
def test_a_histogram_says_how_many_distances_are_not_finite(cells: bool) -> None:
    found = value(DistanceHistogram(10, (0.0, 1e30)), frames(cells=cells))
    assert found.not_finite == 2 * (ATOMS - 1) + PAIRS
    assert int(found.counts.sum()) == 6 * PAIRS - found.not_finite
    few = value(DistanceHistogram(10, (0.0, 1e30), pairs=[[0, 1], [5, 0]]), frames(cells=cells))
    assert (few.not_finite, int(few.counts.sum())) == (3, 9)


def test_distances_in_a_unit_cell_that_is_not_finite_are_counted() -> None:
    made = trajectory(6)
    made.unitcell_lengths[1, 2] = np.nan
    assert value(DistanceHistogram(10, (0.0, 1e30)), made).not_finite == PAIRS
    assert value(DistanceHistogram(10, (0.0, 1e30), periodic=False), made).not_finite == 0
    assert set(value(ContactMap(0.8), made).not_finite) == {1}


def test_a_radial_distribution_says_how_many_distances_are_not_finite() -> None:
    made = frames(cells=True)
    found = value(RDF(r_range=(0.0, 2.0), n_bins=40), made)
    assert (found.not_finite, found.n_frames) == (2 * (ATOMS - 1) + PAIRS, 6)
    assert value(RDF(n_bins=40), trajectory(6)).not_finite == 0


@pytest.mark.parametrize("cells", [True, False])
@pytest.mark.parametrize("scheme", ["ca", "closest"])
def test_contacts_are_of_the_frames_in_which_the_distance_is_known(scheme: str, cells: bool) -> None:
    made = frames(cells=cells)
    found = value(ContactMap(2.0, contacts=[[0, 1], [1, 2], [0, 4]], scheme=scheme), made)
    assert found.n_frames == 6
    # Atom 5 is the CA of residue 1, atom 9 that of residue 2.
    assert found.not_finite.tolist() == [2, 3, 1]
    known = [[0, 1, 3, 5], [0, 1, 5], [0, 1, 2, 3, 5]]
    for pair, fraction, rows in zip(found.pairs, found.fraction, known, strict=True):
        distances, _ = mdtraj.compute_contacts(made[rows], [pair], scheme=scheme)
        assert fraction == pytest.approx((distances < 2.0).mean())


def test_a_contact_that_is_known_in_no_frame_is_nan() -> None:
    found = value(ContactMap(2.0, contacts=[[0, 1]]), frames(cells=True)[[4, 4, 2, 2]])
    assert np.isnan(found.fraction).all()
    assert found.not_finite.tolist() == [4]
