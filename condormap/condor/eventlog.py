"""Reading one job event log in the child: from a byte offset, without waiting, noticing damage."""

from __future__ import annotations

import os
import re
from typing import Any

import htcondor2

_END = b"...\n"
_HEAD = re.compile(rb"^\d{3} \(-?\d+\.-?\d+\.-?\d+\) ", re.MULTILINE)


class EventLog:
    """A reader that stays open between calls.

    Parameters
    ----------
    path : str
        The log; it must exist.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._reader: Any = None
        self._offset = -1
        self._identity: tuple[int, int] | None = None

    def read(self, offset: int, limit: int) -> tuple[str, int, str | None]:
        """Return a JSON list of the events after `offset`, the offset behind them, and what is wrong."""
        status = os.stat(self._path)
        identity = (status.st_dev, status.st_ino)
        damaged = None
        if self._identity not in (None, identity):
            damaged = "the file was replaced by another"
            self._reader = None
        self._identity = identity
        if status.st_size < offset:
            return "[]", offset, f"the file is shorter ({status.st_size} bytes) than what was read of it"
        if status.st_size == offset:
            return "[]", offset, damaged
        if self._reader is None or self._offset != offset:
            self._reader = _open(self._path, offset)
        texts: list[str] = []
        reader = self._reader.events(0)
        for event in reader:
            texts.append(event._data.printJson())
            if len(texts) >= limit:
                break
        self._offset = reader.__getstate__()[1]
        return "[" + ",".join(texts) + "]", self._offset, damaged


def _open(path: str, offset: int) -> Any:
    reader = htcondor2.JobEventLog.__new__(htcondor2.JobEventLog)
    reader.__setstate__(({"_deadline": 0, "_filename": path}, offset))
    return reader
