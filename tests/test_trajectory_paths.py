"""Which paths of trajectories and topologies are meant, and which are refused."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from trajectories import FORMATS, reference, same, system, trajectory, written

from condormap.errors import InvalidInputError, TrajectoryInputError
from condormap.trajectory import Trajectory, WepyH5

N = 5


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("name", ["Größe 水", os.fsdecode(b"latin-\xe9")])
def test_a_name_may_have_any_letters(tmp_path: Path, suffix: str, name: str) -> None:
    path = written(tmp_path, suffix, trajectory(N))
    other = tmp_path / name / f"{name}.{suffix}"
    try:
        other.parent.mkdir()
    except (OSError, UnicodeError) as error:
        pytest.skip(f"no such name can be here: {error}")
    shutil.copy(path, other)
    data = Trajectory(other, top=system(), frames=[4, 0, 2])
    (chunk,) = data.chunks(N)
    expected = reference(path, system())[[4, 0, 2]]
    same(data.reader(chunk), expected)
    same(data.reader(chunk.with_data()), expected)


def test_the_home_folder_is_meant_by_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = trajectory(N)
    made[0].save(str(tmp_path / "system.pdb"))
    written(tmp_path, "xtc", made)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Trajectory("~/frames.xtc", top="~/system.pdb").topology.n_atoms == made.n_atoms
    assert Trajectory("~/frames.xtc", top=Path("~/system.pdb")).n_frames == (N,)


def test_a_topology_that_is_nowhere_or_no_path_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "xtc", trajectory(N))
    for top in ("~/nowhere/system.pdb", 3):
        with pytest.raises(TrajectoryInputError, match="mdtraj can't read a topology from it"):
            Trajectory(path, top=top)


def test_bytes_are_no_path() -> None:
    for given in (b"a.xtc", [b"a.xtc"]):
        with pytest.raises(InvalidInputError, match=r"not b'a.xtc': os.fsdecode makes text of it"):
            Trajectory(given, top=system())


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_folder_is_called_one(tmp_path: Path, suffix: str) -> None:
    folder = tmp_path / f"frames.{suffix}"
    folder.mkdir()
    for describe in (Trajectory, WepyH5):
        with pytest.raises(TrajectoryInputError, match=f"^{folder} is a folder: give the file") as caught:
            describe(folder)
        assert caught.value.path == str(folder)
        assert "\n" not in str(caught.value)


def test_what_is_no_regular_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "frames.dcd")
    with pytest.raises(TrajectoryInputError, match="is no regular file"):
        Trajectory(tmp_path / "frames.dcd", top=system())


@pytest.mark.parametrize("suffix", ["nc", "h5"])
def test_unit_cells_that_are_all_zeros_are_none(tmp_path: Path, suffix: str) -> None:
    made = trajectory(N)
    made.unitcell_lengths = np.zeros((N, 3))
    data = Trajectory(written(tmp_path, suffix, made), top=system())
    assert data.reader(data.chunks(N)[0]).unitcell_lengths is None
