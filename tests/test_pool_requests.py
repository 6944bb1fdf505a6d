"""Jobs get what they ask for, and together never more than the pool was given, however many slots it shows."""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from condormap import condormap
from condormap.pool.personal import PersonalPool

JOB = """#!/bin/sh
began=$(date +%s.%N)
sleep $2
echo $began $(date +%s.%N) > $1.new
mv $1.new $1
"""


def submit(pool: PersonalPool, folder: Path, lines: list[str]) -> None:
    description = folder / f"{time.monotonic_ns()}.sub"
    description.write_text(
        "\n".join([*lines, f"log = {folder}/log", "should_transfer_files = NO", "max_idle = 8"])
    )
    with description.open("a") as file:
        file.write("\nqueue\n")
    subprocess.run(
        [pool.daemons.bin / "condor_submit", "-terse", description],
        env={**os.environ, "CONDOR_CONFIG": str(pool.config_file)},
        check=True,
        capture_output=True,
        timeout=30,
    )


def until(condition: Callable[[], object], *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.01)


def test_mixed_requests_never_add_up_to_more_than_the_pool_has(pool: PersonalPool, tmp_path: Path) -> None:
    program = tmp_path / "job.sh"
    program.write_text(JOB)
    program.chmod(0o755)
    most, more_than_half = int(pool.memory * 0.95), int(pool.memory * 0.6)
    disk = int(subprocess.run(
        [pool.daemons.bin / "condor_status", "-limit", "1", "-af", "Disk"],
        env={**os.environ, "CONDOR_CONFIG": str(pool.config_file)}, check=True, capture_output=True, text=True,
    ).stdout)  # fmt: skip
    kinds = [  # cpus, MB of memory, KB of disk
        (1, 100, 1000), (1, 100, 1000), (pool.cpus, 100, 1000), (1, more_than_half, 1000), (1, most, 1000),
        (1, 100, int(disk * 0.6)), (pool.cpus, most, 1000),
    ]  # fmt: skip
    jobs = kinds * 2
    random.Random(1).shuffle(jobs)
    for number, (cpus, memory, kilobytes) in enumerate(jobs):
        asks = [f"request_cpus = {cpus}", f"request_memory = {memory}", f"request_disk = {kilobytes}"]
        work = [f"executable = {program}", f"arguments = {tmp_path}/{number}.out 0.3"]
        submit(pool, tmp_path, work + asks)
    outputs = [tmp_path / f"{number}.out" for number in range(len(jobs))]
    until(lambda: all(output.exists() for output in outputs), seconds=60)

    changes = []
    for output, asked in zip(outputs, jobs, strict=True):
        began, ended = map(float, output.read_text().split())
        changes += [(began, 1, asked), (ended, -1, asked)]
    in_use = [0, 0, 0]
    for _, sign, asked in sorted(changes):
        in_use = [total + sign * amount for total, amount in zip(in_use, asked, strict=True)]
        assert in_use[0] <= pool.cpus
        assert in_use[1] <= pool.memory
        assert in_use[2] <= disk


def test_a_job_that_uses_more_memory_than_it_asked_for_is_held(pool: PersonalPool, tmp_path: Path) -> None:
    program = tmp_path / "greedy.sh"
    program.write_text(
        "#!/bin/sh\nexec python3 -c 'a = bytearray(300 << 20); import time; time.sleep(100)'\n"
    )
    program.chmod(0o755)
    submit(pool, tmp_path, [f"executable = {program}", "request_memory = 100"])
    log = tmp_path / "log"
    until(lambda: "Job was held" in log.read_text(), seconds=40)
    # The startd's policy holds (21), with the subcode that HTCondor gives to memory; 34 needs cgroups.
    assert "Code 21 Subcode 102" in log.read_text()


def test_one_item_jobs_in_a_row_start_at_once(pool: PersonalPool, tmp_path: Path) -> None:
    seconds, of_python = [], []
    for number in range(15):
        folder = tmp_path / str(number)
        folder.mkdir()
        began = time.monotonic()
        submit(pool, folder, ["executable = /bin/true", "request_memory = 100", "request_disk = 1000"])
        until(lambda log=folder / "log": "Job terminated" in log.read_text(), seconds=20)  # type: ignore[misc]
        ended = time.monotonic()
        seconds.append(ended - began)
        subprocess.run([sys.executable, "-c", "import asyncio"], check=True)
        of_python.append(time.monotonic() - ended)
    # About 0.15 s, twice what Python takes to start; a knob too few and it is 1 s or more. On a busy machine the
    # first grows with the second, and by itself tells nothing.
    assert statistics.median(seconds) < max(0.6, 5 * statistics.median(of_python))


@pytest.mark.parametrize("cpus", [1, 3, 64])
def test_spare_slots_are_enough_and_not_too_many(pool: PersonalPool, tmp_path: Path, cpus: int) -> None:
    from condormap.pool.config import PoolSettings

    settings = PoolSettings(
        folder=tmp_path, daemons=pool.daemons, user="ada", cpus=cpus, memory=1000, disk=1000
    )
    assert 16 <= settings.slots <= 64


def test_a_map_that_nothing_matches_does_not_keep_others_from_running(pool: PersonalPool) -> None:
    stuck = [
        condormap(abs, range(3), pool=pool, requirements=requirements)
        for requirements in ("time() < 0", "Memory < 0 * time()")
    ]
    try:
        assert condormap(abs, [-1, -2], pool=pool).results(timeout=30) == [1, 2]
    finally:
        for m in stuck:
            m.remove()


def test_a_job_for_the_whole_pool_runs_when_a_smaller_one_before_it_has_ended(pool: PersonalPool) -> None:
    small = condormap(time.sleep, [1], pool=pool)
    whole = condormap(abs, [-1], pool=pool, cpus=2)
    assert whole.results(timeout=30) == [1]
    assert small.results(timeout=30) == [None]
