"""The child of the seam: started when needed, replaced when lost, never left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from condormap import errors
from condormap.address import PoolAddress
from condormap.condor import Condor, connect
from condormap.folders.locks import is_locked, locked

ROOT = Path(__file__).parents[1]


@pytest.fixture
def address(tmp_path: Path) -> PoolAddress:
    """Calls of `param` need no daemon."""
    (tmp_path / "condor_config").write_text("NAME_OF_POOL = one\n")
    return PoolAddress(tmp_path / "condor_config")


@pytest.fixture
def condor(address: PoolAddress) -> Iterator[Condor]:
    condor = Condor(address)
    yield condor
    condor.close()


def child(condor: Condor) -> psutil.Process:
    assert condor.pid is not None
    return psutil.Process(condor.pid)


def gone(pid: int) -> bool:
    """Wait until no such process runs (one that ended and that nobody has reaped counts as gone)."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.01)
    return False


def script(text: str, *arguments: object) -> subprocess.Popen[str]:
    """Start a program that uses condormap; its standard output is a pipe."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(text), *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_no_child_is_started_before_the_first_call(condor):
    assert condor.pid is None
    assert condor.param("NAME_OF_POOL") == {"NAME_OF_POOL": "one"}
    assert condor.pid is not None


def test_start_returns_before_the_child_is_ready(condor):
    condor.start()
    assert child(condor).is_running()
    assert condor.param("NAME_OF_POOL", "NO_SUCH_NAME") == {"NAME_OF_POOL": "one", "NO_SUCH_NAME": None}


def test_the_bindings_are_imported_in_the_child_only(address):
    program = script(
        """
        import sys, pathlib
        from condormap.address import PoolAddress
        from condormap.condor import connect
        connect(PoolAddress(pathlib.Path(sys.argv[1]))).param("NAME_OF_POOL")
        print([name for name in sys.modules if name.startswith(("htcondor", "classad"))])
        """,
        address.config_file,
    )
    assert program.communicate(timeout=30)[0].strip() == "[]"


def test_one_client_for_each_pool(address, tmp_path):
    assert connect(address) is connect(PoolAddress(address.config_file, why="another reason"))
    assert connect(address) is not connect(PoolAddress(tmp_path / "other"))


def test_several_pools_side_by_side(condor, tmp_path):
    (tmp_path / "other").write_text("NAME_OF_POOL = two\n")
    other = Condor(PoolAddress(tmp_path / "other"))
    assert condor.param("NAME_OF_POOL") == {"NAME_OF_POOL": "one"}
    assert other.param("NAME_OF_POOL") == {"NAME_OF_POOL": "two"}
    assert condor.param("NAME_OF_POOL") == {"NAME_OF_POOL": "one"}
    other.close()


def test_a_child_that_was_killed_between_calls_is_replaced(condor):
    condor.param("NAME_OF_POOL")
    first = child(condor)
    first.kill()
    assert condor.param("NAME_OF_POOL") == {"NAME_OF_POOL": "one"}
    assert child(condor).pid != first.pid


def test_a_question_whose_child_is_killed_is_asked_once_more(condor):
    condor.param("NAME_OF_POOL")
    child(condor).suspend()
    killer = threading.Timer(0.2, child(condor).kill)
    killer.start()
    assert condor.param("NAME_OF_POOL") == {"NAME_OF_POOL": "one"}


def test_an_action_whose_child_is_killed_is_not_repeated(condor):
    condor.param("NAME_OF_POOL")
    child(condor).suspend()
    killer = threading.Timer(0.2, child(condor).kill)
    killer.start()
    with pytest.raises(errors.UnreachableError, match="ended while the call was under way"):
        condor.act("hold", constraint="true")


def test_a_child_that_does_not_even_read_meets_the_deadline(condor, tmp_path):
    condor.param("NAME_OF_POOL")
    child(condor).suspend()
    with pytest.raises(errors.DeadlineError):
        condor.importable(["x" * 1000] * 10_000, deadline=0.3)  # more than the socket holds
    assert condor.param("NAME_OF_POOL") == {"NAME_OF_POOL": "one"}


def test_close_ends_the_child_and_a_later_call_starts_another(condor):
    condor.param("NAME_OF_POOL")
    pid = child(condor).pid
    condor.close()
    assert not psutil.pid_exists(pid)
    assert condor.param("NAME_OF_POOL") == {"NAME_OF_POOL": "one"}


def test_a_client_that_is_dropped_takes_its_child_with_it(address):
    condor = Condor(address)
    condor.param("NAME_OF_POOL")
    pid = child(condor).pid
    del condor
    assert not psutil.pid_exists(pid)


PRINTS_ITS_CHILD = """
    import os, pathlib, sys, threading, time
    from condormap.address import PoolAddress
    from condormap.condor import connect
    condor = connect(PoolAddress(pathlib.Path(sys.argv[1])))
    threads = [threading.Thread(target=condor.param, args=["NAME_OF_POOL"]) for _ in range(4)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    print(condor.pid, flush=True)
"""


@pytest.mark.parametrize("end", ["pass", "sys.exit(3)", "os._exit(0)", "os.kill(os.getpid(), 9)"])
def test_no_child_is_left_however_the_process_ends(end, address):
    program = script(f"{PRINTS_ITS_CHILD}    {end}", address.config_file)
    pid = int(program.communicate(timeout=30)[0])
    assert gone(pid)


def test_no_child_is_left_when_the_process_is_killed_while_a_call_hangs(tmp_path):
    """The child is inside HTCondor's code then, which holds the GIL and never returns."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        config = tmp_path / "condor_config"
        config.write_text(f"COLLECTOR_HOST = 127.0.0.1:{port}\nNETWORK_INTERFACE = 127.0.0.1\n")
        program = script(f"{PRINTS_ITS_CHILD}    condor.slots(deadline=60)", config)
        assert program.stdout is not None
        pid = int(program.stdout.readline())
        connection = server.accept()[0]
        with connection:
            connection.recv(1)  # the call is under way
            program.kill()
            assert gone(pid)
        program.communicate(timeout=10)


def test_a_lock_is_held_until_the_submit_has_ended_also_without_the_process(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        config = tmp_path / "condor_config"
        config.write_text(f"COLLECTOR_HOST = 127.0.0.1:{port}\nNETWORK_INTERFACE = 127.0.0.1\n")
        condor = Condor(PoolAddress(config, schedd="somewhere"))
        with ThreadPoolExecutor() as executor, locked(tmp_path) as lock:
            ours = os.dup(lock)
            call = executor.submit(
                condor.submit, "executable = /bin/true", submission_id="one", lock=ours, deadline=5
            )
            connection = server.accept()[0]
            with connection:
                connection.recv(1)  # the call is under way
                os.dup2(os.open(os.devnull, os.O_RDONLY), lock)  # as when this process is killed
                os.close(ours)
                assert is_locked(tmp_path)
                child(condor).kill()
            with pytest.raises(errors.CondorError):
                call.result(timeout=30)
            assert not is_locked(tmp_path)
        condor.close()


def test_ctrl_c_in_a_terminal_is_for_the_caller_only(address):
    """Ctrl-C goes to the whole foreground process group; the child is in a session of its own."""
    condor = Condor(address)
    condor.param("NAME_OF_POOL")
    assert os.getsid(child(condor).pid) != os.getsid(0)
    condor.close()


def test_a_call_that_is_interrupted_does_not_disturb_the_next_one(condor):
    condor.param("NAME_OF_POOL")
    child(condor).suspend()
    timer = threading.Timer(0.2, signal.pthread_kill, [threading.get_ident(), signal.SIGINT])
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        condor.importable(["json"], deadline=10)
    assert condor.param("NAME_OF_POOL") == {"NAME_OF_POOL": "one"}


def test_a_forked_process_has_a_child_of_its_own(condor):
    condor.param("NAME_OF_POOL")
    ours = child(condor).pid
    reading, writing = os.pipe()
    if (forked := os.fork()) == 0:
        try:
            value = condor.param("NAME_OF_POOL")["NAME_OF_POOL"]
            os.write(writing, f"{value} {condor.pid}".encode())
        finally:
            os._exit(0)
    os.waitpid(forked, 0)
    value, theirs = os.read(reading, 100).decode().split()
    os.close(reading)
    os.close(writing)
    assert value == "one"
    assert int(theirs) != ours
    assert gone(int(theirs))
    assert child(condor).pid == ours
    assert condor.param("NAME_OF_POOL") == {"NAME_OF_POOL": "one"}


def test_a_fork_while_another_thread_s_call_is_under_way_does_not_hang(condor):
    condor.param("NAME_OF_POOL")
    child(condor).suspend()
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(condor.param, "NAME_OF_POOL", deadline=10)
        while not condor._calls.process._lock.locked():
            time.sleep(0.001)
        if (forked := os.fork()) == 0:
            ok = False
            try:
                ok = condor.param("NAME_OF_POOL", deadline=10) == {"NAME_OF_POOL": "one"}
                condor.close()
            finally:
                os._exit(0 if ok else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1]) == 0
        child(condor).resume()
        assert call.result() == {"NAME_OF_POOL": "one"}


def test_the_child_s_life_does_not_depend_on_the_thread_that_started_it(condor):
    thread = threading.Thread(target=condor.param, args=["NAME_OF_POOL"])
    thread.start()
    thread.join()
    pid = child(condor).pid
    condor.param("NAME_OF_POOL")
    assert child(condor).pid == pid


def test_calls_of_many_threads_each_get_their_own_answer(condor):
    names = [f"NAME_{i}" for i in range(200)]
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(condor.param, names))
    assert answers == [{name: None} for name in names]


def test_what_the_child_writes_to_standard_error_does_not_block_it(condor):
    # An unreachable collector writes lines for every call; far more than a pipe holds.
    for _ in range(300):
        with pytest.raises(errors.CondorError):
            condor.slots()


def test_importable_is_what_a_fresh_interpreter_finds(condor, tmp_path, monkeypatch):
    (tmp_path / "local_module.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    found = condor.importable(["json", "sys", "cloudpickle", "local_module", "not a name", "no_such_module"])
    assert found["json"] is not None
    assert found["json"].endswith("json/__init__.py")
    assert found["sys"] == "built-in"
    assert found["cloudpickle"] is not None
    assert found["local_module"] is found["not a name"] is found["no_such_module"] is None
