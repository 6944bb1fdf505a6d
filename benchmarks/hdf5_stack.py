"""Rows of a finished map into an HDF5 dataset, against reading its results and h5py's own write of them at once.

Goal: StackHDF5 takes at most 1.25 times as long (80%).

    python benchmarks/hdf5_stack.py [ROUNDS]
"""

from __future__ import annotations

import os
import sys
import tempfile
from functools import partial
from pathlib import Path

import h5py
import numpy as np
from harness import Figures, interleave, report, timed

from condormap import CondorMap, PersonalPool, condormap, load, reducers

N_ITEMS, ROWS, COLUMNS = 128, 100, 1000  # 0.8 MB an item, 102 MB


def make(seed: int) -> np.ndarray:
    return np.round(np.random.default_rng(seed).normal(size=(ROWS, COLUMNS)), 2)


def main(rounds: int = 3) -> None:
    with tempfile.TemporaryDirectory(prefix="condormap-bench-") as home, PersonalPool(cpus=2) as pool:
        os.environ["CONDORMAP_HOME"] = home
        os.environ["CONDOR_CONFIG"] = str(pool.config_file)
        for compression in (None, "gzip"):
            compare(Path(home), compression, rounds)


def compare(folder: Path, compression: str | None, rounds: int) -> None:
    path, other = folder / "stacked.h5", folder / "at-once.h5"

    def new_stack() -> reducers.StackHDF5:
        path.unlink(missing_ok=True)
        return reducers.StackHDF5(path, rows=ROWS, compression=compression)

    stacked = condormap(make, range(N_ITEMS), chunksize=16, reduce=new_stack(), progress=False)
    stacked.result()
    plain = condormap(make, range(N_ITEMS), chunksize=16, progress=False)
    plain.wait()
    with h5py.File(path) as file:
        chunks = file["data"].chunks

    def stack() -> Figures:
        load(stacked.tag).set_reducer(new_stack())
        return timed(load(stacked.tag, progress=False).result)()

    def read_and_write() -> Figures:
        return timed(partial(write_whole, load(plain.tag, progress=False)))()

    def write_whole(m: CondorMap) -> None:
        whole = np.concatenate(m.results())
        with h5py.File(other, "w") as file:
            file.create_dataset("data", data=whole, chunks=chunks, compression=compression)

    runs = interleave({"StackHDF5": stack, "results and h5py": read_and_write}, rounds)
    report(
        f"{N_ITEMS * ROWS} rows of {8 * COLUMNS} bytes, compression {compression}",
        runs,
        goals={"total": 1.25},
    )
    with h5py.File(path) as one, h5py.File(other) as two:
        assert np.array_equal(one["data"][()], two["data"][()])


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
