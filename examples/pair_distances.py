"""All pairs of atoms, twice: a slow function of one's own, and a histogram that never leaves the jobs.

`crude_distances` is what people write first, in pure Python; each frame takes it a while, so jobs that share the
frames save that much time. The histogram of all 366,000 distances of each frame would be 143 MB of distances as an
array; the jobs send 200 counts each. And the map of contacts is what both are for.
"""

from __future__ import annotations

import time
from pathlib import Path

import matplotlib as mpl
import mdtraj as md
import numpy as np
from MDAnalysisTests.datafiles import DCD, PSF

from condormap import PersonalPool
from condormap.trajectory import ContactMap, DistanceHistogram, Trajectory, compute_observable
from condormap.trajectory.reduced import DistanceCounts

PICTURE = Path("output/pair_distances.png")


def crude_distances(frames: md.Trajectory) -> list[float]:
    """Return, for each frame, the mean distance of two atoms: two loops, and no NumPy."""
    means = []
    for xyz in frames.xyz.tolist():
        total, n = 0.0, 0
        for i, (xi, yi, zi) in enumerate(xyz):
            for xj, yj, zj in xyz[i + 1 :]:
                total += ((xi - xj) ** 2 + (yi - yj) ** 2 + (zi - zj) ** 2) ** 0.5
                n += 1
        means.append(total / n)
    return means


def draw(means: np.ndarray, histogram: DistanceCounts, contacts: np.ndarray, path: Path) -> None:
    """Draw the three side by side."""
    mpl.use("agg")
    from matplotlib import pyplot as plt

    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(15, 4.5), dpi=150, layout="constrained")
    left.plot(means)
    left.set(xlabel="frame", ylabel="nm", title="Mean distance of two Cα atoms")
    middle.stairs(histogram.counts, histogram.edges, fill=True)
    middle.set(xlabel="nm", ylabel="pairs", title="All pairs of backbone atoms, all frames")
    image = right.imshow(contacts, origin="lower", cmap="magma_r", vmin=0, vmax=1)
    right.set(xlabel="residue", ylabel="residue", title="In contact (Cα nearer than 1 nm)")
    figure.colorbar(image, ax=right, label="fraction of the frames")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    plt.close(figure)


def main() -> None:
    print("Starting a personal HTCondor pool on this machine")
    with PersonalPool() as pool:
        alphas = Trajectory(DCD, top=PSF, atoms="name CA")
        began = time.perf_counter()
        means = compute_observable(crude_distances, alphas, chunk_size=10, pool=pool)
        print(f"crude_distances of {len(means)} frames: {time.perf_counter() - began:.1f} s")

        backbone = Trajectory(DCD, top=PSF, atoms="backbone")
        began = time.perf_counter()
        histogram = compute_observable(DistanceHistogram(200, (0.0, 8.0)), backbone, pool=pool)
        print(f"a histogram of {histogram.counts.sum():,} distances: {time.perf_counter() - began:.1f} s")
        contacts = compute_observable(ContactMap(1.0, scheme="ca"), alphas, pool=pool)

    loaded = md.load(DCD, top=PSF)
    loaded = loaded.atom_slice(loaded.topology.select("name CA"))
    distances = md.compute_distances(loaded, np.column_stack(np.triu_indices(loaded.n_atoms, 1)))
    assert np.allclose(means, distances.mean(axis=1)), "not what mdtraj gives"
    print("Compared with mdtraj: equal")
    draw(means, histogram, contacts.matrix(), PICTURE)
    print(f"The picture: {PICTURE.resolve()}")


if __name__ == "__main__":
    main()
