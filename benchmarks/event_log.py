"""The bookkeeping of a map of very many one-item jobs: its event log, its handle, and some of them for real.

Goal: more than 50,000 events a second in bounded memory, for 100,000 jobs. Their log is made after a real one,
with the usual four events for each job; the bindings read it in turns with us. The real jobs show what the client
adds; 5,000 of them take some minutes.

    python benchmarks/event_log.py [JOBS [REAL_JOBS [ROUNDS]]]
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path

import psutil
from harness import Figures, column, interleave, quantile, report, save, timed

from condormap import PersonalPool, condormap
from condormap.address import PoolAddress
from condormap.condor import Condor
from condormap.folders.store import new_record, write_record
from condormap.in_job.payload import chunk_file, write_frame
from condormap.options import JobOptions
from condormap.payload.transfer import Transfer
from condormap.preparing import write_submissions
from condormap.state.tracking import JobTable
from condormap.submission import Submission, note_cluster

CLUSTER = 78
_ADDRESS = "<127.0.0.1:42073?addrs=127.0.0.1-42073&noUDP&sock=schedd_1234_abcd>"
_SUBMITTED = """Job submitted from host: {address}
    [ JobBatchName = "amber-quark-1234" ]
    condormap {id} {chunk}
"""
_RUNS = """Job executing on host: {address}
\tSlotName: slot1_{slot}@node{node:03d}.cluster.example
\tCondorScratchDir = "/var/lib/condor/execute/dir_{chunk}/scratch"
\tCpus = 1
\tDisk = 1024
\tGPUs = 0
\tMemory = 128
"""
_SIZE = """Image size of job updated: 29216
\t7  -  MemoryUsage of job (MB)
\t6248  -  ResidentSetSize of job (KB)
"""
_ENDED = """Job terminated.
\t(1) Normal termination (return value 0)
\t\tUsr 0 00:00:00, Sys 0 00:00:00  -  Run Remote Usage
\t\tUsr 0 00:00:00, Sys 0 00:00:00  -  Run Local Usage
\t\tUsr 0 00:00:00, Sys 0 00:00:00  -  Total Remote Usage
\t\tUsr 0 00:00:00, Sys 0 00:00:00  -  Total Local Usage
\t0  -  Run Bytes Sent By Job
\t0  -  Run Bytes Received By Job
\t0  -  Total Bytes Sent By Job
\t0  -  Total Bytes Received By Job
\tPartitionable Resources :    Usage  Request Allocated
\t   Cpus                 :                 1         1
\t   Disk (KB)            :       35        1      1024
\t   Memory (MB)          :        6       16       128
\t   TimeExecute (s)      :        0
\t   TimeSlotBusy (s)     :        0
"""


def write_log(path: Path, id: str, n_jobs: int) -> None:
    """Write the event log of a submission's jobs, which ran one after the other."""
    with path.open("w") as file:
        for chunk in range(n_jobs):
            values = {"address": _ADDRESS, "id": id, "chunk": chunk, "slot": chunk % 8, "node": chunk % 300}
            for number, body in ((0, _SUBMITTED), (1, _RUNS), (6, _SIZE), (5, _ENDED)):
                head = f"{number:03d} ({CLUSTER:03d}.{chunk:03d}.000) 2026-11-22 06:18:01 "
                file.write(f"{head}{body.format(**values)}...\n")


def write_map(folder: Path, address: PoolAddress, n_jobs: int) -> Submission:
    """Make the folder of a map of so many one-item jobs that has come to its end."""
    (folder / "submissions").mkdir(parents=True)
    record = new_record("replayed", folder.name, n_jobs, False, "square", address)
    write_record(folder, record)
    chunks = [range(item, item + 1) for item in range(n_jobs)]
    shared = Transfer(False, "nothing is run")
    (submission,) = write_submissions(
        folder, folder, record, chunks, JobOptions(), slots=300, transfer=shared
    )
    write_log(record.log(folder), submission.id, n_jobs)
    start = {"kind": "start", "attempt": 0, "job": "78.0", "host": "node001", "python": "3.13.1"}
    for item in range(n_jobs):
        data = pickle.dumps(item * item)
        with open(chunk_file(submission.folder / "outcomes", item, "0"), "wb", buffering=0) as file:
            write_frame(file, start)
            header = {"kind": "items", "runs": [[item, item + 1]], "states": "r", "sizes": len(data), "us": 7}
            write_frame(file, header, [data], len(data))
            write_frame(file, {"kind": "end"})
    return note_cluster(submission, CLUSTER)


def read_by_condormap(log: Path, submission: Submission) -> JobTable:
    table = JobTable(log, [submission], lambda id, cluster: submission)
    while table.read():
        table.started.clear()
    assert len(table) == len(submission.chunks)
    return table


def read_by_bindings(condor: Condor, log: Path) -> None:
    offset = 0
    while offset < log.stat().st_size:
        offset = condor.events(log, offset).offset


_HANDLE = """
import json, resource, sys, time
from condormap import load
began = time.perf_counter()
m = load(sys.argv[1])
m.wait()
settled = time.perf_counter()
assert sum(1 for _ in m) == len(m)
ended = time.perf_counter()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"until settled": settled - began, "results": ended - settled, "peak MB": peak}))
"""


def handle(tag: str) -> Figures:
    """Return what another process needs to load the map and read its results."""
    told = subprocess.run([sys.executable, "-c", _HANDLE, tag], check=True, capture_output=True, text=True)
    return dict(json.loads(told.stdout))


def peak_memory(log: Path, submission: Submission) -> tuple[float, float]:
    """Return the megabytes that the table of jobs takes, and those at the peak of reading it."""
    tracemalloc.start()
    table = read_by_condormap(log, submission)
    now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert table.damage is None
    return now / 1e6, peak / 1e6


def for_real(pool: PersonalPool, n_jobs: int) -> Figures:
    """Run so many one-item jobs; return the seconds, and those of CPU that this process and its child took."""
    condormap(abs, [-1], pool=pool).results()
    children = [
        child
        for child in psutil.Process().children()
        if any("condormap.condor.child" in word for word in child.cmdline())
    ]
    used = [psutil.Process(), *children]
    before, began = [process.cpu_times() for process in used], time.perf_counter()
    results = condormap(abs, range(-n_jobs, 0), pool=pool, chunksize=1, progress=False).results()
    total, after = time.perf_counter() - began, [process.cpu_times() for process in used]
    assert results == list(range(n_jobs, 0, -1))
    cpu = [b.user + b.system - a.user - a.system for a, b in zip(before, after, strict=True)]
    return {"total": total, "cpu": cpu[0], "cpu of the child": sum(cpu[1:])}


def main(n_jobs: int = 100_000, n_real: int = 500, rounds: int = 5) -> None:
    with tempfile.TemporaryDirectory(prefix="condormap-bench-") as home, PersonalPool(cpus=2) as pool:
        os.environ["CONDORMAP_HOME"] = home
        config = Path(home) / "condor_config"
        config.write_text("")
        folder, address = Path(home) / "maps" / "replayed", PoolAddress(config)
        submission = write_map(folder, address, n_jobs)
        log, condor = folder / "events.log", Condor(address)
        runs = interleave(
            {
                "condormap": timed(lambda: read_by_condormap(log, submission)),
                "bindings": timed(lambda: read_by_bindings(condor, log)),
            },
            rounds,
        )
        condor.close()
        report(f"The event log of {n_jobs:,} jobs, {log.stat().st_size / 1e6:.0f} MB", runs)
        for name, figures in runs.items():
            rate = 4 * n_jobs / quantile(column(figures, "total"), 0.5)
            print(f"{name}: {rate:,.0f} events/s (goal 50,000)")
        now, peak = peak_memory(log, submission)
        print(f"the table of jobs: {now:.1f} MB, {peak:.1f} MB at the peak of reading")
        snapshot = folder / "jobs.json"
        loads = {"first": [handle("replayed")]}
        assert snapshot.exists()
        loads["from the snapshot"] = [handle("replayed")]
        report("Another process loads that map and reads the results", loads)
        figures = for_real(pool, n_real)
    save(f"{n_real} one-item jobs", {"condormap": [figures]})
    cpu, of_child = figures["cpu"], figures["cpu of the child"]
    print(
        f"\n{n_real} one-item jobs: {figures['total']:.1f} s, {n_real / figures['total']:.1f} jobs/s; ",
        end="",
    )
    print(f"CPU of the client {cpu:.2f} s, of its child {of_child:.2f} s: ", end="")
    print(f"{1000 * (cpu + of_child) / n_real:.2f} ms a job")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
