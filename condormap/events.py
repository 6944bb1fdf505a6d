"""What the events of a job event log say of a job: for the jobs of a map and for plain jobs alike."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .more_memory import holds_of, is_for_memory
from .status import JobStatus


class EventType(enum.IntEnum):
    """The kinds of events, with HTCondor's own numbers: its manual, "Job Event Log Codes"."""

    SUBMIT = 0
    EXECUTE = 1
    EXECUTABLE_ERROR = 2
    CHECKPOINTED = 3
    JOB_EVICTED = 4
    JOB_TERMINATED = 5
    IMAGE_SIZE = 6
    SHADOW_EXCEPTION = 7
    GENERIC = 8
    JOB_ABORTED = 9
    JOB_SUSPENDED = 10
    JOB_UNSUSPENDED = 11
    JOB_HELD = 12
    JOB_RELEASED = 13
    NODE_EXECUTE = 14
    NODE_TERMINATED = 15
    POST_SCRIPT_TERMINATED = 16
    REMOTE_ERROR = 21
    JOB_DISCONNECTED = 22
    JOB_RECONNECTED = 23
    JOB_RECONNECT_FAILED = 24
    GRID_RESOURCE_UP = 25
    GRID_RESOURCE_DOWN = 26
    GRID_SUBMIT = 27
    JOB_AD_INFORMATION = 28
    JOB_STATUS_UNKNOWN = 29
    JOB_STATUS_KNOWN = 30
    JOB_STAGE_IN = 31
    JOB_STAGE_OUT = 32
    ATTRIBUTE_UPDATE = 33
    PRESKIP = 34
    CLUSTER_SUBMIT = 35
    CLUSTER_REMOVE = 36
    FACTORY_PAUSED = 37
    FACTORY_RESUMED = 38
    NONE = 39
    FILE_TRANSFER = 40
    RESERVE_SPACE = 41
    RELEASE_SPACE = 42
    FILE_COMPLETE = 43
    FILE_USED = 44
    FILE_REMOVED = 45
    DATAFLOW_JOB_SKIPPED = 46
    UNKNOWN = -1

    @classmethod
    def _missing_(cls, value: object) -> EventType:
        return cls.UNKNOWN  # of a newer HTCondor than this list


_NEXT_STATUS: dict[int, JobStatus] = {
    EventType.SUBMIT: JobStatus.IDLE,
    EventType.EXECUTE: JobStatus.RUNNING,
    EventType.JOB_EVICTED: JobStatus.IDLE,
    EventType.SHADOW_EXCEPTION: JobStatus.IDLE,
    EventType.JOB_RECONNECT_FAILED: JobStatus.IDLE,
    EventType.JOB_RELEASED: JobStatus.IDLE,
    EventType.JOB_SUSPENDED: JobStatus.SUSPENDED,
    EventType.JOB_UNSUSPENDED: JobStatus.RUNNING,
    EventType.JOB_HELD: JobStatus.HELD,
    EventType.JOB_ABORTED: JobStatus.REMOVED,
    EventType.JOB_TERMINATED: JobStatus.COMPLETED,
}
# By themselves, for each event is compared with them, and Python 3.11 takes long to find a member of an enum.
_EXECUTE, _HELD = EventType.EXECUTE, EventType.JOB_HELD
_ABORTED, _TERMINATED = EventType.JOB_ABORTED, EventType.JOB_TERMINATED
_TRANSFER_OUTPUT = 12  # a HoldReasonCode

#: The attributes of an ad that `JobFacts.note_ad` reads.
AD_ATTRIBUTES = (
    "JobStatus HoldReason HoldReasonCode HoldReasonSubCode NumHoldsByReason RemoveReason"
    " ExitCode ExitBySignal ExitSignal RemoteHost LastRemoteHost"
).split()


@dataclass(slots=True)
class JobFacts:
    """What the events of one job have told so far.

    Attributes
    ----------
    status : JobStatus
        Its state.
    host : str
        The slot that it runs on, or ran on last.
    reason : str
        Why it is on hold, or was removed.
    code, subcode : int
        HTCondor's codes of the hold.
    exit_code, signal : int or None
        How it ended.
    memory_holds : int
        How often it was held because it used more memory than it asked for.
    undelivered : bool
        What it wrote when it ended last could not be brought home, or not all of it.
    """

    status: JobStatus = JobStatus.IDLE
    host: str = ""
    reason: str = ""
    code: int = 0
    subcode: int = 0
    exit_code: int | None = None
    signal: int | None = None
    memory_holds: int = 0
    undelivered: bool = False

    def note(self, kind: int, info: Mapping[str, Any]) -> bool:
        """Take note of an event, by its number and its attributes; return whether it tells of the state."""
        status = _NEXT_STATUS.get(kind)
        if status is None:
            return False
        self.status = status
        if kind == _EXECUTE:
            self.host = str(info.get("SlotName") or info.get("ExecuteHost", ""))
        elif kind == _HELD:
            self.note_hold(info)
            self.memory_holds += is_for_memory(self.code, self.subcode)
        elif kind == _ABORTED:
            self.reason = str(info.get("Reason", ""))
        elif kind == _TERMINATED:
            self.exit_code, self.signal = info.get("ReturnValue"), info.get("TerminatedBySignal")
            self.undelivered = False
        return True

    def note_hold(self, info: Mapping[str, Any]) -> None:
        """Take note of why the job is on hold, by an event or an ad, which name it alike."""
        self.status = JobStatus.HELD
        self.reason = str(info.get("HoldReason") or "")
        self.code = int(info.get("HoldReasonCode") or 0)
        self.subcode = int(info.get("HoldReasonSubCode") or 0)
        self.undelivered |= self.code == _TRANSFER_OUTPUT

    def note_ad(self, ad: Mapping[str, Any]) -> None:
        """Take note of what an ad of the queue or of the history says."""
        self.status = JobStatus(ad["JobStatus"])
        self.host = str(ad.get("RemoteHost") or ad.get("LastRemoteHost") or self.host)
        if self.status is JobStatus.HELD:
            self.note_hold(ad)
            self.memory_holds = holds_of(ad)
        elif self.status is JobStatus.REMOVED:
            self.reason = str(ad.get("RemoveReason") or self.reason)
        elif self.status is JobStatus.COMPLETED:
            signalled = ad.get("ExitBySignal") is True
            self.exit_code = None if signalled else ad.get("ExitCode")
            self.signal = ad.get("ExitSignal") if signalled else None
