"""What is remembered of how long functions take."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from condormap import timings


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CONDORMAP_HOME", str(tmp_path))
    return tmp_path


def test_what_is_noted_is_known() -> None:
    assert timings.known("a") is None
    timings.note("a", 1.5)
    timings.note("b", 2.5)
    timings.note("a", 0.5)
    assert (timings.known("a"), timings.known("b")) == (0.5, 2.5)


def test_the_functions_that_were_used_least_lately_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timings, "_MOST", 3)
    for name in ("a", "b", "c", "a", "d"):
        timings.note(name, 1)
    assert [timings.known(name) for name in "abcd"] == [1, None, 1, 1]


@pytest.mark.parametrize("text", ["", "[]", '{"a": 3}', "no JSON"])
def test_a_file_that_cannot_be_read_is_no_file(home: Path, text: str) -> None:
    (home / "times.json").write_text(text)
    assert timings.known("a") is None
    timings.note("a", 1)
    assert timings.known("a") == 1


def test_a_folder_that_cannot_be_written_is_no_error(home: Path) -> None:
    (home / "times.json").mkdir()
    timings.note("a", 1)
    assert timings.known("a") is None


def test_a_function_is_told_by_its_name_and_its_code() -> None:
    def first(x: int) -> int:
        return x + 1

    one = timings.function_id(first)

    def first(x: int) -> int:  # type: ignore[no-redef]
        return x + 2

    assert timings.function_id(first) != one
    assert timings.function_id(functools.partial(first, 3)) == timings.function_id(first)
    assert len({timings.function_id(function) for function in (abs, max, int, first)}) == 4
