"""A submission that waits for room: its folder has all that its jobs need but the copies that they are sent.

::

    waits.json    {"nbytes": of the copies, about, "limit": of all copies, where the environment has set one,
                   "held": why it is held, or null, "removed": why it was removed, or null}

It waits until it has its slices, whole, and HTCondor has given it a cluster. See `condormap.waves`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from .folders.store import WAITS_FILE, storage_errors, write_json


@dataclass(frozen=True, kw_only=True)
class Waits:
    """What is known of a submission that waits for room.

    Parameters
    ----------
    nbytes : int
        The bytes of the copies, about.
    limit : int or None
        How many bytes all copies of the map may take, if that was said when the submission was made.
    held, removed : str or None
        Why it is not to be submitted for now, or ever.
    """

    nbytes: int
    limit: int | None = None
    held: str | None = None
    removed: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether it is to be submitted when there is room."""
        return self.held is None and self.removed is None


def read_waits(folder: Path) -> Waits | None:
    """Return what the folder of a submission says; None for one that has not waited.

    Raises
    ------
    OSError, ValueError, TypeError
        It can't be read.
    """
    try:
        text = (folder / WAITS_FILE).read_bytes()
    except FileNotFoundError:
        return None
    return Waits(**json.loads(text))


def write_waits(folder: Path, waits: Waits) -> None:
    """Write it into the folder of a submission, in one step."""
    with storage_errors(folder / WAITS_FILE):
        write_json(folder / WAITS_FILE, asdict(waits))


def was_given_up(folder: Path) -> bool:
    """Tell whether a submission waited for room, and was removed before it was submitted."""
    waits = read_waits(folder)
    return waits is not None and waits.removed is not None
