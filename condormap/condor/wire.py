"""Messages between a process and its child: a length, then a pickle, on a socket, with a deadline.

Both ends are the same user and the same code, so pickle is safe here. (`multiprocessing.Connection` would do
the framing too, but its ``send`` and the end of its ``recv`` cannot be bounded.)
"""

from __future__ import annotations

import pickle
import socket
import struct
import time
from typing import Any

_HEADER = struct.Struct("!Q")


def send(sock: socket.socket, message: Any, *, until: float | None = None) -> None:
    """Send one message; raise TimeoutError when ``time.monotonic()`` passes `until`."""
    body = pickle.dumps(message, protocol=5)
    sock.settimeout(_left(until))
    sock.sendall(_HEADER.pack(len(body)) + body)


def receive(sock: socket.socket, *, until: float | None = None) -> Any:
    """Receive one message; EOFError when the other end is gone, TimeoutError when `until` passes."""
    (size,) = _HEADER.unpack(_read(sock, _HEADER.size, until))
    return pickle.loads(_read(sock, size, until))


def _read(sock: socket.socket, size: int, until: float | None) -> bytearray:
    buffer = bytearray(size)
    view = memoryview(buffer)
    while view:
        sock.settimeout(_left(until))
        got = sock.recv_into(view)
        if not got:
            raise EOFError
        view = view[got:]
    return buffer


def _left(until: float | None) -> float | None:
    if until is None:
        return None
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
