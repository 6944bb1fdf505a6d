"""CondorExecutor: many small calls, scikit-learn, and many calls that wait.

- 200 calls of a trivial function, each by submit(), against a pool of processes, and against a script with
  htcondor2 that makes a job of each call, all in one submission. Goal: a third of the script's time, or less.
- A grid search on 2 slots, against two new processes by hand, and loky, which keeps its 2 from one to the next.
- 10,000 calls that wait for a pool that is busy: memory and cpu time of this process.

    python benchmarks/executor.py [ROUNDS]
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import Executor, ProcessPoolExecutor
from pathlib import Path

import psutil
from floor import Floor
from grid_search import DEPTHS, grid_search
from harness import Figures, interleave, report, timed

from condormap import CondorExecutor, PersonalPool
from condormap.integrations.joblib import register

N_CALLS, N_PENDING = 200, 10_000


def trivial(x: int) -> int:
    return x


def calls(executor: Executor) -> Figures:
    """Measure the calls, from the first submit() to the last result."""
    began = time.perf_counter()
    futures = [executor.submit(trivial, n) for n in range(N_CALLS)]
    assert [future.result() for future in futures] == list(range(N_CALLS))
    return {"total": time.perf_counter() - began}


def grid_by_hand() -> None:
    """Divide the search between two new processes: what 2 jobs would take that cost nothing but their imports."""
    script = Path(__file__).with_name("grid_search.py")
    one_thread = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # as jobs with a cpu have
    halves = [
        subprocess.Popen([sys.executable, script, *map(str, depths)], env=one_thread)
        for depths in (DEPTHS[::2], DEPTHS[1::2])
    ]
    assert [half.wait() for half in halves] == [0, 0]


def wait_for(path: Path) -> None:
    while not path.exists():
        time.sleep(0.05)


def pending(pool: PersonalPool, folder: Path) -> None:
    """Print what it costs to have many calls wait for 20 s."""
    process = psutil.Process()
    with CondorExecutor(pool=pool) as executor:
        blocker = executor.with_options(cpus=2).submit(wait_for, folder / "open")
        while not blocker.running():
            time.sleep(0.01)
        memory, cpu = process.memory_info().rss, cpu_seconds()
        began = time.perf_counter()
        futures = [executor.submit(trivial, n) for n in range(N_PENDING)]
        while any(future.index is None for future in futures):
            time.sleep(0.05)
        submitted = time.perf_counter() - began
        in_submit = cpu_seconds() - cpu
        time.sleep(5)
        cpu = cpu_seconds()
        time.sleep(20)
        print(
            f"\n{N_PENDING:,} pending calls: all in the queue after {submitted:.2f} s and {in_submit:.2f} s of "
            f"cpu time; {(process.memory_info().rss - memory) / 2**20:.1f} MB more memory; then "
            f"{(cpu_seconds() - cpu) / 20:.2%} of a cpu"
        )
        (folder / "open").touch()
        began = time.perf_counter()
        assert [future.result() for future in futures] == list(range(N_PENDING))
        print(f"and all results {time.perf_counter() - began:.2f} s after the pool was free")


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main(rounds: int = 10) -> None:
    with tempfile.TemporaryDirectory(prefix="condormap-bench-") as home, PersonalPool(cpus=2) as pool:
        os.environ["CONDORMAP_HOME"] = home
        os.environ["CONDOR_CONFIG"] = str(pool.config_file)
        import htcondor2

        floor = Floor(htcondor2.Schedd())
        with ProcessPoolExecutor(2) as processes, CondorExecutor(pool=pool) as executor:
            runs = interleave(
                {
                    "condormap": lambda: calls(executor),
                    "a job per call, by hand": lambda: {
                        "total": floor.map(trivial, range(N_CALLS), [1] * N_CALLS)["total"]
                    },
                    "processes": lambda: calls(processes),
                },
                rounds,
            )
        report(f"{N_CALLS} calls of submit()", runs, goals={"total": 1 / 3})
        register()
        runs = interleave(
            {
                "condormap": timed(lambda: grid_search("condormap")),
                "two new processes": timed(grid_by_hand),
                "loky": timed(lambda: grid_search("loky")),
            },
            max(1, rounds // 3),
        )
        report("Grid search, 16 fits on 2 slots", runs)
        pending(pool, Path(home))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
