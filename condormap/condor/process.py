"""A child process that answers calls, each with a deadline; started when needed, replaced when lost."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from condormap.condor import wire

_STDERR_KEPT = 4000  # characters of the child's standard error that are kept for messages
_REAP = 5.0  # seconds that the kernel gets to end a process that was sent SIGKILL

# -P: the current folder is not on sys.path. The package's own root is put last, for a checkout that is not
# installed, and what `sys.path` was before that is kept for `Condor.importable`.
_BOOTSTRAP = (
    "import sys; path = list(sys.path); sys.path.append(sys.argv[2]); "
    "from condormap.condor.child import main; main(int(sys.argv[1]), path)"
)


class ChildTimeoutError(Exception):
    """The deadline passed. `waiting`: the call never began, for other threads' calls were under way."""

    def __init__(self, *, waiting: bool) -> None:
        super().__init__()
        self.waiting = waiting


class ChildStartError(Exception):
    """No child could be started; the call was not made."""


class ChildLostError(Exception):
    """The child ended while the call was under way; the text is the end of its standard error."""


class Process:
    """Calls to a child, one at a time; for use from several threads, and in a forked process too.

    Parameters
    ----------
    environment : callable
        Returns the child's environment; called whenever a child is started.
    """

    def __init__(self, environment: Callable[[], Mapping[str, str]]) -> None:
        self._environment = environment
        self._lock = threading.Lock()
        self._running: _Running | None = None
        self._finalizer: Callable[[], object] | None = None
        _all.add(self)
        _watch_forks()

    @property
    def pid(self) -> int | None:
        """The child's process id, or None while there is none."""
        running = self._running
        return None if running is None else running.popen.pid

    def start(self) -> None:
        """Start the child without waiting for it, unless it runs."""
        with self._lock:
            self._start()

    def close(self) -> None:
        """End the child, if there is one. A later call starts another."""
        with self._lock:
            self._stop()

    def call(
        self, name: str, arguments: Mapping[str, Any], *, until: float, descriptors: Sequence[int] = ()
    ) -> tuple[str, Any, str]:
        """Return the child's answer to one call: how it ended, the value, what was written to standard error.

        The child has copies of `descriptors` while it is busy with the call.

        Raises
        ------
        ChildStartError
            There is no child, and none could be started.
        ChildTimeoutError
            ``time.monotonic()`` passed `until`. If the child was busy with this call, it was killed.
        ChildLostError
            The child ended before it answered.
        """
        if not self._lock.acquire(timeout=max(0.0, until - time.monotonic())):
            raise ChildTimeoutError(waiting=True)
        try:
            running = self._start()
            running.stderr()
            running.tail = ""
            # Whatever ends this call early, Ctrl-C too: its answer must not be taken for the next call's.
            running.busy = True
            try:
                self._wait_until_ready(running, until)
                wire.send(running.sock, (name, dict(arguments)), until=until, descriptors=descriptors)
                kind, value = wire.receive(running.sock, until=until)
                running.busy = False
            except TimeoutError:
                raise ChildTimeoutError(waiting=False) from None
            except (EOFError, ConnectionError):
                raise ChildLostError(running.stderr()) from None
            finally:
                if running.busy:
                    self._stop()
            return kind, value, running.stderr()
        finally:
            self._lock.release()

    def _wait_until_ready(self, running: _Running, until: float) -> None:
        """Wait until a new child has said that it takes calls."""
        if running.ready:
            return
        try:
            wire.receive(running.sock, until=until)
        except TimeoutError:
            raise ChildTimeoutError(waiting=True) from None
        except (EOFError, ConnectionError):
            raise ChildStartError(running.stderr() or "it ended at once") from None
        running.ready = True

    def _start(self) -> _Running:
        if self._running is not None and (self._running.busy or self._running.popen.poll() is not None):
            self._stop()  # a second Ctrl-C kept it from being stopped, or it was killed while nobody looked
        if self._running is None:
            self._running = running = _Running(self._environment())
            self._finalizer = weakref.finalize(self, running.close)  # at the interpreter's exit too
        return self._running

    def _stop(self) -> None:
        if self._finalizer is not None:
            self._finalizer()
        self._running = self._finalizer = None

    def _forked(self) -> None:
        """Forget the parent's child and the parent's lock; the forked process starts a child of its own."""
        if self._running is not None and isinstance(self._finalizer, weakref.finalize):
            self._finalizer.detach()
            self._running.popen.returncode = 0  # not ours: nothing to reap, nothing to warn of
            self._running.forget()
        self._lock = threading.Lock()
        self._running = self._finalizer = None


class _Running:
    """One running child: its process, its socket, the end of its standard error."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        ours, theirs = socket.socketpair()
        root = Path(__file__).resolve().parents[2]
        try:
            self.popen = subprocess.Popen(
                [sys.executable, "-P", "-c", _BOOTSTRAP, str(theirs.fileno()), str(root)],
                stdin=subprocess.PIPE,  # never written: when it closes, the kernel kills the child
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                bufsize=0,
                env=dict(environment),
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C in a terminal is for the user's process only
            )
        except OSError as error:
            ours.close()
            raise ChildStartError(f"{sys.executable or 'sys.executable is empty'}: {error}") from error
        finally:
            theirs.close()
        assert self.popen.stderr is not None
        os.set_blocking(self.popen.stderr.fileno(), False)
        self.sock = ours
        self.tail = ""
        self.busy = self.ready = False

    def stderr(self) -> str:
        """Return the end of what the child has written to its standard error since `tail` was emptied."""
        assert self.popen.stderr is not None
        while chunk := self.popen.stderr.read(65536):
            self.tail = (self.tail + chunk.decode(errors="replace"))[-_STDERR_KEPT:]
        return self.tail.strip()

    def close(self) -> None:
        """Kill the child and what it runs, reap it, close this process's ends."""
        if self.popen.returncode is None:  # not reaped, so its id, which is that of its group, is no other's
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.popen.pid, signal.SIGKILL)
        # One that is uninterruptible in the kernel dies as soon as it no longer is.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.popen.wait(_REAP)
        self.forget()

    def forget(self) -> None:
        """Close this process's ends."""
        self.sock.close()
        for pipe in (self.popen.stdin, self.popen.stderr):
            if pipe is not None:
                pipe.close()


_all: weakref.WeakSet[Process] = weakref.WeakSet()


@functools.cache
def _watch_forks() -> None:
    os.register_at_fork(after_in_child=_after_fork)


def _after_fork() -> None:
    for process in list(_all):
        process._forked()
