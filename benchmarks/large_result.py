"""A result of 1 GB, a numpy array: from the function's return to the value here, against a copy of such a file.

The job writes it to the outcome file and the client reads that, so the bytes move twice; a copy moves them once.
With file transfer HTCondor moves them once more. Where disk or memory are short of that, it is smaller.

    python benchmarks/large_result.py [ROUNDS]
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy
import psutil
from harness import Figures, column, interleave, report

from condormap import PersonalPool, condormap

GB = 1 << 30


def ones(size: int) -> tuple[float, numpy.ndarray]:
    array = numpy.ones(size, dtype=numpy.uint8)  # its pages are there before the clock is read
    return time.time(), array


def peak_mb() -> float:
    """Return the most memory that this process has had; getrusage() would count what its parent had."""
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024


def by_condormap(size: int, transfer: str) -> Figures:
    empty = peak_mb()
    options = {"memory": f"{3 * size >> 20}MB", "transfer": transfer}
    ((returned, array),) = condormap(ones, [size], progress=False, **options)
    arrived = time.time()
    assert array[-1] == 1
    assert array.nbytes == size
    return {"total": arrived - returned, "MB of memory": peak_mb() - empty}


def by_copy(size: int, home: str) -> Figures:
    file, copy = Path(home, "file"), Path(home, "copy")
    with file.open("wb") as target:
        for _ in range(size >> 20):
            target.write(bytes(1 << 20))
    began = time.time()
    with file.open("rb") as source, copy.open("wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
    ended = time.time()
    file.unlink()
    copy.unlink()
    return {"total": ended - began}


def in_a_process(size: int, transfer: str) -> Figures:
    arguments = [sys.executable, __file__, transfer, str(size)]
    done = subprocess.run(arguments, stdout=subprocess.PIPE, check=True, timeout=600)
    shutil.rmtree(Path(os.environ["CONDORMAP_HOME"], "data"))
    figures: Figures = json.loads(done.stdout)
    return figures


def size_that_fits(home: str) -> int:
    """Return 1 GB, or less where the memory or the disk is short of what some copies of it take."""
    room = min(psutil.virtual_memory().available // 4, shutil.disk_usage(home).free // 5)
    return min(GB, room)


def main(rounds: int = 5) -> None:
    with tempfile.TemporaryDirectory(prefix="condormap-bench-") as home:
        size = size_that_fits(home)
        with PersonalPool(cpus=2, memory=4 * size >> 20) as pool:
            os.environ["CONDORMAP_HOME"] = home
            os.environ["CONDOR_CONFIG"] = str(pool.config_file)
            for transfer in ("never", "always"):
                contenders = {
                    "condormap": partial(in_a_process, size, transfer),
                    "a file copy": partial(by_copy, size, home),
                }
                how = "with file transfer" if transfer == "always" else "on a shared folder"
                runs = interleave(contenders, rounds)
                memory = [run["MB of memory"] for run in runs["condormap"]]
                for name, figures in runs.items():
                    runs[name] = [{"total": run["total"]} for run in figures]
                    seconds = statistics.median(column(runs[name], "total"))
                    print(f"{name}: {size / 1e6 / seconds:.0f} MB/s")
                print(f"peak memory of the client: {max(memory):.0f} MB more than before")
                report(f"a result of {size / 1e6:.0f} MB, {how}", runs)


if __name__ == "__main__":
    if sys.argv[1:2] in (["never"], ["always"]):
        print(json.dumps(by_condormap(int(sys.argv[2]), sys.argv[1])))
    else:
        main(*map(int, sys.argv[1:]))
