"""The names that the package promises, and what importing it costs."""

from __future__ import annotations

import inspect
import os
import pickle
import pkgutil
import re
import subprocess
import sys

import pytest

import condormap
from condormap import errors
from condormap.pool.personal import PersonalPool

HEAVY = ("htcondor2", "classad2", "numpy", "cloudpickle", "click", "tqdm", "asyncio", "subprocess", "pathlib")


def test_the_public_names() -> None:
    assert condormap.__all__ == [
        "CondorExecutor",
        "CondorMap",
        "CondorMapper",
        "Item",
        "ItemState",
        "Job",
        "JobCluster",
        "JobGroup",
        "JobOptions",
        "JobStatus",
        "MapPool",
        "Outcome",
        "PersonalPool",
        "checkpoint",
        "clean",
        "condormap",
        "errors",
        "load",
        "map",
        "maps",
        "reducers",
        "remove",
        "retag",
        "trajectory",
    ]


@pytest.mark.parametrize("name", condormap.__all__)
def test_every_public_name_is_there(name: str) -> None:
    thing = getattr(condormap, name)
    assert thing.__name__.rpartition(".")[2] == name
    assert inspect.getdoc(thing)


@pytest.mark.parametrize("name", condormap.__all__)
def test_the_function_has_the_names_of_the_package(name: str) -> None:
    assert getattr(condormap.condormap, name) is getattr(condormap, name)
    assert name in dir(condormap.condormap)


def test_the_function_looks_like_one() -> None:
    function = condormap.condormap
    assert str(inspect.signature(function)).startswith("(func: 'Callable[..., Any]', /, *iterables")
    assert repr(function) == "<function condormap.mapping.condormap>"
    assert pickle.loads(pickle.dumps(function)) is function
    with pytest.raises(AttributeError, match="function 'condormap' has no attribute 'condormapp'"):
        _ = function.condormapp


def test_a_name_is_loaded_when_it_is_first_used() -> None:
    code = (
        "import sys; from condormap import condormap; before = 'condormap.jobs.job' in sys.modules;"
        "condormap.Job; print(before, 'condormap.jobs.job' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout.split() == ["False", "True"]


def test_no_module_hides_a_public_name() -> None:
    modules = {each.name for each in pkgutil.iter_modules(condormap.__path__)}
    assert modules & set(condormap.__all__) == {"checkpoint", "errors", "reducers", "trajectory"}


def test_dir_lists_the_public_names() -> None:
    assert set(condormap.__all__) <= set(dir(condormap))


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'condormap' has no attribute 'condormapp'"):
        _ = condormap.condormapp


def test_from_condormap_import_condormap_is_the_function() -> None:
    code = "import condormap.mapping; from condormap import condormap; condormap(len, None)"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert "InvalidInputError: argument 2 must be iterable" in run.stderr


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import sys; before = set(sys.modules); import condormap; print(*(set(sys.modules) - before))"
    run = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.append({ROOT!r}); {code}"],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    loaded = set(run.stdout.split())
    assert "condormap" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_no_call_loads_the_bindings_into_the_user_s_process(pool: PersonalPool) -> None:
    code = (
        "import sys\n"
        "from condormap import condormap\n"
        "m = condormap(abs, [-1, -2])\n"
        "assert list(m) == [1, 2] and m.jobs and m.status and m.remove() is not None\n"
        "print(*sys.modules)\n"
    )
    environment = os.environ | {"CONDOR_CONFIG": str(pool.config_file), "PYTHONPATH": ROOT}
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 0, run.stderr
    loaded = set(run.stdout.split())
    assert "condormap.mapping" in loaded
    assert loaded.isdisjoint({"htcondor2", "classad2", "numpy", "tqdm", "IPython"})


ROOT = os.path.dirname(os.path.dirname(condormap.__file__))


# -- errors ----------------------------------------------------------------------------------------------------


def error_classes() -> list[type[BaseException]]:
    return [
        each
        for each in vars(errors).values()
        if inspect.isclass(each) and issubclass(each, BaseException) and each.__module__ == errors.__name__
    ]


def test_every_error_is_exported() -> None:
    assert sorted(each.__name__ for each in error_classes()) == errors.__all__


@pytest.mark.parametrize("error", error_classes(), ids=lambda error: error.__name__)
def test_every_error_says_what_it_means(error: type[BaseException]) -> None:
    assert error.__doc__


def drawn() -> dict[str, str]:
    """Return the tree in the docstring of the module: each error's name and that of the one above it."""
    assert errors.__doc__
    tree: dict[str, str] = {}
    above = ["CondormapError"]
    for line in errors.__doc__.splitlines():
        if match := re.match(r"    ([│ ]*)[├└]── (\w+)", line):
            depth = len(match[1]) // 4 + 1
            above[depth:] = [match[2]]
            tree[match[2]] = above[depth - 1]
    return tree


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes() -> None:
    ours = {
        each.__name__: next(
            base.__name__ for base in each.__bases__ if issubclass(base, errors.CondormapError)
        )
        for each in error_classes()
        if issubclass(each, errors.CondormapError) and each is not errors.CondormapError
    }
    assert drawn() == ours


def test_every_error_of_ours_is_a_condormap_error() -> None:
    others = [each for each in error_classes() if not issubclass(each, errors.CondormapError)]
    # A cause that is shown and never raised, and warnings.
    warnings = {errors.FileAsTextWarning, errors.SharedRandomStateWarning}
    assert set(others) == {errors.RemoteTraceback, *warnings}


def test_a_bad_argument_is_a_value_error_and_a_missing_pool_a_connection_error() -> None:
    assert issubclass(errors.InvalidInputError, ValueError)
    assert issubclass(errors.StorageError, OSError)
    assert issubclass(errors.UnreachableError, ConnectionError)
    assert issubclass(errors.WaitTimeoutError, TimeoutError)
