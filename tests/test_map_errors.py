"""What comes back from a map when items, jobs or the wait itself fail."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Gate

from condormap import CondorMap, ItemState, PersonalPool, condormap, load
from condormap.errors import (
    ImpossibleRequestError,
    ItemDiedError,
    ItemTimeoutError,
    JobDiedError,
    JobHeldError,
    JobRemovedError,
    RemoteError,
    RemoteTraceback,
    StorageError,
    WaitTimeoutError,
)


class OwnError(Exception):
    """An exception of a module that the jobs cannot import."""

    def __init__(self, item: int, *, hint: str) -> None:
        super().__init__(item)
        self.hint = hint

    def __reduce__(self) -> Any:
        return _own_error, (self.args[0], self.hint)


def _own_error(item: int, hint: str) -> OwnError:
    return OwnError(item, hint=hint)


def moody(x: int) -> int:
    if x == 2:
        raise OwnError(x, hint="two is too many")
    if x == 4:
        raise SystemExit(5)
    if x == 5:
        os._exit(9)
    return 10 * x


@pytest.fixture(scope="module")
def m(pool: PersonalPool) -> CondorMap:
    """A finished map of seven items, of which 2, 4 and 5 failed."""
    m = condormap(moody, range(7), pool=pool, chunksize=7)
    assert m.wait()
    return m


# -- an exception of the function ------------------------------------------------------------------------------


def test_an_exception_comes_back_as_the_same_object_would(m: CondorMap) -> None:
    with pytest.raises(OwnError) as caught:
        m[2]
    assert caught.value.args == (2,)
    assert caught.value.hint == "two is too many"


def test_its_cause_is_the_remote_traceback(m: CondorMap) -> None:
    cause = m.errors()[2].__cause__
    assert isinstance(cause, RemoteTraceback)
    assert 'raise OwnError(x, hint="two is too many")' in str(cause)
    assert f'File "{__file__}"' in str(cause)


def test_a_note_says_which_item_it_was_and_where(m: CondorMap) -> None:
    (note,) = m.errors()[2].__notes__
    assert note.endswith(", attempt 0")
    assert note.startswith("condormap: item 2, job ")
    assert os.uname().nodename in note
    assert f"Python {sys.version.split()[0]}" in note


def test_the_other_items_are_not_lost(m: CondorMap) -> None:
    assert m[:2] == [0, 10]
    assert (m[3], m[6]) == (30, 60)
    assert m.status == {ItemState.RESULT: 4, ItemState.ERROR: 3}


def test_iteration_goes_on_after_an_error(m: CondorMap) -> None:
    results, seen = iter(m), []
    while True:
        try:
            seen.append(next(results))
        except StopIteration:
            break
        except (OwnError, SystemExit, ItemDiedError) as error:
            seen.append(type(error))
    assert seen == [0, 10, OwnError, 30, SystemExit, ItemDiedError, 60]


def test_a_slice_raises_the_first_error_of_its_own(m: CondorMap) -> None:
    with pytest.raises(SystemExit):
        m[3:6]
    with pytest.raises(OwnError):
        m[:]


def test_results_raises_the_first_error(m: CondorMap) -> None:
    with pytest.raises(OwnError):
        m.results()


def test_results_returns_the_errors_where_that_is_wanted(m: CondorMap) -> None:
    results = m.results("return")
    assert [results[item] for item in (0, 1, 3, 6)] == [0, 10, 30, 60]
    assert [type(results[item]) for item in (2, 4, 5)] == [OwnError, SystemExit, ItemDiedError]


def test_results_skips_the_errors_where_that_is_wanted(m: CondorMap) -> None:
    assert m.results(errors="skip") == [0, 10, 30, 60]


def test_another_wish_about_errors_is_refused(m: CondorMap) -> None:
    with pytest.raises(ValueError, match='errors must be "raise", "return" or "skip", not \'ignore\''):
        m.results("ignore")  # type: ignore[arg-type]


def test_errors_are_listed_by_item(m: CondorMap) -> None:
    assert {item: type(error) for item, error in m.errors().items()} == {
        2: OwnError,
        4: SystemExit,
        5: ItemDiedError,
    }


def test_as_completed_yields_failed_items_and_raises_nothing(m: CondorMap) -> None:
    items = {item.index: item for item in m.as_completed()}
    assert {index for index, item in items.items() if item.state == ItemState.ERROR} == {2, 4, 5}
    assert type(items[2].error) is OwnError
    with pytest.raises(OwnError):
        items[2].result()
    assert items[3].error is None


def test_the_death_of_a_worker_says_which_item_and_how(m: CondorMap) -> None:
    with pytest.raises(
        ItemDiedError, match=r"item 5, job \d+\.0 on .*exited with code 9 while it computed this item"
    ):
        m[5]


def test_a_stop_iteration_does_not_look_like_the_end(pool: PersonalPool) -> None:
    def function(x: int) -> int:
        return next(iter(())) if x == 0 else x

    m = condormap(function, range(2), pool=pool)

    async def awaited() -> Any:
        return await asyncio.wait_for(m, 30)

    asks: list[Callable[[], Any]] = [
        lambda: list(m),
        lambda: m[0],
        lambda: m[:],
        m.results,
        {item.index: item for item in m.as_completed()}[0].result,
        lambda: asyncio.run(awaited()),
        m.set_on_complete(sum).result,
    ]
    for ask in asks:
        with pytest.raises(RuntimeError, match="item 0 raised StopIteration") as caught:
            ask()
        assert type(caught.value.__cause__) is StopIteration
    assert m.results("skip") == [1]
    assert type(m.results("return")[0]) is StopIteration


class FalseError(Exception):
    def __bool__(self) -> bool:
        return False


def falsely(x: int) -> None:
    raise FalseError(x)


def test_an_exception_that_is_false_comes_back_as_itself(pool: PersonalPool) -> None:
    m = condormap(falsely, [1], pool=pool)
    assert type(m.results(errors="return")[0]) is FalseError
    with pytest.raises(FalseError):
        m.results()


def test_a_result_that_cannot_be_pickled_is_an_error_of_its_item(pool: PersonalPool) -> None:
    m = condormap(lambda x: threading.Lock() if x == 0 else x, range(2), pool=pool)
    with pytest.raises(TypeError, match="lock") as caught:
        m[0]
    assert "condormap: raised while pickling the result, a lock" in caught.value.__notes__
    assert m[1] == 1


def test_a_result_that_cannot_be_unpickled_here_is_an_error_of_its_item(
    pool: PersonalPool, tmp_path: Path
) -> None:
    (tmp_path / "module_of_the_job.py").write_text("class Thing: ...\n")

    def function(x: int) -> Any:
        sys.path.append(str(tmp_path))
        import module_of_the_job  # type: ignore[import-not-found]

        return module_of_the_job.Thing() if x == 0 else x

    m = condormap(function, range(2), pool=pool)
    with pytest.raises(RemoteError, match=r"item 0 cannot be unpickled here: ModuleNotFoundError"):
        m[0]
    assert [type(result) for result in m.results("return")] == [RemoteError, int]
    assert m.results("skip") == [1]


# -- time-outs -------------------------------------------------------------------------------------------------


def test_a_timeout_is_an_error_that_leaves_the_map_usable(pool: PersonalPool, gate: Gate) -> None:
    def function(x: int) -> int:
        if x == 1:
            gate.wait()
        return x

    m = condormap(function, range(2), pool=pool, chunksize=1)
    assert m[0] == 0
    before = time.monotonic()
    with pytest.raises(
        WaitTimeoutError, match=r"item 1 had no outcome when the time was over \(1 of 2 items"
    ):
        m.results(timeout=0.3)
    with pytest.raises(TimeoutError):
        m.results("return", timeout=0)
    assert not m.wait(timeout=0.1)
    assert time.monotonic() - before > 0.3
    gate.open()
    assert m.wait(timeout=20)
    assert m.results(timeout=0) == [0, 1]


def test_an_item_that_takes_too_long_costs_itself_only(pool: PersonalPool) -> None:
    def function(x: int) -> int:
        if x == 1:
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            threading.Event().wait()
        return x

    m = condormap(function, range(4), pool=pool, chunksize=4, item_timeout=1)
    assert m.results("skip", timeout=30) == [0, 2, 3]
    with pytest.raises(ItemTimeoutError, match=r"item 1, job .* longer than item_timeout=1 allows"):
        m[1]
    assert m.failed() == [1]


# -- a job that gives no outcome -------------------------------------------------------------------------------


def killing_its_job(number: signal.Signals, gate: Gate) -> Callable[[int], int]:
    """Return a function that ends its whole job at item 2, when the gate is open."""

    def function(x: int) -> int:
        if x == 2:
            print("last words", file=sys.stderr, flush=True)
            gate.wait()
            os.kill(os.getppid(), number)
            time.sleep(60)
        return x

    return function


@pytest.mark.parametrize(
    ("number", "words"),
    [(signal.SIGKILL, "was killed by signal 9"), (signal.SIGTERM, "exited with code 143")],
)
def test_a_job_that_dies_says_how_with_the_end_of_its_stderr(
    pool: PersonalPool, gate: Gate, number: signal.Signals, words: str
) -> None:
    m = condormap(killing_its_job(number, gate), range(4), pool=pool, chunksize=4)
    assert m[:2] == [0, 1]  # so they are on disk
    gate.open()
    assert m.wait(timeout=30)
    with pytest.raises(
        JobDiedError, match=rf"(?s)job .* on .* {words} and left no outcome.*last words"
    ) as caught:
        m[2]
    assert caught.value.items == range(4)
    assert caught.value.job == m.jobs[0].id
    assert m[:2] == [0, 1]
    assert m.status == {ItemState.RESULT: 2, ItemState.ERROR: 2}
    assert m.results("skip") == [0, 1]
    assert [item.index for item in m.as_completed()] == [0, 1, 2, 3]


@pytest.fixture
def disposable() -> Iterator[PersonalPool]:
    """A pool of its own for a job that cannot be started: HTCondor's starter hangs over it for 40 s."""
    with PersonalPool(cpus=1, memory=2048, fsync=False, settings={"KILLING_TIMEOUT": "1"}) as pool:
        yield pool


def test_a_job_that_cannot_start_is_held_and_says_why(
    disposable: PersonalPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = disposable
    condormap(abs, [1], pool=pool).wait()  # so that the process for calls to HTCondor has its Python
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/no/such/python")
        m = condormap(abs, [-1, -2], pool=pool, chunksize=2)
    with pytest.raises(
        JobHeldError, match=r"is on hold: the program, or the interpreter.*is not there.*/no/such/python"
    ):
        m.wait(timeout=30)
    with pytest.raises(JobHeldError) as caught:
        m[1]
    assert (caught.value.code, caught.value.subcode) == (6, 2)
    assert (caught.value.job, caught.value.items) == (m.jobs[0].id, range(2))
    assert m.status == {ItemState.HELD: 2}
    m.remove()
    assert m.wait(timeout=30)
    with pytest.raises(JobRemovedError):
        m[0]


@pytest.mark.parametrize(
    ("damage", "error", "words"),
    [
        (lambda path: path.write_bytes(b"x" * 1000), StorageError, "cannot be read: .* has no outcome frame"),
        (lambda path: os.truncate(path, 20), JobDiedError, "its outcome file was cut off or removed"),
    ],
    ids=["garbage", "cut off"],
)
def test_a_damaged_outcome_file_is_told_and_a_retry_computes_what_it_had(
    pool: PersonalPool, damage: Callable[[Path], None], error: type[Exception], words: str
) -> None:
    m = condormap(abs, range(-4, 0), pool=pool, chunksize=2)
    assert m.wait(timeout=30)
    (path,) = m.path.glob("submissions/0/outcomes/0/0.0")
    damage(path)
    again = load(m.tag)
    with pytest.raises(error, match=rf"items 0 to 1.*{words}.*m\.retry\(\) runs these items again"):
        again.results(timeout=30)
    assert again.failed() == [0, 1]
    assert again.retry().results(timeout=30) == [4, 3, 2, 1]


def test_outcomes_that_were_deleted_are_a_storage_error(pool: PersonalPool) -> None:
    m = condormap(abs, [-1], pool=pool)
    m.wait()
    for path in m.path.glob("submissions/0/outcomes/0/*"):
        path.unlink()
    with pytest.raises(StorageError, match="the outcome of item 0 cannot be read"):
        m[0]


def test_a_map_whose_folder_was_deleted_says_so(pool: PersonalPool, gate: Gate) -> None:
    m = condormap(lambda _: gate.wait(), [0], pool=pool)
    shutil.rmtree(m.path)
    with pytest.raises(StorageError, match="condor_rm"):
        m.wait(5)
    assert "unknown" in repr(m)
    m.remove()


def test_a_personal_pool_has_no_gpus(pool: PersonalPool) -> None:
    with pytest.raises(ImpossibleRequestError, match="gpus=1"):
        condormap(abs, [1], pool=pool, gpus=1)
