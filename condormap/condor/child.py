"""The child process: takes calls from a socket, makes them one after the other, answers.

It ends when its parent does, also while a call hangs in HTCondor's C++ code, which holds the GIL: standard input
is a pipe to the parent that never carries a byte, and the kernel is told to send SIGKILL when its other end closes.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import socket
import sys
import traceback
from typing import Any

from condormap.condor import wire


def main(descriptor: int, path: list[str]) -> None:
    """Serve calls from the socket `descriptor` until the parent closes it; `path` is the fresh ``sys.path``."""
    _die_with_parent()
    sock = socket.socket(fileno=descriptor)
    try:
        from condormap.condor import bindings

        server: Any = bindings.Bindings(path)
    except ImportError as error:
        server = None
        missing = f"{type(error).__name__}: {error}"
    while True:
        try:
            name, arguments = wire.receive(sock)
        except (EOFError, ConnectionError):
            return
        reply: tuple[Any, ...]
        if server is None:
            reply = ("missing", missing)
        else:
            try:
                reply = ("ok", getattr(server, name)(**arguments))
            except bindings.Refusal as refusal:
                reply = (refusal.kind, str(refusal))
            except bindings.HTCondorException as error:
                reply = ("condor", str(error))
            except Exception:
                reply = ("bug", traceback.format_exc())
        try:
            wire.send(sock, reply)
        except (BrokenPipeError, ConnectionError):
            return


def _die_with_parent() -> None:
    fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(0, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(0, fcntl.F_SETFL, fcntl.fcntl(0, fcntl.F_GETFL) | os.O_ASYNC)
    if select.select([0], [], [], 0)[0]:  # the parent was gone before the kernel was told
        sys.exit(1)
