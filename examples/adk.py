"""Adenylate kinase opens: RMSD, radius of gyration and the surface of each residue, computed on an HTCondor pool.

The trajectory is `adk_dims.dcd` of MDAnalysis' test data (pip install MDAnalysisTests), a transition between the
closed and the open enzyme: 98 frames of 3,341 atoms. The jobs read their own frames of it.
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import matplotlib as mpl
import mdtraj as md
import numpy as np
from MDAnalysisTests.datafiles import DCD, PSF

from condormap import PersonalPool
from condormap.trajectory import Trajectory, compute_observable

PICTURE = Path("output/adk.png")


def shape(frames: md.Trajectory, ends: md.Trajectory) -> dict[str, np.ndarray]:
    """Return, for each frame, how far it is from either end and how extended it is, in nm."""
    return {
        "closed": md.rmsd(frames, ends, 0),
        "open": md.rmsd(frames, ends, 1),
        "radius": md.compute_rg(frames),
    }


def draw(shapes: dict[str, np.ndarray], surface: np.ndarray, frames: np.ndarray, path: Path) -> None:
    """Draw the shapes over the frames, and below them the surface of each residue."""
    mpl.use("agg")
    from matplotlib import pyplot as plt

    figure, (above, below) = plt.subplots(
        2, figsize=(10, 8), dpi=150, layout="constrained", sharex=True, height_ratios=(2, 3)
    )
    above.plot(shapes["closed"], label="RMSD from the first frame")
    above.plot(shapes["open"], label="RMSD from the last frame")
    above.plot(shapes["radius"] - shapes["radius"][0], label="radius of gyration, its increase")
    above.set(ylabel="nm", title="Adenylate kinase opens, computed by condormap")
    above.legend()
    changes = (surface - surface[0]).T
    image = below.pcolormesh(frames, np.arange(len(changes)), changes, cmap="RdBu_r", vmin=-1, vmax=1)
    figure.colorbar(image, ax=below, label="change of the surface (nm²)")
    below.set(xlabel="frame", ylabel="residue")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    plt.close(figure)


def main() -> None:
    print("Starting a personal HTCondor pool on this machine")
    with PersonalPool() as pool:
        backbone = Trajectory(DCD, top=PSF, atoms="backbone")
        ends = Trajectory(DCD, top=PSF, atoms="backbone", frames=[0, -1])
        ends = ends.reader(ends.chunks(2)[0])
        began = time.perf_counter()
        shapes = compute_observable(partial(shape, ends=ends), backbone, chunk_size=25, pool=pool)
        print(
            f"{len(shapes['radius'])} frames of {backbone.n_atoms} atoms: {time.perf_counter() - began:.1f} s"
        )

        whole = Trajectory(DCD, top=PSF, stride=4)
        began = time.perf_counter()
        areas = partial(md.shrake_rupley, n_sphere_points=240, mode="residue")
        surface = compute_observable(areas, whole, pool=pool)
        n, n_residues = surface.shape
        print(f"{n} frames of {n_residues} residues' surfaces: {time.perf_counter() - began:.1f} s")

    loaded = md.load(DCD, top=PSF)
    assert np.allclose(shapes["radius"], md.compute_rg(loaded.atom_slice(loaded.topology.select("backbone"))))
    assert np.allclose(surface[-1], areas(loaded[96]), atol=0.02)
    print("Compared with mdtraj on the whole trajectory: equal")
    draw(shapes, surface, whole.labels["frame"], PICTURE)
    print(f"The picture: {PICTURE.resolve()}")


if __name__ == "__main__":
    main()
