"""The outcome files as they grow: states, values, errors; of two attempts the first wins."""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from condormap.errors import ItemDiedError, RemoteError, RemoteTraceback, StorageError
from condormap.in_job.payload import chunk_file, make_shards, write_frame
from condormap.state.chunk_reader import ChunkReader
from condormap.state.outcomes import Outcomes

START = {"kind": "start", "job": "7.0", "host": "node1", "python": "3.12.1"}


class Attempt:
    """Writes an outcome file the way a runner does."""

    def __init__(self, folder: Path, number: int, chunk: int = 0) -> None:
        make_shards(folder, chunk + 1)
        self.path = Path(chunk_file(folder, chunk, str(number)))
        self.frame(START | {"attempt": number})

    def frame(self, header: dict[str, Any], data: Sequence[bytes] = ()) -> Attempt:
        with self.path.open("ab", buffering=0) as file:
            write_frame(file, header, data, sum(map(len, data)))
        return self

    def results(self, values: dict[int, Any]) -> Attempt:
        return self.items(list(values), "r" * len(values), [pickle.dumps(value) for value in values.values()])

    def items(self, items: list[int], states: str, data: list[bytes]) -> Attempt:
        runs = [[item, item + 1] for item in items]
        columns = {"states": states, "sizes": [len(each) for each in data], "us": [1] * len(items)}
        return self.frame({"kind": "items", "runs": runs, **columns}, data)

    def shared(self, first: int, stop: int, state: str, data: bytes) -> Attempt:
        return self.frame({"kind": "items", "runs": [[first, stop]], "states": state, "shared": True}, [data])

    def end(self) -> None:
        self.frame({"kind": "end", "complete": True})

    def garbage(self, data: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(data)


def told(error: bytes | None, **more: str) -> bytes:
    record = {
        "type": "E",
        "summary": "E: what",
        "traceback": "Traceback: E: what",
        "while": "",
        "printed": ("", ""),
        "others": [],
        "pickle": error,
    }
    return pickle.dumps(record | more)


def arrived(outcomes: Outcomes) -> list[int]:
    return [item for frame in range(outcomes.n_frames) for item in outcomes.arrived(frame)]


def test_a_file_is_followed_as_it_grows(tmp_path: Path) -> None:
    outcomes, reader = Outcomes(3), ChunkReader(tmp_path, 0)
    assert reader.read(outcomes) == 0  # there is no file yet
    attempt = Attempt(tmp_path, 0)
    assert reader.read(outcomes) == 0
    attempt.results({1: "one"})
    assert reader.read(outcomes) == 1
    assert bytes(outcomes.ledger.states) == b"\0r\0"
    attempt.results({0: "zero", 2: "two"}).end()
    assert reader.read(outcomes) == 2
    assert reader.ended
    assert [outcomes.value(item) for item in range(3)] == ["zero", "one", "two"]
    assert arrived(outcomes) == [1, 0, 2]


def test_a_frame_that_is_being_written_is_left_for_later(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path, 0).results({0: "value"})
    attempt.end()
    whole = attempt.path.read_bytes()
    outcomes, reader = Outcomes(1), ChunkReader(tmp_path, 0)
    news = 0
    for size in range(len(whole) + 1):
        attempt.path.write_bytes(whole[:size])
        news += reader.read(outcomes)
    assert news == 1
    assert outcomes.value(0) == "value"


def test_of_two_attempts_at_an_item_the_first_counts(tmp_path: Path) -> None:
    Attempt(tmp_path, 0).results({0: "first", 1: "first"})
    Attempt(tmp_path, 1).results({1: "second", 2: "second"}).end()
    outcomes, reader = Outcomes(3), ChunkReader(tmp_path, 0)
    assert reader.read(outcomes) == 3
    assert [outcomes.value(item) for item in range(3)] == ["first", "first", "second"]
    assert [outcomes.attempt(item).number for item in range(3)] == [0, 0, 1]
    assert outcomes.duplicates == 1
    assert arrived(outcomes) == [0, 1, 2]


def test_a_second_attempt_is_followed_when_the_first_one_is_torn(tmp_path: Path) -> None:
    first = Attempt(tmp_path, 0).results({0: "first"})
    first.garbage(b"CMF1 and no more")
    outcomes, reader = Outcomes(2), ChunkReader(tmp_path, 0)
    assert reader.read(outcomes) == 1
    Attempt(tmp_path, 1).results({1: "second"}).end()
    assert reader.read(outcomes) == 1
    assert reader.ended
    assert [outcomes.value(item) for item in range(2)] == ["first", "second"]


def test_results_stay_readable_when_they_are_asked_for_out_of_order(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path, 0)
    for item in range(20):
        attempt.results({item: f"value {item}"})
    outcomes, reader = Outcomes(20), ChunkReader(tmp_path, 0)
    reader.read(outcomes)
    for item in [*range(19, -1, -1), *range(0, 20, 7)]:
        assert outcomes.value(item) == f"value {item}"


def test_an_exception_comes_back_as_itself_with_the_remote_traceback(tmp_path: Path) -> None:
    error = KeyError("missing")
    Attempt(tmp_path, 0).items([5], "e", [told(pickle.dumps(error))])
    outcomes, reader = Outcomes(6), ChunkReader(tmp_path, 0)
    reader.read(outcomes)
    found = outcomes.error(5)
    assert type(found) is KeyError
    assert found.args == ("missing",)
    assert isinstance(found.__cause__, RemoteTraceback)
    assert found.__cause__.text == "Traceback: E: what"
    assert found.__notes__ == ["condormap: item 5, job 7.0 on node1, Python 3.12.1, attempt 0"]


@pytest.mark.parametrize("error", [None, b"no pickle", pickle.dumps("no exception")])
def test_an_exception_that_could_not_travel_comes_back_as_its_text(
    tmp_path: Path, error: bytes | None
) -> None:
    Attempt(tmp_path, 0).items([0], "e", [told(error, **{"while": "pickling the result"})])
    outcomes, reader = Outcomes(1), ChunkReader(tmp_path, 0)
    reader.read(outcomes)
    found = outcomes.error(0)
    assert type(found) is RemoteError
    assert "item 0, job 7.0 on node1, Python 3.12.1, attempt 0: E: what" in str(found)
    assert "condormap: raised while pickling the result" in found.__notes__


DEATH = {"loading": False, "storing": False, "limit": None, "printed": ["", ""], "deaths": 1}


@pytest.mark.parametrize(
    ("death", "words"),
    [
        ({"exit": 3}, "exited with code 3 while it computed this item"),
        ({"exit": -11, "printed": ["", "core"]}, r"signal 11 \(SIGSEGV\).*standard error:\ncore"),
        ({"exit": -9}, r"signal 9 \(SIGKILL\).*memory runs out: ask for more"),
        ({"exit": 1, "loading": True}, "exited with code 1 while it loaded the function"),
        ({"exit": -99, "loading": True}, r"signal 99 \(unknown\)"),
        ({"exit": 1, "storing": True}, "exited with code 1 because it could not hand over the outcome"),
    ],
)
def test_the_death_of_a_worker_is_told_in_words(tmp_path: Path, death: dict[str, Any], words: str) -> None:
    Attempt(tmp_path, 0).shared(0, 2, "d", json.dumps(DEATH | death).encode())
    outcomes, reader = Outcomes(2), ChunkReader(tmp_path, 0)
    assert reader.read(outcomes) == 2
    for item in range(2):
        with pytest.raises(ItemDiedError, match=rf"(?s)item {item}, job 7\.0 on node1.*{words}"):
            raise outcomes.error(item)


def test_a_result_that_cannot_be_unpickled_here_is_not_lost(tmp_path: Path) -> None:
    data = b"cno_such_module\nname\n."
    Attempt(tmp_path, 0).items([0], "r", [data])
    outcomes, reader = Outcomes(1), ChunkReader(tmp_path, 0)
    reader.read(outcomes)
    with pytest.raises(RemoteError, match=r"item 0 cannot be unpickled here: .*no_such_module"):
        outcomes.value(0)


def test_an_outcome_that_was_damaged_later_is_a_storage_error(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path, 0).results({0: "some value"})
    outcomes, reader = Outcomes(1), ChunkReader(tmp_path, 0)
    reader.read(outcomes)
    attempt.path.write_bytes(attempt.path.read_bytes().replace(b"some", b"same"))
    with pytest.raises(StorageError, match=r"outcome of item 0 cannot be read.*damaged"):
        outcomes.value(0)


def test_an_outcome_file_that_is_gone_is_a_storage_error(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path, 0).results({0: "value"})
    outcomes, reader = Outcomes(1), ChunkReader(tmp_path, 0)
    reader.read(outcomes)
    attempt.path.unlink()
    with pytest.raises(StorageError, match="outcome of item 0 cannot be read"):
        outcomes.value(0)


def test_damage_ends_the_reading_of_a_file_and_is_noted(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path, 0).results({0: "value"})
    attempt.garbage(b"x" * 100)
    outcomes, reader = Outcomes(2), ChunkReader(tmp_path, 0)
    assert reader.read(outcomes) == 1
    assert "no outcome frame" in reader.damage
    assert outcomes.value(0) == "value"


def test_missing_items_are_counted(tmp_path: Path) -> None:
    Attempt(tmp_path, 0).results({1: None, 3: None})
    outcomes, reader = Outcomes(5), ChunkReader(tmp_path, 0)
    reader.read(outcomes)
    assert outcomes.ledger.n_finished == 2
    assert outcomes.ledger.n_open(range(5)) == 3
    assert outcomes.ledger.n_open(range(3, 4)) == 0
    assert outcomes.ledger.n_open((0, 1)) == 1


class Interruption(BaseException):
    """Stands for the KeyboardInterrupt that may come between any two steps of the interpreter."""


def interrupted_at(step: int, outcomes: Outcomes, reader: ChunkReader) -> bool:
    """Read, with an interruption at the given step of the reading; tell whether it got so far."""
    left = step

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal left
        if frame.f_code.co_filename != sys.modules[Outcomes.__module__].__file__:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            left -= 1
            if left == 0:
                raise Interruption
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        reader.read(outcomes)
    except Interruption:
        return True
    finally:
        sys.settrace(before)
    return False


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # interrupted before it had a name
def test_an_interrupted_reading_loses_no_item_and_tells_none_twice(tmp_path: Path) -> None:
    Attempt(tmp_path, 0).results({0: "a", 1: "b"}).shared(2, 4, "d", b"{}")
    Attempt(tmp_path, 1).results({3: "x", 4: "c"}).end()
    for step in range(1, 100_000):
        outcomes, reader = Outcomes(5), ChunkReader(tmp_path, 0)
        interrupted = interrupted_at(step, outcomes, reader)
        reader.read(outcomes)
        assert bytes(outcomes.ledger.states) == b"rrddr", step
        assert sorted(arrived(outcomes)) == [0, 1, 2, 3, 4], step
        assert [outcomes.value(item) for item in (0, 1, 4)] == ["a", "b", "c"], step
        assert outcomes.duplicates == 1, step
        if not interrupted:
            break
    assert step > 50
