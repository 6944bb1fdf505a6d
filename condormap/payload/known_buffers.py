"""Large buffers that were met before: those of an array that many calls have as an argument."""

from __future__ import annotations

import contextlib
import weakref
from typing import Any


class KnownBuffers:
    """What became of buffers, by the object whose whole memory each is."""

    def __init__(self) -> None:
        # By its identity, which another object may have when that is gone.
        self._known: dict[int, tuple[weakref.ref[Any], Any]] = {}

    def get(self, view: memoryview) -> Any:
        """Return what became of a buffer, None where it is new."""
        owner = _owner(view)
        known = self._known.get(id(owner))
        return known[1] if known is not None and owner is not None and known[0]() is owner else None

    def note(self, view: memoryview, value: object) -> None:
        """Take note of what became of a buffer."""
        owner = _owner(view)
        if owner is not None:
            with contextlib.suppress(TypeError):  # of a type that has no weak references
                self._known[id(owner)] = weakref.ref(owner), value


def _owner(view: memoryview) -> object:
    """Return the object whose whole memory this is; None where it is a part of it."""
    owner: object = view
    while isinstance(owner, memoryview):
        owner = owner.obj
    try:
        return owner if memoryview(owner).nbytes == view.nbytes else None  # type: ignore[arg-type]
    except (TypeError, ValueError, BufferError):
        return None
