"""Holds in words, with advice that works when it is typed; editing jobs in the queue."""

from __future__ import annotations

import mmap
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Gate
from test_map_steering import until

from condormap import ItemState, PersonalPool, condormap, load
from condormap.condor import connect
from condormap.errors import ImpossibleRequestError, InvalidInputError, JobHeldError
from condormap.holds import HoldInfo, hold


@pytest.fixture
def watchful() -> Iterator[PersonalPool]:
    """A pool that looks at how much memory its jobs use every second.

    One for each test: a job may get the slot of the one before it, which was given more memory.
    """
    every_second = {
        "STARTER_INITIAL_UPDATE_INTERVAL": "1",
        "STARTER_UPDATE_INTERVAL": "1",
        "POLLING_INTERVAL": "1",
        "PROCD_MAX_SNAPSHOT_INTERVAL": "1",
        "PERIODIC_EXPR_INTERVAL": "1",
    }
    with PersonalPool(cpus=1, memory=2048, fsync=False, settings=every_second) as pool:
        yield pool


def hungry_at_2(x: int) -> int:
    """Use 300 MB at item 2; wait to be held where the slot has less."""
    if x == 2:
        ballast = at_once(300 << 20)
        if memory_of_slot() < 350:
            time.sleep(60)
        ballast.close()
    return x


def at_once(size: int) -> mmap.mmap:
    """Use so much memory from one moment to the next: who measures it meanwhile sees little of it, or all."""
    file = os.memfd_create("ballast")
    for _ in range(size >> 20):
        os.write(file, bytes(1 << 20))
    return mmap.mmap(file, size, mmap.MAP_SHARED | mmap.MAP_POPULATE, mmap.PROT_READ)


def memory_of_slot() -> int:
    ad = Path(os.environ["_CONDOR_MACHINE_AD"]).read_text()
    return int(ad.partition("\nMemory = ")[2].partition("\n")[0])


def test_the_advice_for_a_job_that_used_too_much_memory_works_as_it_is_typed(watchful: PersonalPool) -> None:
    m = condormap(hungry_at_2, range(4), pool=watchful, chunksize=4, memory=128)
    with pytest.raises(JobHeldError, match=r"used more memory than it asked for.*m\.edit\(memory=\.\.\.\)"):
        m.wait(timeout=60)
    (held,) = m.holds()
    assert (held.job, held.items, held.code, held.subcode) == (m.jobs[0].id, range(2, 4), 21, 102)
    used = re.fullmatch(r"used (\d+) MB of 128 MB", held.words)
    assert used is not None
    assert str(held) == f"held: {held.words}; {held.advice}"
    asked = re.fullmatch(r"m\.edit\(memory='(\d+)MB'\); m\.release\(\)", held.advice)
    assert asked is not None
    assert int(asked[1]) > 1.2 * int(used[1])
    exec(held.advice, {"m": m})
    if int(used[1]) < 300:  # it was measured just when the item took its memory: it takes more in the end
        with pytest.raises(JobHeldError, match="used more memory"):
            m.wait(timeout=60)
        exec(m.holds()[0].advice, {"m": m})
    assert m.results(timeout=60) == [0, 1, 2, 3]
    assert m.holds() == []


# -- retry_memory ----------------------------------------------------------------------------------------------


def test_a_job_that_used_too_much_memory_is_tried_again_with_more(watchful: PersonalPool) -> None:
    m = condormap(hungry_at_2, range(4), pool=watchful, chunksize=4, memory=100, retry_memory="1GB")
    assert m.results(timeout=60) == [0, 1, 2, 3]
    attempts = [item.attempt for item in sorted(m.as_completed(), key=lambda item: item.index)]
    assert attempts[:2] == [0, 0]
    assert attempts[2] == attempts[3] > 0
    condor, there = connect(watchful.address), f'CondormapMap == "{m._record.id}"'
    until(lambda: condor.history(there, ["MemoryProvisioned"]))
    assert condor.history(there, ["MemoryProvisioned"])[0]["MemoryProvisioned"] == 400


def test_it_stays_on_hold_when_the_largest_memory_was_too_little_and_the_advice_works(
    watchful: PersonalPool,
) -> None:
    m = condormap(hungry_at_2, range(4), pool=watchful, chunksize=4, memory=100, retry_memory=150)
    with pytest.raises(JobHeldError, match="used more memory"):
        m.wait(timeout=60)
    (held,) = m.holds()
    assert held.words.endswith(" MB of 150 MB")
    exec(held.advice, {"m": m})
    assert m.results(timeout=60) == [0, 1, 2, 3]


def test_a_hold_by_the_user_gives_no_more_memory(pool: PersonalPool, gate: Gate) -> None:
    m = condormap(lambda x: gate.wait() or x, [1], pool=pool, memory=100, retry_memory=200)
    until(lambda: m.status == {ItemState.RUNNING: 1})
    m.hold()
    until(lambda: m.status == {ItemState.HELD: 1})
    m.release()
    until(lambda: m.status == {ItemState.RUNNING: 1})
    (ad,) = connect(pool.address).query(f'CondormapMap == "{m._record.id}"', ["MemoryProvisioned"])
    assert ad["MemoryProvisioned"] == 100


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"memory": 200, "retry_memory": 100}, r"retry_memory must be more than memory \(200 MB\)"),
        ({"retry_memory": "much"}, "retry_memory must be"),
        ({"retry_memory": "1TB"}, "can never"),
        ({"retry_memory": "2GB", "submit": {"Periodic_Release": "true"}}, "give either of them"),
        ({"retries": 1, "submit": {"max_retries": "2"}}, "give either of them"),
        ({"retries": -1}, "retries must be an integer of 0 or more"),
        ({"max_failures": 0}, "max_failures must be an integer of 1 or more"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(
    pool: PersonalPool, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidInputError, match=words):
        condormap(abs, [1], pool=pool, **options)


# -- holds in words --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "subcode", "ad", "words"),
    [
        (
            34,
            102,
            {"MemoryProvisioned": 512, "ResidentSetSize": 612 * 1024},
            "used 612 MB of 512 MB; m.edit(memory='1GB')",
        ),
        (
            34,
            102,
            {"MemoryProvisioned": 512, "ResidentSetSize": 1 << 20},
            "used 1024 MB of 512 MB; m.edit(memory='2GB')",
        ),
        (
            34,
            102,
            {},
            "it used more memory than it asked for (why); m.edit(memory=...) asks for more, m.release()",
        ),
        (
            34,
            104,
            {"RequestDisk": 3 << 20, "DiskUsage": 4 << 20},
            "used 4096 MB of 3072 MB; m.edit(disk='6GB')",
        ),
        (1, 0, {}, "held by a user (why); m.release()"),
        (6, 2, {}, "the program, or the interpreter in its first line, is not there (why); m.remove(); m."),
    ],
)
def test_holds_are_told_in_words_with_what_to_type(
    code: int, subcode: int, ad: dict[str, int], words: str
) -> None:
    told = str(hold(HoldInfo("7.0", code, subcode, "why."), range(3), ad))
    assert told.startswith(f"held: {words}")


def test_each_job_on_hold_is_listed_with_the_items_that_wait_for_it(pool: PersonalPool, gate: Gate) -> None:
    m = condormap(lambda x: gate.wait() or x, range(14), pool=pool, chunksize=1)
    assert m.holds() == []
    m.hold(reason="coffee")
    until(lambda: m.status == {ItemState.HELD: 14})
    holds = m.holds()
    assert [item for hold in holds for item in hold.items] == list(range(14))
    cluster, _, _ = m.jobs[0].id.partition(".")
    assert holds[-1].job == cluster  # for those that it has made no job for
    assert all("coffee" in hold.reason and hold.advice == "m.release()" for hold in holds)
    m.remove()


def test_the_advice_for_an_interpreter_that_cannot_run_moves_all_items_not_just_those_on_hold(
    pool: PersonalPool, tmp_path: Path
) -> None:
    wrong = tmp_path / "python"
    wrong.write_text("#!/no/such/interpreter\n")
    wrong.chmod(0o755)
    m = condormap(abs, range(-14, 0), pool=pool, chunksize=1, python=wrong)
    until(lambda: bool(m.holds()))
    what, _, rest = m.holds()[0].advice.partition(" with the path")
    assert rest
    exec(what.replace("...", repr(sys.executable)), {"m": m})
    right = m._state.submissions[-1]
    assert right.selection is not None
    assert len(right.selection) == 14
    assert m.results(timeout=60) == list(range(14, 0, -1))


# -- edit ------------------------------------------------------------------------------------------------------


def test_edit_changes_the_jobs_that_there_are_and_those_that_are_made_later(
    pool: PersonalPool, gate: Gate
) -> None:
    m = condormap(lambda x: gate.wait() or x, range(14), pool=pool, chunksize=1)
    until(lambda: m.status and len(m._state.jobs) >= 10)
    assert 10 <= m.edit(memory="100MB", priority=2)["TotalSuccess"] <= 12
    gate.open()
    assert m.results(timeout=60) == list(range(14))
    cluster = m._state.submissions[0].cluster
    there, wanted = f"ClusterId == {cluster}", ["ProcId", "RequestMemory", "JobPrio"]
    condor = connect(pool.address)
    until(lambda: len(condor.history(there, wanted)) == 14)
    assert {(ad["RequestMemory"], ad["JobPrio"]) for ad in condor.history(there, wanted)} == {(100, 2)}
    assert m._state.submissions[0].options.memory == "100MB"
    assert load(m.tag)._state.submissions[0].options.priority == 2


def test_what_edit_cannot_change_is_refused(pool: PersonalPool, gate: Gate) -> None:
    m = condormap(lambda x: gate.wait() or x, range(2), pool=pool)
    with pytest.raises(
        InvalidInputError, match=r"cannot change environment of jobs .*m\.retry\(\) with them"
    ):
        m.edit(environment={}, memory=100)
    with pytest.raises(InvalidInputError, match="cannot change nothing"):
        m.edit()
    with pytest.raises(InvalidInputError, match="memory must be"):
        m.edit(memory="much")
    with pytest.raises(ImpossibleRequestError):
        m.edit(memory="1TB")
    gate.open()
    assert m.results(timeout=30) == [0, 1]
    until(lambda: m.status and m._state.jobs.gone)
    with pytest.raises(InvalidInputError, match=r"no job of the map in the queue; m\.retry"):
        m.edit(memory=100)
