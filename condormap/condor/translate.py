"""From HTCondor's one exception class to condormap's errors: the only place that reads the messages."""

from __future__ import annotations

import re

from condormap import errors

# The first pattern that is found in the message decides. The messages are those of 23.9 to 25.14.
_MESSAGES: tuple[tuple[str, type[errors.CondorError]], ...] = (
    (r"DENIED|authenticat|authoriz|permission denied|not allowed|SECMAN:20(04|10)", errors.NotAuthorizedError),
    (r"connect|locate|communicat|unable to (contact|send|read)|timed out|socket|SECMAN:2007", errors.UnreachableError),
)


def classify(text: str) -> type[errors.CondorError]:
    """Return the class of error for a message of the bindings."""
    for pattern, kind in _MESSAGES:
        if re.search(pattern, text, re.IGNORECASE):
            return kind
    return errors.RefusedError
