"""A map's folder on disk: everything that another process needs to find the map again.

::

    <CONDORMAP_HOME>/
        maps/<tag>              a symbolic link to the map's folder            (see condormap.folders.tags)
        data/<id>/              the map's folder, which never moves: jobs in the queue write into it
            map.json            layout version, id, tag, number of items, pool...
            lock                whoever changes the map locks it               (see condormap.folders.locks)
            func.pkl            the function
            needs.json          what it needs                                  (see condormap.in_job.preflight)
            items.*             the items                                      (see condormap.in_job.items,
                                                                                    condormap.payload.carried)
            checkpoints/        what items have saved                          (see condormap.in_job.keeping)
            outputs/, kept/, mapper.pkl, draft.json
                                of a CondorMapper                              (see condormap.mapper)
            reducer.pkl         the reducer for the jobs, if there is one
            reduce/, complete/  what becomes of the results     (see condormap.merging)
            events.log          HTCondor's event log of all submissions
            submissions/<n>/
                spec.json       what the runner needs to know
                chunks.bin      the chunk table; selection.bin: position -> item
                submit.sub      the submit description
                submission.json id, when, by whom, what its jobs ask for
                cluster.json    the cluster's id; written when HTCondor has given it
                waits.json      of one that waits, or waited, for room (see condormap.waits)
                outcomes/       <chunk // 1000>/<chunk>.<attempt>
                stdio/          <chunk // 1000>/<chunk>.out, .err; only those that are not empty stay
                condormap/, slices/, saved/, condormap.outcome
                                what jobs are sent that do not see the folder  (see condormap.in_job.place)

A folder is made under another name and renamed when it is complete; a file is replaced in one step; a folder that
is removed is renamed first. So whatever has its name is whole.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..address import PoolAddress
from ..errors import CondormapError, StorageError
from .paths import log_folder
from .removing import remove_tree

LAYOUT = 2
RECORD_FILE, EVENTS_FILE, SUBMISSIONS_FOLDER = "map.json", "events.log", "submissions"
WAITS_FILE = "waits.json"
NEW, GONE = ".new-", ".gone-"  # how the names of folders begin that are being made, or removed


@dataclass(frozen=True)
class MapRecord:
    """What ``map.json`` says.

    Parameters
    ----------
    id : str
        Never used twice; the jobs carry it.
    tag : str
        The name that the user knows the map by.
    created : float
        Seconds since the epoch.
    n_items : int
        How many items there are.
    star : bool
        An item is a tuple of arguments.
    function : str
        The function's name, for people.
    function_id : str
        What tells it from others; see `condormap.timings`.
    config_file, collector, schedd : str or None
        The pool, see `PoolAddress`.
    event_log : str or None
        The event log; None for ``events.log`` in the map's folder.
    reduce : str or None
        For a map with a reducer, what is done with the results besides: ``"keep"`` or ``"discard"``.
    executes : bool
        It is a `CondorMapper`: its items are tasks for an executable.
    """

    id: str
    tag: str
    created: float
    n_items: int
    star: bool
    function: str
    function_id: str
    config_file: str | None
    collector: str | None
    schedd: str | None
    event_log: str | None
    reduce: str | None = None
    executes: bool = False

    @property
    def address(self) -> PoolAddress:
        """The pool that the map was submitted to."""
        config = Path(self.config_file) if self.config_file else None
        return PoolAddress(config, self.collector, self.schedd, f"the map {self.tag!r} was submitted there")

    def log(self, folder: Path) -> Path:
        """Return the event log of the map whose folder this is."""
        return Path(self.event_log) if self.event_log else folder / EVENTS_FILE


def new_id() -> str:
    """Return an id that nobody else has."""
    return secrets.token_hex(8)


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn an OSError about `path` into a StorageError that says what to do; our own errors stay as they are."""
    try:
        yield
    except CondormapError:
        raise
    except OSError as error:
        advice = {
            errno.ENOSPC: "the disk is full: free some space, or set CONDORMAP_HOME to a folder on another disk",
            errno.EDQUOT: "your disk quota is used up: free some space, or set CONDORMAP_HOME to another disk",
        }.get(error.errno or 0, "set CONDORMAP_HOME to a folder that you can write and the jobs can read")
        where = error.filename or path
        raise StorageError(error.errno, f"{error.strerror or error}; {advice}", str(where)) from error


@contextlib.contextmanager
def staging(parent: Path) -> Iterator[Path]:
    """Give a new private folder in `parent`; it is removed unless it was renamed meanwhile."""
    with storage_errors(parent):
        parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder = Path(tempfile.mkdtemp(prefix=NEW, dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def discard(folder: Path) -> None:
    """Remove a folder, in one step for whoever looks for it; a map's event log goes with it.

    Raises
    ------
    StorageError
        It stays.
    """
    if not folder.name.startswith((NEW, GONE)):
        with storage_errors(folder):
            folder = folder.rename(folder.with_name(f"{GONE}{folder.name}.{secrets.token_hex(4)}"))
    with contextlib.suppress(OSError):
        read_record(folder).log(folder).unlink()
    remove_tree(folder)  # what stays, `condormap.clean` removes


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file in one step."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        temporary.write_text(json.dumps(value, indent=1))
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def write_record(folder: Path, record: MapRecord) -> None:
    """Write ``map.json``."""
    write_json(folder / RECORD_FILE, {"layout": LAYOUT, **asdict(record)})


def read_record(folder: Path) -> MapRecord:
    """Return what ``map.json`` says.

    Raises
    ------
    StorageError
        There is no map in `folder`, or one of another layout.
    """
    values = _read_values(folder)
    layout = values.pop("layout")
    if layout != LAYOUT:
        age = "an older" if isinstance(layout, int) and layout < LAYOUT else "a newer"
        raise StorageError(
            f"{folder} was written by {age} version of condormap, in layout {layout!r}; this one reads layout "
            f"{LAYOUT}. Load it with the version that wrote it; condormap.remove() removes it"
        )
    try:
        return MapRecord(**values)
    except TypeError as error:
        raise _damaged(folder, error) from error


def read_identity(folder: Path) -> tuple[str, PoolAddress]:
    """Return the id of a map of any layout, and its pool.

    Raises
    ------
    StorageError
        ``map.json`` is missing or damaged.
    """
    values = _read_values(folder)
    try:
        config = Path(values["config_file"]) if values["config_file"] else None
        why = f"the map {values['tag']!r} was submitted there"
        return str(values["id"]), PoolAddress(config, values["collector"], values["schedd"], why)
    except (KeyError, TypeError) as error:
        raise _damaged(folder, error) from error


def _read_values(folder: Path) -> dict[str, Any]:
    try:
        values = json.loads((folder / RECORD_FILE).read_bytes())
        if not isinstance(values, dict):
            raise TypeError(f"a {type(values).__name__} and no object")
        _ = values["layout"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(folder, error) from error
    return values


def _damaged(folder: Path, error: Exception) -> StorageError:
    return StorageError(
        f"{folder} has no map that can be read: {RECORD_FILE}: {type(error).__name__}: {error}. Restore the file, "
        "or give the map up: condormap.remove(tag, force=True)"
    )


def new_record(
    id: str,
    tag: str,
    n_items: int,
    star: bool,
    function: str,
    address: PoolAddress,
    *,
    function_id: str = "",
    reduce: str | None = None,
    executes: bool = False,
    log: Path | None = None,
) -> MapRecord:
    """Return the record of a map that is being made now; `log` is its event log, or the folder of it."""
    logs = log_folder() if log is None else log if log.is_dir() else None
    if logs is not None:
        log = logs / f"condormap-{id}.log"
    return MapRecord(
        id=id,
        tag=tag,
        created=time.time(),
        n_items=n_items,
        star=star,
        function=function,
        function_id=function_id,
        config_file=str(address.config_file) if address.config_file else None,
        collector=address.collector,
        schedd=address.schedd,
        event_log=str(log) if log else None,
        reduce=reduce,
        executes=executes,
    )


def make_log(folder: Path, record: MapRecord) -> None:
    """Make the empty event log of a new map, for this user only."""
    log = record.log(folder)
    try:
        log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # The folder may be one for everybody (/var/tmp): whatever has that name already is not ours.
        os.close(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    except OSError as error:
        if record.event_log is None:
            raise
        advice = (
            "log= or CONDORMAP_LOG_DIR has to name a new file, or a folder, that you and the schedd can write"
        )
        raise StorageError(error.errno, f"{error.strerror}; {advice}", str(log)) from error


def submission_folders(folder: Path) -> list[Path]:
    """Return the folders of the map's submissions, in order.

    One that waits for room does not count unless those before it are there: they were made together.
    """
    parent = folder / SUBMISSIONS_FOLDER
    numbers = (
        sorted(int(path.name) for path in parent.iterdir() if path.name.isdigit()) if parent.is_dir() else []
    )
    found = [parent / str(number) for number in numbers]
    if numbers == list(range(len(numbers))):
        return found
    return [path for k, path in enumerate(found) if path.name == str(k) or not (path / WAITS_FILE).exists()]
