"""10,000 trivial items end to end, against a script written by hand with the same number of jobs.

Goal: at most 1.3 times the script, in total and without the wait for the first job to start.

    python benchmarks/trivial_items.py [ROUNDS]
"""

from __future__ import annotations

import os
import sys
import tempfile
import time

from floor import Floor
from harness import Figures, interleave, report

from condormap import PersonalPool, condormap
from condormap.status import ItemState

N_ITEMS, N_JOBS = 10_000, 8


def trivial(x: int) -> int:
    return x


def by_condormap(pool: PersonalPool) -> Figures:
    began = time.perf_counter()
    m = condormap(trivial, range(N_ITEMS), pool=pool, chunksize=N_ITEMS // N_JOBS)
    submitted = time.perf_counter()
    while set(m.status) == {ItemState.IDLE}:
        time.sleep(0.004)
    started = time.perf_counter()
    n_results = sum(1 for _ in m)
    ended = time.perf_counter()
    assert n_results == N_ITEMS
    return {"total": ended - began, "without the wait": ended - began - (started - submitted)}


def main(rounds: int = 15) -> None:
    with tempfile.TemporaryDirectory(prefix="condormap-bench-") as home, PersonalPool(cpus=2) as pool:
        os.environ["CONDORMAP_HOME"] = home
        os.environ["CONDOR_CONFIG"] = str(pool.config_file)
        import htcondor2

        floor = Floor(htcondor2.Schedd())
        sizes = [N_ITEMS // N_JOBS] * N_JOBS
        runs = interleave(
            {
                "condormap": lambda: by_condormap(pool),
                "by hand": lambda: floor.map(trivial, range(N_ITEMS), sizes),
            },
            rounds,
        )
        report(
            f"{N_ITEMS:,} trivial items in {N_JOBS} jobs",
            runs,
            goals={"total": 1.3, "without the wait": 1.3},
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
