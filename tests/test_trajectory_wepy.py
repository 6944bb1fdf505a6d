"""Chunks of WepyHDF5 files are what wepy reads; unit cells, which wepy gets wrong, are mdtraj's."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import h5py
import mdtraj
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mdtraj.utils import box_vectors_to_lengths_and_angles
from trajectories import same as identical
from trajectories import system
from wepy.hdf5 import WepyHDF5
from wepy.util.mdtraj import mdtraj_to_json_topology

from condormap.errors import InvalidInputError, TrajectoryDamagedError, TrajectoryInputError
from condormap.trajectory import WepyH5

MAIN = list(range(3, 23))  # of the 32 atoms of the system
CALPHAS = [1, 5, 9, 30]
SPARSE = [0, 3, 4, 9]
N = {0: 11, 1: 14}  # frames of the trajectories of each run
TRAJS = 3
FIELDS = ("positions", "box_vectors", "time", "weights", "velocities", "alt_reps/ca", "observables/rg")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a file with two runs of three trajectories, written by wepy."""
    path = str(tmp_path_factory.mktemp("wepy") / "ensemble.wepy.h5")
    WepyHDF5(
        path,
        mode="x",
        topology=mdtraj_to_json_topology(system()),
        units={"positions": "angstrom", "box_vectors": "angstrom", "time": "picosecond"},
        sparse_fields=["velocities"],
        main_rep_idxs=MAIN,
        alt_reps={"ca": CALPHAS},
    )
    random = np.random.default_rng(7)
    with WepyHDF5(path, mode="r+") as file:
        for run, n in N.items():
            file.new_run([])
            for _ in range(TRAJS):
                fields = {
                    "positions": random.normal(size=(n, len(MAIN), 3)),
                    "box_vectors": 40 * np.eye(3) + 3 * random.random((n, 3, 3)),
                    "time": 2.0 * np.arange(n)[:, None],
                    "velocities": random.normal(size=(len(SPARSE), len(MAIN), 3)),
                    "alt_reps/ca": random.normal(size=(2, len(CALPHAS), 3)),
                }
                sparse = {"velocities": SPARSE, "alt_reps/ca": [2, n - 1]}
                file.add_traj(run, fields, weights=random.random((n, 1)), sparse_idxs=sparse)
        file.add_observable("rg", [random.random((TRAJS, n)) for n in N.values()])
    return path


class Wholes(dict[tuple[int, int], dict[str, Any]]):
    """Each field of each trajectory, as wepy reads it."""

    def __repr__(self) -> str:
        return "Wholes()"  # hypothesis shows it


@pytest.fixture(scope="module")
def wholes(path: str) -> Wholes:
    with WepyHDF5(path, mode="r") as file:
        return Wholes(
            {
                (run, traj): {name: file.get_traj_field(run, traj, name) for name in FIELDS}
                for run in N
                for traj in range(TRAJS)
            }
        )


def read_all(data: WepyH5, chunk_size: int) -> list[Any]:
    """Return what jobs read of each trajectory."""
    chunks, reader = pickle.loads(pickle.dumps((data.chunks(chunk_size), data.reader)))
    assert all(chunk.n_out == len(chunk.frames) <= chunk_size for chunk in chunks)
    found: list[Any] = []
    for number in range(len(data.trajectories)):
        parts = [reader(chunk) for chunk in chunks if chunk.source == number]
        if data.fields:
            found.append({name: np.ma.concatenate([part[name] for part in parts]) for name in parts[0]})
        else:
            found.append(mdtraj.join(parts) if len(parts) > 1 else parts[0])
    return found


def same(found: Any, expected: Any) -> None:
    np.testing.assert_array_equal(np.ma.getmaskarray(found), np.ma.getmaskarray(expected))
    np.testing.assert_array_equal(np.ma.filled(found, np.nan), np.ma.filled(expected, np.nan))


@settings(deadline=None, max_examples=40)
@given(
    frames=st.none()
    | st.slices(11).filter(lambda s: all(range(n)[s] for n in N.values()))
    | st.lists(st.integers(-11, 10), min_size=1, max_size=8),
    stride=st.none() | st.integers(1, 5),
    atoms=st.none() | st.lists(st.integers(0, len(MAIN) - 1), min_size=1, unique=True),
    chunk_size=st.integers(1, 12),
    fields=st.lists(st.sampled_from(FIELDS), min_size=1, unique=True),
)
def test_fields_are_those_that_wepy_reads(
    path: str,
    wholes: Wholes,
    frames: Any,
    stride: int | None,
    atoms: list[int] | None,
    chunk_size: int,
    fields: list[str],
) -> None:
    data = WepyH5(path, fields=fields, frames=frames, stride=stride, atoms=atoms)
    assert [(source.run, source.traj) for source in data.trajectories] == list(wholes)
    for found, whole in zip(read_all(data, chunk_size), wholes.values(), strict=True):
        assert list(found) == fields
        for name in fields:
            expected = whole[name][slice(None) if frames is None else frames][::stride]
            of_atoms = atoms is not None and name in ("positions", "velocities")
            same(found[name], expected[:, atoms] if of_atoms else expected)


def test_a_sparse_field_is_masked_and_any_other_is_not(path: str) -> None:
    data = WepyH5(path, fields=["positions", "velocities"], frames=SPARSE)
    fields = data.reader(data.chunks(4)[0])
    assert type(fields["positions"]) is np.ndarray
    assert not fields["velocities"].mask.any()


def cells(box: np.ndarray[Any, Any]) -> tuple[Any, Any]:
    of = box_vectors_to_lengths_and_angles(*(box[:, k] for k in range(3)))
    return np.stack(of[:3], 1).astype(np.float32), np.stack(of[3:], 1).astype(np.float32)


def test_frames_of_mdtraj_are_in_its_units_with_the_topology_of_the_atoms(path: str, wholes: Wholes) -> None:
    data = WepyH5(path, runs=1, trajs=[2, 0], atoms=[7, 2, 8], stride=3)
    assert [(source.run, source.traj) for source in data.trajectories] == [(1, 2), (1, 0)]
    assert data.units["positions"] == "angstrom"
    for found, whole in zip(read_all(data, 2), (wholes[1, 2], wholes[1, 0]), strict=True):
        np.testing.assert_allclose(found.xyz, whole["positions"][::3][:, [7, 2, 8]] / 10, rtol=1e-6)
        np.testing.assert_array_equal(found.time, whole["time"][::3, 0])
        lengths, angles = cells(whole["box_vectors"][::3])
        np.testing.assert_allclose(found.unitcell_lengths, lengths / 10, rtol=1e-6)
        np.testing.assert_allclose(found.unitcell_angles, angles, rtol=1e-6)
        names = [str(system().atom(MAIN[k])) for k in (7, 2, 8)]
        assert [str(atom) for atom in found.topology.atoms] == names


def test_an_mdtraj_trajectory_can_be_made_of_fields(path: str) -> None:
    options: dict[str, Any] = {"frames": [5, 2], "atoms": [4, 1]}
    fields = WepyH5(path, fields=["weights", "positions", "box_vectors", "time"], **options)
    frames = WepyH5(path, **options)
    reader = pickle.loads(pickle.dumps(fields.reader))
    for one, two in zip(fields.chunks(2), frames.chunks(2), strict=True):
        identical(reader.to_mdtraj(reader(one)), frames.reader(two))
    only = WepyH5(path, fields=["positions"], **options)
    assert only.reader.to_mdtraj(only.reader(only.chunks(2)[0])).unitcell_lengths is None


def test_fields_without_positions_are_no_mdtraj_trajectory(path: str) -> None:
    data = WepyH5(path, fields=("weights",))
    with pytest.raises(InvalidInputError, match=r"the fields are weights: .* needs the positions"):
        data.reader.to_mdtraj(data.reader(data.chunks(4)[0]))


def test_the_topology_is_that_of_the_atoms_with_positions(path: str) -> None:
    theirs = system().subset(MAIN)  # wepy's own subset fails on a residue of which it has not all atoms
    ours = WepyH5(path).topology
    assert [str(atom) for atom in ours.atoms] == [str(atom) for atom in theirs.atoms]
    assert {(a.index, b.index) for a, b in ours.bonds} == {(a.index, b.index) for a, b in theirs.bonds}


def test_another_representation_has_the_frames_and_atoms_that_it_has(path: str, wholes: Wholes) -> None:
    data = WepyH5(path, rep="ca", atoms="resSeq 1 3")
    assert data.n_frames == (2,) * 6
    assert [atom.name for atom in data.topology.atoms] == ["CA", "CA"]
    for source, found in zip(data.trajectories, read_all(data, 1), strict=True):
        whole = wholes[source.run, source.traj]
        frames = [2, N[source.run] - 1]
        assert list(source.frames) == frames
        np.testing.assert_allclose(found.xyz, whole["alt_reps/ca"][frames][:, [0, 2]] / 10, rtol=1e-6)
        np.testing.assert_array_equal(found.time, whole["time"][frames, 0])


def test_another_representation_stands_for_the_positions_among_fields(path: str, wholes: Wholes) -> None:
    data = WepyH5(path, rep="ca", fields=["positions", "velocities"], atoms=[3, 0])
    for found, whole in zip(read_all(data, 4), wholes.values(), strict=True):
        same(found["positions"], whole["alt_reps/ca"][:, [3, 0]])
        same(found["velocities"], whole["velocities"])


def test_units_are_found_where_older_and_newer_files_have_them(path: str, tmp_path: Path) -> None:
    other = tmp_path / "other.h5"
    other.write_bytes(Path(path).read_bytes())
    with h5py.File(other, "r+") as file:
        file.move("units/units", "found")
        del file["units"]
        file.move("found", "units")
    assert WepyH5(other).units == WepyH5(path).units


def test_a_file_without_units_and_boxes_has_nanometers_and_no_unit_cells(path: str, tmp_path: Path) -> None:
    other = tmp_path / "other.h5"
    other.write_bytes(Path(path).read_bytes())
    with h5py.File(other, "r+") as file:
        del file["units"], file["runs/0/trajectories/0/box_vectors"], file["runs/0/trajectories/0/time"]
        positions = file["runs/0/trajectories/0/positions"][:]
    (found,) = read_all(WepyH5(other, runs=0, trajs=0, frames=[4, 1]), 5)
    np.testing.assert_array_equal(found.xyz, positions[[4, 1]].astype(np.float32))
    np.testing.assert_array_equal(found.time, [4, 1])
    assert found.unitcell_lengths is None


def test_a_unit_that_is_none_is_refused_where_it_matters(path: str, tmp_path: Path) -> None:
    other = tmp_path / "other.h5"
    other.write_bytes(Path(path).read_bytes())
    with h5py.File(other, "r+") as file:
        del file["units/units/positions"]
        file["units/units/positions"] = "cubit"
    assert WepyH5(other, fields=["positions"]).units["positions"] == "cubit"
    with pytest.raises(TrajectoryInputError, match="positions is in 'cubit', which can't be converted"):
        WepyH5(other)


def test_times_that_only_some_frames_have_are_nan_elsewhere(path: str, tmp_path: Path) -> None:
    other = tmp_path / "other.h5"
    other.write_bytes(Path(path).read_bytes())
    with h5py.File(other, "r+") as file:
        group = file["runs/0/trajectories/0"]
        del group["time"]
        group["time/data"], group["time/_sparse_idxs"] = [[7.0]], [1]
    (found,) = read_all(WepyH5(other, runs=0, trajs=0, frames=[0, 1]), 5)
    np.testing.assert_array_equal(found.time, [np.nan, 7.0])


def test_a_file_that_this_process_reads_otherwise_is_read(path: str) -> None:
    with WepyHDF5(path, mode="r"):
        data = WepyH5(path, runs=0)
        assert data.reader(data.chunks(4)[0]).n_frames == 4


def test_a_file_that_this_process_writes_is_refused(path: str) -> None:
    with WepyHDF5(path, mode="r+"), pytest.raises(TrajectoryDamagedError, match="open for writing"):
        WepyH5(path)


def test_box_vectors_that_only_some_frames_have(path: str, tmp_path: Path) -> None:
    other = tmp_path / "other.h5"
    other.write_bytes(Path(path).read_bytes())
    with h5py.File(other, "r+") as file:
        group = file["runs/0/trajectories/1"]
        boxes = group["box_vectors"][:]
        del group["box_vectors"]
        group["box_vectors/data"], group["box_vectors/_sparse_idxs"] = boxes[[1, 4]], [1, 4]
    with pytest.raises(
        TrajectoryInputError, match=r"trajectory 1: frame 0 has no unit cell.*unitcell"
    ) as info:
        WepyH5(other, runs=0, frames=[1, 0])
    assert info.value.frame == 0
    with_cells = read_all(WepyH5(other, runs=0, frames=[4, 1]), 5)
    np.testing.assert_allclose(with_cells[1].unitcell_vectors[0], mdtraj_box(boxes[4]), rtol=1e-5)
    without = read_all(WepyH5(other, runs=0, frames=[5, 0]), 5)
    assert [each.unitcell_lengths is None for each in without] == [False, True, False]
    assert WepyH5(other, runs=0, fields=["box_vectors"]).n_frames == (11,) * 3


def mdtraj_box(vectors: Any) -> Any:
    """Return box vectors (angstrom) as mdtraj gives them back: in nm, turned."""
    found = box_vectors_to_lengths_and_angles(*(vectors[k] / 10 for k in range(3)))
    return np.array(mdtraj.utils.lengths_and_angles_to_box_vectors(*found))


def test_bytes_of_a_frame_are_those_of_its_fields(path: str) -> None:
    data = WepyH5(path, fields=["positions", "weights", "alt_reps/ca"], atoms=[0, 1])
    assert data.frame_nbytes == 8 * (2 * 3 + 1 + 4 * 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"runs": 2}, r"has no run 2; it has 2, 0 to 1"),
        ({"trajs": [0, 3]}, r"has no run 0, trajectory 3; it has 3, 0 to 2"),
        ({"fields": ["rg"]}, r"the field 'rg' of /runs/0/trajectories/0 isn't there, but .*positions"),
        ({"fields": ["observables"]}, r"is a group of fields: observables/rg"),
        ({"fields": []}, r"fields must be names"),
        ({"fields": ["time", "time"]}, r"each once"),
        ({"rep": "cb"}, r"no alternative representation 'cb'; it has ca"),
        (
            {"rep": "ca", "frames": [2, 5]},
            r"run 0, trajectory 0: frame 5 has no positions of this representation",
        ),
        ({"frames": [12]}, r"run 0, trajectory 0 has 11 frames, and no frame 12"),
        ({"frames": slice(11, None)}, r"run 0, trajectory 0: of its 11 frames, .* chooses none"),
        ({"atoms": [20]}, r"has 20 atoms, and no atom 20"),
        ({"atoms": "name ZN"}, r"chooses none"),
    ],
)
def test_what_is_not_there_is_refused(path: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        WepyH5(path, **options)


def test_what_is_no_wepy_file_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "frames.h5", "w") as file:
        file["coordinates"] = np.zeros((2, 3, 3))
    with pytest.raises(TrajectoryInputError, match="is no WepyHDF5 file: it has no runs, but coordinates"):
        WepyH5(tmp_path / "frames.h5")
    (tmp_path / "text.h5").write_text("Dear grandmother")
    with pytest.raises(TrajectoryDamagedError, match="is no HDF5 file"):
        WepyH5(tmp_path / "text.h5")
    with pytest.raises(TrajectoryInputError, match="No such file"):
        WepyH5(tmp_path / "nowhere.h5")
