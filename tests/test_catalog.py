"""Maps as wholes, on a real pool: listed, loaded by several, removed, cleaned, damaged, on a full disk."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Gate

from condormap import CondorMap, PersonalPool, clean, condormap, load, maps, remove, retag
from condormap.condor import connect
from condormap.errors import InvalidInputError, StorageError, UnreachableError
from condormap.folders import store
from condormap.folders.listing import map_info
from condormap.folders.paths import daemons_folder


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of condormap's for this test alone."""
    daemons = daemons_folder()
    monkeypatch.setenv("CONDORMAP_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "daemons").symlink_to(daemons)
    return tmp_path / "home"


def square(x: int) -> int:
    return x * x


def finished(pool: PersonalPool, tag: str = "fit") -> CondorMap:
    m = condormap(square, range(4), pool=pool, chunksize=2, tag=tag)
    assert m.results() == [0, 1, 4, 9]
    until_finished(tag)
    return m


def until_finished(tag: str) -> None:
    """Wait until the event log has the ends of a map's jobs, which come a moment after their results."""
    until = time.monotonic() + 30
    while not map_info(tag).finished and time.monotonic() < until:
        time.sleep(0.01)


def queued(pool: PersonalPool, tag: str) -> int:
    """Return how many clusters of a map are in the queue."""
    return len(connect(pool.address).query(f'JobBatchName == "{tag}"', ["ClusterId"], cluster_ads=True))


# -- listed ----------------------------------------------------------------------------------------------------


def test_maps_lists_them_without_asking_the_pool(pool: PersonalPool, gate: Gate) -> None:
    done = finished(pool, "done")
    waiting = condormap(lambda x: gate.wait(), range(3), pool=pool, chunksize=1, tag="waiting")
    condormap(square, [], pool=pool, tag="empty")
    connect(pool.address).close()
    assert [(info.tag, info.items, info.jobs) for info in maps()] == [
        ("done", 4, 2), ("waiting", 3, 3), ("empty", 0, 0)
    ]  # fmt: skip
    first, second, third = maps()
    assert first.path == done.path
    assert first.function == "test_catalog.square"
    assert first.created is not None
    assert second.summary == "0 of 3 jobs have ended"
    assert third.finished
    assert connect(pool.address).pid is None
    gate.open()
    waiting.wait()


def test_maps_are_shown_as_a_table(pool: PersonalPool) -> None:
    assert repr(maps()) == "no maps"
    finished(pool)
    head, row = repr(maps()).splitlines()
    assert head.split() == ["tag", "created", "items", "function", "state"]
    assert row.startswith("fit  20")
    assert "<td>fit</td>" in maps()._repr_html_()


def test_a_map_whose_jobs_were_removed_is_finished(pool: PersonalPool, gate: Gate) -> None:
    m = condormap(lambda x: gate.wait(), range(40), pool=pool, chunksize=1, tag="fit")  # most have no job yet
    m.remove()
    until_finished("fit")
    (info,) = maps()
    assert info.finished
    assert info.summary == "finished"


# -- loaded ----------------------------------------------------------------------------------------------------


def test_several_processes_load_and_use_a_map_at_once(
    pool: PersonalPool, start_script: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    """One of them submits what the process that made the map did not."""
    m = finished(pool)
    (part,) = store.submission_folders(m.path)
    submission = json.loads((part / "submission.json").read_bytes())
    (part / "submission.json").write_text(json.dumps(submission | {"id": store.new_id()}))
    (part / "cluster.json").unlink()  # as if it had been killed before the submit
    (part / "outcomes").rename(tmp_path / "outcomes")
    (part / "outcomes" / "0").mkdir(parents=True)
    (m.path / "events.log").write_bytes(b"")
    (m.path / "jobs.json").unlink(missing_ok=True)
    code = "from condormap import load; m = load('fit'); print(m.results(), len(m.jobs.clusters))"
    processes = [start_script(code) for _ in range(4)]
    for process in processes:
        out, err = process.communicate(timeout=60)
        assert (out, err, process.returncode) == ("[0, 1, 4, 9] 1\n", "", 0)
    id, _ = store.read_identity(m.path)
    ads = connect(pool.address).history(f'CondormapMap == "{id}"', ["ClusterId"])
    assert len({ad["ClusterId"] for ad in ads}) == 2


@pytest.mark.parametrize("layout", [1, 3])
def test_a_map_of_another_layout_is_refused_and_can_be_removed(
    pool: PersonalPool, gate: Gate, layout: int
) -> None:
    m = condormap(lambda x: gate.wait(), range(2), pool=pool, tag="fit")
    path = m.path / "map.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"layout": layout}))
    with pytest.raises(
        StorageError, match=f"version of condormap, in layout {layout}; this one reads layout 2"
    ):
        load("fit")
    (info,) = maps()
    assert f"in layout {layout}" in info.summary
    remove("fit")
    assert maps() == []
    assert queued(pool, "fit") == 0


@pytest.mark.parametrize("content", [b"", b"{", b"[]", bytes(100)])
@pytest.mark.parametrize("file", ["submission.json", "chunks.bin"])
def test_a_damaged_submission_is_an_error_and_can_be_removed(
    pool: PersonalPool, file: str, content: bytes
) -> None:
    m = finished(pool)
    (m.path / "submissions" / "0" / file).write_bytes(content)
    with pytest.raises(StorageError, match=r"submissions/0 is damaged: .*condormap\.remove\(\)"):
        load("fit")
    remove("fit")
    assert maps() == []


def test_a_cluster_that_cannot_be_read_is_found_again(pool: PersonalPool) -> None:
    m = finished(pool)
    path = m.path / "submissions" / "0" / "cluster.json"
    before = path.read_bytes()
    path.write_bytes(b"")
    assert load("fit").results() == [0, 1, 4, 9]
    assert path.read_bytes() == before


def test_a_damaged_map_can_be_removed_by_force(pool: PersonalPool) -> None:
    m = finished(pool)
    (m.path / "map.json").write_bytes(b"")
    assert "no map that can be read" in maps()[0].summary
    for call in (load, remove):
        with pytest.raises(StorageError, match=r"condormap\.remove\(tag, force=True\)"):
            call("fit")
    remove("fit", force=True)
    assert maps() == []


# -- removed ---------------------------------------------------------------------------------------------------


def test_a_finished_map_is_removed_without_its_pool(tmp_path: Path) -> None:
    with PersonalPool(tmp_path / "pool", cpus=1, memory=1024, fsync=False) as own:
        finished(own)
        waiting = condormap(square, range(3), pool=own, tag="held", submit={"hold": "True"})
    remove("fit")
    with pytest.raises(UnreachableError) as caught:
        remove("held")
    assert "condormap.remove('held', force=True) removes it" in caught.value.__notes__[-1]
    assert waiting.path.is_dir()
    remove("held", force=True)
    assert maps() == []


def test_a_map_in_the_queue_is_removed_with_its_jobs(pool: PersonalPool, gate: Gate, home: Path) -> None:
    m = condormap(lambda x: gate.wait(), range(40), pool=pool, chunksize=1, tag="fit")
    (m.path / "submissions" / "0" / "cluster.json").unlink()
    remove("fit")
    assert queued(pool, "fit") == 0
    assert list((home / "data").iterdir()) == []
    assert list((home / "maps").iterdir()) == []


# -- another tag -----------------------------------------------------------------------------------------------


def test_a_map_can_get_another_tag_while_its_jobs_write(pool: PersonalPool, gate: Gate) -> None:
    def wait(x: int) -> int:
        gate.wait()
        return x

    m = condormap(wait, range(4), pool=pool, chunksize=1, tag="fit")
    retag("fit", "better")
    other = condormap(square, [3], pool=pool, tag="fit")
    gate.open()
    assert load("better").results() == m.results() == [0, 1, 2, 3]
    assert load("better").tag == "better"
    assert other.results() == [9]


# -- cleaned ---------------------------------------------------------------------------------------------------


def test_clean_removes_finished_maps_that_are_old_and_says_so(pool: PersonalPool, gate: Gate) -> None:
    m = finished(pool)
    condormap(lambda x: gate.wait(), [1], pool=pool, tag="waiting")
    assert clean() == []
    assert clean(days=1) == []
    assert [str(each) for each in clean(days=0, dry_run=True)] == [f"map fit (finished): {m.path}"]
    assert [info.tag for info in maps()] == ["fit", "waiting"]
    assert len(clean(days=0)) == 1
    assert [info.tag for info in maps()] == ["waiting"]
    (cleaned,) = clean(days=0, unfinished=True)
    assert cleaned.what == "map waiting (0 of 1 jobs have ended)"
    assert maps() == []
    assert queued(pool, "waiting") == 0


def test_clean_goes_by_what_happened_last(pool: PersonalPool) -> None:
    m = finished(pool)
    record = store.read_record(m.path)
    store.write_record(m.path, store.MapRecord(**(vars(record) | {"created": record.created - 10 * 86400})))
    assert clean(days=5) == []
    os.utime(m.path / "events.log", (record.created - 6 * 86400,) * 2)
    assert len(clean(days=5)) == 1


@pytest.mark.parametrize("arguments", [{"days": -1}, {"days": "7"}, {"days": True}, {"unfinished": True}])
def test_what_clean_cannot_mean_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match="days"):
        clean(**arguments)


def test_code_for_jobs_is_kept_as_long_as_a_map_uses_it(pool: PersonalPool, home: Path) -> None:
    finished(pool)
    (lib,) = (home / "lib").iterdir()
    unused = home / "lib" / "0123456789abcdef"
    unused.mkdir()
    for path in (lib, unused):
        os.utime(path, (0, 0))
    assert [each.path for each in clean(dry_run=True)] == [unused]
    clean()
    remove("fit")
    assert [each.path for each in clean()] == [lib]


# -- where the event log is ------------------------------------------------------------------------------------


def test_the_event_log_can_be_on_another_disk(
    pool: PersonalPool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    logs = tmp_path / "logs"
    monkeypatch.setenv("CONDORMAP_LOG_DIR", str(logs))
    m = finished(pool)
    (log,) = logs.iterdir()
    assert log.stat().st_mode & 0o777 == 0o600
    assert log.stat().st_size > 0
    assert not (m.path / "events.log").exists()
    monkeypatch.delenv("CONDORMAP_LOG_DIR")
    assert load("fit").results() == [0, 1, 4, 9]
    assert maps()[0].finished
    remove("fit")
    assert list(logs.iterdir()) == []


def test_where_the_event_log_is_not_to_be_had_the_map_does_without(
    pool: PersonalPool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CONDORMAP_LOG_DIR", str(tmp_path / "logs"))
    finished(pool)
    (tmp_path / "logs").rename(tmp_path / "another machine")
    assert load("fit").results() == [0, 1, 4, 9]
    assert maps()[0].summary == "2 jobs; the event log is not on this machine"
    remove("fit")


def test_a_folder_for_event_logs_that_cannot_be_made_is_an_error(
    pool: PersonalPool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("CONDORMAP_LOG_DIR", str(tmp_path / "file"))
    with pytest.raises(StorageError, match="log= or CONDORMAP_LOG_DIR has to name a new file, or a folder"):
        condormap(square, [1], pool=pool)
    assert maps() == []


# -- a full disk -----------------------------------------------------------------------------------------------

FULL = """
import os, resource, sys
from condormap import condormap, load, maps, remove, retag
from condormap.errors import StorageError

def inverse(x):
    return 1 // x

m = condormap(inverse, [1, 0, -1], tag="fit")
m.wait()
resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, resource.RLIM_INFINITY))
for call in (lambda: condormap(abs, [1], tag="new"), lambda: retag("fit", "other"), lambda: m.retry()):
    try:
        call()
        print("done", end=" ")
    except StorageError as error:
        print("refused", end=" ")
for info in maps():
    assert load(info.tag).wait(60), info
    print(load(info.tag).results("skip"), end=" ")
    remove(info.tag)
print(maps(), os.listdir(os.environ["CONDORMAP_HOME"] + "/data"))
"""


@pytest.mark.parametrize(
    ("size", "printed"),
    [
        (0, "refused refused refused [1, -1] no maps []"),
        (100, "refused refused refused [1, -1] no maps []"),
        (600, "refused done refused [1, -1] no maps []"),
        (1_000_000, "done done done [1, -1] [1] no maps []"),
    ],
)
def test_a_disk_that_takes_little_harms_no_map(
    run_script: Callable[[str], str], size: int, printed: str
) -> None:
    """No file may grow beyond that, which also holds for a user who may not mount a small disk."""
    assert run_script(FULL.replace("(LIMIT", f"({size}")).strip() == printed
