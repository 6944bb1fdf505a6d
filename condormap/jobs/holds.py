"""What to do about a plain job that is on hold, by HTCondor's codes."""

from __future__ import annotations

_RELEASE = "release() it"
_FILES = "make the folder writable (and the path right, by edit()) for the job, then release() it"
_TIME = "edit() its limit (AllowedJobDuration, AllowedExecuteDuration), then release() it; or remove() it"
_MEMORY = "edit(RequestMemory=...) asks for more, in MB; then release() it"
_ADVICE = {  # by code and subcode; -1 for any
    (1, -1): _RELEASE,
    (3, -1): "release() it if its reason is gone, or edit() the expression that put it on hold before",
    (5, -1): "edit() the policy expression (PeriodicHold, OnExitRemove...), then release() it",
    (
        6,
        2,
    ): "put the program, or its interpreter, where the job looks for it, then release() it; or submit() another"
    " job with the right path",
    (6, -1): "mend the program, then release() it; or remove() it and submit() another job",
    (7, -1): _FILES,
    (8, -1): "put the file back, then release() it",
    (9, -1): _FILES,
    (12, -1): "release() runs the job again, once its output has where to go",
    (13, -1): "put back what is missing, then release() it",
    (14, -1): "make the directory accessible for the job, then release() it",
    (15, -1): _RELEASE,
    (16, -1): "nothing: it is released when its files are there",
    (21, 102): _MEMORY,
    (22, -1): "make its event log writable for the schedd, then release() it",
    (34, 102): _MEMORY,
    (34, 104): "edit(RequestDisk=...) asks for more, in KB; then release() it",
    (34, -1): "edit() what it asks for (RequestMemory, RequestDisk, RequestCpus), then release() it",
    (46, -1): _TIME,
    (47, -1): _TIME,
}


def advice(code: int, subcode: int) -> str:
    """Return what to do about a hold of these codes."""
    return (
        _ADVICE.get((code, subcode))
        or _ADVICE.get((code, -1))
        or "mend the reason and release() it, or remove() it"
    )
