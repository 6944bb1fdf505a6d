"""Functions in a job that do what no function should: they cost their own item, and no other one."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
from in_job import Make, has_ended, until

from condormap.errors import ItemDiedError, ItemTimeoutError, RemoteError
from condormap.in_job.shared import AREA_SIZE

# -- item_timeout ----------------------------------------------------------------------------------------------


def hangs() -> None:
    threading.Event().wait()


def hangs_in_c() -> None:
    ctypes.PyDLL(None).sleep(1000)  # which keeps the GIL: no thread and no signal handler runs


def hangs_with_signals_blocked() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    hangs()


def stops_itself() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def hangs_in_a_process_of_its_own() -> None:
    subprocess.run(["sleep", "1000"], check=True)


@pytest.mark.parametrize(
    "hang",
    [hangs, hangs_in_c, hangs_with_signals_blocked, stops_itself, hangs_in_a_process_of_its_own],
    ids=lambda function: function.__name__,
)
def test_an_item_that_takes_too_long_costs_itself_only(make: Make, hang: Callable[[], None]) -> None:
    def function(x: int) -> int:
        if x == 2:
            print("last words", file=sys.stderr)
            hang()
        return x

    work = make(function, range(5), item_timeout=1)
    assert work.run() == 0
    outcomes = work.read()
    assert outcomes.ledger.states.decode() == "rrdrr"
    error = outcomes.error(2)
    assert isinstance(error, ItemTimeoutError)
    assert isinstance(error, TimeoutError)
    assert "item 2, job 7.0 on" in str(error)
    assert "it took longer than item_timeout=1 allows" in str(error)
    assert "last words" in str(error)


def test_the_time_limit_is_for_each_item_not_for_all_of_them(make: Make) -> None:
    work = make(lambda x: time.sleep(0.4) or x, range(5), item_timeout=1.5)
    assert work.run() == 0
    assert work.values() == list(range(5))


def test_the_time_limit_does_not_count_the_loading_of_the_function(make: Make) -> None:
    class Function:
        def __call__(self, x: int) -> int:
            return x

        def __setstate__(self, state: Any) -> None:
            time.sleep(1)

        def __getstate__(self) -> Any:
            return 1

    work = make(Function(), range(3), item_timeout=0.9)
    assert work.run() == 0
    assert work.values() == [0, 1, 2]


def test_an_item_that_took_too_long_is_tried_again_where_retries_are_wanted(
    make: Make, tmp_path: Path
) -> None:
    def function(x: int) -> int:
        if not (tmp_path / "tried").exists():
            (tmp_path / "tried").touch()
            hangs()
        return x

    work = make(function, range(3), item_timeout=1, retries=1)
    assert work.run() == 0
    assert work.values() == [0, 1, 2]


def test_the_error_of_the_last_try_says_how_many_there_were(make: Make) -> None:
    work = make(lambda _: os._exit(3), [0], retries=2)
    assert work.run() == 0
    assert work.read().error(0).__notes__ == ["condormap: it was tried 3 times"]


# -- what an item leaves behind --------------------------------------------------------------------------------


def test_every_item_begins_in_the_folder_of_the_job(make: Make, tmp_path: Path) -> None:
    def function(x: int) -> str:
        before = os.getcwd()
        os.mkdir(f"of {x}")
        os.chdir(f"of {x}")
        if x % 2:
            os.rmdir(os.getcwd())
            raise ValueError(before)
        return before

    work = make(function, range(4))
    assert work.run() == 0
    outcomes = work.read()
    assert [outcomes.value(x) for x in (0, 2)] == [str(tmp_path)] * 2
    assert [outcomes.error(x).args for x in (1, 3)] == [(str(tmp_path),)] * 2


@pytest.mark.parametrize("handler", [signal.SIG_DFL, lambda *_: 1 / 0], ids=["default", "raising"])
@pytest.mark.parametrize("fails", [False, True], ids=["returns", "raises"])
def test_an_alarm_that_an_item_left_set_does_not_ring_in_the_next(
    make: Make, handler: Any, fails: bool
) -> None:
    def function(x: int) -> int:
        if x == 0:
            signal.signal(signal.SIGALRM, handler)
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            if fails:
                raise ValueError
        time.sleep(0.3 * x)
        return x

    work = make(function, range(3))
    assert work.run() == 0
    assert work.read().ledger.states.decode() == ("err" if fails else "rrr")


def test_an_alarm_within_an_item_is_that_items_own(make: Make) -> None:
    def function(x: int) -> int:
        signal.signal(signal.SIGALRM, lambda *_: 1 / 0)
        signal.alarm(1)
        hangs()
        return x

    work = make(function, [0])
    assert work.run() == 0
    assert isinstance(work.read().error(0), ZeroDivisionError)


@pytest.mark.parametrize(
    ("lowest", "highest"), [(0, 100), (3, 100), (3, 65536)], ids=["to 100", "from 3", "all"]
)
def test_the_function_may_close_descriptors_that_are_not_its_own(
    make: Make, lowest: int, highest: int
) -> None:
    def function(x: int) -> Any:
        if x % 3 == 1:
            os.closerange(lowest, highest)
        return bytes(100_000)  # more than fit into the memory at once

    work = make(function, range(60))
    assert work.run() == 0
    assert work.read().ledger.states.decode() == "r" * 60


@pytest.mark.parametrize("size", [AREA_SIZE + 1, 0], ids=["spilled", "array"])
def test_an_item_that_closes_all_descriptors_and_has_a_large_result_fails_alone(
    make: Make, size: int
) -> None:
    def function(x: int) -> Any:
        if x == 1:
            os.closerange(3, 65536)
            return bytes(size) if size else numpy.zeros(10**6)
        return x

    work = make(function, range(3))
    assert work.run() == 0
    outcomes = work.read()
    assert outcomes.ledger.states.decode() in ("rer", "rdr")
    if outcomes.ledger.states[1] == ord("d"):
        assert isinstance(outcomes.error(1), ItemDiedError)
        assert "could not hand over the outcome" in str(outcomes.error(1))
    assert "Bad file descriptor" in str(outcomes.error(1))


def test_limits_that_an_item_lowers_do_not_keep_its_job_from_going_on(make: Make) -> None:
    def function(x: int) -> Any:
        if x == 1:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
            resource.setrlimit(resource.RLIMIT_NOFILE, (5, 5))
        return numpy.full(10**5, x)

    work = make(function, range(4))
    assert work.run() == 0
    outcomes = work.read()
    assert outcomes.ledger.states.decode() == "rdrr"
    assert "could not hand over the outcome" in str(outcomes.error(1))
    assert [outcomes.value(x)[0] for x in (0, 2, 3)] == [0, 2, 3]


def test_the_rest_is_as_the_item_before_left_it_as_in_a_loop(make: Make) -> None:
    def function(x: int) -> Any:
        found = os.environ.get("LEFT"), sys.getrecursionlimit() == 777, len(warnings.filters) == 0
        os.environ["LEFT"] = str(x)
        sys.setrecursionlimit(777)
        warnings.resetwarnings()
        return found

    work = make(function, range(3))
    assert work.run() == 0
    assert work.values() == [(None, False, False), ("0", True, True), ("1", True, True)]


def test_files_in_the_scratch_folder_may_be_deleted(make: Make, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    def function(x: int) -> bytes:
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(scratch):
                os.unlink(scratch / name)
            scratch.rmdir()
        return bytes(5 << 20)

    work = make(function, range(3))
    assert work.run(env=os.environ | {"_CONDOR_SCRATCH_DIR": str(scratch)}) == 0
    assert work.values() == [bytes(5 << 20)] * 3


def test_a_worker_that_does_not_leave_is_ended(make: Make) -> None:
    def function(x: int) -> int:
        class Stream:
            def flush(self) -> None:
                os.kill(os.getpid(), signal.SIGSTOP)

        sys.stdout = Stream()  # type: ignore[assignment]
        return os.getpid()

    work = make(function, [0])
    assert work.run() == 0
    (pid,) = work.values()
    until(lambda: has_ended(pid))


# -- recursion and other things that cannot be told -------------------------------------------------------------


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def test_too_deep_a_recursion_costs_its_own_item_only(make: Make) -> None:
    def function(x: int) -> Any:
        def deeper(n: int) -> int:
            return 1 + deeper(n + 1)

        return deeper(0) if x == 1 else x

    work = make(function, range(3))
    assert work.run() == 0
    outcomes = work.read()
    assert outcomes.ledger.states.decode() == "rer"
    assert isinstance(outcomes.error(1), RecursionError)


def test_a_recursion_that_ends_the_process_costs_its_own_item_only(make: Make) -> None:
    def function(x: int) -> Any:
        if x == 1:
            sys.setrecursionlimit(10**9)
            value: Any = None
            for _ in range(10**6):
                value = (value,)
            return hash(value)  # recurses in C
        return x

    work = make(function, range(3))
    assert work.run() == 0
    assert work.read().ledger.states.decode() in ("rdr", "rer")


def test_a_result_that_is_nested_too_deep_costs_its_own_item_only(make: Make) -> None:
    work = make(lambda x: nested(100_000) if x == 1 else x, range(3))
    assert work.run() == 0
    outcomes = work.read()
    assert outcomes.ledger.states.decode() == "rer"
    assert "condormap: raised while pickling the result, a list" in outcomes.error(1).__notes__


class HostileError(Exception):
    """Does all that it can to not be told about."""

    def __str__(self) -> str:
        raise SystemExit(3)

    def __reduce__(self) -> Any:
        raise KeyboardInterrupt


def test_an_exception_that_does_not_want_to_be_told_about_costs_its_own_item_only(make: Make) -> None:
    def function(x: int) -> int:
        if x == 1:
            raise HostileError(threading.Lock())
        return x

    work = make(function, range(3))
    assert work.run() == 0
    outcomes = work.read()
    assert outcomes.ledger.states.decode() == "rer"
    assert isinstance(outcomes.error(1), RemoteError)
    assert "HostileError" in str(outcomes.error(1))


# -- output ----------------------------------------------------------------------------------------------------


def test_an_error_has_what_its_item_printed_and_nothing_else(make: Make) -> None:
    def function(x: int) -> None:
        time.sleep(0.01)
        print("item", x)
        print("worried about", x, file=sys.stderr)
        if x:
            raise ValueError(x)

    work = make(function, range(3))
    assert work.run() == 0
    for x in (1, 2):
        where, *notes = work.read().error(x).__notes__
        assert where.startswith(f"condormap: item {x}, job 7.0 on ")
        assert where.endswith(", attempt 0")
        assert notes == [
            f"condormap: the end of its standard output:\nitem {x}",
            f"condormap: the end of its standard error:\nworried about {x}",
        ]


def test_of_much_output_an_error_has_the_last_lines(make: Make) -> None:
    def function(x: int) -> None:
        for line in range(10_000):
            print(f"line {line}")
        raise ValueError

    work = make(function, [0])
    assert work.run() == 0
    note = work.read().error(0).__notes__[1]
    assert note.endswith("\nline 9998\nline 9999")
    assert "\nline 0\n" not in note
    assert len(note) < 2100
    assert note.splitlines()[1].startswith("line ")


def test_what_an_item_printed_before_it_died_is_there(make: Make) -> None:
    def function(x: int) -> int:
        print("before", x)
        if x == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return x

    work = make(function, range(3))
    assert work.run() == 0
    assert "before 1" in work.read().error(1).__notes__[0]
    assert work.stdio("out").read_text() == "before 0\nbefore 1\nbefore 2\n"


def test_what_c_code_prints_is_kept(make: Make) -> None:
    def function(x: int) -> None:
        ctypes.CDLL(None).printf(b"from C %d\n", x)
        print("from Python", x)
        if x == 1:
            raise ValueError

    work = make(function, range(3))
    assert work.run() == 0
    lines = work.stdio("out").read_text().splitlines()
    assert sorted(lines) == sorted([f"from {a} {x}" for a in ("C", "Python") for x in range(3)])
    assert "from C 1" in work.read().error(1).__notes__[1]


def test_what_c_code_prints_before_it_crashes_is_there(make: Make) -> None:
    libc = Loaded()

    def function(x: int) -> None:
        libc.c.printf(b"before the crash\n")
        ctypes.string_at(0)

    work = make(function, [0])
    assert work.run() == 0
    assert "before the crash" in work.read().error(0).__notes__[0]


class Loaded:
    """The C library, loaded when it is unpickled."""

    def __init__(self) -> None:
        self.c = ctypes.CDLL(None)

    def __reduce__(self) -> Any:
        return Loaded, ()


def test_a_closed_standard_output_does_not_hide_an_error(make: Make) -> None:
    def function(x: int) -> None:
        sys.stdout.close()
        os.closerange(1, 3)
        raise ValueError(x)

    work = make(function, range(2))
    assert work.run() == 0
    assert [work.read().error(x).args for x in range(2)] == [(0,), (1,)]


# -- randomness ------------------------------------------------------------------------------------------------


def test_no_two_jobs_and_no_two_workers_draw_the_same_random_numbers(make: Make) -> None:
    def function(x: int) -> Any:
        if x % 3 == 2:
            os._exit(0)  # another worker goes on
        np = importlib.import_module("numpy")
        return random.random(), np.random.rand(), np.random.default_rng().random(), os.urandom(8)

    work = make(function, range(12), chunks=[range(6), range(6, 12)])
    assert [work.run(chunk) for chunk in range(2)] == [0, 0]
    computed = [(chunk, x) for chunk in range(2) for x in range(6 * chunk, 6 * chunk + 6) if x % 3 != 2]
    drawn = [number for chunk, x in computed for number in work.read(chunk).value(x)]
    assert len(set(drawn)) == len(drawn) == 32
