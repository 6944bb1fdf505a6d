"""What went wrong with one item, as an exception: its own, or one of ours that stands for it."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import (
    ItemDiedError,
    ItemError,
    ItemTimeoutError,
    PreflightError,
    RemoteError,
    RemoteTraceback,
)
from ..holds import as_items
from ..in_job.thrown import unpickle_error

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
    error = _original(where, told)
    if told["while"]:
        error.add_note(f"condormap: raised while {told['while']}")
    error.add_note(f"condormap: {where}")
    if told["others"]:
        error.add_note(f"condormap: that job had {', '.join(told['others'])}")
    _note_output(error, told["printed"])
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
        text = f"the worker process {_how(told['exit'])} while it loaded the function"
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
    error = _unpickled(told["pickle"]) or RemoteError(
        f"{where}: {told['summary']} (its exception can't be built again from its pickle: this stands for it)"
    )
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
    how = _how(code)
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


def _how(code: int) -> str:
    """Return how a process ended."""
    return f"was killed by signal {-code} ({_signal_name(-code)})" if code < 0 else f"exited with code {code}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"
