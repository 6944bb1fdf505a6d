"""What this process may use of its machine: cpus by affinity and cgroup, memory by cgroup, disk by folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_SELF = Path("/proc/self/cgroup")


def cpus() -> int:
    """Return how many cpus this process may use: its affinity, or its cgroup's quota where that is less."""
    allowed = len(os.sched_getaffinity(0))
    quotas = [quota for folder in _folders("cpu") if (quota := _cpu_quota(folder)) is not None]
    return max(1, int(min([allowed, *quotas])))


def memory() -> int:
    """Return how much memory this process may use, in MB: the machine's, or its cgroup's limit if less."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    names = ("memory.max", "memory.limit_in_bytes")
    limits = [
        limit
        for folder in _folders("memory")
        for name in names
        if (limit := _number(folder / name)) is not None
    ]
    return max(1, min([machine, *limits]) // 2**20)


def disk(folder: Path) -> int:
    """Return how much space the file system of `folder` has left, in MB."""
    return shutil.disk_usage(folder).free // 2**20


def _folders(controller: str) -> Iterator[Path]:
    """Yield this process's cgroup folder for `controller` and every folder above it (v2, v1 or both)."""
    try:
        lines = _SELF.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        # v1 mounts one tree per controller; v2 is one tree, mounted beside them on a hybrid system.
        roots = [_CGROUPS / controller] if controllers else [_CGROUPS, _CGROUPS / "unified"]
        for root in roots:
            inside = root / path.lstrip("/")
            # In a container the path is often the host's and not visible; the mount itself is then ours.
            while inside != root and not inside.is_dir():
                inside = inside.parent
            while inside != root:
                yield inside
                inside = inside.parent
            yield root


def _cpu_quota(folder: Path) -> float | None:
    """Return the cpus that the quota of one cgroup allows; None where it sets none."""
    try:
        quota, period = (folder / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        pass
    quota_us, period_us = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
    return quota_us / period_us if quota_us and quota_us > 0 and period_us else None


def _number(file: Path) -> int | None:
    """Return the number in a cgroup's file; None for ``max`` or where there is no such file."""
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None
