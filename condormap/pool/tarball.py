"""Unpack one of HTCondor's own tarballs (``condor-<version>-x86_64_<system>-stripped.tar.gz``)."""

from __future__ import annotations

import hashlib
import lzma
import tarfile
import zlib
from pathlib import Path

from condormap.errors import InstallError

__all__ = ["identify", "unpack"]


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

    Nothing is written outside `folder`, whatever the tarball names.
    """
    try:
        with tarfile.open(path) as archive:
            members = archive.getmembers()
            _check(path, members)
            archive.extractall(folder, members=members, filter="data")
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise InstallError(f"it is not a tarball that can be unpacked safely: {error}") from error
    (root,) = folder.iterdir()
    return root


def _check(path: Path, members: list[tarfile.TarInfo]) -> None:
    names = {member.name.removeprefix("./").rstrip("/") for member in members} - {"", "."}
    roots = {name.split("/")[0] for name in names}
    wanted = ("bin/condor_submit", "sbin/condor_master", "sbin/condor_schedd", "sbin/condor_startd")
    missing = [name for name in wanted if not any(f"{root}/{name}" in names for root in roots)]
    if len(roots) != 1 or missing:
        raise InstallError(
            "it is not an HTCondor tarball, which is one folder with HTCondor's bin, sbin, lib and libexec"
            + (f" (there is no {', '.join(missing)})" if missing else "")
        )
