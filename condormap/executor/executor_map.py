"""The map of an executor: it grows by a submission with every batch of calls.

It is in a folder like any other map. In ``executor/`` there is what an executor has beside: a lock, which it holds
as long as it uses the map; the numbers of the calls that were cancelled, which their jobs skip; and large arrays.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..address import PoolAddress
from ..capacity import jobs_at_once
from ..catalog import remove_finished
from ..condor import connect
from ..errors import (
    DeadlineError,
    InvalidInputError,
    SubmitUnknownError,
    UnreachableError,
    WaitTimeoutError,
)
from ..folders import store
from ..folders.locks import locked
from ..folders.tags import new_map
from ..payload.chunks import plan_chunks
from ..payload.item_store import write_items
from ..payload.serialize import modules_by_value, pickled_by_value, write_function
from ..payload.transfer import decide
from ..preparing import write_submissions
from ..state.map_state import MapState
from ..submission import Submission
from ..submitting import add_submissions, complete, submit_once, submit_or_discard
from .batch import Batch, place
from .callqueue import Call
from .cancelled import CancelledCalls
from .future import CondorFuture
from .pace import Pace
from .sending import CANCELLED_FILE, OWN, CallerInJob
from .shared import SharedBuffers

if TYPE_CHECKING:
    from ..jobs.group import JobGroup
    from ..jobs.job import Job

_FUNCTION = "condormap.CondorExecutor"  # what the map's record has as its function


class ExecutorMap:
    """The map of an executor that this process uses.

    Parameters
    ----------
    folder : Path
        Its folder.

    Attributes
    ----------
    state : MapState
        Its state.
    cancelled : CancelledCalls
        The calls that were cancelled.
    unsure : tuple or None
        A submission that may be in the queue, and its calls.

    Raises
    ------
    InvalidInputError
        It is no executor's, or another process uses it.
    CondorError, StorageError
        It can't be read, or completed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.record = store.read_record(folder)
        if self.record.function != _FUNCTION:
            raise InvalidInputError(
                f"{self.record.tag!r} is no executor's map, but one of {self.record.function}: "
                f"condormap.load({self.record.tag!r}) returns it"
            )
        self.condor = connect(self.record.address)
        self.unsure: tuple[Submission, dict[int, CondorFuture]] | None = None
        self.cancelled = CancelledCalls(folder / OWN / CANCELLED_FILE)
        self._by_value: tuple[tuple[frozenset[str], bool], list[str]] = ((frozenset(), False), [])
        self._groups: dict[int, JobGroup] = {}
        self._in_use = contextlib.ExitStack()
        try:
            self._in_use.enter_context(locked(folder / OWN, timeout=0.0))
        except WaitTimeoutError as error:
            raise InvalidInputError(
                f"the executor {self.record.tag!r} is in use by another process: it can be attached when that has "
                "ended, or has detached it"
            ) from error
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._in_use)
            submissions = complete(self.condor, folder, self.record.log(folder))
            self.state = MapState(folder, self.record, submissions, self.condor)
            self._in_use = stack.pop_all()

    @classmethod
    def create(cls, tag: str, address: PoolAddress) -> ExecutorMap:
        """Make the map of a new executor, without any call."""
        with new_map(tag) as new, store.storage_errors(new.final):
            write_items(new.folder, [[]])
            write_function(new.folder, CallerInJob(new.final))
            record = store.new_record(new.id, new.tag, 0, True, _FUNCTION, address)
            store.write_record(new.folder, record)
            store.make_log(new.folder, record)
            (new.folder / OWN).mkdir(mode=0o700)
            os.rename(new.folder, new.final)
        return cls(new.final)

    def close(self) -> None:
        """Let other processes use it."""
        self._in_use.close()

    # -- calls -----------------------------------------------------------------------------------------------

    def send(
        self, calls: Sequence[Call], number: Callable[[CondorFuture, int], bool], pace: Pace, *, limit: int
    ) -> dict[int, CondorFuture]:
        """Submit calls that ask for the same; return by item those that were submitted.

        A call for which there was no room has no `index` then. One that cannot be pickled has failed.

        Parameters
        ----------
        calls : sequence of Call
            The calls.
        number : callable
            Gives a call its number, unless it was cancelled; tells whether it did.
        pace : Pace
            How long such calls took.
        limit : int
            How many jobs there may be.

        Raises
        ------
        SubmitUnknownError
            The schedd did not answer; `send_unsure` finds out.
        CondormapError
            None was submitted.
        """
        options, chunksize = calls[0].options, calls[0].chunksize
        slots, transfer = jobs_at_once(self.condor, options), decide(self.condor, options)
        at_once = min(slots, limit)
        rounds = min(calls[0].rounds, pace.rounds((call.future.kind for call in calls), at_once))
        plan = plan_chunks(len(calls), chunksize=chunksize, slots=at_once, rounds=rounds)[:limit]
        with locked(self.folder) as lock:
            self.state.note_new_submissions()
            first = len(self.state.ledger)
            shared = None if transfer.sent else SharedBuffers(self.folder / OWN / f"arrays-{first}")
            batch = Batch(calls, plan, first, number, shared)
            try:
                with pickled_by_value(self._modules(sent=transfer.sent)), shared or contextlib.nullcontext():
                    write_items(self.folder, [batch.items()], after=first, share=True)
                if batch.chunks:
                    with store.storage_errors(self.folder):
                        (submission,) = write_submissions(
                            self.folder,
                            self.folder,
                            self.record,
                            batch.chunks,
                            options,
                            slots=slots,
                            transfer=transfer,
                        )
                    place(batch.sent, submission)
                    self.unsure = (submission, batch.sent)
                    submission = submit_or_discard(
                        self.condor, submission, lock=lock, folder=submission.folder
                    )
                    self._sent(submission, batch.sent)
            except SubmitUnknownError:
                raise
            except BaseException:
                self._forget(batch.sent)
                raise
        for future, error in batch.failed:
            future.settle(error=error)
        return batch.sent

    def send_unsure(self) -> dict[int, CondorFuture]:
        """Find out whether the calls were submitted that `send` left unsure; submit them if they were not.

        Raises
        ------
        CondormapError
            As `send`.
        """
        assert self.unsure is not None
        submission, sent = self.unsure
        try:
            with locked(self.folder) as lock:
                log = self.record.log(self.folder)
                self._sent(submit_once(self.condor, submission, log, lock=lock), sent)
        except (SubmitUnknownError, UnreachableError, DeadlineError):
            raise
        except BaseException:
            store.discard(submission.folder)
            self._forget(sent)
            raise
        return sent

    def send_skipped(self, futures: Sequence[CondorFuture]) -> dict[int, CondorFuture]:
        """Submit calls again that their jobs have skipped; return them by item.

        Raises
        ------
        CondormapError
            They were not submitted.
        """
        items = sorted(future.index for future in futures if future.index is not None)
        assert futures[0].place is not None
        options = futures[0].place[0].options
        slots, transfer = jobs_at_once(self.condor, options), decide(self.condor, options)
        self.cancelled.unmark(items)
        with locked(self.folder) as lock:
            self.state.note_new_submissions()
            (submission,) = add_submissions(
                self.folder,
                self.record,
                plan_chunks(len(items), slots=slots),
                options,
                self.condor,
                lock=lock,
                slots=slots,
                transfer=transfer,
                selection=items,
            )
        self.state.note(submission)
        again = {future.index: future for future in futures if future.index is not None}
        place(again, submission)
        return again

    def _sent(self, submission: Submission, futures: Mapping[int, CondorFuture]) -> None:
        self.state.note(submission)
        place(futures, submission)  # again, for now its cluster is known
        self.unsure = None

    def _forget(self, sent: Mapping[int, CondorFuture]) -> None:
        """Take back the numbers of calls that were not submitted."""
        for future in sent.values():
            future.index = future.place = None
        self.cancelled.unmark(sent)
        self.unsure = None

    def _modules(self, *, sent: bool) -> list[str]:
        """Return the modules that are pickled by value; only new ones cost something."""
        loaded = frozenset(name for name in sys.modules if "." not in name)
        if (loaded, sent) != self._by_value[0]:
            self._by_value = ((loaded, sent), modules_by_value(self.condor, sent=sent))
        return self._by_value[1]

    # -- jobs ------------------------------------------------------------------------------------------------

    def job_of(self, submission: Submission, chunk: int) -> Job | None:
        """Return the job of a chunk; None where its factory has not made it."""
        tracked = self.state.jobs.get(submission, chunk)
        if tracked is None:
            return None
        group = self._groups.get(tracked.cluster)
        if group is None:
            from ..jobs.group import group_of  # here, for an executor does without those rooms

            clusters = {tracked.cluster: len(submission.chunks)}
            log = self.record.log(self.folder)
            group = group_of(self.condor, clusters, log, self.state.note_end_of_holds)
            self._groups[tracked.cluster] = group
        return group[tracked.proc]

    def remove(self) -> None:
        """Remove the map: all its calls are settled.

        Raises
        ------
        CondormapError
            That could not be done; `condormap.remove` does it later.
        """
        self.close()
        remove_finished(self.record.tag, self.state)
