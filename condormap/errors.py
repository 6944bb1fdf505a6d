"""Every error that condormap raises on purpose, drawn as a tree.

::

    CondormapError
    ├── InvalidInputError (ValueError)        refused before anything was submitted
    │   ├── SerializationError                a function, item or result that cannot be pickled
    │   ├── ExecutableError                   a file that no job could execute
    │   ├── ImpossibleRequestError            a request that no slot of the pool could ever satisfy
    │   └── JdfError                          a mistake in a job description file, with the file and line
    ├── StorageError (OSError)                a map's folder: full, unwritable, damaged, missing
    ├── PoolError                             the pool as a whole
    │   ├── NoPoolError                       nothing is configured and nothing runs
    │   ├── DaemonsNotFoundError              no HTCondor daemons on this machine
    │   ├── InstallError                      the daemons could not be installed
    │   ├── PoolLostError (BrokenExecutor)    the pool of an executor no longer answers
    │   └── PoolStartError                    a personal pool did not start
    │       └── PoolRunningError              one runs in this folder already
    ├── CondorError                           a call to HTCondor failed
    │   ├── UnreachableError (ConnectionError)  refused, unknown host, gone while the call was under way
    │   ├── UnknownScheddError                the collector knows no schedd of that name
    │   ├── NotAuthorizedError (PermissionError)
    │   ├── DeadlineError (TimeoutError)      no answer within the call's deadline
    │   ├── RefusedError                      HTCondor answered, and the answer was no
    │   │   └── SubmitRefusedError            the schedd (or the submit language) refused a submission
    │   ├── SubmitUnknownError                a submit whose end could not be found out
    │   └── NoSuchJobError                    not in the queue (any more), so nothing can be done to it
    ├── UnsubmittedJobError                   asked of a job what only a submitted one has: submit() it first
    ├── JobError                              a job gave no outcome for its items
    │   ├── JobHeldError                      on hold: the reason, its code in words, what to do
    │   ├── JobRemovedError                   removed from the queue, by whom and why
    │   ├── JobDiedError                      ended without an outcome: exit code or signal, end of stderr
    │   ├── PreflightError                    the function cannot be loaded where the job ran
    │   └── JobLostError                      gone from the queue without a trace in the log
    ├── ItemError                             one item failed other than by an exception
    │   ├── CommandError                      the executable of a CondorMapper failed for this item
    │   │   └── MissingOutputError            it succeeded, and did not write what it was to write
    │   ├── ItemDiedError                     the worker process died while it computed this item
    │   ├── ItemTimeoutError (TimeoutError)   it took longer than item_timeout= allows
    │   └── RemoteError                       the item's exception or result could not travel; its text did
    ├── DetachedError                         the executor of a future gave its calls to the pool: attach() to it
    ├── TrajectoryError                       a trajectory, with the file and the frame
    │   ├── TrajectoryInputError (InvalidInputError)  what was asked for isn't in it, or it isn't there
    │   ├── TrajectoryDamagedError            empty, cut off, or not what its name says
    │   └── TrajectoryChangedError            another file now than when it was described
    ├── ReduceError                           a reducer or an on_complete function failed; the results are kept
    ├── TooManyFailuresError                  as many items failed as max_failures= allows; the rest was removed
    └── WaitTimeoutError (TimeoutError)       results were asked for with a timeout, and it passed

Exceptions that the user's own function raises are not wrapped: they come back as themselves, with a
`RemoteTraceback` as their cause.
"""

from __future__ import annotations

from concurrent.futures import BrokenExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .in_job.outcome import Outcome

__all__ = [
    "CommandError",
    "CondorError",
    "CondormapError",
    "DaemonsNotFoundError",
    "DeadlineError",
    "DetachedError",
    "ExecutableError",
    "FileAsTextWarning",
    "ImpossibleRequestError",
    "InstallError",
    "InvalidInputError",
    "ItemDiedError",
    "ItemError",
    "ItemTimeoutError",
    "JdfError",
    "JobDiedError",
    "JobError",
    "JobHeldError",
    "JobLostError",
    "JobRemovedError",
    "MissingOutputError",
    "NoPoolError",
    "NoSuchJobError",
    "NotAuthorizedError",
    "PoolError",
    "PoolLostError",
    "PoolRunningError",
    "PoolStartError",
    "PreflightError",
    "ReduceError",
    "RefusedError",
    "RemoteError",
    "RemoteTraceback",
    "SerializationError",
    "SharedRandomStateWarning",
    "StorageError",
    "SubmitRefusedError",
    "SubmitUnknownError",
    "TooManyFailuresError",
    "TrajectoryChangedError",
    "TrajectoryDamagedError",
    "TrajectoryError",
    "TrajectoryInputError",
    "UnknownScheddError",
    "UnreachableError",
    "UnsubmittedJobError",
    "WaitTimeoutError",
]


class CondormapError(Exception):
    """The root: catch this to catch everything that condormap raises on purpose."""


class InvalidInputError(CondormapError, ValueError):
    """The call was refused before anything was submitted."""


class SerializationError(InvalidInputError):
    """A function, an item or a result cannot be pickled; the message says which and why."""


class ExecutableError(InvalidInputError):
    """No job could execute this file; the message says why, and how to mend it."""


class ImpossibleRequestError(InvalidInputError):
    """The job asks for more than any slot of the pool could ever give."""


class JdfError(InvalidInputError):
    """A mistake in a job description file; the message begins with the file and the line.

    Attributes
    ----------
    path : str
        The file; ``"<text>"`` for a description that is not in one, empty for commands that are not text.
    line : int
        The line, counted from 1; 0 where it is about the whole file.
    """

    def __init__(self, message: str, *, path: str = "<text>", line: int = 0) -> None:
        where = f"{path}:{line}: " if path and line else f"{path}: " if path else ""
        super().__init__(where + message)
        self.path = path
        self.line = line


class StorageError(CondormapError, OSError):
    """A folder of condormap's cannot be written, read or understood."""


class PoolError(CondormapError):
    """Something about the pool as a whole."""


class NoPoolError(PoolError):
    """No pool is configured, none runs, and none may be started; the message names the command to run."""


class DaemonsNotFoundError(PoolError):
    """No HTCondor daemons were found on this machine."""


class InstallError(PoolError):
    """The HTCondor daemons could not be installed; the message lists what the user can do."""


class PoolLostError(PoolError, BrokenExecutor):
    """The pool of a `CondorExecutor` has not answered for a minute, or its folder is gone; the cause says more."""


class PoolStartError(PoolError):
    """A personal pool did not start; the message ends with the last lines of its log."""


class PoolRunningError(PoolStartError):
    """A pool runs in this folder already."""


class CondorError(CondormapError):
    """A call to HTCondor failed."""


class UnreachableError(CondorError, ConnectionError):
    """The daemon refused the connection, has no such host, or went away while the call was under way."""


class UnknownScheddError(CondorError):
    """The collector knows no schedd of that name."""


class NotAuthorizedError(CondorError, PermissionError):
    """The daemon answered that this user may not do that, or could not authenticate the user."""


class DeadlineError(CondorError, TimeoutError):
    """The daemon did not answer within the call's deadline."""


class RefusedError(CondorError):
    """HTCondor answered, and the answer was no."""


class SubmitRefusedError(RefusedError):
    """The submit description was not accepted; nothing was submitted.

    Attributes
    ----------
    said : str
        HTCondor's own words where it could make no job of the description; empty where the schedd refused it.
    """

    def __init__(self, message: str, *, said: str = "") -> None:
        super().__init__(message)
        self.said = said


class SubmitUnknownError(CondorError):
    """A submit got no answer and its job could not be looked for: it may or may not be in the queue."""


class NoSuchJobError(CondorError):
    """The job is not in the queue. If it once was, the message says how it ended."""


class UnsubmittedJobError(CondormapError):
    """The job (or cluster) has not been submitted, so it has no id, no state, no ad: call ``submit()`` first."""


class JobError(CondormapError):
    """A job gave no outcome for the item that was asked for.

    Attributes
    ----------
    job : str
        The job's id, ``"cluster.proc"``.
    items : range or tuple of int
        The items that the job was to compute.
    """

    def __init__(self, message: str, *, job: str = "", items: range | tuple[int, ...] = ()) -> None:
        super().__init__(message)
        self.job = job
        self.items = items


class JobHeldError(JobError):
    """The job is on hold. It still is in the queue: mend the reason and release it.

    Attributes
    ----------
    code, subcode : int
        HTCondor's HoldReasonCode and HoldReasonSubCode.
    """

    def __init__(
        self,
        message: str,
        *,
        job: str = "",
        items: range | tuple[int, ...] = (),
        code: int = 0,
        subcode: int = 0,
    ) -> None:
        super().__init__(message, job=job, items=items)
        self.code = code
        self.subcode = subcode


class JobRemovedError(JobError):
    """The job was removed from the queue before its items were computed."""


class JobDiedError(JobError):
    """The job ended without an outcome for the item."""


class PreflightError(JobError):
    """The function cannot be loaded where the job ran: another Python, a missing or other module.

    What loading it raised is the cause. Whoever waits for the map removes its other jobs.
    """


class JobLostError(JobError):
    """The job is gone from the queue, and neither its log nor the history says how it ended."""


class ItemError(CondormapError):
    """One item failed other than by an exception of the function."""


class CommandError(ItemError):
    """The executable of a `CondorMapper` failed for this item, or could not be started.

    Attributes
    ----------
    outcome : Outcome
        Its exit code, what it printed, and the output files that were there.
    """

    def __init__(self, message: str, *, outcome: Outcome) -> None:
        super().__init__(message)
        self.outcome = outcome

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), outcome=self.outcome), self.args, vars(self)


class MissingOutputError(CommandError):
    """The executable succeeded, and an output file that it was to write is not there."""


class ItemDiedError(ItemError):
    """The worker process died while it computed this item (segfault, ``os._exit``, killed by the kernel)."""


class ItemTimeoutError(ItemError, TimeoutError):
    """The item took longer than ``item_timeout=`` allows, so its process was killed."""


class RemoteError(ItemError):
    """The item's exception or result could not be pickled or unpickled; its text is in the message."""


class DetachedError(CondormapError):
    """The executor of this future left its calls to the pool; `CondorExecutor.attach` finds them again."""


class TooManyFailuresError(CondormapError):
    """As many items failed as the map's ``max_failures`` allows, so its other jobs were removed.

    The first of the failures is the cause.
    """


class RemoteTraceback(Exception):
    """The traceback of an exception in a job, as text; the ``__cause__`` of the exception that comes back."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'


class TrajectoryError(CondormapError):
    """Something about a trajectory.

    Attributes
    ----------
    path : str
        The file; empty for a trajectory in memory.
    frame : int or None
        The frame, by its number in the file, where it is about one.
    """

    def __init__(self, message: str, *, path: str = "", frame: int | None = None) -> None:
        super().__init__(message)
        self.path = path
        self.frame = frame


class TrajectoryInputError(TrajectoryError, InvalidInputError):
    """What was asked for isn't in the trajectory, or there is none; nothing was submitted."""


class TrajectoryDamagedError(TrajectoryError):
    """The file is empty, ends too soon, or isn't of the format that its name says."""


class TrajectoryChangedError(TrajectoryError):
    """The file has grown or was replaced since it was described: describe it again."""


class ReduceError(CondormapError):
    """A reducer or an on_complete function failed. All results are kept, and it can be repeated.

    Attributes
    ----------
    stage : str
        The method of the reducer that failed (``"add"``, ``"merge"``, ``"finish"``, ``"zero"``), ``"until"`` or
        ``"on_complete"``; ``"load"``, ``"read"`` or ``"save"`` where it could not be got at or kept.
    """

    def __init__(self, message: str, *, stage: str) -> None:
        super().__init__(message)
        self.stage = stage


class WaitTimeoutError(CondormapError, TimeoutError):
    """The timeout passed before the results were there; the jobs go on, the handle stays usable."""


class FileAsTextWarning(UserWarning):
    """An item of a `CondorMapper` names a file in text, where a `Path` would have the job find it."""


class SharedRandomStateWarning(UserWarning):
    """The function refers to a random generator, so that all jobs would draw the same numbers from it."""
