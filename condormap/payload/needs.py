"""Pickling a function, and what its pickle needs of the Python that is to load it."""

from __future__ import annotations

import io
import json
import sys
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle

from ..errors import SharedRandomStateWarning
from ..in_job.packed import Buffers
from ..in_job.preflight import NEEDS_FILE, read_needs

# These come with every job, or with every Python.
_EVERYWHERE = frozenset({"__main__", "builtins", "cloudpickle", "condormap"}) | sys.stdlib_module_names


class FunctionPickler(cloudpickle.Pickler):  # type: ignore[misc]
    """A pickler that notes what it pickles by reference, and so has to be there where it is unpickled.

    Attributes
    ----------
    modules : set of str
        The top-level modules that are referred to, without those that are everywhere.
    has_code : bool
        Whether a function is pickled as its code, which runs in one version of Python.
    """

    def __init__(self, file: io.BytesIO, buffers: Buffers) -> None:
        super().__init__(file, protocol=5, buffer_callback=buffers)
        self.modules: set[str] = set()
        self.has_code = False
        self.generators: list[str] = []

    def reducer_override(self, obj: Any) -> Any:
        """Note an object; what is done with it is for cloudpickle to say, but for the global generators."""
        if (home := _home_of_generator(obj)) is not None:
            return getattr, home
        reduced = super().reducer_override(obj)
        if isinstance(obj, types.FunctionType) and reduced is not NotImplemented:
            self.has_code = True
        elif isinstance(obj, types.ModuleType):
            self._note(obj.__name__)
        elif reduced is NotImplemented:
            self._note(getattr(obj, "__module__", None) or type(obj).__module__)
            if _is_generator(obj):
                self.generators.append(f"{type(obj).__module__}.{type(obj).__qualname__}")
        return reduced

    def _note(self, module: object) -> None:
        name = module.partition(".")[0] if isinstance(module, str) else ""
        if name not in _EVERYWHERE and name in sys.modules:
            self.modules.add(name)

    def needs(self) -> dict[str, Any]:
        """Return what the pickle needs, as JSON values; see `condormap.in_job.preflight`."""
        names = {*self.modules, "cloudpickle"} if self.has_code else self.modules
        versions = {name: getattr(sys.modules[name], "__version__", None) for name in sorted(names)}
        return {
            "python": list(sys.version_info[:2]) if self.has_code else None,
            "modules": {name: text if isinstance(text, str) else "" for name, text in versions.items()},
        }


def pickle_function(function: Callable[..., Any], buffers: Buffers) -> tuple[bytes, dict[str, Any]]:
    """Return the pickle of a function without its large buffers, and what it needs.

    Raises whatever pickling it does.
    """
    file = io.BytesIO()
    pickler = FunctionPickler(file, buffers)
    pickler.dump(function)
    if pickler.generators:
        warnings.warn(
            f"the function refers to a random generator ({pickler.generators[0]}), of which every job gets a copy "
            "in the state that it has now: all jobs will draw the same numbers. Make it inside of the function, "
            "from a seed that each item has: numpy.random.default_rng([seed, i])",
            SharedRandomStateWarning,
            stacklevel=6,
        )
    return file.getvalue(), pickler.needs()


def write_needs(folder: Path, needs: dict[str, Any]) -> None:
    """Write what a function needs beside it."""
    (folder / NEEDS_FILE).write_text(json.dumps(needs))


def note_code(folder: Path) -> None:
    """Note that what else lies beside the function is code too, which runs in this version of Python only."""
    needs = read_needs(str(folder))
    if needs["python"] is None:
        write_needs(folder, {**needs, "python": list(sys.version_info[:2])})


def _home_of_generator(obj: Any) -> tuple[Any, str] | None:
    """Return where one of the global random generators is: ``from random import random`` refers to one.

    By value all jobs would get it in one state. By reference each has its own, seeded by its operating system.
    """
    for module, name in (("random", "_inst"), ("numpy.random.mtrand", "_rand")):
        home = sys.modules.get(module)
        if home is not None and obj is getattr(home, name, None):
            return home, name
    return None


def _is_generator(obj: Any) -> bool:
    of = type(obj)
    if of.__module__.startswith("numpy.random"):
        return of.__name__ in ("Generator", "RandomState")
    return of.__module__ == "random" and of.__name__ == "Random"
