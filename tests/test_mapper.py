"""An executable over a dataset: its results, its files, and the handle, which is that of a map."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
from conftest import Gate
from mappers import Mapper, Script
from test_map_steering import until

import condormap as package
from condormap import CondorMap, CondorMapper, ItemState, Outcome, PersonalPool, load, maps, reducers, remove
from condormap.errors import CommandError, InvalidInputError, JobHeldError, StorageError, UnsubmittedJobError

# -- the same, whether the jobs see the files or are sent them ---------------------------------------------------


def test_each_item_is_the_argument_of_the_executable(mapper: Mapper) -> None:
    m = mapper("echo", ["a b", "it's", '"$HOME"', "*"])
    assert [outcome.stdout for outcome in m] == ["a b\n", "it's\n", '"$HOME"\n', "*\n"]
    assert isinstance(m, CondorMap)


def test_an_outcome_has_what_the_executable_left(
    mapper: Mapper, script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    script('echo "$1"; echo oops >&2; exit 3')
    (outcome,) = mapper("run.sh", [7], success=(0, 3))
    assert (outcome.command, outcome.exit_code) == (("run.sh", "7"), 3)
    assert (outcome.stdout, outcome.stderr, outcome.outputs) == ("7\n", "oops\n", {})
    assert repr(outcome) == "<Outcome of run.sh 7: exit code 3, '7'>"
    with pytest.raises(AttributeError, match="stays as it is"):
        outcome.exit_code = 0


def test_output_files_come_home_under_their_names(mapper: Mapper, script: Script) -> None:
    m = mapper(script('echo "$1" > "$2"'), range(3), argtmpl="{} {out}", outtmpl="{}.out")
    assert [outcome.output.read_text() for outcome in m] == ["0\n", "1\n", "2\n"]
    assert sorted(os.listdir(m.outdir)) == ["0.out", "1.out", "2.out"]
    assert m[0].output.parent == m.outdir


def test_output_files_go_to_the_folder_that_the_user_names(
    mapper: Mapper, script: Script, tmp_path: Path
) -> None:
    outdir = tmp_path / "results" / "new"
    run = script('mkdir -p deep; echo "$1" > "deep/$1"; mkdir "d$1"; echo x > "d$1/f"')
    m = mapper(run, [*"ab"], outtmpl={"file": "deep/{}", "folder": "d{}"}, outdir=outdir)
    assert [outcome.outputs["file"] for outcome in m] == [outdir / "deep" / "a", outdir / "deep" / "b"]
    assert m[1].outputs["folder"] == outdir / "db"
    assert (outdir / "deep" / "b").read_text() == "b\n"
    assert (outdir / "db" / "f").read_text() == "x\n"
    assert m.outdir == outdir
    m.remove()
    remove(m.tag)
    assert sorted(os.listdir(outdir)) == ["da", "db", "deep"]


def test_paths_are_input_files(mapper: Mapper, script: Script, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.txt").write_text(name)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "in.txt").write_text("inside")
    items = [
        (tmp_path / "a" / "x.txt", tmp_path / "b" / "x.txt", folder),
        (tmp_path / "b" / "x.txt",) * 2 + (folder,),
    ]
    m = mapper(script('cat "$1" "$2" "$3/in.txt"; ls | wc -l'), items)
    assert [outcome.stdout.split() for outcome in m] == [["abinside3"], ["bbinside2"]]


def test_an_item_begins_in_an_empty_folder(mapper: Mapper, script: Script) -> None:
    m = mapper(script("ls; touch left; chmod 000 ."), range(3), chunksize=3)
    assert [outcome.stdout for outcome in m] == [""] * 3


def test_files_for_every_item_are_in_its_folder(mapper: Mapper, tmp_path: Path) -> None:
    (tmp_path / "table").write_text("rows")
    m = mapper("cat", ["table", "table"], files=[tmp_path / "table"])
    assert [outcome.stdout for outcome in m] == ["rows", "rows"]


def test_standard_input_and_environment(mapper: Mapper, script: Script) -> None:
    run = script('cat; echo "$N $ALL"')
    m = mapper(run, [1, 2], stdin="read {}\n", env={"N": "n{}"}, environment={"ALL": "all"})
    assert m[1].stdout == "read 2\nn2 all\n"


def test_a_file_as_standard_input_and_standard_output_as_a_file(mapper: Mapper, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("b\na\n")
    (outcome,) = mapper("sort", [tmp_path / "x"], argtmpl="", stdin="{}", stdout="{}.sorted")
    assert outcome.output.read_text() == outcome.stdout == "a\nb\n"
    assert outcome.output.name == "x.sorted"


def test_an_executable_that_reads_gets_nothing(mapper: Mapper) -> None:
    assert mapper("cat", [1], argtmpl="")[0].stdout == ""


def test_a_script_need_not_have_the_mode_of_one(mapper: Mapper, script: Script) -> None:
    assert mapper(script("echo ran", mode=0o644), [1])[0].stdout == "ran\n"


def test_a_binary_in_a_file(mapper: Mapper, tmp_path: Path) -> None:
    binary = tmp_path / "my echo"
    binary.write_bytes(Path("/bin/echo").read_bytes())
    binary.chmod(0o755)
    assert mapper(binary, ["x"])[0].stdout == "x\n"


def test_much_output_does_not_travel_with_the_outcome(mapper: Mapper, script: Script) -> None:
    m = mapper(script("head -c 5000000 /dev/zero | tr '\\0' x; echo"), [1])
    assert m[0].stdout == "x" * 5_000_000 + "\n"
    assert sum(file.stat().st_size for file in m.path.glob("submissions/0/outcomes/*/*")) < 10_000
    assert repr(m[0]).endswith("exit code 0, '...'>")


def test_outcomes_are_read_in_the_job(mapper: Mapper, script: Script) -> None:
    m = mapper(
        script("expr $1 + $1"), range(1, 5), read=lambda outcome: int(outcome.stdout), reduce=reducers.Sum()
    )
    assert m.result(timeout=60) == 20


# -- merged ------------------------------------------------------------------------------------------------------


@pytest.fixture
def make_array(tmp_path: Path) -> Path:
    """Return an executable that writes an array of three times its argument."""
    run = tmp_path / "make.py"
    run.write_text(
        f"#!{sys.executable}\nimport sys, numpy\nnumpy.save(sys.argv[2], numpy.full(3, int(sys.argv[1])))\n"
    )
    run.chmod(0o755)
    return run


def test_arrays_that_the_executable_writes_are_merged(mapper: Mapper, make_array: Path) -> None:
    m = mapper(
        make_array,
        range(4),
        argtmpl="{} {out}",
        outtmpl="{}.npy",
        read=numpy.load,
        reduce=reducers.Concatenate(),
    )
    assert m.result(timeout=60).tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]


def test_output_files_are_stacked_in_one_dataset(seen: Mapper, make_array: Path, tmp_path: Path) -> None:
    stack = reducers.StackHDF5(tmp_path / "all.h5")
    m = seen(make_array, range(4), argtmpl="{} {out}", outtmpl="{}.npy", read=numpy.load, reduce=stack)
    assert m.result(timeout=60).shape == (4, 3)


def test_output_files_are_concatenated(mapper: Mapper, script: Script, tmp_path: Path) -> None:
    run = script('echo name,size > "$2"; echo "$1,1" >> "$2"')
    merged = reducers.ConcatenateFiles(tmp_path / "all.csv", header=1)
    m = mapper(run, [*"abc"], argtmpl="{} {out}", outtmpl="{}.csv", reduce=merged)
    assert Path(m.result(timeout=60)).read_text() == "name,size\na,1\nb,1\nc,1\n"


def test_output_files_that_are_not_kept_are_merged_and_do_not_come_home(
    mapper: Mapper, script: Script, tmp_path: Path
) -> None:
    run = script('echo "$1" > "$2"; echo "printed $1"; [ "$1" != 2 ] || exit 1')
    options = {"argtmpl": "{} {out}", "outtmpl": "{}.txt", "keep_outputs": False, "chunksize": 3}
    m = mapper(run, range(5), reduce=reducers.ConcatenateFiles(tmp_path / "all"), **options)
    assert Path(m.result("skip", timeout=60)).read_text() == "0\n1\n3\n4\n"
    assert list(m.outdir.iterdir()) == []
    error = m.errors()[2]
    assert isinstance(error, CommandError)
    assert error.outcome.output.read_text() == "2\n"
    m = mapper(run, [0], **options)
    assert (m[0].outputs, m[0].stdout) == ({}, "printed 0\n")
    m = mapper(run, [7, 8], read=lambda outcome: outcome.output.read_text(), **options)
    assert m.results() == ["7\n", "8\n"]


def test_a_reducer_may_collect_outcomes(mapper: Mapper, script: Script) -> None:
    m = mapper("echo", [*"ab"], reduce=reducers.Collect())
    assert [outcome.stdout for outcome in m.result(timeout=60)] == ["a\n", "b\n"]


def test_all_outcomes_are_given_to_a_function_once(seen: Mapper) -> None:
    m = seen("echo", [3, 4], submit=False)
    m.set_on_complete(lambda outcomes: sum(int(outcome.stdout) for outcome in outcomes))
    assert m.submit().wait(60)
    assert m.result() == 7
    assert load(m.tag).result() == 7


# -- submitted when it is told to --------------------------------------------------------------------------------


def test_a_map_that_is_held_back_waits_for_submit(seen: Mapper) -> None:
    m = seen("echo", [*"abc"], submit=False, chunksize=2, memory="512MB")
    assert (m.submitted, m.status, m.path.joinpath("submissions").exists()) == (
        False,
        {ItemState.IDLE: 3},
        False,
    )
    assert (m.plan().n_jobs, m.failed(), m.errors()) == (2, [], {})
    assert repr(m) == f"<CondorMapper {m.tag}: echo over 3 items: 3 idle>"
    assert next(each.summary for each in maps() if each.tag == m.tag) == "not submitted yet"
    m = load(m.tag)
    assert isinstance(m, CondorMapper)
    assert m.submit() is m
    assert [outcome.stdout for outcome in m] == ["a\n", "b\n", "c\n"]
    assert len(m.jobs) == 2
    assert "request_memory = 512" in m.to_jdf()
    with pytest.raises(InvalidInputError, match="was submitted already"):
        load(m.tag).submit()


@pytest.mark.parametrize(
    "ask",
    [
        lambda m: m.wait(),
        lambda m: m.results(),
        lambda m: m[0],
        lambda m: iter(m),
        lambda m: next(m.as_completed()),
        lambda m: m.retry(),
        lambda m: m.extend(["b"]),
        lambda m: asyncio.run(m._awaited()),
    ],
)
def test_what_was_not_submitted_is_not_waited_for(seen: Mapper, ask: Callable[[CondorMapper], Any]) -> None:
    with pytest.raises(UnsubmittedJobError, match=r"m.submit\(\) does it"):
        ask(seen("echo", ["a"], submit=False))


def test_what_was_not_submitted_can_be_removed(seen: Mapper) -> None:
    m = seen("echo", ["a"], submit=False)
    remove(m.tag)
    assert not m.path.exists()


# -- steered as any map ------------------------------------------------------------------------------------------


def test_hold_release_and_remove(seen: Mapper, gate: Gate, script: Script) -> None:
    run = script(f'while [ ! -e "{gate.path}" ]; do sleep 0.02; done; echo "$1"')
    m = seen(run, range(4), chunksize=1)
    until(lambda: m.status[ItemState.RUNNING] == 2)
    m.hold("a pause")
    with pytest.raises(JobHeldError, match="a pause"):
        m.wait(60)
    gate.open()
    m.release()
    assert [outcome.stdout for outcome in m.results(timeout=60)] == ["0\n", "1\n", "2\n", "3\n"]
    assert m.status == {ItemState.RESULT: 4}


def test_jobs_that_are_removed_can_be_retried(seen: Mapper, gate: Gate, script: Script) -> None:
    run = script(f'while [ ! -e "{gate.path}" ]; do sleep 0.02; done; echo "$1"')
    m = seen(run, range(2), chunksize=1)
    until(lambda: m.status[ItemState.RUNNING] == 2)
    m.remove()
    m.wait(60)
    assert m.status == {ItemState.REMOVED: 2}
    gate.open()
    assert [outcome.stdout for outcome in m.retry().results(timeout=60)] == ["0\n", "1\n"]


def test_items_are_added(mapper: Mapper, script: Script) -> None:
    m = mapper(script('echo "$1$2" > "$1"'), [*"ab"], [1, 2], outtmpl="{}")
    m = load(m.tag).extend([*"cd"], [3, 4])
    assert [outcome.output.read_text() for outcome in m] == ["a1\n", "b2\n", "c3\n", "d4\n"]
    with pytest.raises(InvalidInputError, match="items 1 and 4 would both be b"):
        m.extend(["b"], [5])
    with pytest.raises(InvalidInputError, match="was made of 2 iterables"):
        m.extend(["b"])
    assert len(load(m.tag)) == 4


def test_load_gives_the_same_handle(mapper: Mapper, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("text")
    items = [{"path": tmp_path / "x", "n": n} for n in range(2)]
    m = load(mapper("cat", items, argtmpl="{path}", with_input=True).tag, with_input=True)
    assert isinstance(m, CondorMapper)
    assert [(item["n"], outcome.stdout) for item, outcome in m] == [(0, "text"), (1, "text")]


def test_what_was_printed_is_known_by_item(seen: Mapper, script: Script) -> None:
    m = seen(
        script('echo "out $1"; echo "err $1" >&2; exit $1'), [0, 1], read=lambda outcome: outcome.exit_code
    )
    m.wait()
    assert (m.stdout(1), m.stderr(1)) == ("out 1\n", "err 1\n")
    m = seen(script('echo "out $1"'), [0])
    m.wait()
    assert m.stdout(0) == "out 0\n"


def test_the_event_log_lies_where_it_is_asked_for(seen: Mapper, tmp_path: Path) -> None:
    m = seen("echo", [1], log=tmp_path / "echo.log")
    m.wait()
    assert "submitted from host" in (tmp_path / "echo.log").read_text()
    with pytest.raises(InvalidInputError, match=r"log: there is a file .*echo.log already"):
        seen("echo", [1], log=tmp_path / "echo.log")
    m = seen("echo", [1], log=tmp_path)
    m.wait()
    assert [path.name for path in tmp_path.glob("condormap-*.log")] == [f"condormap-{m.path.name}.log"]
    remove(m.tag)
    assert not list(tmp_path.glob("condormap-*.log"))
    with pytest.raises(StorageError, match="log="):
        seen("echo", [1], log=tmp_path / "echo.log" / "x")


KILLED = """
import os, signal
from condormap import CondorMapper
m = CondorMapper({run!r}, range(6), argtmpl="{{}} {{out}}", outtmpl="{{}}.out", tag="killed-mapper", chunksize=1)
print(m.tag, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_process_that_is_killed_loses_nothing(
    start_script: Callable[..., subprocess.Popen[str]], gate: Gate, script: Script
) -> None:
    run = script(f'while [ ! -e "{gate.path}" ]; do sleep 0.02; done; echo "$1" > "$2"')
    process = start_script(KILLED.format(run=str(run)))
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (-signal.SIGKILL, "killed-mapper\n", "")
    gate.open()
    m = load("killed-mapper")
    assert [outcome.output.read_text() for outcome in m.results(timeout=60)] == [f"{n}\n" for n in range(6)]
    assert Counter(path.name for path in m.outdir.iterdir()) == Counter(f"{n}.out" for n in range(6))


KILLED_IN_SUBMIT = """
import os, signal, sys, threading, time
from condormap import CondorMapper

def kill(event, _):
    if event == "socket.sendmsg":  # the submit itself
        if {delay}:
            threading.Thread(target=lambda: (time.sleep({delay}), os.kill(os.getpid(), signal.SIGKILL))).start()
        else:
            os.kill(os.getpid(), signal.SIGKILL)

m = CondorMapper("echo", range(4), chunksize=2, tag={tag!r}, submit=False)
sys.addaudithook(kill)
m.submit()
m.wait()
time.sleep(60)
"""


@pytest.mark.parametrize("delay", [0, 0.02, 0.3])
def test_a_process_that_is_killed_while_it_submits_submits_once(
    start_script: Callable[..., subprocess.Popen[str]], delay: float
) -> None:
    tag = f"killed-in-submit-{delay}"
    process = start_script(KILLED_IN_SUBMIT.format(delay=delay, tag=tag))
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (-signal.SIGKILL, "")
    m = load(tag)
    assert isinstance(m, CondorMapper)
    if not m.submitted:
        m.submit()
    assert [outcome.stdout for outcome in m.results(timeout=60)] == ["0\n", "1\n", "2\n", "3\n"]
    assert (m.path / "events.log").read_text().count("Cluster submitted") == 1


# -- by hand -----------------------------------------------------------------------------------------------------


def test_an_item_is_run_here(mapper: Mapper, script: Script, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("text")
    run = script('cat "$1" table > "$2"; cat', mode=0o644)
    (tmp_path / "table").write_text("rows")
    m = mapper(
        run,
        [tmp_path / "x"],
        argtmpl="{} {out}",
        outtmpl="{}.out",
        stdin="in",
        files=[tmp_path / "table"],
        submit=False,
    )
    outcome = m.debug(0)
    assert (outcome.stdout, outcome.output.read_text()) == ("in", "textrows")
    assert m.debug(-1) == outcome
    with pytest.raises(InvalidInputError, match="command_line"):
        m.debug(0, pdb=True)
    with pytest.raises(IndexError):
        m.debug(1)


def test_a_shell_runs_the_same(mapper: Mapper, script: Script, tmp_path: Path) -> None:
    (tmp_path / "it's").write_text("text")
    run = script('cat "$1"; cat; echo "$N"', mode=0o644)
    m = mapper(
        run,
        [(tmp_path / "it's", "a 'b'\n")],
        argtmpl="{}",
        stdin="{1}",
        env={"N": "$x"},
        outtmpl="a/b",
        submit=False,
    )
    shell = subprocess.run(
        ["sh", "-c", m.command_line(0)], capture_output=True, text=True, check=True, timeout=60
    )
    assert shell.stdout == "texta 'b'\n$x\n"


def test_a_shell_reads_and_writes_the_same_files(mapper: Mapper, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("text")
    m = mapper("cat", [tmp_path / "x"], argtmpl="", stdin="{}", stdout="{}", submit=False)
    line = f'cd "$(mktemp -d)" && mkdir -p 2 && ln -s {tmp_path}/x 2/x && cat < 2/x > x'
    assert m.command_line(0) == line


def test_it_is_exported_lazily() -> None:
    code = "import sys, condormap; b = 'condormap.mapper' in sys.modules; condormap.CondorMapper; print(b)"
    root = str(Path(package.__file__).parents[1])
    run = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == "False\n"
    assert Outcome.__module__ == "condormap.in_job.outcome"


def test_a_vacated_job_keeps_the_output_files_of_what_it_finished(
    mapper: Mapper, script: Script, gate: Gate, tmp_path: Path
) -> None:
    at = tmp_path / "at"
    run = script(
        f'echo "$1" > "$2"; [ "$1" != 1 ] || exit 1; [ "$1" != 2 ] || touch {at};'
        f'while [ "$1" = 2 -a ! -e "{gate.path}" ]; do sleep 0.02; done'
    )
    m = mapper(run, range(4), argtmpl="{} {out}", outtmpl="d/{}.out", chunksize=4)
    until(at.exists)
    at.unlink()
    m.vacate()
    until(at.exists)
    gate.open()
    assert m.wait(60)
    assert [outcome.output.read_text() for outcome in m.results("skip")] == ["0\n", "2\n", "3\n"]
    (error,) = m.errors().values()
    assert isinstance(error, CommandError)
    assert error.outcome.output.read_text() == "1\n"
    assert [item.attempt for item in sorted(m.as_completed(), key=lambda item: item.index)] == [0, 0, 1, 1]


def test_a_failure_is_tried_again_where_that_is_asked_for(
    mapper: Mapper, script: Script, tmp_path: Path
) -> None:
    run = script(f"echo x >> {tmp_path}/runs.$1; [ $(wc -l < {tmp_path}/runs.$1) -ge $1 ]")
    m = mapper(run, [1, 3, 4], retries=2)
    assert len(m.results("skip", timeout=60)) == 2
    assert m.failed() == [2]


def test_an_output_file_that_is_a_link_is_what_it_leads_to(mapper: Mapper, script: Script) -> None:
    (outcome,) = mapper(
        script('echo text > "$1.0"; ln -s "$1.0" "$2"'), ["x"], argtmpl="{} {out}", outtmpl="{}"
    )
    assert (outcome.output.is_symlink(), outcome.output.read_text()) == (False, "text\n")


@pytest.mark.parametrize("goes_on", ["release", "retry"])
def test_a_job_whose_output_files_cannot_come_home_has_no_outcomes(
    pool: PersonalPool, script: Script, gate: Gate, tmp_path: Path, goes_on: str
) -> None:
    outdir = tmp_path / "results"
    run = script(
        f'touch {tmp_path}/runs; while [ ! -e "{gate.path}" ]; do sleep 0.02; done; echo "$1" > "$2"'
    )
    m = CondorMapper(
        run,
        [5, 6],
        argtmpl="{} {out}",
        outtmpl="{}",
        outdir=outdir,
        pool=pool,
        transfer="always",
        chunksize=2,
    )
    until((tmp_path / "runs").exists)
    outdir.chmod(0o555)  # as one on a full disk, no folder to which HTCondor can write
    gate.open()
    with pytest.raises(JobHeldError, match=r"its output files could not be transferred.*m\.release\(\) runs"):
        m.wait(timeout=60)
    assert m.status == load(m.tag).status == {ItemState.HELD: 2}
    outdir.chmod(0o755)
    if goes_on == "release":
        m.release()
    else:
        m.remove()
        until(lambda: m.status == {ItemState.REMOVED: 2})
        m.retry()
    assert [outcome.output.read_text() for outcome in m] == ["5\n", "6\n"]
