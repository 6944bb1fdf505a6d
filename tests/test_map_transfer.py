"""Maps whose jobs see the submitter's files, and maps whose jobs are sent them: the same comes of both."""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
from conftest import Gate
from test_map_steering import until

import condormap as package
from condormap import CondorExecutor, CondorMap, ItemState, PersonalPool, checkpoint, condormap, load
from condormap.errors import InvalidInputError, ItemDiedError, JobDiedError, JobHeldError

Map = Callable[..., CondorMap]
at_first = 0  # bytes of an outcome file, in a job


@pytest.fixture(params=["never", "always"])
def mapped(pool: PersonalPool, request: pytest.FixtureRequest) -> Map:
    """Return `condormap` on the pool, whose jobs are sent their files or see them."""
    return functools.partial(condormap, pool=pool, transfer=request.param)


@pytest.fixture
def sent(pool: PersonalPool) -> Map:
    return functools.partial(condormap, pool=pool, transfer="always")


# -- the same either way -----------------------------------------------------------------------------------------


def test_results_are_those_of_map(mapped: Map) -> None:
    assert list(mapped(lambda x, y: f"{x}{y}", range(30), "abc" * 10)) == list(
        map(lambda x, y: f"{x}{y}", range(30), "abc" * 10)
    )


def test_numbers_in_chunks_of_any_size(mapped: Map) -> None:
    assert list(mapped(lambda x: -x, range(2500))) == [-x for x in range(2500)]


def test_large_arrays_go_and_come(mapped: Map) -> None:
    arrays = [numpy.full(300_000, float(n)) for n in range(3)]
    for n, result in enumerate(mapped(lambda array: array + 1, arrays, chunksize=2)):
        assert numpy.array_equal(result, arrays[n] + 1)


def test_an_error_is_the_original_one(mapped: Map) -> None:
    m = mapped(lambda x: 1 // x, [1, 0, -1])
    assert m.results("skip") == [1, -1]
    (error,) = m.errors().values()
    assert isinstance(error, ZeroDivisionError)
    assert "1 // x" in str(error.__cause__)


def test_an_item_that_kills_its_process_costs_just_itself(mapped: Map) -> None:
    m = mapped(lambda x: os._exit(3) if x == 1 else x, range(4), chunksize=4)
    assert m.results("skip") == [0, 2, 3]
    with pytest.raises(ItemDiedError, match="exited with code 3"):
        m[1]


def test_what_a_job_prints_is_kept_and_else_no_file(mapped: Map) -> None:
    m = mapped(lambda x: print("said", x) if x else None, range(2), chunksize=1)
    m.wait()
    assert (m.stdout(0), m.stdout(1)) == ("", "said 1\n")
    assert [path.name for path in sorted(m.path.glob("submissions/0/stdio/*/*"))] == ["1.out"]


def test_retry_runs_the_failed_items_again(mapped: Map, tmp_path: Path) -> None:
    mended = tmp_path / "mended"

    def function(x: int) -> int:
        if x % 3 == 1 and not mended.exists():
            raise ValueError(x)
        return x

    m = mapped(function, range(10), chunksize=4)
    m.wait()
    assert m.failed() == [1, 4, 7]
    mended.touch()
    assert m.retry(chunksize=2).results() == list(range(10))


def test_extend_runs_the_new_items(mapped: Map) -> None:
    m = mapped(lambda x: 2 * x, range(3))
    m.extend(range(3, 1500))
    assert m.results() == [2 * x for x in range(1500)]
    assert load(m.tag).results() == m.results()


def test_common_arguments_are_there(mapped: Map) -> None:
    table = numpy.arange(100_000.0)
    assert list(mapped(lambda x, table: table[x], [3, 5], common={"table": table})) == [3, 5]


def test_environment_variables_are_set(mapped: Map) -> None:
    m = mapped(lambda _: os.environ["WITH"], [0], environment={"WITH": "a 'quoted' $(value)"})
    assert list(m) == ["a 'quoted' $(value)"]


def test_a_named_interpreter_runs_the_jobs(mapped: Map, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.symlink_to(os.path.realpath(sys.executable))
    assert list(mapped(lambda _: sys.executable, [0], python=python)) == [str(python)]


@pytest.mark.parametrize("transfer", ["never", "always"])
def test_calls_of_an_executor_are_made(pool: PersonalPool, transfer: str) -> None:
    with CondorExecutor(pool=pool, transfer=transfer) as executor:
        assert list(executor.map(pow, [2, 3], [5, 2])) == [32, 9]


def test_an_array_of_many_calls_is_sent_once_with_a_job_and_each_has_its_own(pool: PersonalPool) -> None:
    array = numpy.arange(100_000.0)

    def changed(a: Any, n: int) -> float:
        a += n
        return float(a.sum())

    with CondorExecutor(pool=pool, transfer="always", chunksize=10) as executor:
        futures = [executor.submit(changed, array, n) for n in range(20)]
        assert [future.result(60) for future in futures] == [array.sum() + n * 100_000 for n in range(20)]
        folder = load(executor.tag).path
        slices = list(folder.glob("submissions/*/slices/*/*"))
        assert len(slices) < 10
        assert all(path.stat().st_size < 1.1 * array.nbytes for path in slices)
        stored = (folder / "items.pkl").stat().st_size
        assert stored < len(list(folder.glob("submissions/*"))) * 1.1 * array.nbytes


# -- extra input files -------------------------------------------------------------------------------------------


def seen(_: int) -> dict[str, str]:
    return {str(path): path.read_text() for path in Path().rglob("*") if path.is_file()}


def test_extra_files_are_where_they_were_named_and_nothing_else_is(
    mapped: Map, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("in/a.txt", "in/deep/b.txt", "other.txt", "elsewhere/c d,e.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "linked").symlink_to("in")
    monkeypatch.chdir(tmp_path)
    m = mapped(seen, [0], files=["in/a.txt", "linked", tmp_path / "elsewhere/c d,e.txt"])
    expected = {
        "in/a.txt": "in/a.txt",
        "linked/a.txt": "in/a.txt",
        "linked/deep/b.txt": "in/deep/b.txt",
        "c d,e.txt": "elsewhere/c d,e.txt",
    }
    if m._state.submissions[0].sent or sys.version_info >= (3, 13):  # before, rglob() followed no links
        assert m[0] == expected
    else:
        assert m[0] == {name: text for name, text in expected.items() if not name.startswith("linked")}


def test_extra_files_are_found_when_another_folder_is_the_current_one(
    mapped: Map, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    Path("a.txt").write_text("1")
    m = mapped(lambda x: x // int(Path("a.txt").read_text()), [4], files=["a.txt"])
    assert m.results() == [4]
    Path("a.txt").write_text("0")
    m.extend([5])
    assert isinstance(m.results("return")[1], ZeroDivisionError)
    Path("a.txt").write_text("5")
    monkeypatch.chdir("elsewhere")
    assert load(m.tag).retry().results() == [4, 1]


# -- just when files are sent ------------------------------------------------------------------------------------


def test_a_job_that_is_sent_its_files_has_a_folder_of_its_own(sent: Map) -> None:
    assert list(sent(lambda _: (os.listdir(), os.path.basename(os.getcwd())), [0])) == [([], "files")]


def test_a_vacated_job_keeps_what_it_finished(sent: Map, gate: Gate, tmp_path: Path) -> None:
    def function(x: int) -> int:
        if x == 2:
            (tmp_path / "at 2").touch()
            gate.wait()
        return os.getppid() if x < 2 else x

    m = sent(function, range(4), chunksize=4)
    until((tmp_path / "at 2").exists)
    (tmp_path / "at 2").unlink()
    m.vacate()
    until((tmp_path / "at 2").exists)
    gate.open()
    first, second, *rest = m.results(timeout=20)
    assert (first, rest) == (second, [2, 3])
    assert [item.attempt for item in sorted(m.as_completed(), key=lambda item: item.index)] == [0, 0, 1, 1]
    assert [path.name for path in m.path.glob("submissions/0/outcomes/0/*")] == ["0.1"]


def counting(notes: Path, at_step: Callable[[int, int], None]) -> Callable[[int], int]:
    """Return a function of three steps, each of which is noted and saved; then something is done."""

    def function(x: int) -> int:
        for step in range(checkpoint.load(0), 3):
            with notes.open("a") as file:
                file.write(f"{x}.{step} ")
            checkpoint.save(step + 1)
            at_step(x, step)
        return x

    return function


def test_a_vacated_job_goes_on_in_the_middle_of_its_item(sent: Map, gate: Gate, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.touch()

    def wait_once(x: int, step: int) -> None:
        if (x, step) == (1, 1):
            (tmp_path / "waits").touch()
            gate.wait()

    m = sent(counting(notes, wait_once), range(3), chunksize=3)
    until((tmp_path / "waits").exists)
    m.vacate()
    until(lambda: m.jobs[0]["NumJobStarts"] == 2)
    gate.open()
    assert m.results(timeout=30) == [0, 1, 2]
    assert notes.read_text().split() == [f"{x}.{step}" for x in range(3) for step in range(3)]
    until(lambda: not list(m.path.glob("checkpoints/*/*")))  # it goes after its result has come


def test_a_retry_goes_on_from_what_the_failed_item_saved(mapped: Map, tmp_path: Path) -> None:
    notes = tmp_path / "notes"

    def fail_once(x: int, step: int) -> None:
        if (x, step) == (1, 1):
            raise ValueError(x)

    m = mapped(counting(notes, fail_once), range(3), chunksize=3)
    m.wait()
    assert m.failed() == [1]
    until(lambda: [path.name for path in m.path.glob("checkpoints/*/*")] == ["1.state"])  # as below
    assert m.retry().results(timeout=30) == [0, 1, 2]
    assert notes.read_text().split() == "0.0 0.1 0.2 1.0 1.1 2.0 2.1 2.2 1.2".split()
    until(lambda: not list(m.path.glob("checkpoints/*/*")))  # it goes after its result has come


def test_a_job_that_died_brings_what_it_finished_and_is_run_again(sent: Map, tmp_path: Path) -> None:
    def function(x: int) -> int:
        global at_first
        if x == 0:
            at_first = os.stat("../../condormap.outcome").st_size
        if x == 2 and not (tmp_path / "died").exists():
            (tmp_path / "died").touch()
            until(lambda: os.stat("../../condormap.outcome").st_size > at_first)
            os.kill(os.getppid(), signal.SIGKILL)
            signal.pause()
        return x

    m = sent(function, range(4), chunksize=4, retries=1)
    assert m.results(timeout=30) == [0, 1, 2, 3]
    assert sorted(path.name for path in m.path.glob("submissions/0/outcomes/0/*")) == ["0.0", "0.1"]
    assert load(m.tag).results() == [0, 1, 2, 3]


def test_a_job_whose_input_is_gone_is_held_and_says_so(sent: Map) -> None:
    m = sent(lambda x: x, [5, 6], chunksize=1, submit={"hold": "True"})
    (lost, _) = sorted(m.path.glob("submissions/0/slices/0/*"))
    content = lost.read_bytes()
    lost.unlink()
    m.release()
    with pytest.raises(
        JobHeldError, match=r"its input files could not be transferred.*put back what is missing"
    ):
        m.wait(timeout=20)
    assert m.results("skip") == [6]
    (hold,) = m.holds()
    assert (hold.code, hold.items) == (13, range(1))
    lost.write_bytes(content)
    m.release()
    assert m.results(timeout=20) == [5, 6]


def test_a_job_whose_outcome_cannot_be_brought_back_is_held_and_says_so(sent: Map, gate: Gate) -> None:
    m = sent(lambda x: (gate.wait(), x)[1], [5])
    until(lambda: m.status[ItemState.RUNNING])
    (folder,) = m.path.glob("submissions/0/outcomes/0")
    folder.rmdir()
    folder.touch()
    gate.open()
    with pytest.raises(JobHeldError, match=r"its output files could not be transferred.*m\.release\(\) runs"):
        m.wait(timeout=20)
    folder.unlink()
    folder.mkdir()
    m.release()
    assert m.results(timeout=20) == [5]


def test_retry_may_send_what_was_not_sent_before(pool: PersonalPool, tmp_path: Path) -> None:
    m = condormap(lambda x: Path("here").exists() or 1 // 0, [0], pool=pool, transfer="never")
    m.wait()
    (tmp_path / "here").touch()
    assert m.retry(transfer="always", files=[tmp_path / "here"]).results() == [True]


def test_the_jdf_of_a_map_is_one_that_is_submitted(sent: Map) -> None:
    m = sent(abs, [-1])
    assert m.results() == [1]
    assert "should_transfer_files = YES" in m.to_jdf()


# -- what is refused before anything is submitted ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"transfer": "sometimes"}, 'transfer must be "auto", "always" or "never", not \'sometimes\''),
        ({"files": "a.txt"}, "files must be a list of paths, not 'a.txt'"),
        ({"files": [1]}, "files: 1 is no path"),
        ({"files": ["."]}, r"files: '\.' is the name of no file or folder in a job"),
        (
            {"files": ["/no/such/file"]},
            r"files: there is no /no/such/file\.",
        ),
        ({"files": ["data/a", "data"]}, "one of them hides"),
        ({"files": ["/x/a", "/y/a"]}, "one of them hides"),
        ({"python": "python3"}, "python must be the whole path of an interpreter"),
        ({"python": "/no/such/python"}, "/no/such/python is no program that can be executed here"),
        (
            {"submit": {"transfer_input_files": "a"}},
            "condormap sets the submit command 'transfer_input_files'",
        ),
    ],
)
def test_wrong_options_are_refused(pool: PersonalPool, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        condormap(abs, [1], pool=pool, **options)


def test_a_folder_that_htcondor_cannot_send_from_is_refused(
    sent: Map, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONDORMAP_HOME", str(tmp_path / "a,b"))
    with pytest.raises(InvalidInputError, match=r"HTCondor cannot send files from .*CONDORMAP_HOME"):
        sent(abs, [1])
    assert not list((tmp_path / "a,b" / "data").glob("*"))


# -- machines that do not see the folder -------------------------------------------------------------------------

_HIDE = """#!/bin/sh
exec unshare --user --map-root-user --mount sh -c '
for folder in {folders}; do mount -t tmpfs none "$folder" || exit 9; done
exec "$@"' sh "$@"
"""


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory, condormap_home: Path) -> Iterator[PersonalPool]:
    """A pool whose jobs see neither condormap's folder, nor the tests, nor anything that they write.

    It does not say that it is a personal one, and its machine claims another file system than ours.
    """
    hidden = [tmp_path_factory.getbasetemp(), Path(__file__).parent, Path(package.__file__).parent]
    wrapper = tmp_path_factory.mktemp("wrapper") / "hide"
    script = _HIDE.format(folders=" ".join(f'"{path}"' for path in hidden))
    if subprocess.run(["unshare", "--user", "--map-root-user", "--mount", "true"], check=False).returncode:
        pytest.skip("this machine lets no user hide folders from a process (user namespaces)")
    wrapper.write_text(script)
    wrapper.chmod(0o755)
    settings = {
        "USER_JOB_WRAPPER": str(wrapper),
        "STARTD_ATTRS": "",
        "STARTD.FILESYSTEM_DOMAIN": "node.far.example",
    }
    with PersonalPool(cpus=2, memory=4096, fsync=False, settings=settings) as pool:
        yield pool


def record_of(m: CondorMap) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((m.path / "submissions/0/submission.json").read_bytes())
    return record


def look(path: str) -> tuple[bool, str]:
    return os.path.exists(path), helper()


def helper() -> str:
    return "from a module that the job cannot import"


def test_jobs_that_do_not_see_the_folder_are_sent_what_they_need(remote: PersonalPool) -> None:
    m = condormap(
        lambda path: look(path), [os.environ["CONDORMAP_HOME"] + "/data", __file__, "/"], pool=remote
    )
    assert m.results(timeout=30) == [(there, helper()) for there in (False, False, True)]
    told = record_of(m)["transfer"]
    assert told["sent"]
    assert told["why"].startswith("the FileSystemDomain of machines is node.far.example, and ours ")


def test_their_extra_files_errors_and_output_come_across(
    remote: PersonalPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.txt").write_text("7")

    def function(x: int) -> float:
        print("said", x)
        return int(Path("a.txt").read_text()) / x

    m = condormap(function, [0, 1, 2], pool=remote, files=["a.txt"], chunksize=2)
    assert m.results("skip", timeout=30) == [7, 3.5]
    assert isinstance(m.errors()[0], ZeroDivisionError)
    assert m.stdout(0) == "said 0\nsaid 1\n"
    Path("a.txt").write_text("0")
    assert isinstance(m.retry().errors().get(0), ZeroDivisionError | None)


def test_where_they_were_to_see_the_folder_the_error_says_what_to_do(remote: PersonalPool) -> None:
    m = condormap(
        lambda x: x,
        [1],
        pool=remote,
        transfer="never",
        requirements="true",
        submit={"MY.FileSystemDomain": '"node.far.example"'},
    )
    with pytest.raises(
        JobDiedError, match=r"does not see the map's folder: m\.remove\(\); m\.retry\(transfer='always'\)"
    ):
        m.results(timeout=30)
    assert m.retry(transfer="always").results(timeout=30) == [1]


def test_a_job_that_cannot_use_its_folder_is_held_and_says_what_to_do(
    pool: PersonalPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    m = condormap(abs, [-1], pool=pool, submit={"hold": "True"})
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gone").rmdir()
    m.release()
    with pytest.raises(
        JobHeldError,
        match=r"m\.remove\(\); m\.retry\(transfer='always'\) if that machine does not see this folder",
    ):
        m.wait(timeout=30)
    m.remove()
    assert m.retry(transfer="always", submit={}).results(timeout=30) == [1]


def test_a_personal_pool_sees_the_folder(pool: PersonalPool) -> None:
    told = record_of(condormap(abs, [-1], pool=pool))["transfer"]
    assert told == {"sent": False, "why": "the pool is a personal one, on this machine"}
