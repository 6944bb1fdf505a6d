"""Time-outs as users give them."""

from __future__ import annotations

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
