"""Calls that are submitted together, on their way into the item store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from ..errors import SerializationError
from ..submission import Submission
from .callqueue import Call
from .future import CondorFuture
from .sending import PickledCall
from .shared import SharedBuffers


class Batch:
    """Calls that become items, and those items chunks.

    Parameters
    ----------
    calls : sequence of Call
        The calls.
    plan : sequence of range
        The calls of each chunk; those in no chunk are left out.
    first : int
        The item that the first of them becomes.
    number : callable
        Gives a call its number, unless it was cancelled; tells whether it did.
    shared : SharedBuffers or None
        What takes their large arrays, where the jobs see the map's folder.

    Attributes
    ----------
    sent : dict of int to CondorFuture
        Those that became items.
    chunks : list of range
        The items of each chunk.
    failed : list of (CondorFuture, SerializationError)
        Those that can't be pickled.
    """

    def __init__(
        self,
        calls: Sequence[Call],
        plan: Sequence[range],
        first: int,
        number: Callable[[CondorFuture, int], bool],
        shared: SharedBuffers | None,
    ) -> None:
        self.first = first
        self.sent: dict[int, CondorFuture] = {}
        self.chunks: list[range] = []
        self.failed: list[tuple[CondorFuture, SerializationError]] = []
        self._calls = calls
        self._plan = plan
        self._number = number
        self._shared = shared

    def items(self) -> Iterator[tuple[int, PickledCall]]:
        """Yield the items; afterwards it is known which calls they are, in which chunks."""
        stop = self.first
        for positions in self._plan:
            begin = stop
            for call in self._calls[positions.start : positions.stop]:
                try:
                    pickled = PickledCall(call.function, call.args, call.kwargs, self._shared)
                except SerializationError as error:
                    self.failed.append((call.future, error))
                    continue
                if self._number(call.future, stop):
                    self.sent[stop] = call.future
                    yield stop, pickled
                    stop += 1
            if stop > begin:
                self.chunks.append(range(begin, stop))


def place(futures: Mapping[int, CondorFuture], submission: Submission) -> None:
    """Let futures know the chunk that makes their call."""
    for chunk in range(len(submission.chunks)):
        for item in submission.items(chunk):
            futures[item].place = (submission, chunk)
