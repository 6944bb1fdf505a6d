"""Scripts with the line ends of Windows: the kernel takes part of them for part of the interpreter's name."""

from __future__ import annotations

from pathlib import Path

_LONGEST_FIRST_LINE = 4096


def is_script_of_windows(path: Path) -> bool:
    """Tell whether a file is a script whose first line ends as on Windows; False where it cannot be read."""
    try:
        with path.open("rb") as file:
            first = file.readline(_LONGEST_FIRST_LINE)
    except OSError:  # whoever transfers it may read it
        return False
    return first.startswith(b"#!") and first.endswith(b"\r\n")


def how_to_convert(path: Path) -> str:
    """Return the commands that convert such a script, for a message."""
    return f"dos2unix {path.name}, or sed -i 's/\\r$//' {path.name}"
