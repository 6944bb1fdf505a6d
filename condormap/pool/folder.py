"""The folder of a personal pool: what has to be true of it, and the lock that says whether a pool runs there."""

from __future__ import annotations

import fcntl
import json
import os
import time
from pathlib import Path
from typing import Any

from condormap.errors import PoolStartError

#: The pool's HTCondor configuration; what the running pool was given; whether it takes jobs.
CONFIG_FILE, STATE_FILE, READY_FILE = "condor_config", "pool.json", "ready"

_LOCK_FILE = "pool.lock"

#: The daemons add up to 50 bytes to the folder's path, and the kernel takes paths of 4095.
LONGEST_PATH = 1024


class FolderLock:
    """A lock on a pool's folder. A child that inherits `fd` holds it too; the kernel releases it with the last."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / _LOCK_FILE
        self.fd = -1

    def take(self, *, patience: float = 0.0) -> bool:
        """Take the lock, trying for `patience` seconds; return whether it is ours. No folder: nothing to lock."""
        if not self._file.parent.is_dir():
            return True
        fd = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() < deadline:
                    time.sleep(0.01)
                    continue
                os.close(fd)
                return False
            self.fd = fd
            return True

    def release(self) -> None:
        """Give up our hold of the lock."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def held(self) -> bool:
        """Return whether somebody holds the lock."""
        try:
            fd = os.open(self._file, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        return False


def had_pool(folder: Path) -> bool:
    """Tell whether a personal pool runs in the folder, or once did."""
    return (folder / _LOCK_FILE).exists()


def read_state(folder: Path) -> dict[str, Any] | None:
    """Return what the pool that runs in the folder was given, and its process ("pid"); None where none runs."""
    if not FolderLock(folder).held():
        return None
    try:
        state: dict[str, Any] = json.loads((folder / STATE_FILE).read_text())
    except (OSError, ValueError):  # it is being started
        return None
    return state


def prepare(folder: Path) -> None:
    """Create a pool's folder, for this user's eyes only.

    Raises
    ------
    PoolStartError
        The folder cannot be used: unwritable, somebody else's, or a path that HTCondor could not take.
    """
    text = str(folder)
    if any(sign in text for sign in "$\"'\\\n") or len(os.fsencode(text)) > LONGEST_PATH or "," in text:
        raise PoolStartError(
            f"HTCondor's configuration cannot name the folder {text!r}: a comma, a quote, a backslash, a dollar "
            f"sign or a line break in it, or more than {LONGEST_PATH} bytes.\nChoose another folder for the pool."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name in ("log", "spool", "execute", "lock", "run", "security"):
            (folder / name).mkdir(exist_ok=True, mode=0o700)
        if folder.stat().st_uid != os.geteuid():
            raise PoolStartError(
                f"The folder {folder} is another user's.\nChoose another folder for the pool."
            )
        folder.chmod(0o700)
    except OSError as error:
        raise PoolStartError(
            f"The pool's folder {folder} cannot be made or written: {error.strerror}.\n"
            "Choose another folder, or mend its permissions."
        ) from error
