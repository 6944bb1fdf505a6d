"""Every way in which a daemon can fail a call ends the call within its bound, in a typed error."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import daemon

from condormap import Job, condormap, errors
from condormap.address import PoolAddress
from condormap.condor import Condor, connect
from condormap.pool.personal import PersonalPool

DEADLINE = 0.8  # for those who never answer
PROMPTLY = 30.0  # for errors that come at once; on a busy machine no deadline is to come before them
SLACK = 2.0  # to kill a child, start another, on a busy machine
DESCRIPTION = "executable = /bin/true\nrequirements = false\nrequest_memory = 1\ninitialdir = /tmp\n"

CALLS: dict[str, Callable[[Condor, float], Any]] = {
    "submit": lambda condor, seconds: condor.submit(
        DESCRIPTION, submission_id=uuid.uuid4().hex, deadline=seconds
    ),
    "edit": lambda condor, seconds: condor.edit({"Note": "1"}, constraint="true", deadline=seconds),
    "act": lambda condor, seconds: condor.act("hold", constraint="true", deadline=seconds),
    "query": lambda condor, seconds: condor.query("true", deadline=seconds),
    "history": lambda condor, seconds: condor.history("true", limit=1, deadline=seconds),
    "ping": lambda condor, seconds: condor.ping(deadline=seconds),
    "schedd_ad": lambda condor, seconds: condor.schedd_ad(deadline=seconds),
}
every_call = pytest.mark.parametrize("call", CALLS)


@pytest.fixture(scope="module")
def disposable() -> Iterator[PersonalPool]:
    """A pool that the tests of this file may harm."""
    with PersonalPool(cpus=1, memory=1024, fsync=False) as pool:
        yield pool


@pytest.fixture
def stopped(disposable: PersonalPool) -> Iterator[psutil.Process]:
    schedd = daemon(disposable, "condor_schedd")
    schedd.suspend()
    yield schedd
    with contextlib.suppress(psutil.NoSuchProcess):
        schedd.resume()


@pytest.fixture
def client() -> Iterator[Callable[[PoolAddress], Condor]]:
    """Make clients whose children are up, so that no deadline is for their start; end these after the test."""
    clients: list[Condor] = []

    def make(address: PoolAddress) -> Condor:
        clients.append(Condor(address))
        with contextlib.suppress(errors.CondorError):
            clients[-1].param("COLLECTOR_HOST")
        return clients[-1]

    yield make
    for condor in clients:
        condor.close()


def pointing_to(port: int, folder: Path) -> PoolAddress:
    """Return the address of a pool whose schedd is said to listen at a port of this machine."""
    (folder / "schedd_address").write_text(
        f"<127.0.0.1:{port}>\n$CondorVersion: 25.14.1 2026-10-16 $\n$CondorPlatform: X86_64-Debian_ $\n"
        'Machine = "here"\nName = "here"\n'
    )
    config = folder / "condor_config"
    config.write_text(
        # Root's clients look for the second of the two files.
        f"SCHEDD_ADDRESS_FILE = {folder}/schedd_address\nSCHEDD_SUPER_ADDRESS_FILE = {folder}/schedd_address\n"
        f"COLLECTOR_HOST = 127.0.0.1:{port}\n"
        "NETWORK_INTERFACE = 127.0.0.1\nENABLE_IPV6 = False\n"
    )
    return PoolAddress(config)


@pytest.fixture
def refusing(tmp_path: Path) -> PoolAddress:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return pointing_to(port, tmp_path)


@pytest.fixture
def silent(tmp_path: Path) -> Iterator[PoolAddress]:
    """The kernel accepts connections, and nobody ever answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield pointing_to(server.getsockname()[1], tmp_path)


@pytest.fixture
def hanging_up(tmp_path: Path) -> Iterator[PoolAddress]:
    """Whoever connects and says something is hung up on."""

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.recv(1)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        yield pointing_to(server.getsockname()[1], tmp_path)
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.fixture
def unauthorised(disposable: PersonalPool, tmp_path: Path) -> PoolAddress:
    """A client that offers only a way to authenticate for which it has no credential."""
    config = tmp_path / "condor_config"
    (tmp_path / "tokens").mkdir()
    config.write_text(
        f"include : {disposable.config_file}\nSEC_CLIENT_AUTHENTICATION_METHODS = IDTOKENS\n"
        f"SEC_TOKEN_DIRECTORY = {tmp_path}/tokens\nSEC_PASSWORD_DIRECTORY = {tmp_path}/tokens\n"
    )
    return PoolAddress(config)


def failure(call: str, condor: Condor, seconds: float = PROMPTLY) -> errors.CondormapError:
    """Return the error that the call ends in, within its bound."""
    began = time.monotonic()
    with pytest.raises(errors.CondormapError) as caught:
        CALLS[call](condor, seconds)
    # A submit has as long again to find out what became of it.
    assert time.monotonic() - began < seconds * (2 if call == "submit" else 1) + SLACK
    return caught.value


@every_call
def test_a_schedd_that_refuses_connections_is_unreachable(call, refusing, client):
    assert type(failure(call, client(refusing))) is errors.UnreachableError


@every_call
def test_a_schedd_that_never_answers_meets_the_deadline(call, silent, client):
    expected = errors.SubmitUnknownError if call == "submit" else errors.DeadlineError
    assert type(failure(call, client(silent), DEADLINE)) is expected


@every_call
def test_a_stopped_schedd_meets_the_deadline(call, disposable, stopped, client):
    expected = errors.SubmitUnknownError if call == "submit" else errors.DeadlineError
    assert type(failure(call, client(disposable.address), DEADLINE)) is expected


@every_call
def test_a_schedd_that_goes_away_during_the_call_is_unreachable(call, hanging_up, client):
    assert type(failure(call, client(hanging_up))) is errors.UnreachableError


@every_call
def test_a_schedd_that_the_pool_does_not_know_is_unknown(call, disposable, client):
    address = PoolAddress(disposable.config_file, schedd="no-such-schedd@here")
    error = failure(call, client(address))
    assert type(error) is errors.UnknownScheddError
    assert "no-such-schedd@here" in str(error)


@every_call
def test_a_client_without_credentials_is_not_authorised(call, unauthorised, client):
    assert type(failure(call, client(unauthorised))) is errors.NotAuthorizedError


def test_a_real_schedd_killed_during_the_call_is_unreachable(disposable, client, stopped):
    condor = client(disposable.address)
    caught: list[errors.CondormapError] = []

    def query() -> None:
        try:
            condor.query("true", deadline=20)
        except errors.CondormapError as error:
            caught.append(error)

    master = psutil.Process(stopped.ppid())
    master.suspend()  # it would start another schedd
    thread = threading.Thread(target=query)
    try:
        thread.start()
        while not connected(condor):
            time.sleep(0.01)
        stopped.kill()
        thread.join(10)
    finally:
        master.resume()
    assert not thread.is_alive()
    assert [type(error) for error in caught] == [errors.UnreachableError]
    # The master starts another, at another address, and the same client finds it.
    until = time.monotonic() + 30
    while True:
        try:
            condor.query("true", deadline=5)
            break
        except errors.CondorError:
            assert time.monotonic() < until
            time.sleep(0.1)


def connected(condor: Condor) -> bool:
    """Tell whether the client's child has a connection to a daemon."""
    pid = condor.pid
    return pid is not None and any(
        each.status == psutil.CONN_ESTABLISHED for each in psutil.Process(pid).net_connections("tcp")
    )


def test_a_collector_that_refuses_is_unreachable(refusing, client):
    with pytest.raises(errors.UnreachableError, match="the collector"):
        client(refusing).slots()


def test_a_collector_that_never_answers_meets_the_deadline(silent, client):
    with pytest.raises(errors.DeadlineError, match="the collector"):
        client(silent).slots(deadline=DEADLINE)


def test_slots_of_a_client_without_credentials_are_not_authorised(unauthorised, client):
    with pytest.raises(errors.NotAuthorizedError):
        client(unauthorised).slots()


def test_a_pool_whose_folder_is_gone_is_unreachable(tmp_path, client):
    with pytest.raises(errors.UnreachableError, match="does not exist"):
        client(PoolAddress(tmp_path / "condor_config")).query("true")


def test_where_no_schedd_runs_it_is_unreachable(tmp_path, client):
    (tmp_path / "condor_config").write_text("")
    with pytest.raises(errors.UnreachableError, match="Unable to locate local daemon"):
        client(PoolAddress(tmp_path / "condor_config")).query("true")


def test_a_log_is_read_while_the_schedd_is_stopped(disposable, stopped, tmp_path, client):
    log = tmp_path / "log"
    shutil.copy(Path(__file__).parent / "data" / "factory.log", log)
    assert client(disposable.address).events(log, 0).events


def test_the_call_after_a_deadline_works(disposable, client):
    condor = client(disposable.address)
    schedd = daemon(disposable, "condor_schedd")
    schedd.suspend()
    with pytest.raises(errors.DeadlineError):
        condor.query("true", deadline=DEADLINE)
    schedd.resume()
    assert condor.query("true", all_users=True) is not None


def test_waiting_for_another_thread_s_call_counts_towards_the_deadline(disposable, stopped, client):
    condor = client(disposable.address)

    def busy() -> None:
        with contextlib.suppress(errors.DeadlineError):
            condor.query("true", deadline=4)

    first = threading.Thread(target=busy)
    first.start()
    while not connected(condor):
        time.sleep(0.01)
    with pytest.raises(errors.DeadlineError, match="not begun"):
        condor.query("true", deadline=0.2)
    assert first.is_alive()
    first.join()


def test_a_wait_for_a_map_keeps_its_time_while_the_child_is_stopped(disposable, monkeypatch):
    monkeypatch.setattr("condormap.waiting._FIRST_CHECK", 0.0)  # it asks the schedd at once
    m = condormap(abs, [1], pool=disposable, requirements="time() < 0")
    psutil.Process(connect(disposable.address).pid).suspend()
    began = time.monotonic()
    assert m.wait(0.5) is False
    assert time.monotonic() - began < 10  # a call's own deadline is 20 s
    m.remove()


@pytest.mark.parametrize("timeout", [0, 0.5])
def test_a_wait_for_a_job_keeps_its_time_while_the_child_is_stopped(disposable, timeout, tmp_path):
    log = tmp_path / "log"
    job = Job({"executable": "/bin/sleep", "arguments": "1000", "log": str(log)}, pool=disposable)
    job.submit()
    psutil.Process(connect(disposable.address).pid).suspend()
    began = time.monotonic()
    assert job.wait(timeout) is False
    assert time.monotonic() - began < 10
    job.remove()


# -- a submit without an answer --------------------------------------------------------------------------------


def submitted_once_or_not_at_all(condor: Condor, deadline: float | None = None) -> None:
    """Submit, and compare what that says with what is in the queue."""
    submission_id = uuid.uuid4().hex
    said: set[int] | str
    try:
        said = {condor.submit(DESCRIPTION, count=60, submission_id=submission_id, deadline=deadline).cluster}
    except errors.SubmitUnknownError as error:
        said = str(error)
    except (errors.UnreachableError, errors.DeadlineError) as error:
        said = set() if "Nothing was submitted" in str(error) else str(error)
    constraint = f'CondormapSubmission == "{submission_id}"'
    ads = condor.query(constraint, ["ClusterId"], all_users=True, cluster_ads=True)
    clusters = {ad["ClusterId"] for ad in ads}
    if isinstance(
        said, str
    ):  # unknown, for the time to find out was as short: allowed, when it can be looked up
        assert submission_id in said
        assert len(clusters) <= 1
    else:
        assert said == clusters


@pytest.mark.parametrize("milliseconds", [0, 1, 2, 4, 6, 8, 10, 15, 20, 30, 50])
def test_a_submit_whose_child_is_killed_is_found_or_certainly_not_there(milliseconds, disposable, client):
    condor = client(disposable.address)
    condor.ping()  # the child is up
    killer = threading.Timer(milliseconds / 1000, os.kill, [condor.pid, signal.SIGKILL])
    killer.start()
    submitted_once_or_not_at_all(condor)
    killer.join()


@pytest.mark.parametrize("milliseconds", [3, 6, 10, 15, 25])
def test_a_submit_that_meets_its_deadline_is_found_or_certainly_not_there(milliseconds, disposable, client):
    condor = client(disposable.address)
    condor.ping()
    submitted_once_or_not_at_all(condor, deadline=milliseconds / 1000)


def test_a_submit_to_a_stopped_schedd_can_be_asked_after_later(disposable, client):
    condor = client(disposable.address)
    schedd = daemon(disposable, "condor_schedd")
    submission_id = uuid.uuid4().hex
    schedd.suspend()
    with pytest.raises(errors.SubmitUnknownError, match=submission_id):
        condor.submit(DESCRIPTION, submission_id=submission_id, deadline=DEADLINE)
    schedd.resume()
    assert condor.find_submission(submission_id) is None
