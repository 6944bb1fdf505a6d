"""What each knob of a personal pool does: one-item jobs in a row, eight jobs at once, cpu time of an idle pool.

Usage: python benchmarks/pool_knobs.py [--runs 50] [--idle 20] [--daemons PATH] [VARIANT ...]

Each variant is the pool's own configuration with one knob put back to HTCondor's default (or changed as named),
in a pool and a process of its own. A "job" is /bin/true without file transfer, timed from before the submit to the
line in the event log, which is read every 5 ms; the next is submitted right away.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from condormap.pool.personal import PersonalPool

VARIANTS: dict[str, dict[str, str]] = {
    "as it is": {},
    "NEGOTIATOR_INTERVAL=60": {"NEGOTIATOR_INTERVAL": "60"},
    "NEGOTIATOR_MIN_INTERVAL=5": {"NEGOTIATOR_MIN_INTERVAL": "5"},
    "NEGOTIATOR_CYCLE_DELAY=20": {"NEGOTIATOR_CYCLE_DELAY": "20"},
    "SCHEDD_MIN_INTERVAL=5": {"SCHEDD_MIN_INTERVAL": "5"},
    "SCHEDD_INTERVAL_TIMESLICE=0.05": {"SCHEDD_INTERVAL_TIMESLICE": "0.05"},
    "SCHEDD_NEGOTIATE_TIMESLICE=0.1": {"SCHEDD_NEGOTIATE_TIMESLICE": "0.1"},
    "NEGOTIATOR_PRE_JOB_RANK=random": {"NEGOTIATOR_PRE_JOB_RANK": "random(1000)"},
    "NEGOTIATOR_PRE_JOB_RANK=none": {"NEGOTIATOR_PRE_JOB_RANK": "0"},
    "CONDOR_FSYNC=True": {"CONDOR_FSYNC": "True"},
    "CLAIM_WORKLIFE=0": {"CLAIM_WORKLIFE": "0"},
}


def measure(settings: dict[str, str], runs: int, idle: float, daemons: Path | None) -> dict[str, float]:
    began = time.perf_counter()
    with PersonalPool(cpus=2, memory=4096, fsync=False, settings=settings, daemons=daemons) as pool:
        start = time.perf_counter() - began
        os.environ["CONDOR_CONFIG"] = str(pool.config_file)
        single = sorted(_jobs(pool.folder / f"one{run}", 1) for run in range(runs))
        eight = [_jobs(pool.folder / f"eight{run}", 8) for run in range(5)]
        return {
            "start": start,
            "median": statistics.median(single),
            "p95": single[int(0.95 * len(single))],
            "max": single[-1],
            "eight": statistics.median(eight),
            "idle": _cpu(pool, idle),
        }


def _jobs(folder: Path, count: int) -> float:
    """Run `count` jobs of one cluster; return the seconds that they took."""
    import htcondor2  # after CONDOR_CONFIG is set: the bindings read it once

    folder.mkdir()
    log = folder / "log"
    description = {
        "executable": "/bin/true",
        "log": str(log),
        "should_transfer_files": "NO",
        "max_idle": "4",
        "request_memory": "100",
        "request_disk": "1000",
    }
    log.touch()
    began = time.perf_counter()
    htcondor2.Schedd().submit(htcondor2.Submit(description), count=count)
    while log.read_text().count("\n005 (") < count:
        if time.perf_counter() - began > 90:
            raise SystemExit(f"the jobs did not end: {log.read_text()}")
        time.sleep(0.005)
    return time.perf_counter() - began


def _cpu(pool: PersonalPool, seconds: float) -> float:
    """Return how many per cent of one core the idle pool takes."""
    assert pool.pid is not None
    time.sleep(3)
    guard = psutil.Process(pool.pid)
    processes = [guard, *guard.children(recursive=True)]
    before = sum(sum(each.cpu_times()[:2]) for each in processes)
    time.sleep(seconds)
    return 100 * (sum(sum(each.cpu_times()[:2]) for each in processes) - before) / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--idle", type=float, default=20)
    parser.add_argument("--daemons", type=Path)
    parser.add_argument("variants", nargs="*", metavar="VARIANT", help=", ".join(VARIANTS))
    parser.add_argument("--settings", help=argparse.SUPPRESS)  # in the child: measure and print
    given = parser.parse_args()
    if given.settings:
        print(json.dumps(measure(json.loads(given.settings), given.runs, given.idle, given.daemons)))
        return
    print(f"{'':32} {'start':>6} {'median':>7} {'95%':>7} {'max':>7} {'8 jobs':>7} {'idle cpu':>8}")
    for name in given.variants or VARIANTS:
        command = [sys.executable, __file__, "--runs", str(given.runs), "--idle", str(given.idle)]
        command += ["--daemons", str(given.daemons)] if given.daemons else []
        with tempfile.TemporaryFile("w+") as errors:
            done = subprocess.run(
                [*command, "--settings", json.dumps(VARIANTS[name])],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
            errors.seek(0)
            if done.returncode:
                print(f"{name:32} {errors.read().strip().splitlines()[-1][:90]}")
                continue
        figures = json.loads(done.stdout)
        print(
            f"{name:32} {figures['start']:5.1f}s {figures['median']:6.3f}s {figures['p95']:6.3f}s "
            f"{figures['max']:6.3f}s {figures['eight']:6.2f}s {figures['idle']:7.1f}%",
            flush=True,
        )


if __name__ == "__main__":
    main()
