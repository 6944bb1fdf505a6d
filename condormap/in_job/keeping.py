"""The states that items of a job save with `condormap.checkpoint`. Travels into the job; standard library only.

``checkpoints/<item // 1000>/<item>.state`` in the map's folder is a frame (`payload`) without a kind.
"""

from __future__ import annotations

import io
import os
import pickle
import sys

from .packed import Buffers, load, packed_parts
from .payload import FILES_PER_FOLDER, DamagedError, chunk_file, read_data, read_frame, write_frame
from .shared import KEPT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from .worker import Worker


class Keeper:
    """Keeps the state of the item that a worker computes now."""

    def __init__(self, worker: Worker) -> None:
        self.path = chunk_file(worker.place.checkpoints, worker.item, "state")
        self.counters = worker.memory.counters

    def load(self, default: Any) -> Any:
        """Return what was saved, or the default; raises whatever unpickling it does."""
        try:
            with open(self.path, "rb") as file:
                frame = read_frame(file, 0)
            if frame is None:
                raise DamagedError(f"{self.path} has no end")
            data = read_data(self.path, frame)
        except FileNotFoundError:
            return default
        except DamagedError as error:
            print(f"condormap: {error}; the item begins anew", file=sys.stderr)
            return default
        self.counters[KEPT] = 1
        return load(data)

    def save(self, state: Any) -> None:
        """Replace what was saved."""
        self.counters[KEPT] = 1
        data, buffers = _dumps(state)
        parts = packed_parts(data, buffers) if buffers else [data]
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        new = self.path + ".new"
        with open(new, "wb", buffering=0) as file:
            write_frame(file, {"packed": bool(buffers)}, parts, sum(len(part) for part in parts))
            os.fsync(file.fileno())
        os.replace(new, self.path)


def _dumps(state: Any) -> tuple[bytes, list[memoryview]]:
    """Return the pickle of a state, and its large buffers."""
    buffers = Buffers()
    file = io.BytesIO()
    try:
        pickle.Pickler(file, protocol=5, buffer_callback=buffers).dump(state)
    except Exception:
        import cloudpickle

        buffers.kept.clear()
        file = io.BytesIO()
        cloudpickle.dump(state, file, protocol=5, buffer_callback=buffers)
    return file.getvalue(), buffers.kept


def forget(checkpoints: str, items: Iterable[int]) -> None:
    """Remove what these items saved in a folder."""
    over = {str(item) for item in items}
    for shard in {int(item) // FILES_PER_FOLDER for item in over}:
        folder = f"{checkpoints}/{shard}"
        try:
            for name in os.listdir(folder):
                if name.partition(".")[0] in over:
                    os.unlink(f"{folder}/{name}")
        except FileNotFoundError:
            pass  # none of them saved anything, or another attempt has removed it
