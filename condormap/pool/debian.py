"""Get HTCondor's packages, and the libraries they need, from the Debian or Ubuntu mirror of this machine.

::

    the machine's apt sources -> its distribution's mirrors -> x suites, newest first
        -> a private apt tree each -> the version of `condor` there -> its closure of libraries -> .deb files
"""

from __future__ import annotations

import csv
import datetime
import os
import platform
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from condormap.errors import InstallError
from condormap.pool.apt import AptTree, apt_settings, run, stanzas

__all__ = ["Distribution", "Packages", "Source", "closure", "distribution", "mirrors", "suites", "unpack"]

_KEYRINGS = Path("/usr/share/keyrings")
_UBUNTU_SERIES = Path("/usr/share/distro-info/ubuntu.csv")


@dataclass(frozen=True)
class Distribution:
    """The distribution whose packages this machine runs.

    Attributes
    ----------
    family : str
        ``"debian"`` or ``"ubuntu"``; a derivative counts as what it derives from.
    codename : str
        Of its release, for example ``"bookworm"``.
    """

    family: str
    codename: str

    @property
    def components(self) -> str:
        """The parts of the archive that have HTCondor and its libraries."""
        return "main" if self.family == "debian" else "main universe"

    @property
    def keyring(self) -> Path | None:
        """The distribution's own keyring, which every suite is verified with."""
        names = (f"{self.family}-archive-keyring{suffix}" for suffix in (".gpg", ".pgp"))
        return next((_KEYRINGS / name for name in names if (_KEYRINGS / name).is_file()), None)


@dataclass(frozen=True)
class Source:
    """One enabled line (or stanza) of the machine's apt sources that has binary packages."""

    uris: tuple[str, ...]
    suites: tuple[str, ...]
    components: tuple[str, ...]
    signed_by: str = ""
    check_valid_until: str = ""


@dataclass(frozen=True)
class Packages:
    """What is to be downloaded: ``name=version`` of each package, and together how many bytes."""

    version: str
    names: tuple[str, ...]
    size: int


def distribution() -> Distribution:
    """Return the distribution of this machine; InstallError where it is not of Debian's family."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    like = {release.get("ID", ""), *release.get("ID_LIKE", "").split()}
    family = "ubuntu" if "ubuntu" in like else "debian"
    if family not in like:
        raise InstallError(f"This system is {release.get('PRETTY_NAME', 'unknown')}, not Debian or Ubuntu.")
    # A derivative has a codename of its own beside that of its base.
    codename = release.get(f"{family.upper()}_CODENAME") or release.get("VERSION_CODENAME", "")
    return Distribution(family, codename)


def suites(system: Distribution) -> list[str]:
    """Return the suites to look in, newest first."""
    if system.family == "debian":
        newest = ["sid", "testing", "stable"]
        own = [system.codename, f"{system.codename}-backports"] if system.codename else []
    else:
        series = _ubuntu_series()
        newer = series[: series.index(system.codename)] if system.codename in series else []
        newest = ["devel", *newer]
        own = [system.codename] if system.codename else []
    return list(dict.fromkeys([*newest, *own]))


def mirrors(system: Distribution) -> list[dict[str, str]]:
    """Return the mirrors of the distribution that this machine's apt is configured with.

    Returns
    -------
    list of dict
        The stanza of a ``.sources`` file for each, without its suite. None is marked as trusted: a mirror
        that the distribution's key has not signed is refused by apt.
    """
    found: dict[str, dict[str, str]] = {}
    settings = apt_settings(
        list="Dir::Etc::sourcelist/f", parts="Dir::Etc::sourceparts/d", architecture="APT::Architecture"
    )
    for source in read_sources(Path(settings["list"]), Path(settings["parts"])):
        keyring = _keyring(source, system)
        if keyring is None or not _is_of(source, system):
            continue
        for uri in source.uris:
            stanza = {
                "Types": "deb",
                "URIs": uri,
                "Components": system.components,
                "Architectures": settings["architecture"],
                "Signed-By": keyring,
                "Targets": "Packages",
            }
            if source.check_valid_until:
                stanza["Check-Valid-Until"] = source.check_valid_until
            found.setdefault(uri.rstrip("/"), stanza)
    if not found:
        raise InstallError(f"apt on this machine is configured with no {system.family.capitalize()} mirror.")
    return list(found.values())


def closure(apt: AptTree, root: str = "condor") -> Packages | None:
    """Return `root` and the libraries that it needs, or None where the suite has no such package.

    Only packages of libraries are followed: the rest (an init system, Python, Perl, tools) is for a
    system-wide HTCondor, and the machine's own serves as well.
    """
    records: dict[str, dict[str, str]] = {}
    wanted = [root]
    seen = {root}
    while wanted:
        for record in apt.show(wanted):
            if record["package"] == root or _is_library(record):
                records.setdefault(record["package"], record)
        names = [name for record in records.values() for name in _dependencies(record)]
        wanted = [name for name in dict.fromkeys(names) if name not in seen]
        seen.update(wanted)
    if root not in records:
        return None
    return Packages(
        version=records[root]["version"],
        names=tuple(f"{name}={record['version']}" for name, record in records.items()),
        size=sum(int(record["size"]) for record in records.values()),
    )


def unpack(packages: list[Path], prefix: Path) -> None:
    """Unpack package files into a folder; none of their scripts is run."""
    prefix.mkdir(parents=True, exist_ok=True)
    for package in packages:
        run(["dpkg-deb", "-x", str(package), str(prefix)], timeout=120)
    # The C library looks for its character sets on the system, never here.
    for folder in list(prefix.glob("**/gconv")):
        shutil.rmtree(folder)


def read_sources(main: Path, parts: Path) -> list[Source]:
    """Return the enabled binary sources of apt: `main`, and ``*.list`` and ``*.sources`` in `parts`."""
    files = [main, *sorted(parts.glob("*.list")), *sorted(parts.glob("*.sources"))]
    found: list[Source] = []
    for file in files:
        try:
            text = file.read_text(errors="replace")
        except OSError:
            continue  # absent, or for root's eyes only
        found += _deb822(text) if file.suffix == ".sources" else _one_line(text)
    return found


def _deb822(text: str) -> Iterator[Source]:
    for fields in stanzas(text):
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in _NO:
            continue
        yield Source(
            uris=tuple(fields.get("uris", "").split()),
            suites=tuple(fields.get("suites", "").split()),
            components=tuple(fields.get("components", "").split()),
            signed_by=fields.get("signed-by", "").strip(),
            check_valid_until=fields.get("check-valid-until", ""),
        )


def _one_line(text: str) -> Iterator[Source]:
    for line in text.splitlines():
        match = re.match(r"\s*deb\s+(?:\[([^\]]*)\]\s*)?(\S+)\s+(\S+)([^#]*)", line)
        if match is None:
            continue
        options = dict(re.findall(r"([\w-]+)\+?=(\S+)", (match[1] or "").lower()))
        signed_by = re.search(r"signed-by=(\S+)", match[1] or "", re.IGNORECASE)
        yield Source(
            uris=(match[2],),
            suites=(match[3],),
            components=tuple(match[4].split()),
            signed_by=signed_by[1] if signed_by else "",
            check_valid_until=options.get("check-valid-until", ""),
        )


_NO = ("no", "false", "without", "off", "disable", "0")


def _is_of(source: Source, system: Distribution) -> bool:
    """Whether a source is the distribution's main archive, judged by the suites it names."""
    known = {*suites(system), "unstable", "oldstable", "oldoldstable"}
    return "main" in source.components and any(suite in known for suite in source.suites)


def _keyring(source: Source, system: Distribution) -> str | None:
    """Return the keyring for a source: the distribution's, or None where it is signed by somebody else's.

    A source that names none, or has a key written into it, gets the distribution's: so a third party's
    repository that uses the same suite names fails apt's verification.
    """
    keyring = system.keyring
    if source.signed_by.startswith("/"):
        named = re.split(r"[\s,]", source.signed_by)[0]
        if not os.path.basename(named).startswith(f"{system.family}-archive-"):
            return None
        keyring = keyring or Path(named)
    return str(keyring) if keyring else None


def _is_library(record: dict[str, str]) -> bool:
    # Ubuntu files some elsewhere; but what can be installed for several kinds of machine at once is a
    # library too, except for the modules of Python.
    section = record.get("section", "")
    return section.endswith("libs") or (record.get("multi-arch") == "same" and not section.endswith("python"))


def _dependencies(record: dict[str, str]) -> Iterator[str]:
    """Yield the names in Depends and Pre-Depends; of alternatives the first, which is the preferred one."""
    text = ",".join(record.get(field, "") for field in ("pre-depends", "depends"))
    for alternatives in text.split(","):
        name = re.match(r"\s*([a-z0-9][a-z0-9+.-]*)", alternatives)
        if name:
            yield name[1]


def _ubuntu_series() -> list[str]:
    """Return Ubuntu's released series, newest first, as far as this machine has heard of them."""
    today = datetime.date.today().isoformat()
    try:
        with open(_UBUNTU_SERIES, newline="") as file:
            rows = [row for row in csv.DictReader(file) if (row.get("release") or "9") <= today]
    except OSError:
        return []
    return [row["series"] for row in sorted(rows, key=lambda row: row["release"], reverse=True)]
