"""Job description files (JDF): one block for each ``queue`` statement.

::

    file ──> logical lines ──> commands above the queue statement + the statement = Block
                                                                                   │
              condor_submit's ads  <── HTCondor's own parser (condormap.condor) <──┘

HTCondor expands a description when it comes to a queue statement, with all commands that stand above it, so a
block's text is complete. Only the lines are read here: which of them are comments, continued, or the items of a
queue statement. What they mean is left to HTCondor (`condormap.jdf.check` asks it).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import InvalidInputError, JdfError

# `queue`, or any beginning of `iterate` from four letters on; `iter = 5` is a command.
_QUEUE = re.compile(r"(?:queue|iter(?:a|at|ate)?)(?=\s|$)(?!\s*(?::|@=|\+\S{0,2}=))", re.IGNORECASE)
_ITERATE_IS_SET = re.compile(r"iter\w*\s*=", re.IGNORECASE)
# The items of a queue statement follow on the next lines if the list begins with "(" and does not end on its line.
_ITEMS_FOLLOW = re.compile(
    r"(?:^|\s)(?:in|from|matching)(?=[\s(])\s*"
    r"(?:(?:files|dirs|any|table(?:\([^)]*\))?)(?=[\s(])\s*|\[[^\]]*\]\s*)*\((?!.*\)$)",
    re.IGNORECASE,
)
_HERE = re.compile(r"[^\s=:]+\s+@=\s*(.*)")  # name @=tag, up to a line @tag
_IF = re.compile(r":?\s*(if|endif)(?=\s|$)", re.IGNORECASE)
_SAYS_NOTHING = re.compile(r"\s*(#|$|:?\s*(if|elif|else|endif)\b)", re.IGNORECASE)
_COMMAND = re.compile(r"[+-]?[A-Za-z_][A-Za-z0-9_.]*")
_STATEMENTS = frozenset({"queue", "iterate", "include", "use", "if", "elif", "else", "endif"})
_ATTRIBUTE = re.compile(r"^(\+|-|my\.)")


@dataclass(frozen=True)
class Line:
    """A statement of a JDF, with all physical lines that belong to it.

    Parameters
    ----------
    number : int
        Its first line, counted from 1; 0 for an override and other commands that stand in no file.
    text : str
        As it stands in the file, with the newlines.
    depth : int
        How many ``if`` are open behind it.
    """

    number: int
    text: str
    depth: int


@dataclass(frozen=True)
class Block:
    """One queue statement with all commands that hold for it: what becomes one cluster.

    Parameters
    ----------
    commands : tuple of Line
        The commands above the queue statement, of the whole file, overrides last.
    queue : str
        The queue statement with its items.
    line : int
        The line of the queue statement; 0 for commands that were not given as text.
    path : Path or None
        The file, or what else tells whose mistakes its mistakes are.
    overrides : tuple of str
        The names of the commands that were given besides it.
    n_jobs : int or None
        How many jobs it makes; None where HTCondor has not been asked (`condormap.jdf.check.check`).
    """

    commands: tuple[Line, ...]
    queue: str
    line: int
    path: Path | None
    overrides: tuple[str, ...] = ()
    n_jobs: int | None = None

    @property
    def text(self) -> str:
        """The block in the submit language, complete, its queue statement at the end."""
        return "".join(line.text for line in self.commands) + self.queue

    @property
    def depth(self) -> int:
        """How many ``if`` the queue statement stands in."""
        return self.commands[-1].depth if self.commands else 0

    def error(self, message: str, line: int | None = None) -> JdfError:
        """Return the error for a mistake at `line`, or at the queue statement."""
        path = self.path or ("<text>" if self.line else "")
        return JdfError(message, path=str(path), line=line or self.line)

    def place(self, line: int) -> str:
        """Return where a line is, as errors say it: ``my.job:3: ``."""
        number = line or self.line
        return f"{self.path or '<text>'}:{number}: " if number else f"{self.path}: " if self.path else ""


def read_jdf(path: str | os.PathLike[str], **overrides: object) -> list[Block]:
    """Return the blocks of a job description file.

    Parameters
    ----------
    path : path-like
        The file.
    **overrides
        Submit commands that hold as if they stood last before each queue statement: ``request_memory="2GB"``.
        Through ``**{"+Project": '"x"'}`` also such as are no Python names.

    Returns
    -------
    list of Block
        In the order of the file. Of queue statements in an ``if``, all: `condormap.jdf.check.check` tells which
        of them HTCondor comes to.

    Raises
    ------
    JdfError
        The file cannot be read, or a list of items has no end.
    InvalidInputError
        An override that would not stay one command, or is no text, number or path.
    """
    file = Path(path).expanduser()
    try:
        data = file.read_bytes()
        text = data.decode()
    except OSError as error:
        raise JdfError(f"the file cannot be read: {error.strerror or error}", path=str(file)) from error
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise JdfError(
            "the file is not UTF-8, the only encoding that HTCondor's bindings take: convert it (iconv -t utf-8)",
            path=str(file),
            line=line,
        ) from error
    return parse_jdf(text, path=file, **overrides)


def parse_jdf(text: str, *, path: str | os.PathLike[str] | None = None, **overrides: object) -> list[Block]:
    """Return the blocks of a job description; see `read_jdf`."""
    file = None if path is None else Path(path)
    last = command_lines(overrides)
    # condor_submit defines it, as the path was given; it is in the job's ad too.
    commands = [] if path is None else [Line(0, command_lines({"SUBMIT_FILE": os.fspath(path)})[0], 0)]
    blocks: list[Block] = []
    n_used = 0  # commands that some queue statement follows
    for line, is_queue in statements(text, str(file or "<text>")):
        if not is_queue:
            commands.append(line)
            continue
        added = (Line(0, each, line.depth) for each in last)
        blocks.append(Block((*commands, *added), line.text, line.number, file, tuple(overrides)))
        n_used = len(commands)
    for line in commands[n_used:] if blocks else ():
        if not _SAYS_NOTHING.match(line.text):
            raise JdfError(
                f"this stands after the last queue statement, so no job has it: {line.text.strip()!r}. Add a "
                "queue statement, or remove the line",
                path=str(file or "<text>"),
                line=line.number,
            )
    if not blocks and commands and commands[-1].depth:
        opened = next(line for line in reversed(commands) if _IF.match(line.text.strip()))
        raise JdfError("this `if` has no `endif`", path=str(file or "<text>"), line=opened.number)
    if not blocks:  # HTCondor takes that for one job
        number = text.count("\n") + 1
        added = (Line(0, each, 0) for each in last)
        blocks.append(Block((*commands, *added), "queue\n", number, file, tuple(overrides)))
    return blocks


def block_of(commands: Mapping[str, object], count: int = 1) -> Block:
    """Return the block of commands that are not text, for so many jobs; errors as of `command_lines`."""
    lines = tuple(Line(0, each, 0) for each in command_lines(commands))
    return Block(lines, f"queue {count}\n", 0, None)


def command_lines(commands: Mapping[str, object]) -> list[str]:
    """Return commands in the submit language, one to a line.

    Raises
    ------
    InvalidInputError
        A name that is none, the same name twice, a value that is no text, number or path, or one that would begin
        another line or be taken for the next one's beginning.
    """
    lines = []
    names: dict[str, str] = {}
    for name, value in commands.items():
        if not isinstance(name, str) or not _COMMAND.fullmatch(name):
            raise InvalidInputError(f"{name!r} is no submit command")
        if name.lower() in _STATEMENTS:
            raise InvalidInputError(
                f"{name!r} is no submit command, but a statement of job description files: it works in text only"
            )
        other = names.setdefault(_ATTRIBUTE.sub("my.", name.lower()), name)
        if other != name:
            raise InvalidInputError(f"{other!r} and {name!r} are the same to HTCondor: leave one out")
        if not isinstance(value, str | int | float | os.PathLike):
            raise InvalidInputError(
                f"{name}: a submit command's value is text, a number or a path, not a {type(value).__name__}:"
                f" {value!r}"
            )
        text = os.fsdecode(value) if isinstance(value, os.PathLike) else str(value).strip()
        if "\n" in text or "\r" in text or "\0" in text:
            raise InvalidInputError(
                f"{name}: the value has a newline, which HTCondor would take for the beginning of another command:"
                f" {text!r}"
            )
        if text.endswith("\\"):
            raise InvalidInputError(
                f"{name}: the value ends in a backslash, which makes HTCondor join the next line: {text!r}"
            )
        lines.append(f"{name} = {text}\n")
    return lines


def statements(text: str, path: str) -> Iterator[tuple[Line, bool]]:
    """Give the statements of a JDF, and of each whether it is a queue statement."""
    lines = list(enumerate(text.split("\n"), 1))
    if lines[-1][1] == "":
        lines.pop()
    lines.reverse()  # the next one is the last
    depth = 0
    while lines:
        number, raw, joined = _logical(lines)
        is_queue = False
        if here := _HERE.fullmatch(joined):
            raw += _until(lines, f"@{here[1]}", number, path, "value")
        elif word := _IF.match(joined):
            depth = depth + 1 if word[1].lower() == "if" else max(0, depth - 1)
        elif (word := _QUEUE.match(joined)) and not _ITERATE_IS_SET.match(joined):
            is_queue = True
            if _ITEMS_FOLLOW.search(joined[word.end() :]):
                raw += _until(lines, ")", number, path, "list of items")
        yield Line(number, raw, depth), is_queue


def _logical(lines: list[tuple[int, str]]) -> tuple[int, str, str]:
    """Take the next line and those that continue it: its number, its text, and its text as HTCondor joins it."""
    number, raw = lines.pop()
    text, joined = raw + "\n", raw.strip()
    comment = joined.startswith("#")  # a comment is not continued
    while joined.endswith("\\") and not comment and lines:
        _, raw = lines.pop()
        text += raw + "\n"
        joined = joined[:-1] + raw.strip()
    return number, text, joined


def _until(lines: list[tuple[int, str]], end: str, number: int, path: str, what: str) -> str:
    """Take the lines up to the one that ends a list of items (begins with ")") or a value (is @tag)."""
    text = ""
    while lines:
        _, raw, joined = _logical(lines)
        text += raw
        if joined == end or (end == ")" and joined.startswith(")")):
            return text
    raise JdfError(f"the {what} has no end: a line with {end!r} is missing", path=path, line=number)
