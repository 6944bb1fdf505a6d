"""CondorExecutor: what concurrent.futures promises, and what jobs add to it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import dataclasses
import gc
import itertools
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError
from pathlib import Path
from typing import Any

import pytest
from conftest import Gate, daemon

from condormap import CondorExecutor, PersonalPool, clean, condormap, load, maps, patience
from condormap.condor import calls, connect
from condormap.errors import (
    DetachedError,
    ImpossibleRequestError,
    InvalidInputError,
    ItemDiedError,
    JobHeldError,
    JobRemovedError,
    PoolLostError,
    RemoteTraceback,
    SerializationError,
)
from condormap.executor.callqueue import Call, CallQueue
from condormap.executor.executor_map import ExecutorMap
from condormap.executor.future import CondorFuture
from condormap.executor.pace import Pace
from condormap.options import JobOptions
from condormap.payload.chunks import ROUNDS


@pytest.fixture
def executor(pool: PersonalPool) -> Iterator[CondorExecutor]:
    with CondorExecutor(pool=pool) as executor:
        yield executor


@pytest.fixture
def blocked(executor: CondorExecutor, gate: Gate) -> CondorExecutor:
    """Return the executor, with one call that takes the whole pool until the gate is opened."""
    blocker = executor.with_options(cpus=2).submit(gate.wait)
    until(blocker.running)
    return executor


@pytest.fixture(scope="module")
def disposable() -> Iterator[PersonalPool]:
    """Return a pool whose schedd may be harmed."""
    with PersonalPool(cpus=2, fsync=False) as own:
        yield own


def until(condition: Callable[[], Any], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def jobs_in_queue(pool: PersonalPool, executor: CondorExecutor) -> int:
    return len(connect(pool.address).query(f'JobBatchName == "{executor.tag}"', ["ProcId"]))


# -- calls ---------------------------------------------------------------------------------------------------


def test_calls_that_are_submitted_together_become_one_submission_of_few_jobs(
    executor: CondorExecutor,
) -> None:
    futures = [executor.submit(lambda x: x * x, i) for i in range(200)]
    assert [f.result(60) for f in futures] == [i * i for i in range(200)]
    places = {(f.place[0].id, f.place[1]) for f in futures}
    assert len({id for id, _ in places}) < 10
    assert len(places) < 60
    assert [f.index for f in futures] == list(range(200))


def test_calls_that_were_short_before_go_in_fewer_jobs(blocked: CondorExecutor, gate: Gate) -> None:
    def calls_of(function: Callable[[int], int]) -> list[Any]:
        futures = [blocked.with_options(memory="100MB").submit(function, n) for n in range(40)]
        until(lambda: all(f.place is not None for f in futures))
        return futures

    def n_jobs(futures: list[Any]) -> tuple[int, int]:
        return len({f.place[0].id for f in futures}), len({(f.place[0].id, f.place[1]) for f in futures})

    first, jobs_of_first = n_jobs(before := calls_of(abs))
    gate.open()
    assert [f.result(60) for f in before] == list(range(40))
    assert all(f.seconds < 1.0 for f in before)
    second, jobs_of_second = n_jobs(calls_of(abs))
    assert jobs_of_first > 2 * first
    assert jobs_of_second <= 2 * second


def test_calls_that_take_less_than_the_imports_of_a_job_go_in_one_round() -> None:
    def rounds(first: float, others: float, n: int = 16) -> int:
        pace = Pace()
        pace.note("fit", first, first=True)
        for _ in range(3):
            pace.note("fit", others)
        assert pace.rounds(["fit", "another"], 2) == ROUNDS
        return pace.rounds(["fit"] * n, 2)

    assert rounds(first=0.1, others=0.1) == 1
    assert rounds(first=0.3, others=0.3) == ROUNDS
    assert rounds(first=2.3, others=0.3) == 1
    assert rounds(first=2.3, others=0.3, n=100) == ROUNDS
    assert rounds(first=60.0, others=58.0) == ROUNDS


def test_calls_with_other_options_are_jobs_with_these(executor: CondorExecutor) -> None:
    large = executor.with_options(memory="700MB")
    futures = [each.submit(abs, -1) for each in (executor, large, executor, large)]
    assert [f.result(60) for f in futures] == [1] * 4
    assert [f.job["RequestMemory"] for f in futures] == [1024, 700, 1024, 700]


def test_threads_and_callbacks_may_submit(executor: CondorExecutor) -> None:
    results: list[int] = []
    done = threading.Event()

    def then(future: Any) -> None:
        executor.submit(abs, -future.result()).add_done_callback(last)

    def last(future: Any) -> None:
        results.append(future.result())
        if len(results) == 8:
            done.set()

    def submit(n: int) -> None:
        for k in range(2):
            executor.submit(pow, n, k + 1).add_done_callback(then)

    threads = [threading.Thread(target=submit, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    assert done.wait(60)
    for thread in threads:
        thread.join()
    assert sorted(results) == sorted([0, 0, 1, 1, 2, 4, 3, 9])


def test_a_large_array_comes_and_goes(executor: CondorExecutor) -> None:
    import numpy as np

    array = np.arange(300_000.0)
    assert (executor.submit(np.multiply, array, 2).result(60) == 2 * array).all()


def test_an_array_of_many_calls_is_stored_once_and_each_has_its_own(
    blocked: CondorExecutor, gate: Gate
) -> None:
    import numpy as np

    array, others = np.arange(300_000.0), [np.full(300_000, float(n)) for n in range(3)]

    def changed(a: Any, b: Any) -> float:
        a += b
        return float(a.sum())

    futures = [blocked.submit(changed, array, other) for other in others for _ in range(10)]
    until(lambda: futures[-1].index is not None)
    folder = load(blocked.tag).path
    stored = sum(path.stat().st_size for path in folder.glob("executor/arrays-*"))
    assert stored < 2 * 4 * array.nbytes  # calls may go in two submissions
    assert (folder / "items.pkl").stat().st_size < array.nbytes
    gate.open()
    assert [f.result(60) for f in futures] == [array.sum() + n * 300_000 for n in range(3) for _ in range(10)]


def test_any_number_of_pending_calls_has_one_thread(blocked: CondorExecutor, gate: Gate) -> None:
    before = set(threading.enumerate())
    futures = [blocked.submit(abs, -i) for i in range(2000)]
    until(lambda: futures[-1].job is not None or futures[-1].index is not None)
    assert set(threading.enumerate()) <= before  # those of earlier tests may end
    gate.open()
    assert [f.result(60) for f in futures] == list(range(2000))


def test_no_more_jobs_than_max_workers_are_in_the_queue(pool: PersonalPool, gate: Gate) -> None:
    with CondorExecutor(1, pool=pool, chunksize=1) as executor:
        futures = [executor.submit(gate.wait), *(executor.submit(abs, -1) for _ in range(3))]
        until(futures[0].running)
        assert [f.index for f in futures] == [0, None, None, None]
        gate.open()
        assert [f.result(60) for f in futures] == [None, 1, 1, 1]


# -- map -----------------------------------------------------------------------------------------------------


def test_map_takes_endless_iterables_with_a_buffersize(executor: CondorExecutor) -> None:
    taken: list[int] = []
    numbers = (taken.append(i) or i for i in itertools.count())  # type: ignore[func-returns-value]
    results = executor.map(abs, numbers, buffersize=3)
    assert taken == [0, 1, 2]
    assert [next(results), next(results)] == [0, 1]
    assert taken == [0, 1, 2, 3, 4]
    results.close()  # type: ignore[attr-defined]


def test_chunksize_is_how_many_calls_share_a_job(executor: CondorExecutor) -> None:
    pids = list(executor.map(lambda _: os.getppid(), range(9), chunksize=3))
    assert max(len(list(group)) for _, group in itertools.groupby(pids)) == 3


def test_what_a_map_that_is_closed_has_left_is_cancelled(blocked: CondorExecutor, gate: Gate) -> None:
    futures: list[Any] = []
    submit = blocked._submit
    blocked._submit = lambda *args: futures.append(submit(*args)) or futures[-1]  # type: ignore[func-returns-value,method-assign]
    with pytest.raises(TimeoutError):
        next(blocked.map(abs, range(5), timeout=0.1))
    assert all(f.cancelled() for f in futures)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [({"chunksize": 0}, ValueError), ({"buffersize": 0}, ValueError), ({"buffersize": 1.5}, TypeError)],
)
def test_map_refuses_a_wrong_argument(
    executor: CondorExecutor, wrong: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        executor.map(abs, [1], **wrong)


# -- what goes wrong -------------------------------------------------------------------------------------------


def test_an_exception_comes_back_as_itself_with_the_remote_traceback(executor: CondorExecutor) -> None:
    error = executor.submit(divmod, 1, 0).exception(60)
    assert isinstance(error, ZeroDivisionError)
    assert isinstance(error.__cause__, RemoteTraceback)
    assert "calls.py" in str(error.__cause__)


def test_what_cannot_be_pickled_is_the_error_of_its_call_alone(executor: CondorExecutor) -> None:
    lock = threading.Lock()
    futures = [executor.submit(abs, -1), executor.submit(abs, lock), executor.submit(abs, -2)]
    assert [f.result(60) for f in futures[::2]] == [1, 2]
    with pytest.raises(SerializationError, match=r"the call of builtins\.abs cannot be pickled"):
        futures[1].result(60)


def test_a_result_that_cannot_be_pickled_is_an_error(executor: CondorExecutor) -> None:
    with pytest.raises((TypeError, pickle.PicklingError)):
        executor.submit(lambda: (n for n in "abc")).result(60)


def test_a_call_that_kills_its_process_costs_itself_only(executor: CondorExecutor) -> None:
    with pytest.raises(ItemDiedError, match="exited with code 3"):
        executor.submit(os._exit, 3).result(60)
    assert executor.submit(abs, -1).result(60) == 1


def test_what_no_slot_can_give_is_the_error_of_the_call(executor: CondorExecutor) -> None:
    with pytest.raises(ImpossibleRequestError):
        executor.with_options(cpus=64).submit(abs, -1).result(60)
    assert executor.submit(abs, -1).result(60) == 1


def test_wrong_arguments_are_refused(pool: PersonalPool) -> None:
    for wrong in (
        {"max_workers": "5"},
        {"chunksize": 0},
        {"memory": "much"},
        {"max_failures": 3},
        {"initializer": print},
        {"tag": "/"},
    ):
        with pytest.raises(InvalidInputError):
            CondorExecutor(pool=pool, **wrong)


def test_a_schedd_that_is_away_for_a_moment_costs_that_moment(disposable: PersonalPool) -> None:
    with CondorExecutor(pool=disposable) as executor:
        assert executor.submit(abs, -1).result(60) == 1
        daemon(disposable, "condor_schedd").kill()
        assert executor.submit(abs, -2).result(60) == 2


def test_a_pool_that_is_lost_breaks_the_executor_and_loses_no_call(
    monkeypatch: pytest.MonkeyPatch, gate: Gate
) -> None:
    monkeypatch.setattr(patience, "_PATIENCE", 0.5)
    with PersonalPool(cpus=1, fsync=False) as own:
        executor = CondorExecutor(pool=own)
        future = executor.submit(gate.wait)
        until(future.running)
        connect(own.address)  # the executor's
        own.stop()
        late = executor.submit(abs, -1)
        with pytest.raises(PoolLostError, match="has lost its pool: the schedd has not answered") as caught:
            late.result(60)
        assert isinstance(caught.value, BrokenExecutor)
        assert isinstance(future.exception(60), PoolLostError)
        with pytest.raises(PoolLostError):
            executor.submit(abs, -1)
        executor.shutdown()
    assert load(executor.tag)


# -- a submit without an answer ---------------------------------------------------------------------------------


def touch(folder: Path, n: int) -> int:
    with (folder / str(n)).open("a") as file:
        file.write(".")
    return n


def test_calls_whose_submit_had_no_answer_are_made_once(
    disposable: PersonalPool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with CondorExecutor(pool=disposable) as executor:
        assert executor.submit(abs, -1).result(60) == 1
        monkeypatch.setitem(calls.DEADLINES, "submit", 1.0)
        schedd = daemon(disposable, "condor_schedd")
        schedd.suspend()
        futures = [executor.submit(touch, tmp_path, n) for n in range(20)]
        until(lambda: executor._dispatcher._loop.map.unsure is not None)
        assert futures[0].cancel()
        late = executor.submit(touch, tmp_path, 20)
        schedd.resume()
        assert [f.result(60) for f in [*futures[1:], late]] == list(range(1, 21))
    made = {int(path.name): path.read_text() for path in tmp_path.iterdir()}
    assert made == dict.fromkeys(range(1, 21), ".")


def test_calls_that_were_submitted_though_no_answer_came_are_not_submitted_again(
    pool: PersonalPool, tmp_path: Path
) -> None:
    executor_map = ExecutorMap.create("unsure-executor", pool.address)
    queue = CallQueue()
    future = CondorFuture(None)  # type: ignore[arg-type]
    sent = executor_map.send(
        [Call(future, touch, (tmp_path, 1), {}, JobOptions(), "auto")], queue.number, Pace(), limit=9
    )
    assert future.place is not None
    submission = future.place[0]
    (submission.folder / "cluster.json").unlink()  # as if the answer had not come
    executor_map.unsure = (dataclasses.replace(submission, cluster=None), sent)
    assert executor_map.send_unsure() == sent
    assert future.place[0].cluster == submission.cluster
    assert executor_map.unsure is None
    executor_map.close()
    with CondorExecutor.attach("unsure-executor") as executor:
        assert executor.futures[0].result(60) == 1
    assert (tmp_path / "1").read_text() == "."


# -- states of jobs ---------------------------------------------------------------------------------------------


def test_an_evicted_call_stays_running_and_comes_back(executor: CondorExecutor, gate: Gate) -> None:
    future = executor.submit(gate.wait)
    until(future.running)
    assert not future.cancel()
    future.job.vacate()
    until(lambda: "Job was evicted" in future.job.log())
    assert future.running()
    gate.open()
    assert future.result(60) is None


def test_a_held_call_waits_until_it_is_released(executor: CondorExecutor, gate: Gate) -> None:
    future = executor.submit(gate.wait)
    until(future.running)
    future.job.hold("a break")
    until(lambda: future.job.status.name == "HELD")
    gate.open()
    assert not future.done()
    future.job.release()
    assert future.result(60) is None


def test_a_job_that_htcondor_holds_fails_its_call_and_is_removed(
    pool: PersonalPool, executor: CondorExecutor
) -> None:
    policy = executor.with_options(submit={"on_exit_hold": "true"})
    with pytest.raises(JobHeldError, match="held by the job's own policy") as caught:
        policy.submit(lambda: os.kill(os.getppid(), signal.SIGKILL)).result(60)
    assert "the executor removes the job" in "".join(caught.value.__notes__)
    until(lambda: not jobs_in_queue(pool, executor))


def test_a_job_that_is_removed_is_the_error_of_its_call(executor: CondorExecutor, gate: Gate) -> None:
    future = executor.submit(gate.wait)
    until(future.running)
    future.job.remove()
    with pytest.raises(JobRemovedError):
        future.result(60)


# -- cancel ------------------------------------------------------------------------------------------------------


def test_a_cancelled_call_is_not_made_though_it_shares_a_job(
    blocked: CondorExecutor, gate: Gate, tmp_path: Path
) -> None:
    paths = [tmp_path / f"{n}" for n in range(6)]
    together = blocked.with_options(chunksize=6)
    futures = [together.submit(path.touch) for path in paths]
    until(lambda: all(f.job is not None for f in futures))
    assert [f.cancel() for f in futures[::2]] == [True] * 3
    gate.open()
    concurrent.futures.wait(futures, timeout=60)
    assert [f.cancelled() for f in futures] == [True, False] * 3
    assert [path.exists() for path in paths] == [False, True] * 3
    with pytest.raises(CancelledError):
        futures[0].result()


def test_a_job_all_of_whose_calls_are_cancelled_leaves_the_queue(
    pool: PersonalPool, blocked: CondorExecutor
) -> None:
    futures = list(map(blocked.submit, [abs] * 3, [1, 2, 3]))
    until(lambda: all(f.job is not None for f in futures))
    assert jobs_in_queue(pool, blocked) == 4
    assert all(f.cancel() for f in futures)
    until(lambda: jobs_in_queue(pool, blocked) == 1)


def test_a_call_that_is_cancelled_at_once_is_never_submitted(executor: CondorExecutor) -> None:
    future = executor.submit(abs, -1)
    assert future.cancel()
    assert future.cancel()
    done, _ = concurrent.futures.wait([future], timeout=60)
    assert done == {future}
    assert future.index is None


def test_a_call_that_its_job_skipped_although_it_was_not_cancelled_is_made(
    blocked: CondorExecutor, gate: Gate
) -> None:
    future = blocked.submit(abs, -1)
    until(lambda: future.job is not None)
    blocked._dispatcher._loop.map.cancelled.mark(future.index)  # a cancel() that came too late leaves this
    gate.open()
    assert future.result(60) == 1


# -- the end -----------------------------------------------------------------------------------------------------


def test_an_executor_that_is_shut_down_leaves_nothing(pool: PersonalPool, condormap_home: Path) -> None:
    before = set(os.listdir(condormap_home / "data"))
    with CondorExecutor(pool=pool) as executor:
        futures = [executor.submit(abs, -n) for n in range(3)]
    assert [f.result(0) for f in futures] == [0, 1, 2]
    assert set(os.listdir(condormap_home / "data")) == before
    assert executor.tag not in {each.tag for each in maps()}
    assert not jobs_in_queue(pool, executor)
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        executor.submit(abs, -1)


def test_shutdown_can_cancel_what_has_not_begun(blocked: CondorExecutor, gate: Gate) -> None:
    futures = [blocked.submit(abs, -n) for n in range(5)]
    blocked.shutdown(wait=False, cancel_futures=True)
    gate.open()
    concurrent.futures.wait(futures, timeout=60)
    assert all(f.cancelled() for f in futures)


def test_the_jobs_of_calls_that_run_can_be_removed(pool: PersonalPool, gate: Gate) -> None:
    with CondorExecutor(pool=pool, chunksize=1) as executor:
        futures = [executor.submit(gate.wait) for _ in range(4)]
        until(lambda: sum(f.running() for f in futures) == 2)
        executor.terminate_workers()
    assert sorted(f.cancelled() for f in futures) == [False, False, True, True]
    for future in futures:
        if not future.cancelled():
            with pytest.raises(JobRemovedError, match="its executor was terminated"):
                future.result(0)
    assert not jobs_in_queue(pool, executor)


def test_an_interrupt_at_the_end_of_the_interpreter_leaves_the_calls_to_the_pool(
    start_script: Callable[..., Any], pool: PersonalPool, gate: Gate
) -> None:
    process = start_script(
        f"""
        import os, signal, threading, time
        from condormap import CondorExecutor
        from condormap.executor.exiting import interpreter_ends
        def wait():
            while not os.path.exists({str(gate.path)!r}):
                time.sleep(0.01)
            return "here"
        def interrupt():
            while not interpreter_ends():
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGINT)
        threading.Thread(target=interrupt, daemon=True).start()
        CondorExecutor(tag="interrupted-executor").submit(wait)
        """
    )
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert err.startswith(
        "condormap: 1 calls go on in the pool: CondorExecutor.attach('interrupted-executor')"
    )
    gate.open()
    with CondorExecutor.attach("interrupted-executor") as executor:
        assert executor.futures[0].result(60) == "here"


def test_an_interrupted_shutdown_may_be_repeated(executor: CondorExecutor, gate: Gate) -> None:
    future = executor.submit(gate.wait)
    until(future.running)
    main = threading.get_ident()

    def interrupt() -> None:
        stack = [""]
        while "join" not in stack:  # not before it waits
            time.sleep(0.01)
            stack = [frame.f_code.co_name for frame, _ in traceback.walk_stack(sys._current_frames()[main])]
        signal.pthread_kill(main, signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt) as caught:
        executor.shutdown()
    assert "Ctrl-C leaves them to the pool" in caught.value.__notes__[0]
    gate.open()
    executor.shutdown()
    assert future.result(0) is None


def test_an_executor_that_nobody_has_any_more_ends_when_its_calls_have(pool: PersonalPool) -> None:
    executor = CondorExecutor(pool=pool)
    future = executor.submit(abs, -1)
    thread = executor._dispatcher._thread
    assert thread is not None
    del executor
    gc.collect()
    assert future.result(60) == 1
    thread.join(60)
    assert not thread.is_alive()


def test_an_executor_does_not_work_in_a_forked_process(executor: CondorExecutor) -> None:
    pid = os.fork()
    if not pid:
        try:
            executor.submit(abs, -1)
        except RuntimeError as error:
            os._exit(0 if "forked process" in str(error) else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_the_event_loop_of_asyncio_runs_calls_in_it(executor: CondorExecutor) -> None:
    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        return list(await asyncio.gather(*(loop.run_in_executor(executor, abs, -n) for n in range(3))))

    assert asyncio.run(main()) == [0, 1, 2]


# -- detach and attach ------------------------------------------------------------------------------------------


def test_calls_of_an_executor_that_was_detached_are_found_again(pool: PersonalPool, gate: Gate) -> None:
    executor = CondorExecutor(pool=pool, chunksize=1)
    first, second = executor.submit(abs, -1), executor.submit(lambda: gate.wait() or 2)
    third, fourth = executor.submit(abs, -3), executor.submit(divmod, 1, 0)
    concurrent.futures.wait([first, third, fourth], timeout=60)
    tag = executor.detach()
    with pytest.raises(DetachedError, match=rf"CondorExecutor\.attach\('{tag}'\)"):
        second.result(60)
    assert first.result() == 1
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(abs, -1)
    with CondorExecutor.attach(tag) as again:
        assert [f.index for f in again.futures] == [0, 1, 2, 3]
        assert again.submit(abs, -5).result(60) == 5
        assert not again.futures[1].done()
        gate.open()
        assert [f.result(60) for f in again.futures[:3]] == [1, 2, 3]
        assert isinstance(again.futures[3].exception(60), ZeroDivisionError)
    with pytest.raises(InvalidInputError, match="no map with the tag"):
        CondorExecutor.attach(tag)


def test_what_was_cancelled_before_is_cancelled_after_attach(pool: PersonalPool, gate: Gate) -> None:
    executor = CondorExecutor(pool=pool)
    blocker = executor.with_options(cpus=2).submit(gate.wait)
    until(blocker.running)
    together = executor.with_options(chunksize=2)
    futures = [together.submit(abs, -1), together.submit(abs, -2)]
    until(lambda: all(f.job is not None for f in futures))
    assert futures[0].cancel()
    tag = executor.detach()
    with CondorExecutor.attach(tag) as again:
        gate.open()
        assert again.futures[2].result(60) == 2
        assert again.futures[1].cancelled()


def call_that_waits(gate: Gate, tag: str, then: str) -> str:
    """Return a script whose executor has a call that runs until the gate opens; then it goes on with `then`."""
    return f"""
        import os, time
        from condormap import CondorExecutor
        def wait():
            while not os.path.exists({str(gate.path)!r}):
                time.sleep(0.01)
            return "here"
        executor = CondorExecutor(tag={tag!r})
        future = executor.submit(wait)
        while not future.running():
            time.sleep(0.01)
        {then}
        """


def test_calls_of_a_process_that_was_killed_are_found_again(
    start_script: Callable[..., Any], pool: PersonalPool, monkeypatch: pytest.MonkeyPatch, gate: Gate
) -> None:
    process = start_script(
        call_that_waits(gate, "killed-executor", 'print("running", flush=True); future.result()')
    )
    assert process.stdout.readline() == "running\n"
    with pytest.raises(InvalidInputError, match="is in use by another process"):
        CondorExecutor.attach("killed-executor")
    process.kill()
    process.wait()
    with CondorExecutor.attach("killed-executor") as executor:
        gate.open()
        assert executor.futures[0].result(60) == "here"


def test_what_a_process_left_that_was_killed_while_it_left_an_executor_is_cleaned(
    start_script: Callable[..., Any], condormap_home: Path
) -> None:
    process = start_script("""
        import os, signal
        from condormap import CondorExecutor
        rmdir = os.rmdir
        def die_at_last(path, paths=[], **options):
            paths.append(path)
            if len(paths) > 2 and ".gone-" in path:
                os.kill(os.getpid(), signal.SIGKILL)
            rmdir(path, **options)
        with CondorExecutor(tag="left-half") as executor:
            executor.submit(abs, -1).result()
            os.rmdir = die_at_last
        """)
    assert process.wait(60) == -signal.SIGKILL
    (gone,) = (condormap_home / "data").glob(".gone-*")
    assert {gone, condormap_home / "maps" / "left-half"} <= {cleaned.path for cleaned in clean()}
    assert not gone.exists()


def test_the_end_of_the_interpreter_does_not_wait_for_what_a_user_holds(
    start_script: Callable[..., Any], gate: Gate
) -> None:
    process = start_script(call_that_waits(gate, "held-executor", "future.job.hold()"))
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "1 calls are on hold, and stay: CondorExecutor.attach('held-executor')" in err
    gate.open()
    with CondorExecutor.attach("held-executor") as executor:
        until(lambda: executor.futures[0].job is not None)
        executor.futures[0].job.release()
        assert executor.futures[0].result(60) == "here"


def test_only_an_executor_is_attached(pool: PersonalPool) -> None:
    m = condormap(abs, [-1], pool=pool)
    with pytest.raises(InvalidInputError, match=r"executor's, CondorExecutor\.attach"):
        CondorExecutor(pool=pool, tag=m.tag)
    with pytest.raises(InvalidInputError, match=r"is no executor's map, but one of builtins\.abs"):
        CondorExecutor.attach(m.tag)
    with pytest.raises(InvalidInputError, match="no call was submitted"):
        CondorExecutor(pool=pool).detach()


def test_the_first_result_does_not_wait_for_others(executor: CondorExecutor, gate: Gate) -> None:
    futures = [executor.submit(gate.wait), executor.submit(abs, -1)]
    done, waiting = concurrent.futures.wait(futures, timeout=60, return_when=FIRST_COMPLETED)
    assert done == {futures[1]}
    assert waiting == {futures[0]}
