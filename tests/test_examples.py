"""Every example runs by one command, and leaves a file: its picture, or what it has found."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import condormap
from condormap.folders.paths import daemons_folder

ROOT = Path(condormap.__file__).parents[1]


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.stem)
def test_an_example_runs_and_leaves_its_file(example: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    (home / "daemons").symlink_to(daemons_folder())
    environment = os.environ | {"CONDORMAP_HOME": str(home), "PYTHONPATH": str(ROOT)}
    environment.pop("CONDOR_CONFIG", None)
    run = subprocess.run(
        [sys.executable, str(example)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    file = Path(run.stdout.splitlines()[-1].rpartition(": ")[2])
    assert (file.parent, file.stem) == (tmp_path / "output", example.stem)
    assert file.stat().st_size > 10_000
    assert os.listdir(home / "maps") == []
