"""dask's own tests of delayed and of graphs, and some of bags, pass with `CondorExecutor` as the scheduler."""

from __future__ import annotations

import dask_judge

from condormap import PersonalPool


def test_dask_s_own_tests_pass(pool: PersonalPool) -> None:
    judged = dask_judge.run(pool, *dask_judge.IN_MAKE_TEST)
    print(judged.stdout)
    assert judged.returncode == 0, judged.stdout
    assert int(judged.stdout.split(" passed")[0].split()[-1]) > 80
