"""Items to chunks: every item once, and sizes that fall."""

from __future__ import annotations

import itertools
from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from condormap.errors import InvalidInputError
from condormap.payload.chunks import LONGEST, MOST_JOBS, ROUNDS, SHORTEST, plan_chunks

items = st.integers(0, 10**12)
slots = st.integers(1, 500)


def assert_covers(chunks: list[range], n_items: int) -> None:
    """Every item is in exactly one chunk, in order, and no chunk is empty."""
    assert all(chunks)
    edges = [0, *(chunk.stop for chunk in chunks)]
    assert [chunk.start for chunk in chunks] == edges[:-1]
    assert edges[-1] == n_items


@given(items, slots)
def test_automatic_chunks_cover_the_items_in_order(n_items: int, slots: int) -> None:
    assert_covers(plan_chunks(n_items, slots=slots), n_items)


@given(st.integers(0, 5000), st.integers(1, 6000))
def test_chunks_of_a_given_size_cover_the_items_in_order(n_items: int, size: int) -> None:
    assert_covers(plan_chunks(n_items, chunksize=size), n_items)


@given(st.integers(0, 5000), st.integers(1, 6000))
def test_a_chunksize_is_a_maximum(n_items: int, size: int) -> None:
    chunks = plan_chunks(n_items, chunksize=size)
    assert all(len(chunk) <= size for chunk in chunks)
    assert len(chunks) == -(-n_items // size)


@given(items, slots)
def test_the_number_of_jobs_is_bounded_by_the_slots(n_items: int, slots: int) -> None:
    assert len(plan_chunks(n_items, slots=slots)) <= min(n_items, ROUNDS * slots)


@given(items, slots)
def test_every_slot_gets_a_chunk_where_there_are_enough_items(n_items: int, slots: int) -> None:
    assert len(plan_chunks(n_items, slots=slots)) >= min(n_items, slots)


@given(items, slots)
def test_sizes_fall_but_for_what_rounding_does(n_items: int, slots: int) -> None:
    sizes = [len(chunk) for chunk in plan_chunks(n_items, slots=slots)]
    assert all(later <= earlier + 1 for earlier, later in itertools.pairwise(sizes))


def test_each_round_hands_out_half_of_what_is_left() -> None:
    sizes = [len(chunk) for chunk in plan_chunks(1600, slots=2)]
    assert sizes == [400, 400, 200, 200, 100, 100, 100, 100]
    assert [len(chunk) for chunk in plan_chunks(16, slots=2, rounds=2)] == [4, 4, 4, 4]


@given(st.integers(0, 100))
def test_the_size_of_a_pool_that_is_not_there_counts_as_one_slot(n_items: int) -> None:
    assert plan_chunks(n_items, slots=0) == plan_chunks(n_items, slots=1)


def test_an_integer_of_numpy_is_a_chunksize() -> None:
    assert plan_chunks(3, chunksize=numpy.int64(2)) == [range(2), range(2, 3)]


@pytest.mark.parametrize("chunksize", ["large", "10", 1.5, None, True, [1], float("nan")])
def test_what_is_no_chunksize_is_refused(chunksize: Any) -> None:
    with pytest.raises(InvalidInputError, match=r'chunksize must be a positive integer or "auto", not '):
        plan_chunks(3, chunksize=chunksize)


@pytest.mark.parametrize("chunksize", [0, -1])
def test_a_chunksize_of_less_than_one_is_refused(chunksize: int) -> None:
    with pytest.raises(InvalidInputError, match=f"chunksize must be 1 or more, not {chunksize}"):
        plan_chunks(3, chunksize=chunksize)


# -- where the time of an item is known ------------------------------------------------------------------------

seconds = st.floats(1e-6, 1e4)


@given(st.integers(0, 10**6), slots, seconds)
def test_chunks_by_time_cover_the_items_in_order(n_items: int, slots: int, seconds: float) -> None:
    assert_covers(plan_chunks(n_items, slots=slots, seconds=seconds), n_items)


@given(st.integers(1, 10**6), slots, seconds)
def test_chunks_by_time_are_neither_too_short_nor_too_long(n_items: int, slots: int, seconds: float) -> None:
    chunks = plan_chunks(n_items, slots=slots, seconds=seconds)
    sizes = [len(chunk) for chunk in chunks]
    assert sizes == sorted(sizes, reverse=True)
    assert max(sizes) * seconds <= max(1.5 * LONGEST, 2 * seconds) or len(chunks) > MOST_JOBS / 2
    assert all(size == 1 or size * seconds >= SHORTEST / 2 for size in sizes[:-1])


@pytest.mark.parametrize(
    ("n_items", "slots", "seconds", "n_jobs"),
    [(10_000, 2, 1e-5, 1), (100, 2, 60, 16), (4, 8, 100, 4), (10**6, 1000, 1, 9000)],
)
def test_the_number_of_jobs_by_time(n_items: int, slots: int, seconds: float, n_jobs: int) -> None:
    assert n_jobs / 1.5 <= len(plan_chunks(n_items, slots=slots, seconds=seconds)) <= 1.5 * n_jobs


def test_jobs_take_about_the_time_that_is_wanted_but_all_slots_are_used() -> None:
    assert {len(chunk) for chunk in plan_chunks(1000, slots=2, seconds=0.5, target_runtime=10)} == {20}
    assert [len(chunk) for chunk in plan_chunks(10, slots=2, seconds=0.5, target_runtime=100)] == [5, 5]
    assert plan_chunks(100, slots=2, target_runtime=10) == plan_chunks(100, slots=2)  # of unknown items


@given(st.integers(0, 10**6), slots, st.integers(1, 100), st.none() | seconds)
def test_there_are_not_more_jobs_than_wanted(
    n_items: int, slots: int, most: int, seconds: float | None
) -> None:
    chunks = plan_chunks(n_items, slots=slots, max_jobs=most, seconds=seconds)
    assert_covers(chunks, n_items)
    assert len(chunks) <= most


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_jobs": 0}, "max_jobs must be 1 or more"),
        ({"max_jobs": 1.5}, "max_jobs must be a positive integer"),
        ({"target_runtime": 0}, "target_runtime must be a positive number of seconds"),
        ({"target_runtime": "1h"}, "target_runtime must be a positive number of seconds"),
        ({"chunksize": 3, "max_jobs": 2}, "give either chunksize or max_jobs"),
    ],
)
def test_wishes_that_cannot_be_meant_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        plan_chunks(10, **options)
