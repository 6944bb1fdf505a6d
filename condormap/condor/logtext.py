"""Reading what a map needs of a job event log: in the calling process, without the bindings, and fast.

An event is a head, a body whose lines are indented, and a line of three dots (HTCondor, condor_event.cpp)::

    012 (078.000.000) 2026-11-22 06:18:01 Job was held.
        The job (pid 4711) was using too much memory
        Code 34 Subcode 102
    ...

`Condor.events` reads all events with all attributes, in the child and at a fifth of the speed. Both tell the same,
by the same names; the tests compare them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

#: Number, cluster, proc (-1 for an event of a whole cluster), and those attributes that a map needs.
LogEvent = tuple[int, int, int, dict[str, Any]]

_BLOCK = 1 << 20  # bytes that are read at once; an event has 200 to 1,000
_END = b"\n...\n"
_TAIL = 64  # bytes before the offset by which a log is known again: the last event's
_HEAD = re.compile(rb"(\d{3}) \((-?\d+)\.(-?\d+)\.-?\d+\) \d")
_ANY_HEAD = re.compile(rb"\d{3} \(-?\d+\.-?\d+\.-?\d+\) (?:\d{4}-\d\d-\d\d|\d\d/\d\d)[ T]\d\d:\d\d:\d\d")
_ENDING = re.compile(
    rb"\n\t\(\d\) (?:Normal termination \(return value|Abnormal termination \(signal) (-?\d+)\)"
)
_MADE = re.compile(rb"\n\tMaterialized (\d+) jobs from -?\d+ items\.")
_HOLD_CODES = re.compile(rb"\tCode (-?\d+) Subcode (-?\d+)")


@dataclass(frozen=True, slots=True)
class Place:
    """How far a log has been read.

    Parameters
    ----------
    offset : int
        Behind the last complete event.
    tail : bytes
        The bytes before `offset`, by which a log that was replaced by another is noticed.
    size : int
        The log's size when there was no complete event behind `offset`.
    """

    offset: int = 0
    tail: bytes = b""
    size: int = -1


class LogPart(NamedTuple):
    """What `read_part` read.

    Parameters
    ----------
    events : list
        The events that a map needs.
    n_events : int
        How many there were of all kinds.
    place : Place
        Where to go on.
    damage : str or None
        What is wrong with the log: events may be missing. One that was cut off or replaced is read from its
        beginning, so that events may come again.
    """

    events: list[LogEvent]
    n_events: int
    place: Place
    damage: str | None


def read_part(path: Path, place: Place) -> LogPart:
    """Read the complete events of the next megabyte of a log; never wait for any.

    Parameters
    ----------
    path : Path
        The log.
    place : Place
        ``Place()``, or that of the part before, which this or another process read.

    Raises
    ------
    OSError
        It cannot be read.
    """
    size = os.stat(path).st_size
    if size in (place.offset, place.size):
        return LogPart([], 0, place, None)
    if size < place.offset:
        what = f"it has {size} bytes, and {place.offset} bytes of it had been read"
        return _begin_again(path, what)
    with open(path, "rb", buffering=0) as file:
        file.seek(place.offset - len(place.tail))
        block = file.read(len(place.tail) + _BLOCK)
    if not block.startswith(place.tail):
        return _begin_again(path, "it was replaced by another file")
    return _read_block(path, block[len(place.tail) :], place, size)


def _begin_again(path: Path, what: str) -> LogPart:
    return read_part(path, Place())._replace(damage=f"{path} is damaged: {what}")


def _read_block(path: Path, block: bytes, place: Place, size: int) -> LogPart:
    end = block.rfind(_END) + len(_END)
    if end < len(_END):
        if len(block) < _BLOCK:
            return LogPart([], 0, replace(place, size=size), None)  # an event that is being written
        end = len(block) - len(_END)
        return LogPart([], 0, _after(place, block[:end]), _damage(path, place, (0, end)))
    texts = block[: end - len(_END)].split(_END)
    # Every event's number begins with 0, and hardly another line does: one quick look for nearly every log.
    whole = block.startswith(b"0") + block.count(b"\n0", 0, end) == len(texts)
    events, bad = _parse(texts) if whole else None, None
    if events is None:
        events, bad = _salvage(texts)
    return LogPart(events, len(texts), _after(place, block[:end]), bad and _damage(path, place, bad))


def _after(place: Place, data: bytes) -> Place:
    return Place(place.offset + len(data), (place.tail + data[-_TAIL:])[-_TAIL:])


def _damage(path: Path, place: Place, bad: tuple[int, int]) -> str:
    return f"{path} is damaged: bytes {place.offset + bad[0]} to {place.offset + bad[1]} are no event"


def _salvage(texts: list[bytes]) -> tuple[list[LogEvent], tuple[int, int] | None]:
    """Return the events of texts that are not all events, and from where to where the first is that is none."""
    events: list[LogEvent] = []
    bad, begin = None, 0
    for text in texts:
        found = None if _ANY_HEAD.search(text, 1) else _parse([text])
        if found is None:
            bad = bad or (begin, begin + len(text))
            found = [event for part in _parts(text) for event in _parse([part]) or ()]
        events += found
        begin += len(text) + len(_END)
    return events, bad


def _parts(text: bytes) -> list[bytes]:
    """Return what looks like events in a text that should be one: each head, wherever in its line, and on."""
    parts: list[bytes] = []
    for line in text.split(b"\n"):
        heads = [] if line[:1] in (b" ", b"\t") else list(_ANY_HEAD.finditer(line))
        if heads:
            parts.append(line[heads[-1].start() :])
        elif parts:
            parts[-1] += b"\n" + line
    return parts


def _parse(texts: list[bytes]) -> list[LogEvent] | None:
    """Return the events of these texts that a map needs; None where one of them is no event."""
    events: list[LogEvent] = []
    for text in texts:
        head = _HEAD.match(text)
        if head is None:
            return None
        number, cluster, proc = head.groups()
        read_body = _BODIES.get(number)
        if read_body is not None:
            info = read_body(text)
            if info is None:
                return None
            events.append((int(number), int(cluster), int(proc), info))
    return events


# -- bodies: the attributes, by the names that the bindings give them; None for what is no such body --------------


def _nothing(text: bytes) -> dict[str, Any] | None:
    return {}


def _submit(text: bytes) -> dict[str, Any] | None:
    info = {}
    for place, line in enumerate(text.split(b"\n")[1:]):
        line = line.strip()
        if line.startswith(b"["):  # the schedd's own notes
            info["LogNotes"] = _text(line)
        elif line and place < 2 and not line.startswith(b"WARNING: "):
            info["UserNotes" if place else "LogNotes"] = _text(line)
    return info


def _execute(text: bytes) -> dict[str, Any] | None:
    _, _, after = text.partition(b"Job executing on host: ")
    host, _, body = after.partition(b"\n")
    info = {"ExecuteHost": _text(host.strip())}
    if body.startswith(b"\tSlotName:"):
        info["SlotName"] = _text(body[10:].partition(b"\n")[0].strip().strip(b'"'))
    return info


def _terminated(text: bytes) -> dict[str, Any] | None:
    ending = _ENDING.search(text)
    if ending is None:
        return None
    return {"ReturnValue" if b"(1) Normal" in ending[0] else "TerminatedBySignal": int(ending[1])}


def _aborted(text: bytes) -> dict[str, Any] | None:
    reason = _line(text, 1).strip()
    return {"Reason": _text(reason)} if reason else {}


def _held(text: bytes) -> dict[str, Any] | None:
    reason, codes = _line(text, 1).strip(), _HOLD_CODES.match(_line(text, 2))
    info: dict[str, Any] = {"HoldReasonCode": 0, "HoldReasonSubCode": 0}
    if reason and reason != b"Reason unspecified":
        info["HoldReason"] = _text(reason)
    if codes is not None:
        info["HoldReasonCode"], info["HoldReasonSubCode"] = int(codes[1]), int(codes[2])
    return info


def _paused(text: bytes) -> dict[str, Any] | None:
    reason = _line(text, 1).lstrip()
    return {"Reason": _text(reason)} if reason else {}


def _cluster_gone(text: bytes) -> dict[str, Any] | None:
    n_jobs = _MADE.search(text)
    return {} if n_jobs is None else {"NextProcId": int(n_jobs[1])}


def _line(text: bytes, number: int) -> bytes:
    return (text.split(b"\n", number + 1) + [b""] * number)[number]


def _text(data: bytes) -> str:
    return data.decode(errors="replace")


# By the event's number: HTCondor manual, "Job Event Log Codes".
_BODIES: dict[bytes, Callable[[bytes], dict[str, Any] | None]] = {
    b"000": _submit,
    b"001": _execute,
    b"004": _nothing,  # evicted
    b"005": _terminated,
    b"007": _nothing,  # shadow exception
    b"009": _aborted,
    b"010": _nothing,  # suspended
    b"011": _nothing,  # unsuspended
    b"012": _held,
    b"013": _nothing,  # released
    b"024": _nothing,  # reconnect failed
    b"036": _cluster_gone,
    b"037": _paused,
    b"038": _nothing,  # the factory goes on
}
