"""Jobs at a prompt whose pool was stopped: what has ended keeps answering, the rest says what to do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from condormap import Job, JobCluster, JobGroup, JobStatus, PersonalPool
from condormap.condor import connect
from condormap.errors import NoPoolError, NoSuchJobError, UnreachableError
from condormap.events import EventType
from condormap.jobs.part import counts


@dataclass
class Left:
    """What is there when the pool is stopped."""

    pool: PersonalPool
    ended: Job
    running: JobCluster
    unsubmitted: Job


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Left]:
    folder = tmp_path_factory.mktemp("stopped")
    before = os.getcwd()
    with PersonalPool(cpus=1, memory=1024, fsync=False) as pool:
        os.chdir(folder)
        try:
            ended = Job({"executable": "/bin/echo", "arguments": "hello", "output": "o.txt"}, pool=pool)
            ended.submit()
            assert ended.wait(60)
            running = JobCluster({"executable": "/bin/sleep", "arguments": "2000"}, 2, pool=pool)
            running.submit()
            assert len(running.status) == 2
            unsubmitted = Job({"executable": "/bin/sleep"}, pool=pool.address)
        finally:
            os.chdir(before)
        pool.stop()
        yield Left(pool, ended, running, unsubmitted)


def test_a_job_that_has_ended_answers_without_its_pool(left: Left) -> None:
    job = left.ended
    assert (job.status, job.exit_code, job.hold_reason) == (JobStatus.COMPLETED, 0, None)
    assert (job["Cmd"], job["JobStatus"]) == ("/bin/echo", JobStatus.COMPLETED)
    assert job.stdout() == "hello\n"
    assert "Job terminated" in job.log()
    assert len(list(job.events())) >= 3
    assert job.explain().endswith("it completed with exit code 0.")
    assert job.wait(5)
    assert "COMPLETED" in job._repr_html_()
    with pytest.raises(NoSuchJobError, match="it completed with exit code 0"):
        job.hold()


def test_a_job_in_the_queue_of_a_stopped_pool_says_what_to_do(left: Left) -> None:
    cluster = left.running
    for jobs in (cluster, cluster[0], JobGroup([cluster])):
        for ask in (
            lambda jobs=jobs: jobs.status,
            lambda jobs=jobs: jobs.hold_reason,
            lambda jobs=jobs: jobs["MemoryUsage"],
            jobs.hold,
            jobs.explain,
            jobs.refresh,
            jobs.stdout,
        ):
            with pytest.raises(UnreachableError, match="What to do: "):
                ask()
        assert jobs.wait(0.5) is False
        assert next(jobs.events(follow=True, timeout=0.2)).type == EventType.SUBMIT
        assert "UnreachableError" in jobs._repr_html_()
    assert "states unknown, UnreachableError" in repr(cluster)


def test_the_error_of_a_stopped_personal_pool_says_how_to_start_it(left: Left) -> None:
    with pytest.raises(UnreachableError) as caught:
        left.running.to_jdf()
    text = str(caught.value)
    assert text.startswith("query: the schedd (")
    assert "runs) cannot be reached" not in text
    assert f"`condormap pool start --dir {left.pool.folder}`" in text


@pytest.fixture
def here(pool: PersonalPool) -> Iterator[JobCluster]:
    """Return jobs of a pool that runs."""
    cluster = JobCluster({"executable": "/bin/sleep", "arguments": "2000", "hold": "true"}, 2, pool=pool)
    cluster.submit()
    yield cluster
    cluster.remove()


@pytest.mark.parametrize("first", ["here", "stopped"])
def test_actions_on_jobs_of_a_stopped_pool_and_of_another_reach_the_other(
    first: str, left: Left, here: JobCluster
) -> None:
    group = JobGroup([here, left.running] if first == "here" else [left.running, here])
    for act in (lambda: group.release(), lambda: group.hold(), lambda: group.edit(JobPrio=3)):
        done = act()
        assert done["TotalSuccess"] == 2
        assert set(done.failed) == set(left.running)
        assert all("cannot be reached" in why for why in done.failed.values())
    assert here.counts == {JobStatus.HELD: 2}
    assert set(here["JobPrio"].values()) == {3}


def test_the_status_of_such_a_group_is_an_error_but_what_can_be_asked_is(
    left: Left, here: JobCluster, pool: PersonalPool
) -> None:
    assert here.counts == {JobStatus.HELD: 2}
    connect(pool.address).act("release", jobs=[str(here.id)])
    group = JobGroup([left.running, here])
    with pytest.raises(UnreachableError, match="What to do: "):
        _ = group.status
    assert JobStatus.HELD not in counts(here._parts())  # without asking again
    assert [
        cluster.counts.keys() <= {JobStatus.IDLE, JobStatus.RUNNING} for cluster in group.clusters[1:]
    ] == [True]


def test_a_submit_to_a_stopped_pool_says_what_to_do(left: Left) -> None:
    with pytest.raises(UnreachableError, match="Nothing was submitted"):
        left.unsubmitted.submit()
    with pytest.raises(NoPoolError, match=r"pool\.start\(\)"):
        Job({"executable": "/bin/sleep"}, pool=left.pool).submit()
    with pytest.raises(UnreachableError, match="What to do: "):
        Job.from_queue(left.ended.id, pool=left.pool.address)


def test_jobs_answer_again_when_their_pool_is_started_again(left: Left) -> None:
    left.pool.start()
    assert set(left.running.counts) <= {JobStatus.IDLE, JobStatus.RUNNING}
    assert left.ended.stdout() == "hello\n"
    assert left.running.remove()["TotalSuccess"] == 2
