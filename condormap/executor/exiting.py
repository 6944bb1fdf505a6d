"""The interpreter waits at its end for the calls of executors, as it does for those of `concurrent.futures`."""

from __future__ import annotations

import threading
import weakref
from typing import Protocol


class Working(Protocol):
    """What the interpreter waits for."""

    def exit(self) -> None:
        """End as soon as may be."""

    def leave(self) -> None:
        """End now."""

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
    waited_for = list(_waited_for)
    try:
        _ending = True
        for working in waited_for:
            working.exit()
        for working in waited_for:
            working.join()
    except KeyboardInterrupt:  # then the jobs go on, and the program does not
        for working in waited_for:
            working.leave()
        for working in waited_for:
            working.join()
