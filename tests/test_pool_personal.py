"""A personal pool from start to end: who owns it, what it survives, what it leaves behind. Real daemons."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from condormap.errors import InvalidInputError, NoPoolError, PoolRunningError, PoolStartError, StorageError
from condormap.pool import guard, leftovers
from condormap.pool.personal import PersonalPool

SMALL = {"cpus": 1, "memory": 512, "fsync": False}


def until(condition: Callable[[], object], *, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)


def tool(pool: PersonalPool, name: str, *arguments: object, user: int | None = None) -> str:
    """The output of one of HTCondor's own tools, used on `pool`."""
    done = subprocess.run(
        [pool.daemons.bin / name, *map(str, arguments)],
        env={**os.environ, "CONDOR_CONFIG": str(pool.config_file)},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def submit(pool: PersonalPool, script: str, *more: str) -> Path:
    """Submit a shell script as one job; return its event log."""
    work = Path(pool.folder, "work")
    work.mkdir(exist_ok=True)
    number = len(list(work.iterdir()))
    program, log = work / f"job{number}.sh", work / f"job{number}.log"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    description = work / f"job{number}.sub"
    lines = [f"executable = {program}", f"log = {log}", "should_transfer_files = NO", *more]
    description.write_text("\n".join([*lines, "queue"]))
    tool(pool, "condor_submit", description)
    return log


def happened(log: Path, event: int) -> bool:
    return f"\n{event:03d} (" in "\n" + (log.read_text() if log.exists() else "")


def everything_of(pool: PersonalPool) -> list[psutil.Process]:
    assert pool.pid is not None
    guard = psutil.Process(pool.pid)
    return [guard, *guard.children(recursive=True)]


def is_sleep(process: psutil.Process) -> bool:
    try:
        return process.name() == "sleep"
    except psutil.NoSuchProcess:
        return False


def schedd_of(pool: PersonalPool) -> psutil.Process:
    """The oldest process of that name: it forks to answer queries."""
    schedds = []
    for process in everything_of(pool):
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.name() == "condor_schedd":
                schedds.append((process.create_time(), process.pid))
    return psutil.Process(min(schedds)[1])


def gone(processes: list[psutil.Process]) -> bool:
    return not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in processes)


def python(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)], stdout=subprocess.PIPE, text=True
    )


@pytest.fixture
def detached(tmp_path: Path) -> Iterator[PersonalPool]:
    """A running detached pool that the test may harm."""
    pool = PersonalPool(tmp_path / "pool", **SMALL).start()
    yield pool
    pool.stop()
    assert leftovers.processes(pool.folder) == []


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"folder": 3}, "folder must be a path, or None, not 3"),
        ({"cpus": 0}, "cpus must be an integer of 1 or more, not 0"),
        ({"cpus": "x"}, "cpus must be an integer of 1 or more, not 'x'"),
        ({"memory": "lots"}, "memory must be a number of MB or a size .*, not 'lots'"),
        ({"memory": []}, r"memory must be a number of MB or a size .*, not \[\]"),
        ({"memory": 1}, "memory must be at least 64 MB for a pool, not 1"),
        ({"memory": "1KB"}, "memory must be at least 64 MB for a pool, not '1KB'"),
        ({"idle_timeout": 0}, "idle_timeout must be a number of seconds, more than 0, not 0"),
        ({"idle_timeout": "x"}, "idle_timeout must be a number of seconds, more than 0, not 'x'"),
        ({"daemons": 3}, "daemons must be the path of an HTCondor, or None, not 3"),
        ({"settings": [1]}, r"settings must be a mapping .*, not \[1\]"),
        ({"settings": {"A B": "1"}}, "'A B' is no name of HTCondor's configuration"),
        ({"settings": {"A": "1\nB = 2"}}, "settings: A must be one line"),
    ],
    ids=str,
)
def test_figures_that_make_no_sense_are_refused(given: dict[str, object], why: str) -> None:
    with pytest.raises(InvalidInputError, match=why):
        PersonalPool(**given)  # type: ignore[arg-type]


def test_memory_is_megabytes_or_text() -> None:
    assert [PersonalPool(memory=memory).memory for memory in (2048, "2048", "2GB", "1.5 GiB")] == [
        2048,
        2048,
        2048,
        1536,
    ]


def test_a_folder_that_htcondor_cannot_name_is_refused(tmp_path: Path) -> None:
    for folder in (
        tmp_path / "a$(b)",
        tmp_path / ("x" * 200) / ("y" * 200) / ("z" * 200) / ("w" * 240) / ("v" * 240),
    ):
        with pytest.raises(PoolStartError, match="Choose another folder"):
            PersonalPool(folder, **SMALL).start()


def test_where_none_runs_there_is_none_to_attach_and_none_to_stop(tmp_path: Path) -> None:
    with pytest.raises(NoPoolError, match="condormap pool start"):
        PersonalPool.attach(tmp_path / "none")
    PersonalPool(tmp_path / "none").stop()
    assert not (tmp_path / "none").exists()


def test_a_context_manager_uses_a_folder_of_its_own_and_removes_it(tmp_path: Path) -> None:
    with PersonalPool(**SMALL) as pool:
        folder, processes = pool.folder, everything_of(pool)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not folder.exists()
    assert gone(processes)


def test_it_listens_on_the_loopback_only(pool: PersonalPool) -> None:
    connections = []
    for process in everything_of(pool):
        with contextlib.suppress(psutil.NoSuchProcess):  # of a job that has just ended
            connections += process.net_connections("inet")
    listening = {each.laddr.ip for each in connections if each.status == psutil.CONN_LISTEN}
    assert listening == {"127.0.0.1"}


def test_it_publishes_what_it_really_has(pool: PersonalPool) -> None:
    attributes = ("CondormapCpus", "CondormapMemory", "CondormapPersonal")
    for ads in ("-schedd", "-startd"):
        told = set(tool(pool, "condor_status", ads, "-af", *attributes).splitlines())
        assert told == {f"{pool.cpus} {pool.memory} true"}
    told_by_configuration = tool(pool, "condor_config_val", "CONDORMAP_CPUS", "CONDORMAP_MEMORY").split()
    assert told_by_configuration == [str(pool.cpus), str(pool.memory)]


def test_the_log_of_a_daemon_can_be_read(pool: PersonalPool) -> None:
    assert any("STARTING UP" in line for line in pool.logs("master", 10_000))
    assert len(pool.logs("schedd", 3)) == 3
    with pytest.raises(
        InvalidInputError, match=r"its logs: CollectorLog, .*SchedLog"
    ):  # and no address files
        pool.logs("nonsense")


def test_its_settings_are_in_nobody_s_list_of_processes(pool: PersonalPool) -> None:
    assert psutil.Process(pool.pid).cmdline()[1:] == ["-I", "-S", guard.__file__]


def test_where_the_current_folder_is_gone_only_what_depends_on_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert PersonalPool(tmp_path / "pool").folder == tmp_path / "pool"
    with pytest.raises(StorageError, match="the current folder of this process is gone"):
        PersonalPool("pool")


def test_a_job_has_10_seconds_to_end_when_it_is_told_to(pool: PersonalPool) -> None:
    assert set(tool(pool, "condor_status", "-af", "MachineMaxVacateTime").split()) == {"10"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_can_do_nothing_with_it(pool: PersonalPool, tmp_path: Path) -> None:
    other = {"user": 1234, "group": 1234, "extra_groups": []}
    reached = subprocess.run(["test", "-x", pool.daemons.bin / "condor_q"], **other)
    if reached.returncode != 0:
        pytest.skip("another user cannot even reach the daemons, which are in this user's private folder")
    config = tmp_path / "stolen_config"
    config.write_text(pool.config_file.read_text())
    address = (pool.folder / "log" / ".schedd_address").read_text().splitlines()[0]
    for command in (["condor_q", "-allusers"], ["condor_rm", "-all"], ["condor_ping", "READ"]):
        tried = subprocess.run(
            [pool.daemons.bin / command[0], "-addr", address, *command[1:]]
            if command[0] == "condor_ping"
            else [pool.daemons.bin / command[0], *command[1:]],
            env={"CONDOR_CONFIG": str(config), "_CONDOR_SCHEDD_HOST": address},
            **other,
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert tried.returncode != 0, (command, tried.stdout)


def test_several_run_side_by_side(pool: PersonalPool, tmp_path: Path) -> None:
    odd = tmp_path / "a folder with spaces and a long name" / ("x" * 150)
    with PersonalPool(odd, **SMALL) as first, PersonalPool(**SMALL) as second:
        pools = (pool, first, second)
        assert len({each.pid for each in pools}) == 3
        log = submit(first, "exit 0")
        until(lambda: happened(log, 5))
        assert [tool(each, "condor_history", "-af", "ClusterId").split() for each in (first, second)] == [
            ["1"],
            [],
        ]


def test_a_second_start_in_the_same_folder_is_refused(detached: PersonalPool) -> None:
    before = detached.pid
    with pytest.raises(PoolRunningError, match="already"):
        PersonalPool(detached.folder, **SMALL).start()
    assert detached.pid == before


def test_of_two_processes_that_start_one_in_a_folder_one_wins(tmp_path: Path) -> None:
    code = """
        import sys
        from condormap.errors import PoolRunningError
        from condormap.pool.personal import PersonalPool
        try:
            PersonalPool(sys.argv[1], cpus=1, memory=512).start()
            print("started")
        except PoolRunningError:
            print("refused")
        """
    racers = [python(code, tmp_path / "pool") for _ in range(2)]
    assert sorted(racer.communicate(timeout=60)[0].strip() for racer in racers) == ["refused", "started"]
    pool = PersonalPool.attach(tmp_path / "pool")
    pool.stop()
    assert not pool.running


def test_another_process_can_attach_and_stop_it(detached: PersonalPool) -> None:
    processes = everything_of(detached)
    code = """
        import sys
        from condormap.pool.personal import PersonalPool
        pool = PersonalPool.attach(sys.argv[1])
        print(pool.cpus, pool.memory)
        pool.stop()
        """
    assert python(code, detached.folder).communicate(timeout=30)[0].split() == ["1", "512"]
    assert not detached.running
    assert gone(processes)


def test_stop_ends_jobs_and_whatever_they_started(detached: PersonalPool) -> None:
    pids = detached.folder / "pids"
    log = submit(detached, f"setsid -f sleep 1000 & echo $$ > {pids}; exec sleep 1000")
    until(lambda: happened(log, 1) and pids.exists())
    until(lambda: sum(is_sleep(each) for each in everything_of(detached)) == 2)
    processes = everything_of(detached)
    detached.stop()
    assert gone(processes)


def test_the_queue_survives_stop_and_start(detached: PersonalPool) -> None:
    waiting = submit(detached, "exit 0", "hold = True")
    running = submit(detached, f"test -e {detached.folder}/again || sleep 1000")
    until(lambda: happened(running, 1))
    detached.stop()
    (detached.folder / "again").touch()
    detached.start()
    until(lambda: happened(running, 5))
    tool(detached, "condor_release", 1)
    until(lambda: happened(waiting, 5))


def test_a_crash_of_everything_is_recovered_with_the_queue_intact(detached: PersonalPool) -> None:
    running = submit(detached, f"test -e {detached.folder}/again || sleep 1000")
    until(lambda: happened(running, 1))
    crashed = everything_of(detached)
    daemons = [each for each in crashed if not is_sleep(each)]
    for process in daemons:  # the job stays behind, an orphan
        with contextlib.suppress(psutil.NoSuchProcess):  # it ended with its parent
            process.kill()
    until(lambda: gone(daemons))
    assert not detached.running
    (detached.folder / "again").touch()
    detached.start()
    until(lambda: happened(running, 5), seconds=30)
    assert gone(crashed)


def test_a_temporary_pool_whose_owner_is_killed_leaves_no_process_and_no_folder(tmp_path: Path) -> None:
    code = """
from condormap import PersonalPool
with PersonalPool(cpus=1, memory=512, fsync=False) as pool:
    print(pool.folder, pool.pid, flush=True)
    input()
"""
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as owner:
        assert owner.stdout is not None
        folder, guard = owner.stdout.readline().split()
        assert Path(folder).parent == tmp_path
        owner.kill()
    until(lambda: not psutil.pid_exists(int(guard)))
    assert list(tmp_path.iterdir()) == []


def test_a_guard_that_is_killed_takes_the_pool_with_it(detached: PersonalPool) -> None:
    guard, *rest = everything_of(detached)
    guard.kill()
    until(lambda: gone(rest))


def test_a_master_that_is_killed_leaves_no_orphans(detached: PersonalPool) -> None:
    processes = everything_of(detached)
    processes[1].kill()
    until(lambda: gone(processes))
    assert not detached.running


def test_a_pool_ends_with_the_process_that_owns_it(tmp_path: Path) -> None:
    code = """
        import sys, time
        from condormap.pool.personal import PersonalPool
        with PersonalPool(sys.argv[1], cpus=1, memory=512, fsync=False):
            print("ready", flush=True)
            time.sleep(1000)
        """
    owner = python(code, tmp_path / "pool")
    assert owner.stdout is not None
    assert owner.stdout.readline() == "ready\n"
    processes = everything_of(PersonalPool.attach(tmp_path / "pool"))
    owner.send_signal(signal.SIGKILL)
    owner.communicate(timeout=10)
    until(lambda: gone(processes))


def test_a_claim_that_nobody_uses_is_given_up(pool: PersonalPool, tmp_path: Path) -> None:
    shadow = tmp_path / "shadow"  # one that does not use its claim, while there is the file "stuck"
    real = pool.daemons.sbin / "condor_shadow"
    shadow.write_text(f'#!/bin/sh\nwhile test -e {tmp_path}/stuck; do sleep 0.1; done\nexec {real} "$@"\n')
    shadow.chmod(0o755)
    with PersonalPool(tmp_path / "pool", settings={"SHADOW": str(shadow)}, **SMALL) as disposable:
        startd_log = disposable.folder / "log" / "StartLog"
        (tmp_path / "stuck").touch()
        log = submit(disposable, "exit 0", "request_memory = 512")
        until(lambda: "claiming protocol successful" in startd_log.read_text())
        until(lambda: "Claimed/Idle -> Preempting" in startd_log.read_text(), seconds=40)
        (tmp_path / "stuck").unlink()
        until(lambda: happened(log, 5))  # it asks for the whole pool


def test_a_schedd_that_is_killed_is_started_again_at_once_and_its_jobs_run(detached: PersonalPool) -> None:
    log = submit(detached, f"test -e {detached.folder}/again || sleep 1000")
    until(lambda: happened(log, 1))
    (detached.folder / "again").touch()
    schedd_of(detached).kill()
    until(lambda: happened(log, 5), seconds=60)
    assert "condor_schedd in 2 seconds" in (detached.folder / "log" / "MasterLog").read_text()


def test_an_idle_pool_ends_itself_but_not_while_a_job_is_in_the_queue(tmp_path: Path) -> None:
    with PersonalPool(tmp_path / "pool", idle_timeout=2, **SMALL) as pool:
        processes = everything_of(pool)
        log = submit(pool, "sleep 4")
        until(lambda: happened(log, 5))
        assert pool.running
        until(lambda: gone(processes))
        assert not pool.running


def test_a_start_that_fails_says_what_the_daemons_said_and_leaves_nothing(tmp_path: Path) -> None:
    broken = PersonalPool(tmp_path / "pool", settings={"SCHEDD": "/no/such/program"}, **SMALL)
    with pytest.raises(PoolStartError, match="/no/such/program"):
        broken.start(timeout=5)
    assert not broken.running
    assert leftovers.processes(broken.folder) == []


def test_where_user_namespaces_are_forbidden_root_is_told_what_to_do(tmp_path: Path) -> None:
    code = """
        import sys
        from condormap.errors import PoolStartError
        from condormap.pool.daemons import find_daemons
        from condormap.pool.personal import PersonalPool
        try:
            PersonalPool(sys.argv[1], cpus=1, memory=512).start()
        except PoolStartError as error:
            print(error)
        """
    forbid = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
    in_namespace = ["unshare", "--user", "--map-root-user", "sh", "-c", forbid, "sh"]
    done = subprocess.run(
        [*in_namespace, sys.executable, "-c", textwrap.dedent(code), tmp_path / "pool"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    if "unshare" in done.stderr or "max_user_namespaces" in done.stderr:
        pytest.skip("this machine lets nobody make a user namespace in which they could be forbidden")
    assert "as a normal user" in done.stdout, done.stderr


def test_the_state_of_a_running_pool_is_readable_json(detached: PersonalPool) -> None:
    state = json.loads((detached.folder / "pool.json").read_text())
    assert state["pid"] == detached.pid
