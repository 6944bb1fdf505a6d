"""Fixtures of the tests of `CondorMapper`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import pytest

from condormap import CondorMapper, PersonalPool

Mapper = Callable[..., CondorMapper]
Script = Callable[..., Path]


@pytest.fixture(params=["never", "always"])
def mapper(pool: PersonalPool, request: pytest.FixtureRequest) -> Mapper:
    """Return `CondorMapper` on the pool, whose jobs are sent their files or see them."""
    return functools.partial(CondorMapper, pool=pool, transfer=request.param)


@pytest.fixture
def seen(pool: PersonalPool) -> Mapper:
    return functools.partial(CondorMapper, pool=pool)


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Return a function that writes a script for a shell."""

    def write(text: str, name: str = "run.sh", *, mode: int = 0o755) -> Path:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(mode)
        return path

    return write
