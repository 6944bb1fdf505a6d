"""Fields of WepyHDF5 files that are shorter than their trajectory, or not of one kind in all: never filled up."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from trajectories import system
from wepy.hdf5 import WepyHDF5
from wepy.util.mdtraj import mdtraj_to_json_topology

from condormap.errors import TrajectoryDamagedError, TrajectoryInputError
from condormap.trajectory import WepyH5
from condormap.trajectory.formats.hdf5 import opened, rows_of

N, MORE = 12, 5  # frames, and those that are added later
ATOMS = system().n_atoms
WALK = "runs/0/trajectories/0"


def frames(n: int) -> dict[str, Any]:
    random = np.random.default_rng(n)
    return {
        "positions": random.normal(size=(n, ATOMS, 3)),
        "box_vectors": 4 * np.eye(3) + random.random((n, 3, 3)),
        "time": 2.0 * np.arange(n)[:, None],
    }


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Return a file with a run of two trajectories, and an observable of them."""
    path = str(tmp_path / "walks.wepy.h5")
    WepyHDF5(path, mode="x", topology=mdtraj_to_json_topology(system())).close()
    with WepyHDF5(path, mode="r+") as file:
        file.new_run([])
        for _ in range(2):
            file.add_traj(0, frames(N), weights=np.full((N, 1), 0.5))
        file.add_observable("rg", [[np.arange(N)[:, None] + 0.5] * 2])
    return path


@pytest.fixture
def extended(path: str) -> str:
    """Return a file whose first trajectory went on after the observable was written."""
    with WepyHDF5(path, mode="r+") as file:
        file.extend_traj(0, 0, frames(MORE), weights=np.full((MORE, 1), 0.5))
    return path


def read(data: WepyH5, number: int = 0) -> Any:
    (chunk,) = [chunk for chunk in data.chunks(100) if chunk.source == number]
    return data.reader(chunk)


@pytest.mark.parametrize("chosen", [None, [0, 16], slice(12, None)])
def test_frames_that_lack_a_field_are_refused_with_the_first_of_them(extended: str, chosen: Any) -> None:
    message = rf"{extended}, run 0, trajectory 0: frame \d+ has no observables/rg: .* 17 frames, and 12 rows"
    with pytest.raises(TrajectoryInputError, match=message) as caught:
        WepyH5(extended, fields=["observables/rg"], trajs=0, frames=chosen)
    assert (caught.value.path, caught.value.frame) == (extended, 16 if chosen == [0, 16] else 12)


def test_frames_that_have_a_field_are_read_where_others_lack_it(extended: str) -> None:
    found = read(WepyH5(extended, fields=["observables/rg", "time"], trajs=0, frames=slice(N)))
    assert found["observables/rg"][:, 0].tolist() == [k + 0.5 for k in range(N)]
    assert WepyH5(extended, fields=["time"]).n_frames == (N + MORE, N)


@pytest.mark.parametrize("name", ["positions", "time", "box_vectors"])
def test_mdtraj_s_frames_are_not_made_where_a_field_of_them_ends_before(path: str, name: str) -> None:
    with h5py.File(path, "r+") as file:
        file[f"{WALK}/{name}"].resize(N - 1, axis=0)
    with pytest.raises(TrajectoryInputError, match=f"frame {N - 1} has no {name}") as caught:
        WepyH5(path)
    assert caught.value.frame == N - 1
    assert read(WepyH5(path, frames=slice(N - 1))).n_frames == N - 1


def test_rows_that_are_gone_in_the_job_are_an_error_and_not_copies(path: str) -> None:
    with opened(path) as file:
        for rows in ([0, N], [N - 1, N, N + 1], [N]):
            with pytest.raises(TrajectoryDamagedError, match=f"{WALK}/time has {N} rows") as caught:
                rows_of(file[f"{WALK}/time"], path, np.array(rows))
            assert caught.value.frame == N


@pytest.mark.parametrize(
    ("numbers", "rows", "frame", "message"),
    [
        ([1, 4, 7], 2, 7, "names 3 frames .* has data of 2: it was not written"),
        ([1, 4], 3, None, "names 2 frames .* has data of 3"),
        ([4, 1], 2, 1, "names frame 1 .* after frame 4"),
    ],
)
def test_a_sparse_field_with_a_row_for_not_each_of_its_frames_is_damaged(
    path: str, numbers: list[int], rows: int, frame: int | None, message: str
) -> None:
    with h5py.File(path, "r+") as file:
        file[f"{WALK}/forces/_sparse_idxs"] = numbers
        file[f"{WALK}/forces/data"] = np.ones((rows, ATOMS, 3))
    with pytest.raises(TrajectoryDamagedError, match=f"/{WALK}/forces {message}") as caught:
        WepyH5(path, fields=["forces"], trajs=0)
    assert (caught.value.path, caught.value.frame) == (path, frame)


@pytest.mark.parametrize("chunk_size", [5, 100])
def test_arrays_are_of_the_type_and_shape_of_each_trajectory(path: str, chunk_size: int) -> None:
    with h5py.File(path, "r+") as file:
        file[f"{WALK}/state"] = np.arange(N)[:, None]
        file["runs/0/trajectories/1/state"] = np.arange(3 * N).reshape(N, 3) + 0.25
    data = WepyH5(path, fields=["state"])
    whole, real = data.to_dask_array("state", chunk_size)
    assert (whole.dtype, whole.shape, real.dtype, real.shape) == (np.int64, (N, 1), np.float64, (N, 3))
    for array, number in ((whole, 0), (real, 1)):
        found = array.compute(scheduler="sync")
        assert (found.dtype, found.shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(found, read(data, number)["state"])
    assert [each.dims for each in data.to_xarray("state")] == [("frame", "state_0")] * 2
    assert data.frame_nbytes == 3 * 8


def test_atoms_of_a_field_with_other_atoms_than_positions_are_refused(path: str) -> None:
    with h5py.File(path, "r+") as file:
        file[f"{WALK}/forces"] = np.ones((N, 3, 3))
    message = r"a frame of forces is of shape \(3, 3\), .* without atoms="
    with pytest.raises(TrajectoryInputError, match=message):
        WepyH5(path, fields=["forces"], trajs=0, atoms=[5, 2])
    whole = WepyH5(path, fields=["forces"], trajs=0)
    assert whole.to_dask_array("forces")[0].shape == (N, 3, 3)


def test_a_run_without_a_group_of_trajectories_is_an_error_with_a_way_out(path: str) -> None:
    with h5py.File(path, "r+") as file:
        file.create_group("runs/2")
    with pytest.raises(TrajectoryDamagedError, match=r"run 2 has no group of trajectories.*runs=") as caught:
        WepyH5(path)
    assert caught.value.path == path
    assert WepyH5(path, runs=0).n_frames == (N, N)


def test_a_field_that_is_one_value_is_refused(path: str) -> None:
    with h5py.File(path, "r+") as file:
        file[f"{WALK}/mass"] = 3.0
    with pytest.raises(
        TrajectoryInputError, match=re.escape("'mass' of /runs/0/trajectories/0 is one value")
    ):
        WepyH5(path, fields=["mass"], trajs=0)
