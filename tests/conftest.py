"""Fixtures that every test may use: a real pool with two cpus, started once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from condormap.pool.personal import PersonalPool


@pytest.fixture(scope="session")
def pool() -> Iterator[PersonalPool]:
    """Return a running personal pool with 2 cpus and 4 GB, shared by every test that does not harm it."""
    with PersonalPool(cpus=2, memory=4096, fsync=False) as pool:
        yield pool
