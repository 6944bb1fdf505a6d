"""Templates filled in: the arguments, names and files of each item; and what is refused before submission."""

from __future__ import annotations

import shlex
from collections import namedtuple
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from condormap.errors import ExecutableError, FileAsTextWarning, InvalidInputError
from condormap.mapper.executable import Executable, check, find
from condormap.mapper.tasks import OutputNames, make_command, make_tasks
from condormap.mapper.templates import Fields, parse, parse_words

Point = namedtuple("Point", "x y")  # as users make them


@dataclass(frozen=True)
class Run:
    mass: float
    data: Path


def tasks(
    items: Iterable[Any],
    argtmpl: Any = None,
    *,
    stdin: Any = None,
    stdout: Any = None,
    outtmpl: Any = None,
    env: Any = None,
    files: Iterable[str] = (),
) -> list[dict[str, Any]]:
    return list(
        make_tasks(make_command(argtmpl, stdin, stdout, outtmpl, env or {}, files), items, OutputNames())
    )


def arguments(item: Any, argtmpl: Any = None, **more: Any) -> list[str]:
    (task,) = tasks([item], argtmpl, **more)
    found: list[str] = task["args"]
    return found


# -- arguments ---------------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(exclude_characters="\0\ufdd0", exclude_categories=["Cs"]))


@settings(deadline=None)  # of a busy machine
@given(st.lists(TEXT, max_size=4), TEXT)
def test_whatever_is_filled_in_a_field_stays_in_its_argument(values: list[str], word: str) -> None:
    template = " ".join(["{}"] * len(values) + [shlex.quote(word).replace("{", "{{").replace("}", "}}")])
    fields = Fields(tuple(values), 0, {})
    assert [fields.fill(each) for each in parse_words(template, "argtmpl")] == [*values, word]


@settings(deadline=None)
@given(st.lists(TEXT, min_size=1, max_size=4))
def test_a_field_may_be_a_part_of_an_argument(values: list[str]) -> None:
    fields = Fields(tuple(values), 0, {})
    words = parse_words(" ".join(f"--k{n}={{{n}}}" for n in range(len(values))), "argtmpl")
    assert [fields.fill(word) for word in words] == [f"--k{n}={value}" for n, value in enumerate(values)]


@pytest.mark.parametrize(
    ("item", "template", "expected"),
    [
        ("a b", "{}", ["a b"]),
        (3, "-n {} --half={:.1f}", None),
        ((3, 1.25), "-n {} --half={:.1f}", ["-n", "3", "--half=1.2"]),
        ((3, 4), "{1} {0}", ["4", "3"]),
        ({"x": 1, "y": "é"}, "{x} y={y!r}", ["1", "y='é'"]),
        (Point(1, 2), "{x} {1}", ["1", "2"]),
        ("ab", "{0[0]}{0[1]}", ["ab"]),
        (7, "{index} {:03d}", ["0", "007"]),
        (
            "x",
            "'two words' \"{}\" a\\ b {{}} $HOME `id` *",
            ["two words", "x", "a b", "{}", "$HOME", "`id`", "*"],
        ),
        ("x", ["one argument", "{}"], ["one argument", "x"]),
        ("", "{}", [""]),
        ("x", "", []),
        ({"index": 9}, "{index}", ["9"]),
        (b"raw", "{}", ["raw"]),
        (("x", "y"), "{index}", ["0"]),
    ],
)
def test_arguments_from_a_template(item: Any, template: Any, expected: list[str] | None) -> None:
    if expected is None:
        with pytest.raises(
            InvalidInputError, match=r"has 1 field, and none with the number 1: each \{\} is the next"
        ):
            arguments(item, template)
    else:
        assert arguments(item, template) == expected


def test_a_field_alone_that_is_a_list_is_an_argument_for_each(two: tuple[Path, Path]) -> None:
    item = {"files": [*two], "more": {"deep": two[1]}, "none": []}
    (task,) = tasks([item], argtmpl="{out} {files} {none} -x {more[deep]} {none!r}", outtmpl=["a", "b"])
    assert task["args"] == ["a", "b", "x.txt", "2/x.txt", "-x", "2/x.txt", "[]"]
    assert task["inputs"] == [("x.txt", str(two[0])), ("2/x.txt", str(two[1]))]


def test_a_row_of_a_structured_array_has_its_names() -> None:
    (row,) = numpy.array([(1, 2.5)], dtype=[("n", "i4"), ("mass", "f8")])
    assert arguments(row, "{mass} {0} {n:03}") == ["2.5", "1", "001"]
    assert arguments(row) == ["1", "2.5"]


def test_an_error_of_a_function_for_standard_input_tells_of_the_item() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        tasks([1, 0], stdin=lambda x: str(1 / x))
    assert caught.value.__notes__ == [
        "condormap: raised by the function stdin= for item 1. Nothing was submitted"
    ]


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ("a b", ["a b"]),
        ((1, 2.5), ["1", "2.5"]),
        (Point(3, "q"), ["3", "q"]),
        (numpy.array([1.5, 2]), ["1.5", "2.0"]),
    ],
)
def test_without_a_template_the_item_or_its_elements_are_the_arguments(
    item: Any, expected: list[str]
) -> None:
    assert arguments(item) == expected


@pytest.mark.parametrize(
    ("item", "options", "message"),
    [
        ("x", {"argtmpl": "{"}, r"argtmpl='\{': .*written twice"),
        ("x", {"argtmpl": "'{}"}, "No closing quotation"),
        ("x", {"argtmpl": 3}, "argtmpl must be text"),
        ("x", {"argtmpl": "{mass}"}, "does not fit item 0, 'x': it has no field 'mass'"),
        ("x", {"argtmpl": "{:d}"}, "does not fit item 0, 'x': ValueError"),
        ({"a": 1}, {}, r"item 0, a dict, is no text for an argument: .* as in argtmpl='\{a\}'"),
        (Run(1.0, Path(__file__)), {}, r"item 0, a Run, .* argtmpl='\{mass\} \{data\}'"),
        (object(), {}, r"item 0, a object, .* as in argtmpl='\{\}'"),
        ((1, [2]), {}, r"item 0, a tuple, is no text"),
        (len, {}, "is no text"),
        ((), {}, "is no text"),
        ({"a": 1}, {"argtmpl": "{}"}, r"its fields have names: \{a\}"),
        ("a\0b", {}, "null character"),
        ("x" * 200_000, {}, "longer than a program can get"),
        ("x", {"outtmpl": "/etc/{}"}, "must be relative"),
        ("..", {"outtmpl": "{}"}, "must be relative"),
        ("../../x", {"outtmpl": "a/{}"}, "must be relative"),
        ("a\nb", {"outtmpl": "{}"}, "is the name of no file"),
        ("x" * 300, {"outtmpl": "{}"}, "too long"),
        ("x", {"outtmpl": 3}, "outtmpl must be text"),
        ("x", {"outtmpl": {"stdout": "a"}, "stdout": "b"}, "key that cannot be one"),
        ("x", {"stdin": 3}, "stdin must be"),
        ("x", {"stdin": lambda _: 3}, "stdin must be text, bytes or a Path, not 3"),
        ("x", {"env": {"A=B": "x"}}, "env must be"),
        ("x", {"env": ["A"]}, "env must be"),
        (Path("gone.txt"), {}, r"there is no .*gone.txt. A Path is an input file"),
        ("x", {"outtmpl": "{}", "files": ["x"]}, "would replace x, which files= has"),
        ("x", {"stdout": "{}/a", "files": ["x"]}, "would replace x, which files= has, or lie in it"),
        (Path("/"), {}, "cannot be an input file"),
        ("x", {"stdin": Path(__file__).parent}, "stdin= is a folder"),
        ("x", {"argtmpl": "{out}"}, "there is no output file: outtmpl= names them"),
        ("x", {"argtmpl": "-o={out}", "outtmpl": ["a", "b"]}, "a list is no text, here .*: a field alone"),
        ("x", {"argtmpl": "{out}", "outtmpl": {"k": "a"}}, "a dict is no text"),
        ({"a": [1, [2]]}, {"argtmpl": "{a}"}, "a list is no text"),
        ({"a": [1]}, {"argtmpl": "x", "env": {"A": "{a}"}}, "a list is no text"),
    ],
)
def test_what_cannot_be_meant_is_refused(item: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message) as caught:
        tasks([item], **options)
    assert "Nothing was submitted" in str(caught.value)


# -- input files -------------------------------------------------------------------------------------------------


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    """Return two files of one name."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.txt").write_text(name)
    return tmp_path / "a" / "x.txt", tmp_path / "b" / "x.txt"


def test_a_path_is_filled_in_as_the_name_of_its_file(two: tuple[Path, Path]) -> None:
    (task,) = tasks([two[0]], "-i {} {0.stem} {0!s}")
    assert task["args"] == ["-i", "x.txt", "x", str(two[0])]
    assert task["inputs"] == [("x.txt", str(two[0]))]


def test_two_files_of_one_name_do_not_collide(two: tuple[Path, Path]) -> None:
    (task,) = tasks([two])
    assert task["args"] == ["x.txt", "2/x.txt"]
    assert task["inputs"] == [("x.txt", str(two[0])), ("2/x.txt", str(two[1]))]


def test_one_file_twice_is_one_file(two: tuple[Path, Path]) -> None:
    (task,) = tasks([(two[0], two[0])])
    assert task["args"] == ["x.txt", "x.txt"]


def test_an_input_file_hides_no_output_file_and_no_file_for_every_item(two: tuple[Path, Path]) -> None:
    (task,) = tasks([two[0]], "{} {out}", outtmpl="{}", files=["2"])
    assert task["args"] == ["3/x.txt", "x.txt"]


@pytest.mark.parametrize("make", [lambda p: {"data": p}, lambda p: Run(1.5, p), lambda p: [p], lambda p: p])
def test_a_path_may_be_any_field(make: Any, two: tuple[Path, Path]) -> None:
    (task,) = tasks([make(two[0])], "run")
    assert task["inputs"] == [("x.txt", str(two[0]))]


def test_a_relative_path_is_one_from_here(two: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(two[0].parent)
    (task,) = tasks([Path("x.txt")])
    assert task["inputs"] == [("x.txt", str(two[0]))]


def test_text_that_names_a_file_is_warned_of(two: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(two[0].parent)
    with pytest.warns(FileAsTextWarning, match=r"item 0: 'x.txt' is a file here, .*Path\('x.txt'\)"):
        (task,) = tasks([("x.txt", 1)])
    assert task["args"] == ["x.txt", "1"]
    tasks(["x.txt"], files=["x.txt"])
    tasks(["y", "x.txt"])


# -- output files ------------------------------------------------------------------------------------------------


def test_names_of_output_files(two: tuple[Path, Path]) -> None:
    assert tasks(["a", 1.5], outtmpl="{}.out")[1]["outputs"] == {"1.5.out": "1.5.out"}
    (task,) = tasks([two[0]], "{out[log]} {out[fit]}", outtmpl={"log": "{}.log", "fit": "fit/{0.stem}"})
    assert task["args"] == ["x.txt.log", "fit/x"]
    assert task["outputs"] == {"log": "x.txt.log", "fit": "fit/x"}
    (task,) = tasks([1], "{out[1]}", outtmpl=["a{}", "b{}"], stdout="c{}")
    assert task["args"] == ["b1"]
    assert task["outputs"] == {"a1": "a1", "b1": "b1", "stdout": "c1"}


@pytest.mark.parametrize("names", [["a", "b", "a"], ["a", "b", "a/c"], ["a/c", "b", "a"]])
def test_output_files_that_would_replace_each_other_are_refused(names: list[str]) -> None:
    with pytest.raises(InvalidInputError, match=r"output files of the items 0 and 2 would both be"):
        tasks(names, outtmpl="{}")


def test_output_files_in_one_folder_are_no_collision() -> None:
    assert len(tasks(["a/x", "a/y", "a/b/x"], outtmpl="{}")) == 3


def test_two_output_files_of_an_item_that_are_one_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="item 0 has two output files of one name: x, x"):
        tasks(["x"], outtmpl=["{}", "x"])


# -- what it reads -----------------------------------------------------------------------------------------------


def test_standard_input(two: tuple[Path, Path]) -> None:
    assert tasks([1], stdin="n={}\n")[0]["stdin"] == b"n=1\n"
    assert tasks([1], stdin=b"\0")[0]["stdin"] == b"\0"
    assert tasks([1])[0]["stdin"] is None
    assert tasks([3], stdin=lambda n: "x" * n)[0]["stdin"] == b"xxx"
    assert tasks([b"\xff"], stdin="{}")[0]["stdin"] == b"\xff"
    (task,) = tasks([("a", two[0])], "{}", stdin="{1}")
    assert (task["args"], task["stdin"], task["inputs"]) == (["a"], 0, [("x.txt", str(two[0]))])
    (task,) = tasks(["a"], stdin=two[1])
    assert (task["stdin"], task["inputs"]) == (0, [("x.txt", str(two[1]))])


def test_environment_variables_have_fields() -> None:
    assert tasks([{"n": 3}], "", env={"N": "{n}", "FIXED": "1"})[0]["env"] == {"N": "3", "FIXED": "1"}


# -- executables -------------------------------------------------------------------------------------------------


def test_a_program_of_path_is_found_by_its_name() -> None:
    assert find("sh") == Executable("sh", None)


def test_a_file_of_the_current_folder_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sh").write_text("#!/bin/sh\n")
    assert find("sh") == Executable("sh", tmp_path / "sh")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no-such-program", "no such file is in the current folder, and none in PATH"),
        ("./no-such-script.sh", "there is no such file"),
        ("sh -c true", r"arguments go into argtmpl=: CondorMapper\('sh'"),
        (".", "is a folder"),
        ("", "must be an executable"),
        (len, "must be an executable"),
    ],
)
def test_what_is_no_executable_is_refused(name: Any, message: str) -> None:
    with pytest.raises(ExecutableError, match=message):
        find(name)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"#!/bin/sh\r\necho\r\n", "CRLF.*dos2unix"),
        (b"#!/usr/bin/env bash\necho\r\nexit\r\n", "CRLF.*part of the last word.*dos2unix"),
        (b"\xef\xbb\xbf#!/bin/sh\n", "byte order mark"),
        (b"echo hello\n", "names its interpreter, as in #!/bin/sh"),
        (b"#!\n", "names no interpreter"),
        (b"#!python3\n", "#!/usr/bin/env python3"),
        (b"#!/no/such/interpreter -x\n", "there is no interpreter /no/such/interpreter"),
        (b"#!/usr/bin/env no-such-interpreter\n", "asks for no-such-interpreter"),
        (b"\x7fELF\x02\x01\x01" + bytes(11) + b"\xf3\xf3\x01\x00\x00\x00", "another kind of machine"),
    ],
)
def test_a_file_that_no_job_could_execute_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "run").write_bytes(content)
    (tmp_path / "run").chmod(0o755)
    with pytest.raises(ExecutableError, match=message):
        check(find(tmp_path / "run"), here=True)


@pytest.mark.parametrize("content", [b"#!/no/such/interpreter\n", b"#!/usr/bin/env no-such-interpreter\n"])
def test_an_interpreter_may_be_on_the_machines_of_the_jobs_only(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "run").write_bytes(content)
    check(find(tmp_path / "run"), here=False)


def test_a_template_that_is_just_a_field_is_known_as_one() -> None:
    assert [parse(text, "stdin").field for text in ("{}", "{x.y}", "{} ", "{:3}", "{{}}", "")] == [
        "0",
        "x.y",
        *[None] * 4,
    ]
