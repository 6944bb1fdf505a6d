"""The program inside the job, run as a job runs it: nothing of it is imported here but its constants."""

from __future__ import annotations

import concurrent.futures
import contextlib
import ctypes
import importlib
import math
import mmap
import multiprocessing
import os
import platform
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
from in_job import SOON, Make, has_ended, kill_all, until

from condormap.errors import ItemDiedError, RemoteError, RemoteTraceback
from condormap.in_job.payload import chunk_file
from condormap.in_job.shared import AREA_SIZE, FLUSH_SIZE, MAX_RECORDS
from condormap.state.chunk_reader import ChunkReader
from condormap.state.outcomes import Outcomes

# -- results ---------------------------------------------------------------------------------------------------


def test_results_are_what_map_gives(make: Make) -> None:
    work = make(lambda x: {"square": x * x}, range(100))
    assert work.run() == 0
    assert work.values() == [{"square": x * x} for x in range(100)]


def test_several_iterables_are_several_arguments(make: Make) -> None:
    work = make(pow, [2, 3, 4], [5, 6, 7])
    assert work.run() == 0
    assert work.values() == list(map(pow, [2, 3, 4], [5, 6, 7]))


def test_a_job_computes_its_own_chunk_only(make: Make) -> None:
    work = make(str, range(5), chunks=[range(2), range(2, 5)])
    assert work.run(1) == 0
    assert bytes(work.read(1).ledger.states) == b"\0\0rrr"


def test_a_selection_of_items_is_computed_under_their_own_numbers(make: Make) -> None:
    work = make(str, range(6), chunks=[range(2), range(2, 4)], selection=[1, 5, 0, 2])
    assert work.run(1) == 0
    assert bytes(work.read(1).ledger.states) == b"r\0r\0\0\0"
    assert work.read(1).value(2) == "2"


def test_the_outcome_says_where_and_when_it_was_computed(make: Make) -> None:
    before = time.time()
    work = make(lambda _: time.sleep(0.05), range(1))
    assert work.run(env=os.environ | {"_CONDOR_SLOT": "slot1_2"}) == 0
    start, *_, end = work.headers()
    assert start["python"] == platform.python_version()
    assert start["executable"] == sys.executable
    assert (start["host"], start["slot"], start["job"]) == (socket.gethostname(), "slot1_2", "7.0")
    assert before <= start["time"] <= end["time"] <= time.time()
    assert end["complete"]
    assert end["cpu"] > 0
    assert end["max_rss_kb"] > 1000
    assert 0.05 <= work.read().seconds(0) < 5


@pytest.mark.parametrize(
    "size",
    [0, FLUSH_SIZE - 100, FLUSH_SIZE, AREA_SIZE - 100, AREA_SIZE - 10, AREA_SIZE, AREA_SIZE + 1, 7 << 20],
)
def test_results_of_every_size_arrive_as_they_are(make: Make, size: int) -> None:
    work = make(lambda n: os.urandom(16) + bytes([n]) * size, range(4))
    assert work.run() == 0
    for n, value in enumerate(work.values()):
        assert len(value) == size + 16
        assert value[16:] == bytes([n]) * size


def test_large_and_small_results_take_turns(make: Make) -> None:
    sizes = [1, 3 << 20, 2, 900_000, 900_000, 900_000, 5 << 20, 5 << 20, 3, 1]
    work = make(lambda n, size: bytes([n]) * size, range(len(sizes)), sizes)
    assert work.run() == 0
    assert work.values() == [bytes([n]) * size for n, size in enumerate(sizes)]


def test_large_arrays_arrive(make: Make) -> None:
    work = make(lambda n: numpy.arange(n), [10, 10**6, 10])
    assert work.run() == 0
    for n, value in zip([10, 10**6, 10], work.values(), strict=True):
        numpy.testing.assert_array_equal(value, numpy.arange(n))


def exactly(values: Iterable[Any]) -> list[tuple[type, str]]:
    """Return what two values have in common that are the same bit by bit, and of the same type."""
    return [(type(value), repr(value)) for value in values]


NUMBERS = [0, -1, 2**63 - 1, -(2**63), 2**63, 0.5, -0.0, math.nan, math.inf, True, None, 10**400, 1j]
NUMBERS += [numpy.int64(-5), numpy.float64(0.1), numpy.float32(0.1), numpy.uint8(200), numpy.bool_(True)]


@pytest.mark.parametrize("number", NUMBERS, ids=repr)
def test_numbers_of_one_type_arrive_bit_by_bit(make: Make, number: Any) -> None:
    work = make(lambda _: number, range(50))
    assert work.run() == 0
    assert exactly(work.values()) == exactly([number] * 50)


def test_results_of_all_types_take_turns(make: Make) -> None:
    results = [
        *NUMBERS,
        *NUMBERS[:2],
        "text",
        *NUMBERS[5:7],
        numpy.zeros(2**17),
        3,
        4,
        [5],
        6,
        2**70,
        7,
        0.5,
        0.25,
    ]
    work = make(lambda value: value, results * 3)
    assert work.run() == 0
    assert exactly(work.values()) == exactly(results * 3)


def test_errors_and_deaths_between_numbers_cost_themselves_only(make: Make) -> None:
    def function(x: int) -> int:
        if x % 10 == 3:
            raise KeyError(x)
        if x % 10 == 7:
            os.kill(os.getpid(), signal.SIGSEGV)
        return x

    work = make(function, range(40))
    assert work.run() == 0
    outcomes = work.read()
    assert outcomes.ledger.states.decode() == "rrrerrrdrr" * 4
    assert all(outcomes.value(x) == x for x in range(40) if x % 10 not in (3, 7))
    assert all(str(outcomes.error(x)) == str(x) for x in range(3, 40, 10))


def test_a_large_array_lies_in_the_outcome_file_once_and_comes_back_writable(make: Make) -> None:
    work = make(lambda n: {"array": numpy.full(20_000, float(n)), "n": n}, range(3))
    assert work.run() == 0
    size = Path(chunk_file(work.folder / "outcomes", 0, "0")).stat().st_size
    assert size < 3 * 8 * 20_000 + 5000
    outcomes = work.read()
    first = outcomes.value(1)
    first["array"][:] = 7  # it is the caller's own
    assert outcomes.value(1)["array"].sum() == 20_000
    assert outcomes.seconds(2) > 0


def test_a_worker_that_dies_while_it_writes_a_large_result_leaves_no_trace_of_it(make: Make) -> None:
    def function(n: int) -> Any:
        if n != 1:
            return numpy.full(10**5, n)
        with tempfile.TemporaryFile() as file:
            file.truncate(16 << 20)
            memory = mmap.mmap(file.fileno(), 0)
            file.truncate(4 << 20)  # whoever reads behind gets a SIGBUS
            return numpy.frombuffer(memory, dtype=float)

    work = make(function, range(4))
    assert work.run() == 0
    outcomes = work.read()
    assert outcomes.ledger.states.decode() == "rdrr"
    assert [outcomes.value(n)[0] for n in (0, 2, 3)] == [0, 2, 3]


def test_large_arrays_that_the_function_refers_to_are_not_copied_into_its_pickle(make: Make) -> None:
    table = numpy.arange(10**6, dtype=float)
    work = make(lambda n: table[n], [0, 5, 999_999])
    assert (work.root / "func.pkl").stat().st_size < table.nbytes + 5000
    assert work.run() == 0
    assert work.values() == [0.0, 5.0, 999_999.0]


@pytest.mark.parametrize("n_items", [MAX_RECORDS - 1, MAX_RECORDS, MAX_RECORDS + 1, 200_000])
def test_many_small_results_arrive(make: Make, n_items: int) -> None:
    work = make(lambda x: -x, range(n_items))
    assert work.run() == 0
    assert work.values() == [-x for x in range(n_items)]
    counts = [len(header["states"]) for header in work.headers() if header["kind"] == "items"]
    assert sum(counts) == n_items
    assert max(counts) <= MAX_RECORDS


def test_a_frame_holds_no_more_than_a_megabyte_of_small_results(make: Make) -> None:
    work = make(lambda x: bytes(1000 + x % 2), range(5000))  # of equal ones the header has one size for all
    assert work.run() == 0
    sizes = [sum(header["sizes"]) for header in work.headers() if header["kind"] == "items"]
    assert max(sizes) < FLUSH_SIZE + 2000
    assert len(work.values()) == 5000


# -- errors ----------------------------------------------------------------------------------------------------


class OwnError(Exception):
    """An exception of a module that the job cannot import."""

    def __init__(self, number: int, text: str) -> None:
        super().__init__(number, text)
        self.number = number


class StubbornError(Exception):
    """Cannot be unpickled: its constructor wants more than its args."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(one)


def raising(error: BaseException) -> Callable[[int], int]:
    """Return a function that raises at item 1."""

    def function(x: int) -> int:
        if x == 1:
            raise error
        return x

    return function


@pytest.mark.parametrize(
    "error",
    [
        ValueError("wrong", 1),
        KeyError("key"),
        OSError(2, "No such file", "file"),
        UnicodeDecodeError("utf-8", b"x", 0, 1, "why"),
        StopIteration(3),
        SystemExit(3),
        KeyboardInterrupt(),
        GeneratorExit(),
        MemoryError(),
        ExceptionGroup("several", [ValueError(1), KeyError(2)]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_exception_comes_back_and_costs_its_own_item_only(make: Make, error: BaseException) -> None:
    work = make(raising(error), range(3))
    assert work.run() == 0
    outcomes = work.read()
    assert bytes(outcomes.ledger.states) == b"rer"
    found = outcomes.error(1)
    assert type(found) is type(error)
    assert repr(found.args) == repr(error.args)
    assert isinstance(found.__cause__, RemoteTraceback)
    assert "in function\n" in found.__cause__.text
    assert "raise error\n" in found.__cause__.text
    assert "worker.py" not in found.__cause__.text


def test_an_exception_of_a_local_class_comes_back_with_its_attributes(make: Make) -> None:
    work = make(raising(OwnError(7, "text")), range(3))
    assert work.run() == 0
    found = work.read().error(1)
    assert type(found) is OwnError
    assert found.number == 7


def test_the_remote_traceback_tells_the_causes_too(make: Make) -> None:
    def function(x: int) -> None:
        try:
            [][x]
        except IndexError as error:
            raise OwnError(x, "no such element") from error

    work = make(function, [5])
    assert work.run() == 0
    text = str(work.read().error(0).__cause__)
    assert "IndexError: list index out of range" in text
    assert "The above exception was the direct cause" in text
    assert "OwnError: (5, 'no such element')" in text


def test_an_exception_whose_constructor_wants_something_else_comes_back_too(make: Make) -> None:
    def function(x: int) -> None:
        error = StubbornError(x, 2)
        error.add_note("by the way")
        raise error

    work = make(function, [7])
    assert work.run() == 0
    error = work.read().error(0)
    assert type(error) is StubbornError
    assert error.args == (7,)
    assert error.__notes__[0] == "by the way"
    assert "raise error" in str(error.__cause__)


def test_an_exception_that_cannot_be_pickled_comes_back_as_text(make: Make) -> None:
    def function(x: int) -> None:
        raise ValueError(x, threading.Lock())

    work = make(function, [7])
    assert work.run() == 0
    error = work.read().error(0)
    assert type(error) is RemoteError
    assert "ValueError: (7, <unlocked _thread.lock" in str(error)
    assert "(its exception can't be built again" in str(error)
    assert "raise ValueError(x, threading.Lock())" in str(error.__cause__)


def test_a_result_that_cannot_be_pickled_costs_its_own_item_only(make: Make) -> None:
    def function(x: int) -> Any:
        return [bytes(3 << 20), threading.Lock()] if x == 1 else x

    work = make(function, range(3))
    assert work.run() == 0
    outcomes = work.read()
    assert bytes(outcomes.ledger.states) == b"rer"
    assert "condormap: raised while pickling the result, a list" in outcomes.error(1).__notes__
    assert "lock" in str(outcomes.error(1))
    assert outcomes.value(2) == 2


def test_an_item_that_cannot_be_unpickled_in_the_job_costs_itself_only(make: Make) -> None:
    class Item:
        def __reduce__(self) -> Any:
            return importlib.import_module, ("no_such_module",)

    work = make(lambda x: x, [0, Item(), 2])
    assert work.run() == 0
    outcomes = work.read()
    assert bytes(outcomes.ledger.states) == b"rer"
    assert isinstance(outcomes.error(1), ModuleNotFoundError)
    assert "condormap: raised while unpickling the item" in outcomes.error(1).__notes__


# -- deaths ----------------------------------------------------------------------------------------------------


def dying(how: Callable[[], object]) -> Callable[[int], int]:
    """Return a function that dies at item 2, after it said so on standard error."""

    def function(x: int) -> int:
        if x == 2:
            print("last words", file=sys.stderr, flush=True)
            how()
        return x

    return function


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (lambda: os._exit(3), "exited with code 3"),
        (lambda: os._exit(0), "exited with code 0"),
        (lambda: ctypes.string_at(0), "signal 11 (SIGSEGV)"),
        (os.abort, "signal 6 (SIGABRT)"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "signal 9 (SIGKILL)"),
        (lambda: os.kill(os.getpid(), signal.SIGTERM), "signal 15 (SIGTERM)"),
        (lambda: os.killpg(0, signal.SIGKILL), "signal 9 (SIGKILL)"),
    ],
    ids=["_exit(3)", "_exit(0)", "segfault", "abort", "SIGKILL", "SIGTERM", "group"],
)
def test_an_item_that_kills_its_process_costs_itself_only(
    make: Make, how: Callable[[], object], words: str
) -> None:
    work = make(dying(how), range(5))
    assert work.run() == 0
    outcomes = work.read()
    assert bytes(outcomes.ledger.states) == b"rrdrr"
    assert [outcomes.value(item) for item in (0, 1, 3, 4)] == [0, 1, 3, 4]
    error = outcomes.error(2)
    assert isinstance(error, ItemDiedError)
    assert words in str(error)
    assert "while it computed this item" in str(error)
    assert "last words" in str(error)


def test_every_item_may_die(make: Make) -> None:
    work = make(lambda _: os._exit(1), range(10))
    assert work.run() == 0
    assert bytes(work.read().ledger.states) == b"d" * 10


def test_an_item_that_died_is_computed_again_where_retries_are_wanted(make: Make, tmp_path: Path) -> None:
    counts = tmp_path / "count"

    def function(x: int) -> int:
        with counts.open("a") as file:
            file.write("x")
        if counts.stat().st_size < 3:
            os._exit(1)
        return x

    work = make(function, [7], retries=2)
    assert work.run() == 0
    assert work.values() == [7]


def test_an_item_that_kills_its_process_when_it_is_unpickled_costs_itself_only(make: Make) -> None:
    class Item:
        def __reduce__(self) -> Any:
            return os._exit, (7,)

    work = make(lambda x: x, [0, Item(), 2])
    assert work.run() == 0
    assert bytes(work.read().ledger.states) == b"rdr"


# -- functions that do as they like ----------------------------------------------------------------------------


def test_a_child_that_the_function_forks_and_that_comes_back_gives_no_result(make: Make) -> None:
    def function(x: int) -> str:
        child = os.fork()
        if child:
            os.waitpid(child, 0)
        elif x == 1:
            raise ValueError("in the child")
        return "parent" if child else "child"

    work = make(function, range(3))
    assert work.run() == 0
    assert work.values() == ["parent"] * 3


def test_processes_that_the_function_leaves_behind_are_ended(make: Make) -> None:
    work = make(lambda _: subprocess.Popen(["sleep", "1000"]).pid, range(2))
    assert work.run() == 0
    for pid in work.values():
        until(lambda pid=pid: has_ended(pid))


def test_threads_that_the_function_leaves_behind_do_not_hold_the_job(make: Make) -> None:
    def function(x: int) -> int:
        threading.Thread(target=threading.Event().wait).start()
        return x

    work = make(function, range(2))
    assert work.run() == 0
    assert work.values() == [0, 1]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_the_function_may_use_processes_of_its_own(make: Make, method: str) -> None:
    def function(x: int) -> list[float]:
        context = multiprocessing.get_context(method)
        with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as executor:
            return list(executor.map(abs, [x, -x]))

    work = make(function, [3])
    assert work.run() == 0
    assert work.values() == [[3, 3]]
    assert not Path(chunk_file(work.folder / "outcomes", 0, "1")).exists()


def test_the_function_may_close_its_standard_streams(make: Make) -> None:
    def function(x: int) -> int:
        for stream in (sys.stdin, sys.stdout, sys.stderr):
            stream.close()
        for descriptor in range(3):
            with contextlib.suppress(OSError):
                os.close(descriptor)
        return x

    work = make(function, range(3))
    assert work.run() == 0
    assert work.values() == [0, 1, 2]


def test_the_function_may_change_the_folder(make: Make, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()

    def function(x: int) -> str:
        os.chdir(tmp_path / "elsewhere")
        return os.getcwd()

    work = make(function, range(200_000, 200_003))
    command = [
        sys.executable,
        work.lib / "run.py",
        os.path.relpath(work.folder / "spec.json", tmp_path),
        "0",
        "7.0",
    ]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=SOON)
    assert work.values() == [str(tmp_path / "elsewhere")] * 3


def test_the_function_may_change_what_signals_do(make: Make) -> None:
    def function(x: int) -> int:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        return x

    work = make(function, range(3))
    assert work.run() == 0
    assert work.values() == [0, 1, 2]


# -- standard output -------------------------------------------------------------------------------------------


def test_what_the_function_prints_is_kept(make: Make) -> None:
    work = make(lambda x: print("item", x), range(3))
    assert work.run() == 0
    assert work.stdio("out").read_text() == "item 0\nitem 1\nitem 2\n"
    assert not work.stdio("err").exists()


def test_empty_output_files_are_removed(make: Make) -> None:
    work = make(str, range(3))
    assert work.run() == 0
    assert not work.stdio("out").exists()
    assert not work.stdio("err").exists()


# -- several attempts ------------------------------------------------------------------------------------------


def blocking(notes: Path) -> Callable[[int], int]:
    """Return a function that notes each call, and never comes back from the first one with item 3."""

    def function(x: int) -> int:
        with notes.open("a") as file:
            file.write(f"{x}\n")
        if x == 3 and notes.read_text().split().count("3") == 1:
            threading.Event().wait()
        return x

    return function


@pytest.fixture
def notes(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "notes"
    path.touch()
    return path


def test_what_is_finished_is_on_disk_while_a_later_item_is_computed(make: Make, notes: Path) -> None:
    work = make(blocking(notes), range(5))
    with work.started() as process:
        until(lambda: notes.read_text().split() == ["0", "1", "2", "3"])
        until(lambda: work.read().ledger.n_finished == 3)  # while item 3 never ends
        kill_all(process)
    assert bytes(work.read().ledger.states) == b"rrr\0\0"


def test_another_attempt_goes_on_where_a_lost_machine_stopped(make: Make, notes: Path) -> None:
    work = make(blocking(notes), range(5))
    with work.started() as process:
        until(lambda: work.read().ledger.n_finished == 3)
        kill_all(process)
    assert work.run() == 0
    assert work.values() == list(range(5))
    assert notes.read_text().split() == ["0", "1", "2", "3", "3", "4"]
    assert [work.read().attempt(item).number for item in range(5)] == [0, 0, 0, 1, 1]
    assert work.read().duplicates == 0


def test_a_job_that_is_told_to_leave_writes_what_it_has(make: Make, notes: Path) -> None:
    work = make(blocking(notes), range(5))
    with work.started() as process:
        until(lambda: notes.read_text().split() == ["0", "1", "2", "3"])
        process.send_signal(signal.SIGTERM)
        assert process.wait(8) == 143  # a pool that gives it no more than 10 s does not kill it
    assert bytes(work.read().ledger.states) == b"rrr\0\0"
    assert work.headers()[-1]["kind"] == "end"
    assert not work.headers()[-1]["complete"]
    assert work.run() == 0
    assert work.values() == list(range(5))
    assert work.headers(1)[-1]["complete"]


def test_a_complete_chunk_is_not_computed_again(make: Make, notes: Path) -> None:
    work = make(lambda x: notes.open("a").write("x"), range(3))
    assert [work.run(), work.run()] == [0, 0]
    assert notes.read_text() == "xxx"


@pytest.mark.parametrize("tail", [b"CMF1 torn", b"damaged " * 10], ids=["torn", "damaged"])
def test_the_bad_end_of_an_earlier_attempt_does_not_stop_the_next(make: Make, tail: bytes) -> None:
    work = make(str, range(3))
    Path(chunk_file(work.folder / "outcomes", 0, "0")).write_bytes(tail)
    assert work.run() == 0
    outcomes, reader = Outcomes(3), ChunkReader(work.folder / "outcomes", 0)
    assert reader.read(outcomes) == 3


# -- the machine -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("python", [(), ("-S",)], ids=["has its own", "has none"])
def test_a_python_uses_the_cloudpickle_that_came_with_the_job(make: Make, python: tuple[str, ...]) -> None:
    def function(x: int) -> Any:
        import cloudpickle

        return cloudpickle.__file__, (lambda: x)

    work = make(function, range(2))
    assert work.run(python=python) == 0
    for x, (file, closure) in enumerate(work.values()):
        assert Path(file).is_relative_to(work.lib / "pickling")
        assert closure() == x


def test_a_job_that_cannot_write_says_so_and_leaves_no_process(make: Make) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (3 << 20, 3 << 20))

    work = make(lambda x: os.getpid() if x == 0 else bytes(1 << 20), range(10))
    assert work.run(preexec_fn=limit) not in (0, 143)
    assert "File too large" in work.stdio("err").read_text()
    worker = work.read().value(0)
    until(lambda: has_ended(worker))


def test_a_job_that_is_killed_as_a_whole_records_no_death(make: Make) -> None:
    """HTCondor kills its processes one after the other: the worker's death is not the item's then."""
    work = make(lambda _: time.sleep(60), [0])
    process = work.start()
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    until(lambda: children.read_text().split())
    os.kill(int(children.read_text()), signal.SIGKILL)
    until(lambda: has_ended(process.pid) or not children.read_text().split())  # the supervisor has seen it
    process.kill()
    process.wait()
    assert [header["kind"] for header in work.headers()] == ["start"]
