"""Mistakes in a job description are found before anything is submitted, with the file and the line."""

from __future__ import annotations

import time
import warnings
from pathlib import Path

import psutil
import pytest

from condormap.condor import Condor, connect
from condormap.errors import JdfError
from condormap.jdf.check import check
from condormap.jdf.split import Block, parse_jdf, read_jdf
from condormap.pool.personal import PersonalPool

SLEEP = "executable = /bin/sleep\n"


@pytest.fixture
def condor(pool: PersonalPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Condor:
    monkeypatch.chdir(tmp_path)
    return connect(pool.address)


def mistake(text: str, condor: Condor) -> JdfError:
    with pytest.raises(JdfError) as error:
        check(parse_jdf(text, path="my.job"), condor)
    assert str(error.value).startswith(f"my.job:{error.value.line}: ")
    return error.value


def checked(text: str, condor: Condor) -> list[Block]:
    return check(parse_jdf(text), condor)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (f"{SLEEP}arguments = $NOSUCH(1)\nqueue\n", 2, "no macro function $NOSUCH()"),
        (f"{SLEEP}arguments = $env(HOME)\nqueue\n", 2, "no macro function $env()"),
        (f"{SLEEP}arguments = $Fz(x)\nqueue\n", 2, "no macro function $Fz()"),
        (
            f"{SLEEP}arguments = $(x)\nqueue x in (a, $FOO(1))\n",
            3,
            "an item of x: HTCondor has no macro function $FOO()",
        ),
        (f"{SLEEP}arguments = $(x)\nqueue x from (\na\n$FOO(1)\n)\n", 5, "no macro function $FOO()"),
        (f"{SLEEP}arguments = $(x)\nqueue x from /bin/echo $FOO(1) |\n", 3, "no macro function $FOO()"),
        ("executable = nowhere.sh\nqueue\n", 1, "nowhere.sh does not exist"),
        ("executable = sleep\nqueue\n", 1, "HTCondor does not look through PATH: write "),
        ("arguments = 1\nqueue\n", 2, "no executable is given"),
        (
            "executible = /bin/sleep\nqueue\n",
            2,
            "statement: 'executible' is no submit command, did you mean it?",
        ),
        (f"{SLEEP}input = nothing.txt\nqueue\n", 2, "nothing.txt does not exist"),
        (f"{SLEEP}transfer_input_files = my.job, nothing.txt\nqueue\n", 2, "my.job does not exist"),
        (f"{SLEEP}initialdir = nowhere\nqueue\n", 2, "nowhere does not exist"),
        (f"{SLEEP}queue x from nothing.txt\n", 2, "can't open file nothing.txt"),
        (f"{SLEEP}queue x from nothing.sh |\n", 2, "not a valid command"),
        (f"{SLEEP}queue x matching files *.nothing\n", 2, "makes no job"),
        (f"{SLEEP}queue 0\n", 2, "makes no job"),
        (f"{SLEEP}queue many\n", 2, "Invalid Queue count expression"),
        (f"{SLEEP}queue x in files (y)\n", 2, "Queue keyword conflict"),
        (f"{SLEEP}arguments 5\nqueue\n", 2, "no command (name = value) and no queue statement"),
        (f"{SLEEP}queue 2\n{SLEEP}nonsense\nqueue 3\n", 4, "HTCondor cannot read 'nonsense'"),
        (f"{SLEEP}if what is this\nendif\nqueue\n", 2, "a condition is"),
        (f"{SLEEP}endif\nqueue\n", 2, "needs its place between"),
        (f"{SLEEP}include : nothing.inc\nqueue\n", 2, "it is not there"),
        (f"{SLEEP}max_idle = 2\nqueue x from (\n1\n\n2\n)\n", 3, "an item is empty"),
    ],
)
def test_a_mistake_has_its_line(text: str, line: int, message: str, condor: Condor) -> None:
    error = mistake(text, condor)
    assert message in str(error)
    assert error.line == line


def test_a_mistake_in_the_last_block_is_found_before_the_first_is_submitted(condor: Condor) -> None:
    assert mistake(f"{SLEEP}queue\nexecutable = nowhere\nqueue\n", condor).line == 3
    assert condor.query('Cmd == "/bin/sleep"') == []


def test_a_queue_statement_in_an_included_file_is_a_mistake(condor: Condor) -> None:
    Path("more.inc").write_text("a = 1\nqueue\n")
    with pytest.raises(JdfError, match=r"^more\.inc:2: a queue statement cannot .*included by my\.job:2\)"):
        check(parse_jdf(f"{SLEEP}include : more.inc\nqueue\n", path="my.job"), condor)


def test_a_mistake_in_an_included_file_has_the_line_of_the_queue_statement(condor: Condor) -> None:
    Path("more.inc").write_text("arguments = $NOSUCH(1)\n")
    assert mistake(f"{SLEEP}include : more.inc\nqueue\n", condor).line == 3


def test_the_input_of_each_job_is_looked_for(condor: Condor) -> None:
    Path("in.0").touch()
    Path("in.b").touch()
    checked(f"{SLEEP}input = in.$(Process)\nqueue\n", condor)
    assert "in.1 does not exist" in str(mistake(f"{SLEEP}input = in.$(Process)\nqueue 2\n", condor))
    assert "in.c does not exist" in str(mistake(f"{SLEEP}input = in.$(x)\nqueue x in (b c)\n", condor))
    checked(f"{SLEEP}input = in.$(x)\nqueue x in [:1] (b c)\n", condor)


def test_input_is_seen_from_the_initial_folder_and_the_executable_from_the_run_directory(
    condor: Condor,
) -> None:
    Path("sub").mkdir()
    Path("sub/in.txt").touch()
    Path("run.sh").write_text("#!/bin/sh\n")
    checked("executable = run.sh\ninitialdir = sub\ninput = in.txt\nqueue\n", condor)
    assert "run.sh" in str(mistake("executable = sub/run.sh\ninitialdir = sub\nqueue\n", condor))


@pytest.mark.parametrize(
    "text",
    [
        "executable = only_there\ntransfer_executable = false\nqueue\n",
        f"{SLEEP}transfer_input_files = https://example.org/file, osdf:///a/b\nqueue\n",
        f"{SLEEP}input = in.$(ClusterId)\nqueue\n",
        "executable = program.$$(Arch)\nqueue\n",
        "universe = container\ncontainer_image = docker://image\nqueue\n",
        "shell = echo hello\nqueue\n",
        f"{SLEEP}input = nothing\nskip_filechecks = true\nqueue\n",
        f"{SLEEP}transfer_input_files =\nqueue\n",
    ],
)
def test_files_that_need_not_be_here(text: str, condor: Condor) -> None:
    assert len(checked(text, condor)) == 1


def test_an_empty_executable_is_a_mistake(condor: Condor) -> None:
    Path("empty").touch()
    assert "is empty" in str(mistake("executable = empty\nqueue\n", condor))


def test_braces_in_place_of_parentheses_are_warned_of_once(condor: Condor) -> None:
    text = f"{SLEEP}arguments = ${{cluster}}\nqueue\nqueue 2\n"
    with pytest.warns(UserWarning, match=r"^my\.job:2: .*write \$\(cluster\)$") as warned:
        check(parse_jdf(text, path="my.job"), condor)
    assert len(warned) == 1


def test_a_branch_that_is_not_taken_is_not_checked(condor: Condor) -> None:
    text = f"{SLEEP}if false\nexecutable = nowhere\ninclude : nothing\nqueue 5\nendif\nqueue 2\n"
    (block,) = checked(text, condor)
    assert (block.n_jobs, block.line) == (2, 7)


@pytest.mark.parametrize(
    ("queue", "n_jobs"),
    [
        ("queue", 1),
        ("queue 7", 7),
        ("queue $(n)", 3),
        ("queue 2 x in (a b c)", 6),
        ("queue $(n) x, y from (\n1 2\n3 4\n)", 6),
        ("queue x in [1:] (a b c)", 2),
        ("queue x in [-2:] (a b c)", 2),
        ("queue x in [::2] (a b c)", 2),
        ("queue 2 x matching files *.dat", 4),
        ("queue x from /bin/sh script.sh |", 3),
        ("queue in4 in (a b)", 2),
    ],
)
def test_the_jobs_are_counted(queue: str, n_jobs: int, condor: Condor) -> None:
    for name in ("a.dat", "b.dat"):
        Path(name).touch()
    Path("script.sh").write_text("echo 1; echo 2; echo 3\n")
    (block,) = checked(f"{SLEEP}n = 3\narguments = $(n) $(x) $(y) $(in4)\n{queue}\n", condor)
    assert block.n_jobs == n_jobs
    submitted = condor.submit_block(
        f"hold = true\n{block.text}", folder=".", submission_id=f"count-{abs(hash(queue))}"
    )
    condor.act("remove", jobs=[str(submitted.cluster)])
    assert submitted.n_procs == n_jobs


def test_a_script_that_never_ends_is_ended(condor: Condor) -> None:
    Path("script.sh").write_text("echo $$ > pid; exec sleep 600\n")
    blocks = parse_jdf(f"{SLEEP}queue x from /bin/sh script.sh |\n", path="my.job")
    with pytest.raises(JdfError, match=r"my\.job:2: .*a script that gives items"):
        check(blocks, condor, deadline=1)
    pid = int(Path("pid").read_text())
    deadline = time.monotonic() + 5
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the script runs on"


def test_scripts_are_run_once_to_check_and_once_to_submit(condor: Condor) -> None:
    Path("script.sh").write_text("echo run >> runs; echo 1; echo 2\n")
    Path("include.sh").write_text("echo run >> includes; echo a = 1\n")
    text = f"{SLEEP}arguments = $(a) $(x)\ninclude : /bin/sh include.sh |\nqueue x from /bin/sh script.sh |\n"
    (block,) = check(parse_jdf(text, hold=True), condor)
    assert (Path("runs").read_text(), Path("includes").read_text()) == ("run\n", "run\n")
    submitted = condor.submit_block(block.text, folder=".", submission_id="scripts")
    condor.act("remove", jobs=[str(submitted.cluster)])
    assert (Path("runs").read_text(), Path("includes").read_text()) == ("run\nrun\n", "run\nrun\n")


def test_files_are_seen_from_the_given_folder(condor: Condor, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "items.txt").write_text("1\n2\n")
    (folder / "one.job").write_text("executable = run.sh\narguments = $(x)\nqueue x from items.txt\n")
    (block,) = check(read_jdf(folder / "one.job"), condor, folder=folder)
    assert block.n_jobs == 2
    with pytest.raises(JdfError, match=r"one\.job:3: .*can't open file items\.txt"):
        check(read_jdf(folder / "one.job"), condor)


def test_what_is_right_is_not_warned_of(condor: Condor) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checked(
            f"{SLEEP}arguments = $(a) $$(B) $$([C]) $ENV(HOME) $Fpq(a) $INT(Process)\n"
            "environment = A=$5;B=100$;C=${HOME};D=${1}\nqueue\n",
            condor,
        )
