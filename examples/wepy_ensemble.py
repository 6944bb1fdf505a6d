"""A weighted ensemble in a WepyHDF5 file: an observable computed on an HTCondor pool, and written back into it.

Two runs of eight walkers are made up from the opening of adenylate kinase: each goes back and forth along it, and
has a weight. The jobs read the walkers' frames; what wepy reads afterwards is in the same file.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import matplotlib as mpl
import mdtraj as md
import numpy as np
from MDAnalysisTests.datafiles import DCD, PSF
from wepy.hdf5 import WepyHDF5
from wepy.util.mdtraj import mdtraj_to_json_topology

from condormap import PersonalPool
from condormap.reducers import Counts, Histogram
from condormap.trajectory import WepyH5, compute_observable

ENSEMBLE = Path("output/adk_ensemble.wepy.h5")
PICTURE = Path("output/wepy_ensemble.png")
N_WALKERS, N_CYCLES = 8, 300


def make_ensemble(path: Path) -> None:
    """Write an ensemble as wepy does: two runs, of which the second one begins with an open enzyme."""
    opening = md.load(DCD, top=PSF)
    opening = opening.atom_slice(opening.topology.select("name CA"))
    random = np.random.default_rng(1)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    WepyHDF5(str(path), mode="x", topology=mdtraj_to_json_topology(opening.topology)).close()
    with WepyHDF5(str(path), mode="r+") as file:
        for run, begin in enumerate((10, 80)):
            file.new_run([])
            weights = random.dirichlet(np.full(N_WALKERS, 2.0))
            for weight in weights:
                walk = begin + np.cumsum(random.normal(scale=3.0, size=N_CYCLES))
                frames = 97 - np.abs(97 - np.abs(walk.round().astype(int)) % 194)  # turns at both ends
                xyz = opening.xyz[frames] + random.normal(scale=0.02, size=(N_CYCLES, opening.n_atoms, 3))
                fields = {"positions": xyz, "box_vectors": np.tile(10.0 * np.eye(3), (N_CYCLES, 1, 1))}
                file.add_traj(run, fields, weights=np.full((N_CYCLES, 1), weight / 2))


def openness(frames: md.Trajectory) -> Any:
    """Return how far apart two domains are in each frame: the lid (residues 122 to 159) and the AMP domain."""
    lid, amp = frames.xyz[:, 121:159].mean(axis=1), frames.xyz[:, 29:59].mean(axis=1)
    return np.linalg.norm(lid - amp, axis=1)


def weighted(fields: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the openness that is in the file by now, and the weights."""
    return fields["observables/openness"], fields["weights"]


def draw(walkers: list[np.ndarray], labels: list[np.ndarray], histogram: Counts, path: Path) -> None:
    """Draw where the walkers went, and the distribution of them all."""
    mpl.use("agg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(
        1, 2, figsize=(11, 5), dpi=150, layout="constrained", sharey=True, width_ratios=(3, 1)
    )
    for walker, label in zip(walkers, labels, strict=True):
        left.plot(label["frame"], walker, lw=0.8, color=("tab:blue", "tab:orange")[label["run"][0]])
    left.set(xlabel="cycle", ylabel="distance of two domains (nm)", title="16 walkers of two runs")
    right.stairs(histogram.counts, histogram.edges, orientation="horizontal", fill=True)
    right.set(xlabel="weight", title="Weighted, all")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    plt.close(figure)


def main() -> None:
    make_ensemble(ENSEMBLE)
    print("Starting a personal HTCondor pool on this machine")
    with PersonalPool() as pool:
        data = WepyH5(ENSEMBLE)
        print(f"{data!r}: its openness, written into it")
        compute = partial(compute_observable, chunk_size=100, pool=pool)
        rows = compute(openness, data, out="observables/openness")
        assert len(rows) == 2 * N_WALKERS
        fields = WepyH5(ENSEMBLE, fields=("observables/openness", "weights"))
        histogram = compute(weighted, fields, reduce=Histogram(60, (1.9, 3.7), weighted=True))

    walkers = []
    with WepyHDF5(str(ENSEMBLE), mode="r") as file:
        for label in data.labels:
            run, traj = label[["run", "traj"]][0]
            found = file.get_traj_field(run, traj, "observables/openness")[:, 0]
            assert np.allclose(
                found, openness(md.Trajectory(file.get_traj_field(run, traj, "positions"), None))
            )
            walkers.append(found)
    print("Compared with what wepy reads: equal")
    print(f"The distribution has a weight of {histogram.counts.sum():.3f}")
    draw(walkers, data.labels, histogram, PICTURE)
    print(f"The picture: {PICTURE.resolve()}")


if __name__ == "__main__":
    main()
