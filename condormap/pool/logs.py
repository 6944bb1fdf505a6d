"""The logs of a personal pool's daemons."""

from __future__ import annotations

import re
from pathlib import Path

from condormap.errors import InvalidInputError

#: A line of a daemon's log that tells of trouble; two that every start writes do not.
_TROUBLE = re.compile(r"^(?!.*(?:is logging:|, 0 failed|passwd_cache)).*(?:ERROR|EXCEPT|[Ff]ailed|Cannot)")


def tail(file: Path, lines: int) -> list[str]:
    """Return the last lines of a file; none where there is no such file."""
    try:
        return file.read_text(errors="replace").splitlines()[-lines:]
    except OSError:
        return []


def log_of(folder: Path, name: str) -> Path:
    """Return the file of the log that a user means in the pool's folder: ``"schedd"`` is SchedLog.

    Raises
    ------
    InvalidInputError
        There is no such log; the message lists those that there are.
    """
    files = {file.name.lower(): file for file in (folder / "log").glob("[!.]*") if file.is_file()}
    wanted = str(name).lower()
    # "schedd" is what people call it, SchedLog is what it writes.
    for candidate in (wanted, f"{wanted}log", f"{wanted.removesuffix('d')}log"):
        if candidate in files:
            return files[candidate]
    known = ", ".join(sorted(file.name for file in files.values())) or "none yet"
    raise InvalidInputError(f"The pool in {folder} has no log of {name!r}; its logs: {known}.")


def last_words(folder: Path) -> str:
    """Return what the daemons said last: the errors of all, or the end of the master's log."""
    said = []
    for name in ("guard", "MasterLog", "CollectorLog", "SchedLog", "StartLog", "NegotiatorLog"):
        lines = tail(folder / "log" / name, 200)
        errors = [line for line in lines if name == "guard" or _TROUBLE.search(line)]
        said += [f"{name}: {line}" for line in errors[-3:]]
    said = said or tail(folder / "log" / "MasterLog", 10)
    return "\n".join(["Its logs say:", *said] if said else ["Its daemons wrote no log."])
