"""What this process may use of its machine: affinity, and cgroups of both versions."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from condormap.pool import machine


@pytest.fixture
def cgroups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cgroup file system that `machine` reads; `self` in it says which cgroup we are in."""
    monkeypatch.setattr(machine, "_CGROUPS", tmp_path)
    monkeypatch.setattr(machine, "_SELF", tmp_path / "self")
    (tmp_path / "self").write_text("")
    return tmp_path


def write(file: Path, content: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)


def test_without_a_limit_it_is_the_whole_machine(cgroups: Path) -> None:
    write(cgroups / "self", "0::/a/b\n")
    write(cgroups / "a" / "memory.max", "max\n")
    write(cgroups / "a" / "cpu.max", "max 100000\n")
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert machine.memory() == pages // 2**20
    assert machine.cpus() == len(os.sched_getaffinity(0))


def test_affinity_counts() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert machine.cpus() == 1
    finally:
        os.sched_setaffinity(0, before)


def test_a_limit_of_a_cgroup_above_counts_in_version_2(cgroups: Path) -> None:
    write(cgroups / "self", "0::/user.slice/session\n")
    write(cgroups / "user.slice" / "session" / "memory.max", "max\n")
    write(cgroups / "user.slice" / "memory.max", str(300 * 2**20))
    write(cgroups / "user.slice" / "cpu.max", "150000 100000\n")
    assert machine.memory() == 300
    assert machine.cpus() == 1


def test_a_limit_counts_in_version_1(cgroups: Path) -> None:
    write(cgroups / "self", "4:memory:/job\n2:cpu,cpuacct:/job\n")
    write(cgroups / "memory" / "job" / "memory.limit_in_bytes", str(200 * 2**20))
    write(cgroups / "cpu" / "job" / "cpu.cfs_quota_us", "100000\n")
    write(cgroups / "cpu" / "job" / "cpu.cfs_period_us", "100000\n")
    assert machine.memory() == 200
    assert machine.cpus() == 1


def test_in_a_container_the_mount_itself_is_ours(cgroups: Path) -> None:
    write(cgroups / "self", "0::/kubepods/not/visible/here\n")
    write(cgroups / "memory.max", str(100 * 2**20))
    assert machine.memory() == 100
