"""An analysis of MDAnalysis on an HTCondor pool: how much each residue of adenylate kinase moves.

Any class of MDAnalysis that can be computed in parts (`AnalysisBase.parallelizable`), or one of your own as here,
takes condormap's backend; the jobs read the trajectory.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import MDAnalysis as mda
import numpy as np
from MDAnalysis.analysis.align import rotation_matrix
from MDAnalysis.analysis.base import AnalysisBase
from MDAnalysis.analysis.results import ResultsGroup
from MDAnalysisTests.datafiles import DCD, PSF

from condormap import PersonalPool
from condormap.integrations.mdanalysis import CondorBackend

PICTURE = Path("output/mdanalysis_rmsf.png")


class Fluctuations(AnalysisBase):  # type: ignore[misc]
    """How much atoms move, each frame turned onto the first one: sums of positions and of their squares."""

    _analysis_algorithm_is_parallelizable = True

    @classmethod
    def get_supported_backends(cls) -> tuple[str, ...]:
        return ("serial", "multiprocessing")

    def __init__(self, atoms: Any) -> None:
        super().__init__(atoms.universe.trajectory)
        self.atoms = atoms
        self.reference = atoms.positions - atoms.positions.mean(axis=0)

    def _prepare(self) -> None:
        self.results.n = 0
        self.results.sum = np.zeros((len(self.atoms), 3))
        self.results.squares = np.zeros((len(self.atoms), 3))

    def _single_frame(self) -> None:
        centred = self.atoms.positions - self.atoms.positions.mean(axis=0)
        turn, _ = rotation_matrix(centred, self.reference)
        turned = centred @ turn.T
        self.results.n += 1
        self.results.sum += turned
        self.results.squares += turned**2

    def _get_aggregator(self) -> ResultsGroup:
        return ResultsGroup(dict.fromkeys(("n", "sum", "squares"), sum))

    def _conclude(self) -> None:
        n, mean = self.results.n, self.results.sum / self.results.n
        self.results.rmsf = np.sqrt((self.results.squares / n - mean**2).sum(axis=1))


def draw(residues: np.ndarray, rmsf: np.ndarray, path: Path) -> None:
    """Draw the fluctuations along the chain."""
    mpl.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(10, 5), dpi=150, layout="constrained")
    axes.plot(residues, rmsf)
    axes.set(xlabel="residue", ylabel="RMSF of Cα (Å)", title="Adenylate kinase, MDAnalysis on condormap")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    plt.close(figure)


def main() -> None:
    alphas = mda.Universe(PSF, DCD).select_atoms("name CA")
    print("Starting a personal HTCondor pool on this machine")
    with PersonalPool() as pool:
        backend = CondorBackend(n_workers=4, pool=pool)
        found = Fluctuations(alphas).run(backend=backend, unsupported_backend=True, n_parts=4)
    assert np.allclose(found.results.rmsf, Fluctuations(alphas).run().results.rmsf), (
        "not what one process gives"
    )
    print(f"{found.n_frames} frames in 4 parts, compared with one process: equal")
    draw(alphas.resids, found.results.rmsf, PICTURE)
    print(f"The picture: {PICTURE.resolve()}")


if __name__ == "__main__":
    main()
