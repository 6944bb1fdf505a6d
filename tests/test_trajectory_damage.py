"""Files of frames of one size that are damaged in the middle, or of which only some frames have unit cells."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mdtraj.formats import DCDTrajectoryFile, NetCDFTrajectoryFile
from trajectories import reference, same, system, trajectory, written

from condormap.errors import TrajectoryDamagedError
from condormap.trajectory import Trajectory
from condormap.trajectory.formats.dcd import read_layout
from condormap.trajectory.formats.records import Layout

N = 41


def damaged(tmp_path: Path, damage: Callable[[bytearray, Layout], None], *, cells: bool = True) -> str:
    """Return a DCD file to whose bytes something was done."""
    path = written(tmp_path, "dcd", trajectory(N, cells=cells))
    with open(path, "rb") as file:
        layout = read_layout(file, path)
    data = bytearray(Path(path).read_bytes())
    size = len(data)
    damage(data, layout)
    assert len(data) == size
    Path(path).write_bytes(data)
    return path


def hole(data: bytearray, layout: Layout) -> None:
    """Frames 20 to 22 are zeros, as where a disk was full."""
    at = layout.start + 20 * layout.record.itemsize
    data[at : at + 3 * layout.record.itemsize] = bytes(3 * layout.record.itemsize)


def shifted(data: bytearray, layout: Layout) -> None:
    """From the middle of frame 20 on all is eight bytes further on."""
    at = layout.start + 20 * layout.record.itemsize + 100
    data[at:at] = bytes(8)
    del data[-8:]


def one_mark(data: bytearray, layout: Layout) -> None:
    """A single size of a block is wrong."""
    at = layout.start + 20 * layout.record.itemsize + layout.record.fields["y_end"][1]
    data[at] ^= 1


@pytest.mark.parametrize("cells", [True, False])
@pytest.mark.parametrize("damage", [hole, shifted, one_mark])
def test_a_dcd_frame_that_is_damaged_is_an_error_that_names_it(
    tmp_path: Path, damage: Callable[[bytearray, Layout], None], cells: bool
) -> None:
    path = damaged(tmp_path, damage, cells=cells)
    data = Trajectory(path, top=system())
    (chunk,) = data.chunks(N)
    for read in (data.reader, lambda chunk: chunk.with_data()):
        with pytest.raises(TrajectoryDamagedError, match=rf"{path}: frame 20 is damaged.*frames=") as caught:
            read(chunk)
        assert (caught.value.path, caught.value.frame) == (path, 20)


def test_dcd_frames_before_and_after_the_damaged_ones_are_read(tmp_path: Path) -> None:
    path = damaged(tmp_path, hole)
    frames = [0, 19, 23, 40]
    data = Trajectory(path, top=system(), frames=frames)
    found = data.reader(data.chunks(N)[0])
    same(found, reference(written(tmp_path, "dcd", trajectory(N)), system())[frames])


def test_a_dcd_file_whose_first_chosen_frame_is_damaged_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrajectoryDamagedError, match="frame 21 is damaged"):
        Trajectory(damaged(tmp_path, hole), top=system(), frames=slice(21, None))


@pytest.fixture(params=["dcd", "nc"])
def cells_of_some(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return a file whose frames have unit cells from frame 5 on."""
    path = str(tmp_path / f"frames.{request.param}")
    made = trajectory(9)
    lengths, angles = 10 * made.unitcell_lengths, made.unitcell_angles
    lengths[:5] = 0
    opened = {"dcd": DCDTrajectoryFile, "nc": NetCDFTrajectoryFile}[request.param]
    with opened(path, "w") as file:
        file.write(10 * made.xyz, cell_lengths=lengths, cell_angles=angles)
    return path


def test_whether_there_are_unit_cells_is_that_of_the_chosen_frames(cells_of_some: str) -> None:
    whole = reference(cells_of_some, system())
    for frames in ([7, 5, -1], [5], slice(None, 4, -1)):
        data = Trajectory(cells_of_some, top=system(), frames=frames)
        found = data.reader(data.chunks(9)[0])
        np.testing.assert_array_equal(found.unitcell_lengths, whole.unitcell_lengths[frames])
    for frames in ([0, 4], [4], slice(5)):
        data = Trajectory(cells_of_some, top=system(), frames=frames)
        assert data.reader(data.chunks(9)[0]).unitcell_lengths is None


@pytest.mark.parametrize(
    ("frames", "message", "frame"),
    [([4, 5], "frame 5 has a unit cell, and others", 5), ([6, 2], "frame 2 has no unit cell, and others", 2)],
)
def test_unit_cells_of_some_of_the_chosen_frames_are_an_error_with_a_way_out(
    cells_of_some: str, frames: list[int], message: str, frame: int
) -> None:
    data = Trajectory(cells_of_some, top=system(), frames=frames)
    with pytest.raises(TrajectoryDamagedError, match=rf"{message}.*unitcell=False") as caught:
        data.reader(data.chunks(9)[0])
    assert caught.value.frame == frame
    data = Trajectory(cells_of_some, top=system(), frames=frames, unitcell=False)
    assert data.reader(data.chunks(9)[0]).n_frames == 2
