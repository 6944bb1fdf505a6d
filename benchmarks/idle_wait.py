"""What a wait costs while nothing happens: a map of two jobs that wait for a gate, waited for.

Goal: next to no CPU, here and in the process for calls, and no question to the schedd but a few.

    python benchmarks/idle_wait.py [SECONDS]
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import psutil
from harness import save

from condormap import PersonalPool, condormap


def wait_for(path: str) -> None:
    while not os.path.exists(path):
        time.sleep(0.1)


def main(seconds: float = 60.0) -> None:
    with tempfile.TemporaryDirectory(prefix="condormap-bench-") as home, PersonalPool(cpus=2) as pool:
        os.environ["CONDORMAP_HOME"] = home
        gate = Path(home) / "gate"
        m = condormap(wait_for, [str(gate)] * 2, pool=pool, chunksize=1)
        while m.status.get("running") != 2:
            time.sleep(0.05)
        calling = [
            child
            for child in psutil.Process().children()
            if any("condormap.condor.child" in word for word in child.cmdline())
        ]
        used = [psutil.Process(), *calling]
        before = [process.cpu_times() for process in used]
        assert not m.wait(timeout=seconds)
        after = [process.cpu_times() for process in used]
        cpu = [b.user + b.system - a.user - a.system for a, b in zip(before, after, strict=True)]
        gate.touch()
        m.wait()
    figures = {"seconds": seconds, "cpu": cpu[0], "cpu of the child": sum(cpu[1:])}
    save("An idle wait", {"condormap": [figures]})
    print(f"a wait of {seconds:g} s while nothing happens: {cpu[0]:.2f} s of CPU here, ", end="")
    print(f"{sum(cpu[1:]):.2f} s in the process for calls: {100 * sum(cpu) / seconds:.2f}%")


if __name__ == "__main__":
    main(*map(float, sys.argv[1:]))
