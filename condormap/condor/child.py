"""The child process: takes calls from a socket, makes them one after the other, answers.

It ends when its parent does, also while a call hangs in HTCondor's C++ code, which holds the GIL: standard input
is a pipe from the parent that never carries a byte, and the kernel is told to send SIGKILL when it closes.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import socket
import sys
from typing import Any

from condormap.condor import wire


def main(descriptor: int, path: list[str]) -> None:
    """Serve calls from the socket `descriptor` until the parent closes it.

    Parameters
    ----------
    descriptor : int
        The child's end of the socket pair.
    path : list of str
        ``sys.path`` as a fresh interpreter has it.
    """
    _die_with_parent()
    sock = socket.socket(fileno=descriptor)
    try:
        from condormap.condor.bindings import Bindings

        bindings = Bindings(path)
    except ImportError as error:
        answer = _refuse(f"{type(error).__name__}: {error}")
    else:
        answer = bindings.answer
    wire.send(
        sock, "ready"
    )  # a child that ends before, as at a mistake in the configuration, has done nothing
    while True:
        try:
            (name, arguments), held = wire.receive_with_descriptors(sock)
            result = answer(name, arguments)
            for each in held:
                os.close(each)
            wire.send(sock, result)
        except (EOFError, ConnectionError):
            return


def _refuse(reason: str) -> Any:
    return lambda name, arguments: ("missing", reason)


def _die_with_parent() -> None:
    os.set_blocking(2, False)  # a full pipe must not block a call: what does not fit is lost
    fcntl.fcntl(0, fcntl.F_SETOWN, -os.getpgrp())  # the group: a script of a job description ends too
    fcntl.fcntl(0, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(0, fcntl.F_SETFL, fcntl.fcntl(0, fcntl.F_GETFL) | os.O_ASYNC)
    if select.select([0], [], [], 0)[0]:  # the parent was gone before the kernel was told
        sys.exit(1)
