"""Chunks of every format are, frame for frame and bit for bit, what mdtraj reads of the whole file."""

from __future__ import annotations

import os
import pickle
import shutil
import struct
from pathlib import Path
from typing import Any

import h5py
import MDAnalysis
import mdtraj
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from MDAnalysisTests import datafiles
from mdtraj.formats import TRRTrajectoryFile, XTCTrajectoryFile
from trajectories import FORMATS, reference, same, system, trajectory, written

from condormap.errors import (
    TrajectoryChangedError,
    TrajectoryDamagedError,
    TrajectoryError,
    TrajectoryInputError,
)
from condormap.trajectory import Trajectory
from condormap.trajectory.formats import offsets as kept
from condormap.trajectory.formats.dcd import read_layout

N = 41


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return a file of each format."""
    folder = tmp_path_factory.mktemp("trajectories")
    return {suffix: written(folder, suffix, trajectory(N)) for suffix in FORMATS}


@pytest.fixture(scope="module")
def wholes(files: dict[str, str]) -> dict[str, mdtraj.Trajectory]:
    return {suffix: reference(path, system()) for suffix, path in files.items()}


def read_all(data: Trajectory, chunk_size: int) -> mdtraj.Trajectory:
    """Return all frames, as jobs read them: from pickled chunks, with a pickled reader."""
    chunks, reader = pickle.loads(pickle.dumps((data.chunks(chunk_size), data.reader)))
    return mdtraj.join([reader(chunk) for chunk in chunks], check_topology=False)


def chosen(
    whole: mdtraj.Trajectory,
    frames: Any,
    stride: int | None,
    atoms: list[int] | None,
    topology: mdtraj.Topology,
) -> mdtraj.Trajectory:
    """Return what mdtraj and NumPy choose of a whole trajectory."""
    rows = np.arange(whole.n_frames)[slice(None) if frames is None else frames][::stride]
    cells = (
        (None, None) if whole.unitcell_lengths is None else (whole.unitcell_lengths, whole.unitcell_angles)
    )
    return mdtraj.Trajectory(
        whole.xyz[rows] if atoms is None else whole.xyz[rows][:, atoms],
        topology,
        whole.time[rows],
        *(None if cell is None else cell[rows] for cell in cells),
    )


FRAMES = st.one_of(
    st.none(),
    st.slices(N).filter(lambda s: len(range(N)[s]) > 0),
    st.lists(st.integers(-N, N - 1), min_size=1, max_size=12),
    st.lists(st.booleans(), min_size=N, max_size=N).filter(any).map(np.array),
)
ATOMS = st.none() | st.lists(st.integers(0, system().n_atoms - 1), min_size=1, unique=True)


@pytest.mark.parametrize("suffix", FORMATS)
@settings(deadline=None)
@given(frames=FRAMES, stride=st.none() | st.integers(1, 9), atoms=ATOMS, chunk_size=st.integers(1, N + 2))
def test_any_frames_of_any_atoms_are_those_of_mdtraj(
    files: dict[str, str],
    wholes: dict[str, mdtraj.Trajectory],
    suffix: str,
    frames: Any,
    stride: int | None,
    atoms: list[int] | None,
    chunk_size: int,
) -> None:
    top = None if suffix == "h5" else system()
    data = Trajectory(files[suffix], top=top, frames=frames, stride=stride, atoms=atoms)
    same(read_all(data, chunk_size), chosen(wholes[suffix], frames, stride, atoms, data.topology))
    names = [str(system().atom(k)) for k in atoms or range(data.n_atoms)]
    assert [str(atom) for atom in data.topology.atoms] == names


REAL = {
    "adk.xtc": (datafiles.XTC, datafiles.GRO),
    "adk.trr": (datafiles.TRR, datafiles.GRO),
    "adk.dcd": (datafiles.DCD, datafiles.PSF),
    "triclinic CHARMM.dcd": (datafiles.DCD_TRICLINIC, datafiles.PSF_TRICLINIC),
    "triclinic NAMD.dcd": (datafiles.DCD_NAMD_TRICLINIC, datafiles.PSF_NAMD_TRICLINIC),
    "AMBER.ncdf": (datafiles.NCDF, datafiles.PRMncdf),
}


@pytest.mark.filterwarnings("ignore:DCDReader currently makes:DeprecationWarning")
@pytest.mark.parametrize("name", REAL)
def test_files_of_real_programs_are_those_of_mdtraj_and_of_mdanalysis(name: str) -> None:
    path, top = REAL[name]
    whole = mdtraj.load(path, top=str(top))
    data = Trajectory(path, top=whole.topology, stride=2)
    found = read_all(data, 3)
    same(found, whole[::2])
    judge = MDAnalysis.coordinates.core.get_reader_for(path)(path)
    for ours, theirs in zip(found.xyz, judge[::2], strict=True):
        np.testing.assert_allclose(ours * 10, theirs.positions, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_trajectory_without_unit_cells_has_none(tmp_path: Path, suffix: str) -> None:
    made = trajectory(7, cells=False)
    path = written(tmp_path, suffix, made)
    found = read_all(Trajectory(path, top=made.topology), 3)
    assert found.unitcell_lengths is None
    same(found, reference(path, made.topology))


def test_unit_cells_are_left_out_where_that_is_asked_for(files: dict[str, str]) -> None:
    for path in files.values():
        assert read_all(Trajectory(path, top=system(), unitcell=False), 30).unitcell_lengths is None


def test_coordinates_that_are_not_finite_are_passed_on(tmp_path: Path) -> None:
    made = trajectory(5)
    made.xyz[3, 2] = np.nan, np.inf, -np.inf
    for suffix in ("dcd", "trr", "nc", "h5"):
        found = read_all(Trajectory(written(tmp_path, suffix, made), top=made.topology), 2)
        np.testing.assert_array_equal(found.xyz[3, 2], made.xyz[3, 2])


def test_few_atoms_which_xtc_does_not_compress(tmp_path: Path) -> None:
    made = trajectory(6).atom_slice(range(9))
    path = written(tmp_path, "xtc", made)
    same(read_all(Trajectory(path, top=made.topology), 4), reference(path, made.topology))


def test_velocities_in_a_trr_file(tmp_path: Path) -> None:
    path = str(tmp_path / "frames.trr")
    with TRRTrajectoryFile(path, "w") as file:
        xyz = np.random.default_rng(1).random((4, 12, 3)).astype(np.float32)
        file._write(xyz, np.arange(4, dtype="f4"), np.arange(4, dtype="i4"), np.zeros((4, 3, 3), "f4"),
                    np.zeros(4, "f4"), xyz, None)  # fmt: skip
    found = read_all(Trajectory(path, top=system().subset(range(12))), 3)
    np.testing.assert_array_equal(found.xyz, xyz)


# -- where frames begin ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["xtc", "trr"])
def test_the_frames_begin_where_mdtraj_finds_them(files: dict[str, str], suffix: str) -> None:
    opened = {"xtc": XTCTrajectoryFile, "trr": TRRTrajectoryFile}[suffix]
    (source,) = Trajectory(files[suffix], top=system()).trajectories
    with opened(files[suffix]) as file:
        np.testing.assert_array_equal(source.offsets, file.offsets)


@pytest.fixture
def long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a file whose frames' offsets are kept."""
    monkeypatch.setattr(kept, "_LEAST", 10)
    return written(tmp_path, "xtc", trajectory(N))


def scans(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list to which each file is added whose headers are looked through."""
    from condormap.trajectory.formats import xdr

    looked: list[str] = []
    scan = xdr._scan
    monkeypatch.setattr(xdr, "_scan", lambda path, *more: looked.append(path) or scan(path, *more))
    return looked


def test_offsets_are_kept_beside_the_file(long: str, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = scans(monkeypatch)
    first = Trajectory(long, top=system())
    second = Trajectory(long, top=system())
    assert looked == [long]
    assert first.chunks(7) == second.chunks(7)
    assert os.path.exists(os.path.join(os.path.dirname(long), ".frames.xtc.condormap-offsets.npy"))


def test_offsets_of_a_file_that_changed_are_found_anew(long: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Trajectory(long, top=system())
    trajectory(15, seed=1).save(long)
    looked = scans(monkeypatch)
    assert Trajectory(long, top=system()).n_frames == (15,)
    assert looked == [long]


def test_offsets_that_are_damaged_are_found_anew(long: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Trajectory(long, top=system()).chunks(5)
    beside = Path(long).parent / ".frames.xtc.condormap-offsets.npy"
    beside.write_bytes(beside.read_bytes()[:-9])
    looked = scans(monkeypatch)
    assert Trajectory(long, top=system()).chunks(5) == first
    assert looked == [long]


def test_offsets_go_to_condormap_s_folder_where_the_file_s_cannot_be_written(
    long: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    places = kept._places
    monkeypatch.setattr(kept, "_places", lambda path: (Path("/proc/nowhere"), places(path)[1]))
    monkeypatch.setenv("CONDORMAP_HOME", str(tmp_path / "home"))
    looked = scans(monkeypatch)
    assert Trajectory(long, top=system()).chunks(5) == Trajectory(long, top=system()).chunks(5)
    assert looked == [long]
    assert len(list((tmp_path / "home/offsets").iterdir())) == 1


def read_so_far() -> int:
    """Return how many bytes this process has read."""
    return int(Path("/proc/self/io").read_text().split()[1])


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_job_reads_little_more_of_a_file_than_its_frames(tmp_path: Path, suffix: str) -> None:
    path = written(tmp_path, suffix, trajectory(8000))
    data = Trajectory(path, top=system())
    read = data.reader
    *_, before, last = data.chunks(20)
    read(before)  # loads what it needs of Python
    start = read_so_far()
    assert read(last).n_frames == 20
    assert read_so_far() - start < 0.1 * os.path.getsize(path)


# -- bad files -------------------------------------------------------------------------------------------------


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrajectoryInputError, match=r"nowhere\.xtc can't be read: No such file") as caught:
        Trajectory(tmp_path / "nowhere.xtc", top=system())
    assert caught.value.path == str(tmp_path / "nowhere.xtc")


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_folder_is_refused(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"frames.{suffix}").mkdir()
    with pytest.raises(TrajectoryError, match=f"{suffix}"):
        Trajectory(tmp_path / f"frames.{suffix}", top=system())


def test_a_frame_on_which_mdtraj_would_crash_is_refused(tmp_path: Path) -> None:
    path = Path(written(tmp_path, "xtc", trajectory(5)))
    data = bytearray(path.read_bytes())
    at = int(Trajectory(path, top=system()).trajectories[0].offsets[3]) + 84
    data[at : at + 4] = struct.pack(">i", 255)  # of a table with 73 numbers
    path.write_bytes(data)
    with pytest.raises(TrajectoryDamagedError, match="no frame 3 begins at byte") as caught:
        Trajectory(path, top=system())
    assert caught.value.frame == 3


def test_frames_that_are_not_where_they_were_are_an_error_in_the_job(tmp_path: Path) -> None:
    """Somebody wrote to the file, and gave it the time that it had."""
    path = Path(written(tmp_path, "xtc", trajectory(9)))
    data = Trajectory(path, top=system())
    (chunk,) = data.chunks(9)
    path.write_bytes(bytes(chunk.size))
    os.utime(path, ns=(0, chunk.mtime_ns))
    with pytest.raises(TrajectoryDamagedError, match="frames 0 to 8 can't be read"):
        data.reader(chunk)
    with pytest.raises(TrajectoryDamagedError, match="no frame is at byte 0"):
        chunk.with_data()


def test_a_suffix_that_is_not_known_is_refused(tmp_path: Path) -> None:
    (tmp_path / "frames.lammpstrj").write_text("ITEM: TIMESTEP\n")
    with pytest.raises(TrajectoryInputError, match=r"no format has the suffix '.lammpstrj'.*\.dcd, \.h5"):
        Trajectory(tmp_path / "frames.lammpstrj", top=system())


@pytest.mark.parametrize("suffix", FORMATS)
def test_an_empty_file_is_refused(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"frames.{suffix}").touch()
    with pytest.raises(TrajectoryDamagedError, match="is empty: 0 bytes"):
        Trajectory(tmp_path / f"frames.{suffix}", top=system())


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_file_of_something_else_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"frames.{suffix}"
    path.write_bytes(b"This is a letter to my grandmother. " * 99)
    with pytest.raises(TrajectoryDamagedError, match=str(path)):
        Trajectory(path, top=system())


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("part", [0.001, 0.5, 0.999])
def test_a_file_that_ends_too_soon_is_refused_with_the_frame(
    tmp_path: Path, files: dict[str, str], suffix: str, part: float
) -> None:
    whole = Path(files[suffix]).read_bytes()
    path = tmp_path / f"frames.{suffix}"
    path.write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(TrajectoryDamagedError, match=str(path)) as caught:
        Trajectory(path, top=system())
    if suffix != "h5" and part > 0.1:
        assert abs(caught.value.frame - N * part) < 2


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("change", ["grown", "replaced", "removed"])
def test_a_file_that_changed_since_is_noticed_by_the_job(
    tmp_path: Path, files: dict[str, str], suffix: str, change: str
) -> None:
    path = tmp_path / f"frames.{suffix}"
    shutil.copy(files[suffix], path)
    data = Trajectory(path, top=system())
    (_, chunk) = data.chunks(30)
    if change == "grown":
        path.write_bytes(path.read_bytes() * 2)
    elif change == "replaced":
        os.utime(path, ns=(0, chunk.mtime_ns + 1))
    else:
        path.unlink()
    with pytest.raises(TrajectoryChangedError, match=f"{path}: before frame 30 was read") as caught:
        data.reader(chunk)
    assert (caught.value.path, caught.value.frame) == (str(path), 30)


def test_frames_of_different_systems_in_one_file_are_refused(tmp_path: Path) -> None:
    with (
        XTCTrajectoryFile(str(tmp_path / "a.xtc"), "w") as a,
        XTCTrajectoryFile(str(tmp_path / "b.xtc"), "w") as b,
    ):
        a.write(np.ones((3, 12, 3), np.float32))
        b.write(np.ones((3, 13, 3), np.float32))
    both = tmp_path / "both.xtc"
    both.write_bytes((tmp_path / "a.xtc").read_bytes() + (tmp_path / "b.xtc").read_bytes())
    with pytest.raises(
        TrajectoryDamagedError, match="frame 3 has 13 atoms, and those before have 12"
    ) as caught:
        Trajectory(both, top=system().subset(range(12)))
    assert caught.value.frame == 3


def cells_in_some(tmp_path: Path, suffix: str) -> str:
    """Return a file of which frame 2 has no unit cell."""
    made = trajectory(5)
    path = written(tmp_path, suffix, made)
    if suffix == "h5":
        with h5py.File(path, "r+") as file:
            file["cell_lengths"][2] = 0
    else:
        with {"xtc": XTCTrajectoryFile, "trr": TRRTrajectoryFile}[suffix](path, "w") as file:
            box = np.tile(np.eye(3, dtype=np.float32), (5, 1, 1))
            box[2] = 0
            file.write(made.xyz, box=box)
    return path


@pytest.mark.parametrize("suffix", ["xtc", "trr", "h5"])
def test_unit_cells_that_only_some_frames_have_are_an_error_with_a_way_out(
    tmp_path: Path, suffix: str
) -> None:
    path = cells_in_some(tmp_path, suffix)
    with pytest.raises(TrajectoryError, match=r"frame 2 has no unit cell.*unitcell=False") as caught:
        read_all(Trajectory(path, top=system()), 3)
    assert caught.value.frame == 2
    assert read_all(Trajectory(path, top=system(), unitcell=False), 3).n_frames == 5
    assert read_all(Trajectory(path, top=system(), frames=[0, 1, 3]), 3).unitcell_lengths is not None
    assert read_all(Trajectory(path, top=system(), frames=[2]), 3).unitcell_lengths is None


def test_frames_of_velocities_alone_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "frames.trr"
    made = trajectory(2)
    whole = Path(written(tmp_path, "trr", made)).read_bytes()
    head = bytearray(whole[: len(whole) // 2])
    sizes = list(struct.unpack_from(">10i", head, 24))
    sizes[7], sizes[8] = sizes[8], sizes[7]  # its coordinates are velocities
    struct.pack_into(">10i", head, 24, *sizes)
    path.write_bytes(whole + head)
    with pytest.raises(TrajectoryInputError, match="frame 2 has no coordinates") as caught:
        Trajectory(path, top=system())
    assert caught.value.frame == 2
    same(read_all(Trajectory(path, top=system(), frames=slice(2)), 1), reference(str(path), system())[:2])


def test_a_wepy_file_given_as_a_trajectory_says_what_to_use(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "frames.h5", "w") as file:
        file.create_group("runs")
        file.create_group("_settings")
    with pytest.raises(TrajectoryInputError, match="one of wepy's, for which there is WepyH5"):
        Trajectory(tmp_path / "frames.h5")


def test_a_unit_that_is_none_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "h5", trajectory(3))
    with h5py.File(path, "r+") as file:
        file["coordinates"].attrs["units"] = "fortnights"
    with pytest.raises(
        TrajectoryInputError, match="coordinates is in 'fortnights', which can't be converted"
    ):
        Trajectory(path)


def test_units_of_an_hdf5_file_are_converted(tmp_path: Path) -> None:
    path = written(tmp_path, "h5", trajectory(3))
    with h5py.File(path, "r+") as file:
        file["coordinates"].attrs["units"] = "angstroms"
    same(read_all(Trajectory(path), 2), reference(path, system()))


def test_a_dcd_file_of_the_other_byte_order_is_read(tmp_path: Path) -> None:
    path = written(tmp_path, "dcd", trajectory(5))
    data = Path(path).read_bytes()
    with open(path, "rb") as file:
        layout = read_layout(file, path)
    title = struct.unpack_from("<i", data, 92)[0]
    swapped = bytearray(data[: layout.start])
    for at in [0, *range(8, 96), 96 + title, 100 + title, 104 + title, 108 + title]:
        if at % 4 == 0 and at < layout.start:
            swapped[at : at + 4] = swapped[at : at + 4][::-1]
    swapped[96:100] = swapped[96:100][::-1]  # lines of the title
    records = np.frombuffer(data, layout.record, offset=layout.start)
    Path(path).write_bytes(swapped + records.astype(layout.record.newbyteorder()).tobytes())
    assert Path(path).read_bytes()[:4] == b"\0\0\0T"
    same(read_all(Trajectory(path, top=system()), 2), reference(path, system()))


@pytest.mark.parametrize(("at", "what"), [(8, "fixed atoms"), (11, "a fourth dimension")])
def test_a_dcd_file_whose_frames_differ_in_size_is_refused(tmp_path: Path, at: int, what: str) -> None:
    path = written(tmp_path, "dcd", trajectory(5))
    with open(path, "r+b") as file:
        file.seek(8 + 4 * at)
        file.write(struct.pack("<i", 1))
    with pytest.raises(TrajectoryInputError, match=f"has {what}"):
        Trajectory(path, top=system())


@pytest.mark.parametrize("error", [TrajectoryChangedError, TrajectoryDamagedError, TrajectoryInputError])
def test_errors_keep_file_and_frame_on_their_way_from_a_job(error: type[TrajectoryError]) -> None:
    raised = pickle.loads(pickle.dumps(error("gone", path="/a.xtc", frame=3)))
    assert (str(raised), raised.path, raised.frame) == ("gone", "/a.xtc", 3)
