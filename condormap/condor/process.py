"""A child process that answers calls, each with a deadline; started when needed, replaced when lost."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from condormap.condor import wire

_STDERR_KEPT = 4000  # characters of the child's standard error for messages
_REAP = 5.0  # seconds for the kernel to end a process that got SIGKILL

# -P: no current folder on sys.path. The package's own root comes last, for a checkout that is not installed.
_BOOTSTRAP = (
    "import sys; path = list(sys.path); sys.path.append(sys.argv[2]); "
    "from condormap.condor.child import main; main(int(sys.argv[1]), path)"
)


class ChildTimeoutError(Exception):
    """The deadline passed; `waiting` is true when the call never began, for another call was under way."""

    def __init__(self, *, waiting: bool) -> None:
        super().__init__()
        self.waiting = waiting


class ChildLostError(Exception):
    """The child ended while the call was under way; the text is the end of its standard error."""


class _Running:
    """One running child: its process, its socket, the end of its standard error."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        if not sys.executable:
            raise ChildLostError("this interpreter does not know its own path (sys.executable is empty)")
        ours, theirs = socket.socketpair()
        root = Path(__file__).resolve().parents[2]
        command = [sys.executable, "-P", "-c", _BOOTSTRAP, str(theirs.fileno()), str(root)]
        try:
            self.popen = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,  # never written: when it closes, the kernel kills the child
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=dict(environment),
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C in a terminal is for the user's process
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self.sock = ours
        self.tail = ""
        assert self.popen.stderr is not None
        # The child must never block on a full pipe: what does not fit is dropped.
        os.set_blocking(self.popen.stderr.fileno(), False)

    def stderr(self) -> str:
        """Return the end of what the child wrote to its standard error."""
        assert self.popen.stderr is not None
        while chunk := self.popen.stderr.read(65536):
            self.tail = (self.tail + chunk.decode(errors="replace"))[-_STDERR_KEPT:]
        return self.tail.strip()

    def close(self) -> None:
        """Kill the child, reap it, close what is open."""
        self.popen.kill()
        try:
            self.popen.wait(_REAP)
        except subprocess.TimeoutExpired:
            pass  # in an uninterruptible wait of the kernel's; it ends as soon as that does
        self.forget()

    def forget(self) -> None:
        """Close this process's ends."""
        self.sock.close()
        for pipe in (self.popen.stdin, self.popen.stderr):
            if pipe is not None:
                pipe.close()


class Process:
    """Calls to a child, one at a time; safe to use from several threads, and after a fork.

    Parameters
    ----------
    environment : callable or mapping
        The child's environment.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._reset()
        _all.add(self)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._running: _Running | None = None
        self._finalizer: weakref.finalize[Any, Any] | None = None

    def start(self) -> None:
        """Start the child without waiting for it, unless it runs."""
        with self._lock:
            self._start()

    def close(self) -> None:
        """End the child, if there is one. A later call starts another."""
        with self._lock:
            self._stop()

    def call(self, name: str, arguments: Mapping[str, Any], *, until: float) -> tuple[Any, ...]:
        """Return the child's answer to one call.

        Raises
        ------
        ChildTimeoutError
            ``time.monotonic()`` passed `until`; the child was killed if it was busy with this call.
        ChildLostError
            The child ended before it answered.
        """
        if not self._lock.acquire(timeout=max(0.0, until - time.monotonic())):
            raise ChildTimeoutError(waiting=True)
        try:
            running = self._start()
            try:
                wire.send(running.sock, (name, dict(arguments)), until=until)
                reply: tuple[Any, ...] = wire.receive(running.sock, until=until)
            except TimeoutError:
                self._stop()
                raise ChildTimeoutError(waiting=False) from None
            except (EOFError, ConnectionError):
                self._stop()
                raise ChildLostError(running.tail) from None
            except BaseException:  # Ctrl-C: the answer to this call must not be taken for the next one's
                self._stop()
                raise
            return reply
        finally:
            self._lock.release()

    def _start(self) -> _Running:
        if self._running is not None and self._running.popen.poll() is not None:
            self._stop()
        if self._running is None:
            self._running = _Running(self._environment)
            self._finalizer = weakref.finalize(self, self._running.close)
        return self._running

    def _stop(self) -> None:
        if self._finalizer is not None:
            if self._running is not None:
                self._running.stderr()
            self._finalizer()
        self._running = self._finalizer = None

    def _forked(self) -> None:
        if self._running is not None and self._finalizer is not None:
            self._finalizer.detach()
            self._running.popen.returncode = 0  # not ours: nothing to reap, nothing to warn of
            self._running.forget()
        self._reset()


_all: weakref.WeakSet[Process] = weakref.WeakSet()


def _after_fork() -> None:
    for process in list(_all):
        process._forked()


os.register_at_fork(after_in_child=_after_fork)
