"""Functions to pickles that a job can load, and what of theirs, and of the items, travels by value.

What the job can import travels by reference, everything else by value: functions and classes from ``__main__``, a
notebook, or a local module.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import sysconfig
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle

from ..errors import SerializationError, SharedRandomStateWarning
from ..in_job.packed import Buffers, packed_parts, read_packed
from ..in_job.packed import load as load_packed
from ..in_job.payload import FUNCTION_FILE, write_all
from .needs import pickle_function, write_needs

if TYPE_CHECKING:
    from ..condor import Condor

_by_value_lock = threading.Lock()
_in_use: Counter[str] = Counter()  # module -> in how many blocks of `pickled_by_value` it is now
_registered_here: set[str] = set()  # and not by the user
_STANDARD = ("stdlib", "platstdlib", "purelib", "platlib")


def local_modules() -> dict[str, str]:
    """Return the loaded top-level modules that are neither the interpreter's nor in its site-packages.

    Returns
    -------
    dict of str to str
        Module name -> its file. A job may be able to import some of them (an editable install).
    """
    standard = tuple({str(Path(sysconfig.get_path(name)).resolve()) + "/" for name in _STANDARD})
    found = {}
    for name, module in list(sys.modules.items()):
        if "." in name or name in ("__main__", "condormap"):
            continue
        file = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", ())), None)
        if isinstance(file, str) and not str(Path(file).resolve()).startswith(standard):
            found[name] = file
    return found


def modules_by_value(condor: Condor, *, sent: bool) -> list[str]:
    """Return the loaded modules that a job could not import, or would import from elsewhere.

    Parameters
    ----------
    condor : Condor
        The pool.
    sent : bool
        The jobs do not see this machine's files: they find what is installed in Python, and nothing else.
    """
    local = local_modules()
    if sent:
        return list(local)
    found = condor.importable(sorted(local)) if local else {}
    return [name for name, file in local.items() if found.get(name) != file]


@contextlib.contextmanager
def pickled_by_value(names: Iterable[str]) -> Iterator[None]:
    """Pickle functions and classes of these top-level modules by value while the block runs."""
    modules = [sys.modules[name] for name in names if name in sys.modules]
    with _by_value_lock:  # other threads may do so at the same time
        _in_use.update(module.__name__ for module in modules)
        for module in modules:
            if module.__name__ not in cloudpickle.list_registry_pickle_by_value():
                cloudpickle.register_pickle_by_value(module)
                _registered_here.add(module.__name__)
    try:
        yield
    finally:
        with _by_value_lock:
            _in_use.subtract(module.__name__ for module in modules)
            for module in modules:
                if not _in_use[module.__name__] and module.__name__ in _registered_here:
                    cloudpickle.unregister_pickle_by_value(module)
                    _registered_here.remove(module.__name__)


def write_function(folder: Path, function: Callable[..., Any]) -> None:
    """Write the pickled function into `folder`, with the large arrays that it refers to, and what it needs.

    Raises
    ------
    SerializationError
        It can't be pickled.
    """
    buffers = Buffers()
    try:
        data, needs = pickle_function(function, buffers)
    except SharedRandomStateWarning:
        raise  # where warnings are errors
    except Exception as error:
        raise SerializationError(
            f"the function {describe_function(function)} cannot be pickled, so no job can get it: "
            f"{type(error).__name__}: {error}. Nothing was submitted. A lock, an open file, a connection or a "
            "generator that it refers to is the usual reason: create it inside the function."
        ) from error
    with (folder / FUNCTION_FILE).open("wb", buffering=0) as file:
        for part in packed_parts(data, buffers.kept) if buffers.kept else [data]:
            write_all(file, part)
    write_needs(folder, needs)


def read_function(folder: Path) -> Callable[..., Any]:
    """Return the function that `write_function` wrote.

    Raises
    ------
    SerializationError
        It can't be unpickled here.
    """
    try:
        with (folder / FUNCTION_FILE).open("rb", buffering=0) as file:
            function: Callable[..., Any] = load_packed(read_packed(file, os.fstat(file.fileno()).st_size)[0])
    except Exception as error:
        raise SerializationError(
            f"the map's function cannot be unpickled here: {type(error).__name__}: {error}"
        ) from error
    return function


def describe_function(function: Callable[..., Any]) -> str:
    """Return a name for messages: ``module.qualname``, of a partial that of its function, or the repr."""
    if isinstance(function, functools.partial):
        return describe_function(function.func)
    name = getattr(function, "__qualname__", None)
    module = getattr(function, "__module__", None)  # a method of a built-in class has none
    return repr(function) if name is None else f"{module}.{name}" if module else name
