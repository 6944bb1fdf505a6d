"""The states of jobs and items, and HTCondor's hold codes in words."""

from __future__ import annotations

import enum


class JobStatus(enum.IntEnum):
    """The state of a job, with HTCondor's own numbers (the attribute ``JobStatus``)."""

    IDLE = 1
    RUNNING = 2
    REMOVED = 3
    COMPLETED = 4
    HELD = 5
    TRANSFERRING_OUTPUT = 6
    SUSPENDED = 7


class ItemState(enum.StrEnum):
    """The state of an item of a map; the last four are for good."""

    IDLE = "idle"
    RUNNING = "running"
    HELD = "held"
    RESULT = "result"
    ERROR = "error"
    REMOVED = "removed"
    LOST = "lost"


# HoldReasonCode in words: HTCondor manual, "Job ClassAd Attributes", HoldReasonCode.
_HOLD_CODES = {
    1: "held by a user",
    3: "held by the job's own policy",
    4: "its credential is not valid",
    5: "the job's policy expression is undefined",
    6: "the program could not be started",
    7: "the file for its standard output could not be opened",
    8: "the file for its standard input could not be opened",
    9: "the file for its standard error could not be opened",
    12: "its output files could not be transferred",
    13: "its input files could not be transferred",
    14: "its initial directory is not accessible",
    15: "held at the user's request, at submission",
    16: "its input files are still being spooled",
    21: "the execute machine put it on hold",
    22: "its event log could not be written",
    26: "held by the policy of the pool",
    32: "its input is larger than the pool allows",
    33: "its output is larger than the pool allows",
    34: "it used more than it asked for",
    35: "its container image could not be used",
    46: "it ran longer than it was allowed to, all runs together",
    47: "it ran longer than it was allowed to",
}
_SUBCODES = {
    (21, 102): "it used more memory than it asked for",
    (34, 102): "it used more memory than it asked for",
    (34, 104): "it used more disk than it asked for",
    (6, 2): "the program, or the interpreter in its first line, is not there",
    (6, 8): "the program is in a format that the machine cannot execute",
    (6, 13): "the program is not executable",
}
_ADVICE = {
    6: "check the path of the interpreter on the execute machine, remove the map and run it again",
    7: "make the folder writable for the job, then release() it",
    9: "make the folder writable for the job, then release() it",
    14: "make the directory accessible from the execute machine, then release() it",
    22: "put the map's folder where the schedd can write (CONDORMAP_HOME)",
    34: "remove() it and run it again with a larger memory= or disk=",
}


def hold_in_words(code: int, subcode: int) -> str:
    """Return what a HoldReasonCode and HoldReasonSubCode mean."""
    return _SUBCODES.get((code, subcode)) or _HOLD_CODES.get(code, f"hold code {code}, subcode {subcode}")


def hold_advice(code: int, subcode: int = 0) -> str:
    """Return what to do about a hold."""
    if (code, subcode) == (21, 102):  # a startd without cgroups
        code = 34
    return _ADVICE.get(code, "mend the reason and release() it, or remove() it")
