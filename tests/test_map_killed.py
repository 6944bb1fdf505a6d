"""A map whose process is killed at any moment goes on: no item is lost, none runs in two clusters."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import condormap as package
from condormap import CondorMap, PersonalPool, clean, load
from condormap.condor import connect
from condormap.errors import InvalidInputError
from condormap.folders import store

N = 6
MOMENTS = 36
PARALLEL = 3

# The process counts what it does with files and sockets, and is killed some milliseconds after a given count.
KILLED = """
import os, signal, sys, threading, time

def append(path, item):
    with open(path, "a") as file:
        file.write(f"{item}\\n")

def square(x):
    append(RAN, x)
    return x * x

def fragile(x):
    append(RAN, x)
    if x % 2 and not os.path.exists(MENDED):
        raise ValueError(x)
    return x * x

def count(event, args):
    global done, sent
    if event.startswith(("open", "os.", "socket.", "fcntl.", "shutil.", "subprocess.")):
        done += 1
        if event == "socket.sendmsg":  # with the lock: the submit
            sent = done
        if done == AT:
            if DELAY:
                threading.Thread(target=lambda: (time.sleep(DELAY), os.kill(os.getpid(), signal.SIGKILL))).start()
            else:
                os.kill(os.getpid(), signal.SIGKILL)

WHAT, TAG, RAN, MENDED, AT, DELAY = *sys.argv[1:5], int(sys.argv[5]), float(sys.argv[6])
done = sent = 0
from condormap import condormap, load
if WHAT == "retry":
    m = load(TAG)
    sys.addaudithook(count)
    m.retry()
else:
    sys.addaudithook(count)
    m = condormap(fragile if WHAT == "fragile" else square, range(6), tag=TAG, chunksize=2)
if WHAT != "retry":
    list(m.results("skip"))
print(sent, done)
"""


class Killed:
    """Starts the process that is killed, and tells what became of its map."""

    def __init__(self, pool: PersonalPool, folder: Path) -> None:
        self.folder, self.condor = folder, connect(pool.address)
        self.script = folder / "script.py"
        self.script.write_text(KILLED)
        root = Path(package.__file__).parents[1]
        self.environment = os.environ | {"CONDOR_CONFIG": str(pool.config_file), "PYTHONPATH": str(root)}

    def run(self, what: str, tag: str, at: int = 0, delay: float = 0.0) -> tuple[int, int]:
        """Run the process; return its counts, at the submit and at the end, where it was not killed."""
        arguments = [what, tag, self.folder / tag, self.folder / "mended", at, delay]
        run = subprocess.run(
            [sys.executable, str(self.script), *map(str, arguments)],
            env=self.environment, cwd=self.folder, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert run.returncode in (0, -signal.SIGKILL), run.stderr
        sent, done = map(int, run.stdout.split()) if run.returncode == 0 else (0, 0)
        return sent, done

    def ran(self, tag: str) -> list[int]:
        """Return the items whose function was called, in ascending order."""
        path = self.folder / tag
        return sorted(map(int, path.read_text().split())) if path.exists() else []

    def clusters(self, constraint: str) -> list[int]:
        found = [
            *self.condor.query(constraint, ["ClusterId"], cluster_ads=True),
            *self.condor.history(constraint, ["ClusterId"]),
        ]
        return sorted({ad["ClusterId"] for ad in found})

    def noted(self, m: CondorMap) -> list[int]:
        parts = store.submission_folders(m.path)
        return [json.loads((part / "cluster.json").read_bytes())["cluster"] for part in parts]


@pytest.fixture
def killed(pool: PersonalPool, tmp_path: Path) -> Killed:
    return Killed(pool, tmp_path)


def moments(sent: int, done: int, number: int, seed: int) -> list[tuple[int, float]]:
    """Return when to kill: a third during the submit, the others all over the work, or soon after a step of it."""
    chance = random.Random(seed)
    between = [(sent + 1, 0.0), (sent + 2, 0.0)]  # the schedd has the jobs, and the cluster is not noted
    during = [(sent, chance.uniform(0.0, 0.02)) for _ in range(number // 3)]
    steps = number - len(between) - len(during)
    delays = [chance.choice([0.0, 0.0, chance.uniform(0.0005, 0.05)]) for _ in range(steps)]
    return [*between, *during, *((1 + k * done // steps, delays[k]) for k in range(steps))]


def test_a_map_whose_process_is_killed_goes_on(killed: Killed) -> None:
    counts = killed.run("square", "whole")
    assert killed.ran("whole") == list(range(N))

    def kill(number: int, at: int, delay: float) -> str:
        """Kill the process of a map; return whether the map was there afterwards."""
        tag = f"killed-{number}"
        killed.run("square", tag, at, delay)
        try:
            m = load(tag)
        except InvalidInputError:  # it was killed before the map was complete, so nothing was submitted
            assert killed.clusters(f'JobBatchName == "{tag}"') == []
            assert killed.ran(tag) == []
            return "none"
        assert m.results() == [x * x for x in range(N)]
        assert killed.ran(tag) == list(range(N))
        assert killed.noted(m) == killed.clusters(f'JobBatchName == "{tag}"')
        assert len(killed.noted(m)) == 1
        return "there"

    with ThreadPoolExecutor(PARALLEL) as executor:
        became = list(
            executor.map(kill, range(MOMENTS), *zip(*moments(*counts, MOMENTS, seed=1), strict=True))
        )
    assert set(became) == {"none", "there"}
    clean()
    assert repr(clean()) == "nothing to clean"


def test_a_retry_whose_process_is_killed_goes_on_or_never_was(killed: Killed) -> None:
    def tags(number: int) -> list[str]:
        return [f"retried-{k}" for k in range(number)]

    number = 9
    with ThreadPoolExecutor(PARALLEL) as executor:
        list(executor.map(lambda tag: killed.run("fragile", tag), ["retried", *tags(number)]))
        (killed.folder / "mended").touch()
        counts = killed.run("retry", "retried")

        def kill(tag: str, moment: tuple[int, float]) -> int:
            killed.run("retry", tag, *moment)
            m = load(tag)
            m.wait(60)
            n_submissions = len(killed.noted(m))
            odd = [1, 3, 5] if n_submissions == 2 else []
            assert m.failed() == ([] if odd else [1, 3, 5])
            assert killed.ran(tag) == sorted([*range(N), *odd])
            assert killed.noted(m) == killed.clusters(f'JobBatchName == "{tag}"')
            m.retry()
            assert m.results() == [x * x for x in range(N)]
            return n_submissions

        became = list(executor.map(kill, tags(number), moments(*counts, number, seed=2)))
    assert set(became) == {1, 2}
