"""What the calls of `Condor` take and give back: plain data."""

from __future__ import annotations

import datetime
import enum
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

#: Stands in an `Expansion` for what is only known when the job is in the queue.
LATER = "\x1elater\x1e"


class Action(enum.Enum):
    """What can be done to jobs in the queue; the values are the names that users type."""

    HOLD = "hold"
    RELEASE = "release"
    REMOVE = "remove"
    VACATE = "vacate"
    VACATE_FAST = "vacate-fast"
    SUSPEND = "suspend"
    CONTINUE = "continue"


@dataclass(frozen=True)
class Submitted:
    """One submission as it stands in the queue.

    Parameters
    ----------
    cluster : int
        The cluster's id.
    first_proc : int
        The first job's id in the cluster.
    n_procs : int
        The number of jobs, of a factory the number that it will make.
    warnings : tuple of str
        What the submit language and the schedd warned of.
    """

    cluster: int
    first_proc: int
    n_procs: int
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Expansion:
    """What HTCondor makes of one queue statement and the commands above it, before anything is submitted.

    Parameters
    ----------
    mistake : int or None
        The number of commands that HTCondor can read, if it cannot read all: the next one is wrong. Then, and if
        it is not reached, or if macros refer to each other in a circle, the rest is empty.
    said : str
        What that command says behind its colon (``error : text``, ``include : file``), with macros expanded.
    loop : list of str
        Macros that refer to each other in a circle, which HTCondor would follow for ever.
    reached : bool
        False for a queue statement in an ``if`` that is not taken.
    commands : dict
        The commands as they were written, those of included files too.
    variables, rows : list
        The variables of the queue statement, and their values for each item (after the slice).
    n_jobs : int
        How many jobs it makes.
    values : list of dict
        The wanted commands with all macros expanded, each combination once. A cluster's id, which is not known
        yet, is `LATER`.
    wrong_calls : list of (str, str, str, str)
        Calls of macro functions that come to nothing: the command, the function, its arguments, why.
    warnings : list of (int, str)
        The commands ``warning : text`` that HTCondor comes to: their numbers and what they say.
    script : (str, int, str) or None
        The program that gave the items, its exit status, the end of its standard error.
    included : list of int
        Exit statuses, other than 0, of programs that were included.
    """

    mistake: int | None = None
    said: str = ""
    loop: list[str] = field(default_factory=list)
    reached: bool = True
    commands: dict[str, str] = field(default_factory=dict)
    variables: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    n_jobs: int = 0
    values: list[dict[str, str]] = field(default_factory=list)
    wrong_calls: list[tuple[str, str, str, str]] = field(default_factory=list)
    warnings: list[tuple[int, str]] = field(default_factory=list)
    script: tuple[str, int, str] | None = None
    included: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class ActResult(Mapping[str, int]):
    """HTCondor's totals of one action: ``TotalSuccess``, ``TotalNotFound``, ``TotalPermissionDenied``...

    Of a factory, ``TotalSuccess`` counts the cluster's own ad too: 7 for a cluster of 6 jobs.
    """

    totals: dict[str, int]

    def __getitem__(self, key: str) -> int:
        return self.totals[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.totals)

    def __len__(self) -> int:
        return len(self.totals)


@dataclass(frozen=True)
class Match:
    """How the requirements of a job and those of a pool's slots meet.

    Slots that were split from others are not counted; those that can be split count as they are when unused.

    Parameters
    ----------
    n_slots : int
        The pool's slots.
    clauses : list of dict
        The parts of the job's requirements that all have to be true: ``text``, ``n_slots`` that fulfil it, the
        ``job``'s own values in it, and what the ``slots`` have for it.
    n_fit : int
        The slots that fulfil all of them.
    n_willing : int
        Those of them whose own policy takes the job.
    n_free : int
        Those of them that are free now.
    """

    n_slots: int
    clauses: list[dict[str, Any]]
    n_fit: int
    n_willing: int
    n_free: int


@dataclass(frozen=True)
class Fit:
    """How a pool's slots fit a request that is not in the queue.

    Slots are counted as in `Match`.

    Parameters
    ----------
    n_slots : int
        The pool's slots.
    n_fit : int
        Those that fulfil the requirements now.
    n_ever : int
        Those that fulfil all parts of the requirements that neither time, nor use, nor the queue can change.
    unfulfilled : dict
        The parts of the requirements that no slot fulfils now; for each, what slots have for its attributes.
    """

    n_slots: int
    n_fit: int
    n_ever: int
    unfulfilled: dict[str, dict[str, list[str]]]


@dataclass(frozen=True)
class Identity:
    """Who the schedd says that we are, and which schedd that is.

    Parameters
    ----------
    user : str
        The user as the schedd mapped us: ``"alice@lab.example"``.
    method : str
        The authentication method in use: ``"FS"``, ``"IDTOKENS"``...; empty where none was used.
    schedd, address, version : str
        The schedd's name, its address, and its ``CondorVersion``.
    """

    user: str
    method: str
    schedd: str
    address: str
    version: str


class Event(NamedTuple):
    """One event of a job event log.

    `type` is HTCondor's event number (0 submit, 1 execute, 5 terminated, ... 35-38 a factory's), `proc` is -1
    for an event of a whole cluster, `time` is in epoch seconds, `info` has the event's other attributes.
    """

    type: int
    cluster: int
    proc: int
    time: float
    info: dict[str, Any]


class EventBatch(NamedTuple):
    """Events in the order of the log, and the byte offset behind the last one.

    `damaged` is None, or says what is wrong with the log: events may be missing, before, among or after these.
    """

    events: list[Event]
    offset: int
    damaged: str | None


def read_events(text: str) -> list[Event]:
    """Return the events of a JSON list, as the child reads them from a log."""
    seconds: dict[str, float] = {}  # many events of one second
    events = []
    for info in json.loads(text):
        stamp = info.pop("EventTime")
        if stamp not in seconds:
            # Local time, unless it ends in Z. (The bindings' own `timestamp` takes that for local time too.)
            seconds[stamp] = datetime.datetime.fromisoformat(stamp).timestamp()
        number, cluster, proc = info.pop("EventTypeNumber"), info.pop("Cluster", -1), info.pop("Proc", -1)
        events.append(Event(number, cluster, proc, seconds[stamp], info))
    return events
