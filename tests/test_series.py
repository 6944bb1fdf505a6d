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

from condormap.errors import ReduceError
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
from condormap.reducers.hdf5_series import SeriesHDF5
from condormap.reducers.series import Label, Places, Rows, by_row

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
    reducer = SeriesHDF5(path, "x", places._replace(labels=labels))
    found = reducer.finish(reduced(reducer, results, division[2]))
    with h5py.File(path) as file:
        for rows, whole in zip(flat(found) if len(wholes) > 1 else [found], wholes, strict=True):
            assert np.array_equal(file[rows.dataset], whole)
            frames = file[f"{rows.dataset.removesuffix('x')}frames"]
            assert list(frames) == list(range(0, 10 * len(whole), 10))


def two_results(path: Path, values: list[Any], order: tuple[int, ...] = (0, 1)) -> Any:
    """Write values of the frames 40 to 43 and of frame 44 of a trajectory; return the datasets."""
    label = Label("run.xtc", 0, 0, range(40, 45))
    places = Places((5,), np.array([0, 0]), np.array([0, 4]), np.array([4, 1]), is_one=True, labels=[label])
    reducer = SeriesHDF5(path / "series.h5", "x", places)
    state = reducer.zero()
    for item in order:
        state = reducer.merge(state, reducer.add(reducer.zero(), item, values[item]))
    reducer.finish(state)
    with h5py.File(path / "series.h5") as file:
        found = file["x"]
        return {name: each[()] for name, each in found.items()} if hasattr(found, "items") else found[()]


FOUR = np.arange(8.0).reshape(4, 2)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            np.ones((1, 1)),
            r"rows of float64 of shape \(1,\) for frame 44 of run.xtc, .*needs rows of float64",
        ),
        ({"k": np.ones((1, 2))}, "a dict of 'k' for frame 44 of run.xtc"),
        (np.ones((2, 2)), r"shape \(2, 2\) for frame 44 of run.xtc, .* needs one row for each frame"),
        (np.ones((0, 2)), "needs one row for each frame"),
        (3.0, "needs one row for each frame"),
        (None, "needs one row for each frame"),
        (np.array([[b"a", b"b"]]), r"rows of \|S1 of shape \(2,\) for frame 44"),
    ],
)
def test_rows_that_do_not_fit_a_dataset_are_refused(tmp_path: Path, value: Any, message: str) -> None:
    with pytest.raises(ReduceError, match=message) as caught:
        two_results(tmp_path, [FOUR, value])
    assert "set_reducer" not in str(caught.value)


def test_the_keys_of_all_results_are_the_same(tmp_path: Path) -> None:
    values = [{"a": FOUR, "b": FOUR}, {"a": FOUR[:1]}]
    with pytest.raises(ReduceError, match=r"a dict of 'a' for frame 44 .* needs a dict of 'a', 'b'"):
        two_results(tmp_path, values)


def test_lists_are_rows(tmp_path: Path) -> None:
    assert two_results(tmp_path, [[1, 2, 3, 4], [5]]).tolist() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
@pytest.mark.parametrize(
    ("one", "other", "dtype"),
    [("i4", "f8", "f8"), ("i8", "f4", "f8"), ("?", "u2", "u2"), ("f4", "c8", "c8"), ("S1", "S3", "S3")],
)
def test_the_type_is_wide_enough_whatever_comes_first(
    tmp_path: Path, order: tuple[int, ...], one: str, other: str, dtype: str
) -> None:
    values = [np.array([0, 1, 1, 0], one), np.array([1], other)]
    found = two_results(tmp_path, [{"x": each, "same": np.full(len(each), b"a")} for each in values], order)
    assert found["x"].dtype == dtype
    assert np.array_equal(found["x"], np.concatenate(values))
    assert found["same"].tolist() == [b"a"] * 5


def test_rows_that_are_not_there_are_nan_when_the_type_became_wider(tmp_path: Path) -> None:
    n, first = np.ones(3, int), np.arange(3)
    label = Label("run.xtc", 0, 0, range(3))
    places = Places((3,), np.zeros(3, int), first, n, is_one=True, labels=[label])
    reducer = SeriesHDF5(tmp_path / "series.h5", "x", places)
    state = reducer.zero()
    for item, value in ((0, 0), (2, 1.5)):
        state = reducer.merge(state, reducer.add(reducer.zero(), item, np.array([value])))
    with h5py.File(tmp_path / "series.h5") as file:
        assert np.array_equal(file["x"], [0.0, np.nan, 1.5], equal_nan=True)
