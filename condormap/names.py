"""The package's public names as attributes of the function `condormap`."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class WithNames(Generic[P, R]):
    """A function that also has the package's public names, each loaded when it is first used.

    ``from condormap import condormap`` hides the package behind its function: ``condormap.load`` works either way.

    Parameters
    ----------
    function : callable
        The function.
    """

    def __init__(self, function: Callable[P, R]) -> None:
        self._function = function
        functools.update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function."""
        return self._function(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        package = importlib.import_module(__package__)
        if name not in package.__all__:
            raise AttributeError(f"function {self.__name__!r} has no attribute {name!r}", name=name, obj=self)
        return getattr(package, name)

    def __dir__(self) -> list[str]:
        package = importlib.import_module(__package__)
        return sorted({*super().__dir__(), *package.__all__})

    def __repr__(self) -> str:
        return f"<function {self.__module__}.{self.__qualname__}>"

    def __reduce__(self) -> str:
        return str(self.__qualname__)  # as a function: by its name
