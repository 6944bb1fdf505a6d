"""dask's own tests of delayed and of graphs, and some of bags, pass with `CondorExecutor` as the scheduler."""

from __future__ import annotations

from collections.abc import Callable

import dask_judge

from condormap import PersonalPool


def test_dask_s_own_tests_pass(pool: PersonalPool, record_property: Callable[[str, object], None]) -> None:
    outputs, total = dask_judge.run_all(pool, dask_judge.IN_MAKE_TEST)
    record_property("counts", f"dask's own tests: {dict(total)}")
    assert not total["failed"] + total["error"], "\n".join(outputs)
    assert total["passed"] > 80
