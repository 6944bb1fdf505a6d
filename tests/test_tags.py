"""A map's name: a link to its folder, taken by one map only, changed in one step; and the lock on a folder."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from condormap import clean, maps, retag
from condormap.address import PoolAddress
from condormap.errors import InvalidInputError, StorageError, WaitTimeoutError
from condormap.folders import store, tags
from condormap.folders.locks import is_locked, locked

ADDRESS = PoolAddress(None, "cm.lab.example", "submit.lab.example")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of condormap's for this test alone."""
    monkeypatch.setenv("CONDORMAP_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def make(tag: str | None = None) -> tuple[str, Path]:
    """Make a map without items; return its tag and its folder."""
    with tags.new_map(tag) as new:
        record = store.new_record(new.id, new.tag, 0, False, "f", ADDRESS)
        store.write_record(new.folder, record)
        store.make_log(new.folder, record)
        os.rename(new.folder, new.final)
    return new.tag, new.final


def everything(home: Path) -> set[str]:
    return {
        f"{path.parent.name}/{path.name}" for name in ("maps", "data") for path in (home / name).iterdir()
    }


# -- a new map's tag -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tag", ["fit", "Fit-2.1_b", "7", "a" * 64])
def test_a_tag_that_is_free_is_taken_as_it_is(home: Path, tag: str) -> None:
    assert make(tag) == (tag, tags.folder_of(tag))
    assert (home / "maps" / tag).is_symlink()


@pytest.mark.parametrize("tag", ["", "..", ".hidden", "-x", "a/b", "a b", "a\n", "é", "a" * 65, 7, b"fit"])
def test_what_is_no_tag_is_refused(home: Path, tag: Any) -> None:
    with pytest.raises(InvalidInputError, match="is no tag: up to 64 letters"):
        make(tag)
    with pytest.raises(InvalidInputError, match="there is no map with the tag"):
        tags.folder_of(tag)
    assert everything(home) == set()


def test_a_tag_in_use_is_refused_and_the_message_says_how_to_get_that_map() -> None:
    make("fit")
    with pytest.raises(InvalidInputError, match=r"tag 'fit' already: condormap\.load\('fit'\) returns it"):
        make("fit")


def test_a_tag_of_its_own_is_one() -> None:
    made = {make()[0] for _ in range(50)}
    assert len(made) == 50
    assert all(tags.is_tag(tag) for tag in made)


def test_of_many_that_want_a_tag_at_once_one_gets_it() -> None:
    with ThreadPoolExecutor(8) as executor:
        futures = [executor.submit(make, "fit") for _ in range(24)]
        errors = [error for future in futures if (error := future.exception()) is not None]
    assert len(errors) == 23
    assert all(isinstance(error, InvalidInputError) for error in errors)


def test_a_map_that_is_complete_while_another_asks_for_its_tag_keeps_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The asking process looks twice; here the map is finished between the two."""
    with tags.new_map("fit") as new:
        looks = []

        def finish_after_the_first_look(path: Path, look: Any) -> Any:
            answer = look(path)
            if not looks:
                os.rename(new.folder, new.final)
                looks.append(path)
            return answer

        for cls, name in ((tags, "is_locked"), (Path, "exists")):
            look = getattr(cls, name)
            monkeypatch.setattr(cls, name, lambda path, look=look: finish_after_the_first_look(path, look))
        with pytest.raises(InvalidInputError, match="'fit'"):
            tags.check_tag("fit")
    assert looks


def test_a_map_that_is_being_made_has_its_tag_and_cannot_be_loaded_yet(home: Path) -> None:
    with tags.new_map("fit"):
        with pytest.raises(InvalidInputError, match="another process is making a map with the tag 'fit'"):
            make("fit")
        with pytest.raises(InvalidInputError, match="no map with the tag 'fit' yet: another process"):
            tags.folder_of("fit")
        assert maps() == []
        assert clean() == []
    assert everything(home) == set()


def test_what_fails_while_a_map_is_made_leaves_nothing(home: Path) -> None:
    with contextlib.suppress(ZeroDivisionError), tags.new_map("fit") as new:
        (new.folder / "file").touch()
        raise ZeroDivisionError
    assert everything(home) == set()


def test_folders_are_this_user_s_alone(home: Path) -> None:
    _, folder = make()
    for path in (home, home / "maps", home / "data", folder):
        assert path.stat().st_mode & 0o777 == 0o700
    assert (folder / "lock").stat().st_mode & 0o777 == 0o600


KILLED = """
import os, signal
from condormap.folders import tags
with tags.new_map("fit") as new:
    (new.folder / "items.pkl").write_bytes(bytes(1000))
    print(new.folder, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_process_was_making_holds_no_tag_and_is_cleaned(home: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", KILLED], capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == -signal.SIGKILL
    left = Path(run.stdout.strip())
    with pytest.raises(InvalidInputError, match="there is no map with the tag 'fit'"):
        tags.folder_of("fit")
    told = repr(clean(dry_run=True))
    assert str(left) in told
    assert left.is_dir()
    make("fit")
    assert repr(clean()) == f"left by a process that was killed ({left.name}): {left}"
    assert not left.exists()
    assert [info.tag for info in maps()] == ["fit"]
    assert repr(clean()) == "nothing to clean"


# -- another tag -----------------------------------------------------------------------------------------------


def test_a_map_gets_another_tag_and_its_folder_stays(home: Path) -> None:
    _, folder = make("fit")
    retag("fit", "fit-2")
    assert tags.folder_of("fit-2") == folder
    assert store.read_record(folder).tag == "fit-2"
    with pytest.raises(InvalidInputError, match=r"no map with the tag 'fit'; did you mean fit-2\?"):
        retag("fit", "x")
    make("fit")


def test_another_tag_is_checked_as_that_of_a_new_map() -> None:
    make("fit")
    make("taken")
    for new, message in {"taken": "there is a map with the tag 'taken' already", "a/b": "is no tag"}.items():
        with pytest.raises(InvalidInputError, match=message):
            retag("fit", new)
    retag("fit", "fit")
    assert tags.all_tags() == ["fit", "taken"]


def test_of_many_that_want_to_change_a_tag_one_does() -> None:
    _, folder = make("fit")
    with ThreadPoolExecutor(8) as executor:
        futures = [executor.submit(retag, "fit", f"fit-{n}") for n in range(16)]
        errors = [future.exception() for future in futures if future.exception() is not None]
    assert len(errors) == 15
    (tag,) = tags.all_tags()
    assert tags.folder_of(tag) == folder
    assert store.read_record(folder).tag == tag


@pytest.mark.parametrize("written", [False, True])
def test_a_change_of_tag_that_was_interrupted_is_no_harm(home: Path, written: bool) -> None:
    _, folder = make("fit")
    (home / "maps" / "fit-2").symlink_to(f"../data/{folder.name}")
    if written:
        record = store.read_record(folder)
        store.write_record(folder, store.MapRecord(**(vars(record) | {"tag": "fit-2"})))
    right, other = ("fit-2", "fit") if written else ("fit", "fit-2")
    assert [info.tag for info in maps()] == [right]
    assert tags.folder_of(other) == folder
    clean()
    assert tags.all_tags() == [right]


def test_a_change_of_tag_can_be_made_again_after_an_interruption(home: Path) -> None:
    _, folder = make("fit")
    (home / "maps" / "fit-2").symlink_to(f"../data/{folder.name}")
    retag("fit", "fit-2")
    assert tags.all_tags() == ["fit-2"]


def test_a_tag_whose_folder_was_deleted_by_hand_is_free_again(home: Path) -> None:
    _, folder = make("fit")
    store.discard(folder)
    assert [cleaned.path.name for cleaned in clean(dry_run=True)] == ["fit"]
    make("fit")


# -- the lock --------------------------------------------------------------------------------------------------


def test_a_lock_is_one_thread_s_or_process_s_at_a_time(tmp_path: Path) -> None:
    inside, most = [0], [0]

    def work() -> None:
        for _ in range(20):
            with locked(tmp_path):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
    assert not is_locked(tmp_path)


def test_a_lock_that_is_not_to_be_had_says_who_has_it(tmp_path: Path) -> None:
    with (
        locked(tmp_path),
        pytest.raises(WaitTimeoutError, match=f"in use by process {os.getpid()} on "),
        locked(tmp_path, timeout=0.0),
    ):
        pass


def test_the_lock_of_a_folder_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="is gone: another process has removed it"), locked(tmp_path / "x"):
        pass
    assert not is_locked(tmp_path / "x")


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock of a folder until it is killed."""
    code = (
        "import sys; from pathlib import Path; from condormap.folders.locks import locked\n"
        "with locked(Path(sys.argv[1])): print('has it', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        yield process
        process.kill()


def test_a_process_that_is_killed_leaves_no_lock(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    assert holder.stdout is not None
    assert holder.stdout.readline() == "has it\n"
    assert is_locked(tmp_path)
    holder.kill()
    with locked(tmp_path, timeout=30.0):
        pass
