"""What is done with a map as a whole: load it again, remove it, give it another tag."""

from __future__ import annotations

import time
from pathlib import Path

from .condor import Condor, connect
from .errors import CondorError, StorageError, WaitTimeoutError
from .folders import store
from .folders.listing import map_info
from .folders.locks import locked
from .folders.tags import folder_of, rename_tag, unlink
from .handle import CondorMap
from .merging.merged import discard_files
from .state.map_state import MapState
from .times import deadline

_LAST_EVENTS = 5.0  # seconds that a job's last event may come after its last outcome
# Seconds from the end of all jobs to that of their factories. A schedd (25.14) that looks whether a factory has
# more to make, between the end of its last job and its clean-up, forgets it (up to 1 in 100); `remove` ends it.
_LAST_CLUSTERS = 0.5


def load(tag: str, *, with_input: bool = False, progress: bool | None = None) -> CondorMap:
    """Return the handle of a map that this or another process submitted.

    Where that process was killed before the jobs were submitted, they are submitted now.

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
    CondorError
        Its jobs may not have been submitted, and the pool could not be asked, or refused them.
    """
    folder = folder_of(tag)
    if store.read_record(folder).executes:
        from .mapper.mapper import CondorMapper  # here, for most maps do without that room

        return CondorMapper.at(folder, with_input=with_input, progress=progress)
    return CondorMap(folder, with_input=with_input, progress=progress)


def remove(tag: str, *, timeout: float = 30.0, force: bool = False) -> None:
    """Remove a map: its jobs from the queue, and its folder with all results.

    Parameters
    ----------
    tag : str
        The map's name.
    timeout : float
        Seconds that the jobs may take to leave the queue.
    force : bool
        Remove the folder also where the pool cannot be asked for the jobs, or the folder is damaged. Jobs that are
        in the queue then go on hold, for they find no folder.

    Raises
    ------
    InvalidInputError
        There is no map with this tag.
    WaitTimeoutError
        Jobs are still in the queue; the folder stays.
    CondorError, StorageError
        The pool could not be asked, or the folder is damaged; it stays.
    """
    until = deadline(timeout) or 0.0
    folder = folder_of(tag)
    with locked(folder, timeout=timeout):
        if not map_info(tag).finished:
            try:
                _remove_jobs(folder, tag, until)
            except (CondorError, StorageError, WaitTimeoutError) as error:
                if not force:
                    error.add_note(
                        f"condormap: the folder {folder} stays; condormap.remove({tag!r}, force=True) removes it "
                        "without regard to its jobs"
                    )
                    raise
        discard_files(folder)
        store.discard(folder)
    unlink(tag, folder)


def remove_finished(tag: str, state: MapState) -> None:
    """Remove a map all of whose items are settled, as `remove` does, when the last events of its jobs are there.

    Parameters
    ----------
    tag : str
        The map's name.
    state : MapState
        Its state.

    Raises
    ------
    CondormapError
        As `remove`; the folder stays.
    """
    ended = time.monotonic()
    until = ended + _LAST_EVENTS
    clusters = [each.cluster for each in state.submissions if each.cluster is not None]
    while not all(cluster in state.jobs.gone for cluster in clusters):
        now = time.monotonic()
        if state.poll() or state.jobs.live:
            ended = now
        if now > min(until, ended + _LAST_CLUSTERS):
            break
        time.sleep(0.004)
    remove(tag)


def retag(old: str, new: str) -> None:
    """Give a map another tag, at any time: its folder stays where it is, and so do its jobs.

    Parameters
    ----------
    old, new : str
        The tag that it has, and the one that it gets.

    Raises
    ------
    InvalidInputError
        There is no map with the old tag, or `new` is no tag, or is in use.
    StorageError
        The folder can't be written; the map keeps its tag.
    """
    rename_tag(old, new)


def _remove_jobs(folder: Path, tag: str, until: float) -> None:
    """Remove a map's jobs from the queue, by the map's id, for a cluster may not have been noted."""
    id, address = store.read_identity(folder)
    condor = connect(address)
    clusters = _clusters(condor, id)
    if clusters:
        condor.act("remove", jobs=clusters, reason=f"the map {tag} was removed")
    while clusters:
        if time.monotonic() > until:
            raise WaitTimeoutError(
                f"jobs of the map {tag!r} are still in the queue (clusters {', '.join(clusters)}). Try again later"
            )
        time.sleep(0.05)
        clusters = _clusters(condor, id)


def _clusters(condor: Condor, id: str) -> list[str]:
    # All users' jobs, for the id is unique, and whom the schedd takes for "me" depends on how it was asked.
    ads = condor.query(f'CondormapMap == "{id}"', ["ClusterId"], all_users=True, cluster_ads=True)
    return sorted({str(ad["ClusterId"]) for ad in ads})
