"""What is known about one job, from the events of its log and from its ads. Nobody is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..condor import Event
from ..events import EventType, JobFacts
from ..status import JobStatus, hold_in_words

_SUBMIT = EventType.SUBMIT
_LAST = (EventType.JOB_ABORTED, EventType.JOB_TERMINATED)
_ENDED = (JobStatus.REMOVED, JobStatus.COMPLETED)


@dataclass(slots=True)
class JobRecord(JobFacts):
    """One job, as far as its events and ads have told.

    Attributes
    ----------
    in_log : bool
        Its log told of its submission, so it will tell of the rest too.
    lost : bool
        It is gone from the queue, and neither log nor history says how.
    """

    in_log: bool = False
    lost: bool = False

    @property
    def ended(self) -> bool:
        """Whether the job was completed or removed, from which no job comes back."""
        return self.status in _ENDED

    @property
    def ran(self) -> bool:
        """Whether the job runs, or has run."""
        return bool(self.host)

    @property
    def hold_reason(self) -> str | None:
        """Why the job is on hold; None for one that is not."""
        return self.hold_in_words() if self.status is JobStatus.HELD else None

    @property
    def remove_reason(self) -> str | None:
        """Why the job was removed, and by whom; None for one that was not."""
        return self.reason if self.status is JobStatus.REMOVED else None

    def take_event(self, event: Event) -> None:
        """Note what an event of the log says."""
        if event.type == _SUBMIT:
            self.in_log = True
        if (not self.ended or self.lost or event.type in _LAST) and self.note(event.type, event.info):
            self.lost = False

    def take_ad(self, ad: Mapping[str, Any]) -> None:
        """Note what an ad from the queue or from the history says."""
        self.note_ad(ad)
        self.lost = False

    def factory_paused(self, reason: str) -> None:
        """Note that the factory that is to make the job was put on hold; with no reason, that it was released."""
        self.status = JobStatus.HELD if reason else JobStatus.IDLE
        self.reason, self.code, self.subcode = reason, int(bool(reason)), 0

    def never_made(self) -> None:
        """Note that the job was removed before its factory made it."""
        self.status, self.reason = JobStatus.REMOVED, "its cluster was removed before the job was made"

    def not_found(self) -> None:
        """Note that the job is gone, and that nothing tells how."""
        self.status, self.lost = JobStatus.REMOVED, True
        self.reason = "it is gone from the queue, and neither its event log nor the history says how it ended"

    def in_words(self) -> str:
        """Return the state as a clause: ``"it completed with exit code 0"``."""
        if self.lost:
            return self.reason
        if self.status is JobStatus.COMPLETED and self.signal is not None:
            return f"it was ended by signal {self.signal}"
        if self.status is JobStatus.COMPLETED:
            return "it completed" + ("" if self.exit_code is None else f" with exit code {self.exit_code}")
        if self.status is JobStatus.REMOVED:
            return f"it was removed ({self.reason or 'no reason was given'})"
        if self.status is JobStatus.HELD:
            return f"it is on hold: {self.hold_in_words()}"
        words = {
            JobStatus.IDLE: "it is idle",
            JobStatus.RUNNING: f"it runs on {self.host}" if self.host else "it runs",
            JobStatus.TRANSFERRING_OUTPUT: "it has run, and its output is being transferred",
            JobStatus.SUSPENDED: "it is suspended",
        }
        return words[self.status]

    def hold_in_words(self) -> str:
        """Return why the job is on hold: the codes in words, then HTCondor's own reason."""
        words = hold_in_words(self.code, self.subcode)
        return f"{words} (code {self.code}, subcode {self.subcode}): {self.reason or 'no reason was given'}"
