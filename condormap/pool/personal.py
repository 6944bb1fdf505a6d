"""A personal pool: HTCondor's own daemons, for one user, in one folder, on one machine.

::

    PersonalPool.start ──> config.py writes <folder>/condor_config
                       ──> guard.py (a process) ──> condor_master ──> the daemons
    <folder>/pool.lock     held by the guard: a pool runs here
    <folder>/pool.json     what the running pool was given, for `PersonalPool.attach`
    <folder>/spool         the queue; it survives
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from condormap.address import PoolAddress
from condormap.errors import InvalidInputError, NoPoolError, PoolError, PoolRunningError, PoolStartError
from condormap.paths import pool_folder
from condormap.pool import guard, leftovers, machine
from condormap.pool.config import PoolSettings, config_text
from condormap.pool.daemons import Daemons, find_daemons
from condormap.pool.folder import FolderLock, prepare
from condormap.pool.identity import pool_identity

#: A line of a daemon's log that tells of trouble; two that every start writes do not.
_TROUBLE = re.compile(r"^(?!.*(?:is logging:|, 0 failed|passwd_cache)).*(?:ERROR|EXCEPT|[Ff]ailed|Cannot)")

#: The least memory that a pool can be given, in MB.
LEAST_MEMORY = 64


class PersonalPool:
    """A personal HTCondor pool.

    As a context manager it belongs to this process and ends with it, even if the process is killed. After
    ``start()`` it is detached: it runs on until ``stop()`` (from any process, see `attach`) or its idle time-out.

    Parameters
    ----------
    folder : path-like, optional
        Where the pool lives. Left out: a temporary folder, removed at the end, for a context manager;
        ``~/.condormap/pool`` for a detached pool.
    cpus : int, optional
        How many cpus its jobs may use together; as many as this process may, if left out.
    memory : int or str, optional
        How much memory its jobs may use together: MB, or text such as ``"4GB"``; all that this process may use.
    daemons : path-like or Daemons, optional
        The HTCondor to run; see `condormap.pool.daemons.find_daemons`.
    idle_timeout : float, optional
        End the pool after so many seconds with an empty queue.
    fsync : bool
        False makes the queue faster and lets a crash of the machine lose jobs; for disposable pools.
    settings : mapping of str to str, optional
        More HTCondor configuration; it overrides condormap's own.

    Raises
    ------
    InvalidInputError
        A figure that makes no sense.
    """

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
        self._temporary = folder is None
        self.folder = pool_folder() if folder is None else Path(folder).expanduser().absolute()
        self.cpus = machine.cpus() if cpus is None else cpus
        self.memory = machine.memory() if memory is None else _megabytes(memory)
        self.idle_timeout = idle_timeout
        self.fsync = fsync
        self.settings = dict(settings or {})
        self._daemons = daemons
        self._guard: subprocess.Popen[bytes] | None = None
        if not isinstance(self.cpus, int) or self.cpus < 1:
            raise InvalidInputError(f"A pool needs at least 1 cpu, not {self.cpus!r}.")
        if self.memory < LEAST_MEMORY:
            raise InvalidInputError(f"A pool needs at least {LEAST_MEMORY} MB of memory, not {self.memory}.")
        if idle_timeout is not None and not idle_timeout > 0:
            raise InvalidInputError(f"An idle time-out is more than 0 seconds, not {idle_timeout!r}.")

    @classmethod
    def attach(cls, folder: Path | str | None = None) -> PersonalPool:
        """Return the pool that runs in `folder` (``~/.condormap/pool``), whoever started it.

        Raises
        ------
        NoPoolError
            None runs there.
        """
        place = pool_folder() if folder is None else Path(folder).expanduser().absolute()
        state = _read_state(place)
        if state is None:
            raise NoPoolError(f"No personal pool runs in {place}.\nStart one: condormap pool start")
        return cls(
            place,
            cpus=state["cpus"],
            memory=state["memory"],
            daemons=Path(state["release"]),
            idle_timeout=state["idle_timeout"],
            fsync=state["fsync"],
            settings=state["settings"],
        )

    @classmethod
    def attach_when_ready(cls, folder: Path | str | None = None, *, timeout: float = 30) -> PersonalPool:
        """Return the pool that runs, or is being started by another process, in `folder`.

        Raises
        ------
        PoolStartError
            It did not come up within `timeout` seconds.
        """
        pool = cls(folder if folder is not None else pool_folder())
        deadline = time.monotonic() + timeout
        while FolderLock(pool.folder).held():
            if (pool.folder / "ready").exists():
                return cls.attach(pool.folder)
            if time.monotonic() > deadline:
                break
            time.sleep(0.02)
        raise PoolStartError(
            f"The pool that another process was starting in {pool.folder} did not come up.\n{pool._last_words()}"
        )

    @property
    def daemons(self) -> Daemons:
        """The HTCondor that this pool runs."""
        if not isinstance(self._daemons, Daemons):
            self._daemons = find_daemons(self._daemons)
        return self._daemons

    @property
    def config_file(self) -> Path:
        """The pool's configuration: what ``CONDOR_CONFIG`` has to name for HTCondor's own tools."""
        return self.folder / "condor_config"

    @property
    def address(self) -> PoolAddress:
        """What the rest of condormap needs to talk to this pool."""
        return PoolAddress(config_file=self.config_file, why=f"your personal pool in {self.folder} runs")

    @property
    def pid(self) -> int | None:
        """The process that stands for the whole pool: with it, the pool ends. None while none runs."""
        state = _read_state(self.folder)
        return int(state["pid"]) if state else None

    @property
    def running(self) -> bool:
        """Whether a pool runs in this folder, started by whichever process."""
        return self.pid is not None

    def __enter__(self) -> PersonalPool:
        if self._temporary:
            self.folder = Path(tempfile.mkdtemp(prefix="condormap-pool-"))
        try:
            self._start(owner=os.getpid(), timeout=30)
        except BaseException:
            self._remove_temporary()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        finally:
            self._remove_temporary()

    def start(self, *, timeout: float = 30) -> PersonalPool:
        """Start the pool detached from this process, and return when it takes jobs.

        Raises
        ------
        PoolRunningError
            One runs in this folder, or is being started there.
        PoolStartError
            It did not start within `timeout` seconds; nothing is left running. The message ends with what the
            daemons said last.
        """
        self._start(owner=None, timeout=timeout)
        return self

    def stop(self, *, timeout: float = 20) -> None:
        """End the pool, its jobs and every process of theirs; the queue stays and is there at the next start.

        A pool that does not run is none to stop: that is not an error.
        """
        deadline = time.monotonic() + timeout
        lock = FolderLock(self.folder)
        while not lock.take():
            pid = self.pid
            if pid is not None and time.monotonic() < deadline:
                _signal(pid, signal.SIGTERM)
            elif pid is not None:  # stopped or stuck
                _signal(pid, signal.SIGKILL)
            if time.monotonic() > deadline + 5:
                raise PoolError(
                    f"The pool in {self.folder} (process {pid}) does not end; see {self.folder}/log."
                )
            time.sleep(0.02)
        try:
            leftovers.clear(self.folder)
            (self.folder / "pool.json").unlink(missing_ok=True)
        finally:
            lock.release()
        if self._guard is not None:
            self._guard.wait()
            self._guard = None

    def logs(self, name: str = "Master", lines: int = 20) -> list[str]:
        """Return the last lines of one daemon's log: ``"Master"``, ``"Sched"``, ``"Start"``, ``"Negotiator"``...

        Raises
        ------
        InvalidInputError
            There is no such log; the message lists those that there are.
        """
        files = {file.name.lower(): file for file in (self.folder / "log").glob("*") if file.is_file()}
        wanted = name.lower()
        # "schedd" is what people call it, SchedLog is what it writes.
        for candidate in (wanted, f"{wanted}log", f"{wanted.removesuffix('d')}log"):
            if candidate in files:
                return _tail(files[candidate], lines)
        known = ", ".join(sorted(file.name for file in files.values())) or "none yet"
        raise InvalidInputError(f"The pool in {self.folder} has no log of {name!r}; its logs: {known}.")

    def _start(self, *, owner: int | None, timeout: float) -> None:
        daemons = self.daemons
        identity = pool_identity()
        prepare(self.folder)
        lock = FolderLock(self.folder)
        # Somebody who only looks whether a pool runs holds the lock for an instant.
        if not lock.take(patience=0.3):
            raise PoolRunningError(
                f"A personal pool runs in {self.folder} already, or is being started there.\n"
                "Use it, stop it (condormap pool stop), or choose another folder."
            )
        try:
            leftovers.clear(self.folder)
            plan = PoolSettings(
                folder=self.folder,
                daemons=daemons,
                user=identity.name,
                cpus=self.cpus,
                memory=self.memory,
                disk=machine.disk(self.folder),
                fsync=self.fsync,
                extra=self.settings,
            )
            self.config_file.write_text(config_text(plan))
            environment = _environment(self.config_file)
            child = self._spawn_guard(environment, identity.namespace, owner, lock)
        finally:
            lock.release()  # the guard has it now
        if owner is None:
            self._started(child.wait())
        else:
            self._guard = child
        try:
            self._wait_until_ready(environment, plan.slots, timeout)
        except BaseException:
            self.stop()
            raise

    def _spawn_guard(
        self,
        environment: dict[str, str],
        namespace: tuple[int, int] | None,
        owner: int | None,
        lock: FolderLock,
    ) -> subprocess.Popen[bytes]:
        order: dict[str, Any] = {
            "master": [str(self.daemons.sbin / "condor_master"), "-f"],
            "folder": str(self.folder),
            "namespace": namespace,
            "owner": owner,
            "idle_timeout": self.idle_timeout,
            "state_file": str(self.folder / "pool.json"),
            "state": {
                "cpus": self.cpus,
                "memory": self.memory,
                "release": str(self.daemons.release),
                "idle_timeout": self.idle_timeout,
                "fsync": self.fsync,
                "settings": self.settings,
            },
            "ready": str(self.folder / "ready"),
            "queue": str(self.folder / "spool" / "job_queue.log"),
            "list_jobs": [str(self.daemons.bin / "condor_q"), "-allusers", "-af", "ClusterId"],
        }
        with open(self.folder / "log" / "guard", "wb") as log:
            return subprocess.Popen(
                [sys.executable, "-I", "-S", guard.__file__, json.dumps(order)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**environment, leftovers.MARK: str(self.folder)},
                pass_fds=[lock.fd],
                start_new_session=True,
            )

    def _wait_until_ready(self, environment: dict[str, str], slots: int, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        lock = FolderLock(self.folder)
        addresses = [self.folder / "log" / f".{name}_address" for name in ("collector", "schedd", "startd")]
        question = [str(self.daemons.bin / "condor_status"), "-any", "-af", "MyType"]
        while True:
            if self._guard is not None:
                self._started(self._guard.poll())
            if not lock.held():
                raise PoolStartError(
                    f"The pool in {self.folder} ended while it started.\n{self._last_words()}"
                )
            if time.monotonic() > deadline:
                raise PoolStartError(
                    f"The pool in {self.folder} was not ready after {timeout:g} s.\n{self._last_words()}"
                )
            if all(file.exists() for file in addresses):
                try:
                    answer = subprocess.run(
                        question, env=environment, capture_output=True, text=True, timeout=timeout
                    )
                except subprocess.TimeoutExpired:
                    continue
                types = answer.stdout.split()
                have_slots = types.count("Machine") + types.count("Slot") >= slots
                if have_slots and "Scheduler" in types and "Negotiator" in types:
                    (self.folder / "ready").touch()
                    return
            time.sleep(0.02)

    def _started(self, code: int | None) -> None:
        """Raise what the guard's exit code says went wrong before condor_master could be started."""
        if code == guard.NAMESPACE_REFUSED:
            raise PoolStartError(
                "A personal pool that root starts needs a user namespace, and this machine refused it: "
                f"{' '.join(_tail(self.folder / 'log' / 'guard', 1))}.\n"
                "Start it as a normal user, or allow user namespaces (sysctl user.max_user_namespaces; in a "
                "container, a security profile that permits unshare)."
            )

    def _last_words(self) -> str:
        """Return what the daemons said last: the errors of all, or the end of the master's log."""
        said = []
        for name in ("guard", "MasterLog", "CollectorLog", "SchedLog", "StartLog", "NegotiatorLog"):
            lines = _tail(self.folder / "log" / name, 200)
            errors = [line for line in lines if name == "guard" or _TROUBLE.search(line)]
            said += [f"{name}: {line}" for line in errors[-3:]]
        said = said or _tail(self.folder / "log" / "MasterLog", 10)
        return "\n".join(["Its logs say:", *said] if said else ["Its daemons wrote no log."])

    def _remove_temporary(self) -> None:
        if self._temporary:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder = pool_folder()


def _environment(config_file: Path) -> dict[str, str]:
    """Return this process's environment, turned to the pool and without settings meant for another HTCondor."""
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith("_CONDOR_")}
    return {**kept, "CONDOR_CONFIG": str(config_file)}


def _read_state(folder: Path) -> dict[str, Any] | None:
    """Return what the pool that runs in `folder` was given; None where none runs."""
    if not FolderLock(folder).held():
        return None
    try:
        state: dict[str, Any] = json.loads((folder / "pool.json").read_text())
    except (OSError, ValueError):  # it is being started
        return None
    return state


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
    except PermissionError:
        raise PoolError(f"The pool (process {pid}) is another user's; only that user can stop it.") from None


def _tail(file: Path, lines: int) -> list[str]:
    try:
        return file.read_text(errors="replace").splitlines()[-lines:]
    except OSError:
        return []


def _megabytes(memory: int | str) -> int:
    """Return an amount of memory in MB: a number is MB already, text may carry a unit."""
    if isinstance(memory, int):
        return memory
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([MGT]?)(i?B)?\s*", memory, re.IGNORECASE)
    if not match:
        raise InvalidInputError(f'{memory!r} is no amount of memory; write MB (4096) or "4GB".')
    return int(float(match[1]) * {"": 1, "M": 1, "G": 1024, "T": 1024**2}[match[2].upper()])
