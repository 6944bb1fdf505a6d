"""Which outcome of an item counts, when a map was submitted several times."""

from __future__ import annotations

import pickle
import random
from pathlib import Path

import pytest
from test_outcomes import Attempt, arrived, told

from condormap.errors import InvalidInputError
from condormap.state.chunk_reader import ChunkReader
from condormap.state.ledger import MAX_RETRIES, Ledger, code_of_retry
from condormap.state.outcomes import Outcomes

ERROR = told(pickle.dumps(KeyError("first")))
LATER = told(pickle.dumps(KeyError("later")))


def values(outcomes: Outcomes) -> list[object]:
    return [
        None
        if outcomes.ledger.is_open(item)
        else outcomes.value(item)
        if outcomes.ledger.states[item] == ord("r")
        else outcomes.error(item).args[0]
        for item in range(len(outcomes.ledger))
    ]


def test_a_retried_item_is_open_again_until_the_retry_settles_it(tmp_path: Path) -> None:
    outcomes = Outcomes(3)
    Attempt(tmp_path / "0", 0).items([0, 1, 2], "eer", [ERROR, ERROR, pickle.dumps("fine")])
    ChunkReader(tmp_path / "0", 0).read(outcomes)
    assert values(outcomes) == ["first", "first", "fine"]
    code = outcomes.ledger.reopen([0, 2])
    assert values(outcomes) == [None, "first", "fine"]
    assert (outcomes.ledger.n_finished, outcomes.ledger.n_unfinished(range(3))) == (2, 1)
    assert (outcomes.ledger.n_open(range(3)), outcomes.ledger.n_open(range(3), code)) == (0, 1)
    Attempt(tmp_path / "1", 0).items([0], "e", [LATER])
    assert ChunkReader(tmp_path / "1", 0, code).read(outcomes) == 1
    assert values(outcomes) == ["later", "first", "fine"]


def test_a_result_counts_from_wherever_it_comes_and_however_late(tmp_path: Path) -> None:
    outcomes = Outcomes(2)
    code = outcomes.ledger.reopen([0, 1])
    Attempt(tmp_path / "0", 0).results({0: "old"})
    ChunkReader(tmp_path / "0", 0).read(outcomes)
    Attempt(tmp_path / "1", 0).items([0, 1], "ee", [LATER, LATER])
    ChunkReader(tmp_path / "1", 0, code).read(outcomes)
    assert values(outcomes) == ["old", "later"]
    Attempt(tmp_path / "0", 0, chunk=1).results({1: "very late"})
    assert ChunkReader(tmp_path / "0", 1).read(outcomes) == 1
    assert values(outcomes) == ["old", "very late"]
    assert arrived(outcomes) == [0, 1]


def test_an_error_of_an_older_submission_is_not_heard_any_more(tmp_path: Path) -> None:
    outcomes = Outcomes(1)
    code = outcomes.ledger.reopen([0])
    Attempt(tmp_path / "0", 0).items([0], "e", [ERROR])
    assert ChunkReader(tmp_path / "0", 0).read(outcomes) == 0
    assert values(outcomes) == [None]
    Attempt(tmp_path / "1", 0).items([0], "e", [LATER])
    ChunkReader(tmp_path / "1", 0, code).read(outcomes)
    Attempt(tmp_path / "0", 0, chunk=1).items([0], "e", [ERROR])
    assert ChunkReader(tmp_path / "0", 1).read(outcomes) == 0
    assert values(outcomes) == ["later"]


def test_items_are_appended_open() -> None:
    ledger = Ledger(2)
    ledger.take_all(0, 2, b"rr", 0)
    ledger.grow(5)
    assert (len(ledger), ledger.n_finished, ledger.open_items(range(5))) == (5, 2, [2, 3, 4])


def test_the_states_of_open_items_and_the_letters_of_outcomes_never_meet() -> None:
    codes = [code_of_retry(number) for number in range(MAX_RETRIES + 1)]
    assert len(set(codes)) == MAX_RETRIES + 1
    ledger = Ledger(256)
    ledger.states[:] = bytes(range(256))
    assert [item for item in range(256) if ledger.is_open(item)] == codes
    for _ in range(MAX_RETRIES):
        ledger.reopen([])
    with pytest.raises(InvalidInputError, match="191 times"):
        ledger.next_code()


@pytest.mark.parametrize("seed", range(40))
def test_whatever_order_the_files_are_read_in_the_same_outcomes_count(tmp_path: Path, seed: int) -> None:
    """A map of 6 items, retried twice: the handle that saw it happen and one that loads it later agree."""
    dice = random.Random(seed)
    retries = [sorted(dice.sample(range(6), dice.randint(1, 6))) for _ in range(2)]
    files = []
    for number, items in enumerate([list(range(6)), *retries]):
        states = "".join(dice.choice("ere") for _ in items)
        data = [pickle.dumps(number) if s == "r" else told(pickle.dumps(KeyError(number))) for s in states]
        Attempt(tmp_path / str(number), 0).items(items, states, data)
        files.append((number, dict(zip(items, states, strict=True))))
    expected = []
    for item in range(6):
        said = [(number, states[item]) for number, states in files if item in states]
        results = [number for number, state in said if state == "r"]
        expected.append(results or [said[-1][0]])
    outcomes = Outcomes(6)
    for items in retries:
        outcomes.ledger.reopen(items)
    dice.shuffle(files)
    for number, _ in files:
        ChunkReader(tmp_path / str(number), 0, code_of_retry(number)).read(outcomes)
    assert all(value in allowed for value, allowed in zip(values(outcomes), expected, strict=True))
