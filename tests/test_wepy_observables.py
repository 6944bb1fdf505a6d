"""Observables written back into a WepyHDF5 file that wepy has made."""

from __future__ import annotations

import json
import math
import pickle
from pathlib import Path
from typing import Any

import h5py
import mdtraj
import numpy as np
import pytest
from wepy.hdf5 import WepyHDF5

from condormap import PersonalPool, load
from condormap.errors import InvalidInputError
from condormap.reducers import Mean
from condormap.reducers.series import Label, Places
from condormap.trajectory import WepyH5, compute_observable
from condormap.trajectory.wepy_observables import WepyObservables

LENGTHS = ((4, 4), (6, 6))  # frames of the trajectories of each run


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "results.wepy.h5"
    atoms = [{"index": k, "name": "C", "element": "C"} for k in range(3)]
    residue = {"index": 0, "name": "X", "resSeq": 1, "segmentID": "", "atoms": atoms}
    topology = {"chains": [{"index": 0, "residues": [residue]}], "bonds": []}
    WepyHDF5(str(path), mode="x", topology=json.dumps(topology), sparse_fields=["extra"]).close()
    random = np.random.default_rng(5)
    with WepyHDF5(str(path), mode="r+") as file:
        for run, lengths in enumerate(LENGTHS):
            file.new_run([])
            for traj, n in enumerate(lengths):
                fields = {"positions": random.normal(size=(n, 3, 3)), "extra": random.normal(size=(2, 4))}
                weights = np.full((n, 1), 1.0 + traj + 10 * run)
                file.add_traj(run, fields, weights=weights, sparse_idxs={"extra": [1, 3]})
    return path


def observables(path: Path, frames: Any = None, name: str = "size") -> WepyObservables:
    """Return the writer of an observable of both trajectories of run 1, in two parts each."""
    frames = range(6) if frames is None else frames
    n = len(frames) // 2
    labels = [Label(str(path), 1, traj, frames, in_run=True) for traj in (0, 1)]
    series, first = np.array([0, 0, 1, 1]), np.array([0, n, 0, n])
    return WepyObservables(name, Places((2 * n, 2 * n), series, first, np.array([n] * 4), labels=labels))


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


# ---- computed in jobs --------------------------------------------------------------------------------------


def mean_x(frames: mdtraj.Trajectory) -> Any:
    return frames.xyz[:, :, 0].mean(axis=1)


def positions(path: Path) -> dict[tuple[int, int], Any]:
    with h5py.File(path) as file:
        return {
            (run, traj): file[f"runs/{run}/trajectories/{traj}/positions"][()]
            for run in (0, 1)
            for traj in (0, 1)
        }


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            lambda q: {"rg": q.time},
            "a dict of 'rg' for 4 frames .0 to 3. of .*, run 1, trajectory 0; one observ",
        ),
        (lambda q: ["H"] * q.n_frames, "rows of <U1 for 4 frames .* an observable's values are numbers"),
        (lambda q: q.time[:2], r"shape \(2,\) for 4 frames .* one row for each frame"),
    ],
)
def test_rows_that_are_no_observable_are_errors_of_the_job(
    pool: PersonalPool, path: Path, value: Any, message: str
) -> None:
    before = path.read_bytes()
    with pytest.raises((TypeError, ValueError), match=message):
        compute_observable(
            value, WepyH5(path, runs=1), out="observables/x", chunk_size=4, pool=pool, max_jobs=1
        )
    assert path.read_bytes() == before


def test_an_ensemble_is_a_list_with_the_right_labels(pool: PersonalPool, path: Path) -> None:
    data = WepyH5(path)
    found = compute_observable(mean_x, data, chunk_size=3, pool=pool, max_jobs=2)
    for rows, labels in zip(found, data.labels, strict=True):
        (run,), (traj,) = set(labels["run"].tolist()), set(labels["traj"].tolist())
        expected = positions(path)[run, traj][labels["frame"], :, 0].mean(axis=1)
        np.testing.assert_allclose(rows, expected, rtol=1e-5)
    assert [(each["run"][0], each["traj"][0]) for each in data.labels] == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_fields_are_weighted_by_the_weights_of_the_walkers(pool: PersonalPool, path: Path) -> None:
    def weighted(fields: dict[str, Any]) -> Any:
        return fields["positions"][:, 0, 0], fields["weights"][:, 0]

    data = WepyH5(path, fields=("positions", "weights"))
    found = compute_observable(
        weighted, data, reduce=Mean(weighted=True), chunk_size=2, pool=pool, max_jobs=2
    )
    of_all = positions(path)
    values = np.concatenate([of_all[key][:, 0, 0] for key in of_all])
    weights = np.concatenate([np.full(len(of_all[run, traj]), 1.0 + traj + 10 * run) for run, traj in of_all])
    assert found.mean == pytest.approx(np.average(values, weights=weights))
    assert found.n == sum(map(sum, LENGTHS))


def test_what_a_sparse_field_has_not_stays_masked(pool: PersonalPool, path: Path) -> None:
    data = WepyH5(path, runs=1, fields=("extra",))
    found = compute_observable(
        lambda fields: fields["extra"][:, :2], data, chunk_size=2, pool=pool, max_jobs=1
    )
    with WepyHDF5(str(path), mode="r") as file:
        for traj, rows in enumerate(found):
            expected = file.get_traj_field(1, traj, "extra")[:, :2]
            assert np.array_equal(rows.mask, expected.mask)
            assert np.array_equal(rows.compressed(), expected.compressed())


def test_an_observable_is_computed_into_its_file(pool: PersonalPool, path: Path) -> None:
    found = compute_observable(
        mean_x, WepyH5(path), out="observables/x", chunk_size=4, pool=pool, max_jobs=2, tag="into-wepy"
    )
    assert found[3] == (str(path), "runs/1/trajectories/1/observables/x", (6, 1))
    with WepyHDF5(str(path), mode="r") as file:
        for (run, traj), xyz in positions(path).items():
            rows = file.get_traj_field(run, traj, "observables/x")
            np.testing.assert_allclose(rows[:, 0], xyz[:, :, 0].mean(axis=1), rtol=1e-5)
    assert load("into-wepy").result() == found
    again = compute_observable(
        lambda fields: fields["observables/x"], WepyH5(path, fields=("observables/x",)), pool=pool, max_jobs=1
    )
    assert again[3].shape == (6, 1)


def test_the_fields_are_arrays_of_dask(path: Path) -> None:
    arrays = WepyH5(path, fields=("positions", "weights")).to_dask_array("positions", chunk_size=4)
    for array, expected in zip(arrays, positions(path).values(), strict=True):
        assert (array.shape, array.dtype) == (expected.shape, expected.dtype)
        assert np.array_equal(array.compute(scheduler="sync"), expected)


def test_an_array_of_dask_is_masked_where_a_sparse_field_has_nothing(path: Path) -> None:
    with h5py.File(path, "r+") as file:  # integers have no NaN that would tell
        for walk in file["runs/0/trajectories"].values():
            values = walk["extra/data"][:].round().astype(int)
            del walk["extra/data"]
            walk["extra/data"] = values
    data = WepyH5(path, fields=("extra",), runs=0)
    array = data.to_dask_array("extra", chunk_size=3)[0]
    read = data.reader(data.chunks(4)[0])["extra"]
    found = array.compute(scheduler="sync")
    assert array.dtype == found.dtype == np.int64
    assert np.array_equal(found.mask, read.mask)
    assert np.array_equal(found.filled(7), read.filled(7))
    assert array.mean().compute(scheduler="sync") == read.mean()
    labelled = data.to_xarray("extra", chunk_size=3)[0].compute(scheduler="sync")
    np.testing.assert_array_equal(labelled.values, read.astype(float).filled(np.nan))


def test_frames_without_positions_are_frames_of_an_observable(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        for walk in file["runs/1/trajectories"].values():
            positions = walk["positions"][:]
            del walk["positions"]
            walk["positions/data"], walk["positions/_sparse_idxs"] = positions[::3], np.arange(0, 6, 3)
    assert WepyH5(path, runs=1).n_frames == (2, 2)
    reducer, state = written(observables(path, [0, 3]), parts(1))
    reducer.finish(state)
    with h5py.File(path) as file:
        assert file["runs/1/trajectories/0/observables/size/_sparse_idxs"][:].tolist() == [0, 3]
