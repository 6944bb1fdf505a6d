"""condormap.checkpoint: the state of one long item outlives its process, its job, its machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
from conftest import Gate
from in_job import Make, Map, kill_all, until

from condormap import CondorMap, PersonalPool, checkpoint, condormap


def states(folder: Path) -> list[str]:
    """Return the names of what the items of a map have saved."""
    return sorted(path.name for path in folder.glob("checkpoints/*/*"))


def counting(notes: Path, n_steps: int, at_step: Callable[[int, int], None]) -> Callable[[int], int]:
    """Return a function of some steps, each of which is noted and saved; then something is done."""

    def function(x: int) -> int:
        for step in range(checkpoint.load(0), n_steps):
            with notes.open("a") as file:
                file.write(f"{x}.{step}\n")
            checkpoint.save(step + 1)
            at_step(x, step)
        return 10 * x

    return function


def die_once_at(notes: Path, x: int, step: int) -> Callable[[int, int], None]:
    def at_step(this_x: int, this_step: int) -> None:
        if (this_x, this_step) == (x, step) and notes.read_text().count(f"{x}.{step}\n") == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    return at_step


def wait_at(x: int, step: int, saved: Path, gate: Gate) -> Callable[[int, int], None]:
    """Make the file `saved` when that step of that item is saved, and wait for the gate."""

    def at_step(this_x: int, this_step: int) -> None:
        if (this_x, this_step) == (x, step):
            saved.touch()
            gate.wait()

    return at_step


# -- in a job --------------------------------------------------------------------------------------------------


def test_outside_of_a_job_nothing_is_saved() -> None:
    checkpoint.save(5)
    assert checkpoint.load() is None
    assert checkpoint.load(7) == 7


def test_an_item_whose_process_died_goes_on_from_what_it_saved_last(make: Make, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    work = make(counting(notes, 3, die_once_at(notes, 1, 1)), range(3), retries=1)
    assert work.run() == 0
    assert work.values() == [0, 10, 20]
    assert notes.read_text().split() == "0.0 0.1 0.2 1.0 1.1 1.2 2.0 2.1 2.2".split()
    assert states(work.root) == []


def test_an_item_that_failed_keeps_what_it_saved(make: Make, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    work = make(counting(notes, 3, die_once_at(notes, 1, 1)), range(3))
    assert work.run() == 0
    assert work.read().ledger.states.decode() == "rdr"
    assert states(work.root) == ["1.state"]


def test_large_arrays_and_objects_of_local_classes_can_be_saved(make: Make, tmp_path: Path) -> None:
    class State:
        def __init__(self, array: Any) -> None:
            self.array = array

    def function(x: int) -> float:
        state = checkpoint.load()
        if state is None:
            checkpoint.save(State(numpy.full(10**6, x)))
            os._exit(1)
        return float(state.array.sum())

    work = make(function, [3], retries=1)
    assert work.run() == 0
    assert work.values() == [3e6]


def test_a_damaged_state_is_told_and_not_used(make: Make, tmp_path: Path) -> None:
    work = make(lambda x: checkpoint.load("anew"), [0])
    folder = work.root / "checkpoints" / "0"
    folder.mkdir(parents=True)
    for damaged in (b"", b"CMF1" + b"\1" * 30, bytes(100)):
        (folder / "0.state").write_bytes(damaged)
        assert work.run() == 0
        for outcome in work.folder.glob("outcomes/0/*"):
            assert work.values() == ["anew"]
            outcome.unlink()
        assert "; the item begins anew" in work.stdio("err").read_text()


def test_a_process_that_the_function_forks_may_save_for_it(make: Make) -> None:
    def function(x: int) -> Any:
        before = checkpoint.load()
        if before is not None:
            return before
        process = multiprocessing.get_context("fork").Process(target=checkpoint.save, args=(f"state {x}",))
        process.start()
        process.join()
        os._exit(1)

    work = make(function, range(2), retries=1)
    assert work.run() == 0
    assert work.values() == ["state 0", "state 1"]
    assert states(work.root) == []


@pytest.mark.parametrize("name", ["module", "package", "function"])
def test_a_python_without_condormap_has_the_checkpoints_all_the_same(make: Make, name: str) -> None:
    if name == "module":
        function = counting_without_notes(checkpoint)
    elif name == "package":
        function = counting_without_notes(sys.modules["condormap"], "checkpoint")
    else:
        function = counting_without_notes(condormap, "checkpoint")
    work = make(function, [3], retries=1)
    assert work.run(python=("-S",)) == 0
    ((value, file),) = work.values()
    assert value == "went on"
    assert Path(file).is_relative_to(work.lib / "fallback")


def counting_without_notes(of: Any, name: str = "") -> Callable[[int], Any]:
    def function(x: int) -> Any:
        api = getattr(of, name) if name else of
        if api.load() is None:
            api.save("went on")
            os._exit(1)
        return api.load(), api.__file__

    return function


def test_what_else_the_package_has_is_not_there_and_says_so(make: Make) -> None:
    package = sys.modules["condormap"]
    work = make(lambda _: package.CondorMap, [0])
    assert work.run(python=("-S",)) == 0
    assert "this Python has no condormap" in str(work.read().error(0))


def test_another_attempt_goes_on_where_a_lost_machine_stopped(make: Make, tmp_path: Path) -> None:
    notes, saved, gate = tmp_path / "notes", tmp_path / "saved", Gate(tmp_path / "gate")
    work: Map = make(counting(notes, 4, wait_at(7, 2, saved, gate)), [7])
    with work.started() as process:
        until(saved.exists)
        kill_all(process)
    assert states(work.root) == ["0.state"]
    gate.open()
    assert work.run() == 0
    assert work.values() == [70]
    assert notes.read_text().split() == ["7.0", "7.1", "7.2", "7.3"]
    assert states(work.root) == []


# -- on a pool -------------------------------------------------------------------------------------------------


def test_a_vacated_job_goes_on_in_the_middle_of_its_item(
    pool: PersonalPool, tmp_path: Path, gate: Gate
) -> None:
    notes, saved = tmp_path / "notes", tmp_path / "saved"
    work = counting(notes, 5, wait_at(1, 2, saved, gate))
    m = condormap(work, range(3), pool=pool, chunksize=3)
    until(lambda: saved.exists() and states(m.path) == ["1.state"])
    assert m.vacate()["TotalSuccess"] == 1
    until(lambda: len(list(m.path.glob("submissions/0/outcomes/0/0.*"))) == 2)
    gate.open()
    assert m.results(timeout=60) == [0, 10, 20]
    steps = [f"{x}.{step}" for x in range(3) for step in range(5)]
    assert notes.read_text().split() == steps
    assert [item.attempt for item in sorted(m.as_completed(), key=lambda item: item.index)] == [0, 1, 1]
    until(lambda: states(m.path) == [])  # the outcome is written first


def test_a_retry_goes_on_from_what_the_failed_item_saved(pool: PersonalPool, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    m: CondorMap = condormap(counting(notes, 3, die_once_at(notes, 1, 1)), range(3), pool=pool, chunksize=3)
    assert m.wait(timeout=60)
    assert m.failed() == [1]
    assert m.retry().results(timeout=60) == [0, 10, 20]
    assert notes.read_text().split() == "0.0 0.1 0.2 1.0 1.1 2.0 2.1 2.2 1.2".split()
