"""Time-outs as users give them."""

from __future__ import annotations

import math
import time

from .errors import InvalidInputError


def deadline(timeout: float | None) -> float | None:
    """Return when a time-out in seconds ends, by `time.monotonic`; None for none.

    Raises
    ------
    InvalidInputError
        It is no number of seconds; "not a number" would never end.
    """
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or timeout != timeout:
        raise InvalidInputError(f"timeout is a number of seconds, or None, not {timeout!r}")
    return time.monotonic() + timeout


def positive(name: str, value: float) -> float:
    """Return a number of seconds that is more than 0, or raise `InvalidInputError`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise InvalidInputError(f"{name} must be a number of seconds, more than 0, not {value!r}")
    return value
