"""What went wrong with one item, as an exception: its own, or one of ours that stands for it."""

from __future__ import annotations

import os
import shlex
import signal
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import (
    CommandError,
    ItemDiedError,
    ItemError,
    ItemTimeoutError,
    MissingOutputError,
    PreflightError,
    RemoteError,
    RemoteTraceback,
)
from ..holds import as_items
from ..in_job.outcome import Outcome
from ..in_job.thrown import unpickle_error

_TAIL = 2000  # characters of standard error in a message
_PREFLIGHT_ADVICE = (
    "Nothing was computed there. Give the jobs the Python and the modules that the function needs (environment=), "
    "or machines that have them (requirements=), and m.retry()"
)


def raised(where: str, told: Mapping[str, Any]) -> BaseException:
    """Return the exception that an item raised, with the remote traceback as cause.

    Parameters
    ----------
    where : str
        The item, its job, the machine.
    told : mapping
        What `condormap.in_job.thrown.describe` said of it.
    """
    if told.get("command") is not None:  # what older runners wrote has none
        return failed_command(where, told["command"])
    error = _original(where, told)
    if told["while"]:
        error.add_note(f"condormap: raised while {told['while']}")
    error.add_note(f"condormap: {where}")
    if told["others"]:
        error.add_note(f"condormap: that job had {', '.join(told['others'])}")
    _note_output(error, told["printed"])
    return error


def failed_command(where: str, told: Mapping[str, Any]) -> CommandError:
    """Return the error of an executable that failed.

    Parameters
    ----------
    where : str
        The item, its job, the machine.
    told : mapping
        What `condormap.in_job.command.CommandFailed` said.
    """
    outcome = Outcome(*told["outcome"])
    command, stderr = shlex.join(outcome.command), outcome.stderr.strip()[-_TAIL:]
    if told["missing"]:
        of: type[CommandError] = MissingOutputError
        text = (
            f"`{command}` succeeded, but did not write {', '.join(told['missing'])} (outtmpl=) in its folder"
        )
    else:
        of = CommandError
        text = f"`{command}` {how_ended(outcome.exit_code)}"
    error = of(
        f"{where}: {told['start'] or text}"
        + (f". The end of its standard error:\n{stderr}" if stderr else ""),
        outcome=outcome,
    )
    if outcome.exit_code == -signal.SIGKILL:
        error.add_note("condormap: the kernel kills so when memory runs out: ask for more with memory=")
    for word in outcome.command[1:]:
        if word not in told["inputs"] and os.path.exists(word):
            error.add_note(
                f"condormap: {word!r} is a file here, but an item runs in a folder of its own: given as "
                f"Path({word!r}), the file is there too"
            )
    if not stderr and (stdout := outcome.stdout.strip()):
        error.add_note(f"condormap: the end of its standard output:\n{stdout[-_TAIL:]}")
    for path in outcome.outputs.values():
        error.add_note(f"condormap: what it had written is kept: {path}")
    return error


def unloadable(where: str, told: Mapping[str, Any], job: str, items: Sequence[int]) -> PreflightError:
    """Return the error of a job that could not load the function.

    Parameters
    ----------
    where : str
        The job, the machine.
    told : mapping
        What its worker or its supervisor said.
    job : str
        The job's id.
    items : sequence of int
        What it was to compute.
    """
    if "python" in told:
        wanted = ".".join(map(str, told["python"]))
        text = f"the function is code of Python {wanted}, which {told['executable']} cannot run"
    elif "exit" in told:
        text = f"the worker process {how_ended(told['exit'])} while it loaded the function"
        text += f". The end of its standard error:\n{told['printed'][1]}" if told["printed"][1] else ""
    else:
        what = told["while"].rpartition(" ")[2]  # unpickling the function, loading the reducer
        text = f"the {what} cannot be loaded there: {told['summary']}"
        text += f". It has {', '.join(told['others'])}" if told["others"] else ""
    error = PreflightError(f"{where}: {text}. {_PREFLIGHT_ADVICE}", job=job, items=as_items(items))
    if "pickle" in told:
        error.__cause__ = _original(where, told)
    return error


def _original(where: str, told: Mapping[str, Any]) -> BaseException:
    """Return the exception that was raised, or one that stands for it, with the remote traceback as cause."""
    error = _unpickled(told["pickle"])
    if error is None:  # an exception may be false
        stands = "its exception can't be built again from its pickle: this stands for it"
        error = RemoteError(f"{where}: {told['summary']} ({stands})")
    error.__cause__ = RemoteTraceback(told["traceback"])
    return error


def _unpickled(data: bytes | None) -> BaseException | None:
    if data is None:
        return None
    try:
        return unpickle_error(data)
    except Exception:
        return None


def _note_output(error: BaseException, printed: Sequence[str]) -> None:
    """Add notes with the end of what an item wrote to standard output and standard error."""
    for stream, text in zip(("output", "error"), printed, strict=True):
        if text:
            error.add_note(f"condormap: the end of its standard {stream}:\n{text}")


def died(where: str, told: Mapping[str, Any]) -> ItemError:
    """Return the error of an item that did not outlive its computation."""
    code, (out, err) = told["exit"], told["printed"]
    how = how_ended(code)
    of: type[ItemError] = ItemDiedError
    if told["limit"] is not None:
        of = ItemTimeoutError
        text = f"it took longer than item_timeout={told['limit']:g} allows, so its process was killed"
    elif told["storing"]:
        text = f"the worker process {how} because it could not hand over the outcome of this item"
    else:
        text = f"the worker process {how} while it "
        text += "loaded the function" if told["loading"] else "computed this item"
        if code == -signal.SIGKILL:
            text += "; the kernel does so when memory runs out: ask for more with memory="
    if err:
        text += f". The end of its standard error:\n{err}"
    error = of(f"{where}: {text}")
    if told["deaths"] > 1:
        error.add_note(f"condormap: it was tried {told['deaths']} times")
    _note_output(error, (out, ""))
    return error


def how_ended(code: int) -> str:
    """Return how a process ended."""
    return f"was killed by signal {-code} ({_signal_name(-code)})" if code < 0 else f"exited with code {code}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"
