"""Results that are rows of longer arrays: the value is the same however they are divided."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from condormap.reducers import (
    Collect,
    Concatenate,
    Count,
    Covariance,
    Max,
    Mean,
    Min,
    Sum,
    Variance,
    as_reducer,
)
from condormap.reducers.hdf5_series import Label, SeriesHDF5
from condormap.reducers.series import Places, Rows, by_row

Division = tuple[tuple[int, ...], int, int]  # lengths of the series, rows of a result, a seed for their order

divisions = st.tuples(
    st.lists(st.integers(1, 12), min_size=1, max_size=4).map(tuple), st.integers(1, 5), st.integers(0, 1000)
)


def divided(division: Division) -> tuple[Places, list[Any], list[Any]]:
    """Return where the rows of each result belong, the series, and the results."""
    lengths, size, seed = division
    generator = np.random.default_rng(seed)
    wholes = [generator.normal(size=(n, 2)) for n in lengths]
    starts = [(k, at) for k, n in enumerate(lengths) for at in range(0, n, size)]
    results = [wholes[k][at : at + size] for k, at in starts]
    series, first = (np.array(column) for column in zip(*starts, strict=True))
    n = np.array([len(each) for each in results])
    return Places(lengths, series, first, n, is_one=len(lengths) == 1), wholes, results


def reduced(reducer: Any, results: list[Any], seed: int) -> Any:
    """Return the state of all results, added to three states in any order, which are merged in any order."""
    shuffled = list(enumerate(results))
    random.Random(seed).shuffle(shuffled)
    states = [reducer.zero() for _ in range(3)]
    for number, (item, value) in enumerate(shuffled):
        states[number % 3] = reducer.add(states[number % 3], item, value)
    return reducer.merge(states[0], reducer.merge(states[1], states[2]))


@given(divisions)
@settings(deadline=None, max_examples=50)
def test_rows_are_the_series(division: Division) -> None:
    places, wholes, results = divided(division)
    reducer = Rows(places)
    found = reducer.finish(reduced(reducer, results, division[2]))
    for rows, whole in zip([found] if len(wholes) == 1 else found, wholes, strict=True):
        assert np.array_equal(rows, whole)


@given(divisions, st.integers(0, 100))
@settings(deadline=None, max_examples=50)
def test_rows_that_have_no_result_are_nan(division: Division, lacking: int) -> None:
    places, wholes, results = divided(division)
    lacking %= len(results)
    reducer, state = Rows(places), []
    for item, value in enumerate(results):
        if item != lacking:
            state = reducer.add(state, item, value)
    found = reducer.finish(state)
    rows = found if len(wholes) == 1 else found[places.series[lacking]]
    at = places.first[lacking]
    assert np.isnan(rows[at : at + places.n[lacking]]).all()
    assert np.isnan(rows.reshape(len(rows), -1)[:, 0]).sum() in (places.n[lacking], len(rows))


@given(divisions)
@settings(deadline=None, max_examples=50)
@pytest.mark.parametrize(
    "reducer", [Mean(), Variance(), Sum(), Covariance(), Count(), Collect(), Min(), Max()]
)
def test_reducers_see_rows_however_these_are_divided(reducer: Any, division: Division) -> None:
    places, wholes, results = divided(division)
    rows = np.concatenate(wholes)
    by_rows = by_row(reducer, places)
    state = reducer.zero()
    for number, row in enumerate(rows):
        state = reducer.add(state, number, row)
    found, expected = by_rows.finish(reduced(by_rows, results, division[2])), reducer.finish(state)
    for one, other in zip(flat(found), flat(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


def flat(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def test_functions_of_two_and_what_joins_arrays_get_results_as_they_are() -> None:
    places, _, _ = divided(((4,), 2, 0))
    for what in (np.add, Concatenate(), Mean("elements")):
        reducer = as_reducer(what)
        assert by_row(reducer, places) is reducer


@given(division=divisions)
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_datasets_are_the_series(tmp_path: Path, division: Division) -> None:
    places, wholes, results = divided(division)
    path = tmp_path / "series.h5"
    path.unlink(missing_ok=True)
    labels = [Label("run.xtc", 0, number, range(0, 10 * n, 10)) for number, n in enumerate(places.lengths)]
    reducer = SeriesHDF5(path, "x", places, labels)
    found = reducer.finish(reduced(reducer, results, division[2]))
    with h5py.File(path) as file:
        for rows, whole in zip(flat(found) if len(wholes) > 1 else [found], wholes, strict=True):
            assert np.array_equal(file[rows.dataset], whole)
            frames = file[f"{rows.dataset.removesuffix('x')}frames"]
            assert list(frames) == list(range(0, 10 * len(whole), 10))


def test_rows_that_do_not_fit_a_dataset_are_refused(tmp_path: Path) -> None:
    places, _, results = divided(((4,), 2, 0))
    reducer = SeriesHDF5(tmp_path / "series.h5", "x", places, [Label("", 0, 0, range(4))])
    state = reducer.merge(reducer.add(reducer.zero(), 0, results[0]), reducer.zero())
    with pytest.raises(
        ValueError, match=r"the rows of item 1 are float64 of shape \(1,\), and the dataset /x"
    ):
        reducer.merge(state, reducer.add(reducer.zero(), 1, results[1][:, :1]))
