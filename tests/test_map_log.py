"""A map and its event log: followed from a saved place, and not needed where it is damaged."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import Gate

from condormap import ItemState, JobStatus, PersonalPool, condormap, load
from condormap.condor import connect
from condormap.condor.logtext import Place
from condormap.errors import JobDiedError, JobLostError, JobRemovedError
from condormap.folders.store import EVENTS_FILE, write_json
from condormap.options import JobOptions
from condormap.state.snapshot import SNAPSHOT_FILE, Snapshot
from condormap.state.tracking import JobTable
from condormap.submission import Submission

ID = "0123456789abcdef"


def until(condition: Callable[[], Any], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# -- damage ----------------------------------------------------------------------------------------------------


def cut_off(log: Path) -> None:
    os.truncate(log, 0)


def cut_in_two(log: Path) -> None:
    os.truncate(log, log.stat().st_size * 2 // 3)


def rotate(log: Path) -> None:
    log.rename(log.with_name("events.log.1"))
    log.touch()


def rotate_away(log: Path) -> None:
    log.rename(log.with_name("events.log.1"))


def fill_with_garbage(log: Path) -> None:
    log.write_bytes(os.urandom(log.stat().st_size) + b"\n...\n")


@pytest.mark.parametrize("harm", [cut_off, cut_in_two, rotate, rotate_away, fill_with_garbage])
def test_a_map_whose_log_is_harmed_while_it_runs_ends_with_all_results(
    pool: PersonalPool, gate: Gate, harm: Callable[[Path], None]
) -> None:
    m = condormap(lambda x: gate.wait() or x, range(5), pool=pool, chunksize=1)
    until(lambda: m.status[ItemState.RUNNING] == 2)
    harm(m.path / EVENTS_FILE)
    gate.open()
    assert m.results(timeout=60) == [0, 1, 2, 3, 4]
    assert "is damaged" in str(m._state.jobs.damage)


@pytest.mark.parametrize("harm", [cut_off, rotate_away, fill_with_garbage])
def test_a_finished_map_whose_log_is_harmed_is_loaded_with_all_results(
    pool: PersonalPool, harm: Callable[[Path], None]
) -> None:
    m = condormap(abs, [-1, -2, -3], pool=pool, chunksize=1)
    assert m.results(timeout=20) == [1, 2, 3]
    harm(m.path / EVENTS_FILE)
    assert load(m.tag).results(timeout=60) == [1, 2, 3]


def test_how_a_job_ended_of_which_the_log_does_not_tell_is_told_by_the_history(
    pool: PersonalPool, gate: Gate
) -> None:
    m = condormap(lambda _: gate.wait() or os.kill(os.getppid(), 9), [1], pool=pool)
    until(lambda: m.status[ItemState.RUNNING])
    gate.open()
    condor, cluster = connect(pool.address), m._state.submissions[0].cluster
    until(lambda: not condor.query(f"ClusterId == {cluster}", cluster_ads=True))
    cut_off(m.path / EVENTS_FILE)
    with pytest.raises(JobDiedError, match="was killed by signal 9"):
        m.results(timeout=60)


def test_that_a_job_was_removed_is_told_by_the_history_where_the_log_is_cut_off(
    pool: PersonalPool, gate: Gate
) -> None:
    m = condormap(lambda x: gate.wait(), [1, 2, 3], pool=pool, chunksize=1)
    until(lambda: m.status[ItemState.RUNNING] == 2)
    m.remove(reason="no longer wanted")
    condor, cluster = connect(pool.address), m._state.submissions[0].cluster
    until(lambda: not condor.query(f"ClusterId == {cluster}", cluster_ads=True))
    cut_off(m.path / EVENTS_FILE)
    with pytest.raises(JobRemovedError, match="no longer wanted"):
        m.results(timeout=60)


def test_where_the_log_is_cut_off_the_schedd_tells_what_runs_and_what_is_held(
    pool: PersonalPool, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    m = condormap(lambda x: gate.wait() or x, [1, 2], pool=pool, chunksize=1)
    until(lambda: m.status == {ItemState.RUNNING: 2})
    cut_off(m.path / EVENTS_FILE)
    assert m.status == {ItemState.RUNNING: 2}
    monkeypatch.setattr(
        "condormap.state.map_state._SILENT", 0.0
    )  # as later: the new handle finds an empty log
    assert load(m.tag).status == {ItemState.RUNNING: 2}
    m.hold()
    cut_off(m.path / EVENTS_FILE)
    until(lambda: load(m.tag).status == {ItemState.HELD: 2})
    gate.open()
    m.release()
    assert load(m.tag).results(timeout=30) == [1, 2]


def test_a_job_of_which_neither_log_nor_history_tell_is_lost(pool: PersonalPool) -> None:
    m = condormap(abs, [-1], pool=pool)
    assert m.results(timeout=20) == [1]
    for outcomes in m.path.glob("submissions/0/outcomes/0/*"):
        outcomes.unlink()
    cut_off(m.path / EVENTS_FILE)
    write_json(m.path / "submissions" / "0" / "cluster.json", {"cluster": 10**6})
    with pytest.raises(JobLostError, match=r"no job for these items is known: .* is damaged"):
        load(m.tag).results(timeout=60)


# -- from one process to the next ------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the log of a cluster of 400 jobs: one is held, one runs, one was killed, one removed."""
    lines = []
    for chunk in range(400):
        lines.append((0, chunk, f"Job submitted from host: <127.0.0.1:4>\n    condormap {ID} {chunk}\n"))
        lines.append((1, chunk, f"Job executing on host: <127.0.0.1:4>\n\tSlotName: slot{chunk % 8}@here\n"))
        if chunk == 0:
            lines.append((12, 0, "Job was held.\n\tcoffee\n\tCode 1 Subcode 2\n"))
        elif chunk == 2:
            lines.append((5, 2, "Job terminated.\n\t(0) Abnormal termination (signal 9)\n"))
        elif chunk == 3:
            lines.append((9, 3, "Job was aborted.\n\tno longer wanted\n"))
        elif chunk > 3:
            lines.append(
                (5, chunk, f"Job terminated.\n\t(1) Normal termination (return value {chunk % 3})\n")
            )
    lines.append((37, -1, "Job Materialization Paused\n\tcoffee for all\n"))
    append(tmp_path, lines)
    return tmp_path


def append(folder: Path, lines: list[tuple[int, int, str]]) -> None:
    with (folder / EVENTS_FILE).open("a") as file:
        for number, proc, body in lines:
            file.write(f"{number:03d} (078.{proc:03d}.000) 2026-11-22 06:18:01 {body}...\n")


def table_of(folder: Path, n_chunks: int = 400) -> JobTable:
    chunks = tuple(range(item, item + 1) for item in range(n_chunks))
    submission = Submission(folder, ID, 0.0, chunks, None, 78, JobOptions())
    return JobTable(folder / EVENTS_FILE, [submission], lambda id, cluster: submission)


def told(table: JobTable) -> list[Any]:
    """Return what a table says of all its jobs."""
    jobs = [table.get(table.submissions[0], chunk) for chunk in range(400)]
    return [
        +table.counts,
        len(table),
        table.paused,
        [
            job and (job.id, job.status, job.host, job.reason, job.code, job.exit_code, job.signal)
            for job in jobs
        ],
    ]


def saved(folder: Path) -> JobTable:
    """Return a table that has read the log, and whose snapshot is in the folder."""
    table = table_of(folder)
    snapshot = Snapshot(folder / SNAPSHOT_FILE, table)
    snapshot.note(table.read())
    assert (folder / SNAPSHOT_FILE).exists()
    return table


def test_a_table_of_jobs_goes_on_where_another_process_was(folder: Path) -> None:
    before, after = saved(folder), table_of(folder)
    Snapshot(folder / SNAPSHOT_FILE, after)
    assert after.read() == 0
    assert told(after) == told(before)
    assert sorted(job.chunk for job in after.started) == list(range(400))
    append(
        folder,
        [(5, 1, "Job terminated.\n\t(1) Normal termination (return value 7)\n"), (38, -1, "Resumed\n")],
    )
    assert after.read() == before.read() == 2
    assert told(after) == told(before)
    assert after.paused == {}
    assert after.damage is None


def test_few_events_are_no_snapshot(folder: Path) -> None:
    table = table_of(folder)
    snapshot = Snapshot(folder / SNAPSHOT_FILE, table)
    snapshot.note(999)
    assert not (folder / SNAPSHOT_FILE).exists()
    snapshot.note(1)
    assert (folder / SNAPSHOT_FILE).exists()


@pytest.mark.parametrize("harm", [b"", b"{}", b"[]", b"garbage", None])
def test_a_damaged_snapshot_is_not_used(folder: Path, harm: bytes | None) -> None:
    before, path = saved(folder), folder / SNAPSHOT_FILE
    path.write_bytes(path.read_bytes().replace(b"coffee", b"cocoa!") if harm is None else harm)
    after = table_of(folder)
    Snapshot(path, after)
    assert after.read() > 1000
    assert told(after) == told(before)


def test_a_snapshot_of_another_version_is_not_used(folder: Path) -> None:
    before, path = saved(folder), folder / SNAPSHOT_FILE
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"version": 2}))
    after = table_of(folder)
    Snapshot(path, after)
    assert after.read() > 1000
    assert told(after) == told(before)


def test_a_snapshot_of_a_log_that_was_cut_off_since_says_so(folder: Path) -> None:
    saved(folder)
    cut_off(folder / EVENTS_FILE)
    after = table_of(folder)
    Snapshot(folder / SNAPSHOT_FILE, after)
    after.read()
    assert "is damaged: it has 0 bytes" in str(after.damage)


def test_events_that_come_again_change_nothing(folder: Path) -> None:
    before, after = saved(folder), saved(folder)
    after._place = Place()  # as where the log was replaced
    assert after.read() > 1000
    assert told(after) == told(before)


def test_a_finished_job_takes_few_bytes(tmp_path: Path) -> None:
    n_jobs = 10_000
    lines = [
        line
        for chunk in range(n_jobs)
        for line in (
            (0, chunk, f"Job submitted from host: <127.0.0.1:4>\n    condormap {ID} {chunk}\n"),
            (1, chunk, f"Job executing on host: <127.0.0.1:4>\n\tSlotName: slot{chunk % 8}@here\n"),
            (5, chunk, "Job terminated.\n\t(1) Normal termination (return value 0)\n"),
        )
    ]
    append(tmp_path, lines)
    table = table_of(tmp_path, n_jobs)
    tracemalloc.start()
    try:
        while table.read():
            table.started.clear()
        now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert table.counts[JobStatus.COMPLETED] == n_jobs
    assert now < 50 * n_jobs
    assert peak < 12_000_000  # some times the megabyte that is read at once


def test_a_map_that_is_loaded_goes_on_at_the_offset_that_was_saved(
    pool: PersonalPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("condormap.state.snapshot._LEAST", 1)
    m = condormap(abs, range(-5, 0), pool=pool, chunksize=1)
    assert m.results(timeout=20) == [5, 4, 3, 2, 1]
    until(lambda: m._state.poll() or m._state.jobs.closed)
    again = load(m.tag)
    assert again._state.jobs._place.offset > 0
    assert again.results(timeout=20) == [5, 4, 3, 2, 1]
    assert again.status == {ItemState.RESULT: 5}


# -- several maps ----------------------------------------------------------------------------------------------


def calling_processes() -> set[int]:
    """Return the children of this process that make its calls to HTCondor."""
    found = set()
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):  # one that an earlier test has left may end meanwhile
            if any("condormap.condor.child" in word for word in child.cmdline()):
                found.add(child.pid)
    return found


def test_ten_waits_at_once_share_one_process_and_leave_no_thread(pool: PersonalPool, gate: Gate) -> None:
    processes, threads = calling_processes(), set(threading.enumerate())
    maps = [condormap(lambda x: gate.wait() or x, [number], pool=pool) for number in range(10)]
    with ThreadPoolExecutor(10) as waiting:
        waits = [waiting.submit(m.results, timeout=60) for m in maps]
        until(lambda: sum(len(m._state.jobs) for m in maps) == 10)  # nobody else reads the logs
        assert len(calling_processes() - processes) <= 1
        gate.open()
        assert [wait.result() for wait in waits] == [[number] for number in range(10)]
    assert len(calling_processes() - processes) <= 1
    assert set(threading.enumerate()) <= threads  # those of earlier tests may end
