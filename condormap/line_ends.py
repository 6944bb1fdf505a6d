"""Scripts with the line ends of Windows: the kernel takes part of them for part of the interpreter's name.

A shell takes it for part of the last word of each line.
"""

from __future__ import annotations

from pathlib import Path

_LONGEST_FIRST_LINE = 4096
_LOOKED_AT = 1 << 16  # bytes
_SHELLS = frozenset({"sh", "bash", "dash", "ash", "ksh", "zsh", "csh", "tcsh"})


def is_script_of_windows(path: Path) -> bool:
    """Tell whether a file is a script whose first line ends as on Windows; False where it cannot be read."""
    try:
        with path.open("rb") as file:
            first = file.readline(_LONGEST_FIRST_LINE)
    except OSError:  # whoever transfers it may read it
        return False
    return first.startswith(b"#!") and first.endswith(b"\r\n")


def is_shell_script_of_windows(path: Path) -> bool:
    """Tell whether most lines of a script for a shell end as on Windows; False where it cannot be read."""
    try:
        with path.open("rb") as file:
            text = file.read(_LOOKED_AT)
    except OSError:
        return False
    first, _, rest = text.partition(b"\n")
    words = first.removeprefix(b"#!").decode(errors="replace").split()
    programs = {word.rpartition("/")[2] for word in words[:3]}  # as in #!/usr/bin/env -S bash
    return (
        first.startswith(b"#!") and bool(programs & _SHELLS) and 2 * rest.count(b"\r\n") > rest.count(b"\n")
    )


def how_to_convert(path: Path) -> str:
    """Return the commands that convert such a script, for a message."""
    return f"dos2unix {path.name}, or sed -i 's/\\r$//' {path.name}"
