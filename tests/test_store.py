"""A map's folder: its tag, its record, its submissions; written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from condormap.address import PoolAddress
from condormap.errors import StorageError
from condormap.folders import store

ADDRESS = PoolAddress(Path("/etc/condor/condor_config"), "cm.lab.example", "submit.lab.example")


# -- JSON ------------------------------------------------------------------------------------------------------


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    store.write_json(path, ["0" * 100_000])
    done = threading.Event()

    def read() -> set[str]:
        seen = set()
        while not done.is_set():
            (text,) = json.loads(path.read_bytes())
            assert len(text) == 100_000
            seen.add(text[0])
        return seen

    with ThreadPoolExecutor() as executor:
        readers = [executor.submit(read) for _ in range(2)]
        for n in range(200):
            store.write_json(path, [str(n % 10) * 100_000])
        done.set()
        for reader in readers:
            reader.result()
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_be_replaced_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "value.json").mkdir()
    with pytest.raises(OSError, match="directory"):
        store.write_json(tmp_path / "value.json", 1)
    assert [path.name for path in tmp_path.iterdir()] == ["value.json"]


# -- the record ------------------------------------------------------------------------------------------------


def test_the_record_comes_back(tmp_path: Path) -> None:
    record = store.new_record("id", "fit", 7, True, "__main__.f", ADDRESS)
    store.write_record(tmp_path, record)
    assert store.read_record(tmp_path) == record
    address = store.read_record(tmp_path).address
    assert (address.config_file, address.collector, address.schedd) == (
        ADDRESS.config_file,
        ADDRESS.collector,
        ADDRESS.schedd,
    )


def test_no_two_maps_have_the_same_id() -> None:
    assert len({store.new_id() for _ in range(100)}) == 100


@pytest.mark.parametrize(("layout", "age"), [(1, "an older"), (99, "a newer"), ("x", "a newer")])
def test_another_layout_is_refused_in_words(tmp_path: Path, layout: int | str, age: str) -> None:
    store.write_record(tmp_path, store.new_record("id", "fit", 7, True, "f", ADDRESS))
    path = tmp_path / store.RECORD_FILE
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"layout": layout, "new": 1}))
    with pytest.raises(StorageError, match=f"by {age} version of condormap, in layout {layout!r}; .* Load"):
        store.read_record(tmp_path)
    id, address = store.read_identity(tmp_path)
    assert (id, address.schedd) == ("id", "submit.lab.example")


@pytest.mark.parametrize(
    "content", [None, "", "[]", "{}", '"text"', '{"layout": 2}', '{"layout": 2, "x": 1}']
)
def test_a_folder_that_is_no_map_is_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / store.RECORD_FILE).write_text(content)
    with pytest.raises(StorageError, match="no map that can be read"):
        store.read_record(tmp_path)


# -- folders ---------------------------------------------------------------------------------------------------


def test_a_folder_that_was_not_finished_is_removed(tmp_path: Path) -> None:
    with contextlib.suppress(ZeroDivisionError), store.staging(tmp_path) as new:
        (new / "file").touch()
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_was_renamed_stays(tmp_path: Path) -> None:
    with store.staging(tmp_path / "maps") as new:
        (new / "file").touch()
        os.rename(new, tmp_path / "maps" / "fit")
    assert (tmp_path / "maps" / "fit" / "file").exists()
    assert len(list((tmp_path / "maps").iterdir())) == 1


def test_a_folder_goes_with_all_that_is_in_it_and_nothing_that_links_lead_to(tmp_path: Path) -> None:
    folder, outside = tmp_path / "map", tmp_path / "outside"
    for part in (outside, *(folder / str(n) / "deep" / "deeper" for n in range(40))):
        part.mkdir(parents=True)
        (part / "file").touch()
        (part / "link").symlink_to(outside)
    store.discard(folder)
    assert list(tmp_path.iterdir()) == [outside]
    assert {path.name for path in outside.iterdir()} == {"file", "link"}


def test_what_of_a_folder_cannot_be_removed_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "map" / "part").mkdir(parents=True)
    (tmp_path / "map" / "part" / "file").touch()
    (tmp_path / "map" / "other").touch()
    unlink = os.unlink

    def refuse(path: str, **options: int) -> None:
        if path.endswith("file"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        unlink(path, **options)

    monkeypatch.setattr(os, "unlink", refuse)
    store.discard(tmp_path / "map")
    (gone,) = tmp_path.iterdir()
    assert gone.name.startswith(store.GONE)
    assert [path.name for path in gone.rglob("*")] == ["part", "file"]


def test_a_map_s_folder_is_its_user_s_alone(tmp_path: Path) -> None:
    with store.staging(tmp_path / "maps") as new:
        assert new.stat().st_mode & 0o077 == 0
        assert (tmp_path / "maps").stat().st_mode & 0o077 == 0


def test_a_folder_without_submissions_has_none(tmp_path: Path) -> None:
    assert store.submission_folders(tmp_path) == []


# -- errors ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "the disk is full: free some space, or set CONDORMAP_HOME"),
        (errno.EDQUOT, "your disk quota is used up"),
        (errno.EACCES, "set CONDORMAP_HOME to a folder that you can write"),
        (errno.EROFS, "set CONDORMAP_HOME to a folder that you can write"),
    ],
)
def test_what_the_disk_refuses_is_a_storage_error_with_advice(number: int, advice: str) -> None:
    with pytest.raises(StorageError, match=advice) as caught, store.storage_errors(Path("/some/folder")):
        raise OSError(number, os.strerror(number), "/some/folder/file")
    assert caught.value.errno == number
    assert caught.value.filename == "/some/folder/file"
    assert os.strerror(number) in str(caught.value)


def test_a_storage_error_stays_as_it_is() -> None:
    error = StorageError("said already")
    with pytest.raises(StorageError) as caught, store.storage_errors(Path("/some/folder")):
        raise error
    assert caught.value is error
