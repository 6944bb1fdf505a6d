"""Calls to pickles: what an executor's map has as function and items."""

from __future__ import annotations

import functools
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle

from ..errors import SerializationError
from ..in_job.packed import Buffers
from ..payload.serialize import describe_function
from ..payload.stand_in import in_job

if TYPE_CHECKING:
    from .shared import SharedBuffers

#: What an executor's file of cancelled calls is called, in the folder `OWN` of its map.
CANCELLED_FILE = "cancelled"
OWN = "executor"


class CallerInJob:
    """Becomes, in the job, the `Caller` of `condormap.in_job.calls`; the job needs no condormap of its own.

    Parameters
    ----------
    folder : Path
        The map's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._cancelled = folder / OWN / CANCELLED_FILE

    def __call__(self, *_: Any) -> None:
        """Be a function, as which it is pickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return in_job("calls", "Caller"), (str(self._cancelled),)


class PickledCall:
    """A call that is pickled already; unpickled, it is the triple (function, arguments, keyword arguments).

    Parameters
    ----------
    function : callable
        What is called.
    args, kwargs : tuple, mapping
        With what.
    shared : SharedBuffers or None
        What takes its large arrays; None where they travel with the call.

    Raises
    ------
    SerializationError
        It can't be pickled.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        shared: SharedBuffers | None = None,
    ) -> None:
        buffers = Buffers()
        try:
            self._data = cloudpickle.dumps((function, args, kwargs), protocol=5, buffer_callback=buffers)
        except Exception as error:
            raise SerializationError(
                f"the call of {describe_function(function)} cannot be pickled, so no job can get it: "
                f"{type(error).__name__}: {error}. A lock, an open file, a connection or a generator that it "
                "refers to is the usual reason: create it inside the function."
            ) from error
        self._buffers: list[Any] = (
            [pickle.PickleBuffer(view) for view in buffers.kept]
            if shared is None
            else shared.put(buffers.kept)
        )

    def __reduce__(self) -> tuple[Any, ...]:
        if not self._buffers:
            return pickle.loads, (self._data,)
        return functools.partial(pickle.loads, buffers=self._buffers), (self._data,)
