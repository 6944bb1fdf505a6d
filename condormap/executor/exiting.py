"""The interpreter waits at its end for the calls of executors, as it does for those of `concurrent.futures`."""

from __future__ import annotations

import threading
import weakref
from typing import Protocol


class Working(Protocol):
    """What the interpreter waits for."""

    def exit(self) -> None:
        """End as soon as may be."""

    def join(self) -> None:
        """Wait for the end."""


_ending = False
_waited_for: weakref.WeakSet[Working] = weakref.WeakSet()


def interpreter_ends() -> bool:
    """Tell whether the interpreter is about to end."""
    return _ending


def wait_at_exit_for(working: Working) -> None:
    """Let the interpreter wait for something, before its threads and its exit handlers end."""
    if not _waited_for:  # twice does no harm
        threading._register_atexit(_exit)  # type: ignore[attr-defined]  # as concurrent.futures does
    _waited_for.add(working)


def _exit() -> None:
    global _ending
    _ending = True
    waited_for = list(_waited_for)
    for working in waited_for:
        working.exit()
    for working in waited_for:
        working.join()
