"""dask's own tests of delayed and of graphs, and some of bags, pass with `CondorExecutor` as the scheduler."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import dask_judge
import pytest

from condormap import PersonalPool


def test_dask_s_own_tests_pass(pool: PersonalPool, capsys: pytest.CaptureFixture[str]) -> None:
    with ThreadPoolExecutor() as threads:
        runs = list(threads.map(lambda tests: dask_judge.run(pool, *tests), dask_judge.IN_MAKE_TEST))
    for judged in runs:
        assert judged.returncode == 0, judged.stdout
    total = sum(map(dask_judge.counts, runs), Counter())
    with capsys.disabled():
        print(f"\ndask's own tests: {dict(total)}", end=" ")
    assert total["passed"] > 80
