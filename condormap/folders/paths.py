"""Where condormap keeps its files: one folder for a user. And paths that are relative to the current folder."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import StorageError


def current_folder() -> Path:
    """Return the current folder.

    Raises
    ------
    StorageError
        It is gone.
    """
    try:
        return Path.cwd()
    except OSError as error:
        raise StorageError(
            f"the current folder of this process is gone ({error.strerror}): it was deleted or moved, and paths "
            "would be relative to it. Nothing was submitted. What to do: change to another folder (cd, os.chdir)"
        ) from error


def absolute(path: str | os.PathLike[str]) -> Path:
    """Return a path that does not depend on the current folder; ``~`` is this user's home."""
    try:
        path = Path(path).expanduser()
    except RuntimeError as error:
        raise StorageError(f"{os.fspath(path)}: {error} Name the folder in full, or set HOME") from error
    return path if path.is_absolute() else current_folder() / path


def data_home() -> Path:
    """Return condormap's folder: ``$CONDORMAP_HOME``, else ``~/.condormap``. It need not exist yet."""
    return absolute(os.environ.get("CONDORMAP_HOME") or "~/.condormap")


def maps_folder() -> Path:
    """Return the folder of tags: a symbolic link per map, to its folder in `data_folder`."""
    return data_home() / "maps"


def data_folder() -> Path:
    """Return the folder that holds one folder per map, named by the map's id."""
    return data_home() / "data"


def lib_folder() -> Path:
    """Return the folder of what the jobs run: one folder per version, see `condormap.payload.bundle`."""
    return data_home() / "lib"


def log_folder() -> Path | None:
    """Return where new maps keep their event logs: ``$CONDORMAP_LOG_DIR``; None for each map's own folder."""
    given = os.environ.get("CONDORMAP_LOG_DIR")
    return Path(given).expanduser().absolute() if given else None


def daemons_folder() -> Path:
    """Return the folder that holds the HTCondor daemons installed for this user, one folder per version."""
    return data_home() / "daemons"


def pool_folder() -> Path:
    """Return the folder of this user's default personal pool."""
    return data_home() / "pool"
