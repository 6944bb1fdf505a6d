"""A function that is called once with all results of a map: ``on_complete=``, `CondorMap.set_on_complete`.

::

    complete/
        function.pkl    the function
        value.<n>.pkl   what it returned of the results of n items
        lock            whoever calls it has it locked
"""

from __future__ import annotations

import os
import pickle
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle

from ..errors import InvalidInputError, ReduceError, SerializationError
from ..folders.locks import locked
from ..folders.store import storage_errors

_FOLDER, _FUNCTION = "complete", "function.pkl"


def write_completion(folder: Path, function: Callable[[list[Any]], Any], n_items: int) -> None:
    """Write the function into the folder of a map of so many items.

    Raises
    ------
    SerializationError
        It can't be pickled.
    InvalidInputError
        It can't be called, or another one was called already.
    """
    if not callable(function):
        raise InvalidInputError(
            f"on_complete must be callable, not a {type(function).__name__}: {function!r}"
        )
    try:
        data = cloudpickle.dumps(function, protocol=5)
    except Exception as error:
        raise SerializationError(
            f"the on_complete function {function!r} cannot be pickled: {type(error).__name__}: {error}"
        ) from error
    with storage_errors(folder):
        (folder / _FOLDER).mkdir(exist_ok=True, mode=0o700)
    with locked(folder / _FOLDER):
        if _value_file(folder, n_items).exists():
            raise InvalidInputError(
                "the map's on_complete function was called already, and m.result() has its value"
            )
        _write(folder / _FOLDER / _FUNCTION, data)


def has_completion(folder: Path) -> bool:
    """Tell whether a map has such a function."""
    return (folder / _FOLDER / _FUNCTION).exists()


def complete(folder: Path, n_items: int, results: Callable[[], list[Any]], timeout: float) -> Any:
    """Return the function's value; call it, if no process has done so since items were added.

    Parameters
    ----------
    folder : Path
        The map's folder.
    n_items : int
        How many items it has.
    results : callable
        Returns all results.
    timeout : float
        Seconds to wait for another process that is calling it.

    Raises
    ------
    ReduceError
        The function failed. It is called again when its value is asked for again.
    WaitTimeoutError
        Another process is calling it.
    """
    with locked(folder / _FOLDER, timeout=timeout):
        value_file = _value_file(folder, n_items)
        with storage_errors(value_file):
            data = value_file.read_bytes() if value_file.exists() else None
        if data is not None:
            return pickle.loads(data)
        try:
            value = pickle.loads((folder / _FOLDER / _FUNCTION).read_bytes())(results())
            data = cloudpickle.dumps(value, protocol=5)
        except Exception as error:
            raise ReduceError(
                f"the on_complete function failed, or its value cannot be pickled: {type(error).__name__}: {error}"
                ". All results are kept: m.result() calls it again, m.set_on_complete() takes one that is mended",
                stage="on_complete",
            ) from error
        _write(value_file, data)
        return value


def _value_file(folder: Path, n_items: int) -> Path:
    return folder / _FOLDER / f"value.{n_items}.pkl"


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    with storage_errors(path):
        try:
            temporary.write_bytes(data)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
