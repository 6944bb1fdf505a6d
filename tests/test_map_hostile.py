"""A job on a real pool, each of whose items does something else that no function should."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import numpy
import pytest
from in_job import has_ended, until

from condormap import CondorMap, PersonalPool, condormap
from condormap.errors import ItemDiedError, ItemTimeoutError, RemoteError


class OddError(Exception):
    """Its constructor cannot be called with its args."""

    def __init__(self, code: int, *, text: str) -> None:
        super().__init__(text)
        self.code = code


def raise_odd_error() -> None:
    raise OddError(7, text="odd")


def recurse() -> int:
    return 1 + recurse()


def nested() -> list[Any]:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    return value


def leave_a_thread() -> str:
    threading.Thread(target=threading.Event().wait).start()
    return "done"


def leave_processes() -> list[int]:
    return [subprocess.Popen(["sleep", "1000"], start_new_session=new).pid for new in (False, True)]


def leave_an_alarm() -> str:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    return "done"


def move_away() -> str:
    before = os.getcwd()
    os.chdir("/")
    return before


def print_from_c() -> str:
    ctypes.CDLL(None).printf(b"printed by C\n")
    print("printed by Python")
    return "done"


def close_everything() -> str:
    sys.stdout.close()
    os.closerange(0, 65536)
    return "done"


def sleep_without_signals() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    time.sleep(1000)


HOSTILE = {
    "a large result": lambda: numpy.arange(10**6),
    "sys.exit": lambda: sys.exit(3),
    "os._exit": lambda: os._exit(3),
    "a segfault": lambda: ctypes.string_at(0),
    "a kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "an odd error": raise_odd_error,
    "an error that cannot be pickled": lambda: (_ for _ in ()).throw(ValueError(threading.Lock())),
    "a result that cannot be pickled": threading.Lock,
    "recursion": recurse,
    "a nested result": nested,
    "a thread": leave_a_thread,
    "processes": leave_processes,
    "an alarm": leave_an_alarm,
    "a sleep": lambda: time.sleep(0.3) or "done",
    "another folder": move_away,
    "the folder after that": os.getcwd,
    "a print from C": print_from_c,
    "no descriptors": close_everything,
    "too long": sleep_without_signals,
    "the end": lambda: "done",
}


@pytest.fixture(scope="module")
def m(pool: PersonalPool) -> CondorMap:
    m = condormap(lambda name: HOSTILE[name](), HOSTILE, pool=pool, chunksize=len(HOSTILE), item_timeout=3)
    assert m.wait(timeout=120)
    return m


def item(name: str) -> int:
    return list(HOSTILE).index(name)


@pytest.mark.parametrize(
    "name", ["a thread", "an alarm", "a sleep", "a print from C", "no descriptors", "the end"]
)
def test_what_an_item_leaves_behind_harms_no_other(m: CondorMap, name: str) -> None:
    assert m[item(name)] == "done"


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("sys.exit", SystemExit, "3"),
        ("os._exit", ItemDiedError, "exited with code 3"),
        ("a segfault", ItemDiedError, "SIGSEGV"),
        ("a kill", ItemDiedError, "SIGKILL"),
        ("an odd error", OddError, "odd"),
        ("an error that cannot be pickled", RemoteError, "ValueError"),
        ("a result that cannot be pickled", TypeError, "lock"),
        ("recursion", RecursionError, "recursion"),
        ("too long", ItemTimeoutError, "item_timeout=3"),
    ],
)
def test_what_an_item_does_costs_itself_only(
    m: CondorMap, name: str, error: type[BaseException], words: str
) -> None:
    with pytest.raises(error, match=words):
        m[item(name)]


def test_a_result_that_is_nested_too_deep_is_an_error_of_its_item(m: CondorMap) -> None:
    assert (
        "condormap: raised while pickling the result, a list" in m.errors()[item("a nested result")].__notes__
    )


def test_each_item_begins_in_the_folder_of_the_job(m: CondorMap) -> None:
    assert m[item("another folder")] == m[item("the folder after that")] == os.getcwd()


def test_processes_that_an_item_leaves_are_ended_with_the_job(m: CondorMap) -> None:
    for pid in m[item("processes")]:
        until(lambda pid=pid: has_ended(pid))


def test_what_c_code_printed_is_in_the_output(m: CondorMap) -> None:
    assert {"printed by C", "printed by Python"} <= set(m.stdout(0).splitlines())


def test_results_before_and_after_are_all_there(m: CondorMap) -> None:
    assert m[0].sum() == sum(range(10**6))
    assert len(m.failed()) == 10
