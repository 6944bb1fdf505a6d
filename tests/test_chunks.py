"""Items to chunks: every item once, and sizes that fall."""

from __future__ import annotations

import itertools
from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from condormap.chunks import ROUNDS, plan_chunks
from condormap.errors import InvalidInputError

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
