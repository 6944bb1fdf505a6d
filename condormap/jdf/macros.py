"""Macros that do not mean what they were written for: wrong ones are errors, doubtful ones get a hint."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence

from ..condor import Expansion
from ..errors import JdfError
from .commands import COMMANDS, is_command
from .split import Block

# config.cpp, is_special_config_macro: names in capitals, and $F with letters for parts of a file's name.
_FUNCTIONS = frozenset(
    "ENV RANDOM_CHOICE RANDOM_INTEGER CHOICE SUBSTR INT REAL STRING EVAL BASENAME DIRNAME".split()
)
_FILE_FUNCTION = re.compile(r"F[pnxdqabfwuPNXDQABFWU]*")
_CALL = re.compile(r"(?<!\$)\$([A-Za-z_][A-Za-z0-9_]*)\(")
_BRACES = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_.]*)\}")
_UNCLOSED = re.compile(r"(?<!\$)\$[A-Za-z_]*\([^()\s]*")
_PARENTHESES = re.compile(r"\$?[A-Za-z_]*\([^()]*\)")
_WORD = re.compile(r"[A-Za-z_][\w.]*")
# What HTCondor sets for every job.
_LIVE = frozenset("cluster clusterid process procid step row item itemindex node".split())


def circle(block: Block, names: Sequence[str]) -> JdfError:
    """Return the error for macros that refer to each other in a circle."""
    told = " -> ".join(f"$({name})" for name in (*names, names[0]))
    return block.error(
        f"macros refer to each other in a circle, which HTCondor would follow for ever: {told}",
        _line_of_command(block, names[0]),
    )


def check_functions(block: Block, expansion: Expansion) -> None:
    """Raise JdfError for a macro function that does not exist, in a command or in an item."""
    for name, value in (*expansion.commands.items(), *_items_with_macros(expansion)):
        for function in _CALL.findall(value):
            if function not in _FUNCTIONS and not _FILE_FUNCTION.fullmatch(function):
                known = ", ".join(f"${each}()" for each in sorted(_FUNCTIONS))
                raise block.error(
                    f"{name}: HTCondor has no macro function ${function}(). It has {known}, $F() with letters of"
                    " pnxdqabfwu, and $(NAME) for a variable",
                    _line_with(block, f"${function}("),
                )


def _items_with_macros(expansion: Expansion) -> Iterator[tuple[str, str]]:
    """Give the values of the queue statement's variables that HTCondor expands, each once."""
    return iter(
        dict.fromkeys(
            (f"an item of {name}", value)
            for row in expansion.rows
            for name, value in zip(expansion.variables, row, strict=False)
            if "$" in value
        )
    )


def hints(block: Block, expansion: Expansion) -> Iterator[str]:
    """Give what is doubtful in a block, each with its line."""
    for index, text in expansion.warnings:
        yield f"{block.place(block.commands[index].number)}{text}"
    for name, function, arguments, why in expansion.wrong_calls:
        call = f"${function}({arguments})"
        place = block.place(_line_with(block, call))
        yield f"{place}{name}: {call} is wrong, and HTCondor goes on without it: {why}"
    defined = {name.lower() for name in (*expansion.commands, *expansion.variables)} | _LIVE
    for name, value in expansion.commands.items():
        if "$" not in value:
            continue
        for variable in _BRACES.findall(value):
            if variable.lower() in defined:  # of others a shell may know
                place = block.place(_line_with(block, f"${{{variable}}}"))
                yield (
                    f"{place}{name}: ${{{variable}}} is plain text to HTCondor; if you meant its variable, write"
                    f" $({variable})"
                )
        for text in _UNCLOSED.findall(_without_closed(value)):
            place = block.place(_line_with(block, text))
            yield f"{place}{name}: {text} is plain text to HTCondor: a parenthesis is not closed"
    yield from _unused(block, expansion)


def _without_closed(value: str) -> str:
    """Return a value without all that stands between parentheses, and these."""
    while (shorter := _PARENTHESES.sub("", value)) != value:
        value = shorter
    return value


def _unused(block: Block, expansion: Expansion) -> Iterator[str]:
    """Give the names that are no commands and stand in no other place; condor_submit tells of them too."""
    suspects = [name for name in expansion.commands if not is_command(name)]
    if not suspects and not expansion.variables:
        return
    texts = [value for value in expansion.commands.values() if "$" in value]
    texts += [value for _, value in _items_with_macros(expansion)]
    texts += [line.text for line in block.commands if _is_read_at_once(line.text)]
    used = {word.lower() for text in texts for word in _WORD.findall(text)}
    variables = expansion.variables
    if variables and not any(name.lower() in used or is_command(name) for name in variables):
        yield f"{block.place(0)}nothing uses {', '.join(variables)}, the queue statement's items"
    used |= {word.lower() for word in _WORD.findall(block.queue.partition("\n")[0])}
    for name in suspects:
        if name.lower() in used:
            continue
        place = block.place(_line_of_command(block, name))
        similar = difflib.get_close_matches(name.lower(), COMMANDS, 1, 0.8)
        meant = f"; did you mean {similar[0]!r}?" if similar else ""
        yield (
            f"{place}nothing uses {name!r}: it is no submit command, and stands in no $({name}){meant}"
            f"{'' if meant else f' (an attribute of the job is written +{name})'}"
        )


def _is_read_at_once(text: str) -> bool:
    return re.match(r"\s*:?\s*@?(if|elif|include|error|warning)\b", text, re.IGNORECASE) is not None


def _line_with(block: Block, text: str) -> int:
    """Return the last line that has this text, or the queue statement's: it is in another file then."""
    before, found, _ = block.queue.partition(text)
    if found and block.line:
        return block.line + before.count("\n")
    return next((each.number for each in reversed(block.commands) if text in each.text), block.line)


def _line_of_command(block: Block, name: str) -> int:
    defines = re.compile(rf"\s*{re.escape(name)}\s*(\+\S{{0,2}}|@)?=", re.IGNORECASE)
    return next((each.number for each in reversed(block.commands) if defines.match(each.text)), block.line)
