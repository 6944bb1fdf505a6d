"""What travels of an exception. Imported in a job when an item fails; standard library only."""

from __future__ import annotations

import pickle
import traceback

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LONGEST = 50_000  # characters of a traceback, at its beginning and at its end


def describe(
    error: BaseException, while_doing: str = "", printed: tuple[str, str] = ("", "")
) -> dict[str, Any]:
    """Return what travels of an exception: the object if it can be pickled, and its traceback as text.

    Parameters
    ----------
    error : BaseException
        The exception.
    while_doing : str
        What was done when it was raised; empty if the function was called.
    printed : tuple of str
        The ends of standard output and error then.
    """
    of = type(error)
    name = f"{of.__module__}.{of.__qualname__}"
    try:
        trace = error.__traceback__
        if trace is not None and not while_doing:
            trace = trace.tb_next  # without the worker's own frame
        text = "".join(traceback.format_exception(of, error, trace))
        summary = "".join(traceback.format_exception_only(of, error)).strip()
    except BaseException as failure:  # whatever it made of itself
        text = summary = f"{name} (it cannot be shown: {type(failure).__name__})"
    command = vars(error)["told"] if name == "condormap_job.command.CommandFailed" else None
    return {
        "type": name,
        "summary": _shortened(summary),
        "traceback": _shortened(text),
        "while": while_doing,
        "printed": printed,
        "pickle": pickle_error(error) if command is None else None,
        "command": command,
    }


def _shortened(text: str) -> str:
    if len(text) <= 2 * _LONGEST:
        return text
    return f"{text[:_LONGEST]}\n[... {len(text) - 2 * _LONGEST} characters ...]\n{text[-_LONGEST:]}"


def pickle_error(error: BaseException) -> bytes | None:
    """Return the pickle of an exception, or of its parts, that `unpickle_error` can read; else None."""
    for whole_or_parts in (error, (type(error), error.args, vars(error))):
        for dumps in (pickle.dumps, _dumps_by_value):
            try:
                data = dumps(whole_or_parts)
                if unpickle_error(data) is not None:
                    return data
            except BaseException:
                continue
    return None


def unpickle_error(data: bytes) -> BaseException | None:
    """Return the exception: by its own constructor, or, where its args do not fit that, without.

    Raises whatever unpickling it does.
    """
    error = pickle.loads(data)
    if isinstance(error, tuple):
        of, args, attributes = error
        error = of.__new__(of, *args)
        vars(error).update(attributes)
    return error if isinstance(error, BaseException) else None


def _dumps_by_value(value: Any) -> bytes:
    import cloudpickle

    return bytes(cloudpickle.dumps(value))
