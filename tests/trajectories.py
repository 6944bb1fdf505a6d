"""Trajectory files for the tests: written by mdtraj (and wepy), small, of frames that are all different."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mdtraj
import numpy as np

FORMATS = ("xtc", "trr", "dcd", "nc", "h5")


def system(n_residues: int = 8) -> mdtraj.Topology:
    """Return two chains of residues of four atoms each."""
    topology = mdtraj.Topology()
    for name in "AB":
        chain = topology.add_chain(name)
        for number in range(n_residues // 2):
            residue = topology.add_residue("ALA", chain, number + 1, segment_id=f"S{name}")
            atoms = [
                topology.add_atom(atom, mdtraj.element.get_by_symbol(atom[0]), residue)
                for atom in ("N", "CA", "CB", "O")
            ]
            for a, b in ((0, 1), (1, 2), (1, 3)):
                topology.add_bond(atoms[a], atoms[b])
    return topology


def trajectory(n_frames: int = 41, *, cells: bool = True, seed: int = 0) -> mdtraj.Trajectory:
    """Return random frames, in triclinic cells that change."""
    random = np.random.default_rng(seed)
    topology = system()
    xyz = random.normal(scale=2.0, size=(n_frames, topology.n_atoms, 3)).astype(np.float32)
    more: dict[str, Any] = {}
    if cells:
        more["unitcell_lengths"] = 5 + random.random((n_frames, 3))
        more["unitcell_angles"] = 70 + 20 * random.random((n_frames, 3))
    return mdtraj.Trajectory(xyz, topology, time=2.5 + 0.5 * np.arange(n_frames), **more)


def written(folder: Path, suffix: str, made: mdtraj.Trajectory) -> str:
    """Write a trajectory; return the path."""
    path = str(folder / f"frames.{suffix}")
    made.save(path)
    return path


def reference(path: str, topology: mdtraj.Topology) -> mdtraj.Trajectory:
    """Return the whole file as mdtraj reads it."""
    return mdtraj.load(path) if path.endswith(".h5") else mdtraj.load(path, top=topology)


def same(found: mdtraj.Trajectory, expected: mdtraj.Trajectory) -> None:
    """Assert that two trajectories are equal, to the bit."""
    for name in ("xyz", "time", "unitcell_lengths", "unitcell_angles"):
        one, two = getattr(found, name), getattr(expected, name)
        assert (one is None) == (two is None), name
        if one is not None:
            np.testing.assert_array_equal(one, two, err_msg=name)
    assert found.xyz.dtype == expected.xyz.dtype
    assert [str(atom) for atom in found.topology.atoms] == [str(atom) for atom in expected.topology.atoms]
