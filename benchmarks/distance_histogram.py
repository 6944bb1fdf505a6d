"""The histogram of all distances in 10,000 frames, and 1,000 short trajectories: time, memory, bytes that travel.

condormap reduces in the jobs, so that counts travel and no distances; against one process with
``mdtraj.iterload``, and two with dask and with ``multiprocessing``. Each contender runs in a new process. The
memory is that of the largest process that takes part, a job or a worker included; the bytes are those of
functions, chunk specs and results, pickled as they travel.

    python benchmarks/distance_histogram.py [FRAMES] [TRAJECTORIES] [ROUNDS]
"""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle
import dask.bag
import mdtraj as md
import numpy as np
from harness import Figures, interleave, report
from tiled import tiled

from condormap import CondorMap, PersonalPool
from condormap.trajectory import Chunk, DistanceHistogram, Reader, Trajectory, compute_observable

CHUNK, PROCESSES = 100, 2
BINS, RANGE = 200, (0.0, 8.0)
Found = tuple[Any, int, float]  # the value, bytes moved, MB of a job


def peak_mb() -> float:
    """Return the largest memory that this process has had; that of getrusage() is its parent's before exec()."""
    (line,) = (line for line in open("/proc/self/status") if line.startswith("VmHWM"))  # noqa: SIM115
    return int(line.split()[1]) / 1024


def size(value: Any) -> int:
    return len(cloudpickle.dumps(value))


def moved_by(m: CondorMap) -> int:
    """Return the bytes of the function and its reducer for each job, of all items, and of the outcomes."""
    for_each = sum((m.path / name).stat().st_size for name in ("func.pkl", "reducer.pkl"))
    outcomes = sum(path.stat().st_size for path in m.path.glob("submissions/*/outcomes/*/*"))
    return for_each * len(m.jobs) + (m.path / "items.pkl").stat().st_size + outcomes


class Measured(DistanceHistogram):
    """The histogram, and the memory that the largest job has taken."""

    def __call__(self, frames: md.Trajectory) -> Any:
        return super().__call__(frames), peak_mb()

    def zero(self) -> Any:
        return super().zero(), 0.0

    def add(self, state: Any, index: int, value: Any) -> Any:
        return super().add(state[0], index, value[0]), max(state[1], value[1])

    def merge(self, a: Any, b: Any) -> Any:
        return super().merge(a[0], b[0]), max(a[1], b[1])

    def finish(self, state: Any) -> Any:
        return super().finish(state[0]).counts, state[1]


# ---- all distances -----------------------------------------------------------------------------------------


def histogram_by_condormap(paths: list[str], topology: md.Topology) -> Found:
    data = Trajectory(paths, top=topology)
    m = compute_observable(Measured(BINS, RANGE), data, chunk_size=CHUNK, wait=False, progress=False)
    counts, memory = m.result()
    return counts, moved_by(m), memory


def histogram_by_iterload(paths: list[str], topology: md.Topology) -> Found:
    pairs = np.column_stack(np.triu_indices(topology.n_atoms, 1))
    counts = np.zeros(BINS, np.int64)
    for path in paths:
        for frames in md.iterload(path, top=topology, chunk=CHUNK // 4):
            counts += np.histogram(md.compute_distances(frames, pairs), BINS, RANGE)[0]
    return counts, 0, 0.0


def counts_of(read: Reader, chunk: Chunk) -> Any:
    return DistanceHistogram(BINS, RANGE)(read(chunk))[0]


def histogram_by_dask(paths: list[str], topology: md.Topology) -> Found:
    data = Trajectory(paths, top=topology)
    chunks, func = data.chunks(CHUNK), partial(counts_of, data.reader)
    bag = dask.bag.from_sequence(chunks, npartitions=len(chunks)).map(func)
    counts = bag.compute(scheduler="processes", num_workers=PROCESSES)
    return sum(counts), len(chunks) * size(func) + size(chunks) + size(counts), 0.0


# ---- many short trajectories -------------------------------------------------------------------------------


def radii_by_condormap(paths: list[str], topology: md.Topology) -> Found:
    data = Trajectory(paths, top=topology)
    m = compute_observable(md.compute_rg, data, wait=False, progress=False)
    return np.concatenate(m.result()), moved_by(m), 0.0


def radii_of(topology: md.Topology, path: str) -> Any:
    return md.compute_rg(md.load(path, top=topology))


def radii_by_loop(paths: list[str], topology: md.Topology) -> Found:
    return np.concatenate([radii_of(topology, path) for path in paths]), 0, 0.0


def radii_by_pool(paths: list[str], topology: md.Topology) -> Found:
    func = partial(radii_of, topology)
    with multiprocessing.get_context("fork").Pool(PROCESSES) as pool:
        found = pool.map(func, paths)
    return np.concatenate(found), size(func) + size(paths) + size(found), 0.0


# ---- the comparison ----------------------------------------------------------------------------------------


def run(name: str, folder: str) -> dict[str, float]:
    """Run a contender in this process; return its figures and what tells its value from another one's."""
    topology = md.load_topology(f"{folder}/topology.pdb")
    paths = sorted(map(str, Path(folder).glob("*.xtc")))
    began = time.perf_counter()
    value, moved, memory = globals()[name](paths, topology)
    seconds = time.perf_counter() - began
    memory = max(memory, peak_mb(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
    weighted = float(np.dot(value, np.arange(1, len(value) + 1)))  # changes with the order, too
    return {"total": seconds, "MB": memory, "bytes moved": moved, "value": weighted}


def in_a_process(name: str, folder: Path) -> dict[str, float]:
    command = [sys.executable, "-W", "ignore", __file__, "run", name, str(folder)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=3600)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def compare(title: str, names: list[str], folder: Path, rounds: int) -> None:
    values = []

    def contender(name: str) -> Figures:
        figures = in_a_process(name, folder)
        values.append(figures.pop("value"))
        return figures

    runs = interleave({name: partial(contender, name) for name in names}, rounds)
    assert np.allclose(values, values[0], rtol=1e-6), values
    report(f"{title}, {PROCESSES} processes", runs)


def main(n_frames: int = 10_000, n_short: int = 1000, rounds: int = 1) -> None:
    with tempfile.TemporaryDirectory(prefix="condormap-bench-") as home, PersonalPool(cpus=PROCESSES) as pool:
        os.environ["CONDORMAP_HOME"] = home
        os.environ["CONDOR_CONFIG"] = str(pool.config_file)
        long, short = Path(home, "long"), Path(home, "short")
        for folder in (long, short):
            folder.mkdir()
        topology = tiled(long / "run.xtc", n_frames)
        n_pairs = topology.n_atoms * (topology.n_atoms - 1) // 2
        frames = md.load(long / "run.xtc", top=topology)[:20]
        for number in range(n_short):
            frames[number % 10 : number % 10 + 10].save_xtc(str(short / f"{number:04}.xtc"))
        for folder in (long, short):
            frames[0].save_pdb(str(folder / "topology.pdb"))
        compare(
            f"{n_pairs:,} distances in {n_frames:,} frames, a histogram",
            ["histogram_by_condormap", "histogram_by_iterload", "histogram_by_dask"],
            long,
            rounds,
        )
        compare(
            f"radii of gyration of {n_short:,} trajectories of 10 frames",
            ["radii_by_condormap", "radii_by_loop", "radii_by_pool"],
            short,
            rounds,
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["run"]:
        print(json.dumps(run(*sys.argv[2:])))
    else:
        main(*map(int, sys.argv[1:]))
