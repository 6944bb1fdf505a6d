"""The ready-made reducers give what NumPy gives of all results at once, however these are split and arrive."""

from __future__ import annotations

import itertools
import math
import operator
import pickle
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from condormap import reducers as r

FLOATS = st.floats(-1e6, 1e6)
SMALL_INTS = st.integers(-(2**40), 2**40)
ARRAYS = hnp.arrays(np.float64, st.integers(0, 7), elements=FLOATS)
VECTORS = hnp.arrays(np.float64, 3, elements=st.floats(-1e3, 1e3))
ROWS = hnp.arrays(np.float64, st.tuples(st.integers(1, 5), st.just(3)), elements=st.floats(-1e3, 1e3))


def equal(found: Any, expected: Any) -> None:
    np.testing.assert_array_equal(found, expected)


def nearly(found: Any, expected: Any) -> None:
    """Equal to 9 digits, or to 10 of the largest number that was summed, which here is 1e6."""
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-4)


@st.composite
def split(
    draw: st.DrawFn, values: st.SearchStrategy[Any], least: int = 1
) -> tuple[list[Any], list[list[int]]]:
    """Return some results, and in what order partial states of which of them arrive."""
    results = draw(st.lists(values, min_size=least, max_size=12))
    cuts = draw(st.sets(st.integers(1, len(results)))) if results else set()
    bounds = [0, *sorted(cuts), len(results)]
    parts = [list(range(a, b)) for a, b in itertools.pairwise(bounds)]
    return results, draw(st.permutations(parts))


def reduced(reducer: Any, results: Sequence[Any], parts: Sequence[Sequence[int]]) -> Any:
    """Reduce as a map does: a copy in the jobs makes states, which are merged as they arrive; a copy goes on."""
    job = pickle.loads(cloudpickle.dumps(reducer))
    states = []
    for part in sorted(parts) if reducer.ordered else parts:
        state = job.zero()
        for index in part:
            state = job.add(state, index, pickle.loads(pickle.dumps(results[index])))
        states.append(pickle.dumps(state, 5))
    merged = reducer.zero()
    for number, data in enumerate(states):
        merged = reducer.merge(merged, pickle.loads(data))
        if number % 2:
            reducer, merged = pickle.loads(cloudpickle.dumps(reducer)), pickle.loads(pickle.dumps(merged))
    before = pickle.dumps(merged)
    value = reducer.finish(merged)
    assert pickle.dumps(merged) == before
    return value


def size(result: Any) -> int:
    return 1 if isinstance(result, tuple) else np.size(result)


def whole(results: Sequence[Any]) -> Any:
    return np.concatenate([np.ravel(each) for each in results])


# name: (reducer, strategy of a result, what NumPy says, how near)
EXACT: dict[str, tuple[Any, st.SearchStrategy[Any], Callable[[list[Any]], Any]]] = {
    "collect": (r.Collect(), st.text(), list),
    "count": (r.Count(), st.none(), len),
    "count where": (r.Count(lambda x: x > 0), SMALL_INTS, lambda xs: sum(x > 0 for x in xs)),
    "sum of integers": (r.Sum(), st.integers(-(2**80), 2**80), sum),
    "sum of integer arrays": (
        r.Sum(), hnp.arrays(np.int8, 4), lambda xs: np.sum(xs, axis=0)),
    "sum of all integers": (
        r.Sum("elements"), hnp.arrays(np.int32, st.integers(0, 5)), lambda xs: int(whole(xs).sum())),
    "min": (r.Min(), st.floats(), lambda xs: (np.min(xs), np.argmin(xs))),
    "max": (r.Max(), st.floats(), lambda xs: (np.max(xs), np.argmax(xs))),
    "min of arrays": (
        r.Min(), hnp.arrays(np.float64, 3), lambda xs: (np.min(xs, axis=0), np.argmin(xs, axis=0))),
    "max of arrays": (
        r.Max(), hnp.arrays(np.float64, 3), lambda xs: (np.max(xs, axis=0), np.argmax(xs, axis=0))),
    "max of all": (
        r.Max("elements"), hnp.arrays(np.float64, (2, 2)),
        lambda xs: (np.max(xs), *np.unravel_index(np.argmax(xs), np.shape(xs)))),
    "histogram": (
        r.Histogram(7, (-10.0, 10.0)), hnp.arrays(np.float64, st.integers(0, 9), elements=st.floats(-12, 12)),
        lambda xs: np.histogram(whole(xs), 7, (-10, 10))),
    "histogram of numbers": (
        r.Histogram([-3, 0, 1, 7]), st.one_of(st.integers(-5, 9), st.floats(width=16, allow_infinity=True)),
        lambda xs: np.histogram(xs, [-3, 0, 1, 7])),
    "2-d histogram": (
        r.Histogram2D((4, [0, 1, 5]), ((-4, 4), None)), hnp.arrays(np.float64, (2, 3), elements=st.floats(-5, 6)),
        lambda xs: np.histogram2d(*np.concatenate(xs, axis=1), [np.linspace(-4, 4, 5), [0, 1, 5]])),
    "union": (r.Union(), st.sets(st.integers(0, 20)), lambda xs: set().union(*xs)),
    "dicts": (
        r.MergeDicts(), st.dictionaries(st.integers(0, 5), st.integers()),
        lambda xs: {key: value for x in xs for key, value in x.items()}),
    "dicts combined": (
        r.MergeDicts(operator.add), st.dictionaries(st.integers(0, 5), st.text(max_size=2)),
        lambda xs: {key: "".join(x.get(key, "") for x in xs) for x in xs for key in x}),
    "concatenated": (r.Concatenate(), hnp.arrays(np.float32, st.tuples(st.integers(0, 4), st.just(2))),
                     np.concatenate),
    "concatenated along the last axis": (
        r.Concatenate(axis=-1), hnp.arrays(np.int64, st.tuples(st.just(2), st.integers(0, 4))),
        lambda xs: np.concatenate(xs, axis=-1)),
    "function": (r.Function(operator.add), st.text(), "".join),
    "grouped": (
        r.GroupBy(r.Sum()), st.tuples(st.sampled_from("abc"), st.integers()),
        lambda xs: {key: sum(x for k, x in xs if k == key) for key, _ in xs}),
    "grouped by a key": (
        r.GroupBy(r.Collect(), key=lambda x: x % 3), st.integers(),
        lambda xs: {x % 3: [y for y in xs if y % 3 == x % 3] for x in xs}),
    "grouped dicts": (
        r.GroupBy(operator.add), st.dictionaries(st.integers(0, 3), st.text(max_size=2)),
        lambda xs: {key: "".join(x.get(key, "") for x in xs) for x in xs for key in x}),
    "several": (r.Several((r.Count(), r.Collect())), st.integers(), lambda xs: (len(xs), xs)),
    "several by name": (
        r.as_reducer({"n": r.Count, "all": operator.add}), st.text(),
        lambda xs: {"n": len(xs), "all": "".join(xs)}),
}  # fmt: skip


@pytest.mark.parametrize("name", EXACT)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_what_is_exact(name: str, data: st.DataObject) -> None:
    reducer, values, expect = EXACT[name]
    results, parts = data.draw(split(values))
    found, expected = reduced(reducer, results, parts), expect(results)
    if isinstance(found, r.Counts):
        equal(found.counts, expected[0])
        for one, other in zip(
            found.edges if len(expected) == 3 else [found.edges], expected[1:], strict=True
        ):
            equal(one, other)
    elif isinstance(found, r.Extreme):
        equal(found.value, expected[0])
        equal(found.index, expected[1])
        equal(found.position, expected[2:])
    elif isinstance(found, np.ndarray):
        equal(found, expected)
        assert found.dtype == expected.dtype
    else:
        assert found == expected
        assert not isinstance(found, dict) or list(found) == list(expected)


WEIGHTS = st.floats(0.01, 100.0)
NEARLY: dict[str, tuple[Any, st.SearchStrategy[Any], Callable[[list[Any]], Any]]] = {
    "sum": (r.Sum(), FLOATS, math.fsum),
    "sum of arrays": (r.Sum(), VECTORS, lambda xs: np.sum(xs, axis=0)),
    "sum of rows": (r.Sum("rows"), ROWS, lambda xs: np.concatenate(xs).sum(axis=0)),
    "sum of all": (r.Sum("elements"), ARRAYS, lambda xs: math.fsum(whole(xs))),
    "mean": (r.Mean(), FLOATS, np.mean),
    "mean of arrays": (r.Mean(), VECTORS, lambda xs: np.mean(xs, axis=0)),
    "mean of rows": (r.Mean("rows"), ROWS, lambda xs: np.mean(np.concatenate(xs), axis=0)),
    "weighted mean": (
        r.Mean(weighted=True), st.tuples(FLOATS, WEIGHTS), lambda xs: np.average(*np.transpose(xs)[:1],
        weights=np.transpose(xs)[1])),
    "weighted mean of arrays": (
        r.Mean(weighted=True), st.tuples(VECTORS, WEIGHTS),
        lambda xs: np.average([x for x, _ in xs], axis=0, weights=[w for _, w in xs])),
    "variance": (r.Variance(), FLOATS.map(lambda x: x / 1e3), np.var),
    "variance of rows": (r.Variance("rows"), ROWS, lambda xs: np.var(np.concatenate(xs), axis=0)),
    "variance of all": (r.Variance("elements"), ROWS, lambda xs: np.var(np.concatenate(xs))),
    "weighted variance": (
        r.Variance(weighted=True), st.tuples(VECTORS, WEIGHTS),
        lambda xs: np.diag(np.cov(np.transpose([x for x, _ in xs]), aweights=[w for _, w in xs], ddof=0))),
    "weighted histogram": (
        r.Histogram(5, (0, 1), weighted=True),
        hnp.arrays(np.float64, (2, 4), elements=st.floats(0, 1)),
        lambda xs: np.histogram(whole(x[0] for x in xs), 5, (0, 1), weights=whole(x[1] for x in xs))[0]),
    "weighted 2-d histogram": (
        r.Histogram2D((3, 3), ((0, 1), (0, 1)), weighted=True),
        hnp.arrays(np.float64, (3, 4), elements=st.floats(0, 1)),
        lambda xs: np.histogram2d(*(lambda a: (a[0], a[1]))(np.concatenate(xs, axis=1)), 3, ((0, 1), (0, 1)),
                                  weights=np.concatenate(xs, axis=1)[2])[0]),
}  # fmt: skip


@pytest.mark.parametrize("name", NEARLY)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_what_is_as_near_as_floats_are(name: str, data: st.DataObject) -> None:
    reducer, values, expect = NEARLY[name]
    results, parts = data.draw(split(values).filter(lambda drawn: any(map(size, drawn[0]))))
    found = reduced(reducer, results, parts)
    nearly(found[0] if isinstance(found, r.Estimate | r.Counts) else found, expect(results))


@pytest.mark.parametrize("weighted", [False, True])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_covariance(weighted: bool, data: st.DataObject) -> None:
    results, parts = data.draw(split(VECTORS, least=2))
    weights = data.draw(st.lists(WEIGHTS, min_size=len(results), max_size=len(results)))
    given_ = list(zip(results, weights, strict=True)) if weighted else results
    expected = np.cov(np.array(results), rowvar=False, aweights=weights if weighted else None)
    nearly(reduced(r.Covariance(weighted=weighted), given_, parts), expected)


def test_a_standard_error_is_that_of_a_mean_of_independent_samples() -> None:
    values = np.random.default_rng(1).normal(3.0, 2.0, 1000)
    found = reduced(r.Mean(), values.tolist(), [range(500, 1000), range(500)])
    assert found.stderr == pytest.approx(values.std(ddof=1) / math.sqrt(1000))
    assert found.std == pytest.approx(values.std(ddof=1))
    assert (found.n, found.weight) == (1000, 1000.0)
    same = reduced(r.Mean("elements", weighted=True), [(values, np.full(1000, 0.5))], [[0]])
    assert same.stderr == pytest.approx(found.stderr)


def test_a_mean_of_nothing_is_not_a_number() -> None:
    mean = r.Mean()
    assert all(map(math.isnan, mean.finish(mean.zero())[:3]))
    assert math.isnan(mean.finish(mean.add(mean.zero(), 0, 1.0)).stderr)


def test_a_variance_of_many_large_values_keeps_its_digits() -> None:
    rng = np.random.default_rng(2)
    blocks = [1e9 + rng.standard_normal(100_000) for _ in range(40)]
    found = reduced(r.Variance("elements"), blocks, [range(30, 40), range(30)])
    exact = np.var(np.concatenate([block - 1e9 for block in blocks]))
    assert found == pytest.approx(exact, rel=1e-7)
    one_by_one = reduced(r.Variance(), blocks[0].tolist(), [range(50_000, 100_000), range(50_000)])
    assert one_by_one == pytest.approx(np.var(blocks[0] - 1e9), rel=1e-7)


def test_a_sum_of_floats_hardly_depends_on_the_order() -> None:
    values = [1e16, 1.0, -1e16, 0.1, 1e-9] * 50
    sums = [
        reduced(r.Sum(), values, parts)
        for parts in ([range(250)], [[k] for k in range(250)], [range(125, 250), range(125)])
    ]
    assert sums == pytest.approx([math.fsum(values)] * 3, rel=1e-15)


def test_a_sum_of_infinity_is_infinity() -> None:
    assert reduced(r.Sum(), [1.0, math.inf, 2.0], [[0, 1], [2]]) == math.inf
    equal(reduced(r.Sum(), [np.array([1.0, np.inf])] * 2, [[0], [1]]), [2.0, np.inf])


def test_the_sum_of_complex_numbers() -> None:
    assert reduced(r.Sum(), [1 + 2j, 3j], [[1], [0]]) == 1 + 5j
    assert reduced(r.Mean(), [1 + 2j, 3 + 4j], [[1], [0]]).mean == 2 + 3j


def test_the_weights_give_a_histogram_its_errors() -> None:
    found = reduced(r.Histogram(1, (0, 1), weighted=True), [(0.5, 3.0), (0.5, 4.0)], [[0], [1]])
    assert (found.counts.tolist(), found.stderr.tolist()) == ([7.0], [5.0])
    assert reduced(r.Histogram(1, (0, 1)), [0.5] * 9, [range(9)]).stderr.tolist() == [3.0]


def test_values_that_are_no_number_are_in_no_bin() -> None:
    assert reduced(r.Histogram(2, (0, 1)), [math.nan, np.array([np.nan, 1.0])], [[0, 1]]).counts.tolist() == [
        0,
        1,
    ]
    pairs = (np.array([np.nan, 0.2]), np.array([0.2, 0.2]))
    assert reduced(r.Histogram2D((1, 1), ((0, 1), (0, 1))), [pairs], [[0]]).counts.tolist() == [[1.0]]


@pytest.mark.parametrize("wrong", [10, "auto", [1.0], [0, math.inf]])
def test_a_histogram_needs_its_edges_at_first(wrong: Any) -> None:
    with pytest.raises(ValueError, match="edges"):
        r.Histogram(wrong)


@pytest.mark.parametrize("wrong", [3, "sum", (), {}, sum, [r.Count()]])
def test_what_is_no_reducer_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="reducer"):
        r.as_reducer(wrong)


MASKED = np.ma.masked_array([1.0, 2.0], [False, True])  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    "reducer",
    [
        r.Sum(),
        r.Sum("elements"),
        r.Min(),
        r.Max("elements"),
        r.Mean(),
        r.Variance(),
        r.Covariance(),
        r.Concatenate(),
        r.Histogram(2, (0, 4)),
    ],
    ids=lambda reducer: type(reducer).__name__,
)
def test_masked_values_are_not_reduced_as_if_they_were_none(reducer: Any) -> None:
    with pytest.raises(TypeError, match=r"has masked values.*compressed\(\)"):
        reducer.add(reducer.zero(), 0, MASKED)
    reducer.add(reducer.zero(), 0, np.ma.masked_array([1.0, 2.0]))  # type: ignore[no-untyped-call]


def test_masked_values_are_no_rows(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="has masked values"):
        r.StackHDF5(tmp_path / "x.h5").add([], 0, MASKED)


@pytest.mark.parametrize(
    ("reducer", "wrong"),
    [
        (r.Mean(), np.datetime64("2020-01-01")),
        (r.Histogram(2, (0, 1)), 1j),
        (r.Histogram(2, (0, 1)), None),
        (r.Histogram2D(2, ((0, 1), (0, 1))), (1j, 0)),
        (r.MergeDicts(), 3),
    ],
)
def test_what_numpy_would_convert_is_refused(reducer: Any, wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"a result must be|is of real numbers"):
        reducer.add(reducer.zero(), 0, wrong)


@pytest.mark.parametrize("results", [[1.0, math.inf], [math.inf, 1.0, 2.0], [math.inf, -math.inf, 1.0]])
def test_infinite_values_are_those_of_numpy_in_any_order(results: list[float]) -> None:
    with np.errstate(invalid="ignore"):
        mean, variance = np.mean(results), np.var(results)
    for order in itertools.permutations(range(len(results))):
        parts = [[index] for index in order]
        equal(reduced(r.Mean(), results, parts).mean, mean)
        equal(reduced(r.Variance(), results, parts), variance)


def test_an_extreme_keeps_what_python_has_not() -> None:
    when = np.datetime64("2020-01-01T00:00:00.000000001")
    for over, value in (("items", when), ("elements", np.array([when]))):
        reducer = r.Max(over)  # type: ignore[arg-type]
        assert reducer.finish(reducer.add(None, 0, value)).value == when  # not 1577836800000000001
    assert r.Min("elements").add(None, 0, np.array([None])) == (None, 0, (0,))


def test_a_number_of_bins_is_that_of_both_axes() -> None:
    both = r.Histogram2D(2, ((0, 1), (0, 4)))
    equal(both.edges, r.Histogram2D((2, 2), ((0, 1), (0, 4))).edges)


@pytest.mark.parametrize("function", [operator.sub, operator.truediv, pow, np.subtract, np.divide])
def test_a_function_that_is_not_associative_is_refused(function: Any) -> None:
    with pytest.raises(TypeError, match="is not associative"):
        r.as_reducer(function)


@pytest.mark.parametrize("function", [np.sum, np.mean, statistics.mean, len, lambda results: results])
def test_a_function_of_all_values_is_refused(function: Any) -> None:
    with pytest.raises(TypeError, match=r"function of two.*on_complete="):
        r.as_reducer(function)


@pytest.mark.parametrize(
    "function", [np.add, np.maximum, np.union1d, max, operator.add, dict.__or__, "{}{}".format]
)
def test_a_function_of_two_is_a_reducer(function: Any) -> None:
    assert isinstance(r.as_reducer(function), r.Function)


@pytest.mark.parametrize(
    ("reducer", "value", "message"),
    [
        (r.Mean(), "1", "a result must be numbers, not a str: '1'"),
        (r.Mean(), None, "a result must be numbers, not a NoneType"),
        (r.Sum(), [1, None], "a result must be numbers, not a list"),
        (r.Variance("elements"), ["1", "2"], "a result must be numbers"),
        (r.Mean(weighted=True), 3, r"must be a pair \(value, weight\), not a int: 3"),
        (r.Histogram(3, (0, 1), weighted=True), 0.5, r"must be a pair \(value, weight\)"),
        (r.Covariance(), 1.5, "a sample must be a vector"),
        (r.Union(), "abc", "a result must be a set or another iterable, not text"),
        (r.ConcatenateFiles("x"), 3, "a result must be a path, or bytes, not a int: 3"),
        (r.StackHDF5("x", rows=[2]), [1, 2], "numbers of 1 results, and this is one more"),
    ],
)
def test_a_result_that_is_none_of_its_kind_is_refused(reducer: Any, value: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        reducer.add(reducer.zero(), 1, value)


@pytest.mark.parametrize("reducer", [r.StackHDF5, r.ConcatenateFiles])
def test_a_file_needs_its_folder_before_the_map(reducer: Any, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*/gone for all: make it"):
        reducer(tmp_path / "gone" / "all")


def test_an_extreme_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="no results"):
        r.Min().finish(r.Min().zero())
    assert r.Max("elements").add(None, 0, np.array([])) is None


def test_importing_condormap_imports_neither_numpy_nor_h5py() -> None:
    code = "import sys, condormap.reducers; print([m for m in ('numpy', 'h5py') if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout == "[]\n"


# ---- files ------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=split(st.binary(max_size=9)))
def test_files_one_after_the_other(drawn: tuple[list[bytes], list[list[int]]], tmp_path: Path) -> None:
    results, parts = drawn
    path = reduced(r.ConcatenateFiles(tmp_path / "all"), results, parts)
    assert Path(path).read_bytes() == b"".join(results)


def test_files_with_a_header_keep_the_first(tmp_path: Path) -> None:
    tables = [tmp_path / f"{k}.csv" for k in range(3)]
    for k, table in enumerate(tables):
        table.write_text(f"name,value\nrow,{k}\n")
    path = reduced(r.ConcatenateFiles(tmp_path / "all.csv", header=1), tables, [[1, 2], [0]])
    assert Path(path).read_text() == "name,value\nrow,0\nrow,1\nrow,2\n"


# ---- HDF5 -------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=split(hnp.arrays(np.float32, (2, 3))))
def test_rows_in_a_dataset(drawn: tuple[list[Any], list[list[int]]], tmp_path: Path) -> None:
    (tmp_path / "x.h5").unlink(missing_ok=True)
    results, parts = drawn
    found = reduced(r.StackHDF5(tmp_path / "x.h5"), results, parts)
    assert found == (str(tmp_path / "x.h5"), "data", (len(results), 2, 3))
    equal(read(found), np.stack(results))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=split(hnp.arrays(np.int16, st.tuples(st.integers(0, 3), st.just(2)))))
def test_rows_of_any_number_in_a_dataset(drawn: tuple[list[Any], list[list[int]]], tmp_path: Path) -> None:
    (tmp_path / "x.h5").unlink(missing_ok=True)
    results, parts = drawn
    found = reduced(
        r.StackHDF5(tmp_path / "x.h5", rows=[len(x) for x in results], chunk_rows=2), results, parts
    )
    if sum(map(len, results)):
        equal(read(found), np.concatenate(results))


def read(rows: r.HDF5Rows) -> Any:
    import h5py

    with h5py.File(rows.path) as file:
        return file[rows.dataset][()]


def test_items_without_a_result_leave_their_rows_empty(tmp_path: Path) -> None:
    found = reduced(r.StackHDF5(tmp_path / "x.h5", rows=2), {0: [[1.0], [2.0]], 2: [[3.0]]}, [[2], [0]])  # type: ignore[arg-type]
    equal(read(found)[:, 0], [1.0, 2.0, np.nan, np.nan, 3.0])


def test_rows_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    stack = r.StackHDF5(tmp_path / "x.h5")
    stack.merge([(0, np.zeros((1, 2), np.int32))], [])
    with pytest.raises(ValueError, match=r"rows 1 to 1 are float64 of shape \(2,\)"):
        stack.merge([], [(1, np.zeros((1, 2)))])
    for narrower in (
        np.int64,
        np.int8,
    ):  # the file would have other numbers, or another type by who comes first
        with pytest.raises(ValueError, match="they must be alike"):
            stack.merge([], [(1, np.full((1, 2), 100, narrower))])
    with pytest.raises(ValueError, match="its place has 2 rows"):
        r.StackHDF5(tmp_path / "y.h5", rows=2).add([], 0, np.zeros((3, 1)))


def test_a_file_that_is_there_is_not_touched(tmp_path: Path) -> None:
    first, second = (r.StackHDF5(tmp_path / "x.h5") for _ in range(2))
    first.merge([(0, np.zeros((1, 2)))], [])
    with pytest.raises(FileExistsError, match="is not this map's"):
        second.merge([(0, np.zeros((1, 2)))], [])
    with pytest.raises(FileExistsError, match="is there already"):
        r.StackHDF5(tmp_path / "x.h5")


READER = """
import sys, h5py
with h5py.File(sys.argv[1], swmr=True) as file:
    data = file["data"]
    print(data.shape[0], flush=True)
    input()
    data.refresh()
    print(data[:, 0].tolist())
"""


def test_others_read_the_dataset_while_it_grows(tmp_path: Path) -> None:
    stack = r.StackHDF5(tmp_path / "x.h5")
    stack.merge([(0, np.full((1, 2), 1.0))], [])
    command = [sys.executable, "-c", READER, str(tmp_path / "x.h5")]
    with (
        stack.writing(),
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader,
    ):
        assert reader.stdin is not None
        assert reader.stdout is not None
        assert reader.stdout.readline() == "1\n"
        stack.merge([(1, np.full((1, 2), 2.0))], [])
        stack.flush()
        out, _ = reader.communicate("\n", timeout=60)
    assert out == "[1.0, 2.0]\n"


KILLED = """
import os, pickle, signal, sys
import numpy as np
stack = pickle.load(open(sys.argv[1], "rb"))
with stack.writing():
    for i in range(int(sys.argv[2]), 40):
        stack.flush()
        stack.merge([(i, np.full((1, 50), float(i)))], [])
        if i == int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("moments", [(0, 7, 23), (1, 2, 39)])
def test_a_dataset_whose_writer_is_killed_goes_on(tmp_path: Path, moments: tuple[int, ...]) -> None:
    stack = r.StackHDF5(tmp_path / "x.h5", chunk_rows=3)
    (tmp_path / "stack").write_bytes(pickle.dumps(stack))
    begin = 0
    for moment in moments:
        command = [sys.executable, "-c", KILLED, str(tmp_path / "stack"), str(begin), str(moment)]
        assert subprocess.run(command, timeout=60, check=False).returncode == -signal.SIGKILL
        begin = max(0, moment - 3)  # what was not noted is written once more
    stack.merge([], [(i, np.full((1, 50), float(i))) for i in range(begin, 40)])
    equal(read(stack.finish([]))[:, 0], np.arange(40.0))
