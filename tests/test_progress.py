"""The progress bar: on a terminal, silent elsewhere, and it says what the pool is doing."""

from __future__ import annotations

import contextlib
import os
import re
import select
import subprocess
import termios
import time
from collections.abc import Callable, Iterator

import pytest

Start = Callable[..., "subprocess.Popen[str]"]

QUICK = "from condormap import condormap; print(sum(condormap(abs, range(50), progress={})))"


class Terminal:
    """A pseudo-terminal: what a program writes to its standard error there."""

    def __init__(self) -> None:
        self.ours, self.theirs = os.openpty()
        termios.tcsetwinsize(self.theirs, (24, 120))
        self.text = ""

    def read(self, seconds: float) -> None:
        ready, _, _ = select.select([self.ours], [], [], seconds)
        if ready:
            with contextlib.suppress(OSError):  # the program has closed its end
                self.text += os.read(self.ours, 65536).decode()

    def until(self, pattern: str, seconds: float) -> float:
        """Read until the pattern is there; return how long that took."""
        began = time.monotonic()
        while not re.search(pattern, self.text):
            assert time.monotonic() < began + seconds, self.text
            self.read(0.05)
        return time.monotonic() - began


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    terminal = Terminal()
    yield terminal
    os.close(terminal.ours)
    os.close(terminal.theirs)


def finish(process: subprocess.Popen[str], terminal: Terminal) -> str:
    """Wait for a program that writes to the terminal; return its standard output."""
    deadline = time.monotonic() + 60
    while process.poll() is None:
        assert time.monotonic() < deadline
        terminal.read(0.05)
    terminal.read(0.05)
    assert process.returncode == 0, terminal.text
    assert process.stdout
    return process.stdout.read()


def test_on_a_terminal_a_bar_counts_the_items(start_script: Start, terminal: Terminal) -> None:
    process = start_script(QUICK.format(None), stderr=terminal.theirs)
    assert finish(process, terminal) == "1225\n"
    assert re.search(r"100%.*50/50", terminal.text)
    assert re.search(r"\w+-\w+-[0-9a-f]{4}: ", terminal.text)  # the map's tag


def test_without_a_terminal_nothing_is_shown(start_script: Start) -> None:
    out, err = start_script(QUICK.format(None)).communicate(timeout=60)
    assert (out, err) == ("1225\n", "")


def test_it_can_be_switched_off_on_a_terminal(start_script: Start, terminal: Terminal) -> None:
    process = start_script(QUICK.format(False), stderr=terminal.theirs)
    assert finish(process, terminal) == "1225\n"
    assert terminal.text == ""


def test_it_can_be_switched_on_without_a_terminal(start_script: Start) -> None:
    out, err = start_script(QUICK.format(True)).communicate(timeout=60)
    assert out == "1225\n"
    assert "50/50" in err


STUCK = """
from condormap import condormap
m = condormap(abs, range(3), chunksize=1, requirements={!r})
print("submitted", flush=True)
try:
    m.wait()
except KeyboardInterrupt:
    m.remove()
"""


@pytest.mark.parametrize(
    ("requirements", "told"),
    # The second is true until the job is in the queue, and then false.
    [("time() < 0", "0 slots match"), ("MY.ClusterId =?= undefined", "2 slots match")],
)
def test_within_5_seconds_it_says_why_nothing_runs(
    start_script: Start, terminal: Terminal, requirements: str, told: str
) -> None:
    process = start_script(STUCK.format(requirements), stderr=terminal.theirs)
    assert process.stdout
    assert process.stdout.readline() == "submitted\n"
    assert terminal.until(rf"3 jobs idle, {told}", seconds=15) < 5
    process.send_signal(2)
    finish(process, terminal)
