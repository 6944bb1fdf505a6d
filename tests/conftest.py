"""Fixtures that every test may use: a real pool with two cpus, started once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from condormap.paths import daemons_folder
from condormap.pool.personal import PersonalPool


@pytest.fixture(scope="session", autouse=True)
def condormap_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep everything that the tests make out of this user's own folder, but for the daemons installed there."""
    home = tmp_path_factory.mktemp("condormap-home")
    (home / "daemons").symlink_to(daemons_folder())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONDORMAP_HOME", str(home))
        yield home


@pytest.fixture(scope="session")
def pool() -> Iterator[PersonalPool]:
    """Return a running personal pool with 2 cpus and 4 GB, shared by every test that does not harm it."""
    with PersonalPool(cpus=2, memory=4096, fsync=False) as pool:
        yield pool
