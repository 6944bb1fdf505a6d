"""Mean and histogram of 10^8 float64 that are made in the jobs: what travels, and what the client needs for it.

Prints the bytes of the outcome files, against those of a map that returns the data (a tenth of it, times ten), and
the peak memory of the client above the interpreter's own with ever more jobs, which should stay the same. Each run
is a process of its own.

    python benchmarks/reduce.py [VALUES]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time

import numpy as np
from million_items import peak_mb

from condormap import PersonalPool, condormap, reducers

N_VALUES = 100_000_000
JOBS = (10, 50, 200)
N_ITEMS = 400


def make(seed: int, n: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=n)


def run(n_values: int, n_jobs: int, reduce: bool) -> dict[str, float]:
    n = n_values // N_ITEMS
    np.random.default_rng(0).normal(size=10)  # what numpy itself takes is no matter of ours
    empty, began = peak_mb(), time.perf_counter()
    both = {"mean": reducers.Mean("elements"), "counts": reducers.Histogram(1000, (-8.0, 8.0))}
    m = condormap(
        make,
        range(N_ITEMS),
        [n] * N_ITEMS,
        chunksize=N_ITEMS // n_jobs,
        reduce=both if reduce else None,
        progress=False,
    )
    if reduce:
        value = m.result()
        assert value["mean"].n == value["counts"].counts.sum() == n * N_ITEMS
    else:
        m.wait()
    ended = time.perf_counter()
    size = sum(path.stat().st_size for path in m.path.glob("submissions/*/outcomes/*/*"))
    return {"seconds": ended - began, "client MB": peak_mb() - empty, "bytes returned": size}


def in_a_process(*arguments: object) -> dict[str, float]:
    command = [sys.executable, __file__, "run", *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=1800)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def main(n_values: int = N_VALUES) -> None:
    with tempfile.TemporaryDirectory(prefix="condormap-bench-") as home, PersonalPool(cpus=2) as pool:
        os.environ["CONDORMAP_HOME"] = home
        os.environ["CONDOR_CONFIG"] = str(pool.config_file)
        in_a_process(N_ITEMS, JOBS[0], True)
        print(f"mean and histogram of {n_values:.0e} float64, {N_ITEMS} items")
        least = float("inf")
        for n_jobs in JOBS:
            figures = in_a_process(n_values, n_jobs, True)
            print(f"{n_jobs:6} jobs: " + ", ".join(f"{value:,.1f} {name}" for name, value in figures.items()))
            least = min(least, figures["bytes returned"])
        data = 10 * in_a_process(n_values // 10, JOBS[0], False)["bytes returned"]
        print(
            f"the data themselves: {data:,.0f} bytes, {data / least:,.0f} times as much as the least of these"
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["run"]:
        print(json.dumps(run(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "True")))
    else:
        main(*map(int, sys.argv[1:]))
