"""What becomes, in the job, something of `condormap.in_job`: the job needs no condormap of its own."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any


def in_job(module: str, name: str, *args: Any) -> Any:
    """Return what becomes, in the job, something of a module of `condormap.in_job` in the bundle.

    With arguments, it becomes what that returns of these.
    """
    found = _StandIn(getattr, _StandIn(importlib.import_module, f"condormap_job.{module}"), name)
    return _StandIn(found, *args) if args else found


class _StandIn:
    """Stands for what a function returns in the job."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self._function = function
        self._args = args

    def __repr__(self) -> str:
        return str(self._args[-1])

    def __call__(self, *_: Any) -> None:
        """Be something that can be called, as pickle demands."""

    def __reduce__(self) -> tuple[Any, ...]:
        return self._function, self._args
