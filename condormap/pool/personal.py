"""A personal pool: HTCondor's own daemons, for one user, in one folder, on one machine.

::

    PersonalPool.start ──> starting.py ──> config.py writes <folder>/condor_config
                                       ──> guard.py (a process) ──> condor_master ──> the daemons
    <folder>/pool.lock     held by the guard: a pool runs here
    <folder>/pool.json     what the running pool was given, for `PersonalPool.attach`
    <folder>/spool         the queue; it survives
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from condormap.address import PoolAddress
from condormap.errors import InvalidInputError, NoPoolError, PoolError, PoolStartError
from condormap.folders.paths import absolute, pool_folder
from condormap.options import megabytes, one_line
from condormap.pool import leftovers, machine
from condormap.pool.config import PoolSettings
from condormap.pool.daemons import Daemons, find_daemons
from condormap.pool.folder import CONFIG_FILE, READY_FILE, STATE_FILE, FolderLock, prepare, read_state
from condormap.pool.identity import pool_identity
from condormap.pool.logs import last_words, log_of, tail
from condormap.pool.starting import launch, wait_until_ready
from condormap.times import positive

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
        self.folder = _folder(folder)
        self.cpus = machine.cpus() if cpus is None else _cpus(cpus)
        self.memory = machine.memory() if memory is None else megabytes(memory, "memory")
        if self.memory < LEAST_MEMORY:
            raise InvalidInputError(f"memory must be at least {LEAST_MEMORY} MB for a pool, not {memory!r}")
        self.idle_timeout = None if idle_timeout is None else positive("idle_timeout", idle_timeout)
        self.fsync = bool(fsync)
        self.settings = _settings({} if settings is None else settings)
        if not isinstance(daemons, str | os.PathLike | Daemons | None):
            raise InvalidInputError(f"daemons must be the path of an HTCondor, or None, not {daemons!r}")
        self._daemons = daemons
        self._guard: subprocess.Popen[bytes] | None = None

    @classmethod
    def attach(cls, folder: Path | str | None = None) -> PersonalPool:
        """Return the pool that runs in `folder` (``~/.condormap/pool``), whoever started it.

        Raises
        ------
        NoPoolError
            None runs there.
        """
        place = _folder(folder)
        state = read_state(place)
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
            if (pool.folder / READY_FILE).exists():
                return cls.attach(pool.folder)
            if time.monotonic() > deadline:
                break
            time.sleep(0.02)
        raise PoolStartError(
            f"The pool that another process was starting in {pool.folder} did not come up.\n"
            f"{last_words(pool.folder)}"
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
        return self.folder / CONFIG_FILE

    @property
    def address(self) -> PoolAddress:
        """What the rest of condormap needs to talk to this pool."""
        return PoolAddress(config_file=self.config_file, why=f"it is your personal pool in {self.folder}")

    @property
    def pid(self) -> int | None:
        """The process that stands for the whole pool: with it, the pool ends. None while none runs."""
        state = read_state(self.folder)
        return int(state["pid"]) if state else None

    @property
    def running(self) -> bool:
        """Whether a pool runs in this folder, started by whichever process."""
        return self.pid is not None

    def __enter__(self) -> PersonalPool:
        self._detached_folder = self.folder
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
            (self.folder / STATE_FILE).unlink(missing_ok=True)
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
        return tail(log_of(self.folder, name), lines)

    def _start(self, *, owner: int | None, timeout: float) -> None:
        daemons, identity = self.daemons, pool_identity()
        prepare(self.folder)
        settings = PoolSettings(
            folder=self.folder,
            daemons=daemons,
            user=identity.name,
            cpus=self.cpus,
            memory=self.memory,
            disk=machine.disk(self.folder),
            fsync=self.fsync,
            extra=self.settings,
        )
        self._guard = launch(
            settings,
            identity.namespace,
            owner=owner,
            temporary=owner is not None and self._temporary,
            idle_timeout=self.idle_timeout,
        )
        try:
            wait_until_ready(settings, self._guard, timeout=timeout)
        except BaseException:
            self.stop()
            raise

    def _remove_temporary(self) -> None:
        if self._temporary:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder = self._detached_folder


def _folder(folder: Path | str | None) -> Path:
    if folder is None:
        return pool_folder()
    if not isinstance(folder, str | os.PathLike):
        raise InvalidInputError(f"folder must be a path, or None, not {folder!r}")
    return absolute(folder)


def _cpus(cpus: int) -> int:
    if isinstance(cpus, bool) or not isinstance(cpus, int) or cpus < 1:
        raise InvalidInputError(f"cpus must be an integer of 1 or more, not {cpus!r}")
    return cpus


def _settings(settings: Mapping[str, str]) -> dict[str, str]:
    if not isinstance(settings, Mapping):
        raise InvalidInputError(f"settings must be a mapping of HTCondor's configuration, not {settings!r}")
    for name in settings:
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_][\w.]*", name):
            raise InvalidInputError(f"settings: {name!r} is no name of HTCondor's configuration")
    return {name: one_line(f"settings: {name}", value) for name, value in settings.items()}


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
    except PermissionError:
        raise PoolError(f"The pool (process {pid}) is another user's; only that user can stop it.") from None
