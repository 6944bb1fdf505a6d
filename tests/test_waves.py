"""Maps whose jobs are sent more data than there is room for: they are submitted as there is room."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import mdtraj
import numpy as np
import pytest
from conftest import Gate
from hypothesis import given
from hypothesis import strategies as st
from test_map_steering import until
from test_trajectory_wepy import path as wepy_file  # noqa: F401
from trajectories import reference, system, trajectory, written

import condormap as package
from condormap import CondorMap, ItemState, PersonalPool, condormap, load, maps
from condormap.address import PoolAddress
from condormap.errors import (
    InvalidInputError,
    JobHeldError,
    JobRemovedError,
    SerializationError,
    StorageError,
    TooManyFailuresError,
    TrajectoryChangedError,
)
from condormap.folders import store
from condormap.folders.locks import locked
from condormap.options import JobOptions
from condormap.payload.carried import LIMIT_VARIABLE, nbytes
from condormap.payload.item_store import write_items
from condormap.payload.slices import nbytes_with_data, write_slices
from condormap.payload.transfer import Transfer
from condormap.payload.waves import plan_waves, smaller_chunks
from condormap.preparing import write_submissions
from condormap.reducers import Sum
from condormap.submission import Submission, load_submission, redescribe
from condormap.trajectory import Trajectory, WepyH5, compute_observable

LIMIT = 1 << 20
SIZE = 150_000  # six copies take less than the limit, and three less than half of it
N = 12


def copies(n: int = N, size: int = SIZE) -> list[Any]:
    """Return items that stand for data: a job gets its number and the data."""

    class Copy:  # not of a module, which no job could import
        def __init__(self, number: int) -> None:
            self.number = number

        def __condormap_sent__(self) -> tuple[int, bytes]:
            return self.number, bytes(size)

        def __condormap_sent_nbytes__(self) -> int:
            return size

    return [Copy(number) for number in range(n)]


def taken(m: CondorMap) -> int:
    """Return the bytes of all copies in a map's folder."""
    found = 0
    for name in ("slices", ".slices"):
        for path in m.path.glob(f"submissions/*/{name}/*/*"):
            with contextlib.suppress(FileNotFoundError):
                found += path.stat().st_size
    return found


def parts(m: CondorMap) -> list[Any]:
    return [load_submission(folder) for folder in store.submission_folders(m.path)]


@pytest.fixture
def limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LIMIT_VARIABLE, "1 MB")


@pytest.fixture
def mapped(pool: PersonalPool, limited: None) -> Iterator[Callable[..., CondorMap]]:
    """Return `condormap` of jobs that are sent a copy for each item, with room for half of them."""
    made: list[CondorMap] = []

    def mapped(function: Callable[[int], Any], items: Any = None, **options: Any) -> CondorMap:
        options = {"pool": pool, "transfer": "always", "chunksize": 1} | options
        made.append(
            condormap(lambda copy: function(copy[0]), copies() if items is None else items, **options)
        )
        return made[-1]

    yield mapped
    for m in made:
        m.remove()


# -- without a pool ----------------------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 100), max_size=40), st.integers(100, 400), st.data())
def test_waves_have_all_chunks_in_order_and_fit(sizes: list[int], limit: int, data: st.DataObject) -> None:
    room = data.draw(st.integers(0, limit))
    waves = plan_waves(sizes, limit, room, 7)
    assert [number for wave in waves for number in wave.chunks] == list(range(len(sizes)))
    for wave in waves:
        needed = sum(sizes[number] for number in wave.chunks)
        if wave.waits is None:
            assert wave is waves[0]
            assert needed <= room
        else:
            assert needed <= limit // 2 or len(wave.chunks) == 1
            assert (wave.waits.nbytes, wave.waits.limit, wave.waits.is_open) == (needed, 7, True)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=30), st.integers(1, 9), st.integers(1, 40))
def test_large_chunks_are_divided_and_others_stay(sizes: list[int], size: int, most: int) -> None:
    first = 5
    chunks = [range(at, min(at + size, first + len(sizes))) for at in range(first, first + len(sizes), size)]
    found = smaller_chunks(chunks, sizes, most)
    assert [position for chunk in found for position in chunk] == list(range(first, first + len(sizes)))
    for chunk in found:
        assert len(chunk) == 1 or sum(sizes[position - first] for position in chunk) <= most
    fits = [chunk for chunk in chunks if sum(sizes[position - first] for position in chunk) <= most]
    assert set(fits) <= set(found)


def test_what_fits_is_one_wave() -> None:
    (wave,) = plan_waves([30, 30, 40], 100, 100)
    assert (wave.chunks, wave.waits) == (range(3), None)


def test_a_chunk_with_more_than_the_limit_is_refused() -> None:
    with pytest.raises(
        StorageError, match=r"one item alone .*would take more than 0 MB.*Nothing was submitted"
    ):
        plan_waves([10, 101], 100, 100)


@pytest.mark.parametrize("suffix", ["xtc", "trr", "dcd", "nc", "h5"])
@pytest.mark.parametrize("choice", [{}, {"atoms": [1, 5]}, {"frames": [7, 3, 7, 0, 22]}, {"stride": 3}])
def test_the_bytes_of_a_copy_are_known_before_it_is_made(tmp_path: Path, suffix: str, choice: Any) -> None:
    path = written(tmp_path, suffix, trajectory(230))
    chunks = Trajectory(path, top=system(), **choice).chunks(40)
    write_items(tmp_path, [chunks])
    which = [[number] for number in range(len(chunks))]
    told = nbytes_with_data(tmp_path, range(len(chunks)))
    write_slices(tmp_path, tmp_path / "slices", which, "s.")
    for number, told_bytes in enumerate(told):
        really = (tmp_path / "slices" / "0" / f"s.{number}").stat().st_size
        assert really <= told_bytes <= really + 5000


def test_a_part_of_a_chunk_takes_its_part_and_one_with_data_nothing_more(tmp_path: Path) -> None:
    path = written(tmp_path, "dcd", trajectory(100))
    (chunk,) = Trajectory(path, top=system()).chunks(100)
    pieces = list(chunk.split(30))
    assert nbytes(chunk) <= sum(map(nbytes, pieces)) <= nbytes(chunk) + len(pieces)
    assert nbytes(chunk.with_data()) == 0
    assert nbytes((chunk, 1)) == nbytes(chunk)


@pytest.mark.parametrize("fields", [None, ["positions", "velocities", "observables/rg"], ["weights"]])
def test_the_bytes_of_frames_of_a_wepy_file_are_known(wepy_file: str, fields: Any, tmp_path: Path) -> None:  # noqa: F811
    chunks = WepyH5(wepy_file, fields=fields).chunks(100)
    write_items(tmp_path, [chunks])
    which = [[number] for number in range(len(chunks))]
    write_slices(tmp_path, tmp_path / "slices", which, "s.")
    for number, told_bytes in enumerate(nbytes_with_data(tmp_path, range(len(chunks)))):
        assert (tmp_path / "slices" / "0" / f"s.{number}").stat().st_size <= told_bytes


def test_submissions_that_were_made_together_count_together(tmp_path: Path, limited: None) -> None:
    write_items(tmp_path, [copies()])
    record = store.new_record("id", "fit", N, False, "f", PoolAddress(None, "cm.lab.example", None))
    chunks = [range(number, number + 1) for number in range(N)]

    def write() -> list[Submission]:
        sent = Transfer(True, "a test")
        return write_submissions(tmp_path, tmp_path, record, chunks, JobOptions(), slots=2, transfer=sent)

    first, *others = write()
    assert [len(each.chunks) for each in (first, *others)] == [6, 3, 3]
    assert [load_submission(each.folder) for each in (first, *others)] == [first, *others]
    assert store.submission_folders(tmp_path) == [each.folder for each in (first, *others)]
    first.folder.rename(tmp_path / "elsewhere")  # as if the process had been killed before it was there
    assert store.submission_folders(tmp_path) == []
    assert [each.folder for each in write()] == [each.folder for each in (first, *others)]
    assert len(list((tmp_path / "submissions").iterdir())) == 3


def test_what_waits_is_described_anew_with_other_options(tmp_path: Path, limited: None) -> None:
    write_items(tmp_path, [copies()])
    record = store.new_record("id", "fit", N, False, "f", PoolAddress(None, "cm.lab.example", None))
    before, after = JobOptions(memory=100, priority=2), JobOptions(memory=300)
    chunks = [range(number, number + 1) for number in range(N)]
    sent = Transfer(True, "a test")
    *_, last = write_submissions(tmp_path, tmp_path, record, chunks, before, slots=2, transfer=sent)
    text = (last.folder / "submit.sub").read_text()
    redescribe(last, after)
    redescribe(dataclasses.replace(last, options=after), before)
    assert sorted((last.folder / "submit.sub").read_text().splitlines()) == sorted(text.splitlines())
    redescribe(last, after)
    assert "request_memory = 300\n" in (last.folder / "submit.sub").read_text()
    assert "priority" not in (last.folder / "submit.sub").read_text()


# -- results -----------------------------------------------------------------------------------------------------


def test_a_trajectory_of_several_times_the_limit_is_computed(
    pool: PersonalPool, limited: None, tmp_path: Path
) -> None:
    path = written(tmp_path, "dcd", trajectory(5000))
    data = Trajectory(path, top=system())
    m = compute_observable(
        mdtraj.compute_rg, data, chunk_size=500, max_jobs=10, pool=pool, transfer="always", wait=False
    )
    assert len(parts(m)) > 3
    most, is_over = taken(m), threading.Event()

    def watch() -> None:
        nonlocal most
        while not is_over.wait(0.002):
            most = max(most, taken(m))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        found = m.result(timeout=120)
    finally:
        is_over.set()
        thread.join()
    np.testing.assert_array_equal(found, mdtraj.compute_rg(reference(path, system())))
    assert LIMIT / 2 < most <= LIMIT
    assert os.path.getsize(path) > 2 * LIMIT
    assert all(part.cluster is not None for part in parts(m))
    m.remove()


def test_what_fits_is_one_submission_whose_copies_stay(mapped: Callable[..., CondorMap]) -> None:
    m = mapped(lambda number: number, copies(4))
    assert m.results(timeout=60) == [0, 1, 2, 3]
    (part,) = parts(m)
    assert not (part.folder / "waits.json").exists()
    assert len(list(m.path.glob("submissions/0/slices/*/*"))) == 4


def test_one_copy_larger_than_the_limit_is_refused_before_anything_is_submitted(
    mapped: Callable[..., CondorMap],
) -> None:
    with pytest.raises(
        StorageError, match=rf"one item alone .* 1 MB.*\${LIMIT_VARIABLE}.*Nothing was submitted"
    ):
        mapped(lambda number: number, [*copies(4), *copies(1, 2 * LIMIT)], tag="large")
    assert "large" not in [each.tag for each in maps()]


@pytest.mark.parametrize("way", ["iteration", "as_completed", "await", "short waits", "one item"])
def test_whoever_waits_goes_on(mapped: Callable[..., CondorMap], way: str) -> None:
    m = mapped(lambda number: number)
    if way == "iteration":
        assert list(m) == list(range(N))
    elif way == "as_completed":
        assert sorted(item.result() for item in m.as_completed()) == list(range(N))
    elif way == "await":

        async def awaited() -> Any:
            return await m

        assert asyncio.run(awaited()) == list(range(N))
    elif way == "short waits":
        until(lambda: m.wait(0.001), 60)
    else:
        assert m[N - 1] == N - 1
    assert m.results() == list(range(N))


def test_what_waits_is_idle_and_said_to_wait(mapped: Callable[..., CondorMap], gate: Gate) -> None:
    m = mapped(lambda number: gate.wait() or number)
    assert not m.wait(timeout=0.5)
    assert sum(m.status[state] for state in (ItemState.IDLE, ItemState.RUNNING)) == N
    assert "6 of them wait for room" in repr(m)
    m._state.compare_with_queue()
    assert not m._state.all_settled()
    assert (len(m.jobs), m.plan().n_jobs) == (6, 12)
    assert m.failed() == []
    assert m.holds() == []
    with pytest.raises(InvalidInputError, match=r"item 11 is idle, so it may still get a result"):
        m.retry([11])
    (info,) = [each for each in maps() if each.tag == m.tag]
    assert (info.items, info.jobs, info.finished) == (N, N, False)
    gate.open()
    assert m.results(timeout=60) == list(range(N))
    assert "wait for room" not in repr(m)
    assert len(m.jobs) == N


def test_errors_of_all_waves_are_told_and_retried(mapped: Callable[..., CondorMap], tmp_path: Path) -> None:
    mended = tmp_path / "mended"

    def function(number: int) -> int:
        if number % 2 == 0 and not mended.exists():
            raise ValueError(number)
        return number

    m = mapped(function)
    assert m.wait(60)
    assert m.failed() == list(range(0, N, 2))
    mended.touch()
    assert m.retry().results(timeout=60) == list(range(N))


def test_a_retry_of_more_than_there_is_room_for_is_one_retry(
    mapped: Callable[..., CondorMap], tmp_path: Path
) -> None:
    mended = tmp_path / "mended"

    def function(number: int) -> int:
        assert mended.exists(), number
        return number

    m = mapped(function)
    m.wait(60)
    mended.touch()
    before = len(parts(m))
    m.retry(chunksize=1)
    assert [part.wave for part in parts(m)[before:]] == [0, 1, 2]
    assert len({m._state._codes[part.id] for part in parts(m)[before:]}) == 1
    other = load(m.tag)
    assert (
        other.status[ItemState.IDLE] + other.status[ItemState.RUNNING] + other.status[ItemState.RESULT] == N
    )
    assert other.results(timeout=60) == list(range(N))
    assert m.results(timeout=10) == list(range(N))


def test_items_are_added_while_others_wait(mapped: Callable[..., CondorMap], gate: Gate) -> None:
    m = mapped(lambda number: gate.wait() or number)
    m.extend(copies(4), chunksize=1)  # there is no room for any of them
    assert len(m) == N + 4
    assert sum(m.status[state] for state in (ItemState.IDLE, ItemState.RUNNING)) == N + 4
    assert taken(m) <= LIMIT
    gate.open()
    assert m.results(timeout=60) == [*range(N), *range(4)]


def test_jobs_are_made_smaller_where_one_would_take_all_the_room(mapped: Callable[..., CondorMap]) -> None:
    m = mapped(lambda number: number, chunksize=N)
    assert {len(chunk) for part in parts(m) for chunk in part.chunks} == {1}
    assert m.results(timeout=60) == list(range(N))


def test_a_job_that_runs_again_is_sent_its_copy_again(
    mapped: Callable[..., CondorMap], tmp_path: Path, gate: Gate
) -> None:
    def function(number: int) -> int:
        if number < 3 and not (tmp_path / f"{number}").exists():
            (tmp_path / f"{number}").touch()
            os.kill(os.getppid(), signal.SIGKILL)  # the job dies
        if number == 3:
            gate.wait()
        return number

    m = mapped(function, retries=2)
    until(lambda: m.wait(0.01) or m.status[ItemState.RESULT] == N - 1, 60)
    m.vacate()
    gate.open()
    assert m.results(timeout=60) == list(range(N))


# -- steering ----------------------------------------------------------------------------------------------------


def test_what_waits_is_removed_and_never_submitted(mapped: Callable[..., CondorMap], gate: Gate) -> None:
    m = mapped(lambda number: gate.wait() or number)
    other = load(m.tag)
    assert not m.wait(timeout=0.1)
    m.remove(reason="no longer wanted")
    assert m.wait(timeout=60)
    assert m.status == {ItemState.REMOVED: N}
    with pytest.raises(JobRemovedError, match="before it was submitted: no longer wanted"):
        m[N - 1]
    assert other.wait(timeout=60)
    assert load(m.tag).wait(timeout=60)
    assert [part.cluster is None for part in parts(m)] == [False, True, True]
    until(lambda: next(each for each in maps() if each.tag == m.tag).finished)
    gate.open()
    assert m.retry().results(timeout=60) == list(range(N))


def test_what_waits_is_held_until_it_is_released(mapped: Callable[..., CondorMap], gate: Gate) -> None:
    m = mapped(lambda number: gate.wait() or number)
    m.hold(reason="coffee")
    with pytest.raises(JobHeldError, match="coffee"):
        m.wait(timeout=60)
    assert m.status == {ItemState.HELD: N}
    with pytest.raises(JobHeldError, match=r"waits for room, and is on hold: coffee; m\.release\(\)"):
        m[N - 1]
    waiting = m.holds()[-1]
    assert (waiting.job, waiting.items) == ("not submitted", range(6, N))
    gate.open()
    m.release()
    assert m.results(timeout=60) == list(range(N))


def test_nothing_is_submitted_while_it_is_held(mapped: Callable[..., CondorMap]) -> None:
    m = mapped(lambda number: number, copies(30))
    assert m[0] == 0
    m.hold()
    waiting = [part.id for part in parts(m) if part.cluster is None]
    assert waiting
    other = load(m.tag)
    assert other.wait(timeout=60, holds_ok=True)
    assert other.status[ItemState.HELD]
    assert [part.id for part in parts(m) if part.cluster is None] == waiting
    other.release()
    until(lambda: not m.status[ItemState.HELD])  # this handle knows of the release when the log tells of it
    assert m.results(timeout=60) == list(range(30))


def test_jobs_on_hold_that_leave_no_room_end_the_wait(mapped: Callable[..., CondorMap], gate: Gate) -> None:
    m = mapped(lambda number: gate.wait() or number)
    m.jobs.hold()  # those that were submitted
    with pytest.raises(JobHeldError, match="is on hold"):
        m.wait(timeout=60)
    with pytest.raises(JobHeldError, match=r"waits for room, which the copies for jobs on hold take"):
        m[N - 1]
    assert m.status == {ItemState.HELD: N}
    gate.open()
    m.release()
    assert m.results(timeout=60) == list(range(N))


def test_held_items_that_wait_are_retried_with_other_options(
    mapped: Callable[..., CondorMap], gate: Gate
) -> None:
    m = mapped(lambda number: gate.wait() or number)
    m.hold()
    m.wait(timeout=60, holds_ok=True)
    gate.open()
    m.retry(memory=300)
    assert m.results(timeout=60) == list(range(N))
    assert [part.cluster is None for part in parts(m)[:3]] == [False, True, True]
    assert {part.options.memory for part in parts(m)[3:]} == {300}


def test_edit_changes_what_is_submitted_later(mapped: Callable[..., CondorMap], gate: Gate) -> None:
    m = mapped(lambda number: gate.wait() or number, priority=1)
    m.edit(memory=200, priority=3)
    gate.open()
    assert m.results(timeout=60) == list(range(N))
    assert {part.options.memory for part in parts(m)} == {200}
    clusters = " || ".join(f"ClusterId == {part.cluster}" for part in parts(m)[1:])
    ads = m._condor.history(clusters, ["RequestMemory", "JobPrio"])
    assert {(ad["RequestMemory"], ad["JobPrio"]) for ad in ads} == {(200, 3)}


def test_too_many_failures_end_what_waits_too(mapped: Callable[..., CondorMap]) -> None:
    def fails(number: int) -> None:
        raise ValueError(number)

    m = mapped(fails, max_failures=2)
    with pytest.raises(TooManyFailuresError, match="of 12 items failed"):
        m.results(timeout=60)
    assert sum(part.cluster is None for part in parts(m)) >= 1
    assert m.status[ItemState.RESULT] == 0
    assert m.status[ItemState.IDLE] == 0


def test_a_result_that_is_good_enough_ends_what_waits_too(mapped: Callable[..., CondorMap]) -> None:
    m = mapped(lambda number: 1, reduce=Sum(), until=lambda total: total >= 2)
    assert m.result(timeout=60) >= 2
    assert m.wait(timeout=60)
    until(lambda: m.status[ItemState.IDLE] == 0)
    assert sum(part.cluster is None for part in parts(m)) >= 1


# -- what goes wrong ---------------------------------------------------------------------------------------------


def test_a_file_that_changes_between_two_waves_is_told(
    pool: PersonalPool, limited: None, tmp_path: Path, gate: Gate
) -> None:
    path = written(tmp_path, "dcd", trajectory(3000))
    data = Trajectory(path, top=system())

    def last(chunk: Any) -> int:
        gate.wait()
        return chunk.frames[-1]

    m = condormap(last, data.chunks(500), pool=pool, transfer="always", chunksize=1)
    stat = os.stat(path)
    os.utime(path, ns=(0, stat.st_mtime_ns + 1))
    gate.open()
    *found, error = m.results("return", timeout=60)
    assert found[:4] == [499, 999, 1499, 1999]
    assert isinstance(error, TrajectoryChangedError)
    assert error.path == path
    os.utime(path, ns=(0, stat.st_mtime_ns))
    assert m.results(timeout=60) == list(range(499, 3000, 500))
    m.remove()


def test_data_that_cannot_be_read_for_a_later_job_is_the_error_of_what_waits(
    mapped: Callable[..., CondorMap], gate: Gate, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.touch()

    class Copy:
        def __init__(self, number: int) -> None:
            self.number = number

        def __condormap_sent__(self) -> tuple[int, bytes]:
            if not source.exists():
                raise ValueError("no source")
            return self.number, bytes(SIZE)

        def __condormap_sent_nbytes__(self) -> int:
            return SIZE

    m = mapped(lambda number: gate.wait() or number, [Copy(number) for number in range(N)])
    source.unlink()
    gate.open()
    with pytest.raises(SerializationError, match="item 6 stands for can't be sent: ValueError: no source"):
        m[N - 1]
    assert m[0] == 0
    source.touch()
    assert m.results(timeout=60) == list(range(N))


def test_a_limit_that_became_too_small_is_told(
    mapped: Callable[..., CondorMap], gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    m = mapped(lambda number: gate.wait() or number, copies(6, 3 * SIZE))
    other = load(m.tag)
    monkeypatch.setenv(LIMIT_VARIABLE, "0.1 MB")
    monkeypatch.setattr("condormap.payload.carried.told_limit", lambda: 1000)
    gate.open()
    with pytest.raises(StorageError, match=r"can't be submitted now: .*take more than 0 MB"):
        other.results(timeout=60)
    assert other.status == {ItemState.RESULT: 2, ItemState.HELD: 4}
    monkeypatch.undo()
    assert other.results(timeout=60) == list(range(6))  # by the limit with which the map was made


# -- several processes -------------------------------------------------------------------------------------------


def test_two_that_wait_submit_each_job_once(mapped: Callable[..., CondorMap], tmp_path: Path) -> None:
    ran = tmp_path / "ran"

    def function(number: int) -> int:
        with ran.open("a") as file:
            file.write(f"{number}\n")
        return number

    m = mapped(function)
    with ThreadPoolExecutor(3) as executor:
        handles = [m, m, load(m.tag)]
        for found in executor.map(lambda each: each.results(timeout=60), handles):
            assert found == list(range(N))
    assert sorted(map(int, ran.read_text().split())) == list(range(N))
    assert clusters_of(m) == sorted(part.cluster for part in parts(m))


def clusters_of(m: CondorMap) -> list[int]:
    """Return the clusters that the pool knows of a map."""
    constraint = f'CondormapMap == "{m._record.id}"'
    found = [
        *m._condor.query(constraint, ["ClusterId"], cluster_ads=True),
        *m._condor.history(constraint, ["ClusterId"]),
    ]
    return sorted({ad["ClusterId"] for ad in found})


def test_another_process_goes_on_while_this_one_holds_the_lock(mapped: Callable[..., CondorMap]) -> None:
    m = mapped(lambda number: number)
    with locked(m.path):
        assert not m.wait(timeout=1)
        assert m._state.n_unsubmitted() == 6
    assert m.results(timeout=60) == list(range(N))


# The process counts what it does with files and sockets, and is killed some milliseconds after a given count.
KILLED = """
import os, signal, sys, threading, time

class Copy:
    def __init__(self, number): self.number = number
    def __condormap_sent__(self): return self.number, bytes(150_000)
    def __condormap_sent_nbytes__(self): return 150_000

def function(copy):
    with open(RAN, "a") as file:
        file.write(f"{copy[0]}\\n")
    return copy[0]

def count(event, args):
    global done
    if event.startswith(("open", "os.", "socket.", "fcntl.", "shutil.", "subprocess.")):
        done += 1
        if done == AT:
            if DELAY:
                threading.Thread(target=lambda: (time.sleep(DELAY), os.kill(os.getpid(), signal.SIGKILL))).start()
            else:
                os.kill(os.getpid(), signal.SIGKILL)

TAG, RAN, AT, DELAY = *sys.argv[1:3], int(sys.argv[3]), float(sys.argv[4])
done = 0
from condormap import condormap
m = condormap(function, map(Copy, range(12)), tag=TAG, chunksize=1, transfer="always")
sys.addaudithook(count)
m.results()
print(done)
"""


def test_a_map_whose_process_is_killed_between_two_waves_goes_on(
    pool: PersonalPool, limited: None, tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(KILLED)
    root = Path(package.__file__).parents[1]
    environment = os.environ | {"CONDOR_CONFIG": str(pool.config_file), "PYTHONPATH": str(root)}

    def run(tag: str, at: int = 0, delay: float = 0.0) -> int:
        run = subprocess.run(
            [sys.executable, str(script), tag, str(tmp_path / tag), str(at), str(delay)],
            env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert run.returncode in (0, -signal.SIGKILL), run.stderr
        return int(run.stdout) if run.returncode == 0 else 0

    done = run("waves-whole")
    chance = random.Random(3)

    def kill(number: int) -> int:
        tag = f"waves-{number}"
        run(tag, 1 + int(chance.uniform(0.2, 1.0) * done), chance.choice([0.0, chance.uniform(0.0, 0.02)]))
        m = load(tag)
        left = m._state.n_unsubmitted()
        assert m.results(timeout=100) == list(range(N))
        assert sorted(map(int, (tmp_path / tag).read_text().split())) == list(range(N))
        assert clusters_of(m) == sorted(part.cluster for part in parts(m))
        return left

    with ThreadPoolExecutor(2) as executor:
        assert len(set(executor.map(kill, range(7)))) > 1
