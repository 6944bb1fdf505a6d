"""Running a chunk here as a job does: a map's folder with one submission, and the fixtures that make it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from condormap.in_job.payload import chunk_file, read_frames
from condormap.merging.merged import write_reducer
from condormap.payload.bundle import bundle
from condormap.payload.item_store import write_items
from condormap.payload.serialize import pickled_by_value, write_function
from condormap.preparing import write_work
from condormap.state.chunk_reader import ChunkReader
from condormap.state.outcomes import Outcomes

SOON = 30.0  # seconds after which a test gives up waiting


Make = Callable[..., "Map"]


class Map:
    """A map's folder with one submission, whose chunks are run here."""

    def __init__(
        self,
        folder: Path,
        lib: Path,
        function: Callable[..., Any],
        *iterables: Iterable[Any],
        chunks: list[range] | None = None,
        selection: list[int] | None = None,
        retries: int = 0,
        item_timeout: float | None = None,
        reducer: Any = None,
        keep: bool = False,
    ) -> None:
        self.lib, self.root = lib, folder
        with pickled_by_value([name for name in sys.modules if name.startswith(("conftest", "test_"))]):
            self.n_items = write_items(folder, iterables)
            write_function(folder, function)
            if reducer is not None:
                write_reducer(folder, reducer, None)
        self.folder = folder / "submissions" / "0"
        self.folder.mkdir(parents=True)
        spec = {
            "star": len(iterables) > 1,
            "reduce": None if reducer is None else "keep" if keep else "discard",
            "retries": retries,
            "item_timeout": item_timeout,
        }
        write_work(self.folder, chunks or [range(self.n_items)], spec, selection)

    def stdio(self, stream: str, chunk: int = 0) -> Path:
        return Path(chunk_file(self.folder / "stdio", chunk, stream))

    @contextlib.contextmanager
    def started(self, chunk: int = 0, **more: Any) -> Iterator[subprocess.Popen[bytes]]:
        """Give a running attempt, which does not outlive the block."""
        process = self.start(chunk, **more)
        try:
            yield process
        finally:
            kill_all(process)

    def start(self, chunk: int = 0, *, python: tuple[str, ...] = (), **more: Any) -> subprocess.Popen[bytes]:
        command = [sys.executable, *python, self.lib / "run.py", self.folder / "spec.json", str(chunk), "7.0"]
        with self.stdio("out", chunk).open("ab") as out, self.stdio("err", chunk).open("ab") as err:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=self.root, **more
            )

    def run(self, chunk: int = 0, **more: Any) -> int:
        """Run one attempt at a chunk; return its exit code."""
        with self.started(chunk, **more) as process:
            return process.wait(SOON)

    def read(self, chunk: int = 0) -> Outcomes:
        """Return what is in the chunk's outcome files now."""
        outcomes, reader = Outcomes(self.n_items), ChunkReader(self.folder / "outcomes", chunk)
        reader.read(outcomes)
        assert not reader.damage
        return outcomes

    def values(self) -> list[Any]:
        """Return the results, after a run that gave a result for every item."""
        outcomes = self.read()
        assert bytes(outcomes.ledger.states) == b"r" * self.n_items
        return [outcomes.value(item) for item in range(self.n_items)]

    def headers(self, attempt: int = 0) -> list[dict[str, Any]]:
        return [frame.header for frame in read_frames(chunk_file(self.folder / "outcomes", 0, str(attempt)))]


def kill_all(process: subprocess.Popen[bytes]) -> None:
    """End a runner and its worker the hard way, as a machine that loses its power does."""
    with contextlib.suppress(psutil.NoSuchProcess):
        parent = psutil.Process(process.pid)
        parent.suspend()
        for child in parent.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        parent.kill()
    process.wait(SOON)


def has_ended(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture(scope="session")
def lib(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle(tmp_path_factory.mktemp("home"))


@pytest.fixture
def make(tmp_path: Path, lib: Path) -> Callable[..., Map]:
    def make(function: Callable[..., Any], *iterables: Iterable[Any], **more: Any) -> Map:
        return Map(tmp_path, lib, function, *iterables, **more)

    return make
