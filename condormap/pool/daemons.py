"""Find the HTCondor daemons that a personal pool is started from.

In this order: a path that was named, an HTCondor installed on the system, one that
``condormap pool install`` put into this user's folder (the newest, where there are several).
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from condormap.errors import DaemonsNotFoundError
from condormap.folders.paths import absolute, daemons_folder

__all__ = ["OLDEST_VERSION", "Daemons", "find_daemons", "version_key"]

#: Older daemons lack what condormap relies on.
OLDEST_VERSION = "23.9.0"

#: The file whose presence says that an installation of ours is complete; it is put in place with it.
STAMP = "condormap.json"

# Where system packages put programs that an ordinary user's PATH leaves out.
_SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/usr/local/bin", "/usr/bin")


@dataclass(frozen=True)
class Daemons:
    """Where the programs of one HTCondor installation are.

    Attributes
    ----------
    release : Path
        HTCondor's RELEASE_DIR: the folder that has ``sbin``, ``bin``...
    bin, sbin, libexec, lib, share : Path
        The folders that HTCondor's configuration names in capitals.
    version : str
        For example ``"25.14.1"``.
    source : str
        Who put it there: ``"given"`` (the caller named the path), ``"system"`` or ``"user"``.
    """

    release: Path
    bin: Path
    sbin: Path
    libexec: Path
    lib: Path
    share: Path
    version: str
    source: str

    def settings(self) -> dict[str, str]:
        """Return the lines of HTCondor configuration that name these folders."""
        return {
            "RELEASE_DIR": str(self.release),
            "BIN": str(self.bin),
            "SBIN": str(self.sbin),
            "LIBEXEC": str(self.libexec),
            "LIB": str(self.lib),
            "SHARE": str(self.share),
        }


def version_key(version: str) -> tuple[int, ...]:
    """Return a version as numbers that compare: ``"25.14.1+dfsg-1"`` as ``(25, 14, 1)``.

    An epoch (``"1:"``) and whatever follows the dotted numbers do not count.
    """
    numbers = re.match(r"(?:\d+:)?(\d+(?:\.\d+)*)", version)
    return tuple(int(part) for part in numbers[1].split(".")) if numbers else ()


def find_daemons(path: str | os.PathLike[str] | None = None) -> Daemons:
    """Return the HTCondor daemons to use on this machine.

    Parameters
    ----------
    path : path-like, optional
        An installation to use and no other: the folder that holds ``sbin`` or ``usr/sbin``, or the
        ``condor_master`` program itself.

    Raises
    ------
    DaemonsNotFoundError
        There are none, or none that is complete and new enough; the message says what was found and
        which command installs them.
    """
    if path is not None:
        return _given(absolute(path))
    refused: list[str] = []
    for find in (_system, _user):
        found = find(refused)
        if found is not None:
            return found
    why = "".join(f"\n  not used: {reason}" for reason in refused)
    raise DaemonsNotFoundError(
        f"No HTCondor daemons ({OLDEST_VERSION} or later) were found, neither on the system nor in "
        f"{daemons_folder()}.{why}\n"
        "Run `condormap pool install` to install them for this user (no root needed)."
    )


def _given(path: Path) -> Daemons:
    root = path.parent.parent if path.name == "condor_master" else path
    stamp = read_stamp(root)
    problem = stamp_problem(root, stamp) if stamp else ""
    daemons = None if problem else layout(root, source="given")
    if daemons is None:
        raise DaemonsNotFoundError(
            f"{path} was given as the HTCondor to use, but "
            f"{problem or 'it has no sbin/condor_master or usr/sbin/condor_master that runs'}.\n"
            "Name the folder that holds HTCondor's bin and sbin, or run `condormap pool install`."
        )
    if version_key(daemons.version) < version_key(OLDEST_VERSION):
        raise DaemonsNotFoundError(
            f"{path} is HTCondor {daemons.version}; condormap needs {OLDEST_VERSION} or later.\n"
            "Run `condormap pool install` to install a newer one for this user."
        )
    return daemons


def _system(refused: list[str]) -> Daemons | None:
    search = os.pathsep.join((os.environ.get("PATH", os.defpath), *_SYSTEM_FOLDERS))
    program = shutil.which("condor_master", path=search)
    if program is None:
        return None
    # A link in /usr/local/sbin may stand for a whole installation elsewhere.
    for master in (Path(program).absolute(), Path(program).resolve()):
        daemons = layout(master.parent.parent, source="system")
        if daemons is None:
            continue
        if version_key(daemons.version) >= version_key(OLDEST_VERSION):
            return daemons
        refused.append(f"{master} is HTCondor {daemons.version}, which is too old")
        return None
    refused.append(f"{program} does not run, or the rest of HTCondor is not beside it")
    return None


def _user(refused: list[str]) -> Daemons | None:
    found = []
    for prefix, stamp in installed():
        problem = stamp_problem(prefix, stamp)
        if problem:
            refused.append(problem)
        else:
            found.append((version_key(stamp["version"]), stamp["time"], prefix, stamp["version"]))
    for _, _, prefix, version in sorted(found, reverse=True):
        daemons = layout(prefix, source="user", version=version)
        if daemons is not None:
            return daemons
    return None


def installed() -> list[tuple[Path, dict[str, Any]]]:
    """Return what `install` has put into this user's folder: prefixes and their stamps."""
    try:
        folders = sorted(daemons_folder().iterdir())
    except OSError:
        return []
    stamps = ((folder, read_stamp(folder)) for folder in folders if not folder.name.startswith("."))
    return [(folder, stamp) for folder, stamp in stamps if stamp]


def read_stamp(prefix: Path) -> dict[str, Any] | None:
    """Return what `install` noted about a prefix, or None where it is not one, or is not complete."""
    try:
        stamp = json.loads((prefix / STAMP).read_text())
    except (OSError, ValueError):
        return None
    return stamp if isinstance(stamp, dict) and stamp.get("layout") == 1 else None


def stamp_problem(prefix: Path, stamp: dict[str, Any]) -> str:
    """Return why an installation of ours cannot be used here, or an empty string."""
    if stamp["machine"] != platform.machine():
        return f"{prefix} is for {stamp['machine']}, this machine is {platform.machine()}"
    # Its programs name their loader and libraries by absolute path.
    if not (os.path.isdir(stamp["prefix"]) and os.path.samefile(stamp["prefix"], prefix)):
        return f"{prefix} was installed as {stamp['prefix']} and does not run elsewhere"
    for name, size in stamp["files"].items():
        try:
            actual = os.stat(prefix / name).st_size
        except OSError:
            return f"{prefix} is damaged ({name} is missing)"
        if actual != size:
            return f"{prefix} is damaged ({name} has {actual} bytes, not {size})"
    return ""


def layout(root: Path, *, source: str, version: str = "") -> Daemons | None:
    """Return the folders of the HTCondor under `root`, or None where there is none that runs.

    Debian's packages, RPMs, conda and HTCondor's own tarballs differ in where ``libexec`` and ``lib``
    are; each is known by a file that every HTCondor has in it.
    """
    release = next((r for r in (root, root / "usr") if _is_program(_sbin(r) / "condor_master")), None)
    if release is None:
        return None
    version = version or program_version([str(_sbin(release) / "condor_master")])[0]
    libexec = _holding(release, "condor_shared_port", "libexec/condor", "libexec", "lib/condor/libexec")
    libs = ("lib/condor", "lib64/condor", "lib", "lib64")
    lib = _holding(release, "condor_ssh_to_job_sshd_config_template", *libs)
    if not version or libexec is None:
        return None
    return Daemons(
        release=release,
        bin=release / "bin",
        sbin=_sbin(release),
        libexec=libexec,
        lib=lib or release / "lib",
        share=release / "share" / "condor",
        version=version,
        source=source,
    )


def program_version(command: list[str]) -> tuple[str, str]:
    """Return what ``condor_... -version`` says (``"25.14.1"``), and if it does not run, empty and why."""
    try:
        answer = subprocess.run(
            [*command, "-version"], capture_output=True, text=True, errors="replace", timeout=30,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return "", str(error)
    match = re.search(r"\$CondorVersion: (\d+\.\d+\.\d+)", answer.stdout)
    if match is None or answer.returncode != 0:
        return "", (answer.stderr or answer.stdout).strip()[-500:] or f"status {answer.returncode}"
    return match[1], ""


def _sbin(release: Path) -> Path:
    # conda, and systems that have merged the two, keep the daemons in bin.
    return release / ("sbin" if (release / "sbin" / "condor_master").exists() else "bin")


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _holding(release: Path, marker: str, *folders: str) -> Path | None:
    return next((release / folder for folder in folders if (release / folder / marker).exists()), None)
