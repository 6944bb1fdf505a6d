"""Which pool a call uses: the order, and what ends the search."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from condormap.address import PoolAddress
from condormap.errors import InvalidInputError, NoPoolError
from condormap.pool import choose
from condormap.pool.choose import choose_pool
from condormap.pool.personal import PersonalPool


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without a configuration, a pool or daemons; the folder is the user's condormap home."""
    if choose.configured() not in (None,) and not os.environ.get("CONDOR_CONFIG"):
        pytest.skip("this machine has an HTCondor configuration of its own")
    for name in list(os.environ):
        if name.startswith("JUPYTERHUB_") or name == "CONDOR_CONFIG":
            monkeypatch.delenv(name)
    monkeypatch.setenv("CONDORMAP_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def configuration(bare: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration of a pool that nobody can reach."""
    file = bare / "site_config"
    file.write_text("COLLECTOR_HOST = 127.0.0.1:1\n")
    monkeypatch.setenv("CONDOR_CONFIG", str(file))
    return file


def test_what_the_caller_names_comes_first(configuration: Path, pool: PersonalPool) -> None:
    assert choose_pool(pool).config_file == pool.config_file
    named = PoolAddress(config_file=Path("/somewhere"))
    assert choose_pool(named) == named


def test_a_collector_by_name_is_asked_with_the_machines_configuration(configuration: Path) -> None:
    address = choose_pool("cm.lab.example:9618")
    assert (address.config_file, address.collector) == (configuration, "cm.lab.example:9618")


def test_a_schedd_by_name_is_in_the_address(pool: PersonalPool) -> None:
    assert choose_pool(pool, schedd="other").schedd == "other"


@pytest.mark.parametrize("named", [{"pool": ""}, {"pool": 7}, {"schedd": ""}, {"schedd": 7}])
def test_what_is_no_pool_and_no_name_is_refused(named: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match=f"{next(iter(named))}= is a"):
        choose_pool(**named)


def test_a_configuration_wins_even_if_nobody_answers_there(configuration: Path) -> None:
    address = choose_pool()
    assert address.config_file == configuration
    assert "CONDOR_CONFIG" in address.why


def test_a_configuration_that_is_not_there_is_an_error(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONDOR_CONFIG", str(bare / "missing"))
    with pytest.raises(NoPoolError, match="no such file"):
        choose_pool()


def test_a_configuration_that_is_a_folder_is_an_error(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONDOR_CONFIG", str(bare))
    with pytest.raises(NoPoolError, match=f"CONDOR_CONFIG is {bare}, and that is a folder"):
        choose_pool()


def test_a_pool_that_does_not_run_is_an_error(bare: Path) -> None:
    with pytest.raises(NoPoolError, match="does not run"):
        choose_pool(PersonalPool(bare / "pool"))


def test_on_a_hub_none_is_started(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTERHUB_USER", "ada")
    with pytest.raises(NoPoolError, match="condormap pool start"):
        choose_pool()
    assert not (bare / "pool").exists()


def test_without_daemons_the_error_names_the_command(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.defpath)
    try:
        choose.find_daemons()
    except Exception:  # what it is for: a machine without them
        with pytest.raises(NoPoolError, match="condormap pool install"):
            choose_pool()
    else:
        pytest.skip("this machine has a system HTCondor")


def test_one_is_started_where_nothing_is_configured_and_says_so(
    bare: Path, pool: PersonalPool, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(choose, "find_daemons", lambda: pool.daemons)
    address = choose_pool()
    started = PersonalPool.attach()
    try:
        assert started.folder == bare / "pool"
        assert address.config_file == started.config_file
        assert started.idle_timeout == choose.STARTED_FOR_A_CALL
        told = capfd.readouterr().err.splitlines()
        assert len(told) == 1
        assert str(bare / "pool") in told[0]
        # The next call finds it running and says nothing.
        assert choose_pool().config_file == started.config_file
        assert capfd.readouterr().err == ""
    finally:
        started.stop()
