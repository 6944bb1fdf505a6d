"""Functions of frames over trajectories, against mdtraj on the whole trajectory."""

from __future__ import annotations

import operator
import sys
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import mdtraj
import numpy as np
import pytest
from conftest import Gate
from MDAnalysisTests.datafiles import DCD, PSF
from test_map_steering import until

from condormap import PersonalPool, load, maps
from condormap.errors import InvalidInputError, ReduceError, TrajectoryChangedError
from condormap.reducers import Collect, Concatenate, Covariance, Histogram, Max, Mean, Sum
from condormap.trajectory import RDF, ContactMap, DistanceHistogram, Trajectory, compute_observable


@pytest.fixture(scope="module")
def loaded() -> mdtraj.Trajectory:
    whole = mdtraj.load(DCD, top=PSF)
    return whole.atom_slice(whole.topology.select("name CA"))


@pytest.fixture(scope="module")
def data() -> Trajectory:
    return Trajectory(DCD, top=PSF, atoms="name CA")


def test_rows_come_in_the_order_of_the_frames(
    pool: PersonalPool, data: Trajectory, loaded: mdtraj.Trajectory
) -> None:
    assert np.array_equal(
        compute_observable(mdtraj.compute_rg, data, chunk_size=9, pool=pool, max_jobs=2),
        mdtraj.compute_rg(loaded),
    )
    frames = Trajectory(DCD, top=PSF, atoms="name CA", frames=[50, 3, -1], stride=2)
    assert np.array_equal(
        compute_observable(mdtraj.compute_rg, frames, pool=pool, max_jobs=2),
        mdtraj.compute_rg(loaded[[50, 97]]),
    )


def test_rmsd_against_a_reference_that_travels(
    pool: PersonalPool, data: Trajectory, loaded: mdtraj.Trajectory
) -> None:
    before = loaded.xyz.copy()
    found = compute_observable(
        partial(mdtraj.rmsd, reference=loaded[7]), data, chunk_size=30, pool=pool, max_jobs=2
    )
    np.testing.assert_allclose(found, mdtraj.rmsd(loaded[:], loaded[7]), atol=1e-6)
    assert np.array_equal(loaded.xyz, before)


def test_what_func_does_to_frames_in_memory_stays_in_the_job(
    pool: PersonalPool, loaded: mdtraj.Trajectory
) -> None:
    def moved(frames: mdtraj.Trajectory) -> Any:
        frames.xyz += 1.0
        return frames.xyz.mean(axis=(1, 2))

    before = loaded.xyz.copy()
    twice = [compute_observable(moved, loaded, chunk_size=40, pool=pool, max_jobs=2) for _ in range(2)]
    np.testing.assert_allclose(twice[0], before.mean(axis=(1, 2)) + 1.0, rtol=1e-5)
    assert np.array_equal(*twice)
    assert np.array_equal(loaded.xyz, before)


@pytest.mark.parametrize("where", ["file", "memory"])
def test_jobs_that_are_sent_their_files(pool: PersonalPool, loaded: mdtraj.Trajectory, where: str) -> None:
    frames = range(3, 40, 2)
    data = (
        Trajectory(DCD, top=PSF, atoms="name CA", frames=frames)
        if where == "file"
        else Trajectory(loaded, frames=frames)
    )
    found = compute_observable(
        mdtraj.compute_rg, data, chunk_size=8, transfer="always", pool=pool, max_jobs=2
    )
    assert np.array_equal(found, mdtraj.compute_rg(loaded[3:40:2]))


def test_several_trajectories_are_a_list_with_labels(pool: PersonalPool, loaded: mdtraj.Trajectory) -> None:
    several = Trajectory([loaded[:10], loaded[10:13], loaded[50:]], stride=2)
    found = compute_observable(mdtraj.compute_rg, several, chunk_size=4, pool=pool, max_jobs=2)
    expected = [mdtraj.compute_rg(part[::2]) for part in (loaded[:10], loaded[10:13], loaded[50:])]
    assert all(np.array_equal(*pair) for pair in zip(found, expected, strict=True))
    labels = several.labels
    assert [len(label) for label in labels] == [5, 2, 24]
    assert labels[1].tolist() == [(0, 1, 0), (0, 1, 2)]


def test_a_list_of_one_trajectory_is_a_list_of_one_everywhere(
    pool: PersonalPool, loaded: mdtraj.Trajectory, tmp_path: Path
) -> None:
    one = Trajectory([loaded[:10]])
    assert [len(label) for label in one.labels] == [10]
    assert [each.shape for each in one.to_dask_array("xyz")] == [(10, 214, 3)]
    (found,) = compute_observable(mdtraj.compute_rg, one, chunk_size=4, pool=pool, max_jobs=2)
    assert np.array_equal(found, mdtraj.compute_rg(loaded[:10]))
    (rows,) = compute_observable(mdtraj.compute_rg, one, out=tmp_path / "rg.h5", pool=pool, max_jobs=2)
    assert rows.shape == (10,)


def test_a_dict_of_arrays_stays_one(pool: PersonalPool, loaded: mdtraj.Trajectory) -> None:
    def both(frames: mdtraj.Trajectory) -> Any:
        return {"rg": mdtraj.compute_rg(frames), "codes": ["abc"[k % 3] for k in range(frames.n_frames)]}

    found = compute_observable(both, loaded[:11], chunk_size=6, pool=pool, max_jobs=2)
    assert np.array_equal(found["rg"], mdtraj.compute_rg(loaded[:11]))
    assert found["codes"].tolist() == list("abcabcabcab")


def test_a_reducer_gets_a_row_for_each_frame(
    pool: PersonalPool, data: Trajectory, loaded: mdtraj.Trajectory
) -> None:
    def extent(frames: mdtraj.Trajectory) -> Any:
        return frames.xyz.max(axis=1)

    rows = loaded.xyz.max(axis=1)
    reduce = {
        "mean": Mean(),
        "sum": Sum(),
        "covariance": Covariance(),
        "largest": Max("elements"),
        "rows": Collect(),
        "counts": Histogram(10, (-5.0, 5.0)),
        "added": _first_rows,
    }
    found = compute_observable(extent, data, reduce=reduce, chunk_size=37, pool=pool, max_jobs=2)
    np.testing.assert_allclose(found["mean"].mean, rows.mean(axis=0), rtol=1e-6)
    assert found["mean"].n == 98
    np.testing.assert_allclose(found["sum"], rows.sum(axis=0), rtol=1e-6)
    np.testing.assert_allclose(found["covariance"], np.cov(rows, rowvar=False), rtol=1e-4)
    assert (found["largest"].index, *found["largest"].position) == np.unravel_index(rows.argmax(), rows.shape)
    assert np.array_equal(found["rows"], rows)
    assert np.array_equal(found["counts"].counts, np.histogram(rows, 10, (-5.0, 5.0))[0])
    assert np.array_equal(found["added"], rows[[0, 37, 74]])


def _first_rows(a: Any, b: Any) -> Any:
    """Combine what chunks of 37 frames returned, which have 37, 37 and 24 rows."""
    return np.concatenate([a if len(a) < 24 else a[:1], b[:1]])


def test_a_function_of_two_gets_what_func_returned_for_a_chunk(pool: PersonalPool, data: Trajectory) -> None:
    def count(frames: mdtraj.Trajectory) -> int:
        return int(frames.n_frames)

    assert compute_observable(count, data, reduce=operator.add, pool=pool, max_jobs=2) == 98


def test_values_of_any_length_are_concatenated_on_request(
    pool: PersonalPool, data: Trajectory, loaded: mdtraj.Trajectory
) -> None:
    def far(frames: mdtraj.Trajectory) -> Any:
        return frames.xyz[frames.xyz > 2.5]

    found = compute_observable(far, data, reduce=Concatenate(), chunk_size=30, pool=pool, max_jobs=2)
    assert np.array_equal(found, loaded.xyz[loaded.xyz > 2.5])


@pytest.mark.parametrize(
    ("func", "error", "message"),
    [
        (lambda frames: [1.0, 2.0], ValueError, r"shape \(2,\) for 10 frames \(0 to 9\) of .*adk_dims.dcd"),
        (lambda frames: ([0] * 10, [0]), TypeError, "a tuple of 2 .* returns the part that is meant"),
        (lambda frames: [range(k) for k in range(10)], ValueError, "is no array with a row for each"),
    ],
)
def test_rows_that_are_not_one_for_each_frame_are_refused(
    pool: PersonalPool, func: Any, error: type[Exception], message: str
) -> None:
    data = Trajectory(DCD, top=PSF, atoms=[0], frames=range(10))
    with pytest.raises(error, match=message):
        compute_observable(func, data, chunk_size=10, pool=pool, max_jobs=2)


@pytest.mark.parametrize(
    ("func", "message"),
    [
        (
            lambda frames: frames.time[:2],
            r"shape \(2,\) for 4 frames \(0 to 3\) of .*: one row for each frame",
        ),
        (lambda frames: np.ones(frames.n_frames + 1), r"shape \(5,\) for 4 frames \(0 to 3\) of"),
        (lambda frames: 3.0, r"shape \(\) for 4 frames \(0 to 3\) of"),
        (lambda frames: None, r"for 4 frames \(0 to 3\) of .* is no array with a row for each"),
        (lambda frames: ["a"] * 4, r"rows of <U1 for 4 frames \(0 to 3\) of .*: HDF5 has no such type"),
        (lambda frames: {"a/b": frames.time}, r"a dict of 'a/b' for 4 frames .* no names of datasets"),
        (lambda frames: {}, r"a dict of nothing for 4 frames"),
    ],
)
def test_rows_that_a_file_has_no_place_for_are_refused(
    pool: PersonalPool, tmp_path: Path, func: Any, message: str
) -> None:
    data = Trajectory(DCD, top=PSF, atoms=[0], frames=range(4))
    with pytest.raises((TypeError, ValueError), match=message):
        compute_observable(func, data, out=tmp_path / "out.h5", chunk_size=4, pool=pool, max_jobs=1)
    assert not (tmp_path / "out.h5").exists()


def test_rows_of_different_shapes_are_refused_and_kept(pool: PersonalPool, loaded: mdtraj.Trajectory) -> None:
    def ragged(frames: mdtraj.Trajectory) -> Any:
        return frames.xyz[:, : frames.n_frames]

    expected = (
        r"shape \(4, 3\) for 4 frames \(0 to 3\) of .*shape \(2, 3\) for 2 frames \(4 to 5\) of .*Collect\(\)"
    )
    with pytest.raises(ReduceError, match=expected) as caught:
        compute_observable(ragged, loaded[:6], chunk_size=4, pool=pool, max_jobs=1, tag="ragged")
    assert "retry" not in "".join(caught.value.__notes__)
    kept = load("ragged").set_reducer(Collect()).result()
    assert [each.shape for each in kept] == [(4, 4, 3), (2, 2, 3)]


def test_dicts_of_different_keys_are_refused(pool: PersonalPool, loaded: mdtraj.Trajectory) -> None:
    with pytest.raises(ReduceError, match=r"a dict of 'k4' for 4 frames .* a dict of 'k2' for 2 frames"):
        compute_observable(
            lambda frames: {f"k{frames.n_frames}": frames.time},
            loaded[:6],
            chunk_size=4,
            pool=pool,
            max_jobs=1,
        )


@pytest.mark.parametrize("reduce", [Mean(), {"most": Max("elements")}, Histogram(3, (0.0, 1.0))])
def test_a_dict_for_a_reducer_of_arrays_is_an_error_of_the_job(
    pool: PersonalPool, loaded: mdtraj.Trajectory, reduce: Any
) -> None:
    with pytest.raises(TypeError, match=r"a dict of 't' for 2 frames \(0 to 1\) of .*takes an array"):
        compute_observable(
            lambda frames: {"t": frames.time}, loaded[:2], reduce=reduce, chunk_size=2, pool=pool, max_jobs=1
        )


def test_a_reducer_that_fails_with_a_row_names_its_frames(
    pool: PersonalPool, loaded: mdtraj.Trajectory
) -> None:
    class Odd(Collect):
        def add(self, state: Any, index: int, value: Any) -> Any:
            return super().add(state, index, 1 // (index - 4))

    expected = r"row 1 .* for 3 frames \(3 to 5\) of .* ZeroDivisionError.* call compute_observable again"
    with pytest.raises(ReduceError, match=expected):
        compute_observable(mdtraj.compute_rg, loaded[:6], reduce=Odd(), chunk_size=3, pool=pool, max_jobs=1)


def test_a_dry_run_makes_nothing(pool: PersonalPool, loaded: mdtraj.Trajectory, tmp_path: Path) -> None:
    plan = compute_observable(
        mdtraj.compute_rg, loaded, out=tmp_path / "rg.h5", chunk_size=10, dry_run=True, pool=pool
    )
    assert plan.n_items == 10
    assert not (tmp_path / "rg.h5").exists()


def test_an_error_names_the_frames_and_the_rest_is_kept(pool: PersonalPool, tmp_path: Path) -> None:
    data = Trajectory(DCD, top=PSF, atoms=[0, 1], frames=range(40, 60))
    mended = tmp_path / "mended"

    fragile = partial(_fragile, str(mended))
    with pytest.raises(ZeroDivisionError) as caught:
        compute_observable(fragile, data, chunk_size=5, pool=pool, max_jobs=2)
    notes = "\n".join(caught.value.__notes__)
    assert f"it was called with 5 frames (45 to 49) of {DCD}" in notes
    tag = notes.split("the map '")[1].split("'")[0]
    mended.touch()
    found = load(tag).retry().result(timeout=60)
    assert np.array_equal(found, mdtraj.load(DCD, top=PSF).xyz[40:60, 0, 0])


def _fragile(mended: str, frames: mdtraj.Trajectory) -> Any:
    x = frames.xyz[:, 0, 0]
    whole = mdtraj.load_frame(DCD, 45, top=PSF)
    if x[0] == whole.xyz[0, 0, 0] and not Path(mended).exists():
        raise ZeroDivisionError("boom")
    return x


def test_the_handle_gives_the_same_here_and_where_it_is_loaded(
    pool: PersonalPool, data: Trajectory, gate: Gate, loaded: mdtraj.Trajectory
) -> None:
    def late(frames: mdtraj.Trajectory) -> Any:
        if frames.n_frames < 30:
            gate.wait()
        return mdtraj.compute_rg(frames)

    m = compute_observable(late, data, chunk_size=30, wait=False, pool=pool, chunksize=1)
    until(lambda: np.isfinite(m.partial[:90]).all())
    expected = mdtraj.compute_rg(loaded)
    assert np.array_equal(m.partial[:90], expected[:90])
    assert np.isnan(m.partial[90:]).all()
    gate.open()
    assert np.array_equal(m.result(timeout=60), expected)
    assert np.array_equal(load(m.tag).result(), expected)


def test_a_map_that_was_waited_for_is_removed_unless_it_has_a_tag(
    pool: PersonalPool, loaded: mdtraj.Trajectory
) -> None:
    before = {m.tag for m in maps()}
    compute_observable(mdtraj.compute_rg, loaded[:3], pool=pool, max_jobs=2)
    compute_observable(mdtraj.compute_rg, loaded[:3], pool=pool, max_jobs=2, tag="kept-observable")
    assert {m.tag for m in maps()} - before == {"kept-observable"}


def test_common_arguments_and_the_threads_of_numerical_libraries(
    pool: PersonalPool, loaded: mdtraj.Trajectory
) -> None:
    def environment(frames: mdtraj.Trajectory, *, names: list[str]) -> Any:
        import os

        return [[int(os.environ[name]) for name in names]] * frames.n_frames

    names = ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"]
    found = compute_observable(environment, loaded[:2], common={"names": names}, pool=pool, max_jobs=2)
    assert found.tolist() == [[1, 1, 1]] * 2


def test_rows_are_written_to_a_dataset_as_they_come(
    pool: PersonalPool, loaded: mdtraj.Trajectory, tmp_path: Path
) -> None:
    path = tmp_path / "rg.h5"
    rows = compute_observable(
        mdtraj.compute_rg, loaded[:20], out=(path, "rg"), chunk_size=6, pool=pool, max_jobs=2
    )
    assert rows == (str(path), "/rg", (20,))
    with h5py.File(path) as file:
        assert np.array_equal(file["rg"], mdtraj.compute_rg(loaded[:20]))
        assert np.array_equal(file["frames"], np.arange(20))
    with pytest.raises(FileExistsError, match=r"rg\.h5 is there already"):
        compute_observable(mdtraj.compute_rg, loaded[:20], out=path, pool=pool, max_jobs=2)


def test_rows_can_be_read_before_the_last_one_is_there(
    pool: PersonalPool, loaded: mdtraj.Trajectory, tmp_path: Path, gate: Gate
) -> None:
    def late(frames: mdtraj.Trajectory) -> Any:
        if frames.n_frames < 5:
            gate.wait()
        return mdtraj.compute_rg(frames)

    m = compute_observable(
        late, loaded[:13], out=tmp_path / "rg.h5", chunk_size=5, chunksize=1, wait=False, pool=pool
    )
    until(lambda: m.partial.shape == (13,) and np.isfinite(written(m.partial)[:10]).all())
    assert np.isnan(written(m.partial)[10:]).all()
    gate.open()
    assert load(m.tag).result(timeout=60) == m.result()
    assert np.array_equal(written(m.result()), mdtraj.compute_rg(loaded[:13]))


def written(rows: Any) -> Any:
    with h5py.File(rows.path, swmr=True) as file:
        return file[rows.dataset][()]


def test_several_trajectories_have_a_dataset_each(
    pool: PersonalPool, loaded: mdtraj.Trajectory, tmp_path: Path
) -> None:
    several = Trajectory([loaded[:5], loaded[5:12]], frames=[None, [6, 0, 3]])
    rows = compute_observable(
        lambda frames: {"x": frames.xyz[:, 0], "t": frames.time},
        several,
        out=tmp_path / "out.h5",
        chunk_size=2,
        pool=pool,
    )
    assert [(each.dataset, each.shape["x"]) for each in rows] == [("/0/data", (5, 3)), ("/1/data", (3, 3))]
    with h5py.File(tmp_path / "out.h5") as file:
        assert np.array_equal(file["1/data/x"], loaded.xyz[[11, 5, 8], 0])
        assert file["1/frames"][:].tolist() == [6, 0, 3]
        assert file["1"].attrs["traj"] == 1


def test_a_histogram_of_all_distances(
    pool: PersonalPool, data: Trajectory, loaded: mdtraj.Trajectory
) -> None:
    counts, edges, _, not_finite = compute_observable(
        DistanceHistogram(50, (0.0, 6.0)), data, pool=pool, max_jobs=2
    )
    distances = mdtraj.compute_distances(loaded, np.column_stack(np.triu_indices(214, 1)))
    expected = np.histogram(distances, 50, (0.0, 6.0))
    assert np.array_equal(counts, expected[0])
    np.testing.assert_allclose(edges, expected[1])
    assert not_finite == 0


def test_a_radial_distribution_weighs_each_frame_by_its_own_density(
    pool: PersonalPool, loaded: mdtraj.Trajectory
) -> None:
    boxed = loaded[:12].atom_slice(range(60))
    boxed.unitcell_lengths = np.linspace(4.0, 8.0, 36).reshape(12, 3)
    boxed.unitcell_angles = np.full((12, 3), 90.0)
    pairs = boxed.topology.select_pairs("index < 20", "index > 10")
    found = compute_observable(RDF(pairs, r_range=(0.0, 2.0), n_bins=40), boxed, chunk_size=5, pool=pool)
    r, g = mdtraj.compute_rdf(boxed, pairs, r_range=(0.0, 2.0), n_bins=40)
    np.testing.assert_allclose(found.r, r)
    np.testing.assert_allclose(found.g, g, rtol=1e-5)
    assert found.n_frames == 12
    with pytest.raises(ValueError, match="have no unit cells"):
        compute_observable(RDF(pairs), loaded[:2], pool=pool)


def test_a_map_of_contacts(pool: PersonalPool, data: Trajectory, loaded: mdtraj.Trajectory) -> None:
    found = compute_observable(ContactMap(0.8, scheme="ca"), data, pool=pool, max_jobs=2)
    distances, pairs = mdtraj.compute_contacts(loaded, scheme="ca")
    assert np.array_equal(found.pairs, pairs)
    np.testing.assert_allclose(found.fraction, (distances < 0.8).mean(axis=0))
    assert found.matrix()[3, 0] == found.matrix()[0, 3] == found.fraction[0]


def test_observables_of_ones_own_bring_their_reducer(pool: PersonalPool, data: Trajectory) -> None:
    class Frames(Sum):
        def __call__(self, frames: mdtraj.Trajectory) -> int:
            return int(frames.n_frames)

    assert compute_observable(Frames(), data, pool=pool, max_jobs=2) == 98


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"func": 3}, "must be callable"),
        ({"data": "run.xtc"}, r"Trajectory\(path, top=...\)"),
        ({"reduce": 3}, "a reducer is an object with"),
        ({"reduce": Sum(), "out": "x.h5"}, "give one of them"),
        ({"out": 3}, "out must be a path"),
        ({"chunk_size": 0}, "chunk_size must be a positive integer"),
        ({"on_complete": len}, "no on_complete="),
        ({"out": "observables/rg"}, "these are of none: give the path"),
        ({"memoree": 3}, "did you mean memory="),
        ({"chunk_siz": 3}, "did you mean chunk_size="),
    ],
)
def test_what_cannot_be_meant_is_refused(
    pool: PersonalPool, loaded: mdtraj.Trajectory, change: dict[str, Any], message: str
) -> None:
    call: dict[str, Any] = {"func": mdtraj.compute_rg, "data": loaded, "tag": "not-meant"} | change
    with pytest.raises(InvalidInputError, match=message):
        compute_observable(call.pop("func"), call.pop("data"), pool=pool, max_jobs=2, **call)
    with pytest.raises(InvalidInputError, match="there is no map"):
        load("not-meant")


def test_a_file_that_has_changed_is_noticed_before_anything_is_submitted(
    pool: PersonalPool, tmp_path: Path
) -> None:
    path = tmp_path / "run.dcd"
    path.write_bytes(Path(DCD).read_bytes())
    data = Trajectory([DCD, path], top=PSF)
    with path.open("ab") as file:
        file.write(bytes(40116))
    with pytest.raises(TrajectoryChangedError, match=r"run\.dcd.*, the file went from 3931724 to 3971840"):
        compute_observable(mdtraj.compute_rg, data, pool=pool, tag="has-changed")
    with pytest.raises(InvalidInputError, match="there is no map"):
        load("has-changed")


def test_a_probe_calls_the_function_here_before_anything_is_submitted(
    pool: PersonalPool, loaded: mdtraj.Trajectory
) -> None:
    def broken(frames: mdtraj.Trajectory) -> Any:
        raise LookupError("here")

    with pytest.raises(LookupError, match="here"):
        compute_observable(broken, loaded, chunk_size="probe", tag="probed", pool=pool)
    with pytest.raises(InvalidInputError, match="there is no map"):
        load("probed")
    found = compute_observable(mdtraj.compute_rg, loaded, chunk_size="probe", pool=pool, max_jobs=1)
    assert np.array_equal(found, mdtraj.compute_rg(loaded))


def test_the_memory_of_a_job_is_bounded_by_the_chunk_however_many_frames_it_gets(
    pool: PersonalPool, tmp_path: Path
) -> None:
    def peak(frames: mdtraj.Trajectory) -> Any:
        import resource

        return [resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024] * frames.n_frames

    frame = mdtraj.load_frame(DCD, 0, top=PSF)
    with mdtraj.formats.DCDTrajectoryFile(str(tmp_path / "long.dcd"), "w") as file:
        for _ in range(20):
            file.write(np.repeat(frame.xyz * 10, 100, axis=0))
    long = Trajectory(tmp_path / "long.dcd", top=PSF)
    peaks = compute_observable(peak, long, chunk_size=100, pool=pool, max_jobs=1)
    size = long.frame_nbytes / 2**20
    assert peaks[-1] - peaks[0] < 100 * size  # 4 MB, of 77 in all


def test_a_python_without_condormap_reads_and_reduces(
    pool: PersonalPool, loaded: mdtraj.Trajectory, tmp_path: Path
) -> None:
    def home(frames: mdtraj.Trajectory) -> Any:
        files = [str(sys.modules["condormap.trajectory.reading"].__file__)] * frames.n_frames
        return {"rg": mdtraj.compute_rg(frames), "file": files}

    loaded.save_xtc(str(tmp_path / "run.xtc"))
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\nexec {sys.executable} -S "$@"\n'
    )  # it reads no .pth file, as condormap has one
    python.chmod(0o755)
    found = compute_observable(
        home,
        Trajectory(tmp_path / "run.xtc", top=loaded.topology),
        reduce=Collect(),
        pool=pool,
        max_jobs=1,
        transfer="always",
        python=str(python),
        environment={"PYTHONPATH": str(Path(mdtraj.__file__).parents[1])},
    )
    np.testing.assert_allclose([row["rg"] for row in found], mdtraj.compute_rg(loaded), atol=1e-3)
    assert all("/fallback/condormap/" in row["file"] for row in found)
