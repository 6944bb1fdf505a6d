"""Reading job event logs in the child: from a byte offset, never waiting, noticing damage.

The bindings take garbage for the end of the log, and let an event without its end swallow the next one. So the
events that they give are counted against the file's own bytes.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections import OrderedDict
from typing import Any

import htcondor2

_END = b"\n...\n"
_HEAD = re.compile(rb"^\d{3} \(-?\d+\.-?\d+\.-?\d+\) ", re.MULTILINE)
_CHUNK = 8_000_000  # bytes that are looked at in one go; an event has 200 to 1,000
_OPEN_LOGS = 32  # readers that stay open, each a file descriptor


class EventLogs:
    """The logs that are being read; the ones read last stay open."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, _EventLog] = OrderedDict()

    def read(self, path: str, offset: int, limit: int) -> tuple[str, int, str | None]:
        """Return the events of `path` after `offset`, as `_EventLog.read` does."""
        log = self._open.pop(path, None) or _EventLog(path)
        answer = log.read(offset, limit)
        self._open[path] = log
        if len(self._open) > _OPEN_LOGS:
            self._open.popitem(last=False)[1].close()
        return answer


class _EventLog:
    def __init__(self, path: str) -> None:
        self._path = path
        self._reader: Any = None
        self._offset = -1
        self._file: tuple[int, int] | None = None

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
        self._reader = None

    def read(self, offset: int, limit: int) -> tuple[str, int, str | None]:
        """Return a JSON list of at most `limit` events, the offset behind them, and what is wrong or None."""
        status = os.stat(self._path)
        file = (status.st_dev, status.st_ino)
        replaced = self._file not in (None, file)
        if replaced:
            self.close()
        self._file = file
        if status.st_size < offset:
            self.close()
            return "[]", offset, f"it has {status.st_size} bytes, and {offset} bytes of it had been read"
        damaged = ["it was replaced by another file"] if replaced else []
        if self._offset != offset:
            self.close()
        texts: list[str] = []
        while len(texts) < limit and offset < status.st_size:
            events, end, wrong = self._batch(offset, limit - len(texts))
            if wrong:
                damaged.append(f"bytes {offset} to {end} {wrong}")
            if end == offset:
                break
            texts += events
            offset = end
        self._offset = offset
        return f"[{','.join(texts)}]", offset, "; ".join(damaged) or None

    def _batch(self, offset: int, limit: int) -> tuple[list[str], int, str | None]:
        """Return events until something that the bindings cannot read, the offset behind, and what is wrong."""
        with open(self._path, "rb") as file:
            file.seek(offset)
            chunk = file.read(_CHUNK)
        # Not one more than are complete: the bindings wait a second for the rest of one that is not.
        limit = min(limit, chunk.count(_END))
        if limit == 0 and len(chunk) < _CHUNK:
            return [], offset, None
        events, end = self._read(offset, limit)
        if end == offset:
            self.close()
            found = chunk.find(_END)
            first = chunk if found < 0 else chunk[: found + len(_END)]
            texts = _not_utf8(first)
            return texts, offset + len(first), None if texts else "cannot be read"
        return events, end, _damage(chunk[: end - offset], len(events))

    def _read(self, offset: int, limit: int) -> tuple[list[str], int]:
        """Return what the bindings read after `offset`, and where they are then."""
        if self._reader is None:
            self._reader = _open(self._path, offset)
        texts: list[str] = []
        reader = self._reader.events(0)
        try:
            while len(texts) < limit:
                texts.append(next(reader)._data.printJson())
        except StopIteration:
            pass
        except (htcondor2.HTCondorException, UnicodeDecodeError):
            self.close()
            # What stands before the damage is read again, to learn where it ends.
            return self._read(offset, len(texts)) if texts else ([], offset)
        return texts, reader.__getstate__()[1]


def _open(path: str, offset: int) -> Any:
    # A reader at an offset can only be had the way that pickle makes one.
    reader = htcondor2.JobEventLog.__new__(htcondor2.JobEventLog)
    reader.__setstate__(({"_deadline": 0, "_filename": path}, offset))
    return reader


def _not_utf8(event: bytes) -> list[str]:
    """Return the event, read with its bytes that are not UTF-8 replaced, if it has such bytes.

    A hold's reason may name a file in another encoding, and the bindings raise for the whole event.
    """
    text = event.decode(errors="replace")
    if text.encode() == event:
        return []
    with tempfile.NamedTemporaryFile() as file:
        file.write(text.encode())
        file.flush()
        reader = htcondor2.JobEventLog(file.name)
        try:
            return [each._data.printJson() for each in reader.events(0)]
        except htcondor2.HTCondorException:
            return []
        finally:
            reader.close()


def _damage(text: bytes, events: int) -> str | None:
    """Compare the number of events that were read with what the text that they were read from looks like."""
    ends = text.count(_END)
    # Every event's number begins with 0, and hardly another line does: one quick look for nearly every log.
    if events and text.startswith(b"0") + text.count(b"\n0") == ends == events:
        return None
    heads = len(_HEAD.findall(text))
    if events and heads == ends == events:
        return None
    return f"have {heads} heads and {ends} ends of events, and {events} could be read"
