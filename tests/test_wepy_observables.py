"""Observables written back into a WepyHDF5 file that wepy has made."""

from __future__ import annotations

import json
import math
import pickle
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from wepy.hdf5 import WepyHDF5

from condormap.errors import InvalidInputError
from condormap.reducers.hdf5_series import Label
from condormap.reducers.series import Places
from condormap.trajectory.wepy_observables import WepyObservables

LENGTHS = ((4, 4), (6, 6))  # frames of the trajectories of each run


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "results.wepy.h5"
    atoms = [{"index": k, "name": "C", "element": "C"} for k in range(3)]
    residue = {"index": 0, "name": "X", "resSeq": 1, "segmentID": "", "atoms": atoms}
    topology = {"chains": [{"index": 0, "residues": [residue]}], "bonds": []}
    WepyHDF5(str(path), mode="x", topology=json.dumps(topology)).close()
    with WepyHDF5(str(path), mode="r+") as file:
        for run, lengths in enumerate(LENGTHS):
            file.new_run([])
            for n in lengths:
                file.add_traj(run, {"positions": np.zeros((n, 3, 3))}, weights=np.ones((n, 1)))
    return path


def observables(path: Path, frames: Any = None, name: str = "size") -> WepyObservables:
    """Return the writer of an observable of both trajectories of run 1, in two parts each."""
    frames = range(6) if frames is None else frames
    n = len(frames) // 2
    places = Places((2 * n, 2 * n), np.array([0, 0, 1, 1]), np.array([0, n, 0, n]), np.array([n] * 4))
    return WepyObservables(name, places, [Label(str(path), 1, traj, frames) for traj in (0, 1)])


def parts(n: int, *row: int) -> list[Any]:
    return [np.arange(n * math.prod(row)).reshape(n, *row) + 100.0 * k for k in range(4)]


def written(reducer: WepyObservables, values: list[Any]) -> Any:
    reducer = pickle.loads(pickle.dumps(reducer))
    state = reducer.zero()
    for item in (2, 0, 3, 1):
        state = reducer.merge(state, reducer.add(reducer.zero(), item, values[item]))
    return reducer, state


def test_wepy_reads_the_observable_where_it_belongs(path: Path) -> None:
    values = parts(3, 2)
    reducer, state = written(observables(path), values)
    found = reducer.finish(state)
    assert [each.dataset for each in found] == [f"runs/1/trajectories/{k}/observables/size" for k in (0, 1)]
    with WepyHDF5(str(path), mode="r") as file:
        for traj in (0, 1):
            expected = np.concatenate(values[2 * traj : 2 * traj + 2])
            assert np.array_equal(file.get_traj_field(1, traj, "observables/size"), expected)
        assert "observables" not in file.h5["runs/0/trajectories/0"]
    assert sorted(each.name for each in path.parent.iterdir()) == [path.name]
    assert reducer.finish(state) == found


def test_a_number_for_each_frame_is_a_feature_vector_of_one(path: Path) -> None:
    reducer, state = written(observables(path), parts(3))
    assert [each.shape for each in reducer.finish(state)] == [(6, 1), (6, 1)]


def test_an_observable_of_some_frames_is_a_sparse_field(path: Path) -> None:
    values = parts(2)
    reducer, state = written(observables(path, frames=[0, 2, 3, 5]), values)
    reducer.finish(state)
    with WepyHDF5(str(path), mode="r") as file:
        field = file.get_traj_field(1, 1, "observables/size")
    assert field.mask[:, 0].tolist() == [False, True, False, False, True, False]
    assert field.compressed().tolist() == np.concatenate(values[2:]).tolist()


def test_rows_stay_beside_the_file_until_all_are_there(path: Path) -> None:
    before = path.read_bytes()
    reducer = observables(path)
    (first, _) = reducer.finish(reducer.add(reducer.zero(), 1, np.ones(3)))
    assert path.read_bytes() == before
    with h5py.File(first.path) as file:
        assert np.array_equal(file["0/size"][:], [np.nan] * 3 + [1.0] * 3, equal_nan=True)


def test_a_move_that_was_cut_off_is_made_again(path: Path) -> None:
    reducer, state = written(observables(path), parts(3))
    with h5py.File(path, "r+") as file:  # as a process leaves it that is killed between two trajectories
        file["runs/1/trajectories/0/observables/size"] = np.zeros((6, 1))
    reducer.finish(state)
    with h5py.File(path) as file:
        assert file["runs/1/trajectories/0/observables/size"][1, 0] == 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frames": [3, 2, 1, 0]}, "not in ascending order"),
        ({"name": "a/b"}, "no slash"),
        ({"name": "there"}, "has an observable 'there' of run 1, trajectory 1"),
    ],
)
def test_what_cannot_be_an_observable_is_refused(path: Path, change: dict[str, Any], message: str) -> None:
    with h5py.File(path, "r+") as file:
        file["runs/1/trajectories/1/observables/there"] = np.zeros((6, 1))
    with pytest.raises(InvalidInputError, match=message):
        observables(path, **change)
