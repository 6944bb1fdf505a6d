"""The maps in condormap's folder: load one again, remove one."""

from __future__ import annotations

import difflib
import shutil
import time
from pathlib import Path

from . import store
from .condor import connect
from .errors import InvalidInputError, WaitTimeoutError
from .handle import CondorMap
from .paths import maps_folder
from .submission import load_submission
from .submitting import find_cluster


def load(tag: str, *, with_input: bool = False, progress: bool | None = None) -> CondorMap:
    """Return the handle of a map that this or another process submitted.

    Parameters
    ----------
    tag : str
        The map's name.
    with_input, progress
        As for `condormap`.

    Raises
    ------
    InvalidInputError
        There is no map with this tag.
    StorageError
        Its folder can't be read.
    """
    return CondorMap(_folder_of(tag), with_input=with_input, progress=progress)


def remove(tag: str, *, timeout: float = 30.0) -> None:
    """Remove a map: its jobs from the queue, and its folder with all results.

    Parameters
    ----------
    tag : str
        The map's name.
    timeout : float
        Seconds that the jobs may take to leave the queue.

    Raises
    ------
    InvalidInputError
        There is no map with this tag.
    WaitTimeoutError
        Jobs are still in the queue; the folder stays.
    """
    folder = _folder_of(tag)
    condor = connect(store.read_record(folder).address)
    parts = [load_submission(part) for part in store.submission_folders(folder)]
    clusters = [s.cluster or find_cluster(condor, s) for s in parts]
    ids = [str(cluster) for cluster in clusters if cluster is not None]
    if ids:
        there = " || ".join(f"ClusterId == {cluster}" for cluster in ids)
        condor.act("remove", jobs=ids, reason=f"the map {tag} was removed")
        until = time.monotonic() + timeout
        while condor.query(there, ["ClusterId"], cluster_ads=True):
            if time.monotonic() > until:
                raise WaitTimeoutError(
                    f"jobs of the map {tag!r} are still queued after {timeout:g} s; its folder stays. Try again"
                )
            time.sleep(0.05)
    with store.storage_errors(folder):
        shutil.rmtree(folder)


def _folder_of(tag: str) -> Path:
    folder = maps_folder() / str(tag)
    if store.is_tag(tag) and folder.is_dir():
        return folder
    known = sorted(path.name for path in maps_folder().glob("[!.]*")) if maps_folder().is_dir() else []
    close = difflib.get_close_matches(str(tag), known)
    hint = f"; did you mean {' or '.join(close)}?" if close else f" ({len(known)} maps in {maps_folder()})"
    raise InvalidInputError(f"there is no map with the tag {tag!r}{hint}")
