"""Jobs that do not see the submitter's files are sent just the frames of their chunks."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import mdtraj
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_map_transfer import remote  # noqa: F401
from test_slices import cut, values
from test_trajectory_wepy import path as wepy_file  # noqa: F401
from trajectories import FORMATS, reference, same, system, trajectory, written

from condormap import PersonalPool, condormap
from condormap.errors import StorageError, TrajectoryChangedError
from condormap.payload.carried import LIMIT_VARIABLE
from condormap.payload.item_store import write_items
from condormap.trajectory import Trajectory, WepyH5, compute_observable

N = 23


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("trajectories")
    return {suffix: written(folder, suffix, trajectory(N)) for suffix in FORMATS}


@pytest.mark.parametrize("suffix", FORMATS)
@settings(deadline=None, max_examples=30)
@given(
    frames=st.lists(st.integers(-N, N - 1), min_size=1, max_size=9)
    | st.slices(N).filter(lambda s: len(range(N)[s]) > 0),
    atoms=st.none() | st.lists(st.integers(0, 31), min_size=1, unique=True),
    parts=st.integers(1, 9),
)
def test_a_chunk_with_its_frames_reads_as_one_without(
    files: dict[str, str], suffix: str, frames: Any, atoms: list[int] | None, parts: int
) -> None:
    data = Trajectory(files[suffix], top=system(), frames=frames, atoms=atoms)
    for chunk in data.chunks(5):
        sent = pickle.loads(pickle.dumps(chunk.with_data()))
        assert (sent.frames, sent.out_start, sent.n_out) == (chunk.frames, chunk.out_start, chunk.n_out)
        same(data.reader(sent), data.reader(chunk))
        pieces = [data.reader(pickle.loads(pickle.dumps(piece))) for piece in sent.split(parts)]
        same(mdtraj.join(pieces), data.reader(chunk))


@pytest.mark.parametrize("suffix", ["xtc", "trr", "dcd"])
def test_what_is_cut_out_of_a_file_is_such_a_file(files: dict[str, str], suffix: str, tmp_path: Path) -> None:
    chunk = Trajectory(files[suffix], top=system(), frames=[3, 4, 5, 9, 20]).chunks(5)[0].with_data()
    (tmp_path / f"cut.{suffix}").write_bytes(chunk.data._data.tobytes())
    whole, found = (reference(path, system()) for path in (files[suffix], str(tmp_path / f"cut.{suffix}")))
    np.testing.assert_array_equal(found.xyz, whole.xyz[[3, 4, 5, 9, 20]])


def test_few_atoms_are_sent_as_arrays_and_all_as_part_of_the_file(files: dict[str, str]) -> None:
    (few,) = Trajectory(files["dcd"], top=system(), atoms=[1]).chunks(N)
    (all_of_them,) = Trajectory(files["xtc"], top=system()).chunks(N)
    assert len(pickle.dumps(few.with_data())) < N * (12 + 32) + 1500
    assert len(pickle.dumps(all_of_them.with_data())) < os.path.getsize(files["xtc"]) + 1500


@pytest.mark.parametrize("fields", [None, ["positions", "velocities", "observables/rg"]])
def test_frames_of_a_wepy_file_are_sent_as_arrays(wepy_file: str, fields: Any) -> None:  # noqa: F811
    data = WepyH5(wepy_file, fields=fields, frames=[4, 1, 4], atoms=[5, 2])
    for chunk in data.chunks(3):
        sent, found = data.reader(pickle.loads(pickle.dumps(chunk.with_data()))), data.reader(chunk)
        if fields is None:
            same(sent, found)
        else:
            for name in fields:
                np.testing.assert_array_equal(np.ma.filled(sent[name]), np.ma.filled(found[name]))
                assert type(sent[name]) is type(found[name])


def test_slices_have_the_frames_and_the_store_has_not(files: dict[str, str], tmp_path: Path) -> None:
    data = Trajectory(files["dcd"], top=system())
    chunks = data.chunks(5)
    write_items(tmp_path, [[*chunks, "a"]])
    assert (tmp_path / "items.pkl").stat().st_size < len(chunks) * 800
    first, second = cut(tmp_path, [0, 2, 3], [1, 4, 5])
    assert sorted({**values(first), **values(second)}) == list(range(6))
    for item, chunk in values(first).items():
        assert chunk.data is not None
        same(data.reader(chunk), data.reader(chunks[item]))
    assert values(second)[5] == "a"


def test_chunks_among_arguments_and_packed_for_a_job_are_found(files: dict[str, str], tmp_path: Path) -> None:
    data = Trajectory([files["dcd"], files["xtc"]], top=system())
    write_items(tmp_path, [data.jobs(20, frames=30), range(9)])
    (path,) = cut(tmp_path, [0, 1])
    assert all(chunk.data is not None for job, _ in values(path).values() for chunk in job)


def test_items_that_stand_for_nothing_are_copied_as_they_are(tmp_path: Path) -> None:
    write_items(tmp_path, [["a", (1, 2)], ["b", "c"]])
    assert not (tmp_path / "items.carry").exists()


def test_more_than_the_disk_may_be_filled_with_is_refused(
    files: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "long.dcd")
    made = trajectory(4000)
    made.save(path)
    write_items(tmp_path, [Trajectory(path, top=system()).chunks(1000)])
    monkeypatch.setenv(LIMIT_VARIABLE, "1 MB")
    with pytest.raises(StorageError, match=rf"take more than 1 MB.*{LIMIT_VARIABLE}"):
        cut(tmp_path, [0], [1], [2], [3])


def test_a_file_that_changed_is_noticed_before_anything_is_sent(tmp_path: Path) -> None:
    path = written(tmp_path, "xtc", trajectory(9))
    (chunk,) = Trajectory(path, top=system()).chunks(9)
    trajectory(8).save(path)
    with pytest.raises(TrajectoryChangedError, match="before frame 0 was read"):
        chunk.with_data()


def test_jobs_compute_with_frames_that_they_are_sent(pool: PersonalPool, tmp_path: Path) -> None:
    path = written(tmp_path, "xtc", trajectory(N))
    data = Trajectory(path, top=system(), stride=2)
    expected = mdtraj.compute_rg(mdtraj.load(path, top=system())[::2])
    read = data.reader

    def radii(chunk: Any) -> Any:
        assert chunk.data is not None
        return mdtraj.compute_rg(read(chunk))

    m = condormap(radii, data.chunks(3), pool=pool, transfer="always", chunksize=2)
    os.unlink(path)
    np.testing.assert_array_equal(np.concatenate(m.results(timeout=60)), expected)
    m.remove()


def test_jobs_that_see_no_file_compute_observables(
    remote: PersonalPool,  # noqa: F811
    files: dict[str, str],
    wepy_file: str,  # noqa: F811
) -> None:
    data = Trajectory([files[suffix] for suffix in FORMATS], top=system(), stride=3)
    found = compute_observable(mdtraj.compute_rg, data, chunk_size=3, max_jobs=2, pool=remote)
    for suffix, radii in zip(FORMATS, found, strict=True):
        np.testing.assert_array_equal(radii, mdtraj.compute_rg(reference(files[suffix], system())[::3]))
    walks = WepyH5(wepy_file, fields=["weights", "velocities"], atoms=[3])
    found = compute_observable(lambda fields: fields["weights"], walks, chunk_size=5, max_jobs=2, pool=remote)
    (first, *_) = walks.chunks(20)
    np.testing.assert_array_equal(found[0], walks.reader(first)["weights"])


def test_a_retry_sends_the_frames_again_and_notices_a_change(pool: PersonalPool, tmp_path: Path) -> None:
    path = written(tmp_path, "dcd", trajectory(9))
    data = Trajectory(path, top=system())
    read = data.reader
    mended = tmp_path / "mended"

    def frames(chunk: Any) -> list[int]:
        assert mended.exists() or chunk.out_start != 3
        return [*chunk.frames, read(chunk).n_frames]

    m = condormap(frames, data.chunks(3), pool=pool, transfer="always")
    m.wait(timeout=60)
    assert m.failed() == [1]
    mended.touch()
    stat = os.stat(path)
    os.utime(path, ns=(0, stat.st_mtime_ns + 1))
    with pytest.raises(TrajectoryChangedError, match="before frame 3 was read, the file was replaced"):
        m.retry()
    assert m.failed() == [1]
    os.utime(path, ns=(0, stat.st_mtime_ns))
    assert m.retry().results(timeout=60) == [[0, 1, 2, 3], [3, 4, 5, 3], [6, 7, 8, 3]]
    m.remove()
