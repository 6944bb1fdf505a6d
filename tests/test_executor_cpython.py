"""CPython's own tests of executors, run against `CondorExecutor` on a real pool.

They are of the interpreter that runs this, where it has them: some builds of Python leave out ``test``, or parts
of it. All of ExecutorTest, WaitTests, AsCompletedTests and ExecutorShutdownTest run; these in other words:

- ``test_interpreter_shutdown``, ``test_submit_after_interpreter_shutdown``, ``test_hang_gh83386`` have a script
  that imports the executor from `concurrent.futures`, and two of them look for what a worker prints in the output
  of the script, where a job's is in a file of its own.
- ``test_cancel_futures`` shuts the executor down within a millisecond and wants one of the calls to have begun:
  here it waits for that.
"""

from __future__ import annotations

import importlib
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Gate

from condormap import CondorExecutor, PersonalPool

pytest.importorskip(
    "test.test_concurrent_futures",
    reason="this Python has no test.test_concurrent_futures; `make test-all` runs it on those that do",
)


def theirs(name: str, home: str) -> Any:
    """Return something of the tests, which were one module before they became a package."""
    package = importlib.import_module("test.test_concurrent_futures")
    if hasattr(package, name):
        return getattr(package, name)
    return getattr(importlib.import_module(f"test.test_concurrent_futures.{home}"), name)


BaseTestCase = theirs("BaseTestCase", "util")
ExecutorMixin = theirs("ExecutorMixin", "util")


class Event(Gate):
    """What their tests of Python 3.14 have calls wait for."""

    set = Gate.open


class CondorMixin(ExecutorMixin):  # type: ignore[misc,valid-type]
    executor_type = CondorExecutor

    @pytest.fixture(autouse=True)
    def _on_the_pool(
        self,
        pool: PersonalPool,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path: Path,
        run_script: Callable[[str], str],
        start_script: Callable[..., Any],
    ) -> None:
        monkeypatch.setenv("CONDOR_CONFIG", str(pool.config_file))
        self.tmp_path, self.run_script, self.start_script = tmp_path, run_script, start_script

    def create_event(self) -> Event:
        return Event(self.tmp_path / uuid.uuid4().hex)


class TestExecutor(CondorMixin, theirs("ExecutorTest", "executor"), BaseTestCase):  # type: ignore[misc]
    pass


class TestWait(CondorMixin, theirs("WaitTests", "test_wait"), BaseTestCase):  # type: ignore[misc]
    pass


class TestAsCompleted(CondorMixin, theirs("AsCompletedTests", "test_as_completed"), BaseTestCase):  # type: ignore[misc]
    pass


class TestShutdown(CondorMixin, theirs("ExecutorShutdownTest", "test_shutdown"), BaseTestCase):  # type: ignore[misc]
    def test_interpreter_shutdown(self) -> None:
        self._check_that_the_end_waits()

    def _check_that_the_end_waits(self, more: str = "") -> None:
        apple = self.tmp_path / "apple"
        assert not self.run_script(
            f"""
            import time
            from pathlib import Path
            from condormap import CondorExecutor
            def sleep_and_write(t, path):
                time.sleep(t)
                path.write_text("apple")
            t = CondorExecutor(5)
            t.submit(sleep_and_write, 1.0, Path({str(apple)!r}))
            {more}
            """
        )
        assert apple.read_text() == "apple"

    def test_hang_gh83386(self) -> None:
        self._check_that_the_end_waits("t.shutdown(wait=False)")

    def test_submit_after_interpreter_shutdown(self) -> None:
        process = self.start_script(
            """
            import atexit
            @atexit.register
            def run_last():
                try:
                    t.submit(id, None)
                except RuntimeError:
                    print("runtime-error")
                    raise
            from condormap import CondorExecutor
            t = CondorExecutor(5)
            """
        )
        out, err = process.communicate(timeout=60)
        assert "RuntimeError: cannot schedule new futures" in err
        assert out.strip() == "runtime-error"

    def test_cancel_futures(self) -> None:
        fs = [self.executor.submit(time.sleep, 0.1) for _ in range(50)]
        while not any(f.running() for f in fs):
            time.sleep(0.01)
        self.executor.shutdown(cancel_futures=True)
        cancelled = [f for f in fs if f.cancelled()]
        others = [f for f in fs if not f.cancelled()]
        assert len(cancelled) > 20
        assert others
        assert all(f.done() and f.exception() is None for f in others)
