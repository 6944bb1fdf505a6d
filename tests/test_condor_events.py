"""Reading job event logs: every event once, from any offset, never waiting, and damage is said."""

from __future__ import annotations

import datetime
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from condormap import errors
from condormap.address import PoolAddress
from condormap.condor import Condor, Event

FACTORY = Path(__file__).parent / "data" / "factory.log"  # a factory of 6 jobs, from its submit to its end
SUBMIT = "000 ({:03d}.000.000) 2026-11-22 06:18:01 Job submitted from host: <127.0.0.1:4>\n...\n"


@pytest.fixture(scope="module")
def condor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Condor]:
    """A client without any daemon: reading a log needs none."""
    config = tmp_path_factory.mktemp("config") / "condor_config"
    config.write_text("")
    condor = Condor(PoolAddress(config))
    yield condor
    condor.close()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return Path(shutil.copy(FACTORY, tmp_path / "log"))


def append(log: Path, text: str) -> None:
    with log.open("a") as file:
        file.write(text)


def test_every_event_of_a_factory_is_read_in_order(condor, log):
    events, offset, damaged = condor.events(log, 0)
    assert [event.type for event in events if event.proc == -1] == [35, 36]
    assert [event.proc for event in events if event.type == 0] == [0, 1, 2, 3, 4, 5]
    assert sorted(event.proc for event in events if event.type == 5) == [0, 1, 2, 3, 4, 5]
    assert {event.cluster for event in events} == {1}
    assert (offset, damaged) == (log.stat().st_size, None)


def test_the_attributes_of_an_event_are_plain_values(condor, log):
    events = condor.events(log, 0).events
    ended = next(event for event in events if event.type == 5)
    assert ended.info["TerminatedNormally"] is True
    assert ended.info["ReturnValue"] == 0
    assert ended.info["TotalSentBytes"] == 0.0
    assert events[0].info["StructuredNotes"] == {"JobBatchName": "x"}
    json.dumps([event.info for event in events])


def test_the_time_of_an_event_is_local_time(condor, log):
    local = datetime.datetime(2026, 11, 22, 6, 18, 1).astimezone()
    assert condor.events(log, 0).events[0].time == local.timestamp()


def test_a_time_that_ends_in_z_is_utc_wherever_this_machine_is(monkeypatch, tmp_path, log):
    monkeypatch.setenv("TZ", "America/Chicago")
    time.tzset()
    try:
        (tmp_path / "condor_config").write_text("")
        log.write_text(SUBMIT.format(1).replace("06:18:01", "06:18:01Z"))
        condor = Condor(PoolAddress(tmp_path / "condor_config"))
        (event,) = condor.events(log, 0).events
        condor.close()
        assert event.time == datetime.datetime(2026, 11, 22, 6, 18, 1, tzinfo=datetime.UTC).timestamp()
    finally:
        monkeypatch.undo()
        time.tzset()


def test_reading_on_from_an_offset_gives_each_event_once(condor, log):
    whole = condor.events(log, 0).events
    read: list[Event] = []
    offset = 0
    while True:
        batch = condor.events(log, offset, limit=4)
        if not batch.events:
            break
        assert len(batch.events) <= 4
        read += batch.events
        offset = batch.offset
    assert read == whole


def test_another_process_reads_on_from_a_saved_offset(condor, log, tmp_path):
    first = condor.events(log, 0, limit=10)
    condor.close()  # the reader is gone with its process
    assert first.events + condor.events(log, first.offset).events == condor.events(log, 0).events


def test_events_that_are_appended_are_read_by_the_next_call(condor, log):
    offset = condor.events(log, 0).offset
    assert condor.events(log, offset) == ([], offset, None)
    append(log, SUBMIT.format(7))
    assert [event.cluster for event in condor.events(log, offset).events] == [7]


def test_an_event_that_is_half_written_is_left_for_the_next_call(condor, log):
    offset = condor.events(log, 0).offset
    text = SUBMIT.format(7)
    append(log, text[:30])
    assert condor.events(log, offset) == ([], offset, None)
    append(log, text[30:])
    batch = condor.events(log, offset)
    assert [event.cluster for event in batch.events] == [7]
    assert batch.damaged is None


@pytest.mark.parametrize(
    "garbage",
    [
        "garbage\n",
        "garbage\n...\n",
        "\0" * 500,
        "000 (001.000.0",  # torn, and the next event written behind it
        "001 (001.000.000) 2026-11-22 06:18:01 Job executing on host: <127.0.0.1:4>\n",  # its end is missing
    ],
)
def test_damage_inside_a_log_is_said_and_what_follows_is_read(condor, log, garbage):
    offset = condor.events(log, 0).offset
    append(log, garbage + SUBMIT.format(7) + SUBMIT.format(8) + SUBMIT.format(9))
    events, end, damaged = condor.events(log, offset)
    assert [event.cluster for event in events][-2:] == [8, 9]
    assert damaged is not None
    assert "log is damaged" in damaged
    assert end == log.stat().st_size
    assert condor.events(log, end) == ([], end, None)


def test_what_stands_before_damage_is_read(condor, log):
    log.write_text(
        SUBMIT.format(1) + SUBMIT.format(2) + "000 (001.000.0" + SUBMIT.format(3) + SUBMIT.format(4)
    )
    batch = condor.events(log, 0)
    assert [event.cluster for event in batch.events] == [1, 2, 4]
    assert batch.damaged is not None


def test_an_event_of_a_kind_that_is_not_known_yet_is_no_damage(condor, log):
    log.write_text("099 (001.000.000) 2026-11-22 06:18:01 something new\n...\n" + SUBMIT.format(2))
    batch = condor.events(log, 0)
    assert [event.type for event in batch.events] == [99, 0]
    assert batch.damaged is None


def test_a_log_that_got_shorter_is_damaged(condor, log):
    offset = condor.events(log, 0).offset
    os.truncate(log, 188)
    assert condor.events(log, offset)[:2] == ([], offset)
    assert "188 bytes" in str(condor.events(log, offset).damaged)


def test_a_log_that_was_replaced_is_damaged(condor, log):
    offset = condor.events(log, 0).offset
    shutil.copy(log, log.with_name("new"))
    append(log.with_name("new"), SUBMIT.format(7))
    log.with_name("new").replace(log)
    assert "replaced" in str(condor.events(log, offset).damaged)


def test_a_log_that_is_not_there_is_a_storage_error(condor, tmp_path):
    with pytest.raises(errors.StorageError, match="No such file"):
        condor.events(tmp_path / "nothing", 0)


def test_an_empty_log_has_no_events(condor, tmp_path):
    (tmp_path / "log").touch()
    assert condor.events(tmp_path / "log", 0) == ([], 0, None)


def test_text_of_users_comes_through_unchanged(condor, log):
    append(
        log,
        '012 (001.000.000) 2026-11-22 06:18:01 Job was held.\n\tsaid "ü\\n" \\\n\tCode 1 Subcode 0\n...\n',
    )
    held = condor.events(log, 0).events[-1]
    assert held.info["HoldReason"] == 'said "ü\\n" \\'


def test_text_that_is_not_utf8_is_replaced_and_the_event_is_read(condor, log):
    before = condor.events(log, 0)
    held = b"012 (001.000.000) 2026-11-22 06:18:01 Job was held.\n\tno caf\xe9\n\tCode 1 Subcode 0\n...\n"
    with log.open("ab") as file:
        file.write(SUBMIT.format(7).encode() + held + SUBMIT.format(8).encode())
    events, _, damaged = condor.events(log, before.offset)
    assert [event.type for event in events] == [0, 12, 0]
    assert events[1].info["HoldReason"] == "no caf\N{REPLACEMENT CHARACTER}"
    assert damaged is None


def test_many_logs_can_be_read_in_turn(condor, tmp_path):
    logs = [tmp_path / f"log{i}" for i in range(50)]
    for log in logs:
        log.write_text(SUBMIT.format(1))
    offsets = [condor.events(log, 0).offset for log in logs]
    for log in logs:
        append(log, SUBMIT.format(2))
    read = [condor.events(log, offset).events for log, offset in zip(logs, offsets, strict=True)]
    assert [event.cluster for events in read for event in events] == [2] * 50
