"""A real trajectory made longer: adenylate kinase again and again, each tile a little larger than the one before.

So a tile that comes in the wrong place gives other numbers.
"""

from __future__ import annotations

from pathlib import Path

import mdtraj as md
import numpy as np
from MDAnalysisTests.datafiles import DCD, PSF

GROWTH = 1e-3  # of a tile against the one before


def tiled(path: Path, n_frames: int, atoms: str = "backbone") -> md.Topology:
    """Write so many frames of some of the protein's atoms, as an XTC file; return their topology.

    Parameters
    ----------
    path : Path
        The file.
    n_frames : int
        How many frames.
    atoms : str
        The atoms, in mdtraj's language.
    """
    whole = md.load(DCD, top=PSF)
    tile = whole.atom_slice(whole.topology.select(atoms))
    with md.formats.XTCTrajectoryFile(str(path), "w") as file:
        for start in range(0, n_frames, len(tile)):
            xyz = tile.xyz[: n_frames - start] * (1 + GROWTH * (start // len(tile)))
            times = np.arange(start, start + len(xyz), dtype=np.float32)
            file.write(
                xyz, time=times, step=times.astype(np.int32), box=np.tile(np.eye(3) * 10, (len(xyz), 1, 1))
            )
    return tile.topology
