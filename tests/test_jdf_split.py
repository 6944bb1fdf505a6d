"""How a job description file is split at its queue statements. (What its lines mean, HTCondor says.)"""

from __future__ import annotations

from pathlib import Path

import pytest

from condormap.errors import InvalidInputError, JdfError
from condormap.jdf.split import Block, parse_jdf, read_jdf


def queues(text: str) -> list[tuple[int, str]]:
    return [(block.line, block.queue) for block in parse_jdf(text)]


def test_a_block_has_all_commands_above_its_queue_statement_and_no_other_queue_statement() -> None:
    first, second = parse_jdf("a = 1\nqueue 2\nb = 2\nqueue x in (1 2)\n")
    assert first.text == "a = 1\nqueue 2\n"
    assert second.text == "a = 1\nb = 2\nqueue x in (1 2)\n"
    assert (first.line, second.line) == (2, 4)


@pytest.mark.parametrize(
    "line",
    [
        "queue",
        "QUEUE 5",
        "  Queue\t3",
        "queue x from f.txt",
        "iterate 2",
        "iter x in (1 2)",
        "queue = 2",
        "queue \\\n 3",
    ],
)
def test_a_queue_statement(line: str) -> None:
    assert queues(f"a = 1\n{line}\n") == [(2, f"{line}\n")]


@pytest.mark.parametrize(
    "line",
    [
        "queued = 1",
        "queue_x = 1",
        "iter = 5",
        "iterations = 5",
        "iter += 1",
        "# queue 5",
        "x = 1 \\\nqueue 5",
    ],
)
def test_no_queue_statement(line: str) -> None:
    (block,) = parse_jdf(f"{line}\nqueue 1\n")
    assert block.queue == "queue 1\n"


@pytest.mark.parametrize(
    "statement",
    [
        "queue x in (\n1 2\n3\n)\n",
        "queue in (a b\nqueue\n)\n",
        "queue 2 x, y from (\n  1, 2\n# )\n\nqueue 5\n  ) the end\n",
        "queue x matching files [1:] (\n*.dat\n)\n",
        "queue from table(header=0) (\na,b\n1,2\n)\n",
        "queue x from [::2] (\n1\n)\n",
        "queue x from (\n1 \\\n)\n2\n)\n",
    ],
)
def test_items_on_lines_of_their_own_belong_to_the_queue_statement(statement: str) -> None:
    assert queues(f"{statement}a = 1\nqueue\n")[0] == (1, statement)


@pytest.mark.parametrize(
    "statement", ["queue x in (1 2)\n", "queue x from file(1.txt\n", "queue (2)\n", "queue within (\n"]
)
def test_a_list_that_ends_on_its_line_and_what_is_no_list_take_no_more_lines(statement: str) -> None:
    assert queues(f"{statement}queue 5\n")[0] == (1, statement)


def test_a_comment_is_not_continued_and_a_command_is() -> None:
    assert queues("# comment \\\nqueue 1\na = 1 \\\n# inside \\\nqueue 2\nqueue 3\n") == [
        (2, "queue 1\n"),
        (6, "queue 3\n"),
    ]


def test_a_value_of_several_lines_may_look_like_a_queue_statement() -> None:
    (block,) = parse_jdf("requirements @=end\nqueue\n@other\n@end\nqueue 2\n")
    assert (block.line, block.queue) == (5, "queue 2\n")
    assert block.commands[0].text == "requirements @=end\nqueue\n@other\n@end\n"


def test_the_depth_of_ifs_is_counted() -> None:
    blocks = parse_jdf("if a\n:IF b\nqueue 1\nendif\nelse\nqueue 2\nENDIF\nqueue 3\n")
    assert [block.depth for block in blocks] == [2, 1, 0]


def test_a_file_without_a_queue_statement_is_one_block() -> None:
    (block,) = parse_jdf("a = 1")
    assert block.text == "a = 1\nqueue\n"


def test_overrides_stand_last_in_each_block() -> None:
    first, second = parse_jdf("a = 1\nqueue\na = 2\nqueue\n", a=3, **{"+Project": '"x"'})
    assert first.text == 'a = 1\na = 3\n+Project = "x"\nqueue\n'
    assert second.text == 'a = 1\na = 2\na = 3\n+Project = "x"\nqueue\n'


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("a", "1\nqueue 100", "newline"),
        ("a", "1\\", "backslash"),
        ("a b", "1", "no submit command"),
        ("queue", "1", "no submit command"),
    ],
)
def test_an_override_that_would_not_stay_one_command_is_refused(name: str, value: str, why: str) -> None:
    with pytest.raises(InvalidInputError, match=why):
        parse_jdf("queue\n", **{name: value})


@pytest.mark.parametrize("text", ["a = 1\nqueue x in (\n1\n", "a = 1\na @=end\n1\nqueue\n"])
def test_a_list_or_value_without_an_end_is_an_error_with_its_first_line(text: str) -> None:
    with pytest.raises(JdfError, match=r"^<text>:2: .* has no end") as error:
        parse_jdf(text)
    assert error.value.line == 2


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(JdfError, match=r"nothing\.job: the file cannot be read: No such file"):
        read_jdf(tmp_path / "nothing.job")


def test_a_file_that_is_not_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "latin.job"
    path.write_bytes("a = 1\nb = é\n".encode("latin-1"))
    with pytest.raises(JdfError, match=r"latin\.job:2: the file is not UTF-8"):
        read_jdf(path)


def test_lines_that_end_as_on_windows(tmp_path: Path) -> None:
    path = tmp_path / "windows.job"
    path.write_bytes(b"a = 1\r\nqueue x in (\r\n1\r\n)\r\nqueue\r\n")
    blocks: list[Block] = read_jdf(path)
    assert [block.line for block in blocks] == [2, 5]


@pytest.mark.parametrize("after", ["arguments = 5", "foo bar"])
def test_what_stands_after_the_last_queue_statement_is_a_mistake(after: str) -> None:
    with pytest.raises(JdfError, match="after the last queue statement") as caught:
        parse_jdf(f"executable = /bin/true\nqueue\n# the end\n\n{after}\n")
    assert caught.value.line == 5


def test_a_comment_and_the_end_of_an_if_may_stand_after_the_last_queue_statement() -> None:
    assert len(parse_jdf("executable = /bin/true\nif true\nqueue\nendif\n# the end\n")) == 1
