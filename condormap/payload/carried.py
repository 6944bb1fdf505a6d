"""Items that stand for data in a file, of which a job that does not see the file is sent a copy instead.

The store has the item as it is. Where the jobs are sent their items, each slice has what the item's method
``__condormap_sent__()`` returns: it is made when the slice is written, one item at a time, and lies nowhere else.
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
_METHOD = "__condormap_sent__"


def stands_for_data(of: type) -> bool:
    """Tell whether items of a type stand for data."""
    return hasattr(of, _METHOD)


def with_data(item: Any) -> Any:
    """Return what is sent for an item, or for a tuple of the arguments of a call."""
    if type(item) is tuple:
        return tuple(map(with_data, item))
    return getattr(item, _METHOD)() if stands_for_data(type(item)) else item


class Limit:
    """How many bytes the slices of a submission may take: half of what is free, or what the environment says.

    Parameters
    ----------
    folder : Path
        Where they are written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        given = os.environ.get(LIMIT_VARIABLE)
        self._bytes = (
            megabytes(given, f"${LIMIT_VARIABLE}") << 20 if given else shutil.disk_usage(folder).free // 2
        )
        self._taken = 0

    def take(self, n_bytes: int) -> None:
        """Count some bytes.

        Raises
        ------
        StorageError
            They are more than are left.
        """
        self._taken += n_bytes
        if self._taken > self._bytes:
            raise StorageError(
                f"{self._folder}: the jobs do not see the files of their items, so each is sent a copy of its "
                f"part, and all these copies take more than {self._bytes / 1e6:.0f} MB, half of the disk's free "
                f"space (or what ${LIMIT_VARIABLE} says). Nothing was submitted. What to do: choose fewer "
                "frames or atoms, submit some of the items at a time, or, if the jobs see the files, say "
                "transfer='never'"
            )
