"""The jobs of a submission that came to an end by themselves, in columns: 12 bytes a job instead of 300."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Any

_NONE = -1  # in the column of procs: no such job


class FinishedJobs:
    """A table of the jobs of one cluster that completed with an exit code, by their chunks.

    Parameters
    ----------
    cluster : int
        The cluster.
    n_chunks : int
        How many chunks there are.
    """

    def __init__(self, cluster: int, n_chunks: int) -> None:
        self.cluster = cluster
        self._procs = array("i", [_NONE]) * n_chunks
        self._exit_codes = array("i", [0]) * n_chunks
        self._hosts = array("i", [0]) * n_chunks

    def __contains__(self, chunk: int) -> bool:
        return 0 <= chunk < len(self._procs) and self._procs[chunk] != _NONE

    def __iter__(self) -> Iterator[int]:
        return (chunk for chunk, proc in enumerate(self._procs) if proc != _NONE)

    def __len__(self) -> int:
        return len(self._procs) - self._procs.count(_NONE)

    def add(self, chunk: int, proc: int, exit_code: int, host: int) -> None:
        """Add a job; `host` is a number that stands for where it ran."""
        self._exit_codes[chunk], self._hosts[chunk] = exit_code, host
        self._procs[chunk] = proc  # last: now it is there

    def get(self, chunk: int) -> tuple[int, int, int]:
        """Return the proc, the exit code and the host's number of a chunk's job."""
        return self._procs[chunk], self._exit_codes[chunk], self._hosts[chunk]

    def as_record(self) -> dict[str, Any]:
        """Return the table in JSON values; `from_record` takes it."""
        columns = {"procs": self._procs, "exit_codes": self._exit_codes, "hosts": self._hosts}
        return {"cluster": self.cluster, **{name: column.tolist() for name, column in columns.items()}}

    @classmethod
    def from_record(cls, record: dict[str, Any], n_chunks: int) -> FinishedJobs:
        """Return the table that `as_record` recorded; KeyError, TypeError or ValueError where that is none."""
        table = cls(record["cluster"], 0)
        columns = [array("i", record[name]) for name in ("procs", "exit_codes", "hosts")]
        if any(len(column) != n_chunks for column in columns):
            raise ValueError(f"a column has not {n_chunks} rows")
        table._procs, table._exit_codes, table._hosts = columns
        return table
