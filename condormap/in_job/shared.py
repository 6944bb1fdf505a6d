"""The memory that a job's worker shares with its supervisor. Travels into the job; standard library only."""

from __future__ import annotations

import io
import mmap
import os

from .payload import COLUMNS, RESULT

MAX_RECORDS = 1 << 16  # items in one frame
LAST_RECORD = MAX_RECORDS - 1
FLUSH_SIZE = 1 << 20  # bytes in one frame, where the items are smaller than that
AREA_SIZE = 2 * FLUSH_SIZE

# The counters in the shared memory.
FINISHED = 0  # records in the memory
LOADED = 1  # 1 once the function is loaded
SPILLED = 2  # the record that lies in the spill file, plus 1
COLUMN = 3  # the type of the results, plus 1, where they are numbers in a column; 0 where they are pickles
WRITES = 4  # 1 while the worker writes a large result, or the state of a reducer, to the outcome file
FAILED = 5  # 1 when the worker itself failed between two items, 2 when it did so with the outcome of one
PRINTED = 6  # and 7: how far standard output and error were written when the current item began, or before
KEPT = 8  # 1 when an item has saved a checkpoint, or gone on from one
AGAIN = 9  # 1 when another worker is to compute the new items one by one, 2 when it is to add none up
GROUP = 10  # the processes of the executable that the current item runs; 0 without one
_COUNTERS = 128  # bytes

COLUMN_NAMES = tuple(COLUMNS)


class SharedMemory:
    """The finished items that are not in the outcome file yet: a column per property, and their pickles."""

    def __init__(self) -> None:
        view = memoryview(mmap.mmap(-1, _COUNTERS + MAX_RECORDS * 17 + AREA_SIZE))
        stops = [_COUNTERS + MAX_RECORDS * width for width in (0, 8, 16, 17)]
        # Casts to the machine's own 64-bit integers: each is stored at once and never seen half written.
        self.counters = view[: stops[0]].cast("Q")
        self.sizes = view[stops[0] : stops[1]].cast("Q")
        self.nanoseconds = view[stops[1] : stops[2]].cast("Q")
        self.states = view[stops[2] : stops[3]]
        self.area = view[stops[3] :]
        self.columns = {code: self.area.cast(code) for code in ("q", "d")}
        self.spill = open_nameless_file(os.environ.get("_CONDOR_SCRATCH_DIR") or "/tmp")

    def clear(self) -> None:
        """Forget every record; nobody writes meanwhile."""
        for counter in (LOADED, WRITES, FAILED, KEPT, AGAIN, GROUP):
            self.counters[counter] = 0
        self.forget_records()
        self.spill.seek(0)
        self.spill.truncate()

    def forget_records(self) -> None:
        """Start with the first record again, and take each for a result unless the worker says otherwise."""
        self.counters[FINISHED] = self.counters[SPILLED] = self.counters[COLUMN] = 0
        self.states[:] = RESULT.encode() * MAX_RECORDS


def open_nameless_file(folder: str) -> io.FileIO:
    """Return a new file in `folder` that is gone when it is closed, whoever removes what meanwhile."""
    path = f"{folder}/.condormap-spill.{os.urandom(8).hex()}"
    file = io.FileIO(path, "x+")
    os.unlink(path)
    return file
