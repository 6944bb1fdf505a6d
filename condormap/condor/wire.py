"""Messages between a process and its child: a length, then a pickle, on a socket, with a deadline.

File descriptors may travel with a message: what they are of stays open while the message is on its way, and in the
receiver, and with it a lock. Both ends are the same user and the same code, so pickle is safe here.
(`multiprocessing.Connection` would do the framing too, but its ``send`` and the end of its ``recv`` cannot be
bounded.)
"""

from __future__ import annotations

import pickle
import socket
import struct
import time
from collections.abc import Sequence
from typing import Any

_HEADER = struct.Struct("!Q")


def send(
    sock: socket.socket, message: Any, *, until: float | None = None, descriptors: Sequence[int] = ()
) -> None:
    """Send one message; raise TimeoutError when ``time.monotonic()`` passes `until`."""
    body = pickle.dumps(message, protocol=5)
    data = _HEADER.pack(len(body)) + body
    sock.settimeout(_left(until))
    if descriptors:
        data = data[socket.send_fds(sock, [data], descriptors) :]
    sock.sendall(data)


def receive(sock: socket.socket, *, until: float | None = None) -> Any:
    """Receive one message; EOFError when the other end is gone, TimeoutError when `until` passes."""
    (size,) = _HEADER.unpack(_read(sock, _HEADER.size, until))
    return pickle.loads(_read(sock, size, until))


def receive_with_descriptors(sock: socket.socket) -> tuple[Any, list[int]]:
    """Receive one message and the descriptors that came with it, which are the caller's to close."""
    sock.settimeout(None)
    head, descriptors, _, _ = socket.recv_fds(sock, _HEADER.size, 8, socket.MSG_CMSG_CLOEXEC)
    if not head:
        raise EOFError
    (size,) = _HEADER.unpack(head + _read(sock, _HEADER.size - len(head), None))
    return pickle.loads(_read(sock, size, None)), list(descriptors)


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
