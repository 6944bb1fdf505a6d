"""Hold, release, remove, Ctrl-C: steering the jobs of a map, and a handle that stays usable."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import psutil
import pytest
from conftest import Gate

from condormap import CondorMap, ItemState, JobGroup, JobStatus, PersonalPool, condormap, load
from condormap.condor import connect
from condormap.errors import JobHeldError, JobRemovedError


def until(condition: Callable[[], Any], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def m(pool: PersonalPool, gate: Gate) -> CondorMap:
    """A map of one job: items 0 and 1 are finished, item 2 waits for the gate, item 3 for item 2."""

    def function(x: int) -> int:
        if x == 2:
            gate.wait()
        return x

    m = condormap(function, range(4), pool=pool, chunksize=4)
    assert m[:2] == [0, 1]
    return m


# -- hold and release ------------------------------------------------------------------------------------------


def test_a_held_map_says_so_and_completes_after_release(m: CondorMap, gate: Gate) -> None:
    assert m.hold(reason="coffee")["TotalSuccess"] >= 1
    with pytest.raises(
        JobHeldError, match=r"items 0 to 3\) is on hold: .*coffee.*; m\.release\(\)"
    ) as caught:
        m.wait(timeout=20)
    assert caught.value.code == 1
    with pytest.raises(JobHeldError):
        m[2]
    assert m[1] == 1
    assert m.status == {ItemState.RESULT: 2, ItemState.HELD: 2}
    assert m.wait(timeout=20, holds_ok=True)
    assert [item.state for item in m.as_completed()] == ["result", "result", "held", "held"]
    gate.open()
    assert m.release()["TotalSuccess"] >= 1
    assert m.results(timeout=20) == [0, 1, 2, 3]


def test_jobs_that_a_factory_has_not_made_are_held_and_released_too(pool: PersonalPool, gate: Gate) -> None:
    m = condormap(lambda x: gate.wait() or x, range(9), pool=pool, chunksize=1)
    m.hold()
    until(lambda: m.status == {ItemState.HELD: 9})
    with pytest.raises(JobHeldError):
        m[8]
    gate.open()
    m.release()
    assert m.results(timeout=30) == list(range(9))


def test_iteration_goes_on_after_a_hold(m: CondorMap, gate: Gate) -> None:
    results = iter(m)
    assert [next(results), next(results)] == [0, 1]
    m.hold()
    with pytest.raises(JobHeldError):
        next(results)
    gate.open()
    m.release()
    assert next(results) == 3
    assert m[2] == 2


def test_a_job_that_was_submitted_on_hold_is_found_by_the_check_of_a_long_wait(pool: PersonalPool) -> None:
    m = condormap(abs, [-1], pool=pool, submit={"hold": "true"})
    until(lambda: m.status and len(m._state.jobs))
    m._state.compare_with_queue()  # what a wait does after 15 s of silence: the log does not tell of this
    with pytest.raises(JobHeldError, match="held at the user's request, at submission"):
        m.wait(timeout=10)
    m.release()
    assert m.results(timeout=20) == [1]


def test_the_jobs_of_a_map_are_a_group_that_is_steered_alike(m: CondorMap, gate: Gate) -> None:
    assert isinstance(m.jobs, JobGroup)
    assert m.jobs.hold("a break")["TotalSuccess"] >= 1
    assert set(m.jobs.status.values()) == {JobStatus.HELD}
    with pytest.raises(JobHeldError, match="a break"):
        m.wait()
    gate.open()
    m.jobs.release()
    assert m.results(timeout=30) == [0, 1, 2, 3]
    assert m.jobs.wait(30)
    assert set(m.jobs.exit_code.values()) == {0}
    assert m.jobs[0]["Owner"] == m.jobs.ad[m.jobs[0]]["Owner"]


def test_a_map_whose_jobs_were_released_as_a_group_is_not_held(pool: PersonalPool, gate: Gate) -> None:
    m = condormap(lambda x: gate.wait() or x, range(40), chunksize=1, pool=pool)
    m.jobs.hold()
    until(lambda: m.status[ItemState.HELD])
    m.jobs.release()  # the log will tell of it in a moment
    assert m.status[ItemState.HELD] == 0
    m.jobs.remove()


# -- remove ----------------------------------------------------------------------------------------------------


def test_results_that_are_there_stay_when_the_jobs_are_removed(m: CondorMap) -> None:
    assert m.remove(reason="no longer wanted")["TotalSuccess"] >= 1
    assert m.wait(timeout=20)
    assert m[:2] == [0, 1]
    with pytest.raises(JobRemovedError, match=r"was removed from the queue: .*no longer wanted") as caught:
        m[3]
    assert caught.value.items == range(4)
    assert m.status == {ItemState.RESULT: 2, ItemState.REMOVED: 2}
    assert m.results("skip") == [0, 1]
    assert list(load(m.tag).errors()) in ([], [2, 3])


def test_what_was_removed_long_ago_is_known_at_once(pool: PersonalPool, gate: Gate) -> None:
    m = condormap(lambda _: gate.wait(), range(200), pool=pool, chunksize=1)
    until(lambda: m.status[ItemState.RUNNING])
    m.remove()
    until(lambda: m.status[ItemState.REMOVED] == 200)
    log = m.path / "events.log"
    os.utime(log, (log.stat().st_atime, log.stat().st_mtime - 60))
    assert load(m.tag).status == {ItemState.REMOVED: 200}


def test_jobs_that_a_factory_had_not_made_are_removed_too(pool: PersonalPool, gate: Gate) -> None:
    m = condormap(lambda _: gate.wait(), range(12), pool=pool, chunksize=1)
    m.remove()
    assert m.wait(timeout=30)
    assert m.status == {ItemState.REMOVED: 12}
    with pytest.raises(JobRemovedError, match="removed from the queue before it made a job for these items"):
        m[11]
    assert connect(pool.address).query(f'CondormapMap == "{m._record.id}"', cluster_ads=True) == []


def test_a_finished_map_has_nothing_to_hold(pool: PersonalPool) -> None:
    m = condormap(abs, [-1], pool=pool)
    assert list(m) == [1]
    until(lambda: m.hold()["TotalSuccess"] == 0)
    assert list(m) == [1]


# -- vacate ----------------------------------------------------------------------------------------------------


def test_a_vacated_job_goes_on_where_it_stopped(m: CondorMap, gate: Gate) -> None:
    assert m.vacate()["TotalSuccess"] == 1
    until(lambda: len(list(m.path.glob("submissions/0/outcomes/0/0.*"))) == 2)
    gate.open()
    assert m.results(timeout=20) == [0, 1, 2, 3]
    assert [item.attempt for item in sorted(m.as_completed(), key=lambda item: item.index)] == [0, 0, 1, 1]


# -- Ctrl-C and the processes behind ---------------------------------------------------------------------------


INTERRUPTED = """
import os, signal, sys, time
from condormap import condormap

def wait_for(path):
    while not os.path.exists(path):
        time.sleep(0.01)
    return "opened"

m = condormap(wait_for, [GATE], tag=TAG, progress=False)
waits = {"list": lambda: list(m), "index": lambda: m[0], "wait": m.wait, "results": m.results,
         "return": lambda: m.results("return"), "as_completed": lambda: list(m.as_completed())}
for name, wait in waits.items():
    print(name, flush=True)
    try:
        wait()
    except KeyboardInterrupt:
        print("interrupted", sum(m.status.values()), flush=True)
print("jobs", [job.id for job in m.jobs], m.tag, flush=True)
input()
print(list(m), flush=True)
"""


def test_ctrl_c_leaves_the_jobs_running_and_the_handle_usable(
    start_script: Callable[..., subprocess.Popen[str]], gate: Gate, pool: PersonalPool
) -> None:
    process = start_script(f"GATE, TAG = {str(gate.path)!r}, None\n{INTERRUPTED}", stdin=subprocess.PIPE)
    assert process.stdin
    assert process.stdout
    for name in ("list", "index", "wait", "results", "return", "as_completed"):
        assert process.stdout.readline() == f"{name}\n"
        line, tries = "", 0
        while not line.startswith("interrupted"):
            time.sleep(0.15)  # so that the wait has begun: in it, or just before it, the interrupt ends it
            process.send_signal(signal.SIGINT)
            line, tries = process.stdout.readline(), tries + 1
            assert tries < 3
        assert line == "interrupted 1\n"
    told = process.stdout.readline()
    match = re.fullmatch(r"jobs \['(\d+\.\d+)'\] (\S+)\n", told)
    assert match, told
    (ad,) = connect(pool.address).query(f"ClusterId == {match[1].partition('.')[0]}")
    assert ad["JobStatus"] in (1, 2)
    assert load(match[2]).status[ItemState.RESULT] == 0
    gate.open()
    out, err = process.communicate("\n", timeout=30)
    assert (out, err, process.returncode) == ("['opened']\n", "", 0)


def test_the_map_outlives_the_process_that_submitted_it(
    start_script: Callable[..., subprocess.Popen[str]], gate: Gate
) -> None:
    process = start_script(
        f"GATE, TAG = {str(gate.path)!r}, 'interrupted'\n{INTERRUPTED}", stdin=subprocess.PIPE
    )
    assert process.stdout
    assert process.stdout.readline() == "list\n"
    process.kill()
    process.wait()
    m = load("interrupted")
    assert not m.wait(timeout=0.1)
    gate.open()
    assert m.results(timeout=30) == ["opened"]


def test_the_process_for_calls_is_replaced_when_it_was_killed(m: CondorMap, gate: Gate) -> None:
    children = [
        each
        for each in psutil.Process().children()
        if any("condormap.condor.child" in word for word in each.cmdline())
    ]
    assert children
    for child in children:
        child.kill()
    gate.open()
    assert m.results(timeout=20) == [0, 1, 2, 3]
    until(lambda: m.jobs[0].status == JobStatus.COMPLETED)


def test_a_forked_process_can_use_the_handle_too(m: CondorMap, gate: Gate) -> None:
    code = os.fork()
    if code == 0:
        try:
            os._exit(0 if m[:2] == [0, 1] and m.status[ItemState.RESULT] == 2 else 1)
        except BaseException as error:
            print(error, file=sys.stderr)
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(code, 0)[1]) == 0
    gate.open()
    assert m.results(timeout=20) == [0, 1, 2, 3]


def test_jobs_that_are_vacated_fast_run_again_and_lose_nothing(pool: PersonalPool, gate: Gate) -> None:
    m = condormap(lambda x: gate.wait() or x, [1, 2], chunksize=1, pool=pool)
    until(lambda: m.status[ItemState.RUNNING] == 2)
    connect(pool.address).act("vacate-fast", jobs=[m.jobs[0].id.partition(".")[0]])
    until(lambda: m.status[ItemState.IDLE])
    gate.open()
    assert m.results(timeout=60) == [1, 2]
