"""What helps with a map: output, await, the circuit breaker, common arguments, debug, plans, measured times."""

from __future__ import annotations

import asyncio
import functools
import io
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Gate
from test_map_steering import until

from condormap import CondorMap, ItemState, PersonalPool, condormap
from condormap.condor import connect
from condormap.errors import InvalidInputError, JobRemovedError, TooManyFailuresError
from condormap.plan import Plan

# -- output ----------------------------------------------------------------------------------------------------


def noisy(x: int) -> int:
    print(f"computing {x}", flush=True)
    print(f"worried about {x}", file=sys.stderr, flush=True)
    if x == 3:
        raise ValueError(x)
    return x


@pytest.fixture(scope="module")
def loud(pool: PersonalPool) -> CondorMap:
    m = condormap(noisy, range(4), pool=pool, chunksize=2)
    assert m.wait(timeout=30)
    return m


def test_the_output_of_the_job_that_computed_an_item_can_be_read(loud: CondorMap) -> None:
    assert loud.stdout(0) == loud.stdout(1) == "computing 0\ncomputing 1\n"
    assert loud.stderr(-1) == "worried about 2\nworried about 3\n"
    with pytest.raises(IndexError, match="none with the index 4"):
        loud.stdout(4)


def test_where_nothing_was_printed_the_output_is_empty(pool: PersonalPool) -> None:
    m = condormap(abs, [1], pool=pool)
    assert m.wait(timeout=30)
    assert (m.stdout(0), m.stderr(0)) == ("", "")


def test_the_output_of_a_running_job_can_be_read(pool: PersonalPool, gate: Gate) -> None:
    m = condormap(lambda x: print("here", flush=True) or gate.wait(), [0], pool=pool)
    until(lambda: m.stdout(0) == "here\n")
    gate.open()
    assert m.wait(timeout=30)


def test_an_error_has_the_end_of_its_items_output_as_notes(loud: CondorMap) -> None:
    notes = loud.errors()[3].__notes__
    assert "standard output" in notes[1]
    assert notes[1].endswith("\ncomputing 3")
    assert "standard error" in notes[2]
    assert notes[2].endswith("\nworried about 3")


def test_after_a_retry_the_output_is_that_of_the_job_that_settled_the_item(
    pool: PersonalPool, tmp_path: Path
) -> None:
    def function(x: int) -> int:
        first = not (tmp_path / "ran").exists()
        (tmp_path / "ran").touch()
        print("first" if first else "second")
        return 1 // (not first)

    m = condormap(function, [0], pool=pool)
    assert m.wait(timeout=30)
    assert m.stdout(0) == "first\n"
    assert m.retry().results(timeout=30) == [1]
    assert m.stdout(0) == "second\n"


# -- await -----------------------------------------------------------------------------------------------------


def test_a_map_can_be_awaited_while_the_event_loop_goes_on(pool: PersonalPool, gate: Gate) -> None:
    m = condormap(lambda x: gate.wait() or x, range(3), pool=pool)

    async def main() -> list[int]:
        awaited = asyncio.ensure_future(_of(m))
        done, _ = await asyncio.wait([awaited], timeout=0.3)
        assert not done
        gate.open()
        return await awaited

    assert asyncio.run(main()) == [0, 1, 2]


async def _of(m: CondorMap) -> list[int]:
    return await m


def test_awaiting_raises_the_first_error(loud: CondorMap) -> None:
    with pytest.raises(ValueError, match="3"):
        asyncio.run(_of(loud))


def test_a_wait_that_is_cancelled_ends(pool: PersonalPool, gate: Gate) -> None:
    m = condormap(lambda x: gate.wait() or x, [1], pool=pool)

    async def main() -> None:
        await asyncio.wait_for(_of(m), timeout=0.2)

    with pytest.raises(asyncio.TimeoutError):
        asyncio.run(main())  # returns, although the map does not
    gate.open()
    assert m.results(timeout=30) == [1]


# -- max_failures ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("waiting", [CondorMap.wait, CondorMap.results])
def test_a_map_of_which_too_many_items_fail_is_stopped_with_one_error(
    pool: PersonalPool, gate: Gate, waiting: Callable[..., Any]
) -> None:
    def function(x: int) -> int:
        if 2 <= x < 6:
            raise ValueError(x)
        return x if x < 2 else gate.wait()

    m = condormap(function, range(60), pool=pool, chunksize=7, max_failures=4)
    with pytest.raises(
        TooManyFailuresError,
        match=r"4 of 60 items failed \(max_failures=4\).*The first: item 2, ValueError: 2",
    ) as caught:
        waiting(m, timeout=60)
    assert type(caught.value.__cause__) is ValueError
    assert m.status == {ItemState.RESULT: 2, ItemState.ERROR: 4, ItemState.REMOVED: 54}
    assert m.results("skip", timeout=5) == [0, 1]
    with pytest.raises(JobRemovedError, match="max_failures"):
        m[8]
    assert len(m.failed()) == 58


def test_the_first_failure_told_is_none_that_was_only_removed(pool: PersonalPool, gate: Gate) -> None:
    m = condormap(
        lambda x: gate.wait() if x == 0 else 1 // 0, range(4), pool=pool, chunksize=1, max_failures=2
    )
    with pytest.raises(TooManyFailuresError, match=r"The first: item [123], ZeroDivisionError") as caught:
        m.wait(60)
    assert type(caught.value.__cause__) is ZeroDivisionError
    assert m.status[ItemState.REMOVED] >= 1


def test_jobs_that_died_count_as_failures_of_their_items(pool: PersonalPool, gate: Gate) -> None:
    def function(x: int) -> None:
        if x == 0:
            os.kill(os.getppid(), 9)
        gate.wait()

    m = condormap(function, range(60), pool=pool, chunksize=5, max_failures=5)
    with pytest.raises(TooManyFailuresError, match="5 of 60 items failed"):
        m.results("skip", timeout=60)
    assert m.status == {ItemState.ERROR: 5, ItemState.REMOVED: 55}


def test_with_fewer_failures_the_first_error_comes_when_the_other_items_are_settled(
    pool: PersonalPool,
) -> None:
    m = condormap(lambda x: 1 // x, [0, 1, 1, 1], pool=pool, chunksize=1, max_failures=2)
    with pytest.raises(ZeroDivisionError):
        m.results(timeout=60)
    assert m.status == {ItemState.RESULT: 3, ItemState.ERROR: 1}


def test_a_map_that_has_ended_is_not_stopped_any_more(pool: PersonalPool) -> None:
    m = condormap(lambda x: 1 // x, [0, 0, 1], pool=pool, chunksize=3, max_failures=2)
    until(lambda: m.status[ItemState.RESULT])
    assert m.results("skip", timeout=30) == [1]


# -- common ----------------------------------------------------------------------------------------------------


def size_of(m: CondorMap) -> int:
    return sum(path.stat().st_size for path in m.path.rglob("*") if path.is_file())


def test_common_arguments_are_given_to_every_call_and_stored_once(pool: PersonalPool) -> None:
    def function(x: int, table: bytes, factor: int) -> int:
        return factor * x + len(table)

    m = condormap(function, range(12), pool=pool, chunksize=1, common={"table": bytes(3 << 20), "factor": 2})
    assert m.results(timeout=60) == [2 * x + (3 << 20) for x in range(12)]
    assert 3 << 20 < size_of(m) < 4 << 20
    assert "test_map_tools" in repr(m)


def test_arguments_of_a_partial_are_stored_once_too(pool: PersonalPool) -> None:
    function = functools.partial(lambda table, x: x + len(table), bytes(3 << 20))
    m = condormap(function, range(12), pool=pool, chunksize=1)
    assert m.results(timeout=60) == [x + (3 << 20) for x in range(12)]
    assert 3 << 20 < size_of(m) < 4 << 20


@pytest.mark.parametrize("common", [[1], {1: 2}])
def test_common_arguments_need_names(pool: PersonalPool, common: object) -> None:
    with pytest.raises(InvalidInputError, match="common must be a mapping from names"):
        condormap(abs, [1], pool=pool, common=common)  # type: ignore[arg-type]


# -- debug -----------------------------------------------------------------------------------------------------


def fragile(x: int, y: int) -> float:
    return x / y


def test_an_item_can_be_computed_here_from_what_its_job_got(pool: PersonalPool) -> None:
    m = condormap(fragile, [1, 2], [1, 0], pool=pool)
    assert m.debug(0) == 1
    with pytest.raises(ZeroDivisionError) as caught:
        m.debug(-1)
    assert caught.traceback[-1].name == "fragile"
    with pytest.raises(IndexError):
        m.debug(2)


def test_an_item_can_be_computed_here_under_the_debugger(
    pool: PersonalPool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    m = condormap(fragile, [6], [2], pool=pool)
    monkeypatch.setattr("sys.stdin", io.StringIO("p 'y is', y\ncontinue\n"))
    assert m.debug(0, pdb=True) == 3
    assert "('y is', 2)" in capsys.readouterr().out


# -- plan ------------------------------------------------------------------------------------------------------


def test_a_dry_run_tells_the_plan_and_leaves_nothing(pool: PersonalPool, condormap_home: Path) -> None:
    def files() -> set[Path]:
        return set(condormap_home.rglob("*")) - set((condormap_home / "daemons").rglob("*"))

    condormap(abs, [1], pool=pool).wait(timeout=30)
    until(lambda: connect(pool.address).query("true") == [])
    before = files()
    plan = condormap(lambda x: x, range(100), pool=pool, chunksize=30, dry_run=True)
    assert isinstance(plan, Plan)
    assert (plan.n_items, plan.n_jobs, plan.items_per_job) == (100, 4, (10, 30))
    assert (plan.at_once, plan.n_slots, plan.problems) == (2, 2, ())
    assert 100 < plan.n_bytes < 10_000
    assert "4, of 10 to 30 items each" in repr(plan)
    assert files() == before
    assert connect(pool.address).query("true") == []


def test_a_dry_run_tells_what_is_in_the_way(pool: PersonalPool) -> None:
    plan = condormap(abs, range(4), pool=pool, memory="1TB", dry_run=True)
    assert isinstance(plan, Plan)
    assert (plan.at_once, plan.n_slots) == (0, 0)
    assert "can never fulfil" in plan.problems[0]
    assert "in the way     this personal pool" in repr(plan)


def test_the_plan_of_a_map_tells_what_is_still_to_be_done(pool: PersonalPool, gate: Gate) -> None:
    m = condormap(lambda x: x if x < 2 else gate.wait(), range(6), pool=pool, chunksize=2)
    assert m[:2] == [0, 1]
    assert (m.plan().n_items, m.plan().n_jobs, m.plan().items_per_job) == (4, 2, (2, 2))
    gate.open()
    assert m.wait(timeout=30)
    assert (m.plan().n_items, m.plan().n_jobs) == (0, 0)
    assert "0 items" in repr(m.plan())


# -- the time of an item ---------------------------------------------------------------------------------------


def test_the_time_that_items_took_sizes_the_jobs_of_the_next_map(pool: PersonalPool) -> None:
    def function(x: float) -> None:
        time.sleep(x)

    first = condormap(function, [0.1] * 4, pool=pool)
    assert first.wait(timeout=30)
    seconds = statistics.mean(map(first._state.outcomes.seconds, range(4)))
    assert seconds > 0.1
    plan = condormap(function, [0.1] * 100, pool=pool, target_runtime=10 * seconds, dry_run=True)
    assert isinstance(plan, Plan)
    assert plan.n_jobs == 10
    assert plan.seconds == pytest.approx(100 * seconds)
    assert f"about {50 * seconds:.2g} seconds" in repr(plan)  # with two cpus
    unknown = condormap(lambda x: time.sleep(x), [0.1] * 100, pool=pool, target_runtime=1, dry_run=True)
    assert isinstance(unknown, Plan)
    assert unknown.seconds is None


def test_the_number_of_jobs_can_be_limited(pool: PersonalPool) -> None:
    m = condormap(abs, range(100), pool=pool, max_jobs=3)
    assert m.results(timeout=30) == list(range(100))
    assert len(m.jobs) <= 3
