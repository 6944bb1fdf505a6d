"""Holds in words, with advice that works when it is typed; editing jobs in the queue."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Gate
from test_map_steering import until

from condormap import ItemState, PersonalPool, condormap, load
from condormap.condor import connect
from condormap.errors import ImpossibleRequestError, InvalidInputError, JobHeldError
from condormap.holds import HoldInfo, hold


@pytest.fixture(scope="module")
def watchful() -> Iterator[PersonalPool]:
    """A pool that looks at how much memory its jobs use every second."""
    often = {
        "STARTER_INITIAL_UPDATE_INTERVAL": "1",
        "STARTER_UPDATE_INTERVAL": "1",
        "POLLING_INTERVAL": "1",
        "PROCD_MAX_SNAPSHOT_INTERVAL": "1",
    }
    with PersonalPool(cpus=2, memory=4096, fsync=False, settings=often) as pool:
        yield pool


def test_the_advice_for_a_job_that_used_too_much_memory_works_as_it_is_typed(
    watchful: PersonalPool, tmp_path: Path
) -> None:
    def function(x: int) -> int:
        if x == 2:
            ballast = b"x" * (300 << 20)
            ran = tmp_path / "ran"
            if not ran.exists():
                ran.touch()
                time.sleep(60)  # until the execute machine has looked at it, and holds the job
            del ballast
        return x

    m = condormap(function, range(4), pool=watchful, chunksize=4, memory=128)
    with pytest.raises(
        JobHeldError, match=r"it used more memory than it asked for.*m\.edit\(memory='256MB'\)"
    ):
        m.wait(timeout=60)
    (held,) = m.holds()
    assert (held.job, held.items, held.code, held.subcode) == (m.jobs[0].id, range(2, 4), 21, 102)
    assert held.words.startswith("used 3")
    assert held.words.endswith(" MB of 128 MB")
    assert str(held) == f"held: {held.words}; {held.advice}"
    assert held.advice == "m.edit(memory='512MB'); m.release()"
    exec(held.advice, {"m": m})
    assert m.results(timeout=60) == [0, 1, 2, 3]
    assert m.holds() == []


@pytest.mark.parametrize(
    ("code", "subcode", "ad", "words"),
    [
        (
            34,
            102,
            {"RequestMemory": 512, "ResidentSetSize": 612 * 1024},
            "used 612 MB of 512 MB; m.edit(memory='1GB')",
        ),
        (
            34,
            102,
            {"RequestMemory": 512, "ResidentSetSize": 1 << 20},
            "used 1024 MB of 512 MB; m.edit(memory='2GB')",
        ),
        (34, 102, {}, "it used more memory than it asked for (why); m.edit(memory='1GB'); m.release()"),
        (
            34,
            104,
            {"RequestDisk": 3 << 20, "DiskUsage": 4 << 20},
            "used 4096 MB of 3072 MB; m.edit(disk='6GB')",
        ),
        (1, 0, {}, "held by a user (why); m.release()"),
        (6, 2, {}, "the program, or the interpreter in its first line, is not there (why); check the path"),
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
