"""A personal pool: HTCondor's own daemons, for one user, in one folder, on one machine."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from condormap.address import PoolAddress
from condormap.errors import PoolRunningError, PoolStartError
from condormap.paths import pool_folder
from condormap.pool import guard, machine
from condormap.pool.config import SPARE_SLOTS, PoolSettings, config_text
from condormap.pool.daemons import Daemons, find_daemons


class PersonalPool:
    """A personal HTCondor pool."""

    def __init__(
        self,
        folder: Path | str | None = None,
        *,
        cpus: int | None = None,
        memory: int | str | None = None,
        daemons: Path | Daemons | None = None,
        idle_timeout: float | None = None,
        fsync: bool = True,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = pool_folder() if folder is None else Path(folder).expanduser().absolute()
        self._temporary = folder is None
        self._given = daemons
        self.cpus = cpus or machine.cpus()
        self.memory = int(memory) if memory else machine.memory()
        self.idle_timeout = idle_timeout
        self.fsync = fsync
        self._extra = dict(settings or {})
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def config_file(self) -> Path:
        return self.folder / "condor_config"

    @property
    def address(self) -> PoolAddress:
        return PoolAddress(config_file=self.config_file, why="it was given")

    @property
    def pid(self) -> int | None:
        return self._guard.pid if self._guard else None

    @property
    def running(self) -> bool:
        return self._guard is not None and self._guard.poll() is None

    def __enter__(self) -> PersonalPool:
        if self._temporary:
            self.folder = Path(tempfile.mkdtemp(prefix="condormap-pool-"))
        self._start(owned=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if self._temporary:
            shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, *, timeout: float = 30) -> PersonalPool:
        self._start(owned=False, timeout=timeout)
        return self

    def _start(self, *, owned: bool, timeout: float = 30) -> None:
        daemons = self._given if isinstance(self._given, Daemons) else find_daemons(self._given)
        self.daemons = daemons
        for name in ("", "log", "spool", "execute", "lock", "run"):
            (self.folder / name).mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(self.folder / "pool.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise PoolRunningError(f"a pool runs in {self.folder} already") from None
        for stale in (self.folder / "log").glob(".*_address"):
            stale.unlink()
        user, namespace = _identity()
        plan = PoolSettings(
            folder=self.folder, daemons=daemons, cpus=self.cpus, memory=self.memory,
            idle_timeout=self.idle_timeout, fsync=self.fsync, extra=self._extra,
        )
        text = config_text(plan, user)
        if os.geteuid() == 0:
            text += "CONDOR_IDS = 0.0\n"
        self.config_file.write_text(text)
        environment = {k: v for k, v in os.environ.items() if not k.upper().startswith("_CONDOR_")}
        environment["CONDOR_CONFIG"] = str(self.config_file)
        with open(self.folder / "log" / "guard", "ab") as log:
            self._guard = subprocess.Popen(
                [sys.executable, "-I", "-S", guard.__file__, json.dumps({
                    "command": [str(daemons.sbin / "condor_master"), "-f"], "environment": environment,
                    "folder": str(self.folder), "owned": owned, "namespace": namespace})],
                stdin=subprocess.PIPE if owned else subprocess.DEVNULL, stdout=log, stderr=log,
                pass_fds=[lock], start_new_session=True,
            )
        os.close(lock)
        deadline = time.monotonic() + timeout
        while not self._ready(environment):
            if self._guard.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise PoolStartError(f"the pool in {self.folder} did not start")
            time.sleep(0.02)

    def _ready(self, environment: dict[str, str]) -> bool:
        if not all((self.folder / "log" / f".{n}_address").exists() for n in ("collector", "schedd", "startd")):
            return False
        out = subprocess.run(
            [self.daemons.bin / "condor_status", "-any", "-af", "MyType"], env=environment,
            capture_output=True, text=True,
        ).stdout.split()
        return out.count("Machine") + out.count("Slot") >= SPARE_SLOTS and "Scheduler" in out and "Negotiator" in out

    def stop(self, *, timeout: float = 20) -> None:
        if self._guard is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._guard.send_signal(signal.SIGTERM)
        self._guard.wait(timeout)
        if self._guard.stdin:
            self._guard.stdin.close()
        self._guard = None


def _identity() -> tuple[str, tuple[int, int] | None]:
    """Return the pool's user, and the ids that root takes inside a user namespace (None: not needed).

    A schedd takes no jobs from root, so root becomes another user inside. Not the overflow user ("nobody"):
    every other user of the machine has that id inside and would pass for us.
    """
    me = os.geteuid()
    names = {entry.pw_uid: entry for entry in reversed(pwd.getpwall())}
    if me != 0 and me in names:
        return names[me].pw_name, None
    overflow = int(Path("/proc/sys/kernel/overflowuid").read_text())
    inside = next(names[uid] for uid in sorted(names) if uid not in (0, overflow))
    return inside.pw_name, (inside.pw_uid, inside.pw_gid)
