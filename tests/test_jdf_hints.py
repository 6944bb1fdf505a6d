"""What is doubtful in a job description, and condor_submit takes: submitted, with a warning that has the line."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from jdf_judge import Judge

from condormap.jdf.check import check
from condormap.jdf.split import parse_jdf
from condormap.pool.personal import PersonalPool

SLEEP = "executable = /bin/sleep\ntransfer_executable = false\n"


@pytest.fixture
def judge(pool: PersonalPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Judge:
    monkeypatch.chdir(tmp_path)
    return Judge(pool, tmp_path)


def told(text: str, judge: Judge) -> list[str]:
    """Return what a description that condor_submit takes is warned of."""
    Path("my.job").write_text(SLEEP + text)
    run = judge.run("condor_submit", "-dry-run", "out.ads", "my.job")
    assert run.returncode == 0, run.stderr
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check(parse_jdf(SLEEP + text, path="my.job"), judge.condor)
    return [str(each.message) for each in caught]


@pytest.mark.parametrize(
    ("call", "why"),
    [
        ("$RANDOM_INTEGER(a, b)", "it takes two whole numbers"),
        ("$RANDOM_INTEGER(1)", "it takes two whole numbers"),
        ("$RANDOM_INTEGER(6, 1)", "the least is above the largest"),
        ("$RANDOM_INTEGER(1, $(high))", "write the NAME alone"),
        ("$RANDOM_CHOICE()", "nothing to choose from"),
        ("$CHOICE(9, a, b)", "there is no number 9"),
        ("$CHOICE(Process, a, b)", "there is no number 2"),
        ("$CHOICE(nothing, a, b)", "nothing is no whole number"),
        ("$CHOICE(0)", "what to choose from"),
        ("$CHOICE(0, $(list))", "write the NAME alone"),
        ("$SUBSTR(high)", "where to begin"),
        ("$INT(nothing)", "nothing is no whole number"),
        ("$INT(high, %s)", "the format is none for it"),
        ("$INT($(high))", "write the NAME alone"),
        ("$REAL(nothing)", "nothing is no number"),
    ],
)
def test_a_macro_function_with_wrong_arguments(call: str, why: str, judge: Judge) -> None:
    (text,) = told(f"high = 6\nlist = a,b,$(high)\n+L = '$(list)'\narguments = {call}\nqueue 3\n", judge)
    assert text.startswith(f"my.job:6: arguments: {call} is wrong, and HTCondor goes on without it: ")
    assert why in text
    assert "ERROR" in judge.run("condor_submit", "-dry-run", "x", "my.job").stderr


@pytest.mark.parametrize(
    "call",
    [
        "$RANDOM_INTEGER( 1 , 6 )",
        "$RANDOM_INTEGER(-6,6,3)",
        "$RANDOM_CHOICE(a b, c)",
        "$CHOICE(Process, a, b, c)",
        "$CHOICE(high, list)",
        "$CHOICE(1, a, )",
        "$SUBSTR(high, 5)",
        "$SUBSTR(list,0,1)",
        "$INT(Process)",
        "$INT(high, %04d)",
        "$REAL(high,%.1f)",
        "$EVAL(high)",
        "$STRING(nothing)",
        "$ENV(NOTHING) $F(nothing) $Fp(high) $BASENAME(nothing)",
        "$$(Memory) $$([TARGET.Cpus + 1]) $$(Nothing:1)",
    ],
)
def test_a_macro_function_with_right_arguments(call: str, judge: Judge) -> None:
    assert (
        told(f"high = 1 + 1\nlist = a,b,$(high)\n+L = '$(list)'\narguments = {call}\nqueue 3\n", judge) == []
    )
    assert "ERROR" not in judge.run("condor_submit", "-dry-run", "x", "my.job").stderr


def test_a_parenthesis_that_is_not_closed(judge: Judge) -> None:
    (text,) = told("arguments = a $(Process b\nqueue\n", judge)
    assert text == "my.job:3: arguments: $(Process is plain text to HTCondor: a parenthesis is not closed"


def test_braces_are_told_of_for_variables_only(judge: Judge) -> None:
    """Others may be a shell's."""
    (one, other) = told("mine = 1\n+M = $(mine)\narguments = ${HOME} ${1} ${Mine} ${cluster}\nqueue\n", judge)
    assert (
        one
        == "my.job:5: arguments: ${Mine} is plain text to HTCondor; if you meant its variable, write $(Mine)"
    )
    assert "write $(cluster)" in other


@pytest.mark.parametrize(
    ("line", "rest"),
    [
        ("argumants = 5", "; did you mean 'arguments'?"),
        ("Reqest_Memory = 64", "; did you mean 'request_memory'?"),
        ("foo = bar", " (an attribute of the job is written +foo)"),
    ],
)
def test_a_command_that_is_none(line: str, rest: str, judge: Judge) -> None:
    name = line.split()[0]
    (text,) = told(f"{line}\nqueue\n", judge)
    assert (
        text == f"my.job:3: nothing uses {name!r}: it is no submit command, and stands in no $({name}){rest}"
    )
    assert f"the line '{line}' was unused" in judge.run("condor_submit", "-dry-run", "x", "my.job").stderr


@pytest.mark.parametrize(
    "text",
    [
        "a = 1\n+A = $(a)\nqueue\n",
        "n = 2\nqueue $(n)\n",
        "a = 1\nif defined a\narguments = 1\nendif\nqueue\n",
        "a = 1\nif $(a)\narguments = 1\nendif\nqueue\n",
        "a = x\nname = $Fn(a) $INT(b)\nb = 2\narguments = $(name)\nqueue\n",
        "My.A = 1\n+B = 2\nrequest_fpgas = 1\nrequire_gpus = x\nJobPrio = 3\nRequestMemory = 32\nqueue\n",
        "arguments = $(a)\nqueue a, b from (\n1 2\n)\n",
        "b = 7\narguments = $(a)\nqueue a from (\n1\n$(b)\n)\n",
        "my_oauth_permissions = read\nqueue\n",
    ],
)
def test_what_is_used_or_a_command_is_not_told_of(text: str, judge: Judge) -> None:
    assert told(text, judge) == []


def test_items_that_nothing_uses(judge: Judge) -> None:
    (text,) = told("arguments = $(itme)\nqueue item in (a b)\n", judge)
    assert text == "my.job:4: nothing uses item, the queue statement's items"


def test_a_warning_of_the_file(judge: Judge) -> None:
    text = "warning : old data $(x:1)\nif false\nwarning : never\nelse\n warning : other\nendif\nqueue\n"
    assert told(text, judge) == ["my.job:3: old data 1", "my.job:7: other"]


def test_each_is_told_once(judge: Judge) -> None:
    assert (
        len(told("foo = bar\narguments = ${cluster}\nwarning : w\nqueue\narguments = 5\nqueue\n", judge)) == 3
    )


def test_a_script_that_gives_items_and_fails(judge: Judge) -> None:
    Path("fails.sh").write_text("echo 1; echo 2; echo the rest is missing >&2; exit 3\n")
    (text,) = told("arguments = $(x)\nqueue x from /bin/sh fails.sh |\n", judge)
    assert text == (
        "my.job:4: '/bin/sh fails.sh', which gives the items, ended with exit status 3: the rest is missing"
    )


def test_a_program_that_is_included_and_fails(judge: Judge) -> None:
    Path("fails.sh").write_text("echo arguments = 1; exit 4\n")
    (text,) = told("include : /bin/sh fails.sh |\nqueue\n", judge)
    assert text == "my.job:3: a program that is included ended with exit status 4"
