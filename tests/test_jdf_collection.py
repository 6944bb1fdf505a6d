"""Each file in jdfs/ runs on the pool and does what its comments say."""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from condormap.condor import Condor, connect
from condormap.jdf.check import check
from condormap.jdf.split import read_jdf
from condormap.pool.personal import PersonalPool

JDFS = Path(__file__).parents[1] / "jdfs"
JobAds = list[dict[str, Any]]


class Collection:
    """Submits files of the collection, and waits for their jobs."""

    def __init__(self, condor: Condor) -> None:
        self.condor = condor
        self.clusters: list[int] = []

    def submit(self, name: str, **overrides: object) -> None:
        for block in check(read_jdf(f"jdfs/{name}", **overrides), self.condor):
            submitted = self.condor.submit_block(
                block.text, folder=".", submission_id=secrets.token_hex(8), n_jobs=block.n_jobs or 1
            )
            self.clusters.append(submitted.cluster)

    @property
    def constraint(self) -> str:
        return " || ".join(f"ClusterId == {cluster}" for cluster in self.clusters)

    def done(self, n_jobs: int) -> JobAds:
        """Return the jobs' last ads."""
        return self._wait(lambda: self.condor.history(self.constraint), n_jobs)

    def held(self, n_jobs: int) -> JobAds:
        return self._wait(lambda: self.condor.query(f"({self.constraint}) && JobStatus == 5"), n_jobs)

    def _wait(self, look: Callable[[], JobAds], n_jobs: int) -> JobAds:
        deadline = time.monotonic() + 60
        while len(found := look()) < n_jobs:
            assert time.monotonic() < deadline, self.condor.query(self.constraint)
            time.sleep(0.1)
        return sorted(found, key=lambda ad: (ad["ClusterId"], ad["ProcId"]))

    def remove(self) -> None:
        if self.clusters:
            self.condor.act("remove", constraint=self.constraint)


@pytest.fixture
def collection(pool: PersonalPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    shutil.copytree(JDFS, tmp_path / "jdfs")
    monkeypatch.chdir(tmp_path)
    collection = Collection(connect(pool.address))
    yield collection
    collection.remove()


def codes(jobs: JobAds) -> list[int]:
    return [job["ExitCode"] for job in jobs]


def test_sleep(collection: Collection) -> None:
    collection.submit("sleep.job", arguments=0)
    assert codes(collection.done(4)) == [0, 0, 0, 0]
    assert [path.name for path in Path().iterdir()] == ["jdfs"]


def test_sum_of_each_file_that_matches(collection: Collection) -> None:
    collection.submit("sum.job")
    assert codes(collection.done(3)) == [0, 0, 0]
    assert Path(f"sum.{collection.clusters[0]}.log").exists()
    sums = {path.name: path.read_text().strip() for path in Path().glob("sum.*.out")}
    assert sums == {"sum.few.out": "6", "sum.hundred.out": "5050", "sum.mixed.out": "-2.5"}


def test_several_queues(collection: Collection) -> None:
    collection.submit("several_queues.job")
    jobs = collection.done(4)
    assert len(collection.clusters) == 3
    assert [job["RequestMemory"] for job in jobs] == [32, 32, 64, 64]
    assert {path.read_text().strip() for path in Path().glob("echo.*.out")} == {
        "electron at 10 GeV",
        "electron at 20 GeV",
        "muon at 10 GeV",
        "muon at 20 GeV",
    }


def test_a_table(collection: Collection) -> None:
    collection.submit("table.job")
    jobs = collection.done(4)
    assert [job["BodyName"] for job in jobs] == ["Mercury", "Venus", "Earth", "Jupiter"]
    assert jobs[2]["BodyMass"] == 5.97e24
    assert Path("table.Jupiter.out").read_text() == "Jupiter weighs 1.90e27 kg, the largest\n"


def test_memory_that_goes_over_is_held(collection: Collection) -> None:
    collection.submit("memory_held.job")
    (job,) = collection.held(1)
    assert job["HoldReasonSubCode"] == 102  # memory
    assert job["HoldReasonCode"] in (21, 34)  # found by the machine's policy, or by its kernel


def test_retries(collection: Collection) -> None:
    collection.submit("retries.job")
    jobs = collection.done(2)
    assert codes(jobs) == [3, 3]
    assert [job["NumJobStarts"] for job in jobs] == [3, 3]
    assert Path("retries.1.out").read_text() == "run 2\n"


def test_remaps(collection: Collection) -> None:
    collection.submit("remaps.job")
    assert codes(collection.done(3)) == [0, 0, 0]
    assert Path("result.2.txt").read_text() == "2 squared is 4\n"
    assert not Path("result.txt").exists()


def test_a_factory(collection: Collection) -> None:
    collection.submit("factory.job")
    assert codes(collection.done(20)) == [0] * 20


def test_on_exit_hold(collection: Collection) -> None:
    collection.submit("on_exit_hold.job")
    (job,) = collection.held(1)
    assert (job["HoldReasonCode"], job["HoldReasonSubCode"]) == (3, 1004)
    assert job["HoldReason"] == "it ended with 4, see hold.err"
    assert Path("hold.err").read_text() == "no such calibration\n"


def test_macros(collection: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER", "alice")
    collection.submit("macros.job")
    jobs = collection.done(4)
    (cluster,) = collection.clusters
    assert [Path(f"macros.{proc}.out").read_text().strip() for proc in (0, 3)] == [
        f"job 0 of {cluster} for alice: 60 minutes, step 0 of item 1 = beta, seed 7, red",
        f"job 3 of {cluster} for alice: 60 minutes, step 1 of item 2 = gamma, seed 307, grey",
    ]
    assert all(job["Lucky"] in range(1, 7) and job["Team"] in ("red", "blue") for job in jobs)


def test_a_container(collection: Collection) -> None:
    """Its ad only: whether it runs depends on the machine."""
    collection.submit("container.job", hold=True)
    (job,) = collection.held(1)
    assert (job["WantContainer"], job["ContainerImage"]) == (True, "docker://python:3.12-slim")
    assert "HasContainer" in job["Requirements"]
