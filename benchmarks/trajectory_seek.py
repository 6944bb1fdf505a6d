"""The last 100 of 10,000 frames as a job reads them, against mdtraj; and 1,000 short trajectories described.

A job has where its frames begin in an XTC or TRR file; mdtraj goes through the file to find out. Goal: a quarter
of mdtraj's time for those; the floor, mdtraj told where they begin, shows how much of that is unpacking the
coordinates. For the other formats nothing has to be found; goal: no slower.

    python benchmarks/trajectory_seek.py [ROUNDS]
"""

from __future__ import annotations

import os
import pickle
import shutil
import sys
import tempfile
from pathlib import Path

import mdtraj
import numpy as np
from harness import interleave, report, timed
from MDAnalysisTests.datafiles import GRO, XTC

from condormap.trajectory import Trajectory

N_ATOMS, N_FRAMES, N_READ = 774, 10_000, 100
SHORT, SHORT_FRAMES = 1000, 100
GOALS = {"xtc": 0.25, "trr": 0.25, "dcd": 1.0, "nc": 1.0, "h5": 1.0}


def made(n_frames: int) -> mdtraj.Trajectory:
    """Return the first atoms of adenylate kinase in water, their frames repeated and each moved by a little."""
    real = mdtraj.load(XTC, top=GRO, atom_indices=range(N_ATOMS))
    tiled = mdtraj.join([real] * -(-n_frames // real.n_frames))[:n_frames]
    tiled.xyz += np.linspace(0, 1, n_frames, dtype=np.float32)[:, None, None]
    tiled.time = np.arange(n_frames)
    return tiled


def seek(folder: Path, whole: mdtraj.Trajectory, suffix: str, rounds: int) -> None:
    path = str(folder / f"long.{suffix}")
    whole.save(path)
    data = Trajectory(path, top=whole.topology)
    chunk = pickle.loads(pickle.dumps(data.chunks(N_READ)[-1]))
    reader = data.reader

    def ours() -> object:
        return reader(chunk)

    def theirs() -> object:
        with mdtraj.open(path) as file:
            file.seek(N_FRAMES - N_READ)
            if suffix == "h5":
                return file.read_as_traj(n_frames=N_READ)
            return file.read_as_traj(whole.topology, n_frames=N_READ)

    assert np.array_equal(ours().xyz, theirs().xyz)  # type: ignore[attr-defined]
    contenders = {"a job's read": timed(ours), "mdtraj, seek and read": timed(theirs)}
    if chunk.offsets is not None:
        starts = chunk.offsets.array

        def told() -> None:
            with mdtraj.open(path) as file:
                file.offsets = starts
                file.seek(0)
                file.read(N_READ)

        contenders["mdtraj, told where"] = timed(told)
    runs = interleave(contenders, rounds)
    what = f"{suffix}, {len(pickle.dumps(chunk))} bytes of specification"
    report(
        f"frames {N_FRAMES - N_READ} to {N_FRAMES} of {N_ATOMS} atoms: {what}",
        runs,
        goals={"total": GOALS[suffix]},
    )


def many(folder: Path, whole: mdtraj.Trajectory, rounds: int) -> None:
    whole[:SHORT_FRAMES].save(str(folder / "short-0.xtc"))
    paths = [str(folder / f"short-{number}.xtc") for number in range(SHORT)]
    for path in paths[1:]:
        shutil.copy(paths[0], path)

    def described() -> Trajectory:
        return Trajectory(paths, top=whole.topology)

    def lengths() -> None:
        for path in paths:
            with mdtraj.open(path) as file:
                len(file)

    data = described()

    def chunked() -> None:
        packed = [pickle.dumps(job) for job in data.jobs(50, frames=5000)]
        assert len(packed) == SHORT * SHORT_FRAMES // 5000

    contenders = {"described": timed(described), "mdtraj, length of each": timed(lengths)}
    title = f"{SHORT} trajectories of {SHORT_FRAMES} frames"
    report(title, interleave(contenders, rounds), goals={"total": 4.0})
    report(
        f"{title}, in chunks of 50", interleave({"packed for 20 jobs and pickled": timed(chunked)}, rounds)
    )


def main(rounds: int = 7) -> None:
    with tempfile.TemporaryDirectory(prefix="condormap-bench-") as home:
        os.environ["CONDORMAP_HOME"] = home
        whole = made(N_FRAMES)
        for suffix in GOALS:
            seek(Path(home), whole, suffix, rounds)
        many(Path(home), whole, rounds)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
