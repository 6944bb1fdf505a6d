"""Whether the jobs of a map see the submitter's files, or are sent them."""

from __future__ import annotations

import os
from dataclasses import dataclass

from ..capacity import capacity
from ..condor import Condor
from ..errors import CondorError, InvalidInputError
from ..options import JobOptions
from . import extra_files


@dataclass(frozen=True)
class Transfer:
    """How the jobs of a submission get their files.

    Parameters
    ----------
    sent : bool
        HTCondor sends them; else they see the map's folder.
    why : str
        The reason, for people.
    """

    sent: bool
    why: str


def decide(condor: Condor, options: JobOptions) -> Transfer:
    """Return how jobs with these options get their files.

    Raises
    ------
    InvalidInputError
        An extra file is not there; or the jobs see this machine's files, and their interpreter is not there.
    """
    extra_files.check(options.files)
    transfer = _decide(condor, options)
    if options.python is not None and not transfer.sent and not os.access(options.python, os.X_OK):
        raise InvalidInputError(
            f"python: {options.python} is no program that can be executed here, and the jobs see this machine's "
            "files. Name another one, or, if the jobs' machines have it, say transfer='always'. Nothing was "
            "submitted"
        )
    return transfer


def _decide(condor: Condor, options: JobOptions) -> Transfer:
    if options.transfer != "auto":
        return Transfer(options.transfer == "always", f"transfer={options.transfer!r} was asked for")
    found = capacity(condor)
    if found is not None and found.personal is not None:
        return Transfer(False, "the pool is a personal one, on this machine")
    if found is None or not found.domains:
        return Transfer(True, "the pool does not tell which file system its machines see")
    try:
        ours = condor.param("FILESYSTEM_DOMAIN")["FILESYSTEM_DOMAIN"] or ""
    except CondorError:
        ours = ""
    others = sorted(domain for domain in found.domains if domain.lower() != ours.lower())
    if others:
        return Transfer(True, f"the FileSystemDomain of machines is {', '.join(others)}, and ours {ours!r}")
    return Transfer(False, f"the FileSystemDomain of all machines is ours, {ours!r}")
