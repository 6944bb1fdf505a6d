"""Items that stand for data in a file, of which a job that does not see the file is sent a copy instead.

The store has the item as it is. Where the jobs are sent their items, each slice has what the item's method
``__condormap_sent__()`` returns: it is made when the slice is written, one item at a time, and lies nowhere else.
How many bytes that takes, about, ``__condormap_sent_nbytes__()`` tells without making it.

All copies of a map together take no more disk than a limit. Jobs for whose copies there is no room are submitted
later (`condormap.waves`).
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from ..errors import StorageError
from ..options import megabytes

#: Is in the folder of a store that has such items.
MARK_FILE = "items.carry"
LIMIT_VARIABLE = "CONDORMAP_SENT_LIMIT"
_METHOD, _SIZE = "__condormap_sent__", "__condormap_sent_nbytes__"


def has_carried(store: Path) -> bool:
    """Tell whether items of a store stand for data."""
    return (store / MARK_FILE).exists()


def stands_for_data(of: type) -> bool:
    """Tell whether items of a type stand for data."""
    return hasattr(of, _METHOD)


def with_data(item: Any) -> Any:
    """Return what is sent for an item, or for a tuple of the arguments of a call."""
    if type(item) is tuple:
        return tuple(map(with_data, item))
    return getattr(item, _METHOD)() if stands_for_data(type(item)) else item


def nbytes(item: Any) -> int:
    """Return how many bytes, about, `with_data` adds to an item."""
    if type(item) is tuple:
        return sum(map(nbytes, item))
    return int(getattr(item, _SIZE, int)())  # of a map that an older condormap has made, it is not known


def limit(folder: Path, taken: int = 0, given: int | None = None) -> int:
    """Return how many bytes the copies may take: what the environment says, or half of the disk.

    Parameters
    ----------
    folder : Path
        Where they are.
    taken : int
        How many bytes those take that are there.
    given : int or None
        What the environment said when the map was made.
    """
    told = told_limit()
    if told is None:
        told = given
    return (shutil.disk_usage(folder).free + taken) // 2 if told is None else told


def told_limit() -> int | None:
    """Return what the environment says that the copies may take, in bytes; None where it says nothing."""
    given = os.environ.get(LIMIT_VARIABLE)
    return megabytes(given, f"${LIMIT_VARIABLE}") << 20 if given else None


class Room:
    """So many bytes for copies that are being made.

    Parameters
    ----------
    n_bytes : int
        How many.

    Attributes
    ----------
    was_too_little : bool
        They were not enough.
    """

    def __init__(self, n_bytes: int) -> None:
        self._n_bytes = self._left = n_bytes
        self.was_too_little = False

    def take(self, n_bytes: int) -> None:
        """Take some.

        Raises
        ------
        StorageError
            They are more than are left.
        """
        if n_bytes > self._left:
            self.was_too_little = True
            raise StorageError(no_room("the copies that are made now take", self._n_bytes))
        self._left -= n_bytes


def no_room(what: str, n_bytes: int) -> str:
    """Return the message that something takes more disk than there is for it."""
    return (
        "the jobs do not see the files of their items, so each is sent a copy of its part, and "
        f"{what} more than {n_bytes / 1e6:.0f} MB: half of the disk's free space, or what ${LIMIT_VARIABLE} says, "
        "less what other copies take. What to do: free some space, choose smaller chunks, fewer frames or fewer "
        "atoms, or, if the jobs see the files, say transfer='never'"
    )
