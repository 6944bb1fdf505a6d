"""New datasets in an HDF5 file that somebody else has made: all that was there stays."""

from __future__ import annotations

import ctypes
import os
import random
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from condormap.reducers.hdf5_graft import New, check_can_graft, graft

TEXT = h5py.string_dtype()


def make(path: Path, **options: Any) -> None:
    with h5py.File(path, "w", **options) as file:
        for name in ["b", "a", *(f"many{k}" for k in range(20))]:
            file[f"groups/{name}/data"] = np.arange(50.0)
        file["groups"].attrs["numbers"] = np.arange(4.0)
        file["groups"].attrs["nothing"] = h5py.Empty("f")
        file["groups"].attrs.create("texts", ["a", "é"], dtype=TEXT)
        file["groups/soft"] = h5py.SoftLink("/groups/a/data")
        file["groups/elsewhere"] = h5py.ExternalLink("other.h5", "/x")
        file["groups/same"] = file["groups/a"]
        file["texts"] = np.array(["a", "b"], TEXT)
        file.create_dataset("packed", data=np.arange(1000), chunks=(100,), compression="gzip")


def contents(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def note(name: str, each: Any) -> None:
        value = repr(each[()]) if isinstance(each, h5py.Dataset) else None
        found[name] = value, {key: repr(one) for key, one in each.attrs.items()}

    with h5py.File(path) as file:
        file.visititems(note)
        for name in file["groups"]:
            found[f"link {name}"] = vars(file.get(f"groups/{name}", getlink=True))
        note("/", file)
    return found


@pytest.mark.parametrize("track_order", [False, True])
@pytest.mark.parametrize("libver", [None, "earliest", "latest", ("v108", "v108"), ("v110", "v110")])
def test_what_is_new_is_there_and_what_was_there_is_the_same(
    tmp_path: Path, libver: Any, track_order: bool
) -> None:
    path = tmp_path / "file.h5"
    make(path, libver=libver, track_order=track_order)
    before, size = contents(path), path.stat().st_size
    kept = path.read_bytes()[96:size]
    for k in range(12):  # so that groups grow out of their first blocks
        values = np.arange(60.0) + k
        graft(
            str(path),
            lambda old, k=k, values=values: {  # type: ignore[misc]
                f"groups/{'ab'[k % 2]}/new/x{k}": New(values, (60, 1), {"of": k}),
                f"about/{k}": New(np.array("text", TEXT)),
            },
        )
        with h5py.File(path) as file:
            assert np.array_equal(file[f"groups/{'ab'[k % 2]}/new/x{k}"][:, 0], values)
            assert file[f"groups/{'ab'[k % 2]}/new/x{k}"].attrs["of"] == k
            assert file[f"about/{k}"].asstr()[()] == "text"
    after = contents(path)
    assert {name: after.get(name) for name in before} == before
    assert path.read_bytes()[96:size] == kept
    with h5py.File(path, "r+") as file:  # HDF5 itself goes on with it
        assert len(file["about"]) == 12
        del file["groups/a/data"]
        file["groups/a/other"] = np.arange(3000)
    with h5py.File(path) as file:
        assert file["groups/b/data"][:].tolist() == list(range(50))


def test_a_dataset_is_replaced(tmp_path: Path) -> None:
    make(tmp_path / "file.h5")
    graft(str(tmp_path / "file.h5"), lambda old: {"texts": New(np.array([*old["texts"].asstr(), "c"], TEXT))})
    with h5py.File(tmp_path / "file.h5") as file:
        assert file["texts"].asstr()[:].tolist() == ["a", "b", "c"]
        assert file["texts"].maxshape == (None,)


def test_what_a_killed_writer_left_behind_the_end_is_no_matter(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    make(path)
    before = contents(path)
    with path.open("ab") as file:
        file.write(random.Random(3).randbytes(100_000))
    assert contents(path) == before
    graft(str(path), lambda old: {"x": New(np.arange(5))})
    assert path.stat().st_size < 100_000


def test_nothing_new_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    make(path)
    before = path.read_bytes()
    graft(str(path), lambda old: {})
    assert path.read_bytes() == before


def test_a_plan_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    make(path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="is no group"):
        graft(str(path), lambda old: {"packed/x": New(np.arange(5))})
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fs_strategy": "page"}, "keeps account of its free space"),
        ({"fs_strategy": "fsm", "fs_persist": True}, "keeps account of its free space"),
        ({"userblock_size": 512}, "begins with its own first bytes"),
    ],
)
def test_files_that_cannot_be_changed_so_are_refused(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    make(tmp_path / "file.h5", **options)
    with pytest.raises(ValueError, match=message):
        check_can_graft(str(tmp_path / "file.h5"))


def test_a_file_that_was_cut_off_or_is_being_written_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    make(path, libver="latest")
    whole = path.read_bytes()
    path.write_bytes(whole[:11] + b"\1" + whole[12:])
    with pytest.raises(ValueError, match="is open for writing"):
        check_can_graft(str(path))
    path.write_bytes(whole[:-100])
    with pytest.raises((ValueError, OSError), match=r"cut off|truncated"):
        check_can_graft(str(path))


def test_a_disk_without_room_is_told_before_anything_is_written(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    make(path)
    before = path.read_bytes()
    huge = np.lib.stride_tricks.as_strided(np.zeros(1), (1 << 50,), (0,))
    with pytest.raises(OSError, match=r"MB free, and .* MB are needed"):
        graft(str(path), lambda old: {"x": New(huge)})
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["file.h5"]


def test_a_file_with_shared_messages_is_refused(tmp_path: Path) -> None:
    with open("/proc/self/maps") as maps:
        (path,) = {line.split()[-1] for line in maps if "h5py" in line and "/libhdf5-" in line}
    hdf5, plist = (
        ctypes.CDLL(path),
        h5py.h5p.create(h5py.h5p.FILE_CREATE),
    )  # h5py has no names for these calls
    assert hdf5.H5Pset_shared_mesg_nindexes(ctypes.c_int64(plist.id), 1) == 0
    assert hdf5.H5Pset_shared_mesg_index(ctypes.c_int64(plist.id), 0, 0x1F, 1) == 0
    file = tmp_path / "file.h5"
    h5py.h5f.create(bytes(file), h5py.h5f.ACC_EXCL, fcpl=plist).close()
    with pytest.raises(ValueError, match="has a table of shared messages"):
        check_can_graft(str(file))
