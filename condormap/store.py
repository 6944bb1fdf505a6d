"""A map's folder on disk: everything that another process needs to find the map again.

::

    <CONDORMAP_HOME>/maps/<tag>/
        map.json            layout version, id, number of items, pool...
        func.pkl            the function
        items.pkl           the items, and where each ends in items.idx   (see condormap.payload)
        events.log          HTCondor's event log of all submissions
        submissions/<n>/
            spec.json       what the runner needs to know
            chunks.bin      the chunk table
            submit.sub      the submit description
            submission.json id, when, by whom, what its jobs ask for
            cluster.json    the cluster's id; written when HTCondor has given it
            outcomes/       <chunk // 1000>/<chunk>.<attempt>
            stdio/          <chunk // 1000>/<chunk>.out, .err; only those that are not empty stay

A folder is made under another name and renamed when it is complete; a file is replaced in one step.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import random
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .address import PoolAddress
from .errors import CondormapError, InvalidInputError, StorageError

LAYOUT = 1
RECORD_FILE, EVENTS_FILE = "map.json", "events.log"
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_ADJECTIVES = (
    "amber brave calm dusky eager fond gentle keen lucid merry noble quiet rapid sunny vivid".split()
)
_NOUNS = (
    "boson comet fjord gluon heron isotope kestrel lepton muon nebula osprey photon quark raven tern".split()
)


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
    config_file, collector, schedd : str or None
        The pool, see `PoolAddress`.
    """

    id: str
    tag: str
    created: float
    n_items: int
    star: bool
    function: str
    config_file: str | None
    collector: str | None
    schedd: str | None

    @property
    def address(self) -> PoolAddress:
        """The pool that the map was submitted to."""
        config = Path(self.config_file) if self.config_file else None
        return PoolAddress(config, self.collector, self.schedd, f"the map {self.tag!r} was submitted there")


def new_id() -> str:
    """Return an id that nobody else has."""
    return secrets.token_hex(8)


def is_tag(tag: object) -> bool:
    """Tell whether this could be a map's name."""
    return isinstance(tag, str) and _TAG.fullmatch(tag) is not None


def check_tag(maps: Path, tag: str | None) -> str:
    """Return a tag that is free in the folder of maps: the given one, or a random readable one.

    Raises
    ------
    InvalidInputError
        The given one is no tag, or is in use.
    """
    if tag is None:
        while True:
            tag = f"{random.choice(_ADJECTIVES)}-{random.choice(_NOUNS)}-{secrets.token_hex(2)}"
            if not (maps / tag).exists():
                return tag
    if not is_tag(tag):
        raise InvalidInputError(
            f"{tag!r} is no tag: up to 64 letters, digits, dots, dashes and underscores, a letter or digit first"
        )
    if (maps / tag).exists():
        raise InvalidInputError(
            f"there is a map with the tag {tag!r} already: condormap.load({tag!r}) returns it"
        )
    return tag


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
        folder = Path(tempfile.mkdtemp(prefix=".new-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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
    try:
        values = json.loads((folder / RECORD_FILE).read_bytes())
        layout = values.pop("layout")
        if layout != LAYOUT:
            raise StorageError(
                f"{folder} was written in layout {layout}; this version of condormap reads layout {LAYOUT}. "
                "Load it with the version that wrote it"
            )
        return MapRecord(**values)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, StorageError):
            raise
        raise StorageError(f"{folder} is no map: {type(error).__name__}: {error}") from error


def new_record(tag: str, n_items: int, star: bool, function: str, address: PoolAddress) -> MapRecord:
    """Return the record of a map that is being made now."""
    config = str(address.config_file) if address.config_file else None
    return MapRecord(
        new_id(), tag, time.time(), n_items, star, function, config, address.collector, address.schedd
    )


def submission_folders(folder: Path) -> list[Path]:
    """Return the folders of the map's submissions, in order."""
    parent = folder / "submissions"
    numbers = (
        sorted(int(path.name) for path in parent.iterdir() if path.name.isdigit()) if parent.is_dir() else []
    )
    return [parent / str(number) for number in numbers]
