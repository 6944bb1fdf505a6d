"""Functions and items to pickles that a job can load.

What the job can import travels by reference, everything else by value: functions and classes from ``__main__``, a
notebook, or a local module.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import pickle
import sys
import sysconfig
import types
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cloudpickle

from .errors import InvalidInputError, SerializationError
from .payload import FUNCTION_FILE, INDEX_FILE, ITEMS_FILE, array_bytes, write_all
from .store import storage_errors

_FLUSH_SIZE = 1 << 20
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


@contextlib.contextmanager
def pickled_by_value(names: Iterable[str]) -> Iterator[None]:
    """Pickle functions and classes of these top-level modules by value while the block runs."""
    modules: list[types.ModuleType] = [sys.modules[name] for name in names if name in sys.modules]
    registered = cloudpickle.list_registry_pickle_by_value()
    modules = [module for module in modules if module.__name__ not in registered]
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)


def write_function(folder: Path, function: Callable[..., Any]) -> None:
    """Write the pickled function into `folder`.

    Raises
    ------
    SerializationError
        It can't be pickled.
    """
    try:
        data = cloudpickle.dumps(function, protocol=5)
    except Exception as error:
        raise SerializationError(
            f"the function {describe_function(function)} cannot be pickled, so no job can get it: "
            f"{type(error).__name__}: {error}. Nothing was submitted. A lock, an open file, a connection or a "
            "generator that it refers to is the usual reason: create it inside the function."
        ) from error
    (folder / FUNCTION_FILE).write_bytes(data)


def write_items(folder: Path, iterables: Sequence[Iterable[Any]], *, strict: bool = False) -> int:
    """Write one pickle for each item into the item store in `folder`; return how many there are.

    Parameters
    ----------
    folder : Path
        Where the store is created.
    iterables : sequence of iterable
        One: its elements are the items. Several: an item is the tuple of their elements, as for `map`.
    strict : bool
        Refuse iterables of different lengths instead of stopping with the shortest.

    Raises
    ------
    SerializationError
        An item can't be pickled.
    InvalidInputError
        `strict`, and the lengths differ.
    StorageError
        The store can't be written. What the iterables raise while they are read comes as it is.
    """
    items = iter(iterables[0]) if len(iterables) == 1 else zip(*iterables, strict=strict)
    ends: array[int] = array("Q")
    buffer = io.BytesIO()
    pickler = cloudpickle.Pickler(buffer, protocol=5)
    dump = super(cloudpickle.Pickler, pickler).dump  # without its wrapper in Python: half the time an item
    forget, position, done = pickler.clear_memo, buffer.tell, 0
    with storage_errors(folder):
        file = (folder / ITEMS_FILE).open("wb", buffering=0)
    with file:
        for item in _unless_ragged(items, strict):
            try:
                dump(item)
            except Exception as error:
                raise SerializationError(
                    f"item {len(ends)}, a {type(item).__qualname__}, cannot be pickled, so no job can get it: "
                    f"{type(error).__name__}: {error}. Nothing was submitted."
                ) from error
            forget()
            size = position()
            ends.append(done + size)
            if size >= _FLUSH_SIZE:
                with storage_errors(folder):
                    write_all(file, buffer.getbuffer())
                buffer.seek(0)
                buffer.truncate()
                done += size
        with storage_errors(folder):
            write_all(file, buffer.getbuffer())
            (folder / INDEX_FILE).write_bytes(array_bytes(ends))
    return len(ends)


def unpickle_item(item: int, data: bytes) -> Any:
    """Return an item from its pickle.

    Raises
    ------
    SerializationError
        It can't be unpickled here.
    """
    try:
        return pickle.loads(data)
    except Exception as error:
        told = f"{type(error).__name__}: {error}"
        raise SerializationError(f"item {item} cannot be unpickled here: {told}") from error


def _unless_ragged(items: Iterator[Any], strict: bool) -> Iterator[Any]:
    """Yield the items; with `strict`, turn the complaint of `zip` into our own."""
    if not strict:
        return items
    return _strict(items)


def _strict(items: Iterator[Any]) -> Iterator[Any]:
    for count in itertools.count():
        try:
            item = next(items)
        except StopIteration:
            return
        except ValueError as error:
            if not str(error).startswith("zip() argument"):
                raise
            raise InvalidInputError(
                f"strict=True, and the iterables have different lengths: {error} (after {count} items). "
                "Nothing was submitted."
            ) from None
        yield item


def describe_function(function: Callable[..., Any]) -> str:
    """Return a name for messages: ``module.qualname``, or the repr."""
    name = getattr(function, "__qualname__", None)
    return f"{getattr(function, '__module__', '?')}.{name}" if name else repr(function)
