"""A map's table of jobs in its folder, so that the next process need not read the event log from its beginning.

::

    jobs.json    {"version": 1, "events": in the table, "crc": of the text, "table": JobTable.as_record() as text}

It only saves time: one that is missing, damaged or of another version is not used. That the log has become another
since is noticed by the bytes before the offset (`condormap.condor.logtext`).
"""

from __future__ import annotations

import contextlib
import json
import zlib
from pathlib import Path

from ..folders.store import write_json
from .tracking import JobTable

SNAPSHOT_FILE = "jobs.json"
_VERSION = 1
_LEAST, _SHARE = 1000, 0.1  # a snapshot is written for so many new events, and such a share of all


class Snapshot:
    """The snapshot of a table of jobs: restores it at once, and is written again when that is worth it.

    Parameters
    ----------
    path : Path
        The file.
    table : JobTable
        The table; it has read nothing yet.
    """

    def __init__(self, path: Path, table: JobTable) -> None:
        self._path = path
        self._table = table
        self._n_events = 0  # in the file
        self._n_new = 0
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            self._restore()

    def _restore(self) -> None:
        record = json.loads(self._path.read_bytes())
        text = record["table"]
        if record["version"] == _VERSION and record["crc"] == zlib.crc32(text.encode()):
            self._table.restore(json.loads(text))
            self._n_events = record["events"]

    def note(self, n_events: int) -> None:
        """Take note that the table has read so many events more; write the file where that is worth it."""
        self._n_new += n_events
        if self._n_new < max(_LEAST, _SHARE * self._n_events) or self._table.damage is not None:
            return
        self._n_events, self._n_new = self._n_events + self._n_new, 0
        text = json.dumps(self._table.as_record(), separators=(",", ":"))
        record = {
            "version": _VERSION,
            "events": self._n_events,
            "crc": zlib.crc32(text.encode()),
            "table": text,
        }
        with contextlib.suppress(OSError):  # a full disk, somebody else's map: then the log is read once more
            write_json(self._path, record)
