"""The surface of each residue in 2,000 frames, on two slots: condormap against what else runs on two processes.

All take the same chunks (MDAnalysis its own parts), and every result is compared with the first one's. Each starts
its own processes; wepy also with a cluster of dask's that runs already and has imported everything. Goal:
condormap at 0.95 or more of the speed of ``multiprocessing.Pool(2)``, and ahead of the others.

    python benchmarks/sasa.py [FRAMES] [ROUNDS]
"""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import dask.bag
import MDAnalysis as mda
import mdtraj as md
import numpy as np
from distributed import Client, LocalCluster
from harness import interleave, report, timed
from MDAnalysis.analysis.base import AnalysisBase
from MDAnalysis.analysis.results import ResultsGroup
from tiled import tiled
from wepy.analysis.distributed import compute_observable as wepy_compute_observable
from wepy.hdf5 import WepyHDF5
from wepy.util.mdtraj import mdtraj_to_json_topology, traj_fields_to_mdtraj

from condormap import PersonalPool
from condormap.trajectory import Chunk, Reader, Trajectory, compute_observable

CHUNK, PROCESSES = 100, 2
ATOMS = "backbone and resid < 194"
surface = partial(md.shrake_rupley, mode="residue")


def of_chunk(read: Reader, chunk: Chunk) -> np.ndarray:
    return surface(read(chunk))


def by_condormap(data: Trajectory, pool: PersonalPool) -> np.ndarray:
    return compute_observable(surface, data, chunk_size=CHUNK, pool=pool)


def by_multiprocessing(data: Trajectory) -> np.ndarray:
    with multiprocessing.get_context("fork").Pool(PROCESSES) as pool:
        return np.concatenate(list(pool.imap(partial(of_chunk, data.reader), data.chunks(CHUNK))))


def by_dask_bag(data: Trajectory) -> np.ndarray:
    chunks = data.chunks(CHUNK)
    bag = dask.bag.from_sequence(chunks, npartitions=len(chunks)).map(partial(of_chunk, data.reader))
    return np.concatenate(bag.compute(scheduler="processes", num_workers=PROCESSES))


class Surface(AnalysisBase):
    """mdtraj's surface of each frame that MDAnalysis reads, which has no function for it."""

    _analysis_algorithm_is_parallelizable = True

    @classmethod
    def get_supported_backends(cls) -> tuple[str, ...]:
        return ("serial", "multiprocessing")

    def __init__(self, universe: mda.Universe, topology: md.Topology) -> None:
        super().__init__(universe.trajectory)
        self.universe, self.topology = universe, topology

    def _prepare(self) -> None:
        self.results.surface = []

    def _single_frame(self) -> None:
        frame = md.Trajectory(self.universe.atoms.positions / 10, self.topology)
        self.results.surface.append(surface(frame)[0])

    def _get_aggregator(self) -> ResultsGroup:
        return ResultsGroup({"surface": ResultsGroup.flatten_sequence})


def by_mdanalysis(pdb: Path, xtc: Path, topology: md.Topology) -> np.ndarray:
    analysis = Surface(mda.Universe(str(pdb), str(xtc)), topology)
    return np.array(analysis.run(backend="multiprocessing", n_workers=PROCESSES).results.surface)


def of_fields(topology: str, fields: dict[str, Any]) -> np.ndarray:
    return surface(traj_fields_to_mdtraj(fields, topology))


def new_cluster() -> LocalCluster:
    return LocalCluster(n_workers=PROCESSES, threads_per_worker=1, dashboard_address=None)


def by_wepy(path: Path, topology: str, cluster: LocalCluster | None) -> np.ndarray:
    if cluster is None:
        with new_cluster() as cluster:
            return by_wepy(path, topology, cluster)
    func, fields = partial(of_fields, topology), ["positions", "box_vectors"]
    with contextlib.redirect_stdout(io.StringIO()):
        runs = wepy_compute_observable(func, str(path), Client(cluster), fields, chunk_size=CHUNK)
    return runs[0][0]


def write_wepy(path: Path, data: md.Trajectory, topology: str) -> None:
    WepyHDF5(str(path), mode="x", topology=topology).close()
    with WepyHDF5(str(path), mode="r+") as file:
        file.new_run([])
        fields = {"positions": data.xyz.astype(float), "box_vectors": data.unitcell_vectors.astype(float)}
        file.add_traj(0, fields)


def main(n_frames: int = 2000, rounds: int = 2) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="condormap-bench-") as folder,
        PersonalPool(cpus=PROCESSES) as pool,
        new_cluster() as cluster,
    ):
        os.environ["CONDORMAP_HOME"] = folder
        xtc, pdb, wepy = (Path(folder, f"tiled.{suffix}") for suffix in ("xtc", "pdb", "wepy.h5"))
        topology = tiled(xtc, n_frames, ATOMS)
        loaded = md.load(xtc, top=topology)
        loaded[0].save_pdb(str(pdb))
        json_topology = mdtraj_to_json_topology(topology)
        write_wepy(wepy, loaded, json_topology)
        data = Trajectory(xtc, top=topology)
        contenders: dict[str, Callable[[], np.ndarray]] = {
            "condormap": partial(by_condormap, data, pool),
            "multiprocessing.Pool": partial(by_multiprocessing, data),
            "MDAnalysis": partial(by_mdanalysis, pdb, xtc, topology),
            "mdtraj + dask.bag": partial(by_dask_bag, data),
            "wepy": partial(by_wepy, wepy, json_topology, None),
            "wepy, workers there": partial(by_wepy, wepy, json_topology, cluster),
        }
        expected: list[np.ndarray] = []

        def checked(compute: Callable[[], np.ndarray]) -> None:
            expected.append(compute())
            # mdtraj's own values of an atom depend a little on the frames before it in the same call
            assert np.allclose(expected[0], expected[-1], atol=0.02), compute

        title = f"SASA of {loaded.n_residues} residues ({loaded.n_atoms} atoms) in {n_frames} frames"
        report(
            title,
            interleave(
                {name: timed(partial(checked, compute)) for name, compute in contenders.items()}, rounds
            ),
            goals={"total": 1.05},
        )


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(*map(int, sys.argv[1:]))
