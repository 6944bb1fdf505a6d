"""What a plain job has written: its output files and its event log, found by its ad."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from ..errors import StorageError
from .ad import JobAd
from .record import JobRecord

_PAUSE = 0.05  # seconds between two looks at a log that is followed
_FIRST_QUESTION, _LONGEST_INTERVAL = 5.0, 300.0  # seconds between two questions to the schedd meanwhile


def log_path(ad: JobAd) -> Path:
    """Return the path of a job's event log.

    Raises
    ------
    StorageError
        It has none, or the file is not here.
    """
    name = f"job {ad.get('ClusterId')}.{ad.get('ProcId')}"
    if not ad.get("UserLog"):
        raise StorageError(f"{name} has no event log; one that is submitted with `log = FILE` has")
    path = Path(ad.get("Iwd") or "/", ad["UserLog"])
    if not path.is_file():
        raise StorageError(f"the event log of {name} is not here: {path}; it is on the machine of its schedd")
    return path


def output_text(ad: JobAd, attribute: str, *, ended: bool) -> str:
    """Return the text of the file that an attribute (``"Out"``, ``"Err"``) names; see `Job.stdout`."""
    name = str(ad.get(attribute) or "/dev/null")
    if name == "/dev/null":
        return ""
    path = Path(ad.get("Iwd") or "/", name)
    try:
        return path.read_text(errors="replace")
    except FileNotFoundError:
        if not ended:
            return ""
        raise StorageError(
            f"job {ad.get('ClusterId')}.{ad.get('ProcId')} has ended, and {path} is not there: it never ran, the"
            " file was moved, or it is on the machine of its schedd"
        ) from None
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}") from error


class Following:
    """Waits, again and again, for more events of a job, until it has ended or the time is over.

    Parameters
    ----------
    now : callable
        Asks the schedd what is known about the job: its log might never tell of the end. Called ever less often.
    timeout : float or None
        Seconds to follow at most.
    """

    def __init__(self, now: Callable[[], JobRecord], timeout: float | None) -> None:
        started = time.monotonic()
        self._now = now
        self._until = None if timeout is None else started + timeout
        self._interval = _FIRST_QUESTION
        self._ask_at = started + self._interval
        self._ended = False

    def __call__(self) -> bool:
        """Wait a moment; return whether to look at the log again."""
        now = time.monotonic()
        left = float("inf") if self._until is None else self._until - now
        if self._ended or left <= 0:
            return False
        time.sleep(min(_PAUSE, left))
        if now >= self._ask_at:
            self._ended = self._now().ended
            self._interval = min(2 * self._interval, _LONGEST_INTERVAL)
            self._ask_at = now + self._interval
        return True  # after the end once more, for the last events
