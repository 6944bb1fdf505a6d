"""A function that cannot be loaded where a job runs: one clear error, and nothing is burnt."""

from __future__ import annotations

import importlib
import json
import math
import os
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
from in_job import Make, Map
from test_map_steering import until

from condormap import ItemState, PersonalPool, condormap, reducers
from condormap.errors import ItemDiedError, JobRemovedError, PreflightError, SharedRandomStateWarning
from condormap.in_job.packed import Buffers
from condormap.in_job.preflight import NEEDS_FILE
from condormap.payload.needs import pickle_function


def needs_of(function: Callable[..., Any]) -> dict[str, Any]:
    return pickle_function(function, Buffers())[1]


def change_needs(folder: Path, **changes: Any) -> None:
    """Have a map need something else than what this machine has."""
    path = folder / NEEDS_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


class Loading:
    """A function that does something when it is unpickled."""

    def __init__(self, what: Callable[..., Any], *arguments: Any) -> None:
        self.what, self.arguments = what, arguments

    def __call__(self, x: Any) -> Any: ...

    def __reduce__(self) -> Any:
        return self.what, self.arguments


def error_of(work: Map, item: int) -> PreflightError:
    error = work.read().error(item)
    assert isinstance(error, PreflightError)
    return error


# -- what a function needs -------------------------------------------------------------------------------------


def test_a_function_of_this_module_needs_this_python_and_the_modules_that_it_refers_to() -> None:
    def function(x: float) -> Any:
        return numpy.sin(x) + math.sin(x)

    needs = needs_of(function)
    assert needs["python"] == list(sys.version_info[:2])
    assert needs["modules"].keys() >= {"cloudpickle", "numpy"}
    assert needs["modules"]["numpy"] == numpy.__version__
    assert "math" not in needs["modules"]


@pytest.mark.parametrize("function", [numpy.sin, numpy.linalg.norm], ids=["ufunc", "function"])
def test_a_function_of_an_installed_module_needs_that_module_in_any_python(
    function: Callable[..., Any],
) -> None:
    assert needs_of(function) == {"python": None, "modules": {"numpy": numpy.__version__}}


def test_a_function_of_the_standard_library_needs_nothing() -> None:
    assert needs_of(math.sqrt) == {"python": None, "modules": {}}


# -- in the job ------------------------------------------------------------------------------------------------


def test_code_of_another_python_is_not_even_loaded(make: Make, tmp_path: Path) -> None:
    work = make(Loading(os.mkdir, str(tmp_path / "loaded")), range(5))
    change_needs(work.root, python=[3, 3])
    assert work.run() == 0
    assert work.read().ledger.states.decode() == "ddddd"
    error = error_of(work, 3)
    assert f"code of Python 3.3, which {sys.executable} cannot run" in str(error)
    assert "m.retry()" in str(error)
    assert (error.job, error.items) == ("7.0", range(5))
    assert not (tmp_path / "loaded").exists()


def test_a_missing_module_is_named_and_what_was_raised_is_the_cause(make: Make) -> None:
    work = make(Loading(importlib.import_module, "no_such_module"), range(3))
    assert work.run() == 0
    assert work.read().ledger.states.decode() == "eee"
    error = error_of(work, 2)
    assert (
        "the function cannot be loaded there: ModuleNotFoundError: No module named 'no_such_module'"
        in str(error)
    )
    assert isinstance(error.__cause__, ModuleNotFoundError)
    assert "import_module" in str(error.__cause__.__cause__)


def test_a_function_whose_loading_kills_the_process_cannot_be_loaded(make: Make) -> None:
    work = make(Loading(os._exit, 7), range(3))
    assert work.run() == 0
    assert work.read().ledger.states.decode() == "ddd"
    assert "the worker process exited with code 7 while it loaded the function" in str(error_of(work, 0))


def test_where_it_could_be_loaded_before_a_death_while_loading_is_that_of_one_item(
    make: Make, tmp_path: Path
) -> None:
    def once(path: Path) -> Callable[[int], int]:
        path.mkdir()  # a second time, this fails
        return lambda x: os._exit(1) if x == 1 else x

    def dies_the_second_time(path: Path) -> Callable[[int], int]:
        try:
            return once(path)
        except FileExistsError:
            os._exit(2)

    work = make(Loading(dies_the_second_time, tmp_path / "there"), range(4))
    assert work.run() == 0
    outcomes = work.read()
    assert outcomes.ledger.states.decode() == "rddd"
    assert outcomes.preflights == []
    error = outcomes.error(3)
    assert isinstance(error, ItemDiedError)
    assert "exited with code 2 while it loaded the function" in str(error)


def test_an_error_names_the_modules_of_another_major_version(make: Make) -> None:
    def function(x: int) -> None:
        raise ValueError(numpy.float64(x))

    work = make(function, [1])
    change_needs(work.root, modules={"numpy": "0.9.1", "cloudpickle": "3.99"})
    assert work.run() == 0
    there = f"numpy {numpy.__version__} (not 0.9.1)"
    assert f"condormap: that job had {there}" in work.read().error(0).__notes__
    assert work.stdio("err").read_text() == f"condormap: this job has {there}\n"


# -- on a pool -------------------------------------------------------------------------------------------------


def imported(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)


def test_a_job_that_cannot_load_the_function_stops_the_map_and_a_retry_with_a_mended_environment_goes_on(
    pool: PersonalPool, tmp_path: Path
) -> None:
    m = condormap(Loading(imported, "module_of_the_jobs", "double"), range(50), pool=pool, chunksize=1)
    with pytest.raises(
        PreflightError, match=r"(?s)job \d+\.\d+ on .*No module named 'module_of_the_jobs'"
    ) as caught:
        m.results(timeout=60)
    assert "condormap: the map's other jobs were removed" in caught.value.__notes__
    assert m.wait(timeout=60)
    assert m.status.keys() == {ItemState.ERROR, ItemState.REMOVED}
    assert {type(error) for error in m.errors().values()} == {PreflightError, JobRemovedError}
    assert len(m.failed()) == 50
    (tmp_path / "module_of_the_jobs.py").write_text("def double(x): return 2 * x\n")
    m.retry(environment={"PYTHONPATH": str(tmp_path)})
    assert m.results("skip", timeout=60) == [2 * x for x in range(50)]


def test_jobs_with_another_python_than_the_functions_code_stop_the_map(pool: PersonalPool) -> None:
    m = condormap(lambda x: x, range(3), pool=pool, chunksize=1, submit={"hold": "true"})
    change_needs(m.path, python=[3, 3])
    m.release()
    until(lambda: m.status[ItemState.ERROR])
    with pytest.raises(PreflightError, match=r"the function is code of Python 3\.3"):
        m[2]


#: A program that runs what it is given as a Python 3.7 would, as far as that matters.
_OLD_PYTHON = f"""#!{sys.executable}
import runpy, sys
sys.version, sys.version_info, sys.argv[:] = "3.7.16 (default)", (3, 7, 16), sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.parametrize("transfer", ["never", "always"])
@pytest.mark.parametrize(
    ("program", "words"),
    [
        (_OLD_PYTHON, r"the jobs need Python 3\.9 or newer, and .* is Python 3\.7\.16"),
        ("#!/bin/sh\nexit 0\n", "exited with code 0 before it ran anything"),
        ("#!/bin/sh\necho no prefix found >&2\nexit 1\n", r"(?s)with code 1 before.*no prefix found"),
    ],
    ids=["old", "none", "broken"],
)
def test_an_interpreter_that_runs_no_job_stops_the_map_and_the_advice_works(
    pool: PersonalPool, tmp_path: Path, program: str, words: str, transfer: str
) -> None:
    python = tmp_path / "python"
    python.write_text(program)
    python.chmod(0o755)
    m = condormap(abs, range(-200, 0), pool=pool, chunksize=1, python=python, transfer=transfer)
    with pytest.raises(PreflightError, match=words) as caught:
        m.results(timeout=60)
    assert "condormap: the map's other jobs were removed" in caught.value.__notes__
    assert m.status[ItemState.REMOVED] > 100
    if program == _OLD_PYTHON:
        assert "m.remove(); m.retry(python=...)" in str(caught.value)
        m.remove()
        assert m.retry(python=sys.executable, chunksize=100).results(timeout=60) == list(range(200, 0, -1))


# -- randomness ------------------------------------------------------------------------------------------------


def test_a_reducer_is_code_of_this_python_too(pool: PersonalPool) -> None:
    def needs(**options: Any) -> Any:
        m = condormap(abs, [-1], pool=pool, **options)
        return json.loads((m.path / NEEDS_FILE).read_text())["python"]

    assert needs() is None
    assert needs(reduce=reducers.Sum()) == list(sys.version_info[:2])


def test_a_function_with_a_generator_of_its_own_is_warned_about(make: Make) -> None:
    for generator in (numpy.random.default_rng(1), numpy.random.RandomState(1), random.Random(1)):
        with pytest.warns(
            SharedRandomStateWarning, match=r"every job gets a copy.*default_rng\(\[seed, i\]\)"
        ):
            pickle_function(lambda _, generator=generator: generator.random(), Buffers())


def test_the_global_generators_are_not_copied_into_the_jobs(make: Make) -> None:
    draw, rand = random.random, numpy.random.rand
    work = make(lambda _: (draw(), rand()), range(2), chunks=[range(1), range(1, 2)])
    assert [work.run(chunk) for chunk in range(2)] == [0, 0]
    drawn = [number for x in range(2) for number in work.read(x).value(x)]
    assert len(set(drawn)) == 4
