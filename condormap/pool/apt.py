"""Run the machine's apt on a private tree: its mirrors, proxies and keys, but none of its state.

No root is needed and nothing outside the private tree is written. What the machine's administrator has
configured (proxies, credentials, certificates) stays in force; only where apt keeps its state, and which
suite it reads, is set here. Signatures are verified with the distribution's own keyring, always.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from condormap.errors import InstallError

__all__ = ["AptError", "AptTree", "apt_settings", "stanzas"]

# A file for `apt-get -c`: read after the machine's own configuration, so it has the last word.
# The hooks are cleared because they belong to the system's package lists (some delete its cache).
_CONFIGURATION = """\
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "{tree}/sources";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State "{tree}/state";
Dir::State::lists "{tree}/state/lists";
Dir::State::status "{tree}/state/status";
Dir::State::extended_states "{tree}/state/extended_states";
Dir::Cache "{tree}/cache";
Dir::Cache::archives "{tree}/cache/archives";
Dir::Cache::pkgcache "pkgcache.bin";
Dir::Cache::srcpkgcache "";
Dir::Log "{tree}/log";
APT::Sandbox::User "root";
APT::Get::AllowUnauthenticated "false";
APT::Update::Error-Mode "any";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowDowngradeToInsecureRepositories "false";
Acquire::Languages "none";
Acquire::PDiffs "false";
Acquire::GzipIndexes "false";
Acquire::Retries "2";
Acquire::http::Timeout "15";
Acquire::https::Timeout "15";
#clear APT::Default-Release;
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
"""


class AptError(Exception):
    """A command of apt's failed; the text is the end of what it said."""

    @property
    def unreachable(self) -> bool:
        """Whether the mirror did not answer at all, so that asking it for more is useless."""
        silence = r"(not|to) connect|resolv|Connection failed|unreachable|timed out"
        return re.search(silence, str(self)) is not None


class AptTree:
    """A private apt, in a folder of its own, that reads one source.

    Parameters
    ----------
    folder : Path
        Where apt keeps its lists, its cache and its lock; created.
    source : dict of str
        One stanza of a ``.sources`` file.
    """

    def __init__(self, folder: Path, source: dict[str, str]) -> None:
        self._folder = folder
        self.archives = folder / "cache" / "archives"
        for path in ("sources", "state/lists/partial", "cache/archives/partial", "log", "tmp"):
            (folder / path).mkdir(parents=True)
        (folder / "state" / "status").touch()
        (folder / "sources" / "condormap.sources").write_text(
            "".join(f"{key}: {value}\n" for key, value in source.items())
        )
        self._configuration = folder / "apt.conf"
        self._configuration.write_text(_CONFIGURATION.format(tree=folder))

    def update(self) -> None:
        """Fetch the list of packages and verify its signature."""
        self._run("apt-get", "-q", "-o", "Acquire::Retries=1", "update", timeout=300)
        # Before 2.1, apt only warned where it could fetch nothing.
        if not any((self._folder / "state" / "lists").glob("*_Packages")):
            raise AptError("it has no list of packages for this kind of machine")

    def show(self, packages: Iterable[str]) -> list[dict[str, str]]:
        """Return the records of those packages that the suite offers, the newest version of each."""
        try:
            answer = self._run("apt-cache", "show", "--no-all-versions", *packages, timeout=60)
        except AptError:
            return []  # it offers none of them
        return list(stanzas(answer))

    def download(self, packages: Iterable[str]) -> list[Path]:
        """Fetch packages (``name=version``), verify their checksums, return the files."""
        self._run("apt-get", "-q", "download", *packages, timeout=900, folder=self.archives)
        return sorted(self.archives.glob("*.deb"))

    def _run(self, program: str, *arguments: str, timeout: float, folder: Path | None = None) -> str:
        command = [program, "-c", str(self._configuration), *arguments]
        return run(command, timeout=timeout, folder=folder, temporary=self._folder / "tmp")


def apt_settings(**names: str) -> dict[str, str]:
    """Return settings of the machine's apt: ``apt_settings(arch="APT::Architecture")["arch"]``."""
    answer = run(["apt-config", "shell", *(word for pair in names.items() for word in pair)], timeout=30)
    return dict(word.split("=", 1) for word in shlex.split(answer))


def stanzas(text: str) -> Iterator[dict[str, str]]:
    """Read Debian's control format: blocks of ``Key: value``, keys returned in lower case.

    Lines that go on with a space belong to the value before; comment lines are dropped.
    """
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    for block in re.split(r"\n[ \t]*\n", "\n".join(lines)):
        fields: dict[str, str] = {}
        key = ""
        for line in block.splitlines():
            if line[:1] in (" ", "\t"):
                if key:
                    fields[key] += "\n" + line
            elif ":" in line:
                key, value = line.split(":", 1)
                key = key.strip().lower()
                fields[key] = value.strip()
        if fields:
            yield fields


def run(
    command: list[str], *, timeout: float, folder: Path | None = None, temporary: Path | None = None
) -> str:
    """Run a program of apt's or dpkg's, in English, and return what it printed.

    It dies with this process, even when this process is killed: a download must not go on by itself in
    a folder that the next installation is about to clear.
    """
    if shutil.which(command[0]) is None:
        raise InstallError(f"{command[0]} is not on this machine.")
    tie = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    if temporary is not None:
        environment["TMPDIR"] = str(temporary)
    try:
        answer = subprocess.run(
            [*tie, *command], env=environment, cwd=folder, timeout=timeout, capture_output=True, text=True,
            errors="replace", stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise AptError(f"{command[0]} was not done after {timeout:.0f} s (timed out)") from error
    if answer.returncode != 0:
        raise AptError(_complaint(answer.stderr) or f"{command[0]} ended with status {answer.returncode}")
    return answer.stdout


def _complaint(stderr: str) -> str:
    """Return what went wrong in a program's stderr, without what is said twice or only informs."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("E:") and "Some index files" not in line] or lines
    return "; ".join(dict.fromkeys(line.removeprefix("E: ") for line in errors[-4:]))
