"""Results are merged in the job: each frame has the state of its own items, whatever happens to the worker."""

from __future__ import annotations

import operator
import os
import pickle
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from in_job import Make, Map, kill_all, until

from condormap import reducers
from condormap.errors import PreflightError, ReduceError
from condormap.in_job.payload import Frame, chunk_file, read_frames
from condormap.merging.merged import replace_reducer
from condormap.merging.reduction import Reduction
from condormap.reducers import Collect, Concatenate, Count, Function, Mean, Reducer, Sum
from condormap.state.attempt import Attempt
from condormap.state.outcomes import Outcomes


class Ended:
    """The state of a map whose jobs have ended."""

    def __init__(self, outcomes: Outcomes) -> None:
        self.outcomes = outcomes

    def all_settled(self) -> bool:
        return True


def reduction(work: Map, outcomes: Outcomes | None = None) -> Reduction:
    return Reduction(work.root, Ended(outcomes or work.read()), lambda reason: None)  # type: ignore[arg-type]


def reduced(work: Map) -> Any:
    """Return the value of all results."""
    found = reduction(work)
    assert found.is_complete()
    return found.value(partial=False)


def frames(work: Map) -> list[dict[str, Any]]:
    return [header for header in work.headers() if header["kind"] == "items"]


def test_a_state_travels_instead_of_the_results(make: Make) -> None:
    work = make(lambda x: np.full(100_000, x), range(20), reducer=Mean("elements"))
    assert work.run() == 0
    assert reduced(work).mean == 9.5
    assert Path(chunk_file(work.folder / "outcomes", 0, "0")).stat().st_size < 5000


def test_kept_results_travel_too(make: Make) -> None:
    work = make(str, range(100), reducer=Count(), keep=True)
    assert work.run() == 0
    assert work.values() == [str(x) for x in range(100)]
    assert reduced(work) == 100


def test_a_result_that_cannot_be_kept_is_an_error(make: Make) -> None:
    work = make(lambda x: (i for i in ()) if x == 1 else x, range(3), reducer=Sum(), keep=True)
    assert work.run() == 0
    assert isinstance(work.read().error(1), TypeError)
    assert reduced(work) == 2


def test_large_states_are_whole(make: Make) -> None:
    work = make(lambda x: np.full(50_000, x), range(30), reducer=Concatenate())
    assert work.run() == 0
    np.testing.assert_array_equal(reduced(work), np.repeat(np.arange(30), 50_000))


def zeros(_: int) -> Any:
    return np.zeros(1_000_000)


@pytest.mark.parametrize("function", [zeros, lambda x: {"a": x, "b": zeros(x)}, lambda x: (x, zeros(x))])
def test_a_state_that_grows_is_handed_over_in_parts(make: Make, function: Callable[[int], Any]) -> None:
    work = make(function, range(7), reducer=Collect())
    assert work.run() == 0
    assert max(len(frame["states"]) for frame in frames(work)) <= 3  # of 8 MB each
    assert len(reduced(work)) == 7


def test_items_that_fail_are_left_out(make: Make) -> None:
    work = make(lambda x: 12 // x, [3, 0, 2, 0], reducer=Function(operator.sub))
    assert work.run() == 0
    assert bytes(work.read().ledger.states) == b"rere"
    assert isinstance(work.read().error(3), ZeroDivisionError)
    assert reduced(work) == 4 - 6


def die_at(item: int) -> Callable[[int], int]:
    def function(x: int) -> int:
        if x == item:
            os.kill(os.getpid(), signal.SIGSEGV)
        return x

    return function


@pytest.mark.parametrize("reducer", [Sum(), Function(operator.add), Function(operator.add, ordered=False)])
def test_an_item_that_kills_the_worker_costs_that_item_only(make: Make, reducer: Any) -> None:
    work = make(die_at(7), range(20), reducer=reducer)
    assert work.run() == 0
    assert chr(work.read().ledger.states[7]) == "d"
    assert reduced(work) == sum(range(20)) - 7


def test_an_item_that_takes_too_long_costs_that_item_only(make: Make) -> None:
    def function(x: int) -> int:
        while x == 2:
            pass
        return x

    work = make(function, range(5), reducer=Sum(), item_timeout=1)
    assert work.run() == 0
    assert reduced(work) == 0 + 1 + 3 + 4


def test_an_attempt_goes_on_where_the_last_one_was_killed(make: Make, tmp_path: Path) -> None:
    def function(x: int) -> int:
        with (tmp_path / "ran").open("a") as file:
            file.write(f"{x}\n")
        if x == 15 and not (tmp_path / "again").exists():
            (tmp_path / "there").touch()
            signal.pause()
        return x

    work = make(function, range(20), reducer=Slow())
    with work.started() as process:
        until((tmp_path / "there").exists)
        kill_all(process)
    (tmp_path / "again").touch()
    assert work.run() == 0
    assert reduced(work) == list(range(20))
    assert len((tmp_path / "ran").read_text().split()) < 40  # some had a frame, and were not computed again


class Slow(Collect):
    """Takes its time, so that there is a frame after some items."""

    def add(self, state: Any, index: int, value: Any) -> Any:
        import time

        time.sleep(0.03)
        return super().add(state, index, value)


class Fails(Sum):
    """Changes its state, and then fails."""

    def __init__(self, *items: int) -> None:
        super().__init__()
        self.items = items

    def zero(self) -> Any:
        return [0]

    def add(self, state: Any, index: int, value: Any) -> Any:
        state[0] += value
        if index in self.items:
            raise ValueError(f"not {index}")
        return state

    def merge(self, a: Any, b: Any) -> Any:
        return [a[0] + b[0]]

    def finish(self, state: Any) -> Any:
        return state[0]


@pytest.mark.parametrize("items", [(4,), (0,), (9,), (2, 3, 7)])
def test_a_result_that_cannot_be_added_is_kept_until_it_can(make: Make, items: tuple[int, ...]) -> None:
    work = make(lambda x: x, range(10), reducer=Fails(*items))
    assert work.run() == 0
    assert bytes(work.read().ledger.states) == b"r" * 10
    with pytest.raises(
        ReduceError, match=rf"failed in add\(\), with chunk 0, item {items[0]}: ValueError: not"
    ) as caught:
        reduced(work)
    assert caught.value.stage == "add"
    replace_reducer(work.root, Fails())
    assert reduced(work) == sum(range(10))


class Unpicklable(Collect):
    def zero(self) -> Any:
        return Stuck() if os.environ.get("STUCK") else []


class Stuck(list):  # type: ignore[type-arg]
    def __reduce__(self) -> Any:
        raise TypeError("stuck")


def test_results_travel_where_the_state_cannot(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    work = make(lambda x: x, range(10), reducer=Unpicklable())
    assert work.run(env=os.environ | {"STUCK": "1"}) == 0
    assert reduced(work) == list(range(10))
    monkeypatch.setenv("STUCK", "1")
    replace_reducer(work.root, Unpicklable())
    with pytest.raises(ReduceError, match="the state of the reducer cannot be pickled: TypeError: stuck"):
        reduced(work)


class Deadly(Collect):
    """A state that kills whoever pickles it when it has item 3."""

    def zero(self) -> Any:
        return Bomb()


class Bomb(list):  # type: ignore[type-arg]
    def __reduce__(self) -> Any:
        if any(index == 3 for index, _ in self):
            os._exit(7)
        return list, (list(self),)


def test_a_state_that_kills_the_worker_costs_few_items(make: Make) -> None:
    work = make(lambda x: x, range(6), reducer=Deadly())
    assert work.run() == 0
    assert bytes(work.read().ledger.states) == b"rrrdrd"  # the last one was the first that was suspected


class Unloadable(Sum):
    def __reduce__(self) -> Any:
        return _fail, ("reducer",)


def _fail(what: str) -> Any:
    raise ImportError(f"no {what} here")


def test_a_reducer_that_cannot_be_loaded_is_like_a_function_that_cannot(make: Make) -> None:
    work = make(lambda x: x, range(3), reducer=Unloadable())
    assert work.run() == 0
    error = work.read().error(2)
    assert isinstance(error, PreflightError)
    assert "the reducer cannot be loaded there: ImportError: no reducer here" in str(error)


def test_a_reducer_without_the_attributes_is_taken_for_an_ordered_one(make: Make) -> None:
    class Joined:
        def zero(self) -> str:
            return ""

        def add(self, state: str, index: int, value: str) -> str:
            return state + value

        def merge(self, a: str, b: str) -> str:
            return a + b

        def finish(self, state: str) -> str:
            return state

    work = make(lambda x: str(1 // x and x), [1, 2, 0, 3], reducer=Joined())
    assert work.run() == 0
    assert [header["runs"] for header in frames(work)] == [[[0, 2]], [[2, 3]], [[3, 4]]]


def test_a_job_needs_no_condormap(make: Make) -> None:
    work = make(lambda x: x, range(5), reducer=reducers.Several((Count(), Mean())))
    hidden = work.root / "hidden"
    hidden.mkdir()
    (hidden / "condormap.py").write_text("raise ImportError('condormap is not here')")
    assert work.run(env=os.environ | {"PYTHONPATH": str(hidden)}) == 0
    n, mean = reduced(work)
    assert (n, mean.mean) == (5, 2.0)


# ---- any split, any order, any crash ----------------------------------------------------------------------

N = 24


class Digits(Reducer):
    """The order of the items, and how often each was merged: a string, which is as associative as can be."""

    ordered = True

    def zero(self) -> str:
        return ""

    def add(self, state: str, index: int, value: str) -> str:
        return f"{state}{value},"

    def merge(self, a: str, b: str) -> str:
        return a + b

    def finish(self, state: str) -> str:
        return state


class Unordered(Digits):
    ordered = False

    def finish(self, state: str) -> str:
        return "".join(f"{x}," for x in sorted(state.split(",")[:-1], key=int))


@pytest.fixture(scope="module")
def outcomes_of(
    tmp_path_factory: pytest.TempPathFactory, lib: Path
) -> dict[str, tuple[Map, list[list[Frame]]]]:
    """Return maps that were run, with the frames of each of three chunks."""
    found = {}
    for reducer in (Digits(), Unordered()):
        chunks = [range(10), range(10, 13), range(13, N)]
        folder = tmp_path_factory.mktemp("map")
        work = Map(folder, lib, slowly, range(N), chunks=chunks, reducer=reducer)
        for chunk in range(3):
            assert work.run(chunk) == 0
        files = [chunk_file(work.folder / "outcomes", chunk, "0") for chunk in range(3)]
        found[type(reducer).__name__] = (
            work,
            [[frame for frame in read_frames(file) if frame.header["kind"] == "items"] for file in files],
        )
    return found


def slowly(x: int) -> int:
    import time

    time.sleep(0.25 if x % 3 == 0 else 0.01)  # the first pause between two frames is 0.2 s
    return x


def arrive(work: Map, frames: Sequence[Sequence[Frame]], order: Sequence[int]) -> Outcomes:
    """Return the outcomes once frames have been read, of which chunk each says the order."""
    outcomes, attempt = Outcomes(N), Attempt(0, "7.0", "here", "3")
    following = [iter(each) for each in frames]
    for chunk in order:
        outcomes.add(chunk_file(work.folder / "outcomes", chunk, "0"), next(following[chunk]), attempt)
    return outcomes


@pytest.mark.parametrize("kind", ["Digits", "Unordered"])
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_order_and_any_crash_give_the_whole_result(
    outcomes_of: dict[str, tuple[Map, list[list[Frame]]]], kind: str, data: st.DataObject
) -> None:
    work, frames = outcomes_of[kind]
    (work.root / "reduce" / "state.pkl").unlink(missing_ok=True)
    all_of_them = [chunk for chunk, each in enumerate(frames) for _ in each]
    assert len(all_of_them) > 6
    for _ in range(
        data.draw(st.integers(0, 3))
    ):  # processes that saw some, merged some of these, and were killed
        order = data.draw(st.permutations(all_of_them))[: data.draw(st.integers(0, len(all_of_them)))]
        found = reduction(work, arrive(work, frames, order))
        for _ in range(data.draw(st.integers(0, 3))):
            found.merge_some(seconds=-1.0)  # one frame
        if data.draw(st.booleans()):
            found._save(now=True)
    found = reduction(work, arrive(work, frames, data.draw(st.permutations(all_of_them))))
    assert found.is_complete()
    assert found.value() == "".join(f"{x}," for x in range(N))
    assert found.items() == list(range(N))
    again = reduction(work, arrive(work, frames, all_of_them))
    assert again.value() == found.value()


def test_of_two_attempts_that_ran_at_once_each_item_counts_once(
    outcomes_of: dict[str, tuple[Map, list[list[Frame]]]],
) -> None:
    work, frames = outcomes_of["Unordered"]
    outcomes = arrive(work, frames, [0])
    first = frames[0][0].header["runs"][0]
    wide = Frame(
        frames[0][1].header | {"runs": [[first[1] - 1, 10]], "states": "r" * (11 - first[1])}, 1, 1, 1
    )
    attempt = Attempt(1, "7.0", "there", "3")
    assert outcomes.add("another attempt", wide, attempt) == 0
    assert outcomes.duplicates == 11 - first[1]
    assert outcomes.add("another attempt", frames[0][1], attempt) > 0


def test_what_another_process_took_from_another_attempt_is_merged_anew(
    outcomes_of: dict[str, tuple[Map, list[list[Frame]]]],
) -> None:
    work, frames = outcomes_of["Unordered"]
    (work.root / "reduce" / "state.pkl").unlink(missing_ok=True)
    found = reduction(work, arrive(work, frames, [0, 0]))
    assert found.is_complete()
    path = chunk_file(work.folder / "outcomes", 0, "0")
    outcomes = Outcomes(N)
    outcomes.add(path, frames[0][0], Attempt(0, "7.0", "here", "3"))
    outcomes.rejected.append((path, frames[0][1].start))  # as if its items had come from elsewhere before
    again = reduction(work, outcomes)
    assert again.is_complete()
    first = frames[0][0].header["runs"][0]
    assert again.value() == "".join(f"{x}," for x in range(*first))


def test_a_state_file_that_is_damaged_is_not_needed(
    outcomes_of: dict[str, tuple[Map, list[list[Frame]]]],
) -> None:
    work, frames = outcomes_of["Digits"]
    order = [chunk for chunk, each in enumerate(frames) for _ in each]
    assert reduction(work, arrive(work, frames, order)).is_complete()
    file = work.root / "reduce" / "state.pkl"
    for damage in (b"", file.read_bytes()[:-5], pickle.dumps((0, "x"))):
        file.write_bytes(damage)
        again = reduction(work, arrive(work, frames, order))
        assert again.is_complete()
        assert again.value().count(",") == N
