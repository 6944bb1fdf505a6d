"""Running just the failed items again, in the same map."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Gate
from test_map_steering import until

from condormap import CondorMap, ItemState, PersonalPool, condormap, load
from condormap.condor import connect
from condormap.errors import ImpossibleRequestError, InvalidInputError, JobHeldError


class Diary:
    """Notes every call of an item, so that a test can tell how often each was computed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def note(self, item: int) -> int:
        """Note a call in a job; return how many there were before."""
        before = self.calls(item)
        (self.folder / f"{item}.{before}").touch()
        return before

    def calls(self, item: int) -> int:
        return len(list(self.folder.glob(f"{item}.*")))


@pytest.fixture
def diary(tmp_path: Path) -> Diary:
    return Diary(tmp_path / "diary")


@pytest.fixture
def moody(diary: Diary) -> Callable[[int], int]:
    """A function whose odd items fail when they are computed for the first time."""

    def function(x: int) -> int:
        if diary.note(x) == 0 and x % 2:
            raise ValueError(x)
        return 10 * x

    return function


def test_just_the_failed_items_run_again_in_the_same_map(
    pool: PersonalPool, moody: Callable[[int], int], diary: Diary
) -> None:
    m = condormap(moody, range(6), pool=pool, chunksize=3)
    assert m.wait(timeout=30)
    assert m.failed() == [1, 3, 5]
    assert m.retry() is m
    assert m.results(timeout=30) == [0, 10, 20, 30, 40, 50]
    assert [diary.calls(item) for item in range(6)] == [1, 2, 1, 2, 1, 2]
    assert m.failed() == []
    assert m.errors() == {}
    assert m.status == {ItemState.RESULT: 6}
    again = load(m.tag)
    assert again.results(timeout=30) == [0, 10, 20, 30, 40, 50]
    assert len(again) == 6


def test_a_retried_item_is_not_settled_until_the_retry_has_settled_it(
    pool: PersonalPool, diary: Diary, gate: Gate
) -> None:
    def function(x: int) -> int:
        if diary.note(x) == 0:
            raise ValueError(x)
        gate.wait()
        raise KeyError(x)

    m = condormap(function, [7], pool=pool)
    assert type(m.errors().get(0) if m.wait(timeout=30) else None) is ValueError
    m.retry()
    assert m.failed() == []
    assert not m.wait(timeout=0)
    until(lambda: m.status == {ItemState.RUNNING: 1})
    gate.open()
    assert m.wait(timeout=30)
    assert type(m.errors()[0]) is KeyError
    assert m.retry(items=[-1]).wait(timeout=30)
    assert m.status == {ItemState.ERROR: 1}
    assert diary.calls(7) == 3


def test_a_handle_of_another_process_sees_the_retry(pool: PersonalPool, moody: Callable[[int], int]) -> None:
    m = condormap(moody, range(4), pool=pool, chunksize=4)
    other = load(m.tag)
    assert m.wait(timeout=30)
    assert other.failed() == [1, 3]
    m.retry()
    until(lambda: other.status == {ItemState.RESULT: 4})
    assert other.results() == [0, 10, 20, 30]


def test_the_new_jobs_ask_for_what_was_changed_and_for_the_rest_as_before(
    pool: PersonalPool, moody: Callable[[int], int]
) -> None:
    m = condormap(moody, range(4), pool=pool, memory=100, priority=3, environment={"A": "b"})
    assert m.wait(timeout=30)
    m.retry(memory=200, chunksize=1)
    assert m.results(timeout=30) == [0, 10, 20, 30]
    newest = m._state.submissions[-1]
    assert (newest.options.memory, newest.options.priority, len(newest.chunks)) == (200, 3, 2)
    condor, there = connect(pool.address), f"ClusterId == {newest.cluster} && ProcId == 0"
    until(lambda: condor.history(there, ["ClusterId"]))
    (ad,) = condor.history(there)
    assert (ad["RequestMemory"], ad["Environment"].count("A=b")) == (200, 1)


def test_what_cannot_be_retried_is_refused_and_nothing_is_submitted(pool: PersonalPool, gate: Gate) -> None:
    def function(x: int) -> int:
        if x == 1:
            raise ValueError(x)
        return x if x == 0 else gate.wait() or x

    m = condormap(function, range(3), pool=pool, chunksize=3)
    until(lambda: m.status[ItemState.ERROR] == 1)
    refused: list[tuple[dict[str, Any], str]] = [
        ({"items": [0]}, "item 0 has a result; only items that failed or are held"),
        ({"items": [1, 2]}, "item 2 is running, so it may still get a result"),
        ({"items": [4]}, "the map has 3 items, and none is 4"),
        ({"items": ["1"]}, "none is '1'"),
        ({"memorry": 7}, r"no option memorry=; did you mean memory="),
        ({"memory": "x"}, "memory must be"),
        ({"chunksize": 0}, "chunksize must be"),
    ]
    for arguments, words in refused:
        with pytest.raises(InvalidInputError, match=words):
            m.retry(**arguments)
    with pytest.raises(ImpossibleRequestError):
        m.retry(cpus=1000)
    assert len(list(m.path.glob("submissions/*"))) == 1


def test_where_nothing_failed_nothing_is_submitted(pool: PersonalPool) -> None:
    m = condormap(abs, [-1], pool=pool)
    assert m.retry().results(timeout=30) == [1]
    assert m.retry(memory=300) is m
    assert len(list(m.path.glob("submissions/*"))) == 1


def test_items_of_removed_jobs_run_again_right_after_the_removal(pool: PersonalPool, gate: Gate) -> None:
    m = condormap(lambda x: gate.wait() or x, range(12), pool=pool, chunksize=1)
    until(lambda: m.status[ItemState.RUNNING])
    m.remove()
    gate.open()
    assert m.retry().results(timeout=60) == list(range(12))


def test_items_of_a_job_that_died_run_again_and_finished_ones_are_kept(
    pool: PersonalPool, diary: Diary, gate: Gate
) -> None:
    def function(x: int) -> int:
        if diary.note(x) == 0 and x == 2:
            gate.wait()
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(60)
        return x

    m = condormap(function, range(4), pool=pool, chunksize=4)
    assert m[:2] == [0, 1]  # so they are on disk
    gate.open()
    assert m.wait(timeout=30)
    assert m.failed() == [2, 3]
    assert m.retry().results(timeout=30) == [0, 1, 2, 3]
    assert [diary.calls(item) for item in range(4)] == [1, 1, 2, 1]


def test_a_job_that_died_is_run_again_by_itself_where_that_is_wanted(
    pool: PersonalPool, diary: Diary, gate: Gate
) -> None:
    def function(x: int) -> int:
        if diary.note(x) < 2 and x == 2:
            gate.wait()
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(60)
        return x

    m = condormap(function, range(4), pool=pool, chunksize=4, retries=2)
    assert m[:2] == [0, 1]
    gate.open()
    assert m.results(timeout=60) == [0, 1, 2, 3]
    assert [diary.calls(item) for item in range(4)] == [1, 1, 3, 1]


def test_an_item_whose_process_died_is_tried_again_in_its_job_where_that_is_wanted(
    pool: PersonalPool, diary: Diary
) -> None:
    def function(x: int) -> int:
        if diary.note(x) < 2:
            os._exit(3)
        return x

    m = condormap(function, [5, 6], pool=pool, chunksize=2, retries=1)
    assert m.wait(timeout=30)
    assert m.status == {ItemState.ERROR: 2}
    assert m.retry().results(timeout=30) == [5, 6]
    assert [diary.calls(item) for item in (5, 6)] == [3, 3]


# -- items on hold ---------------------------------------------------------------------------------------------


@pytest.fixture
def held(pool: PersonalPool, gate: Gate, diary: Diary) -> CondorMap:
    """A map of two jobs, both on hold: one has finished items 0 and 1 of four, the other one nothing."""

    def function(x: int) -> int:
        diary.note(x)
        if x in (2, 4):
            gate.wait()
        return x

    m = condormap(function, range(8), pool=pool, chunksize=4)
    assert m[:2] == [0, 1]
    until(lambda: diary.calls(4))
    m.hold()
    until(lambda: m.status == {ItemState.RESULT: 2, ItemState.HELD: 6})
    return m


def test_items_on_hold_are_not_failed_and_not_retried_unless_that_is_wanted(held: CondorMap) -> None:
    assert held.failed() == []
    held.retry()
    assert len(list(held.path.glob("submissions/*"))) == 1
    with pytest.raises(JobHeldError):
        held.wait(timeout=10)
    held.remove()


def test_an_item_on_hold_takes_its_whole_job_along_which_is_removed_first(
    held: CondorMap, pool: PersonalPool, gate: Gate
) -> None:
    jobs = [job.id for job in held.jobs]
    gate.open()
    held.retry(items=[3])
    assert held[:4] == [0, 1, 2, 3]
    queue = connect(pool.address).query(f"ClusterId == {jobs[0].split('.')[0]}", ["ProcId", "JobStatus"])
    assert [(ad["ProcId"], ad["JobStatus"]) for ad in queue] == [(1, 5)]
    assert held.status == {ItemState.RESULT: 4, ItemState.HELD: 4}
    held.release()
    assert held.results(timeout=30) == list(range(8))


def test_with_changed_options_the_items_on_hold_are_retried_too(
    held: CondorMap, pool: PersonalPool, gate: Gate
) -> None:
    gate.open()
    held.retry(memory=300)
    assert held.results(timeout=30) == list(range(8))
    assert connect(pool.address).query(f'CondormapMap == "{held._record.id}" && JobStatus == 5') == []


def test_items_that_a_held_factory_has_not_made_jobs_for_are_retried_with_all_of_it(
    pool: PersonalPool, gate: Gate
) -> None:
    m = condormap(lambda x: gate.wait() or x, range(14), pool=pool, chunksize=1)
    m.hold()
    until(lambda: m.status == {ItemState.HELD: 14})
    gate.open()
    m.retry(items=[13], chunksize=2)
    assert m.results(timeout=60) == list(range(14))


def test_a_handle_that_had_seen_all_items_settled_answers_by_the_retry_of_another(
    pool: PersonalPool, moody: Callable[[int], int]
) -> None:
    m = condormap(moody, range(4), pool=pool)
    assert m.wait(timeout=30)
    others = [load(m.tag) for _ in range(4)]
    for other in others:
        assert other.wait(timeout=30)
        assert other.failed() == [1, 3]
    assert m.retry().wait(timeout=30)
    assert others[0].results() == [0, 10, 20, 30]
    assert list(others[1]) == [0, 10, 20, 30]
    assert (others[2][3], others[2][:2]) == (30, [0, 10])
    assert [item.error for item in others[3].as_completed()] == [None] * 4


def test_an_iteration_that_began_before_the_retry_of_another_sees_it(
    pool: PersonalPool, moody: Callable[[int], int]
) -> None:
    m = condormap(moody, range(2), pool=pool)
    other = load(m.tag)
    results = iter(other)
    assert next(results) == 0
    assert other.wait(timeout=30)
    m.retry()
    assert next(results) == 10


def test_a_handle_that_had_seen_all_items_settled_sees_the_items_that_another_adds(
    pool: PersonalPool,
) -> None:
    m = condormap(abs, [-1], pool=pool)
    assert m.wait(timeout=30)
    others = [load(m.tag) for _ in range(3)]
    iteration = iter(others[2])
    assert [other.results() for other in others] == [[1]] * 3
    assert next(iteration) == 1
    m.extend([-2])
    assert (len(others[0]), others[0][1]) == (2, 2)
    assert others[1].results() == [1, 2]
    assert next(iteration) == 2
