"""Where a mistake is that HTCondor has found: it names no line, for it reads what it got as one text."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

from ..condor import Condor
from ..errors import InvalidInputError, JdfError
from .split import Block, Line, statements

_CONDITION = re.compile(r"\s*:?\s*(if|elif|else|endif)\b", re.IGNORECASE)
_KEYWORD = re.compile(r"\s*@?(include|use|error)\b([^:]*)(:?)", re.IGNORECASE)
_COMMAND = re.compile(
    r"\s*(?:[+-]|MY\.)?([A-Za-z_][\w.]*)\s*(?:\+\S{0,2}|@)?=(.*)", re.IGNORECASE | re.DOTALL
)
_INCLUDED_PROGRAM = re.compile(r"\s*@?include\b.*(\bcommand\b.*:|\|\s*$)", re.IGNORECASE | re.DOTALL)
_EXPRESSION = re.compile(r"Parse error in (?:JOBSET )?expression:\s*([\w.]+)")
_DEEPEST = 8  # files that include each other


def unreadable(block: Block, index: int, said: str, condor: Condor, folder: Path, depth: int = 0) -> JdfError:
    """Return the error for a command that HTCondor cannot read.

    Parameters
    ----------
    block : Block
        Its block.
    index : int
        The command's number.
    said : str
        What stands behind its colon, if it has one, with macros expanded.
    condor : Condor
        To find the mistake in an included file.
    folder : Path
        What relative paths are relative to.
    depth : int, optional
        How many files have been included.
    """
    line = block.commands[index]
    text = " ".join(line.text.split())
    keyword = _KEYWORD.match(line.text)
    kind = keyword[1].lower() if keyword else ""
    if kind == "error" and keyword and keyword[3]:
        return block.error(f"{said or 'error'}", line.number)
    if kind == "use":
        return block.error(
            f"HTCondor cannot read {text!r}: it has no such template, or the template has a mistake. One is named"
            " so: use CATEGORY : NAME",
            line.number,
        )
    if kind == "include" and keyword and keyword[3]:
        return _included(block, index, said, condor, folder, depth)
    if condition := _CONDITION.match(line.text):
        why = (
            "a condition is true, false, a number, a macro, `defined NAME` or `version >= X.Y.Z`, and each"
            f" `{condition[1]}` needs its place between `if` and `endif`"
        )
    else:
        why = "it is no command (name = value) and no queue statement"
    return block.error(f"HTCondor cannot read {text!r}: {why}", line.number)


def _included(block: Block, index: int, said: str, condor: Condor, folder: Path, depth: int) -> JdfError:
    line = block.commands[index]
    program = said.removesuffix("|").split()
    if _INCLUDED_PROGRAM.match(line.text) and program:
        if shutil.which(program[0], path=str(folder)) is None and shutil.which(program[0]) is None:
            why = f"there is no program {program[0]!r}"
        else:
            why = "what it writes is not in the submit language, or has a queue statement"
        return block.error(f"HTCondor cannot include what {said!r} writes: {why}", line.number)
    path = folder / said
    where = f"HTCondor cannot include {said!r}, seen from {folder}: "
    if not path.exists():
        return block.error(f"{where}it is not there", line.number)
    try:
        text = path.read_text()
    except UnicodeDecodeError:
        return block.error(f"{where}it is not UTF-8", line.number)
    except OSError as error:
        return block.error(f"{where}{error.strerror}", line.number)
    if depth == _DEEPEST:
        return block.error(f"{where}files include each other too deeply", line.number)
    above = block.commands[:index]
    inner: list[Line] = []
    for each, is_queue in statements(text, said):
        if is_queue:
            return _in_file(
                block, said, line, each.number, "a queue statement cannot stand in an included file"
            )
        inner.append(replace(each, depth=each.depth + (above[-1].depth if above else 0)))
    whole = Block((*above, *inner), "queue\n", line.number, Path(said))
    try:
        found = condor.expand_block(
            [(each.text, each.depth) for each in whole.commands], "queue\n", folder=folder
        )
    except InvalidInputError:
        found = None
    if found is None or found.mistake is None or found.mistake < index:
        return block.error(f"{where}it has a mistake", line.number)
    inside = unreadable(whole, found.mistake, found.said, condor, folder, depth + 1)
    message = str(inside).removeprefix(f"{inside.path}:{inside.line}: ")
    return _in_file(block, inside.path, line, inside.line, message)


def _in_file(block: Block, path: str, include: Line, number: int, message: str) -> JdfError:
    """Return the error for a line of an included file, with the line that includes it."""
    by = block.place(include.number).removesuffix(": ")
    return JdfError(f"{message} (included by {by})" if by else message, path=path, line=number)


def line_of(block: Block, said: str) -> tuple[int, str]:
    """Return the line of the command that HTCondor's words are about, 0 if it is not known.

    With it the command's name, if it is one that was given besides the file.
    """
    expression = _EXPRESSION.search(said)
    about = (expression[1] if expression else said).lower()
    best: tuple[int, int, str] | None = None
    for line in block.commands:
        command = _COMMAND.match(line.text)
        if command is None:
            continue
        # request_memory is RequestMemory in an ad, and may be "request memory" in a sentence.
        name = "[ _]?".join(map(re.escape, command[1].lower().split("_")))
        found = re.search(rf"(?<![a-z0-9]){name}(?![a-z0-9])", about)
        position = found.start() if found else -1
        value = command[2].strip().lower()
        if position < 0 and not expression and len(value) > 2 and value in about:
            position = len(about) + about.find(value)  # its name is better than its value
        if position >= 0 and (best is None or position <= best[0]):
            best = (position, line.number, command[1])
    if best is None:
        return 0, ""
    return best[1], best[2] if not best[1] and best[2] in _names(block) else ""


def _names(block: Block) -> set[str]:
    return {name.lstrip("+-") for name in block.overrides}


def line_of_included_program(block: Block) -> int:
    """Return the line of the last command that includes what a program writes."""
    lines = (line.number for line in reversed(block.commands) if _INCLUDED_PROGRAM.match(line.text))
    return next(lines, 0)
