"""Executables that fail: what is told of it, what is kept, and that nothing else is harmed."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import psutil
import pytest
from mappers import Mapper, Script
from test_map_steering import until

from condormap import CondorMapper, ItemState, PersonalPool, load, maps, reducers
from condormap.errors import (
    CommandError,
    ExecutableError,
    FileAsTextWarning,
    InvalidInputError,
    ItemTimeoutError,
    MissingOutputError,
    ReduceError,
    TooManyFailuresError,
)


def error_of(m: CondorMapper, item: int = 0) -> CommandError:
    m.wait(60)
    error = m.errors()[item]
    assert isinstance(error, CommandError)
    return error


def test_an_exit_code_is_an_error_of_its_item(mapper: Mapper, script: Script) -> None:
    run = script('echo "out $1"; echo "cannot open $1" >&2; [ "$1" != b ] || exit 2')
    m = mapper(run, [*"abc"])
    assert [outcome.stdout for outcome in m.results("skip")] == ["out a\n", "out c\n"]
    error = error_of(m, 1)
    assert str(error).endswith(f"`{run} b` exited with code 2. The end of its standard error:\ncannot open b")
    assert str(error).startswith("item 1, job ")
    assert (error.outcome.exit_code, error.outcome.command[1:]) == (2, ("b",))
    assert (error.outcome.stdout, error.outcome.stderr) == ("out b\n", "cannot open b\n")
    with pytest.raises(CommandError, match="exited with code 2"):
        m[1]
    assert m.failed() == [1]


def test_what_a_failure_wrote_is_kept_and_is_no_output_file(mapper: Mapper, script: Script) -> None:
    run = script('echo partial > "$1"; echo "no space left"; exit 1')
    m = mapper(run, [*"ab"], outtmpl="{}")
    error = error_of(m, 1)
    assert error.outcome.output.read_text() == "partial\n"
    assert error.__notes__ == [
        "condormap: the end of its standard output:\nno space left",
        f"condormap: what it had written is kept: {error.outcome.output}",
    ]
    assert os.listdir(m.outdir) == []


def test_a_signal_is_told_in_words(mapper: Mapper, script: Script) -> None:
    m = mapper(script("kill -$1 $$"), ["SEGV", "KILL"])
    assert "was killed by signal 11 (SIGSEGV)" in str(error_of(m))
    assert "memory=" in error_of(m, 1).__notes__[0]
    assert error_of(m, 1).outcome.exit_code == -9


def test_an_output_file_that_is_missing_is_an_error(mapper: Mapper, script: Script) -> None:
    m = mapper(script('echo x > a; echo "done"'), [1], outtmpl={"one": "a", "two": "b"})
    error = error_of(m)
    assert isinstance(error, MissingOutputError)
    assert "succeeded, but did not write b (outtmpl=) in its folder" in str(error)
    assert error.outcome.outputs["one"].read_text() == "x\n"


def test_a_pipe_and_a_link_to_nothing_are_no_output_files(mapper: Mapper, script: Script) -> None:
    error = error_of(mapper(script("mkfifo a; ln -s gone b"), [1], outtmpl=["a", "b"]))
    assert isinstance(error, MissingOutputError)
    assert "did not write a, b" in str(error)


def test_an_executable_that_takes_too_long(mapper: Mapper, script: Script) -> None:
    run = script('echo "working on $1" >&2; [ "$1" = 0 ] || sleep 1000')
    m = mapper(run, range(3), item_timeout=1.5, chunksize=3)
    m.wait(60)
    assert m.status == {ItemState.RESULT: 1, ItemState.ERROR: 2}
    error = m.errors()[1]
    assert isinstance(error, ItemTimeoutError)
    assert str(error).endswith("The end of its standard error:\nworking on 1")


def test_processes_that_are_left_behind_are_killed(mapper: Mapper, script: Script, tmp_path: Path) -> None:
    run = script(f"sleep 1000 & echo $! > {tmp_path}/pid$1; [ $1 = 0 ] || wait")
    m = mapper(run, [0, 1], item_timeout=2, chunksize=2)
    m.wait(60)
    assert m.status == {ItemState.RESULT: 1, ItemState.ERROR: 1}
    left = [int((tmp_path / name).read_text()) for name in ("pid0", "pid1")]
    until(lambda: not any(psutil.pid_exists(pid) for pid in left))


def test_much_that_a_failure_printed_is_kept_in_a_file(mapper: Mapper, script: Script) -> None:
    run = script("head -c 3000000 /dev/zero | tr '\\0' x >&2; echo the end >&2; exit 1")
    error = error_of(mapper(run, [1]))
    assert len(error.outcome.stderr) == 3_000_008
    assert len(str(error)) < 3000
    assert str(error).endswith("the end")


def test_text_that_names_a_file_here_is_hinted_at(
    seen: Mapper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.txt").write_text("x")
    with pytest.warns(FileAsTextWarning, match="'data.txt' is a file here"):
        m = seen("cat", ["data.txt"])
    error = error_of(m)
    assert "No such file" in str(error)
    assert "given as Path('data.txt'), the file is there too" in error.__notes__[0]


def test_a_script_that_was_mended_is_run_again(mapper: Mapper, script: Script) -> None:
    m = mapper(script('echo x > "$1"; exit 1'), [*"ab"], outtmpl="{}")
    first = error_of(m).outcome.output
    script('echo y > "$1"')
    assert [outcome.output.read_text() for outcome in load(m.tag).retry(memory="512MB")] == ["y\n", "y\n"]
    assert m.outdir == m[0].output.parent != first.parent


def test_a_script_that_was_broken_meanwhile_is_refused(mapper: Mapper, script: Script) -> None:
    run = script("exit 1")
    m = mapper(run, [1])
    m.wait(60)
    run.write_bytes(b"#!/bin/sh\r\nexit 0\r\n")
    for again in (m.retry, lambda: m.extend([2])):
        with pytest.raises(ExecutableError, match="CRLF"):
            again()
    assert len(m) == 1


def test_an_interpreter_that_the_jobs_do_not_have_is_told(pool: PersonalPool, script: Script) -> None:
    run = script("")
    run.write_text("#!/no/such/python3 -u\n")
    error = error_of(CondorMapper(run, [1], pool=pool, transfer="always"))
    assert str(error).endswith(
        "run.sh could not be started: its interpreter is not there: /no/such/python3 -u"
    )


def test_a_program_that_the_path_of_the_jobs_does_not_have_is_told(mapper: Mapper) -> None:
    error = error_of(mapper("wc", [1], environment={"PATH": "/nowhere"}))
    assert str(error).endswith("wc could not be started: No such file or directory")


def test_an_input_file_that_is_gone_before_the_map_is_submitted(mapper: Mapper, tmp_path: Path) -> None:
    data = tmp_path / "x"
    data.write_text("x")
    m = mapper("cat", [data], submit=False)
    data.unlink()
    with pytest.raises(InvalidInputError, match=r"item 0: its input file .*x is gone"):
        m.submit()
    data.write_text("y")
    assert m.submit()[0].stdout == "y"


def test_an_input_file_that_is_gone_when_its_job_runs(mapper: Mapper, tmp_path: Path) -> None:
    data, other = tmp_path / "x", tmp_path / "y"
    data.write_text("x")
    other.write_text("y")
    m = mapper("cat", [data, other], submit={"hold": "True"}, chunksize=2)
    data.unlink()
    m.release()
    m.wait(60)
    (error,) = m.errors().values()
    assert isinstance(error, FileNotFoundError)
    assert str(error) == f"[Errno 2] the input file is gone: '{data}'"
    data.write_text("mended")
    assert [outcome.stdout for outcome in m.retry(submit={}).results(timeout=60)] == ["mended", "y"]


def test_a_refused_map_leaves_nothing(seen: Mapper, script: Script, tmp_path: Path) -> None:
    before = len(maps())
    run = script("exit 0")
    for arguments, options in (
        (("no-such-program", [1]), {}),
        ((run, [*"aba"]), {"outtmpl": "{}", "outdir": tmp_path / "new"}),
        ((run, [1, Path("gone")]), {}),
        ((run, [1]), {"outdir": tmp_path / "new"}),
        ((run, [1]), {"outtmpl": "{}", "outdir": run}),
        ((run, [1]), {"outtmpl": "{}", "outdir": tmp_path, "keep_outputs": False}),
        ((run, [1]), {"outtmpl": "{}", "outdir": run / "below"}),
        ((run, [1]), {"dry_run": True}),
        ((run, "text"), {}),
        ((run, 3), {}),
        ((run,), {}),
        ((run, [1], [1, 2]), {"strict": True}),
        ((run, [1]), {"success": 256}),
        ((run, [1]), {"success": "0"}),
        ((run, [1]), {"read": 3}),
        ((run, [1]), {"memroy": "1GB"}),
        ((run, [1]), {"read": lambda _, lock=psutil.Process: lock, "stdin": (i for i in ())}),
    ):
        with pytest.raises(InvalidInputError):
            seen(*arguments, **options)
    assert len(maps()) == before
    assert not (tmp_path / "new").exists()


def test_what_read_raises_is_the_error_of_its_item(mapper: Mapper) -> None:
    m = mapper("echo", ["1", "x"], read=lambda outcome: int(outcome.stdout))
    m.wait(60)
    assert m.results("skip") == [1]
    assert isinstance(m.errors()[1], ValueError)


def test_a_failure_is_left_out_of_what_is_merged(seen: Mapper, script: Script) -> None:
    run = script('[ "$1" != 2 ] || exit 1; echo "$1"')
    m = seen(run, range(4), read=lambda outcome: int(outcome.stdout), reduce=reducers.Sum())
    assert m.result("skip") == 4
    with pytest.raises(CommandError, match="exited with code 1"):
        m.result()
    script('echo "$1"')
    assert m.retry().result(timeout=60) == 6


def test_too_many_failures_end_the_map(seen: Mapper) -> None:
    m = seen("false", range(50), chunksize=1, max_failures=2)
    with pytest.raises(TooManyFailuresError, match=r"`false \d+` exited with code 1"):
        m.wait(60)


def test_a_failed_function_of_all_outcomes_is_called_again(seen: Mapper) -> None:
    m = seen("echo", [1])
    m.set_on_complete(lambda outcomes: outcomes[1])
    with pytest.raises(ReduceError, match="on_complete function failed"):
        m.wait(60)
    assert m.set_on_complete(lambda outcomes: outcomes[0].stdout).result() == "1\n"


def test_an_error_and_an_outcome_can_be_pickled(seen: Mapper, script: Script) -> None:
    m = seen(script("exit $1"), [0, 1])
    assert pickle.loads(pickle.dumps(m[0])) == m[0]
    error = pickle.loads(pickle.dumps(error_of(m, 1)))
    assert error.outcome.exit_code == 1


def test_a_misspelt_option_is_guessed(seen: Mapper) -> None:
    for wrong, meant in (("argtempl", "argtmpl"), ("chunk_size", "chunksize"), ("memroy", "memory")):
        with pytest.raises(InvalidInputError, match=f"no option {wrong}=; did you mean {meant}="):
            seen("echo", [1], **{wrong: 1})
