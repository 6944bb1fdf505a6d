"""Install the HTCondor daemons for this user: no root, nothing touched on the system.

::

    packages or a tarball -> .staging/prefix -> patched -> its daemons run -> stamp -> renamed into place

The rename is the one step that makes an installation exist. Whatever ends an installation before it
leaves only ``.staging``, which the next one clears away.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from condormap.errors import InstallError
from condormap.folders.paths import daemons_folder
from condormap.pool import debian, elf
from condormap.pool import tarball as tarballs
from condormap.pool.apt import AptError, AptTree
from condormap.pool.daemons import (
    OLDEST_VERSION,
    STAMP,
    Daemons,
    installed,
    layout,
    program_version,
    read_stamp,
    stamp_problem,
    version_key,
)

__all__ = ["install"]

#: What stays of it on disk (90 MB) and what passes through while it is made, in bytes, with a margin.
_SPACE_NEEDED = 300 << 20

#: Another installation is waited for at most this long, in seconds; the slowest download is shorter.
_LOCK_TIMEOUT = 1200.0

_DAEMONS = ("master", "collector", "negotiator", "schedd", "startd", "shadow", "starter")

_ADVICE = f"""
What you can do here:
  - download HTCondor's official tarball for this system from https://htcondor.org and run
    `condormap pool install --from-tarball PATH`
  - ask the administrator for HTCondor {OLDEST_VERSION} or later; condormap finds a system HTCondor by itself
  - with conda: `conda install -c conda-forge htcondor`, and work in that environment
  - use your lab's pool: on a machine where `condor_q` works, condormap needs no daemons of its own"""


def install(
    *,
    suite: str | None = None,
    tarball: str | os.PathLike[str] | None = None,
    sha256: str | None = None,
    force: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Daemons:
    """Install the HTCondor daemons for this user, if they are not there yet.

    Parameters
    ----------
    suite : str, optional
        The Debian or Ubuntu suite to take them from (``"sid"``, ``"trixie"``); by default the newest that
        the machine's mirror offers with HTCondor 23.9 or later. Several versions live side by side.
    tarball : path-like, optional
        Take them from this file instead, an official HTCondor tarball.
    sha256 : str, optional
        The checksum that the tarball must have.
    force : bool
        Install again, and look for newer packages, even though an installation is complete.
    say : callable
        Is told, a line at a time, what is going on.

    Returns
    -------
    Daemons
        What was installed, or was there already; then no network is used.

    Raises
    ------
    InstallError
        They cannot be installed here; the message lists what can be done.
    """
    if sys.platform != "linux":
        raise InstallError(
            f"HTCondor's daemons can be installed on Linux only, this is {sys.platform}.{_ADVICE}"
        )
    if suite is not None and not re.fullmatch(r"[A-Za-z0-9][\w.+-]*", suite):
        raise InstallError(f"{suite!r} is not the name of a suite; names are like 'sid' or 'trixie'.")
    source = tarballs.identify(Path(tarball).expanduser(), sha256) if tarball is not None else suite
    if not force and (found := _present(source)):
        say(f"HTCondor {found.version} is installed already, in {found.release}")
        return found
    folder = _writable(daemons_folder())
    with _only_one(folder, say):
        # Another process may have done it while this one waited.
        if not force and (found := _present(source)):
            return found
        elf.patchelf_program()  # missing: say so before anything is downloaded
        staging = folder / ".staging"
        try:
            shutil.rmtree(staging, ignore_errors=True)
            staging.mkdir()
            if tarball is not None:
                prefix = _from_tarball(Path(tarball).expanduser(), str(source), staging, say)
            else:
                prefix = _from_packages(suite, staging, say)
        except OSError as error:
            raise InstallError(f"HTCondor could not be installed in {folder}: {error}") from error
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    daemons = _of(prefix)
    say(f"HTCondor {daemons.version} is ready in {prefix}")
    return daemons


def _from_packages(suite: str | None, staging: Path, say: Callable[[str], None]) -> Path:
    """Install from the first suite, newest first, whose HTCondor is new enough and runs here."""
    tried: list[str] = []
    try:
        system = debian.distribution()
        for mirror in debian.mirrors(system):
            for name in [suite] if suite else debian.suites(system):
                try:
                    return _from_suite(mirror, name, staging, say)
                except (AptError, InstallError) as error:
                    tried.append(f"{name} at {mirror['URIs']}: {error}")
                    say(f"Not from {name}: {error}")
                    if isinstance(error, AptError) and error.unreachable:
                        break
    except (AptError, InstallError) as error:
        tried.append(str(error))
    reasons = "".join(f"\n  {reason}" for reason in tried)
    raise InstallError(f"HTCondor could not be installed from this machine's packages:{reasons}{_ADVICE}")


def _from_suite(mirror: dict[str, str], suite: str, staging: Path, say: Callable[[str], None]) -> Path:
    tree = staging / "apt"
    shutil.rmtree(tree, ignore_errors=True)  # of the suite before
    apt = AptTree(tree, {**mirror, "Suites": suite})
    say(f"Looking for HTCondor in {suite} at {mirror['URIs']}")
    apt.update()
    packages = debian.closure(apt)
    if packages is None:
        raise InstallError("it has no package condor for this kind of machine")
    if version_key(packages.version) < version_key(OLDEST_VERSION):
        raise InstallError(f"its HTCondor is {packages.version}, older than {OLDEST_VERSION}")
    count, megabytes = len(packages.names), packages.size / 1e6
    say(f"Downloading HTCondor {packages.version}: {count} packages, {megabytes:.0f} MB")
    files = apt.download(packages.names)
    say("Unpacking and making it run from its own folder")
    unpacked = tree / "prefix"
    debian.unpack(files, unpacked)
    return _finish(unpacked, source=suite, label="", say=say)


def _from_tarball(path: Path, checksum: str, staging: Path, say: Callable[[str], None]) -> Path:
    say(f"Unpacking {path}")
    try:
        unpacked = tarballs.unpack(path, staging / "prefix")
        return _finish(unpacked, source=checksum, label="-tarball", say=say)
    except InstallError as error:
        raise InstallError(f"HTCondor could not be installed from {path}: {error}{_ADVICE}") from error


def _finish(unpacked: Path, *, source: str, label: str, say: Callable[[str], None]) -> Path:
    """Make an unpacked HTCondor run, prove that it does, and put it in its place."""
    files = elf.elf_files(unpacked)
    loader = elf.loader_of(unpacked, files)
    if loader is not None and (missing := elf.missing_libraries(unpacked, files)):
        names = "; ".join(f"{name} (for {users[0]})" for name, users in sorted(missing.items()))
        raise InstallError(f"libraries are missing that its programs need: {names}")
    version = _run_daemons(unpacked, loader)
    final = daemons_folder() / f"{version}-{platform.machine()}{label}"
    if loader is not None:
        elf.patch(unpacked, files, final=final)
        _run_daemons(unpacked, loader)
    stamp = {
        "layout": 1,
        "version": version,
        "machine": platform.machine(),
        "prefix": str(final),
        "sources": [source, *_sources_of(final)],
        "time": time.time(),
        "files": _tidy(unpacked),
    }
    (unpacked / STAMP).write_text(json.dumps(stamp))
    (unpacked / STAMP).chmod(0o644)
    if final.exists():
        final.rename(unpacked.parent / "replaced")
    unpacked.rename(final)
    return final


def _run_daemons(prefix: Path, loader: Path | None) -> str:
    """Run every daemon once, for its version; with the loader beside it where there is one."""
    found = layout(prefix, source="user", version="0")
    if found is None:
        raise InstallError("it has no sbin/condor_master with the rest of HTCondor beside it")
    libraries = ":".join(str(folder) for folder in elf.library_folders(prefix))
    start = [str(loader), "--library-path", libraries] if loader is not None else []
    version = ""
    for name in _DAEMONS:
        version, complaint = program_version([*start, str(found.sbin / f"condor_{name}")])
        if not version:
            raise InstallError(f"its condor_{name} does not run on this machine: {complaint}")
    if version_key(version) < version_key(OLDEST_VERSION):
        raise InstallError(f"it is HTCondor {version}, older than {OLDEST_VERSION}")
    return version


def _tidy(prefix: Path) -> dict[str, int]:
    """Let every user read and run what lies in `prefix`; return the size of every file, to know it again."""
    prefix.chmod(0o755)
    sizes: dict[str, int] = {}
    for folder, folders, names in os.walk(prefix):
        for name in folders:
            path = Path(folder, name)
            if not path.is_symlink():
                path.chmod(0o755)
        for name in names:
            path = Path(folder, name)
            if not path.is_symlink() and path.is_file():
                status = path.stat()
                path.chmod(0o755 if status.st_mode & 0o100 else 0o644)
                sizes[str(path.relative_to(prefix))] = status.st_size
    return sizes


def _of(prefix: Path) -> Daemons:
    """Return the daemons of an installation that was just found to be complete."""
    daemons = layout(prefix, source="user", version=prefix.name.split("-")[0])
    if daemons is None:
        raise InstallError(f"{prefix} was taken away while it was looked at.")
    return daemons


def _present(source: str | None) -> Daemons | None:
    """Return the complete installation that came from `source` (None: from anywhere), the newest one."""
    fitting = [
        (version_key(stamp["version"]), stamp["time"], prefix)
        for prefix, stamp in installed()
        if (source is None or source in stamp["sources"]) and not stamp_problem(prefix, stamp)
    ]
    return _of(max(fitting)[2]) if fitting else None


def _sources_of(prefix: Path) -> list[str]:
    """Return what else offers the version in `prefix`, so that asking for it again is instant as well."""
    stamp = read_stamp(prefix)
    return stamp["sources"] if stamp else []


def _writable(folder: Path) -> Path:
    """Create the folder of all installations; refuse one that cannot hold any."""
    if any(character in str(folder) for character in ':"$\n'):
        raise InstallError(f'{folder} has a character in its name that a library path cannot have ( : " $ ).')
    advice = "Set CONDORMAP_HOME to a folder that has room and that you may write to."
    try:
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o755)  # whatever the umask: jobs may run as another user
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise InstallError(f"HTCondor would be installed in {folder}, but: {error}.\n{advice}") from error
    if free < _SPACE_NEEDED:
        raise InstallError(
            f"{folder} has {free >> 20} MB free; installing HTCondor needs {_SPACE_NEEDED >> 20}.\n{advice}"
        )
    return folder


@contextmanager
def _only_one(folder: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the folder's lock. The kernel releases it when this process ends, however it ends."""
    lock = FileLock(folder / ".lock")
    try:
        try:
            lock.acquire(blocking=False)
        except Timeout:
            say(f"Waiting for another installation in {folder}")
            lock.acquire(timeout=_LOCK_TIMEOUT)
    except Timeout:
        raise InstallError(
            f"Another process has been installing in {folder} for {_LOCK_TIMEOUT / 60:.0f} minutes.\n"
            "Try again when it is done."
        ) from None
    except OSError as error:
        raise InstallError(f"{folder} cannot be locked: {error}") from error
    try:
        yield
    finally:
        lock.release()
