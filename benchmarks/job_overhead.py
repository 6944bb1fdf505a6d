"""What a job costs beside its work: many jobs of one trivial item each, against a script written by hand.

With and without file transfer; the script does the same. Goal: at most 1.15 times the script, for each job, from
the submission to the last result, with and without the wait for the first job to start.

    python benchmarks/job_overhead.py [ROUNDS]
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from functools import partial

from floor import Floor
from harness import Figures, interleave, report

from condormap import PersonalPool, condormap
from condormap.status import JobStatus

N_JOBS = 60


def trivial(x: int) -> int:
    return x


def by_condormap(pool: PersonalPool, transfer: bool) -> Figures:
    began = time.perf_counter()
    m = condormap(trivial, range(N_JOBS), pool=pool, chunksize=1, transfer="always" if transfer else "never")
    submitted = time.perf_counter()
    jobs = m._state.jobs
    while not jobs.counts.total() - jobs.counts[JobStatus.IDLE]:
        m._state.poll()
        time.sleep(0.004)
    started = time.perf_counter()
    n_results = sum(1 for _ in m)
    ended = time.perf_counter()
    assert n_results == N_JOBS
    return per_job({"total": ended - began, "without the wait": ended - began - (started - submitted)})


def by_hand(floor: Floor, transfer: bool) -> Figures:
    return per_job(floor.map(trivial, range(N_JOBS), [1] * N_JOBS, transfer=transfer))


def per_job(figures: Figures) -> Figures:
    return {part: seconds / N_JOBS for part, seconds in figures.items()}


def main(rounds: int = 9) -> None:
    with tempfile.TemporaryDirectory(prefix="condormap-bench-") as home, PersonalPool(cpus=2) as pool:
        os.environ["CONDORMAP_HOME"] = home
        os.environ["CONDOR_CONFIG"] = str(pool.config_file)
        import htcondor2

        floor = Floor(htcondor2.Schedd())
        for transfer in (False, True):
            contenders = {
                "condormap": partial(by_condormap, pool, transfer),
                "by hand": partial(by_hand, floor, transfer),
            }
            how = "with file transfer" if transfer else "on a shared folder"
            report(
                f"{N_JOBS} jobs of one item, {how}, for each",
                interleave(contenders, rounds),
                goals={"total": 1.15, "without the wait": 1.15},
            )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
