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

from condormap.condor import macros, scripts

_PROBE = "MY.CondormapProbe"
_WARNING = "MY.CondormapWarning."
# An attribute of this name is refused by the schedd when all has been sent.
_ONLY_LOOKING = "Condormap.OnlyLooking"
_LOOKED_AT = 1000  # jobs of each block
_NO_AD = "Failed to create job ad"
_GROUP_USER = frozenset({"accounting_group_user", "acctgroupuser"})
_UNIT = "\x1f"
_KEYWORD = re.compile(r"(?:^|\s)(in|from|matching)(?=[\s(])", re.IGNORECASE)
_VARIABLES = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*([\s,]+[A-Za-z_][A-Za-z0-9_.]*)*$")
_SLICE = re.compile(r"\[(-?\d*)(?::(-?\d*))?(?::(-?\d*))?\]")
# What HTCondor expands while it reads: a loop of macros must be found before that.
_AT_ONCE = re.compile(r"\s*:?\s*@?(if|elif|include|use|error|warning)\b", re.IGNORECASE)
_SAYS = re.compile(r"\s*@?(include|use|error|warning)\b([^:]*):\s*(.*)", re.IGNORECASE | re.DOTALL)
_ASSIGNED = re.compile(r"\s*([A-Za-z_][\w.]*)\s*(?:\+\S{0,2}|@)?=(.*)", re.DOTALL)


def expand(
    statements: Sequence[tuple[str, int]], queue: str, wanted: Sequence[str], limit: int, later: str
) -> dict[str, Any]:
    """Return what a queue statement and the commands above it come to; see `Condor.expand_block`.

    ValueError where the queue statement is wrong.
    """
    try:
        return _expand(statements, queue, wanted, limit, later)
    finally:
        scripts.reap()


def _expand(
    statements: Sequence[tuple[str, int]], queue: str, wanted: Sequence[str], limit: int, later: str
) -> dict[str, Any]:
    if circle := _loop_while_reading(statements):
        return circle
    commands = "".join(_probed(index, text) for index, (text, _) in enumerate(statements))
    depth = statements[-1][1] if statements else 0
    if depth and _reached(commands, depth) is False:
        return {"reached": False}
    scripts.reap()
    submit = _read(commands + queue)
    failed = scripts.reap()
    if submit is None and (good := _readable(statements)) < len(statements):
        return {"mistake": good, "said": _said(statements, good)}
    expansion = _expansion(submit or htcondor2.Submit(commands + queue), wanted, limit, later)
    return expansion | {"included": failed}


def _probed(index: int, statement: str) -> str:
    """Return a statement; if it is a warning, with a mark that tells whether HTCondor has come to it."""
    says = _SAYS.fullmatch(statement)
    if says is None or says[1].lower() != "warning":
        return statement
    return f"{_WARNING}{index} = {says[3].strip()} \n"


def _loop_while_reading(statements: Sequence[tuple[str, int]]) -> dict[str, Any]:
    """Return the circle of macros that a statement would have HTCondor hang on while it reads."""
    assigned: dict[str, str] = {}
    for text, _ in statements:
        if found := _ASSIGNED.fullmatch(text):
            name = found[1].lower()
            assigned[name] = assigned.get(name, "") + re.sub(rf"(?i)\$\({re.escape(name)}\)", "", found[2])
    if not macros.loop(assigned):  # whichever branches of an `if` are taken
        return {}
    for index, (text, _) in enumerate(statements):
        if index and "$(" in text and _AT_ONCE.match(text):
            above = "".join(text for text, _ in statements[:index]) + "endif\n" * statements[index - 1][1]
            if (submit := _read(above)) and (circle := macros.loop(dict(submit))):
                return {"mistake": index, "loop": circle}
    return {}


def _said(statements: Sequence[tuple[str, int]], index: int) -> str:
    """Return the text of an ``error``, or what an ``include`` or ``use`` names, with its macros expanded."""
    says = _SAYS.fullmatch(statements[index][0])
    if says is None:
        return ""
    depth = statements[index - 1][1] if index else 0
    above = "".join(text for text, _ in statements[:index]) + "endif\n" * depth
    return _expanded(htcondor2.Submit(above), says[3].strip())


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
    if circle := macros.loop(commands, _names_of_variables(submit.getQArgs())):
        return {"loop": circle}
    marks = [name for name in commands if name.lower().startswith(_WARNING.lower())]
    said = [(int(name[len(_WARNING) :]), _expanded_command(submit, name)) for name in marks]
    commands = {name: value for name, value in commands.items() if name not in marks}
    given = _expanded(submit, submit.getQArgs())
    with scripts.items(given) as (arguments, script):
        if script:
            submit.setQArgs(arguments)
        variables, rows = _items(submit, given)
    count, rows = _count(arguments), _sliced(arguments, rows)
    if circle := macros.loop_of_items(commands, variables, rows):
        return {"loop": circle}
    values: list[dict[str, str]] = []
    calls = macros.calls(commands)
    wrong: dict[tuple[str, str, str], str] = {}
    for values_of_job in _jobs(variables, rows, count):
        if len(values) >= limit:
            break
        values.append(_values(submit, commands, wanted, values_of_job, later))
        for call in calls:
            if call not in wrong and (why := macros.wrong(*call[1:], lambda text: _expanded(submit, text))):
                wrong[call] = why
        if not calls and not _changes(commands, wanted):
            break
    return {
        "commands": commands,
        "variables": variables,
        "rows": rows,
        "n_jobs": count * len(rows),
        "values": list({tuple(each.items()): each for each in values}.values()),
        "wrong_calls": [(*call, why) for call, why in wrong.items()],
        "warnings": said,
        "script": script,
    }


def complete(submit: Any) -> None:
    """Add what condor_submit knows and the bindings do not: without a user, a group would be ``"physics."``."""
    names = {name.lower() for name in submit}
    if names & {"accounting_group", "accountinggroup", "nice_user"} and not names & _GROUP_USER:
        submit["accounting_group_user"] = pwd.getpwuid(os.geteuid()).pw_name


def submit(address: str, description: Any) -> Any:
    """Submit a block as it was read."""
    try:
        return _schedd_submit(address, description._handle, 0, False)
    finally:
        scripts.reap()


def rehearse(address: str, description: Any) -> str:
    """Have HTCondor make the ads of a block's first jobs; return why it cannot, or an empty text.

    They go to the schedd, for the bindings make none without it, and an attribute that it does not take keeps it
    from accepting them: of this nothing stays but a number that no cluster gets.
    """
    description["CondormapLook"] = f'ifThenElse($(Process) < {_LOOKED_AT}, "1", "[")'
    description[f"MY.{_ONLY_LOOKING}"] = "$EVAL(CondormapLook)"  # "[" is no expression, and ends it
    for name in ("max_idle", "materialize_max_idle", "max_materialize"):
        if _expanded_command(description, name).strip().isdigit():  # or the mistake is there
            description[name] = ""  # so that a factory's jobs are made here too
    try:
        result = submit(address, description)
    except htcondor2.HTCondorException as error:
        if _ONLY_LOOKING in str(error) or str(error).startswith("Unable to commit"):
            return ""
        if why := no_ad(error):
            return why
        raise
    # A schedd that takes any attribute.
    htcondor2.Schedd({"MyAddress": address}).act(htcondor2.JobAction.Remove, [str(result.cluster())])
    return ""


def no_ad(error: Exception) -> str:
    """Return why HTCondor could make no ad of a job, before it committed any; empty for other errors."""
    message = str(error)
    return (message.partition("errmsg=")[2] or " ") if message.startswith(_NO_AD) else ""


def _read(text: str) -> Any:
    try:
        return htcondor2.Submit(text)
    except ValueError:
        return None


def _items(submit: Any, given: str) -> tuple[list[str], list[list[str]]]:
    """Return the variables of the queue statement, and their values, before the slice; one empty row for none.

    `given` is the statement's arguments as they were before a program's output took its place.
    """
    try:
        names, text = _submit_itemdata(submit, submit._handle)
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode().rpartition("\n")[2]
        raise ValueError(
            f"{scripts.source(given)} are not UTF-8, the only encoding that HTCondor's bindings take: there is a"
            f" byte {error.object[error.start]:#04x} behind {before!r}. Convert them (iconv -f latin1 -t utf-8)"
        ) from None
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


def _names_of_variables(arguments: str) -> list[str]:
    keyword = _KEYWORD.search(arguments)
    return re.findall(r"[A-Za-z_][\w.]*", arguments[: keyword.start()]) if keyword else []


def _count(arguments: str) -> int:
    keyword = _KEYWORD.search(arguments)
    text = arguments if keyword is None else arguments[: keyword.start()].rstrip()
    text = text.strip() if keyword is None else _VARIABLES.sub("", text).strip()
    if not text:
        return 1
    value = classad2.ExprTree(text).eval()
    if not isinstance(value, int | float) or value < 0:
        raise ValueError(f"the number of jobs is {text}")
    return int(value)  # as HTCondor does


def _sliced(arguments: str, rows: list[list[str]]) -> list[list[str]]:
    keyword = _KEYWORD.search(arguments)
    head = arguments[keyword.end() :].partition("(")[0] if keyword else ""
    found = _SLICE.search(head)
    if found is None:
        return rows
    start, stop, step = (int(part) if part else None for part in found.groups())
    if step is not None and step < 1:
        raise ValueError(f"the slice {found[0]} has a step below 1, which HTCondor does not have")
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
