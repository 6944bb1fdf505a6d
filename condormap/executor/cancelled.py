"""The calls of an executor that were cancelled, for their jobs to skip."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from pathlib import Path

from ..folders.store import storage_errors
from ..in_job.calls import cancelled_in


class CancelledCalls:
    """The numbers of calls that were cancelled, in a file that a job reads when it begins. Any thread may use it.

    Parameters
    ----------
    path : Path
        The file, which need not be there.

    Attributes
    ----------
    numbers : set of int
        The numbers.
    """

    def __init__(self, path: Path) -> None:
        self.numbers = set(cancelled_in(str(path)))
        self._path = path
        self._lock = threading.Lock()

    def mark(self, number: int) -> None:
        """Have a call skipped by its job, unless that has begun."""
        with self._lock, storage_errors(self._path):
            if number in self.numbers:
                return
            self.numbers.add(number)
            with self._path.open("ab", buffering=0) as file:
                file.write(b"%d\n" % number)

    def unmark(self, numbers: Iterable[int]) -> None:
        """Take marks back."""
        with self._lock, storage_errors(self._path):
            if self.numbers.isdisjoint(numbers):
                return
            self.numbers.difference_update(numbers)
            new = self._path.with_name(".new")
            new.write_bytes(b"".join(b"%d\n" % number for number in sorted(self.numbers)))
            os.replace(new, self._path)
