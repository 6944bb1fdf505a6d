"""Fixtures that every test may use: a real pool with two cpus, started once."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

import condormap
from condormap.condor import connect
from condormap.folders.paths import daemons_folder
from condormap.pool.personal import PersonalPool

pytest_plugins = ["in_job", "mappers"]


def pytest_configure() -> None:
    """Let Ctrl-C work in the tests and in what they start: a shell that runs them in the background ignores it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the counts of test suites that ran within a test."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            if name == "counts":
                terminalreporter.write_line(str(value))


@pytest.fixture(scope="session", autouse=True)
def condormap_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep everything that the tests make out of this user's own folder, but for the daemons installed there."""
    home = tmp_path_factory.mktemp("condormap-home")
    (home / "daemons").symlink_to(daemons_folder())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONDORMAP_HOME", str(home))
        yield home
        unasked = PersonalPool()
        if unasked.running:
            unasked.stop()
            pytest.fail("a test named no pool, so one was started for it; look for a call without pool=")


@pytest.fixture(scope="session")
def pool() -> Iterator[PersonalPool]:
    """Return a running personal pool with 2 cpus and 4 GB, shared by every test that does not harm it."""
    with PersonalPool(cpus=2, memory=4096, fsync=False) as pool:
        yield pool


def daemon(pool: PersonalPool, name: str) -> psutil.Process:
    """Return the one daemon of that name; it may have children of its own name, which answer queries."""
    found = []
    for process in psutil.Process(pool.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            parent = process.parent()
            if process.name() == name and parent is not None and parent.name() != name:
                found.append(process)
    (one,) = found
    return one


@pytest.fixture
def at_a_prompt(pool: PersonalPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Stand in an empty folder, with the pool configured; afterwards nothing of the test stays in the queue."""
    monkeypatch.setenv("CONDOR_CONFIG", str(pool.config_file))
    monkeypatch.chdir(tmp_path)
    yield
    connect(pool.address).act("remove", constraint="true")


class Gate:
    """Holds the items of a map back until a test opens it: a file that their functions wait for."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self) -> None:
        self.path.touch()

    def wait(self, seconds: float = 60.0) -> None:
        """Wait in a job. By an item's end the test is over or has failed, so it gives up some day."""
        deadline = time.monotonic() + seconds
        while not self.path.exists() and time.monotonic() < deadline:
            time.sleep(0.01)


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    """Return a gate, closed; it is open when the test is over, so that no job of it stays."""
    gate = Gate(tmp_path / "gate")
    yield gate
    gate.open()


@pytest.fixture
def start_script(pool: PersonalPool, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Return a function that starts a script as a user would: another Python, whose HTCondor is the pool."""
    started: list[subprocess.Popen[str]] = []

    def start(code: str, **more: object) -> subprocess.Popen[str]:
        path = tmp_path / f"script{len(started)}.py"  # another one may still be reading its own
        path.write_text(textwrap.dedent(code))
        root = Path(condormap.__file__).parents[1]
        environment = os.environ | {"CONDOR_CONFIG": str(pool.config_file), "PYTHONPATH": str(root)}
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | more
        command = [sys.executable, "-W", "error", str(path)]
        started.append(subprocess.Popen(command, text=True, env=environment, cwd=tmp_path, **options))  # type: ignore[call-overload]
        return started[-1]

    yield start
    for process in started:
        with process:
            process.kill()


@pytest.fixture
def run_script(start_script: Callable[..., subprocess.Popen[str]]) -> Callable[[str], str]:
    """Return a function that runs a script and returns its output."""

    def run(code: str) -> str:
        process = start_script(code)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert err == ""
        return out

    return run
