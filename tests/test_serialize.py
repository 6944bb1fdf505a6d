"""Functions and items to pickles: what the job can import travels by reference, everything else by value."""

from __future__ import annotations

import importlib
import itertools
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import cloudpickle
import numpy
import pytest

from condormap.errors import InvalidInputError, SerializationError
from condormap.in_job.payload import FUNCTION_FILE
from condormap.payload.item_store import unpickle_items, write_items
from condormap.payload.serialize import describe_function, local_modules, pickled_by_value, write_function

LOCAL_MODULE = """
OFFSET = 10

class Thing:
    def __init__(self, value):
        self.value = value

def helper(x):
    return x + OFFSET

def function(x):
    return Thing(helper(x))
"""


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A module in a folder that only this process has on its path."""
    (tmp_path / "a_local_module.py").write_text(LOCAL_MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("a_local_module")
    yield module
    del sys.modules["a_local_module"]


def elsewhere(folder: Path, call: str) -> Any:
    """Return what an expression on the pickled function ``f`` gives in a fresh interpreter."""
    load = f"f = pickle.load(open({str(folder / FUNCTION_FILE)!r}, 'rb'))"
    code = f"import json, pickle; {load}; print(json.dumps({call}))"
    run = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, timeout=60, cwd="/", check=False
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


# -- functions -------------------------------------------------------------------------------------------------


def test_lambdas_and_closures_travel(tmp_path: Path) -> None:
    offset = 3
    write_function(tmp_path, lambda x: x + offset)
    assert elsewhere(tmp_path, "f(4)") == 7


def test_a_function_of_a_local_module_travels_with_what_it_uses(tmp_path: Path, local: ModuleType) -> None:
    with pickled_by_value(["a_local_module"]):
        write_function(tmp_path, local.function)
    assert elsewhere(tmp_path, "f(4).value") == 14


def test_what_the_job_can_import_travels_by_reference(tmp_path: Path) -> None:
    write_function(tmp_path, numpy.linalg.norm)
    assert (tmp_path / FUNCTION_FILE).stat().st_size < 100


def test_local_modules_are_those_that_are_neither_python_s_nor_installed(local: ModuleType) -> None:
    found = local_modules()
    assert found["a_local_module"] == local.__file__
    assert found[__name__.partition(".")[0]]
    assert found.keys().isdisjoint({"json", "numpy", "cloudpickle", "pytest", "condormap", "__main__", "sys"})


def test_modules_are_pickled_by_value_for_the_block_only(local: ModuleType) -> None:
    before = cloudpickle.list_registry_pickle_by_value()
    with pickled_by_value(["a_local_module", "not_loaded"]):
        assert cloudpickle.list_registry_pickle_by_value() == before | {"a_local_module"}
    assert cloudpickle.list_registry_pickle_by_value() == before


def test_what_the_user_registered_stays_registered(local: ModuleType) -> None:
    cloudpickle.register_pickle_by_value(local)
    try:
        with pickled_by_value(["a_local_module"]):
            pass
        assert "a_local_module" in cloudpickle.list_registry_pickle_by_value()
    finally:
        cloudpickle.unregister_pickle_by_value(local)


def test_a_function_that_cannot_be_pickled_is_named_with_the_reason(tmp_path: Path) -> None:
    lock = threading.Lock()

    def holds_a_lock() -> object:
        return lock

    with pytest.raises(
        SerializationError, match=r"holds_a_lock cannot be pickled.*lock.*Nothing was submitted"
    ):
        write_function(tmp_path, holds_a_lock)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (len, "builtins.len"),
        (numpy.linalg.norm, "numpy.linalg.norm"),
        (json.JSONEncoder, "json.encoder.JSONEncoder"),
    ],
)
def test_functions_are_named_for_people(function: Callable[..., Any], name: str) -> None:
    assert describe_function(function) == name


# -- items -----------------------------------------------------------------------------------------------------


def items_of(folder: Path, n_items: int) -> list[Any]:
    return list(unpickle_items(folder, range(n_items)))


def test_one_iterable_gives_its_elements(tmp_path: Path) -> None:
    assert write_items(tmp_path, [[(1, 2), None, "x"]]) == 3
    assert items_of(tmp_path, 3) == [(1, 2), None, "x"]


def test_several_iterables_give_tuples_and_stop_with_the_shortest(tmp_path: Path) -> None:
    assert write_items(tmp_path, [itertools.count(), "abc", range(10)]) == 3
    assert items_of(tmp_path, 3) == list(zip(itertools.count(), "abc", range(10), strict=False))


def test_a_generator_is_read_once_and_to_its_end(tmp_path: Path) -> None:
    generator = (x for x in range(5))
    assert write_items(tmp_path, [generator]) == 5
    assert next(generator, "end") == "end"


def test_an_object_that_is_in_many_items_is_in_each_of_them(tmp_path: Path) -> None:
    shared = ["shared"]
    write_items(tmp_path, [[shared, (shared, shared), shared]])
    assert items_of(tmp_path, 3) == [shared, (shared, shared), shared]


def test_an_element_that_changes_is_stored_as_it_was_when_it_came(tmp_path: Path) -> None:
    def changing() -> Iterator[list[int]]:
        element = [0]
        for n in range(3):
            element[0] = n
            yield element

    write_items(tmp_path, [changing()])
    assert items_of(tmp_path, 3) == [[0], [1], [2]]


def test_lambdas_and_local_classes_are_items_too(tmp_path: Path, local: ModuleType) -> None:
    with pickled_by_value(["a_local_module"]):
        write_items(tmp_path, [[lambda: 7, local.Thing(8)]])
    function, thing = items_of(tmp_path, 2)
    assert (function(), thing.value) == (7, 8)
    assert type(thing) is local.Thing


def test_an_item_that_cannot_be_pickled_is_named_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(SerializationError, match=r"item 2, a lock, cannot be pickled.*Nothing was submitted"):
        write_items(tmp_path, [[1, 2, threading.Lock(), 4]])


def test_what_an_iterable_raises_comes_as_it_is(tmp_path: Path) -> None:
    error = FileNotFoundError(2, "No such file", "data.csv")

    def failing() -> Iterator[int]:
        yield 1
        raise error

    with pytest.raises(FileNotFoundError) as caught:
        write_items(tmp_path, [failing()])
    assert caught.value is error


@pytest.mark.parametrize("iterables", [[range(3), range(2)], [range(2), range(3)], [[], [1]]])
def test_strict_refuses_iterables_of_different_lengths(tmp_path: Path, iterables: list[Any]) -> None:
    with pytest.raises(InvalidInputError, match=r"strict=True, and the iterables have different lengths: .*"):
        write_items(tmp_path, iterables, strict=True)


def test_strict_takes_iterables_of_the_same_length(tmp_path: Path) -> None:
    assert write_items(tmp_path, [range(3), "abc"], strict=True) == 3


def test_strict_does_not_take_a_value_error_of_the_iterable_for_its_own(tmp_path: Path) -> None:
    def failing() -> Iterator[int]:
        yield 1
        raise ValueError("from the generator")

    with pytest.raises(ValueError, match="from the generator") as caught:
        write_items(tmp_path, [failing(), range(9)], strict=True)
    assert type(caught.value) is ValueError
