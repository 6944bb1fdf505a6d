"""How long a schedd may not answer before whoever waits for jobs gives up."""

from __future__ import annotations

import time

from .errors import CondorError, UnreachableError

_PATIENCE = 60.0  # seconds


class Patience:
    """Whether the schedd has been silent for too long; one for each wait."""

    def __init__(self) -> None:
        self._silent_since = 0.0

    def answered(self) -> None:
        """Note that the schedd has answered."""
        self._silent_since = 0.0

    def no_answer(self, error: CondorError) -> None:
        """Note that the schedd has not answered; raise when that has been so for a minute.

        Raises
        ------
        UnreachableError
            It has been silent for a minute; the last error is its cause.
        """
        now = time.monotonic()
        self._silent_since = self._silent_since or now
        silent = now - self._silent_since
        if silent > _PATIENCE:
            raise UnreachableError(
                f"the schedd has not answered for {silent:.0f} s: {str(error).rstrip('.')}. Nothing is lost: the"
                " jobs go on or stay in its queue. `condormap doctor` tells more; wait again later"
            ) from error
