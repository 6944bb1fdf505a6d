"""Blocks of submit language, each with its own queue statement, as the child has HTCondor read them."""

from __future__ import annotations

import bisect
import os
import pwd
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import classad2
import htcondor2

# Not part of the bindings' documented interface. `Schedd.submit` writes a description out as text again, without
# values of several lines and with other items; this submits what was read, as condor_submit does. And
# `Submit.itemdata` refuses an empty item, which condor_submit takes.
from htcondor2.htcondor2_impl import _schedd_submit, _submit_itemdata

_PROBE = "MY.CondormapProbe"
_GROUP_USER = frozenset({"accounting_group_user", "acctgroupuser"})
_UNIT = "\x1f"
_KEYWORD = re.compile(r"(?:^|\s)(in|from|matching)(?=[\s(])", re.IGNORECASE)
_VARIABLES = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*([\s,]+[A-Za-z_][A-Za-z0-9_.]*)*$")
_SLICE = re.compile(r"\[(-?\d*)(?::(-?\d*))?(?::(-?\d*))?\]")


def expand(
    statements: Sequence[tuple[str, int]], queue: str, wanted: Sequence[str], limit: int, later: str
) -> dict[str, Any]:
    """Return what a queue statement and the commands above it come to; see `Condor.expand_block`.

    ValueError where the queue statement is wrong.
    """
    commands = "".join(text for text, _ in statements)
    depth = statements[-1][1] if statements else 0
    if depth and _reached(commands, depth) is False:
        return {"reached": False}
    submit = _read(commands + queue)
    if submit is None and (good := _readable(statements)) < len(statements):
        return {"mistake": good}
    return _expansion(submit or htcondor2.Submit(commands + queue), wanted, limit, later)


def _reached(commands: str, depth: int) -> bool | None:
    """Tell whether HTCondor comes to what stands after these commands; None where it cannot read them."""
    submit = _read(f"{commands}{_PROBE} = 1\n" + "endif\n" * depth)
    return None if submit is None else _PROBE in list(submit)


def _readable(statements: Sequence[tuple[str, int]]) -> int:
    """Return how many statements HTCondor can read: all, or the number of those before the first mistake."""

    def fails(count: int) -> bool:
        text = "".join(text for text, _ in statements[:count])
        return _read(text + "endif\n" * statements[count - 1][1]) is None

    # A mistake stays one, whatever follows.
    return bisect.bisect_left(range(1, len(statements) + 1), True, key=fails)


def _expansion(submit: Any, wanted: Sequence[str], limit: int, later: str) -> dict[str, Any]:
    commands = dict(submit)
    variables, rows = _items(submit)
    arguments = _expanded(submit, submit.getQArgs())
    count, rows = _count(arguments), _sliced(arguments, rows)
    values: list[dict[str, str]] = []
    for values_of_job in _jobs(variables, rows, count):
        if len(values) >= limit:
            break
        values.append(_values(submit, commands, wanted, values_of_job, later))
        if not _changes(commands, wanted):
            break
    return {
        "commands": commands,
        "variables": variables,
        "rows": rows,
        "n_jobs": count * len(rows),
        "values": list({tuple(each.items()): each for each in values}.values()),
    }


def complete(submit: Any) -> None:
    """Add what condor_submit knows and the bindings do not: without a user, a group would be ``"physics."``."""
    names = {name.lower() for name in submit}
    if names & {"accounting_group", "accountinggroup", "nice_user"} and not names & _GROUP_USER:
        submit["accounting_group_user"] = pwd.getpwuid(os.geteuid()).pw_name


def submit(address: str, description: Any) -> Any:
    """Submit a block as it was read."""
    return _schedd_submit(address, description._handle, 0, False)


def _read(text: str) -> Any:
    try:
        return htcondor2.Submit(text)
    except ValueError:
        return None


def _items(submit: Any) -> tuple[list[str], list[list[str]]]:
    """Return the variables of the queue statement, and their values, before the slice; one empty row for none."""
    names, text = _submit_itemdata(submit, submit._handle)
    if names is None:
        return [], [[]]
    variables = names.split("\n")
    rows = [] if text is None else [row.split(_UNIT) for row in text.split("\n")]
    return variables, [row + [""] * (len(variables) - len(row)) for row in rows]


def _expanded(submit: Any, text: str) -> str:
    if "$" not in text:
        return text
    submit["CondormapText"] = text
    return _expanded_command(submit, "CondormapText")


def _count(arguments: str) -> int:
    keyword = _KEYWORD.search(arguments)
    text = arguments if keyword is None else arguments[: keyword.start()].rstrip()
    text = text.strip() if keyword is None else _VARIABLES.sub("", text).strip()
    if not text:
        return 1
    value = classad2.ExprTree(text).eval()
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"the number of jobs is {text}")
    return value


def _sliced(arguments: str, rows: list[list[str]]) -> list[list[str]]:
    keyword = _KEYWORD.search(arguments)
    head = arguments[keyword.end() :].partition("(")[0] if keyword else ""
    found = _SLICE.search(head)
    if found is None:
        return rows
    start, stop, step = (int(part) if part else None for part in found.groups())
    return rows[slice(start, stop, step)]


def _jobs(variables: list[str], rows: list[list[str]], count: int) -> Iterator[dict[str, str]]:
    proc = 0
    for index, row in enumerate(rows):
        for step in range(count):
            live = {"Process": proc, "ProcId": proc, "Step": step, "ItemIndex": index, "Row": index}
            yield {name: str(value) for name, value in live.items()} | dict(zip(variables, row, strict=False))
            proc += 1


def _changes(commands: Mapping[str, str], wanted: Sequence[str]) -> bool:
    """Tell whether a wanted command can differ from job to job."""
    names = {each.lower() for each in wanted}
    return any("$" in value for name, value in commands.items() if name.lower() in names)


def _values(
    submit: Any, commands: Mapping[str, str], wanted: Sequence[str], live: Mapping[str, str], later: str
) -> dict[str, str]:
    defined = {name.lower() for name in commands}
    for name, value in live.items():
        submit[name] = value
    for name in ("Cluster", "ClusterId"):
        submit[name] = later
    return {name: _expanded_command(submit, name) for name in wanted if name.lower() in defined}


def _expanded_command(submit: Any, name: str) -> str:
    try:
        return str(submit.expand(name))
    except KeyError:  # it comes to nothing
        return ""
