"""``condormap pool ...`` on the command line."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner, Result

from condormap.cli import main
from condormap.pool.personal import PersonalPool


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["pool", *map(str, arguments)])


def test_a_pool_from_start_to_stop(tmp_path: Path) -> None:
    folder = tmp_path / "pool"
    started = run("start", "--dir", folder, "--cpus", 1, "--memory", "512MB", "--idle-timeout", 60)
    try:
        assert started.exit_code == 0, started.output
        assert "1 cpus, 512 MB" in started.output
        assert f"CONDOR_CONFIG='{folder}/condor_config'" in started.output

        again = run("start", "--dir", folder)
        assert again.exit_code == 1
        assert "already" in again.output
        assert "Traceback" not in again.output

        status = run("status", "--dir", folder)
        assert status.exit_code == 0
        assert "after 60 s with an empty queue" in status.output

        assert "STARTING UP" in run("logs", "schedd", "-n", "500", "--dir", folder).output
        assert "NEGOTIATOR_INTERVAL = 1" in run("config", "--dir", folder).output
        assert run("config", "--path", "--dir", folder).output.strip() == str(folder / "condor_config")
    finally:
        stopped = run("stop", "--dir", folder)
    assert stopped.exit_code == 0
    assert "Stopped the pool" in stopped.output
    assert not PersonalPool(folder).running
    assert run("status", "--dir", folder).exit_code == 1


def test_without_a_pool_each_says_so(tmp_path: Path) -> None:
    status = run("status", "--dir", tmp_path / "none")
    assert (status.exit_code, "condormap pool start" in status.output) == (1, True)
    assert run("stop", "--dir", tmp_path / "none").exit_code == 0
    assert run("logs", "--dir", tmp_path / "none").exit_code == 1
    assert run("config", "--dir", tmp_path / "none").exit_code == 1


def test_figures_that_make_no_sense_are_one_message(tmp_path: Path) -> None:
    for figures, told in (
        (("--cpus", "0"), "of 1 or more, not 0"),
        (("--memory", "1KB"), "64 MB for a pool, not '1KB'"),
    ):
        refused = run("start", "--dir", tmp_path / "pool", *figures)
        assert refused.exit_code == 1
        assert told in refused.output


def test_the_help_names_the_default_folder_by_the_variable_that_decides() -> None:
    assert "$CONDORMAP_HOME/pool" in run("status", "--help").output
