"""Trajectories as collections of dask's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import mdtraj
import numpy as np
import pytest
from dask.delayed import Delayed
from distributed import Client, LocalCluster
from MDAnalysisTests.datafiles import DCD, PSF

from condormap import CondorExecutor, PersonalPool
from condormap.errors import InvalidInputError, TrajectoryChangedError
from condormap.trajectory import Trajectory, compute_observable


@pytest.fixture(scope="module")
def loaded() -> mdtraj.Trajectory:
    whole = mdtraj.load(DCD, top=PSF)
    return whole.atom_slice(range(5))


@pytest.fixture(scope="module")
def data() -> Trajectory:
    return Trajectory(DCD, top=PSF, atoms=range(5))


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with (
        LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        yield client


def test_an_array_knows_shape_type_and_chunks_before_it_reads(tmp_path: Path) -> None:
    path = tmp_path / "run.dcd"
    path.write_bytes(Path(DCD).read_bytes())
    array = Trajectory(path, top=PSF, stride=3).to_dask_array("xyz", chunk_size=20)
    path.unlink()
    assert (array.shape, array.dtype, array.chunks) == ((33, 3341, 3), np.float32, ((20, 13), (3341,), (3,)))
    with pytest.raises(TrajectoryChangedError, match="was removed"):
        array.compute(scheduler="sync")


def test_an_array_has_the_frames(data: Trajectory, loaded: mdtraj.Trajectory) -> None:
    array = data.to_dask_array(chunk_size=30)
    with dask.config.set(scheduler="sync"):
        assert np.array_equal(array.compute(), loaded.xyz)
        assert np.array_equal(array[31:90:7, ::2].compute(), loaded.xyz[31:90:7, ::2])
        np.testing.assert_allclose(
            array.mean(axis=0).compute(), loaded.xyz.mean(axis=0, dtype=float), rtol=1e-5
        )
        assert np.array_equal(data.to_dask_array("time", chunk_size=30).compute(), loaded.time)


def test_several_trajectories_are_several_arrays(loaded: mdtraj.Trajectory) -> None:
    first, second = Trajectory([loaded[:7], loaded[7:12]]).to_dask_array(chunk_size=4)
    assert (first.chunks[0], second.chunks[0]) == ((4, 3), (4, 1))
    assert np.array_equal(second.compute(scheduler="sync"), loaded.xyz[7:12])


def test_xarray_selects_by_the_numbers_of_frames(loaded: mdtraj.Trajectory) -> None:
    first, second = Trajectory([loaded[:30], loaded[30:]], stride=10).to_xarray(chunk_size=2)
    assert (second.dims, second.shape, int(second.traj)) == (("frame", "atom", "axis"), (7, 5, 3), 1)
    assert second.frame.to_numpy().tolist() == [0, 10, 20, 30, 40, 50, 60]
    with dask.config.set(scheduler="sync"):
        assert np.array_equal(second.sel(frame=[20, 50], axis="y").to_numpy(), loaded.xyz[[50, 80], :, 1])
        assert np.array_equal(first.isel(frame=1).to_numpy(), loaded.xyz[10])


def test_what_frames_have_not_is_refused(data: Trajectory) -> None:
    with pytest.raises(InvalidInputError, match="no 'unitcell_vectors'; they have xyz, time"):
        data.to_dask_array("unitcell_vectors")


def test_a_bag_has_the_frames_of_a_chunk_in_each_partition(
    data: Trajectory, loaded: mdtraj.Trajectory
) -> None:
    bag = data.to_bag(chunk_size=40)
    assert bag.npartitions == 3
    radii = bag.map(mdtraj.compute_rg)
    twice = [np.concatenate(radii.compute(scheduler="sync")) for _ in range(2)]
    assert np.array_equal(twice[0], mdtraj.compute_rg(loaded))
    assert np.array_equal(*twice)


def test_what_is_done_to_delayed_frames_stays_there(loaded: mdtraj.Trajectory) -> None:
    def moved(frames: mdtraj.Trajectory) -> Any:
        frames.xyz += 1.0
        return frames.xyz

    before = loaded.xyz.copy()
    parts: list[Delayed] = [dask.delayed(moved)(part) for part in Trajectory(loaded).to_delayed(40)]
    twice = [np.concatenate(dask.compute(*parts, scheduler="sync")) for _ in range(2)]
    assert np.array_equal(*twice)
    assert np.array_equal(loaded.xyz, before)


def test_condor_jobs_read_the_parts(pool: PersonalPool, data: Trajectory, loaded: mdtraj.Trajectory) -> None:
    with CondorExecutor(pool=pool) as executor:
        mean = data.to_dask_array(chunk_size=49).mean(axis=0).compute(scheduler=executor)
    np.testing.assert_allclose(mean, loaded.xyz.mean(axis=0, dtype=float), rtol=1e-5)


def test_a_distributed_client_reads_the_parts_and_stays_open(
    pool: PersonalPool, client: Client, data: Trajectory, loaded: mdtraj.Trajectory
) -> None:
    bag = data.to_bag(chunk_size=40).map(mdtraj.compute_rg)
    assert np.array_equal(np.concatenate(bag.compute()), mdtraj.compute_rg(loaded))
    assert np.array_equal(data.to_dask_array(chunk_size=40).compute(), loaded.xyz)
    found = compute_observable(mdtraj.compute_rg, data, chunk_size=98, pool=pool)
    assert np.array_equal(found, mdtraj.compute_rg(loaded))
    assert client.status == "running"
