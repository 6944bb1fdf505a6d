"""The results of a map merged: in its jobs, as they arrive, and once at the end."""

from __future__ import annotations

import asyncio
import operator
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Gate
from test_map_steering import until

import condormap as package
from condormap import ItemState, PersonalPool, condormap, load, reducers
from condormap.errors import (
    InvalidInputError,
    JobRemovedError,
    ReduceError,
    SerializationError,
    WaitTimeoutError,
)
from condormap.folders.locks import locked
from condormap.reducers import Collect, Count, Histogram, Mean, Sum


def test_a_function_of_two_reduces(pool: PersonalPool) -> None:
    m = condormap(str, range(30), pool=pool, chunksize=7, reduce=operator.add)
    assert m.result(timeout=30) == "".join(map(str, range(30)))
    assert m.status == {ItemState.RESULT: 30}
    assert m.merged() == list(range(30))
    assert m.errors() == {}


def test_several_reducers_in_one_pass(pool: PersonalPool) -> None:
    def samples(seed: int) -> Any:
        return np.random.default_rng(seed).normal(size=1000)

    m = condormap(
        samples, range(40), pool=pool, reduce={"mean": Mean("elements"), "counts": Histogram(9, (-3.0, 3.0))}
    )
    whole = np.concatenate([samples(seed) for seed in range(40)])
    found = m.result(timeout=30)
    assert found["mean"].mean == pytest.approx(whole.mean())
    assert found["mean"].std == pytest.approx(whole.std(ddof=1))
    np.testing.assert_array_equal(found["counts"].counts, np.histogram(whole, 9, (-3, 3))[0])


def test_jobs_that_are_sent_their_files_reduce(pool: PersonalPool) -> None:
    m = condormap(str, range(30), pool=pool, transfer="always", chunksize=7, reduce=(operator.add, Count()))
    assert m.result(timeout=60) == ("".join(map(str, range(30))), 30)


def test_an_empty_map_has_the_value_of_nothing(pool: PersonalPool) -> None:
    assert condormap(str, [], pool=pool, reduce=Count()).result() == 0
    with pytest.raises(ReduceError, match=r"failed in finish\(\)"):
        condormap(str, [], pool=pool, reduce=operator.add).result()


def test_a_reducing_map_keeps_no_results(pool: PersonalPool) -> None:
    m = condormap(str, range(4), pool=pool, reduce=Count())
    assert m.wait(30)
    for ask in (m.results, lambda: m[0], lambda: iter(m), next(m.as_completed()).result):
        with pytest.raises(InvalidInputError, match=r"keeps none of them.*keep=True"):
            ask()


def test_results_are_kept_on_request(pool: PersonalPool) -> None:
    m = condormap(str, range(4), pool=pool, reduce=Count(), keep=True)
    assert m.results(timeout=30) == ["0", "1", "2", "3"]
    assert list(m) == m[:]
    assert m.result() == 4


def test_a_map_without_a_reducer_has_no_result(pool: PersonalPool) -> None:
    m = condormap(str, range(2), pool=pool)
    with pytest.raises(InvalidInputError, match="no one result"):
        m.result()
    for ask in (lambda: m.partial, m.merged, lambda: m.set_reducer(Count())):
        with pytest.raises(InvalidInputError, match="no reducer"):
            ask()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reduce": 3}, "reduce: a reducer is an object with the methods zero, add, merge and finish"),
        ({"reduce": sum}, "operator.add"),
        ({"keep": True}, "keep= is for a map with reduce="),
        ({"until": bool}, "until= is for a map with reduce="),
        ({"reduce": Count(), "until": 3}, "until must be callable"),
        ({"on_complete": 3}, "on_complete must be callable"),
        ({"reduce": Count(), "on_complete": sum}, "give one of them"),
        ({"reduce": Count(), "with_input": True}, "with_input= is for results"),
        ({"reduce": Count(i for i in ())}, "the reducer .* cannot be pickled"),
    ],
)
def test_what_cannot_be_meant_is_refused(pool: PersonalPool, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        condormap(str, range(2), pool=pool, tag="refused", **options)
    with pytest.raises(InvalidInputError, match="there is no map"):
        load("refused")


def test_the_value_so_far(pool: PersonalPool, gate: Gate) -> None:
    def function(x: int) -> int:
        if x == 9:
            gate.wait()
        return x

    m = condormap(function, range(10), pool=pool, chunksize=3, reduce=Sum())
    until(lambda: m.partial == sum(range(9)))
    assert m.merged() == list(range(9))
    assert load(m.tag).partial == sum(range(9))
    with pytest.raises(WaitTimeoutError, match="9 of 10 items had an outcome"):
        m.result(timeout=0.1)
    gate.open()
    assert m.result(timeout=30) == 45
    assert load(m.tag).result() == 45


def test_of_no_results_the_value_so_far_may_be_none(pool: PersonalPool, gate: Gate) -> None:
    def function(x: int) -> int:
        gate.wait()
        return x

    m = condormap(function, range(2), pool=pool, reduce=max)
    assert m.partial is None
    gate.open()
    assert m.result(timeout=30) == 1


def test_what_an_ordered_reducer_waits_for_waits_in_its_file(pool: PersonalPool, gate: Gate) -> None:
    def function(x: int) -> str:
        if x == 2:
            gate.wait()
        return str(x)

    m = condormap(function, range(6), pool=pool, chunksize=2, reduce=operator.add)
    until(lambda: m.status[ItemState.RESULT] == 4)
    assert m.partial == "01"
    gate.open()
    assert m.result(timeout=30) == "012345"


def test_failed_items_are_raised_or_left_out_and_can_be_retried(pool: PersonalPool, tmp_path: Path) -> None:
    def function(x: int) -> str:
        if x % 4 == 1 and not (tmp_path / "mended").exists():
            raise KeyError(x)
        return str(x)

    for reducer in (operator.add, Collect()):
        (tmp_path / "mended").unlink(missing_ok=True)
        m = condormap(function, range(8), pool=pool, chunksize=3, reduce=reducer)
        with pytest.raises(KeyError, match="1"):
            m.result(timeout=30)
        assert "".join(m.result("skip")) == "023467"
        assert m.failed() == [1, 5]
        with pytest.raises(InvalidInputError, match="item 0 has a result"):
            m.retry([0])
        (tmp_path / "mended").touch()
        assert "".join(m.retry().result(timeout=30)) == "01234567"
        assert "".join(load(m.tag).result()) == "01234567"


def test_more_items_are_merged_too(pool: PersonalPool) -> None:
    m = condormap(str, range(3), pool=pool, reduce=operator.add)
    assert m.result(timeout=30) == "012"
    assert m.extend(range(3, 5)).result(timeout=30) == "01234"


class Forgetful(Sum):
    """A reducer one of whose methods has no return."""

    def __init__(self, method: str) -> None:
        super().__init__()
        self.method = method

    def add(self, state: Any, index: int, value: Any) -> Any:
        return None if self.method == "add" else super().add(state, index, value)

    def merge(self, a: Any, b: Any) -> Any:
        return None if self.method == "merge" else super().merge(a, b)


@pytest.mark.parametrize("method", ["add", "merge"])
@pytest.mark.parametrize("several", [False, True])
def test_a_method_without_return_is_told_and_loses_nothing(
    pool: PersonalPool, method: str, several: bool
) -> None:
    reducer = Forgetful(method)
    m = condormap(abs, range(6), pool=pool, chunksize=2, reduce=(reducer,) if several else reducer)
    with pytest.raises(ReduceError, match=rf"failed in {method}\(\), .* TypeError: it returned None"):
        m.result(timeout=30)
    assert m.set_reducer((Sum(),) if several else Sum()).result(timeout=30) == ((15,) if several else 15)


def test_a_function_without_return_is_told(pool: PersonalPool) -> None:
    m = condormap(lambda x: {x}, range(2), pool=pool, reduce=lambda a, b: a.update(b))
    with pytest.raises(ReduceError, match="it returned None, and has to return what it has made of both"):
        m.result(timeout=30)
    assert m.set_reducer(operator.or_).result(timeout=30) == {0, 1}


def test_results_are_merged_while_they_are_iterated_over(pool: PersonalPool, gate: Gate) -> None:
    def function(x: int) -> int:
        if x >= 4:
            gate.wait()
        return x

    enough = lambda r: len(r) >= 4  # noqa: E731
    m = condormap(function, range(6), pool=pool, chunksize=2, reduce=Collect(), keep=True, until=enough)
    results = iter(m)
    assert [next(results) for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(JobRemovedError, match="until= found"):  # that is known because it was merged
        next(results)
    assert m.merged() == [0, 1, 2, 3]


def test_a_reducer_that_fails_does_not_keep_anybody_from_the_results(pool: PersonalPool) -> None:
    m = condormap(str, range(4), pool=pool, chunksize=2, reduce=reducers.Sum(), keep=True)
    assert list(m) == m.results() == [str(x) for x in range(4)]
    assert [item.result() for item in sorted(m.as_completed(), key=lambda item: item.index)] == list(m)
    with pytest.raises(ReduceError, match=r"failed in add\(\), with chunk \d, item \d"):
        m.wait(30)
    assert m.set_reducer(operator.add).result() == "0123"


def test_a_map_is_awaited(pool: PersonalPool) -> None:
    async def main() -> Any:
        return await condormap(abs, range(-3, 0), pool=pool, reduce=Sum())

    assert asyncio.run(main()) == 6


# ---- until ------------------------------------------------------------------------------------------------


def test_a_map_stops_when_its_value_is_good_enough(pool: PersonalPool, gate: Gate) -> None:
    def function(x: int) -> int:
        if x >= 4:
            gate.wait()
        return x

    m = condormap(function, range(8), pool=pool, chunksize=2, reduce=Collect(), until=lambda r: len(r) >= 4)
    assert m.result(timeout=30) == [0, 1, 2, 3]
    assert m.merged() == [0, 1, 2, 3]
    until(lambda: m.status[ItemState.REMOVED] == 4)
    assert m.wait(30)
    assert load(m.tag).result() == [0, 1, 2, 3]
    for more in (m.retry, lambda: m.extend([9]), lambda: m.set_reducer(Count())):
        with pytest.raises(InvalidInputError, match="until= has stopped the map"):
            more()
    gate.open()


def test_an_until_that_fails_says_so(pool: PersonalPool, gate: Gate) -> None:
    def function(x: int) -> int:
        if x:
            gate.wait()
        return x

    m = condormap(function, range(2), pool=pool, chunksize=1, reduce=Sum(), until=lambda r: r.stderr < 1)
    with pytest.raises(
        ReduceError, match=r"failed in until\(\).*AttributeError.*set_reducer\(reducer, until="
    ):
        m.result(timeout=30)
    assert m.set_reducer(Sum(), until=lambda r: r >= 0).result(timeout=30) == 0
    gate.open()


# ---- failures of a reducer --------------------------------------------------------------------------------


class Fragile(Sum):
    """Fails in one stage, unless a file is there."""

    def __init__(self, stage: str, mended: Path) -> None:
        super().__init__()
        self.stage, self.mended = stage, mended

    def _check(self, stage: str) -> None:
        if stage == self.stage and not self.mended.exists():
            raise ValueError("fragile")

    def add(self, state: Any, index: int, value: Any) -> Any:
        self._check("add" if index == 5 else "")
        return super().add(state, index, value)

    def merge(self, a: Any, b: Any) -> Any:
        self._check("merge" if b[0] >= 6 + 7 + 8 else "")
        return super().merge(a, b)

    def finish(self, state: Any) -> Any:
        self._check("finish")
        return super().finish(state)


def test_a_file_that_another_map_has_made_meanwhile_is_an_error_of_the_reducer(
    pool: PersonalPool, tmp_path: Path
) -> None:
    first, second = (reducers.StackHDF5(tmp_path / "rows.h5") for _ in range(2))
    assert condormap(float, range(3), pool=pool, reduce=first).result(timeout=30).shape == (3,)
    m = condormap(float, range(4), pool=pool, reduce=second)
    with pytest.raises(
        ReduceError, match=r"failed in writing\(\), with its file: FileExistsError: .*not this map's"
    ):
        m.result(timeout=30)
    assert m.set_reducer(reducers.StackHDF5(tmp_path / "other.h5")).result(timeout=30).shape == (4,)


@pytest.mark.parametrize(
    ("stage", "where"),
    [("add", "chunk 1, item 5"), ("merge", "chunk 2, items 6 to 8"), ("finish", "the state")],
)
@pytest.mark.parametrize("mend", ["the reducer's world", "the reducer"])
def test_an_error_in_a_reducer_is_repeated_without_running_the_map_again(
    pool: PersonalPool, tmp_path: Path, stage: str, where: str, mend: str
) -> None:
    def function(x: int) -> int:
        with (tmp_path / "ran").open("a") as file:
            file.write(f"{x}\n")
        return x

    m = condormap(function, range(9), pool=pool, chunksize=3, reduce=Fragile(stage, tmp_path / "mended"))
    for _ in range(2):
        with pytest.raises(ReduceError, match=rf"{stage}\(\), with .*{where}.*ValueError: fragile") as caught:
            m.result(timeout=30)
        assert caught.value.stage == stage
        assert isinstance(caught.value.__cause__, ValueError)
    until(lambda: m.status[ItemState.RESULT] == 9)
    ran = (tmp_path / "ran").read_text()
    if mend == "the reducer":
        m.set_reducer(Sum())
    else:
        (tmp_path / "mended").touch()
    assert m.result(timeout=30) == 36
    assert load(m.tag).result() == 36
    assert (tmp_path / "ran").read_text() == ran


# ---- on_complete ------------------------------------------------------------------------------------------


def test_a_function_is_called_once_with_all_results(pool: PersonalPool, tmp_path: Path) -> None:
    def merge(results: list[int]) -> int:
        with (tmp_path / "called").open("a") as file:
            file.write("called\n")
        return sum(results)

    m = condormap(abs, range(-4, 0), pool=pool)
    assert m.set_on_complete(merge) is m
    assert m.wait(30)
    assert (tmp_path / "called").read_text() == "called\n"
    assert m.result() == load(m.tag).result() == 10
    assert m.results() == [4, 3, 2, 1]
    assert (tmp_path / "called").read_text() == "called\n"
    with pytest.raises(InvalidInputError, match="was called already"):
        m.set_on_complete(merge)


def test_a_function_that_fails_is_called_again(pool: PersonalPool, tmp_path: Path) -> None:
    def merge(results: list[int]) -> str:
        return (tmp_path / "there").read_text()

    m = condormap(abs, range(3), pool=pool, on_complete=merge)
    with pytest.raises(ReduceError, match=r"on_complete function failed.*FileNotFoundError") as caught:
        m.wait(30)
    assert caught.value.stage == "on_complete"
    (tmp_path / "there").write_text("now")
    assert m.result() == "now"
    other = condormap(abs, range(3), pool=pool, on_complete=lambda results: 1 // 0)
    with pytest.raises(ReduceError):
        other.result(timeout=30)
    assert other.set_on_complete(max).result() == 2


def test_a_function_is_called_again_with_items_that_were_added(pool: PersonalPool) -> None:
    m = condormap(abs, range(3), pool=pool, on_complete=len)
    assert m.result(timeout=30) == 3
    assert m.extend([7]).wait(30)
    assert m.result() == load(m.tag).result() == 4


def test_no_function_is_called_while_items_have_failed(pool: PersonalPool, tmp_path: Path) -> None:
    def function(x: int) -> int:
        if x == 1 and not (tmp_path / "mended").exists():
            raise KeyError(x)
        return x

    m = condormap(function, range(3), pool=pool, on_complete=sum)
    assert m.wait(30)
    with pytest.raises(KeyError):
        m.result()
    (tmp_path / "mended").touch()
    assert m.retry().result(timeout=30) == 3


def test_of_two_processes_one_calls_the_function(
    pool: PersonalPool, start_script: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    def merge(results: list[int]) -> int:
        import time

        with (tmp_path / "called").open("a") as file:
            file.write("called\n")
        time.sleep(0.5)
        return sum(results)

    m = condormap(abs, range(4), pool=pool, on_complete=merge)
    code = f"from condormap import load\nprint(load({m.tag!r}).result())"
    others = [start_script(code) for _ in range(2)]
    assert m.result(timeout=30) == 6
    assert [other.communicate(timeout=60)[0] for other in others] == ["6\n", "6\n"]
    assert (tmp_path / "called").read_text() == "called\n"


def test_what_cannot_be_stored_is_refused(pool: PersonalPool) -> None:
    m = condormap(abs, range(2), pool=pool)
    generator = (i for i in ())
    with pytest.raises(SerializationError, match=r"on_complete function .* cannot be pickled"):
        m.set_on_complete(lambda results: generator)
    with pytest.raises(InvalidInputError, match="needs all results"):
        m.set_on_complete(max).result("skip")


# ---- killed while it merges -------------------------------------------------------------------------------

MAPS, KILLED_EACH = 2, 3

KILLED = """
import os, signal, sys

def count(event, args):
    global done
    if event.startswith(("open", "os.", "fcntl.")):
        done += 1
        if done == AT:
            os.kill(os.getpid(), signal.SIGKILL)

TAG, AT = sys.argv[1], int(sys.argv[2])
done = 0
from condormap import load
from condormap.merging import reduction
reduction._SAVE_PAUSE = 0.0
m = load(TAG)
done = 0
sys.addaudithook(count)
m.result()
print(done)
"""


@pytest.mark.parametrize("kind", ["Collect", "StackHDF5", "ConcatenateFiles"])
def test_merging_that_is_killed_at_any_moment_goes_on(pool: PersonalPool, tmp_path: Path, kind: str) -> None:
    def function(x: int) -> Any:
        if kind == "ConcatenateFiles":
            return f"{x}\n".encode()
        return np.full(3, x)

    def reducer(name: str) -> Any:
        make = getattr(reducers, kind)
        return make(tmp_path / name) if kind in ("StackHDF5", "ConcatenateFiles") else make()

    def check(value: Any) -> None:
        if kind == "ConcatenateFiles":
            assert Path(value).read_text() == "".join(f"{x}\n" for x in range(12))
        elif kind == "StackHDF5":
            import h5py

            with h5py.File(value.path) as file:
                np.testing.assert_array_equal(file["data"][:, 2], np.arange(12))
        else:
            assert [x[0] for x in value] == list(range(12))

    script = tmp_path / "script.py"
    script.write_text(KILLED)
    root = Path(package.__file__).parents[1]
    environment = os.environ | {"CONDOR_CONFIG": str(pool.config_file), "PYTHONPATH": str(root)}

    def run(tag: str, at: int) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(script), tag, str(at)],
            env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def new(name: str) -> Any:
        m = condormap(function, range(12), pool=pool, chunksize=2, reduce=reducer(name))
        until(lambda: m.status[ItemState.RESULT] == 12)
        return m

    whole = run(new("whole").tag, 0)
    assert whole.returncode == 0, whole.stderr
    chance, done = random.Random(kind), int(whole.stdout)
    killed = 0
    for number in range(MAPS):
        m = new(str(number))
        for _ in range(KILLED_EACH):  # several processes of one map, one after the other
            killed += run(m.tag, chance.randrange(1, done)).returncode == -signal.SIGKILL
        check(load(m.tag).result())
        assert load(m.tag).merged() == list(range(12))
    assert killed


def test_processes_that_merge_into_one_file_take_turns(
    pool: PersonalPool, start_script: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    def function(x: int) -> Any:
        import time

        time.sleep(0.1)
        return np.full(3, x)

    m = condormap(
        function, range(30), pool=pool, chunksize=5, reduce=reducers.StackHDF5(tmp_path / "rows.h5")
    )
    code = f"import condormap\nm = condormap.load({m.tag!r})\nprint(m.result().shape, len(m.merged()))"
    others = [start_script(code) for _ in range(2)]
    assert m.result(timeout=60).shape == (30, 3)
    ended = [other.communicate(timeout=60) for other in others]
    assert [out for out, _ in ended] == ["(30, 3) 30\n"] * 2, ended
    import h5py

    with h5py.File(tmp_path / "rows.h5") as file:
        np.testing.assert_array_equal(file["data"][:, 0], np.arange(30))


def test_the_value_of_a_file_waits_for_the_process_that_writes_it(pool: PersonalPool, tmp_path: Path) -> None:
    m = condormap(abs, range(3), pool=pool, reduce=reducers.StackHDF5(tmp_path / "rows.h5"))
    m.wait(timeout=60)
    with ThreadPoolExecutor(1) as executor:
        with locked(m.path / "reduce"):
            value = executor.submit(m.result)
            with pytest.raises(TimeoutError):
                value.result(0.2)
        assert value.result(60).shape == (3,)


def test_all_processes_have_the_value_at_which_the_first_one_stopped(
    pool: PersonalPool, start_script: Callable[..., subprocess.Popen[str]]
) -> None:
    def function(x: int) -> int:
        import time

        time.sleep(0.1)
        return x

    m = condormap(function, range(300), pool=pool, reduce=Collect(), until=lambda r: len(r) > 10)
    code = f"from condormap import load\nprint(load({m.tag!r}).result())"
    others = [start_script(code) for _ in range(2)]
    value = m.result(timeout=60)
    assert 10 < len(value) < 300
    assert [other.communicate(timeout=60)[0] for other in others] == [f"{value}\n"] * 2
    assert load(m.tag).result() == value
