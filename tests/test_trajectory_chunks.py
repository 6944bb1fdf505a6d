"""Descriptions of trajectories, and the chunks that they are divided into."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mdtraj
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from MDAnalysisTests.datafiles import DCD, PSF
from trajectories import FORMATS, system, written

from condormap.errors import InvalidInputError, TrajectoryInputError
from condormap.trajectory import Trajectory, read
from condormap.trajectory.indices import Indices


@pytest.fixture(scope="module")
def loaded() -> mdtraj.Trajectory:
    return mdtraj.load(DCD, top=PSF)


def joined(data: Any, chunk_size: int) -> np.ndarray[Any, Any]:
    chunks = pickle.loads(pickle.dumps(data.chunks(chunk_size)))
    assert all(chunk.n_out == len(chunk.frames) <= chunk_size for chunk in chunks)
    return np.concatenate([read(chunk, data.topology).xyz for chunk in chunks])


@settings(deadline=None)
@given(st.lists(st.integers(-(2**40), 2**40)))
def test_indices_are_the_same_after_a_pickle(values: list[int]) -> None:
    indices = pickle.loads(pickle.dumps(Indices(values)))
    assert list(indices) == values == indices.array.tolist()
    assert indices == Indices(values)
    assert hash(indices) == hash(Indices(values))
    assert list(indices[1::2]) == values[1::2]


def test_importing_it_loads_nothing_heavy() -> None:
    code = "import sys, condormap.trajectory; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert {"numpy", "mdtraj", "h5py"}.isdisjoint(run.stdout.split())


def test_a_chunk_is_a_few_hundred_bytes_whatever_it_has() -> None:
    data = Trajectory(DCD, top=PSF, atoms="name CA", frames=[5, 2, *range(90)])
    assert max(len(pickle.dumps(chunk, 5)) for chunk in data.chunks(50)) < 1200


@settings(deadline=None)
@given(st.integers(1, 120), st.none() | st.integers(1, 40))
def test_chunk_size_is_a_maximum_and_strides_keep_their_phase(
    loaded: mdtraj.Trajectory, chunk_size: int, stride: int | None
) -> None:
    data = Trajectory(loaded, stride=stride)
    chunks = data.chunks(chunk_size)
    assert [frame for chunk in chunks for frame in chunk.frames] == list(range(98))[::stride]
    assert [chunk.out_start for chunk in chunks] == list(range(0, data.n_frames[0], chunk_size))
    assert max(chunk.n_out for chunk in chunks) <= chunk_size


@pytest.mark.parametrize(
    "frames", [[-1, 3, 3, 0], np.arange(98) % 3 == 0, slice(None, None, -7), slice(-5, None), range(4, 9)]
)
def test_frames_come_in_the_order_in_which_they_are_asked_for(loaded: mdtraj.Trajectory, frames: Any) -> None:
    np.testing.assert_array_equal(joined(Trajectory(loaded, frames=frames), 3), loaded.xyz[frames])
    np.testing.assert_array_equal(joined(Trajectory(DCD, top=PSF, frames=frames), 3), loaded.xyz[frames])


def test_atoms_keep_their_order_and_their_names(loaded: mdtraj.Trajectory) -> None:
    atoms = [40, 3, 41, 2, 0]
    data = Trajectory(DCD, top=PSF, atoms=atoms)
    np.testing.assert_array_equal(joined(data, 50), loaded.xyz[:, atoms])
    assert [str(atom) for atom in data.topology.atoms] == [str(loaded.topology.atom(k)) for k in atoms]
    assert [a.index for r in data.topology.residues for a in r.atoms] == list(range(5))
    assert {frozenset((a.name, b.name)) for a, b in data.topology.bonds} == {
        frozenset((a.name, b.name)) for a, b in loaded.topology.bonds if {a.index, b.index} <= set(atoms)
    }


def test_several_trajectories_have_frames_of_their_own(loaded: mdtraj.Trajectory) -> None:
    data = Trajectory([DCD, loaded, DCD], top=PSF, frames=[[1, 2], slice(5), None], stride=2)
    assert data.n_frames == (1, 3, 49)
    assert [(c.source, c.traj, c.out_start) for c in data.chunks(30)] == [
        (0, 0, 0), (1, 1, 0), (2, 2, 0), (2, 2, 30),
    ]  # fmt: skip
    jobs = data.jobs(30, frames=34)
    assert [[chunk.n_out for chunk in job] for job in jobs] == [[1, 3, 30], [19]]


def test_a_chunk_is_split_further_within_a_job(loaded: mdtraj.Trajectory) -> None:
    for given_as in (loaded, DCD):
        (chunk,) = Trajectory(given_as, top=PSF, frames=[9, 1, 1, 5, 2]).chunks(5)
        parts = list(chunk.split(2))
        assert [(part.out_start, part.n_out) for part in parts] == [(0, 2), (2, 2), (4, 1)]
        xyz = np.concatenate([read(part, loaded.topology).xyz for part in parts])
        np.testing.assert_array_equal(xyz, loaded.xyz[[9, 1, 1, 5, 2]])


def test_what_is_read_is_the_caller_s_own(loaded: mdtraj.Trajectory) -> None:
    data = Trajectory(loaded)
    read(data.chunks(98)[0], data.topology).xyz[:] = 0
    assert loaded.xyz.any()


def test_what_is_done_to_the_topology_of_frames_stays_with_them(loaded: mdtraj.Trajectory) -> None:
    data = Trajectory(loaded[:2])
    names = [str(atom) for atom in loaded.topology.atoms]
    for reader in (data.reader, pickle.loads(pickle.dumps(data.reader))):
        for chunk in data.chunks(1):
            topology = reader(chunk).topology
            assert [str(atom) for atom in topology.atoms] == names
            topology.atom(7).name = "changed"
            topology.delete_atom_by_index(3)
    assert [str(atom) for atom in data.topology.atoms] == names
    same = data.reader
    assert same(data.chunks(1)[0]).topology is same(data.chunks(1)[1]).topology


def test_trajectories_that_bring_other_topologies_are_refused(
    loaded: mdtraj.Trajectory, tmp_path: Path
) -> None:
    first, other = loaded[:2].atom_slice(range(5)), loaded[:2].atom_slice(range(1, 6))
    paths = [tmp_path / "first.h5", tmp_path / "again.h5", tmp_path / "other.h5"]
    for path, each in zip(paths, [first, first, other], strict=True):
        each.save(str(path))
    assert Trajectory(paths[:2]).n_frames == Trajectory([first, first[:]]).n_frames == (2, 2)
    with pytest.raises(TrajectoryInputError, match=r"other\.h5 .*: atom 0 is MET1-H, and not MET1-N"):
        Trajectory(paths)
    with pytest.raises(TrajectoryInputError, match="in memory has another topology"):
        Trajectory([first, other])
    assert Trajectory(paths, top=first).n_frames == (2, 2, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frames": [3, 98]}, "has 98 frames, and no frame 98"),
        ({"frames": [-99]}, "no frame -99"),
        ({"frames": slice(50, 40)}, "chooses none"),
        ({"frames": []}, "chooses none"),
        ({"frames": [False] * 98}, "the mask of them chooses none"),
        ({"frames": [True, False]}, "the mask of them 2 booleans"),
        ({"frames": "all"}, "frames must be a slice"),
        ({"frames": [None, None]}, "there are 1 trajectories"),
        ({"frames": [1.5]}, "frames must be a slice"),
        ({"stride": 0}, "stride must be a positive integer"),
        ({"atoms": []}, "chooses none of the 3341 atoms"),
        ({"atoms": "name XYZ"}, "chooses none of the 3341 atoms"),
        ({"atoms": "nam CA"}, "no selection of mdtraj's"),
        ({"atoms": [1, 3341]}, "no atom 3341"),
        ({"atoms": [1, 2, 1]}, "atom 1 more than once"),
        ({"atoms": [True]}, "the mask of them 1 booleans"),
        ({"top": None}, "has no topology: give top="),
        ({"top": "/nowhere.pdb"}, "top: /nowhere.pdb: mdtraj can't read"),
    ],
)
def test_what_is_not_there_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        Trajectory(DCD, **{"top": PSF, **options})


def test_a_topology_of_another_system_is_refused(loaded: mdtraj.Trajectory) -> None:
    other = loaded.topology.subset(range(10))
    with pytest.raises(TrajectoryInputError, match="has 3341 atoms, and the topology 10") as caught:
        Trajectory(DCD, top=other)
    assert caught.value.path == str(DCD)


# -- how many frames a chunk has -------------------------------------------------------------------------------


def test_auto_gives_each_slot_four_chunks_where_there_is_memory(loaded: mdtraj.Trajectory) -> None:
    data = Trajectory([loaded, loaded])
    assert len(data.chunks(slots=2)) == 8
    assert len(data.chunks(slots=1000)) == 196


def test_auto_fills_no_more_than_half_of_the_memory(loaded: mdtraj.Trajectory) -> None:
    data = Trajectory(loaded)
    (size,) = {chunk.n_out for chunk in data.chunks(memory=251)[:-1]}
    assert size == (1 << 20) // 2 // data.read_nbytes == 6


def test_auto_leaves_room_for_what_the_function_takes(loaded: mdtraj.Trajectory) -> None:
    data = Trajectory(loaded)

    def pairs(frames: mdtraj.Trajectory) -> Any:
        return np.ones((frames.n_frames, 10 << 20), np.uint8)

    sizes = [chunk.n_out for chunk in data.chunks(memory=300, probe=pairs)]
    assert max(sizes) == int((50 << 20) * 0.7 / ((10 << 20) + data.read_nbytes)) == 3


def test_a_function_is_called_with_one_frame_and_a_few_where_it_is_quick(loaded: mdtraj.Trajectory) -> None:
    called: list[int] = []
    Trajectory(loaded).chunks(probe=lambda frames: called.append(frames.n_frames))
    assert set(called) == {1, 8}
    called.clear()
    Trajectory(loaded, frames=[3]).chunks(probe=lambda frames: called.append(frames.n_frames))
    assert set(called) == {1}


def test_a_function_that_takes_much_is_called_with_one_frame(loaded: mdtraj.Trajectory) -> None:
    called: list[int] = []

    def large(frames: mdtraj.Trajectory) -> Any:
        called.append(frames.n_frames)
        return np.empty((frames.n_frames, 40 << 20), np.uint8)

    Trajectory(loaded).chunks(probe=large)
    assert called == [1]


def test_a_job_without_room_for_a_frame_is_refused(loaded: mdtraj.Trajectory) -> None:
    with pytest.raises(InvalidInputError, match=r"a frame of 3341 atoms takes .* no room for one"):
        Trajectory(loaded).chunks(memory=250)
    with pytest.raises(InvalidInputError, match=r"takes 2[012]\.. MB.* no room for one"):
        Trajectory(loaded).chunks(memory=260, probe=lambda frames: np.ones((frames.n_frames, 20 << 20), "u1"))


@pytest.mark.parametrize("size", [0, -1, 1.5, True, "all", None])
def test_a_chunk_size_that_is_no_positive_integer_is_refused(loaded: mdtraj.Trajectory, size: Any) -> None:
    with pytest.raises(InvalidInputError, match="chunk_size must be a positive integer"):
        Trajectory(loaded).chunks(size)


READ = """
import sys
from condormap.trajectory import Trajectory

def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) << 10

path, top, *atoms = sys.argv[1:]
data = Trajectory(path, top=top, atoms=list(map(int, atoms)) or None)
(chunk,) = data.chunks(10_000)
data.reader(data.chunks(1)[0])
before = peak()
data.reader(chunk)
print(chunk.n_out * data.read_nbytes, peak() - before, before)
"""


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("atoms", [(), range(303, -1, -2)], ids=["all", "reversed"])
def test_reading_takes_the_memory_that_chunk_sizes_go_by(
    tmp_path: Path, suffix: str, atoms: Sequence[int]
) -> None:
    topology = system(76)
    xyz = np.random.default_rng(3).random((4000, topology.n_atoms, 3), np.float32)
    made = mdtraj.Trajectory(xyz, topology)
    path = written(tmp_path, suffix, made)
    made[0].save(str(tmp_path / "top.pdb"))
    command = [sys.executable, "-c", READ, path, str(tmp_path / "top.pdb"), *map(str, atoms)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    expected, taken, before = map(int, run.stdout.splitlines()[-1].split())
    assert taken < expected + (48 << 20)  # blocks that are read at once
    assert before < 200 << 20
