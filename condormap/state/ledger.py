"""Which items of a map have an outcome, and whose outcome the others wait for.

A map may be submitted several times: the items that failed once more (a retry), or more items (an extension).
Which outcome counts where an item has several:

- a result always does, whichever submission it comes from;
- else the newest submission of the item decides. With it the item is open again, and an error of an older one
  is no longer heard;
- of several attempts at one job, the first outcome of an item counts.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Sequence

from ..errors import InvalidInputError
from ..in_job.payload import RESULT

# A state is a letter (an outcome) or, for an open item, the number of the retry that it waits for: below or above
# the letters.
_FIRST_LETTER, _BEHIND_LETTERS = 64, 128
MAX_RETRIES = _FIRST_LETTER + 256 - _BEHIND_LETTERS - 1
_RESULT = ord(RESULT)
_FAILED = re.compile(rb"(?!%b)[\x40-\x7f]" % RESULT.encode())


class Ledger:
    """The states of a map's items, in 5 bytes an item: a state, and which frame has the rest.

    Parameters
    ----------
    n_items : int
        How many items the map has.
    """

    def __init__(self, n_items: int) -> None:
        self.states = bytearray(n_items)
        self.frame_of = array("I", bytes(4 * n_items))
        self._codes = [0]  # those of the submissions so far

    def __len__(self) -> int:
        return len(self.states)

    def grow(self, n_items: int) -> None:
        """Make room for more items: there are `n_items` now."""
        more = n_items - len(self.states)
        self.frame_of.extend(array("I", bytes(4 * more)))
        self.states.extend(bytes(more))

    def next_code(self) -> int:
        """Return the code that the next retry gets.

        Raises
        ------
        InvalidInputError
            There were too many retries.
        """
        return code_of_retry(len(self._codes))

    def reopen(self, items: Iterable[int], code: int | None = None) -> int:
        """Begin a retry, or go on with one: those of the items that have no result are open again.

        Parameters
        ----------
        items : iterable of int
            The items.
        code : int, optional
            The code of the retry that goes on.

        Returns
        -------
        int
            The retry's code.
        """
        if code is None:
            code = self.next_code()
            self._codes.append(code)
        states = self.states
        for item in items:
            if states[item] != _RESULT:
                states[item] = code
        return code

    def is_open(self, item: int) -> bool:
        """Tell whether an item has no outcome, or waits for another one."""
        return not _FIRST_LETTER <= self.states[item] < _BEHIND_LETTERS

    @property
    def n_finished(self) -> int:
        """How many items have an outcome."""
        return len(self.states) - sum(self.states.count(code) for code in self._codes)

    @property
    def n_results(self) -> int:
        """How many items have a result."""
        return self.states.count(_RESULT)

    def failed_items(self) -> list[int]:
        """Return the items whose outcome is no result."""
        return [match.start() for match in _FAILED.finditer(self.states)]

    def open_items(self, items: Sequence[int], code: int = 0) -> Sequence[int]:
        """Return which of `items` wait for the submission with this code."""
        states = self.states
        if isinstance(items, range) and states.count(code, items.start, items.stop) == len(items):
            return items
        return [item for item in items if states[item] == code]

    def n_open(self, items: Sequence[int], code: int = 0) -> int:
        """Return how many of `items` wait for the submission with this code."""
        if isinstance(items, range):
            return self.states.count(code, items.start, items.stop)
        states = self.states
        return sum(states[item] == code for item in items)

    def n_unfinished(self, items: Sequence[int]) -> int:
        """Return how many of `items` have no outcome, or wait for another one."""
        return sum(self.n_open(items, code) for code in self._codes)

    def take(self, item: int, state: int, frame: int) -> None:
        """Note the outcome of an item."""
        self.frame_of[item] = frame
        self.states[item] = state

    def take_all(self, first: int, stop: int, states: bytes, frame: int) -> None:
        """Note the outcomes of consecutive items."""
        self.frame_of[first:stop] = array("I", [frame]) * (stop - first)
        self.states[first:stop] = states


def code_of_retry(number: int) -> int:
    """Return the code of a map's retry, counted from 1; 0 is that of the submissions that are none.

    Raises
    ------
    InvalidInputError
        There were too many.
    """
    if number > MAX_RETRIES:
        raise InvalidInputError(
            f"the items of a map can be retried {MAX_RETRIES} times, and these were; start another map of them"
        )
    return number if number < _FIRST_LETTER else number + _BEHIND_LETTERS - _FIRST_LETTER
