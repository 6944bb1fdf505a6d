"""The fast reader of event logs: it tells what the bindings tell, and what is wrong with a log."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from condormap import PersonalPool
from condormap.address import PoolAddress
from condormap.condor import Action, Condor, connect
from condormap.condor.logtext import LogEvent, LogPart, Place, read_part
from condormap.folders.store import new_id

FACTORY = Path(__file__).parent / "data" / "factory.log"
SUBMIT = "000 ({:03d}.000.000) 2026-11-22 06:18:01 Job submitted from host: <127.0.0.1:4>\n...\n"

# The attributes that are compared; of the events of another kind nothing is wanted.
WANTED: dict[int, tuple[str, ...]] = {
    0: ("LogNotes", "UserNotes"),
    1: ("ExecuteHost", "SlotName"),
    4: (),
    5: ("ReturnValue", "TerminatedBySignal"),
    7: (),
    9: ("Reason",),
    10: (),
    11: (),
    12: ("HoldReason", "HoldReasonCode", "HoldReasonSubCode"),
    13: (),
    24: (),
    36: ("NextProcId",),
    37: ("Reason",),
    38: (),
}


def read_all(log: Path, place: Place | None = None) -> LogPart:
    """Return everything in a log as one part."""
    events: list[LogEvent] = []
    n_events, damage = 0, None
    while True:
        part = read_part(log, place or Place())
        events += part.events
        n_events += part.n_events
        damage = damage or part.damage
        if part.place == place:
            return LogPart(events, n_events, part.place, damage)
        place = part.place


def assert_same(log: Path, condor: Condor) -> set[int]:
    """Compare both readers; return the kinds of events that there were."""
    theirs, offset, damaged = condor.events(log, 0, limit=1_000_000)
    ours = read_all(log)
    assert damaged is None
    assert ours.damage is None
    assert ours.place.offset == offset
    assert ours.n_events == len(theirs)
    wanted = [
        (e.type, e.cluster, e.proc, {name: e.info[name] for name in WANTED[e.type] if name in e.info})
        for e in theirs
        if e.type in WANTED
    ]
    assert ours.events == wanted
    return {event.type for event in theirs}


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


# -- the same as the bindings ----------------------------------------------------------------------------------


def until(condition: Callable[[], Any], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_it_tells_what_the_bindings_tell_of_all_that_a_pool_does_to_jobs(
    pool: PersonalPool, tmp_path: Path
) -> None:
    condor, log = connect(pool.address), tmp_path / "log"
    script = tmp_path / "job.sh"
    script.write_text(f"#!/bin/sh\nwhile [ ! -e {tmp_path}/gate ]; do sleep 0.05; done\n$1\n")
    script.chmod(0o700)

    def submit(what: str, n: int = 1, **more: str) -> str:
        commands = {
            "executable": str(script),
            "arguments": f"\"'{what}'\"",
            "log": str(log),
            "submit_event_user_notes": "condormap 0123abcd $(ProcId)",
            "max_retries": "0",
        }
        text = "".join(f"{name} = {value}\n" for name, value in (commands | more).items())
        return str(condor.submit(text, count=n, submission_id=new_id()).cluster)

    def kinds(cluster: str) -> list[int]:
        part = read_all(log) if log.exists() else LogPart([], 0, Place(), None)
        return [event[0] for event in part.events if event[1] == int(cluster)]

    steered = submit("exit 0")
    until(lambda: 1 in kinds(steered))
    condor.act(Action.SUSPEND, jobs=[steered])
    until(lambda: 10 in kinds(steered))
    condor.act(Action.CONTINUE, jobs=[steered])
    until(lambda: 11 in kinds(steered))
    condor.act(Action.VACATE, jobs=[steered])
    until(lambda: 4 in kinds(steered))
    condor.act(Action.HOLD, jobs=[steered], reason='caf\N{LATIN SMALL LETTER E WITH ACUTE} "quoted" \\ ...')
    until(lambda: 12 in kinds(steered))
    condor.act(Action.RELEASE, jobs=[steered], reason="go on")
    factory = submit("exit 3", 5, max_idle="1", batch_name="some name")
    until(lambda: 0 in kinds(factory))
    condor.act(Action.HOLD, jobs=[factory], reason="the factory too")
    until(lambda: 37 in kinds(factory))
    condor.act(Action.RELEASE, jobs=[factory])
    until(lambda: 38 in kinds(factory))
    removed = submit("exit 0", 3)
    condor.act(Action.REMOVE, jobs=[removed], reason="no longer wanted")
    (tmp_path / "gate").touch()
    killed = submit("kill -9 $$")
    no_such = submit("exit 0", input=str(tmp_path / "nothing"), should_transfer_files="YES")
    until(lambda: 12 in kinds(no_such))
    condor.act(Action.REMOVE, jobs=[no_such])
    until(lambda: 36 in kinds(factory))
    for cluster in (steered, removed, killed, no_such):
        until(lambda: set(kinds(cluster)) & {5, 9})  # noqa: B023
    told = assert_same(log, condor)
    assert {0, 1, 4, 5, 9, 10, 11, 12, 13, 35, 36, 37, 38} <= told


def test_it_tells_what_the_bindings_tell_of_a_factory(condor: Condor) -> None:
    assert {0, 1, 5, 35, 36} <= assert_same(FACTORY, condor)


# A text of one line, as HTCondor writes it: it has made spaces and bars of line ends.
LINES = st.text(st.characters(codec="utf-8", exclude_characters="\n\r\0"), max_size=30)
NOTES = st.one_of(
    LINES.filter(lambda text: not text.strip().startswith(("[", "DAG Node: "))),
    st.sampled_from(["condormap 0123abcd 7", '[ JobBatchName = "x" ]', "WARNING: something"]),
)
IDS = st.tuples(st.integers(1, 10**7), st.integers(-1, 10**6))
HEADS = st.sampled_from(
    ["2026-11-22 06:18:01", "11/22 06:18:01", "2026-11-22 06:18:01.123", "2026-11-22T06:18:01Z"]
)
RUSAGE = "".join(
    f"\t\tUsr 0 00:00:00, Sys 0 00:00:00  -  {what} Usage\n"
    for what in ("Run Remote", "Run Local", "Total Remote", "Total Local")
)
BYTES = "\t0  -  Run Bytes Sent By Job\n\t0  -  Run Bytes Received By Job\n"
CODES = st.integers(0, 2000)
BODIES = st.one_of(
    st.tuples(st.just("000"), st.lists(NOTES.map(lambda text: f"    {text}\n"), max_size=3).map("".join)).map(
        lambda pair: (pair[0], "Job submitted from host: <127.0.0.1:4>\n" + pair[1])
    ),
    st.sampled_from(["slot1@host", "slot1_1@127-0-0-1.local", '"quoted"']).map(
        lambda name: ("001", f"Job executing on host: <127.0.0.1:4?x=y>\n\tSlotName: {name}\n\tCpus = 1\n")
    ),
    st.just(("001", "Job executing on host: <127.0.0.1:4>\n")),
    st.just(("004", "Job was evicted.\n\t(0) CPU times\n" + "".join(RUSAGE.splitlines(True)[:2]) + BYTES)),
    CODES.map(
        lambda code: (
            "005",
            f"Job terminated.\n\t(1) Normal termination (return value {code})\n" + RUSAGE + BYTES,
        )
    ),
    st.integers(1, 64).map(
        lambda number: (
            "005",
            f"Job terminated.\n\t(0) Abnormal termination (signal {number})\n\t(0) No core file\n{RUSAGE}{BYTES}",
        )
    ),
    st.just(("006", "Image size of job updated: 12\n")),
    LINES.map(lambda text: ("007", f"Shadow exception!\n\t{text}\n{BYTES}")),
    LINES.map(lambda text: ("009", f"Job was aborted.\n\t{text}\n")),
    st.just(("009", "Job was aborted.\n")),
    st.just(("010", "Job was suspended.\n\tNumber of processes actually suspended: 1\n")),
    st.just(("011", "Job was unsuspended.\n")),
    st.tuples(LINES, CODES, CODES).map(
        lambda told: ("012", f"Job was held.\n\t{told[0]}\n\tCode {told[1]} Subcode {told[2]}\n")
    ),
    st.just(("012", "Job was held.\n\tReason unspecified\n\tCode 1 Subcode 0\n")),
    LINES.map(lambda text: ("013", f"Job was released.\n\t{text}\n")),
    st.just(
        ("022", "Job disconnected, attempting to reconnect\n    why\n    Trying to reconnect to s <1:2>\n")
    ),
    st.just(("024", "Job reconnection failed\n    why\n    Can not reconnect to slot1, rescheduling job\n")),
    st.just(("036", "Cluster removed\n\tMaterialized 4 jobs from 10 items.\tPaused\n")),
    LINES.map(lambda text: ("037", f"Job Materialization Paused\n\t{text}\n\tPauseCode 1\n\tHoldCode 1\n")),
    st.just(("037", "Job Materialization Paused\n")),
    st.just(("038", "Job Materialization Resumed\n\tby me\n")),
    st.just(("040", "Started transferring input files\n\tTransferring to host: <1:2>\n")),
    st.just(("099", "Something new\n\twith a body\n")),
)


@given(st.lists(st.tuples(IDS, HEADS, BODIES), max_size=12))
@settings(deadline=None, max_examples=150)
def test_it_tells_what_the_bindings_tell_of_any_log(
    condor: Condor, tmp_path_factory: pytest.TempPathFactory, events: list[Any]
) -> None:
    log = tmp_path_factory.mktemp("log") / "log"
    log.write_text(
        "".join(
            f"{number} ({cluster:03d}.{proc:03d}.000) {when} {body}...\n"
            for (cluster, proc), when, (number, body) in events
        ),
        newline="\n",
    )
    assert_same(log, condor)


# -- bounded, and never past what is complete ------------------------------------------------------------------


def clusters(part: LogPart) -> list[int]:
    return [event[1] for event in part.events]


def test_an_event_that_is_half_written_is_left_for_the_next_call(log: Path) -> None:
    place = read_all(log).place
    text = SUBMIT.format(7)
    append(log, text[:-2])
    part = read_part(log, place)
    assert (part.events, part.place.offset, part.damage) == ([], place.offset, None)
    append(log, text[-2:])
    part = read_part(log, part.place)
    assert (clusters(part), part.damage) == ([7], None)


def test_a_large_log_is_read_in_parts(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("".join(SUBMIT.format(cluster) for cluster in range(30_000)))
    first = read_part(log, Place())
    assert 0 < len(first.events) < 30_000
    whole = read_all(log, first.place)
    assert clusters(first) + clusters(whole) == list(range(30_000))


def test_a_place_holds_in_another_process(log: Path) -> None:
    place = read_all(log).place
    append(log, SUBMIT.format(7))
    assert clusters(read_part(log, Place(place.offset, place.tail))) == [7]


# -- damage ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "garbage",
    [
        "garbage\n",
        "garbage\n...\n",
        "0 garbage\n...\n",
        "\0" * 500,
        "\0" * 2_500_000,
        "000 (001.000.0",  # torn, and the next event written behind it
        "005 (001.000.000) 2026-11-22 06:18:01 Job terminated.\n...\n",  # without how
        "001 (001.000.000) 2026-11-22 06:18:01 Job executing on host: <127.0.0.1:4>\n",  # its end is missing
    ],
)
def test_damage_inside_a_log_is_said_and_every_event_after_it_is_read(log: Path, garbage: str) -> None:
    place = read_all(log).place
    append(log, garbage + SUBMIT.format(7) + SUBMIT.format(8))
    part = read_all(log, place)
    assert clusters(part)[-2:] == [7, 8]
    assert "is damaged: bytes" in str(part.damage)
    assert part.place.offset == log.stat().st_size


def test_a_log_that_was_cut_off_is_damaged_and_read_again(log: Path) -> None:
    place = read_all(log).place
    log.write_text(SUBMIT.format(7))
    part = read_part(log, place)
    assert clusters(part) == [7]
    assert f"has {len(SUBMIT.format(7))} bytes, and {place.offset}" in str(part.damage)


def test_a_log_that_was_replaced_by_a_longer_one_is_damaged_and_read_again(log: Path) -> None:
    place = read_all(log).place
    log.with_name("new").write_text(SUBMIT.format(7) * 100)
    log.with_name("new").replace(log)
    part = read_part(log, place)
    assert clusters(part) == [7] * 100
    assert "replaced" in str(part.damage)


def test_a_copy_of_a_log_is_the_same_log(log: Path) -> None:
    place = read_all(log).place
    shutil.copy(log, log.with_name("new"))
    log.with_name("new").replace(log)
    append(log, SUBMIT.format(7))
    part = read_part(log, place)
    assert (clusters(part), part.damage) == ([7], None)


def test_text_that_is_not_utf8_is_replaced(log: Path) -> None:
    place = read_all(log).place
    with log.open("ab") as file:
        file.write(b"012 (001.000.000) 11/22 06:18:01 Job was held.\n\tno caf\xe9\n\tCode 1 Subcode 0\n...\n")
    part = read_part(log, place)
    assert part.events[0][3]["HoldReason"] == "no caf\N{REPLACEMENT CHARACTER}"
    assert part.damage is None


def test_a_log_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_part(tmp_path / "nothing", Place())
