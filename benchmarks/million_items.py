"""1,000,000 trivial items given as a generator, against a script written by hand with the same number of jobs.

Goals: at most 2.5 times the script; the submitting process at most 300 MB above the interpreter's own memory.
Each run is a process of its own, so that its peak memory is its own.

    python benchmarks/million_items.py [ROUNDS]
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from functools import partial

from floor import Floor
from harness import Figures, interleave, report

from condormap import PersonalPool, condormap

N_ITEMS, N_JOBS = 1_000_000, 8


def trivial(x: int) -> int:
    return x


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def by_condormap() -> Figures:
    empty, began = peak_mb(), time.perf_counter()
    items = (i for i in range(N_ITEMS))
    n_results = sum(1 for _ in condormap(trivial, items, chunksize=N_ITEMS // N_JOBS, progress=False))
    ended = time.perf_counter()
    assert n_results == N_ITEMS
    return {"total": ended - began, "MB": peak_mb() - empty}


def by_hand(sizes: list[int]) -> Figures:
    empty, began = peak_mb(), time.perf_counter()
    import htcondor2  # condormap's process for the bindings is started within its time, too

    Floor(htcondor2.Schedd()).map(trivial, (i for i in range(N_ITEMS)), sizes)
    return {"total": time.perf_counter() - began, "MB": peak_mb() - empty}


def in_a_process(contender: str, sizes: list[int]) -> Figures:
    arguments = [sys.executable, __file__, contender, json.dumps(sizes)]
    done = subprocess.run(arguments, stdout=subprocess.PIPE, check=True, timeout=300)
    figures: Figures = json.loads(done.stdout)
    return figures


def main(rounds: int = 5) -> None:
    with tempfile.TemporaryDirectory(prefix="condormap-bench-") as home, PersonalPool(cpus=2) as pool:
        os.environ["CONDORMAP_HOME"] = home
        os.environ["CONDOR_CONFIG"] = str(pool.config_file)
        sizes = [N_ITEMS // N_JOBS] * N_JOBS
        contenders = {
            "condormap": partial(in_a_process, "by_condormap", sizes),
            "by hand": partial(in_a_process, "by_hand", sizes),
        }
        runs = interleave(contenders, rounds)
        report(f"{N_ITEMS:,} trivial items in {N_JOBS} jobs", runs, goals={"total": 2.5})
        most = max(run["MB"] for run in runs["condormap"])
        print(f"condormap's memory above the interpreter's own: {most:.0f} MB (goal 300)")


if __name__ == "__main__":
    if sys.argv[1:2] == ["by_condormap"]:
        print(json.dumps(by_condormap()))
    elif sys.argv[1:2] == ["by_hand"]:
        print(json.dumps(by_hand(json.loads(sys.argv[2]))))
    else:
        main(*map(int, sys.argv[1:]))
