"""What the jobs of a map printed: the files of their standard output and standard error."""

from __future__ import annotations

from pathlib import Path

_TAIL = 1000  # bytes in a note


def read_output(path: Path) -> str:
    """Return the text of a job's output file; empty where it printed nothing, for then there is no file."""
    try:
        return path.read_bytes().decode(errors="replace")
    except FileNotFoundError:
        return ""


def tail_of_output(path: Path, size: int = _TAIL) -> str:
    """Return the end of a job's output file, from a whole line on where there is one; empty without any."""
    try:
        with path.open("rb") as file:
            length = file.seek(0, 2)
            file.seek(max(0, length - size))
            data = file.read()
    except OSError:
        return ""
    if length > size:
        data = data.partition(b"\n")[2] or data
    return data.decode(errors="replace").strip()
