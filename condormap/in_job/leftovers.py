"""What an item does to its process that the next item must not find. Travels into the job; standard library only.

The items of a job run one after the other in one process, as in a loop: modules, signal handlers, environment
variables, limits and random generators are as the item before left them. But each begins in the job's own folder
and without an alarm that another one set.
"""

from __future__ import annotations

import os
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_FORK, _FOLDER, _TIMER = "fork", "folder", "timer"
_WATCHED = (
    (os, "chdir", _FOLDER),
    (os, "fchdir", _FOLDER),
    (signal, "alarm", _TIMER),
    (signal, "setitimer", _TIMER),
)
_TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
_HIGH = 1000  # few functions that close all descriptors close those from here on


class Leftovers(list[str]):
    """What the current item has done of that kind: empty for most items, and asked about in no time."""

    def __init__(self) -> None:
        super().__init__()
        self._fchdir, self._setitimer = os.fchdir, signal.setitimer
        try:
            self._home = out_of_the_way(os.open(".", os.O_PATH | os.O_DIRECTORY))
        except OSError:
            self._home = -1  # the folder is gone already
        os.register_at_fork(after_in_child=lambda: self.append(_FORK))
        for module, name, what in _WATCHED:
            self._watch(module, name, what)

    def _watch(self, module: Any, name: str, what: str) -> None:
        """Have a function of a module note that it was called."""
        function = getattr(module, name)

        def noting(*args: Any, **kwargs: Any) -> Any:
            self.append(what)
            return function(*args, **kwargs)

        for attribute in ("__name__", "__qualname__", "__module__", "__doc__"):
            setattr(noting, attribute, getattr(function, attribute))
        noting.__module__ = module.__name__
        setattr(module, name, noting)

    def undo(self) -> None:
        """Undo it all; end the process if it is a child that the item forked and that came back."""
        if _FORK in self:
            os._exit(0)
        if _TIMER in self:
            for timer in _TIMERS:
                self._setitimer(timer, 0)
        if _FOLDER in self:
            try:
                self._fchdir(self._home)
            except OSError:
                pass  # there never was one
        self.clear()


def out_of_the_way(descriptor: int) -> int:
    """Return a descriptor moved to where neither a function that closes others nor a new file finds it."""
    import fcntl
    import resource

    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    lowest = _HIGH if limit == resource.RLIM_INFINITY else min(_HIGH, limit - 24)
    try:
        moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, lowest)
    except OSError:
        return descriptor
    os.close(descriptor)
    return moved
