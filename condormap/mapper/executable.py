"""The executable of a CondorMapper: where it is, and whether a job can execute it."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from ..errors import ExecutableError
from ..folders.paths import absolute
from ..line_ends import how_to_convert, is_script_of_windows, is_shell_script_of_windows

_LONGEST = 4096  # bytes of a first line that are looked at
_ELF = b"\x7fELF"
_WORD, _MACHINE = slice(4, 6), slice(18, 20)  # where an ELF file says for which kind of machine it is
_REFUSED = "Nothing was submitted"


@dataclass(frozen=True)
class Executable:
    """An executable.

    Parameters
    ----------
    name : str
        As the user named it.
    path : Path or None
        Where it is; None for one that is looked for in PATH where the job runs.
    """

    name: str
    path: Path | None


def find(name: str | os.PathLike[str]) -> Executable:
    """Return the executable of that name: a file, or, without a slash, what PATH has.

    Raises
    ------
    ExecutableError
        There is none.
    """
    if not isinstance(name, str | os.PathLike) or not os.fspath(name):
        raise ExecutableError(
            f"the first argument must be an executable, a path or a name, not {name!r}. {_REFUSED}"
        )
    text = str(name)
    path = absolute(text)
    if path.is_dir():
        raise ExecutableError(f"{text} is a folder, not an executable. {_REFUSED}")
    if path.exists():
        return Executable(text, Path(os.path.normpath(path)))
    if os.sep not in text:
        if shutil.which(text):
            return Executable(text, None)
        hint = "no such file is in the current folder, and none in PATH"
    else:
        hint = "there is no such file"
    if " " in text:
        hint += f"; arguments go into argtmpl=: CondorMapper({text.split()[0]!r}, data, argtmpl=...)"
    raise ExecutableError(f"{text} cannot be executed: {hint}. {_REFUSED}")


def check(executable: Executable, *, here: bool) -> None:
    """Refuse a file that no job could execute.

    Parameters
    ----------
    executable : Executable
        The executable.
    here : bool
        The jobs see this machine's files, so its interpreter has to be on this machine.

    Raises
    ------
    ExecutableError
        The message says why, and how to mend it.
    """
    path = executable.path
    if path is None:
        return
    try:
        with path.open("rb") as file:
            first = file.readline(_LONGEST)
    except OSError as error:
        raise ExecutableError(f"{path} cannot be read: {error.strerror}. {_REFUSED}") from None
    if not first:
        raise ExecutableError(f"{path} is empty. {_REFUSED}")
    if is_script_of_windows(path):
        raise ExecutableError(
            f"{path} is a script with the line ends of Windows (CRLF), so its interpreter would not be found: "
            f"convert it ({how_to_convert(path)}). {_REFUSED}"
        )
    if is_shell_script_of_windows(path):
        raise ExecutableError(
            f"{path} is a script whose lines end as on Windows (CRLF), and its shell would take that for a part "
            f"of the last word: convert it ({how_to_convert(path)}). {_REFUSED}"
        )
    if first.startswith(b"\xef\xbb\xbf#!"):
        raise ExecutableError(
            f"{path} begins with a byte order mark, so the kernel does not see its #!: save it as UTF-8 without "
            f"one. {_REFUSED}"
        )
    if first.startswith(b"#!"):
        _check_interpreter(path, first[2:].decode(errors="replace").split(), here)
    elif first.startswith(_ELF):
        _check_machine(path, here)
    elif not os.access(path, os.X_OK) or _is_text(first):
        raise ExecutableError(
            f"{path} is no executable: a script begins with a line that names its interpreter, as in #!/bin/sh or "
            f"#!/usr/bin/env python3. {_REFUSED}"
        )


def _check_interpreter(path: Path, words: list[str], here: bool) -> None:
    if not words:
        raise ExecutableError(f"{path}: its first line, #!, names no interpreter. {_REFUSED}")
    program = words[0]
    if not os.path.isabs(program):
        raise ExecutableError(
            f"{path}: the interpreter {program!r} in its first line must be a whole path: "
            f"#!/usr/bin/env {program}. {_REFUSED}"
        )
    if not here:
        return
    if not os.access(program, os.X_OK) or os.path.isdir(program):
        raise ExecutableError(
            f"{path}: there is no interpreter {program}, which its first line names. {_REFUSED}"
        )
    if os.path.basename(program) == "env" and len(words) > 1 and not words[1].startswith("-"):
        wanted = words[1]
        if "=" not in wanted and shutil.which(wanted) is None:
            raise ExecutableError(
                f"{path}: its first line asks for {wanted}, and there is none in PATH. {_REFUSED}"
            )


def _check_machine(path: Path, here: bool) -> None:
    if not here:
        return
    own, other = (_head(each) for each in (Path(sys.executable), path))
    if own[_WORD] + own[_MACHINE] != other[_WORD] + other[_MACHINE]:
        raise ExecutableError(
            f"{path} is a binary for another kind of machine than this one ({os.uname().machine}). {_REFUSED}"
        )


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(20)


def _is_text(data: bytes) -> bool:
    try:
        return data.decode().isprintable() or data.decode().rstrip("\r\n").isprintable()
    except UnicodeDecodeError:
        return False
