"""What a cluster and a group have in common before they are submitted: a description and a pool."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Self

from ..errors import InvalidInputError
from ..jdf.split import Block, parse_jdf, read_jdf
from .submit import PoolChoice


class Described(ABC):
    """Jobs that are made of a job description, in a file or in a string."""

    @abstractmethod
    def _describe(self, blocks: Sequence[Block], pool: PoolChoice, schedd: str | None) -> None:
        """Take over what is to be submitted, and where."""

    @abstractmethod
    def submit(self) -> Any:
        """Submit the jobs."""

    @classmethod
    def from_jdf(
        cls,
        path: str | os.PathLike[str],
        submit: bool = True,
        *,
        pool: PoolChoice = None,
        schedd: str | None = None,
        **overrides: object,
    ) -> Self:
        """Return the jobs of a job description file, and submit them.

        A `JobCluster` takes a file with one queue statement. A `JobGroup` takes any, and makes one cluster of each
        queue statement; they are submitted all or none.

        Parameters
        ----------
        path : path-like
            The file. Relative paths in it are relative to the current folder, as condor_submit sees them.
        submit : bool
            False holds back, until ``submit()`` is called.
        pool, schedd
            Where to submit, as for `Job`.
        **overrides
            Submit commands that hold as if they stood last before each queue statement.

        Raises
        ------
        JdfError
            A mistake in the file, with its line; nothing was submitted.
        InvalidInputError
            For a JobCluster, a file with several queue statements; an override that is no submit command.
        """
        if not isinstance(path, str | os.PathLike):
            raise InvalidInputError(
                f"from_jdf takes the path of a file, not a {type(path).__name__}: {path!r}; from_text takes text"
            )
        if not os.fspath(path):
            raise InvalidInputError("from_jdf takes the path of a file, and this one is empty")
        return cls._from_blocks(read_jdf(path, **overrides), submit, pool, schedd)

    @classmethod
    def from_text(
        cls,
        text: str,
        submit: bool = True,
        *,
        pool: PoolChoice = None,
        schedd: str | None = None,
        **overrides: object,
    ) -> Self:
        """Return the jobs of a job description in a string; else as `from_jdf`."""
        if not isinstance(text, str):
            raise InvalidInputError(f"from_text takes text, and not a {type(text).__name__}: {text!r}")
        return cls._from_blocks(parse_jdf(text, path=None, **overrides), submit, pool, schedd)

    @classmethod
    def _from_blocks(
        cls, blocks: Sequence[Block], submit: bool, pool: PoolChoice, schedd: str | None
    ) -> Self:
        jobs = cls.__new__(cls)
        jobs._describe(blocks, pool, schedd)
        if submit:
            jobs.submit()
        return jobs
