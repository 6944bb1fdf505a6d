"""dask's own tests, of the dask that is installed, with their tasks as calls of a `CondorExecutor`.

A plugin of pytest, which sets the scheduler, and what runs pytest with it, on a pool of its own::

    python tests/dask_judge.py [MODULE_OR_TEST ...]     by default all of bag, and array's core (`make judges`)

pytest runs in a process of its own, for dask's tests have marks and settings of their own.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from condormap import CondorExecutor, PersonalPool

# Two runs of pytest at once, for each waits most of the time; `-k` divides what is one module.
_SLOW = "array or literates or custom or operators or fusion"
IN_MAKE_TEST = (
    ("dask.tests.test_delayed", "-k", _SLOW),
    (
        "dask.tests.test_delayed",
        "dask.tests.test_graph_manipulation",
        "dask.bag.tests.test_bag::test_zip",
        "dask.bag.tests.test_bag::test_filter",
        "dask.bag.tests.test_bag::test_map_partitions",
        "-k",
        f"not ({_SLOW})",
    ),
)
IN_MAKE_JUDGES = (
    ("dask.bag.tests.test_bag", "dask.bag.tests.test_text", "dask.bag.tests.test_random"),
    ("dask.array.tests.test_array_core",),
)

_SAME = "wants the very object back that went into the graph, and this one has been in a job"
_SEEN = "counts the calls of a function in this process, and they are made in jobs"
_STORES = "has tasks write into an array of this process, and they are in jobs"
_LOCKS = "has tasks share a lock, or an open file, with this process"
EXCLUDED = {
    "test_traverse_false": _SAME,
    "test_bind": _SEEN,
    "test_to_delayed_optimize_graph": _SEEN,
    "test_store": _STORES,
    "test_store_delayed_target": _STORES,
    "test_store_regions": _STORES,
    "test_store_compute_false": _STORES,
    "test_memmap": _STORES,
    "test_store_locks_count_calls": _LOCKS,
    "test_from_array_with_lock": _LOCKS,
    "test_to_hdf5": _LOCKS,
    "test_binary_operator_delegation": "wants pytest-mock, and computes nothing",
    "test_read_text_unicode_no_collection": "has a generator as the result of a task, which cannot be pickled",
}


def run(pool: PersonalPool, *tests: str) -> subprocess.CompletedProcess[str]:
    """Run tests of dask."""
    with tempfile.TemporaryDirectory(prefix="condormap-dask-") as folder:
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-rfEs",
            "-p",
            "dask_judge",
            "-p",
            "no:cacheprovider",
        ]
        command += ["-c", os.devnull, "--rootdir", folder, "-W", "ignore", "--pyargs", *tests]
        here = Path(__file__).parent
        path = os.pathsep.join([str(here), str(here.parent), *os.environ.get("PYTHONPATH", "").split()])
        environment = os.environ | {"CONDOR_CONFIG": str(pool.config_file), "PYTHONPATH": path}
        return subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)


def run_all(pool: PersonalPool, groups: Sequence[Sequence[str]]) -> tuple[list[str], Counter[str]]:
    """Run groups of tests of dask at once; return their outputs, and how many passed, failed..."""
    with ThreadPoolExecutor() as threads:
        outputs = list(threads.map(lambda tests: run(pool, *tests).stdout, groups))
    return outputs, sum(map(_counts, outputs), Counter())


def _counts(output: str) -> Counter[str]:
    """Return what the last line says; a run that did not come to its end counts as an error."""
    last = output.strip().rpartition("\n")[2]
    found = re.findall(r"(\d+) (passed|skipped|xfailed|xpassed|failed|errors?)\b", last)
    return Counter({word.rstrip("s"): int(number) for number, word in found}) or Counter(error=1)


# -- the plugin ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def condor_executor() -> Iterator[CondorExecutor]:
    with CondorExecutor(chunksize=100) as executor:  # their tasks are tiny, and each job imports dask
        yield executor


@pytest.fixture(autouse=True)
def condor_scheduler(condor_executor: CondorExecutor) -> Iterator[None]:
    import dask

    with dask.config.set(scheduler=condor_executor):
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        reason = EXCLUDED.get(item.name.partition("[")[0])
        if reason is not None:
            item.add_marker(pytest.mark.skip(reason=reason))


if __name__ == "__main__":
    with PersonalPool(cpus=2, fsync=False) as own:
        outputs, total = run_all(own, [sys.argv[1:]] if sys.argv[1:] else IN_MAKE_JUDGES)
    print(*outputs, f"dask's own tests: {dict(total)}", sep="\n")
    sys.exit(bool(total["failed"] + total["error"]))
