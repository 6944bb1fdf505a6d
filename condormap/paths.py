"""Where condormap keeps its files: one folder for a user."""

from __future__ import annotations

import os
from pathlib import Path


def data_home() -> Path:
    """Return condormap's folder: ``$CONDORMAP_HOME``, else ``~/.condormap``. It need not exist yet."""
    given = os.environ.get("CONDORMAP_HOME")
    return Path(given).expanduser().absolute() if given else Path.home() / ".condormap"


def maps_folder() -> Path:
    """Return the folder that holds one folder per map."""
    return data_home() / "maps"


def daemons_folder() -> Path:
    """Return the folder that holds the HTCondor daemons installed for this user, one folder per version."""
    return data_home() / "daemons"


def pool_folder() -> Path:
    """Return the folder of this user's default personal pool."""
    return data_home() / "pool"
