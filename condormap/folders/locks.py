"""A lock on a folder: one process at a time changes what is in it.

It is an advisory lock on a file (flock, which NFSv4 passes on to the server), and it ends with the processes that
have it: one that is killed leaves none behind.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from ..errors import StorageError, WaitTimeoutError
from .store import storage_errors

LOCK_FILE = "lock"
_WAIT = 120.0  # seconds; a submit takes up to 60 and more
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


@contextlib.contextmanager
def locked(folder: Path, *, timeout: float = _WAIT) -> Iterator[int]:
    """Hold the lock of a folder while the block runs.

    Parameters
    ----------
    folder : Path
        The folder.
    timeout : float
        Seconds to wait for it at most.

    Yields
    ------
    int
        The lock's file descriptor: a process that gets it has the lock too, and keeps it when this one is killed.

    Raises
    ------
    WaitTimeoutError
        Another process has it.
    StorageError
        There is no such folder (any more), or its file system has no locks.
    """
    until = time.monotonic() + timeout
    while (descriptor := _take(folder)) is None:
        if time.monotonic() >= until:
            raise WaitTimeoutError(
                f"{folder} is in use by {_holder(folder)}, which still had not finished after {timeout:g} s. "
                "Try again, or end that process if it hangs"
            )
        time.sleep(0.01)
    try:
        yield descriptor
    finally:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # a forked process may have a copy of the descriptor
        os.close(descriptor)


def is_locked(folder: Path) -> bool:
    """Tell whether some process holds the lock of a folder; one that is not there has none."""
    if not (folder / LOCK_FILE).exists():
        return False
    try:
        descriptor = _take(folder)
    except StorageError:
        return (folder / LOCK_FILE).exists()
    if descriptor is None:
        return True
    os.close(descriptor)
    return False


def _take(folder: Path) -> int | None:
    """Return the descriptor of the folder's lock; None while another process has it."""
    path = folder / LOCK_FILE
    try:
        with storage_errors(path):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except StorageError as error:
        if error.errno != errno.ENOENT:
            raise
        raise StorageError(f"{folder} is gone: another process has removed it") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), os.stat(path)):
            with contextlib.suppress(OSError):  # for the message only
                os.pwrite(descriptor, f"{os.getpid()} on {os.uname().nodename}\n".ljust(80).encode(), 0)
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass  # another process has it, or had it and removed the folder
    except OSError as error:
        os.close(descriptor)
        if error.errno not in _NO_LOCKS:
            raise
        raise StorageError(
            error.errno,
            "the file system has no file locks (flock), without which two processes could submit the same jobs "
            "twice; set CONDORMAP_HOME to a folder on another one",
            str(path),
        ) from error
    os.close(descriptor)
    return None


def _holder(folder: Path) -> str:
    try:
        return f"process {(folder / LOCK_FILE).read_text().strip()}"
    except OSError:
        return "another process"
