"""A map and its event log: followed from a saved place, and not needed where it is damaged."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Gate

from condormap import ItemState, PersonalPool, condormap, load
from condormap.store import EVENTS_FILE

SUBMITTED = "Job submitted from host: <127.0.0.1:4>\n    condormap {} {}\n"
RUNS = "Job executing on host: <127.0.0.1:4>\n\tSlotName: slot1@here\n"
ENDED = "Job terminated.\n\t(1) Normal termination (return value {})\n"


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
