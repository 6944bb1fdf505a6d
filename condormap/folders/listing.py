"""`maps()`: what maps there are, by their folders alone; no pool is asked."""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path

from ..errors import InvalidInputError
from ..in_job.payload import CHUNKS_FILE, SELECTION_FILE
from ..submission import read_cluster
from ..waits import was_given_up
from . import store
from .tags import all_tags, folder_of

# Job terminated, job aborted, cluster submitted, cluster removed (HTCondor manual, "Job Event Log Codes"), at the
# start of an event. Those of a cluster are of a factory, and its removal is the last event of all.
_EVENTS = re.compile(rb"\n(005|009|035|036) \((\d+)\.")
_BLOCK = 1 << 20


@dataclass(frozen=True)
class MapInfo:
    """A map, as its folder tells.

    Parameters
    ----------
    tag : str
        Its name, for `condormap.load`.
    created : datetime
        When it was made.
    function : str
        The function's name.
    items : int
        How many items it has.
    jobs : int
        How many jobs it has, those that are not in the queue yet included.
    ended : int or None
        How many of them have ended; None where the event log cannot be read here.
    finished : bool
        All have ended, and have left the queue.
    path : Path
        Its folder.
    damage : str
        Why it cannot be loaded, where that is so.
    """

    tag: str
    created: datetime.datetime | None
    function: str
    items: int
    jobs: int
    ended: int | None
    finished: bool
    path: Path
    damage: str = ""

    @property
    def summary(self) -> str:
        """How far it is, in words."""
        if self.damage:
            return self.damage
        if self.items and not self.jobs:
            return "not submitted yet"
        if self.ended is None:
            return f"{self.jobs} jobs; the event log is not on this machine"
        if self.finished:
            return "finished"
        return f"{self.ended} of {self.jobs} jobs have ended"


class MapList(list[MapInfo]):
    """Maps, shown as a table."""

    _HEAD = ("tag", "created", "items", "function", "state")

    def _rows(self) -> list[tuple[str, ...]]:
        return [
            (m.tag, f"{m.created:%Y-%m-%d %H:%M}" if m.created else "?", str(m.items), m.function, m.summary)
            for m in self
        ]

    def __repr__(self) -> str:
        if not self:
            return "no maps"
        rows = [self._HEAD, *self._rows()]
        widths = [max(len(row[column]) for row in rows) for column in range(len(self._HEAD) - 1)]
        return "\n".join(
            "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]])
            for row in rows
        )

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{name}</th>" for name in self._HEAD)
        body = "".join(
            f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in self._rows()
        )
        return f"<table><tr>{head}</tr>{body}</table>"


def maps() -> MapList:
    """Return the maps in condormap's folder, the oldest first; no pool is asked.

    Returns
    -------
    list of MapInfo
        It is shown as a table.
    """
    found = MapList()
    for tag in all_tags():
        try:
            info = map_info(tag)
        except InvalidInputError:
            continue  # it was removed a moment ago
        if info.tag == tag:  # else a tag that it no longer has
            found.append(info)
    found.sort(
        key=lambda info: (info.created is not None, info.created and info.created.timestamp(), info.tag)
    )
    return found


def map_info(tag: str) -> MapInfo:
    """Return what the folder of one map tells."""
    folder = folder_of(tag)
    try:
        record = store.read_record(folder)
        created = datetime.datetime.fromtimestamp(record.created).astimezone()
        sizes = [
            ((part / CHUNKS_FILE).stat().st_size // 16, read_cluster(part))
            for part in store.submission_folders(folder)
            if not was_given_up(part)
        ]
        n_jobs = sum(size for size, _ in sizes)
        n_items = max([record.n_items, *map(_stop, store.submission_folders(folder))])
        ended, finished = _progress(record.log(folder), sizes) if sizes else (0, True)
        return MapInfo(record.tag, created, record.function, n_items, n_jobs, ended, finished, folder)
    except (OSError, ValueError, TypeError) as error:
        return MapInfo(tag, None, "?", 0, 0, None, False, folder, str(error))


def _stop(part: Path) -> int:
    """Return the number of items of a map that has just this submission; 0 where it does not tell."""
    if (part / SELECTION_FILE).exists():
        return 0
    with (part / CHUNKS_FILE).open("rb") as file:
        return int.from_bytes(file.read()[-8:], "little")


def _progress(log: Path, sizes: list[tuple[int, int | None]]) -> tuple[int | None, bool]:
    """Return how many jobs have ended, of so many each in these clusters, and whether that is all."""
    ended: Counter[int] = Counter()
    seen: dict[bytes, set[int]] = {b"035": set(), b"036": set()}
    try:
        for kind, id in _events(log):
            if kind in seen:
                seen[kind].add(id)
            else:
                ended[id] += 1
    except OSError:
        return None, False
    factories, gone = seen[b"035"], seen[b"036"]
    n_ended, finished = 0, True
    for n_jobs, cluster in sizes:
        if cluster is None:
            finished = False
            continue
        n_ended += n_jobs if cluster in gone else min(ended[cluster], n_jobs)
        is_over = cluster in gone if cluster in factories else ended[cluster] >= n_jobs
        finished = finished and is_over
    return n_ended, finished


def _events(log: Path) -> Iterator[tuple[bytes, int]]:
    """Yield the kinds and the clusters of the events that tell of ends."""
    rest = b"\n"
    with log.open("rb") as file:
        while block := file.read(_BLOCK):
            lines, newline, begun = (rest + block).rpartition(b"\n")
            for kind, cluster in _EVENTS.findall(lines):
                yield kind, int(cluster)
            rest = newline + begun
