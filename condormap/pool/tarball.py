"""Unpack one of HTCondor's own tarballs (``condor-<version>-x86_64_<system>-stripped.tar.gz``)."""

from __future__ import annotations

import hashlib
import lzma
import os.path
import tarfile
import zlib
from pathlib import Path

from condormap.errors import InstallError
from condormap.pool.apt import AptError, run

__all__ = ["identify", "unpack"]

_WANTED = ("bin/condor_submit", "sbin/condor_master", "sbin/condor_schedd", "sbin/condor_startd")


def identify(path: Path, sha256: str | None) -> str:
    """Return what the file is known by, ``"sha256:..."``; InstallError if it is not the one expected."""
    try:
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InstallError(f"{path} cannot be read: {error.strerror}.") from error
    if sha256 is not None and digest != sha256.strip().lower():
        raise InstallError(
            f"{path} is not the file that was asked for: its SHA-256 is\n  {digest}, not\n  {sha256}\n"
            "Download it again, and compare with the checksum that HTCondor publishes beside it."
        )
    return f"sha256:{digest}"


def unpack(path: Path, folder: Path) -> Path:
    """Unpack a tarball into a new folder and return the folder in it that has HTCondor's programs.

    A tarball that names anything outside of its own folder, or a device, is refused as a whole.
    """
    try:
        with tarfile.open(path) as archive:
            members = archive.getmembers()
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, OSError) as error:
        raise InstallError(f"it is not a whole tarball: {error}") from error
    root = _root(members)
    folder.mkdir()
    try:
        # Not `tarfile`: its safe filter is missing from Pythons before 3.11.4.
        command = [
            "tar",
            "--no-same-owner",
            "--no-same-permissions",
            "-x",
            "-C",
            str(folder),
            "-f",
            str(path),
        ]
        run(command, timeout=300)
    except AptError as error:
        raise InstallError(f"it could not be unpacked: {error}") from error
    return folder / root


def _root(members: list[tarfile.TarInfo]) -> str:
    """Return the one top folder of an HTCondor tarball; InstallError if it is something else."""
    names = {os.path.normpath(member.name) for member in members} - {"."}
    roots = {name.split("/")[0] for name in names}
    missing = [name for name in _WANTED if not any(f"{root}/{name}" in names for root in roots)]
    if missing or len(roots) != 1:
        raise InstallError(
            "it is not an HTCondor tarball, which is one folder with HTCondor's bin, sbin, lib and libexec"
            + (f" (there is no {', '.join(missing)})" if missing else "")
        )
    (root,) = roots
    for member in members:
        if not (member.isfile() or member.isdir() or member.issym() or member.islnk()):
            raise InstallError(f"it has a special file in it ({member.name}), which no HTCondor tarball has")
        beside = os.path.dirname(member.name) if member.issym() else ""
        target = os.path.normpath(os.path.join(beside, member.linkname)) if member.linkname else root
        if target.split("/")[0] != root:
            raise InstallError(
                f"it has a link in it that leads out of it ({member.name} to {member.linkname})"
            )
    return root
