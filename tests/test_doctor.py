"""The doctor, and the command line around it."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from condormap import PersonalPool
from condormap.folders.paths import maps_folder


def condormap(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user would, on a machine that has no HTCondor unless `environment` names one."""
    inherited = {name: value for name, value in os.environ.items() if name != "CONDOR_CONFIG"}
    command = [sys.executable, "-m", "condormap.cli", *arguments]
    return subprocess.run(command, env=inherited | environment, capture_output=True, text=True, timeout=90)


@pytest.fixture(scope="module")
def examined(pool: PersonalPool) -> subprocess.CompletedProcess[str]:
    return condormap("doctor", CONDOR_CONFIG=str(pool.config_file))


def test_the_doctor_tells_the_pool_and_why(
    examined: subprocess.CompletedProcess[str], pool: PersonalPool
) -> None:
    assert examined.returncode == 0, examined.stdout + examined.stderr
    line = next(line for line in examined.stdout.splitlines() if "pool:" in line)
    assert str(pool.config_file) in line
    assert "CONDOR_CONFIG" in line.partition("because")[2]


def test_the_doctor_tells_the_schedd_and_as_whom_it_takes_us(
    examined: subprocess.CompletedProcess[str], pool: PersonalPool
) -> None:
    assert f"HTCondor {pool.daemons.version}" in examined.stdout
    assert "authenticated by FS" in examined.stdout


def test_the_doctor_tells_what_the_pool_has(examined: subprocess.CompletedProcess[str]) -> None:
    assert "a personal pool of 2 cpus, 4096 MB of memory and" in examined.stdout


def test_the_doctor_runs_a_job_and_tells_its_python(examined: subprocess.CompletedProcess[str]) -> None:
    line = next(line for line in examined.stdout.splitlines() if "probe job:" in line)
    assert f"Python {platform.python_version()}, {sys.executable}" in line


def test_the_doctor_leaves_no_map_behind(
    examined: subprocess.CompletedProcess[str], pool: PersonalPool
) -> None:
    before = set(maps_folder().glob("*")) if maps_folder().exists() else set()
    condormap("doctor", CONDOR_CONFIG=str(pool.config_file))
    assert set(maps_folder().glob("*")) == before


def test_a_probe_job_that_does_not_run_in_time_is_removed_and_explained(pool: PersonalPool) -> None:
    done = condormap("doctor", "--timeout", "0", CONDOR_CONFIG=str(pool.config_file))
    assert done.returncode == 1
    line = next(line for line in done.stdout.splitlines() if "probe job:" in line)
    assert line.startswith("FAIL")
    assert "slots match" in line


def test_the_doctor_of_an_unreachable_pool_says_what_is_wrong_and_exits_with_1(tmp_path: Path) -> None:
    config = tmp_path / "condor_config"
    config.write_text("CONDOR_HOST = 127.0.0.1\nCOLLECTOR_HOST = 127.0.0.1:1\nUSE_SHARED_PORT = False\n")
    done = condormap("doctor", CONDOR_CONFIG=str(config))
    assert done.returncode == 1
    assert "FAIL" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_the_doctor_of_a_stopped_pool_says_how_to_start_it(tmp_path: Path) -> None:
    with PersonalPool(tmp_path / "pool", cpus=1, memory=64, fsync=False) as pool:
        running = condormap("doctor", CONDOR_CONFIG=str(pool.config_file))
    stopped = condormap("doctor", CONDOR_CONFIG=str(pool.config_file))
    assert (running.returncode, stopped.returncode) == (0, 1)
    assert f"does not run; `condormap pool start --dir {pool.folder}` starts it" in stopped.stdout
    assert "condormap doctor" not in stopped.stdout


def test_the_doctor_on_a_shared_hub_without_htcondor_names_the_command_to_run(tmp_path: Path) -> None:
    done = condormap("doctor", JUPYTERHUB_USER="ada", CONDORMAP_HOME=str(tmp_path))
    assert done.returncode == 1
    assert "condormap pool start" in done.stdout


def test_an_unknown_command_is_told_apart_from_a_failure() -> None:
    assert condormap("dcotor").returncode == 2
