"""condormap() on a real pool: what comes back, and as what."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import Gate, daemon
from test_job_prompt import count_questions

import condormap as package
from condormap import CondorMap, ItemState, PersonalPool, condormap, load
from condormap.condor import connect

N = 40


@pytest.fixture(scope="module")
def squares(pool: PersonalPool) -> CondorMap:
    """A finished map that the tests only read."""
    m = condormap(lambda x: x * x, range(N), pool=pool, tag="squares")
    m.wait()
    return m


# -- like map --------------------------------------------------------------------------------------------------


def test_a_list_of_it_is_a_list_of_map(squares: CondorMap) -> None:
    assert list(squares) == [x * x for x in range(N)]


def test_it_can_be_iterated_again_and_twice_at_once(squares: CondorMap) -> None:
    assert list(zip(squares, squares, strict=True)) == [(x * x, x * x) for x in range(N)]


def test_its_length_is_the_number_of_items(squares: CondorMap) -> None:
    assert len(squares) == N


@pytest.mark.parametrize("index", [0, 7, N - 1, -1, -N])
def test_an_index_gives_one_result(squares: CondorMap, index: int) -> None:
    assert squares[index] == [x * x for x in range(N)][index]


@pytest.mark.parametrize("index", [N, -N - 1, 10**9])
def test_an_index_beyond_the_ends_is_an_index_error(squares: CondorMap, index: int) -> None:
    with pytest.raises(IndexError, match=f"the map has {N} items, and none with the index {index}"):
        squares[index]


@pytest.mark.parametrize(
    "part", [slice(None), slice(3, 9), slice(-3, None), slice(None, None, -7), slice(9, 3), slice(5, 500)]
)
def test_a_slice_is_a_list_of_results(squares: CondorMap, part: slice) -> None:
    assert squares[part] == [x * x for x in range(N)][part]


def test_an_index_of_another_kind_is_a_type_error(squares: CondorMap) -> None:
    with pytest.raises(TypeError):
        squares["1"]  # type: ignore[call-overload]


def test_results_is_the_list_of_results(squares: CondorMap) -> None:
    assert (
        squares.results() == squares.results("skip") == squares.results("return", timeout=10) == list(squares)
    )


def test_map_is_the_eager_one(pool: PersonalPool) -> None:
    assert package.map(pow, [2, 3], [4, 5, 6], pool=pool) == list(map(pow, [2, 3], [4, 5, 6]))


def test_several_iterables_end_with_the_shortest(pool: PersonalPool) -> None:
    m = condormap(lambda x, y, z: f"{x}{y}{z}", range(9), "abc", [None] * 5, pool=pool)
    assert list(m) == ["0aNone", "1bNone", "2cNone"]


def test_a_generator_of_items_is_read_to_its_end(pool: PersonalPool) -> None:
    assert list(condormap(str, (x for x in range(3)), pool=pool)) == ["0", "1", "2"]


def test_with_input_gives_pairs(pool: PersonalPool) -> None:
    m = condormap(abs, [-1, -2, -3], pool=pool, with_input=True)
    pairs = [(-1, 1), (-2, 2), (-3, 3)]
    assert list(m) == m.results() == m[:] == pairs
    assert sorted(item.result() for item in m.as_completed()) == [(-3, 3), (-2, 2), (-1, 1)]
    assert list(load(m.tag)) == [1, 2, 3]
    assert list(load(m.tag, with_input=True)) == pairs


def test_with_input_of_several_iterables_gives_the_arguments(pool: PersonalPool) -> None:
    assert list(condormap(pow, [2, 3], [4, 5], pool=pool, with_input=True)) == [((2, 4), 16), ((3, 5), 243)]


def test_an_empty_iterable_is_a_finished_map_without_a_job(pool: PersonalPool) -> None:
    m = condormap(abs, [], pool=pool)
    assert (len(m), list(m), m.results(), m[:], list(m.as_completed())) == (0, [], [], [], [])
    assert m.wait(timeout=0)
    assert m.status == Counter()
    assert len(m.jobs) == 0
    assert m.errors() == {}
    assert dict(m.hold()) == dict(m.release()) == dict(m.remove()) == {"TotalSuccess": 0}
    assert "over 0 items: finished" in repr(m)
    assert not (m.path / "submissions").exists()
    assert list(load(m.tag)) == []


# -- as results arrive -----------------------------------------------------------------------------------------


def test_as_completed_yields_every_item_once(squares: CondorMap) -> None:
    items = list(squares.as_completed())
    assert sorted(item.index for item in items) == list(range(N))
    assert all(item.result() == item.index**2 for item in items)
    assert {(item.state, item.attempt, item.error) for item in items} == {(ItemState.RESULT, 0, None)}
    assert {item.host for item in items} == {os.uname().nodename}


def test_as_completed_yields_an_item_when_its_outcome_is_there(pool: PersonalPool, gate: Gate) -> None:
    def function(x: int) -> int:
        if x == 0:
            gate.wait()
        return x

    m = condormap(function, range(3), pool=pool, chunksize=1)
    arriving = m.as_completed()
    assert {next(arriving).index, next(arriving).index} == {1, 2}
    gate.open()
    assert next(arriving).index == 0
    assert list(arriving) == []


def test_results_come_while_later_items_of_the_same_job_are_computed(pool: PersonalPool, gate: Gate) -> None:
    def function(x: int) -> int:
        if x == 2:
            gate.wait()
        return x

    m = condormap(function, range(3), pool=pool, chunksize=3)
    results = iter(m)
    assert [next(results), next(results)] == [0, 1]
    assert m.status == {ItemState.RESULT: 2, ItemState.RUNNING: 1}
    assert not m.wait(timeout=0.05)
    gate.open()
    assert list(results) == [2]
    assert m.wait(timeout=20)


# -- what the handle tells -------------------------------------------------------------------------------------


def test_status_counts_the_items(squares: CondorMap) -> None:
    assert squares.status == Counter({ItemState.RESULT: N})
    assert squares.status["result"] == N


def test_jobs_are_those_of_one_cluster_in_the_order_of_their_items(squares: CondorMap) -> None:
    assert squares.jobs.wait(20)
    assert list(squares.jobs["CondormapChunk"].values()) == list(range(len(squares.jobs)))
    (cluster,) = squares.jobs.clusters
    assert list(squares.jobs) == list(cluster)
    assert set(squares.jobs.exit_code.values()) == {0}
    assert all("slot" in host for host in squares.jobs.host.values())


def test_tag_and_path_say_where_everything_is(squares: CondorMap, condormap_home: Path) -> None:
    assert squares.tag == "squares"
    assert squares.path == (condormap_home / "maps" / "squares").resolve()
    assert "squares" in repr(squares)
    assert f"{N} items" in repr(squares)
    assert f"{N} result" in repr(squares)


def test_another_process_loads_the_map_by_its_tag(
    squares: CondorMap, run_script: Callable[[str], str]
) -> None:
    code = "from condormap import load; m = load('squares'); print(sum(m), len(m.jobs), dict(m.status))"
    assert run_script(code).split() == [
        str(sum(x * x for x in range(N))),
        str(len(squares.jobs)),
        "{<ItemState.RESULT:",
        "'result'>:",
        f"{N}}}",
    ]


def test_a_tag_that_is_not_there_is_refused_with_the_nearest(squares: CondorMap) -> None:
    with pytest.raises(
        package.errors.InvalidInputError, match="no map with the tag 'sqares'; did you mean squares"
    ):
        load("sqares")


# -- functions and classes that the job cannot import ----------------------------------------------------------


@dataclass
class Point:
    """A class of this test's module, which the jobs cannot import."""

    x: int

    def moved(self) -> Point:
        return Point(self.x + 1)


def test_items_and_results_of_a_local_class_are_of_that_class(pool: PersonalPool) -> None:
    results = list(condormap(Point.moved, [Point(1), Point(2)], pool=pool))
    assert results == [Point(2), Point(3)]
    assert all(type(point) is Point for point in results)


def test_closures_work(pool: PersonalPool) -> None:
    offset = [10]
    assert list(condormap(lambda x: x + offset[0], range(2), pool=pool)) == [10, 11]


@pytest.fixture
def local_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    (tmp_path / "my_helpers.py").write_text(
        "def helper(x):\n    return x + 1\n\ndef f(x):\n    return helper(x)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("my_helpers")
    del sys.modules["my_helpers"]


def test_functions_of_a_local_module_work(pool: PersonalPool, local_module: Any) -> None:
    assert list(condormap(local_module.f, range(2), pool=pool)) == [1, 2]


def test_functions_and_classes_of_a_script_work(run_script: Callable[[str], str]) -> None:
    code = """
        from condormap import condormap

        class Thing:
            def __init__(self, value):
                self.value = value

        class ThingError(Exception):
            def __init__(self, thing):
                super().__init__(thing)
                self.thing = thing

        def work(thing):
            if thing.value == 2:
                raise ThingError(thing)
            return Thing(thing.value + 1)

        if __name__ == "__main__":
            m = condormap(work, [Thing(0), Thing(1), Thing(2)])
            results = m.results("return")
            print(isinstance(results[0], Thing), results[1].value)
            try:
                m[2]
            except ThingError as error:
                print(type(error.thing) is Thing, error.thing.value)
    """
    assert run_script(code) == "True 2\nTrue 2\n"


def test_all_maps_of_a_pool_share_one_process_for_its_calls(pool: PersonalPool) -> None:
    maps = [condormap(abs, [-1], pool=pool) for _ in range(3)]
    assert [m.results() for m in maps] == [[1]] * 3
    assert {m._condor.pid for m in maps} == {connect(pool.address).pid}


# -- how it is submitted ---------------------------------------------------------------------------------------


def test_many_chunks_are_one_cluster_that_makes_its_jobs_late(pool: PersonalPool, gate: Gate) -> None:
    m = condormap(lambda _: gate.wait(), range(30), pool=pool, chunksize=1)
    condor = connect(pool.address)
    ads = condor.query(f'CondormapMap == "{m._record.id}"', cluster_ads=True)
    (cluster,) = [ad for ad in ads if "ProcId" not in ad]
    assert cluster["TotalSubmitProcs"] == 30
    assert cluster["JobMaterializeMaxIdle"] == 10
    assert len(ads) - 1 < 30
    assert {ad["ClusterId"] for ad in ads} == {cluster["ClusterId"]}
    assert m.status[ItemState.RESULT] == 0
    assert sum(m.status.values()) == 30
    m.remove()
    m.wait(timeout=20)


def test_a_factory_makes_all_its_jobs_and_they_write_one_log(pool: PersonalPool) -> None:
    m = condormap(lambda x: -x, range(14), pool=pool, chunksize=1)
    assert list(m) == [-x for x in range(14)]
    assert len(m.jobs) == 14
    assert [path.name for path in m.path.rglob("*.log")] == ["events.log"]
    events = connect(pool.address).events(m.path / "events.log", 0).events
    assert {event.proc for event in events if event.type == 0} == set(range(14))


def test_jobs_of_a_map_carry_its_id_and_their_chunk(pool: PersonalPool, gate: Gate) -> None:
    m = condormap(lambda _: gate.wait(), range(2), pool=pool, chunksize=1, tag="carries-ids")
    ads = connect(pool.address).query(f'CondormapMap == "{m._record.id}"')
    assert sorted(ad["CondormapChunk"] for ad in ads) == [0, 1]
    assert {ad["JobBatchName"] for ad in ads} == {"carries-ids"}
    assert len({ad["CondormapSubmission"] for ad in ads}) == 1


@pytest.fixture
def silent_schedd(pool: PersonalPool) -> Iterator[Callable[[], None]]:
    """Return a function that stops the schedd, such that whoever asks it anything waits; it goes on afterwards."""
    schedd = daemon(pool, "condor_schedd")
    yield schedd.suspend
    schedd.resume()


def test_results_are_read_without_asking_the_schedd(
    pool: PersonalPool,
    gate: Gate,
    silent_schedd: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def function(x: int) -> int:
        if x:
            gate.wait()
        return x

    m = condormap(function, range(3), pool=pool, chunksize=3)
    assert m[0] == 0  # so it runs
    silent_schedd()
    questions = count_questions(monkeypatch)
    assert not m.wait(timeout=1.0)
    assert m.status == {ItemState.RESULT: 1, ItemState.RUNNING: 2}
    gate.open()
    assert m.results(timeout=15) == [0, 1, 2]
    assert [item.index for item in m.as_completed()] == [0, 1, 2]
    assert questions == []


def test_jobs_run_in_the_folder_of_the_caller(
    pool: PersonalPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert list(condormap(lambda _: os.getcwd(), range(1), pool=pool)) == [str(tmp_path)]


def test_what_the_function_prints_is_kept_in_the_map_s_folder(pool: PersonalPool) -> None:
    m = condormap(lambda x: print("item", x), range(2), pool=pool, chunksize=2)
    assert list(m) == [None, None]
    (output,) = m.path.glob("submissions/0/stdio/*/*.out")
    until(lambda: output.read_text() == "item 0\nitem 1\n")


def test_large_results_arrive_whole(pool: PersonalPool) -> None:
    m = condormap(lambda n: bytes([n]) * (n << 20), range(5), pool=pool, chunksize=5)
    assert list(m) == [bytes([n]) * (n << 20) for n in range(5)]


def test_a_hundred_thousand_items(pool: PersonalPool) -> None:
    assert sum(condormap(lambda x: x + 1, range(100_000), pool=pool)) == sum(range(100_001))


def test_the_function_gets_the_environment_that_was_asked_for(pool: PersonalPool) -> None:
    m = condormap(
        lambda name: os.environ.get(name),
        ["FLAVOUR", "PATH"],
        pool=pool,
        environment={"FLAVOUR": "sweet & sour"},
    )
    assert list(m) == ["sweet & sour", os.environ["PATH"]]


def test_no_process_of_a_finished_script_stays(start_script: Callable[..., subprocess.Popen[str]]) -> None:
    process = start_script(
        "from condormap import condormap; print(sum(condormap(abs, range(3))))\ninput()", stdin=-1
    )
    assert process.stdout
    assert process.stdout.readline() == "3\n"
    children = psutil.Process(process.pid).children(recursive=True)
    assert children
    process.communicate("\n", timeout=20)
    psutil.wait_procs(children, timeout=10)
    assert not any(child.is_running() for child in children)


def until(condition: Callable[[], Any], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
