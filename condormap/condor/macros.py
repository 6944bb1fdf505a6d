"""Macros of a submit description that come to nothing: loops, on which HTCondor hangs, and wrong calls.

HTCondor writes nothing in the place of a call of a macro function that it cannot make, and goes on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

# `$(name)`, `$(name:default)`, `$Fnx(name)`, `$INT(name)`: what is between has no parentheses, or it is no call.
_REFERENCE = re.compile(r"(?<!\$)\$([A-Za-z]\w*)?\(\s*([A-Za-z_][\w.]*)")
_NO_REFERENCE = frozenset({"ENV", "RANDOM_CHOICE", "RANDOM_INTEGER"})
_CALL = re.compile(
    r"(?<!\$)\$(RANDOM_CHOICE|RANDOM_INTEGER|CHOICE|SUBSTR|INT|REAL)\(((?:[^()]|\([^()]*\))*)\)"
)
_INTEGER = re.compile(r"\s*[+-]?\d+\s*")


def loop(commands: Mapping[str, str], variables: Collection[str] = ()) -> list[str]:
    """Return the names of macros that refer to each other in a circle, or an empty list.

    Parameters
    ----------
    commands : mapping
        As HTCondor has read them; it has put in by then what a macro says of itself, ``a = $(a) more``.
    variables : collection of str, optional
        Names that the queue statement gives other values.
    """
    names = {name.lower(): name for name in commands}
    for variable in variables:
        names.pop(variable.lower(), None)
    references = {
        lower: [each for each in _references(commands[name]) if each in names]
        for lower, name in names.items()
        if "$" in commands[name]
    }
    done: set[str] = set()
    for start in references:
        path: list[str] = []
        pending = [(start, 0)]
        while pending:
            name, depth = pending.pop()
            done.update(path[depth:])  # all that they lead to has been seen
            del path[depth:]
            if name in path:
                return [names[each] for each in path[path.index(name) :]]
            if name in done:
                continue
            path.append(name)
            pending += [(each, depth + 1) for each in references.get(name, ())]
        done.update(path)
    return []


def loop_of_items(
    commands: Mapping[str, str], variables: Sequence[str], rows: Sequence[Sequence[str]]
) -> list[str]:
    """Return the names of macros that refer to each other in a circle by way of an item, or an empty list."""
    others = {name.lower(): value for name, value in commands.items()}
    seen: set[tuple[tuple[str, ...], ...]] = set()
    for row in rows:
        if not any("$" in value for value in row):
            continue
        references = tuple(tuple(_references(value)) for value in row)
        if references not in seen:
            seen.add(references)
            named = dict(zip(map(str.lower, variables), row, strict=False))
            if circle := loop(others | named):
                return circle
    return []


def _references(value: str) -> Iterator[str]:
    for function, name in _REFERENCE.findall(value):
        if function not in _NO_REFERENCE:
            yield name.lower()


def calls(commands: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Return the calls of macro functions that can be wrong: the command, the function, its arguments."""
    return [
        (name, function, arguments)
        for name, value in commands.items()
        if "$" in value
        for function, arguments in _CALL.findall(value)
    ]


def wrong(function: str, arguments: str, expand: Callable[[str], str]) -> str:
    """Return what is wrong with a call, or an empty text.

    Parameters
    ----------
    function, arguments : str
        The call.
    expand : callable
        Returns what HTCondor makes of a text.
    """
    given = [each.strip() for each in arguments.split(",")]
    if "$(" in arguments and function != "RANDOM_CHOICE":
        return "HTCondor expands no $(NAME) between its parentheses: write the NAME alone"
    value = expand(f"${function}({arguments})").strip()
    if function == "RANDOM_INTEGER":
        if len(given) not in (2, 3) or not all(map(_INTEGER.fullmatch, given)):
            return "it takes two whole numbers, or three: the least, the largest, the step"
        low, high, step = (*map(int, given), 1)[:3]
        return "" if low <= high and step > 0 else "the least is above the largest, or the step is below 1"
    if function == "RANDOM_CHOICE":
        return "" if arguments.strip() else "there is nothing to choose from"
    if function == "CHOICE":
        if len(given) < 2:
            return "it takes a number, counted from 0, and what to choose from"
        index = expand(f"$INT({given[0]})").strip()
        if not _INTEGER.fullmatch(index):
            return f"{given[0]} is no whole number"
        items = given[1:]
        return "" if value or len(items) > int(index) >= 0 else f"there is no number {index}, counted from 0"
    if function == "SUBSTR":
        return "" if len(given) in (2, 3) else "it takes a name, where to begin, and how many characters"
    if not value or "%" in value:
        kind = "whole number" if function == "INT" else "number"
        return f"{given[0]} is no {kind}, or the format is none for it"
    return ""
