"""Adding items to a map that exists."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conftest import Gate
from test_map_retry import Diary, diary
from test_map_steering import until

from condormap import ItemState, PersonalPool, condormap, load
from condormap.errors import ImpossibleRequestError, InvalidInputError, SerializationError

__all__ = ["diary"]


def test_only_the_new_items_run(pool: PersonalPool, diary: Diary) -> None:
    m = condormap(lambda x: (diary.note(x), 10 * x)[1], range(4), pool=pool)
    assert m.results(timeout=30) == [0, 10, 20, 30]
    assert m.extend(range(4, 7)) is m
    assert len(m) == 7
    assert m.results(timeout=30) == [0, 10, 20, 30, 40, 50, 60]
    assert [diary.calls(item) for item in range(7)] == [1] * 7
    assert m[-1] == 60


def test_another_handle_sees_the_new_items_and_so_does_a_loaded_one(pool: PersonalPool) -> None:
    m = condormap(abs, [-1], pool=pool)
    other = load(m.tag)
    m.extend([-2, -3]).extend([-4])
    assert m.results(timeout=30) == [1, 2, 3, 4]
    until(lambda: other.status == {ItemState.RESULT: 4})
    assert list(other) == list(load(m.tag)) == [1, 2, 3, 4]


def test_an_iteration_that_is_under_way_goes_on_with_the_new_items(pool: PersonalPool) -> None:
    m = condormap(abs, [-1, -2], pool=pool)
    seen = []
    for value in m:
        seen.append(value)
        if value == 1:
            m.extend([-3, -4])
    assert seen == [1, 2, 3, 4]


def test_a_map_can_be_extended_while_it_runs_and_retried_afterwards(
    pool: PersonalPool, diary: Diary, gate: Gate
) -> None:
    def function(x: int) -> int:
        gate.wait()
        if diary.note(x) == 0 and x in (1, 3):
            raise ValueError(x)
        return x

    m = condormap(function, range(2), pool=pool, chunksize=2)
    m.extend(range(2, 4), chunksize=1, memory=200)
    assert m.status[ItemState.RESULT] == 0
    assert m._state.submissions[-1].options.memory == 200
    gate.open()
    assert m.wait(timeout=30)
    assert m.failed() == [1, 3]
    assert m.retry().results(timeout=30) == [0, 1, 2, 3]
    assert m.extend([4]).results(timeout=30) == [0, 1, 2, 3, 4]
    assert load(m.tag).results(timeout=30) == [0, 1, 2, 3, 4]


def test_several_iterables_extend_a_map_of_several(pool: PersonalPool) -> None:
    m = condormap(pow, [2, 3], [2, 2], pool=pool, with_input=True)
    m.extend([4], [2])
    assert m.results(timeout=30) == [((2, 2), 4), ((3, 2), 9), ((4, 2), 16)]
    with pytest.raises(InvalidInputError, match="the map takes several iterables, as it was made of, not 1"):
        m.extend([4])


def test_an_empty_map_can_be_extended(pool: PersonalPool) -> None:
    m = condormap(abs, [], pool=pool)
    assert m.extend([]).results() == []
    assert m.extend([-5]).results(timeout=30) == [5]


def broken() -> Iterator[Any]:
    yield -2
    yield threading.Lock()  # cannot be pickled
    yield -3


@pytest.mark.parametrize(
    ("extend", "error"),
    [
        (lambda m: m.extend(broken()), SerializationError),
        (lambda m: m.extend([1], cpus=1000), ImpossibleRequestError),
        (lambda m: m.extend([1], memory="much"), InvalidInputError),
        (lambda m: m.extend([1], chunksize=0), InvalidInputError),
        (lambda m: m.extend(), InvalidInputError),
    ],
)
def test_an_extension_that_fails_leaves_the_map_as_it_was(
    pool: PersonalPool, extend: Callable[..., Any], error: type[Exception]
) -> None:
    m = condormap(abs, [-1], pool=pool)
    with pytest.raises(error):
        extend(m)
    assert m.results(timeout=30) == [1]
    assert len(load(m.tag)) == 1
    assert m.extend([-7]).results(timeout=30) == [1, 7]
