"""Observables written back into a WepyHDF5 file that wepy has made."""

from __future__ import annotations

import json
import math
import os
import pickle
import resource
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import mdtraj
import numpy as np
import pytest
from wepy.hdf5 import WepyHDF5

from condormap import PersonalPool, load, remove
from condormap.errors import InvalidInputError, ReduceError
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


def contents(path: Path) -> dict[str, Any]:
    """Return all that a file has: values and attributes, by path."""
    found: dict[str, Any] = {}
    with h5py.File(path) as file:
        assert len(file["runs"]) == 2

        def note(name: str, each: Any) -> None:
            value = repr(np.asarray(each[()]).tolist()) if isinstance(each, h5py.Dataset) else None  # for NaN
            found[name] = value, {key: np.asarray(one).tolist() for key, one in each.attrs.items()}

        file.visititems(note)
        note("/", file)
    return found


def in_a_process_that_is_killed(work: Callable[[], object], at: int, *, half: bool = False) -> bool:
    """Do some work in a process that is killed at a write; return whether it came so far."""
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # this process has threads, which the work needs not
        process = os.fork()
    if process == 0:
        real, left = (os.pwrite, os.ftruncate), [at]

        def writes(call: Callable[..., Any], descriptor: int, what: Any, *where: int) -> Any:
            left[0] -= 1
            if left[0] < 0:
                if half and len(where) and where[0] > 0:
                    call(descriptor, what[: len(what) // 2], *where)
                os.kill(os.getpid(), signal.SIGKILL)
            return call(descriptor, what, *where)

        os.pwrite, os.ftruncate = partial(writes, real[0]), partial(writes, real[1])
        try:
            work()
        finally:
            os._exit(0)
    return os.waitpid(process, 0)[1] == signal.SIGKILL


@pytest.mark.parametrize(("frames", "half"), [(range(6), False), ([0, 2, 3, 5], True)])
def test_the_file_is_whole_whenever_its_writer_is_killed(
    path: Path, frames: Any, half: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("condormap.reducers.hdf5_graft._BLOCK", 48)  # bytes, so that there are many writes
    values = parts(len(frames) // 2, 3)
    reducer, state = written(observables(path, frames), values)
    original, rows = contents(path), Path(reducer.path).read_bytes()
    copy = path.read_bytes()
    kills = found_new = 0
    while True:
        path.write_bytes(copy)
        Path(reducer.path).write_bytes(rows)
        if not in_a_process_that_is_killed(lambda: reducer.finish(state), kills, half=half):
            break
        after = contents(path)
        found_new += after != original
        assert {name: after.get(name) for name in original} == original
        with WepyHDF5(str(path), mode="r") as file:
            assert file.num_trajs == 4
        reducer.finish(state)
        with WepyHDF5(str(path), mode="r") as file:
            for traj in (0, 1):
                found = file.get_traj_field(1, traj, "observables/size")
                found = found.compressed() if np.ma.isMA(found) else found.ravel()
                assert np.array_equal(found, np.concatenate(values[2 * traj : 2 * traj + 2]).ravel())
        after = contents(path)
        settings = {name for name in original if name.startswith("_settings")}
        assert {name: after[name] for name in original if name not in settings} == {
            name: original[name] for name in original if name not in settings
        }
        kills += 1
    assert kills > 20
    assert found_new == 0  # for its last write is the one that makes it new


def test_a_process_that_is_killed_when_the_rows_are_there_is_followed_by_another(path: Path) -> None:
    reducer, state = written(observables(path), parts(3))
    rows = Path(reducer.path).read_bytes()
    found = reducer.finish(state)
    Path(reducer.path).write_bytes(rows)
    moved = path.read_bytes()
    assert reducer.finish(state) == found
    assert path.read_bytes() == moved
    assert not os.path.exists(reducer.path)


def test_the_file_keeps_its_place_mode_and_names(path: Path) -> None:
    path.chmod(0o640)
    os.link(path, path.with_name("other-name.h5"))
    link = path.with_name("link.h5")
    link.symlink_to(path.name)
    reducer, state = written(observables(link), parts(3))
    reducer.finish(state)
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o640
    assert path.with_name("other-name.h5").samefile(path)


def test_rows_wait_until_nobody_has_the_file_open(path: Path) -> None:
    reducer, state = written(observables(path), parts(3))
    with (
        h5py.File(path),
        pytest.raises(ReduceError, match=r"it is open elsewhere.*all rows are in .* goes on") as caught,
    ):
        reducer.finish(state)
    assert "set_reducer" not in str(caught.value)
    assert len(reducer.finish(state)) == 2


def test_a_disk_that_is_full_leaves_the_file_as_it_was(path: Path) -> None:
    reducer, state = written(observables(path), parts(3, 1000))
    before = path.read_bytes()

    def limited() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 20_000, resource.RLIM_INFINITY))
        with pytest.raises(ReduceError, match=r"File too large.*is as it was"):
            reducer.finish(state)
        os.kill(os.getpid(), signal.SIGKILL)

    rows = Path(reducer.path).read_bytes()
    assert in_a_process_that_is_killed(limited, 10**9)
    assert path.read_bytes() == before
    assert Path(reducer.path).stat().st_size >= len(rows)
    assert len(reducer.finish(state)) == 2


def test_what_another_wrote_meanwhile_is_not_replaced(path: Path) -> None:
    reducer, state = written(observables(path), parts(3))
    with h5py.File(path, "r+") as file:
        file["runs/1/trajectories/0/observables/size"] = np.zeros((6, 1))
    with pytest.raises(ReduceError, match="has an observable 'size' of run 1, trajectory 0, already"):
        reducer.finish(state)
    with h5py.File(path, "r+") as file:
        del file["runs/1/trajectories/0/observables/size"]
    assert len(reducer.finish(state)) == 2


def test_wepy_goes_on_with_a_file_that_has_a_sparse_observable(path: Path) -> None:
    reducer, state = written(observables(path, frames=[0, 2]), parts(1))
    reducer.finish(state)
    fields = {"positions": np.zeros((5, 3, 3)), "extra": np.zeros((1, 4))}
    with WepyHDF5(str(path), mode="r+") as file:
        del file.h5["_settings/field_feature_dtypes/extra"]  # which wepy wrote in a way that it can't read
        file._add_field_feature_dtype("extra", np.dtype(float))
        file.add_traj(1, fields, weights=np.ones((5, 1)), sparse_idxs={"extra": [0]})
        assert tuple(file.field_feature_shapes["observables/size"]) == (1,)
    label = Label(str(path), 1, 2, range(5))  # of which wepy made empty datasets
    places = Places((5,), np.array([0]), np.array([0]), np.array([5]), True, [label])
    again = WepyObservables("size", places)
    again.finish(again.add(again.zero(), 0, np.arange(5.0)))
    with WepyHDF5(str(path), mode="r") as file:
        assert file.get_traj_field(1, 2, "observables/size")[:, 0].tolist() == list(range(5))
        assert file.get_traj_field(1, 0, "observables/size").compressed().tolist() == [0, 100]


def test_all_frames_are_written_sparse_where_the_field_is(path: Path) -> None:
    reducer, state = written(observables(path, frames=[0, 2]), parts(1))
    reducer.finish(state)
    label = Label(str(path), 0, 0, range(4))
    whole = WepyObservables("size", Places((4,), np.array([0]), np.array([0]), np.array([4]), True, [label]))
    whole.finish(whole.add(whole.zero(), 0, np.arange(4.0)))
    with WepyHDF5(str(path), mode="r") as file:
        assert file.get_traj_field(0, 0, "observables/size")[:, 0].tolist() == [0, 1, 2, 3]
        assert file.get_traj_field(1, 0, "observables/size").compressed().tolist() == [0, 100]


def test_runs_in_other_files_are_left_as_they_are(path: Path) -> None:
    other = path.with_name("other.h5")
    other.write_bytes(path.read_bytes())
    before = other.read_bytes()
    with h5py.File(path, "r+") as file:
        file["runs/2"] = h5py.ExternalLink("other.h5", "/runs/0")
        file["runs/3"] = h5py.ExternalLink("missing.h5", "/runs/0")
    with pytest.raises(InvalidInputError, match=r"run 2 is in another file, .*other.h5: describe that one"):
        WepyObservables("size", Places((4,), [0], [0], [4], True, [Label(str(path), 2, 0, range(4))]))
    reducer, state = written(observables(path), parts(3))
    reducer.finish(state)
    with h5py.File(path) as file:
        assert file.get("runs/3", getlink=True).filename == "missing.h5"
    assert other.read_bytes() == before


def test_some_frames_are_refused_where_others_have_all(path: Path) -> None:
    label = Label(str(path), 0, 0, range(4))
    whole = WepyObservables("size", Places((4,), np.array([0]), np.array([0]), np.array([4]), True, [label]))
    whole.finish(whole.add(whole.zero(), 0, np.arange(4.0)))
    with pytest.raises(InvalidInputError, match="'size' of run 0, trajectory 0, is one of all frames"):
        observables(path, frames=[0, 2])
    observables(path)


def test_a_map_that_is_removed_takes_its_rows_with_it(pool: PersonalPool, path: Path) -> None:
    def fragile(frames: mdtraj.Trajectory, *, fails: bool) -> Any:
        if fails and frames.n_frames == 2:
            raise ZeroDivisionError("boom")
        return frames.xyz[:, 0, 0]

    call = partial(
        compute_observable,
        fragile,
        WepyH5(path, runs=1),
        out="observables/q",
        chunk_size=4,
        pool=pool,
        max_jobs=1,
    )
    with pytest.raises(ZeroDivisionError):
        call(common={"fails": True}, tag="removed-rows")
    with pytest.raises(FileExistsError, match=r"a map writes the observable 'q' to it.*condormap.remove"):
        call(common={"fails": False})
    remove("removed-rows")
    assert sorted(each.name for each in path.parent.iterdir()) == [path.name]
    assert len(call(common={"fails": False})) == 2


def test_a_process_killed_while_it_moves_rows_is_followed_by_load(pool: PersonalPool, path: Path) -> None:
    m = compute_observable(
        mean_x,
        WepyH5(path),
        out="observables/x",
        chunk_size=4,
        pool=pool,
        max_jobs=1,
        wait=False,
        tag="killed",
    )
    m.wait(timeout=60)
    before = contents(path)
    script = (
        "import os, signal\n"
        "from condormap import load\n"
        "write = os.pwrite\n"
        "def killed(descriptor, data, at):\n"
        "    if at == 0:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return write(descriptor, data, at)\n"
        "os.pwrite = killed\n"
        "load('killed').result()\n"
    )
    assert subprocess.run([sys.executable, "-c", script], timeout=60).returncode == -signal.SIGKILL
    assert contents(path) == before
    load("killed").result(timeout=60)
    with WepyHDF5(str(path), mode="r") as file:
        for (run, traj), xyz in positions(path).items():
            rows = file.get_traj_field(run, traj, "observables/x")
            np.testing.assert_allclose(rows[:, 0], xyz[:, :, 0].mean(axis=1), rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frames": [3, 2, 1, 0]}, "not in ascending order"),
        ({"name": "a/b"}, "no slash"),
        ({"name": ".."}, "is not '.' or '..'"),
        ({"name": "a\0"}, "has no slash"),
        ({"name": "x" * 101}, "at most 100 bytes"),
        ({"name": "there"}, "has an observable 'there' of run 1, trajectory 1"),
    ],
)
def test_what_cannot_be_an_observable_is_refused(path: Path, change: dict[str, Any], message: str) -> None:
    with h5py.File(path, "r+") as file:
        file["runs/1/trajectories/1/observables/there"] = np.zeros((6, 1))
    with pytest.raises(InvalidInputError, match=message):
        observables(path, **change)


def move(file: h5py.File, group: str, to: str) -> None:
    file.move(group, to)
    file[group] = h5py.SoftLink(f"/{to}")


@pytest.mark.parametrize(
    ("change", "group"),
    [
        (lambda file: file.update(best=file["runs/1/trajectories/0"]), "runs/1/trajectories/0"),
        (lambda file: file.update(cycle=file["runs"]), "runs"),
        (lambda file: move(file, "runs/1", "real"), "runs/1"),
        (lambda file: move(file, "_settings", "real"), "_settings"),
    ],
)
def test_a_group_with_two_names_is_refused(path: Path, change: Callable[[Any], None], group: str) -> None:
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(
        InvalidInputError, match=f"the group {group} is a link, or another hard link leads to it"
    ):
        observables(path)


def test_another_file_at_the_same_place_gets_no_rows(path: Path) -> None:
    reducer, state = written(observables(path), parts(3))
    path.rename(path.with_name("aside"))
    shutil.copy(path.with_name("aside"), path)
    before = path.read_bytes()
    with pytest.raises(ReduceError, match="it is another file than the jobs have read"):
        reducer.finish(state)
    assert path.read_bytes() == before
    path.with_name("aside").rename(path)
    assert len(reducer.finish(state)) == 2


def longer(path: Path) -> None:
    with WepyHDF5(str(path), mode="r+") as file:
        file.extend_traj(1, 0, {"positions": np.zeros((2, 3, 3))}, weights=np.ones((2, 1)))


def gone(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["runs/1/trajectories/0"]


@pytest.mark.parametrize("change", [longer, gone])
def test_a_trajectory_that_has_changed_gets_no_rows(path: Path, change: Callable[[Path], None]) -> None:
    reducer, state = written(observables(path), parts(3))
    change(path)
    with pytest.raises(ReduceError, match="other lengths"):
        reducer.finish(state)


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
