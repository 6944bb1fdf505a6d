"""One attempt at a chunk."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple


class Attempt(NamedTuple):
    """One attempt at a chunk, as far as its outcomes are told about: there may be 100,000 of them.

    Parameters
    ----------
    number : int
        From 0.
    job : str
        The job's id.
    host, python : str
        Where it ran, and in which Python.
    """

    number: int
    job: str
    host: str
    python: str

    @property
    def where(self) -> str:
        """The job and where it ran, for messages."""
        return f"job {self.job} on {self.host}, Python {self.python}, attempt {self.number}"

    @classmethod
    def of(cls, header: dict[str, Any]) -> Attempt:
        """Return the attempt of a start header; what many have in common is there once."""
        host, python = sys.intern(header["host"]), sys.intern(header["python"])
        return cls(header["attempt"], header["job"], host, python)
