"""Where the frames of a file begin: found once, and kept beside the file.

Where that folder can't be written, in condormap's own. What is kept counts as long as the file has the size and
the time that it had. A file of few frames is looked through again, which takes some milliseconds.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

_LEAST = 1000  # frames of a file for which they are kept
_VERSION = 1
_HEAD = 5  # numbers before the offsets: version, size, time, atoms, frames


class Table(NamedTuple):
    """Where the frames of a file begin.

    Attributes
    ----------
    n_atoms : int
        How many atoms a frame has.
    offsets : array of int64
        The first byte of each frame.
    flags : array of uint8
        What each frame has: 1 for a unit cell, 2 for coordinates.
    """

    n_atoms: int
    offsets: Any
    flags: Any


def kept_or_found(path: str, find: Callable[[], Table]) -> Table:
    """Return the table that is kept for a file; else that which `find` returns, which is kept then."""
    stat = os.stat(path)
    for place in _places(path):
        with contextlib.suppress(OSError, ValueError, EOFError):
            kept = np.load(place)
            n = int(kept[_HEAD - 1])
            if kept[: _HEAD - 2].tolist() == [_VERSION, stat.st_size, stat.st_mtime_ns] and len(kept) == (
                _HEAD + n + -(-n // 8)
            ):
                return Table(int(kept[3]), kept[_HEAD : _HEAD + n], kept[_HEAD + n :].view(np.uint8)[:n])
    found = find()
    if len(found.offsets) >= _LEAST and os.stat(path).st_mtime_ns == stat.st_mtime_ns:
        _keep(path, stat, found)
    return found


def _places(path: str) -> tuple[Path, Path]:
    from ...folders.paths import data_home  # here, for jobs without condormap are not sent that

    folder, name = os.path.split(path)
    digest = hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[:24]
    return Path(folder, f".{name}.condormap-offsets.npy"), data_home() / "offsets" / f"{digest}.npy"


def _keep(path: str, stat: os.stat_result, table: Table) -> None:
    n = len(table.offsets)
    flags = np.zeros(-(-n // 8) * 8, np.uint8)
    flags[:n] = table.flags
    head = [_VERSION, stat.st_size, stat.st_mtime_ns, table.n_atoms, n]
    values = np.concatenate([np.array(head, np.int64), table.offsets, flags.view(np.int64)])
    beside, own = _places(path)
    for place in (beside, own):
        with contextlib.suppress(OSError):
            if place is own:
                place.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=place.parent, prefix=".new-", delete=False) as file:
                try:
                    np.save(file, values)
                    file.close()
                    os.chmod(file.name, 0o644)
                    os.replace(file.name, place)
                except OSError:
                    os.unlink(file.name)
                    raise
            return
