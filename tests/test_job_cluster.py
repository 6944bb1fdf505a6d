"""JobCluster and JobGroup: all jobs of a cluster, a selection of them, several clusters, several schedds."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from test_job_prompt import count_questions, script

from condormap import Job, JobCluster, JobGroup, JobStatus, PersonalPool
from condormap.address import PoolAddress
from condormap.condor import connect
from condormap.errors import (
    InvalidInputError,
    JdfError,
    JobHeldError,
    JobLostError,
    JobRemovedError,
    NoSuchJobError,
    NotAuthorizedError,
    SerializationError,
    SubmitRefusedError,
    UnsubmittedJobError,
)
from condormap.jobs import waiting
from condormap.jobs.queue import refresh

pytestmark = pytest.mark.usefixtures("at_a_prompt")

SLEEP = {"executable": "/bin/sleep", "arguments": "2000"}
HELD = {**SLEEP, "hold": "true"}
FACTORY = {"executable": "/bin/sleep", "arguments": "0", "max_idle": "2"}


def submitted(commands: dict[str, str], count: int = 1) -> JobCluster:
    cluster = JobCluster(commands, count)
    cluster.submit()
    return cluster


# -- a cluster -------------------------------------------------------------------------------------------------


def test_status_length_and_jobs_of_a_cluster() -> None:
    cluster = submitted(HELD, 4)
    assert len(cluster) == 4
    assert cluster.status == dict.fromkeys(range(4), JobStatus.HELD)
    assert cluster.counts == {JobStatus.HELD: 4}
    assert [job.id for job in cluster] == [f"{cluster.id}.{proc}" for proc in range(4)]
    assert cluster[3] == cluster[-1] == Job.from_queue((cluster.id, 3))
    with pytest.raises(IndexError, match="none with the proc 4"):
        _ = cluster[4]


def test_the_status_of_a_cluster_is_one_question(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = submitted(HELD, 50)
    asked = count_questions(monkeypatch)
    assert len(cluster.status) == 50
    assert asked == ["query"]


def test_the_status_of_a_cluster_that_has_ended_is_no_question(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = submitted({"executable": "/bin/true"}, 2)
    assert cluster.wait(60)
    asked = count_questions(monkeypatch)
    assert cluster.status == {0: JobStatus.COMPLETED, 1: JobStatus.COMPLETED}
    assert cluster.exit_code == {0: 0, 1: 0}
    assert asked == []


def test_actions_on_a_selection() -> None:
    cluster = submitted(HELD, 4)
    assert cluster[1:3].release()["TotalSuccess"] == 2
    assert sorted(cluster.select(JobStatus.HELD).status) == [0, 3]
    assert cluster[0].remove()["TotalSuccess"] == 1
    assert len(cluster.select(where=lambda job: job["ProcId"] > 1)) == 2


def test_an_action_says_which_jobs_failed_and_raises_nothing() -> None:
    cluster = submitted(HELD, 3)
    cluster[0].remove("not needed")
    totals = cluster[0:2].release()
    assert totals["TotalSuccess"] == 1
    assert list(totals.failed) == [0]
    assert "not needed" in totals.failed[0]
    assert "failed" in repr(totals)


def test_an_action_on_a_cluster_that_is_gone() -> None:
    cluster = submitted(HELD, 2)
    cluster.remove()
    cluster.wait(10)
    with pytest.raises(NoSuchJobError, match=f"none of the 2 jobs .* {cluster.id}.0: it was removed"):
        cluster.hold()


def test_edit_of_a_cluster() -> None:
    cluster = submitted(HELD, 3)
    assert cluster.edit(JobPrio=3)["TotalSuccess"] == 3
    assert cluster[0:2].edit(JobPrio=4)["TotalSuccess"] == 2
    assert [job["JobPrio"] for job in cluster] == [4, 4, 3]


def test_wait_for_the_first_and_for_all() -> None:
    cluster = JobCluster.from_text("executable = /bin/sleep\narguments = $(n)\nqueue n in (0, 2000)")
    assert cluster.wait(30, for_="any")
    assert cluster[0].status is JobStatus.COMPLETED
    assert not cluster.wait(0.2)


def test_wait_raises_when_all_that_is_left_is_held() -> None:
    cluster = JobCluster.from_text(
        "executable = /bin/sleep\narguments = 0\nhold = $(h)\nqueue h in (true, true, false)"
    )
    with pytest.raises(JobHeldError, match="2 jobs are on hold"):
        cluster.wait(30)
    assert cluster[2].exit_code == 0


def test_a_cluster_by_its_id_from_the_queue_and_from_the_history() -> None:
    cluster = submitted({"executable": "/bin/sleep", "arguments": "$(ProcId)00"}, 3)
    cluster[0].wait(30)
    again = JobCluster.from_queue(cluster.id)
    assert again.status[0] is JobStatus.COMPLETED
    assert len(again) == 3
    cluster.remove("enough")
    cluster.wait(10)
    again = JobCluster.from_queue(cluster.id)
    assert again.status == cluster.status
    with pytest.raises(JobRemovedError, match=r"enough .*2 jobs ended so"):
        again.wait(10)


def test_a_cluster_that_nobody_has() -> None:
    with pytest.raises(NoSuchJobError, match="cluster 1000000 is neither"):
        JobCluster.from_queue(1000000)


def test_from_jdf_holds_back_takes_overrides_and_refuses_several_queues(tmp_path: Path) -> None:
    (tmp_path / "a.jdf").write_text("executable = /bin/sleep\narguments = 2000\nqueue 2\n")
    cluster = JobCluster.from_jdf("a.jdf", submit=False, hold=True, arguments="7")
    assert "not submitted" in repr(cluster)
    with pytest.raises(UnsubmittedJobError, match="submit"):
        _ = cluster.status
    cluster.submit()
    assert [job["Args"] for job in cluster] == ["7", "7"]
    (tmp_path / "b.jdf").write_text("executable = /bin/sleep\nqueue 2\narguments = 1\nqueue\n")
    with pytest.raises(InvalidInputError, match=r"lines 2, 4.*JobGroup\.from_jdf"):
        JobCluster.from_jdf("b.jdf")


def test_a_cluster_in_words_and_as_html() -> None:
    cluster = submitted(HELD, 30)
    assert repr(cluster) == f"<JobCluster {cluster.id}: 30 jobs, 30 held>"
    assert f"<td>{cluster.id}.0</td><td>HELD</td>" in cluster._repr_html_()
    assert "and 10 more" in cluster._repr_html_()


def test_clusters_are_equal_by_their_ids_and_jobs() -> None:
    cluster, other = submitted(HELD, 3), submitted(HELD, 3)
    again = JobCluster.from_queue(cluster.id)
    assert cluster == again == cluster[:] == cluster[0:3]
    assert len({cluster, again, other}) == 2
    assert cluster != other
    assert cluster != cluster[0:2]
    held_back = JobCluster(HELD, 3)
    assert held_back == held_back != JobCluster(HELD, 3)
    with pytest.raises(TypeError, match="no hash before it is submitted"):
        hash(held_back)


def test_clusters_and_jobs_are_united_to_groups() -> None:
    one, other = submitted(HELD, 2), submitted(HELD, 2)
    for union, n_jobs in ((one | other, 4), (one | other[0], 3), (one[1] | other, 3), (one[0] | one[1], 2)):
        assert type(union) is JobGroup
        assert len(union) == n_jobs
    with pytest.raises(TypeError):
        _ = one | {0: "job"}


@pytest.mark.parametrize("copied", [pickle.dumps, copy.copy, copy.deepcopy], ids=lambda each: each.__name__)
def test_jobs_are_not_pickled_or_copied(copied: Callable[[object], object]) -> None:
    cluster = submitted(HELD, 2)
    for jobs in (cluster, cluster[0], JobGroup([cluster]), JobCluster(HELD)):
        with pytest.raises(SerializationError, match=r"pass its id.*from_queue"):
            copied(jobs)


# -- factories -------------------------------------------------------------------------------------------------


def test_a_factory_s_jobs_are_there_before_they_are_made() -> None:
    cluster = submitted({**FACTORY, "arguments": "2000"}, 6)
    assert len(cluster) == 6
    assert list(cluster.status) == list(range(6))
    assert cluster[5].status is JobStatus.IDLE
    assert "factory has not made it yet" in cluster[5].explain()
    assert cluster[5:].hold().failed == {5: "its factory has not made it yet"}


def test_waiting_for_a_factory_waits_for_all_of_its_jobs() -> None:
    cluster = submitted(FACTORY, 6)
    assert cluster.wait(60)
    assert cluster.counts == {JobStatus.COMPLETED: 6}


def test_a_factory_on_hold_ends_a_wait_and_goes_on_when_released(tmp_path: Path) -> None:
    run = script(tmp_path / "run", "while [ ! -e go ]; do sleep 0.05; done\n")
    cluster = submitted({**FACTORY, "executable": run}, 5)
    cluster.hold("a break")
    assert cluster.counts == {JobStatus.HELD: 5}
    with pytest.raises(JobHeldError, match="a break"):
        cluster.wait(30)
    cluster.release()
    (tmp_path / "go").touch()
    assert cluster.wait(60)


@pytest.mark.parametrize("again", [False, True], ids=["the one that submitted", "one from the history"])
def test_a_removed_factory_s_jobs_are_removed_also_those_never_made(again: bool) -> None:
    cluster = submitted({**FACTORY, "arguments": "2000"}, 6)
    cluster.remove()
    assert cluster.wait(30)
    if again:
        cluster = JobCluster.from_queue(cluster.id)
        with pytest.raises(JobRemovedError):
            cluster.wait(
                30
            )  # the schedd may keep the cluster's own ad for a moment, which says nothing of this
    assert cluster.status == dict.fromkeys(range(6), JobStatus.REMOVED)
    assert cluster[5].remove_reason == "its cluster was removed before the job was made"


def test_a_factory_that_is_removed_while_on_hold_has_no_held_jobs_left() -> None:
    cluster = submitted({**FACTORY, "arguments": "2000"}, 6)
    cluster.hold()
    assert set(cluster.status.values()) == {JobStatus.HELD}
    cluster.remove()
    assert set(cluster.status.values()) == {JobStatus.REMOVED}
    assert cluster[5].remove_reason == "its cluster was removed before the job was made"


# -- groups ----------------------------------------------------------------------------------------------------


def test_a_group_from_data_submits_a_cluster_for_each_override() -> None:
    group = JobGroup.from_data(HELD, [{"arguments": str(n)} for n in range(3)])
    assert [job["Args"] for job in group] == ["0", "1", "2"]
    assert len(group.clusters) == len(group) == 3
    assert set(group.status.values()) == {JobStatus.HELD}
    assert group.release()["TotalSuccess"] == 3
    assert repr(group).startswith("<JobGroup of 3 clusters: 3 jobs, ")


def test_an_error_of_a_group_from_data_names_the_override() -> None:
    wrong: list[dict[str, object]] = [{"arguments": str(n)} for n in range(40)]
    for commands, error, text in (
        ({"executable": "/nowhere"}, JdfError, "overrides[37]: executable: /nowhere does not exist"),
        ({"arguments": "a\nqueue 5"}, InvalidInputError, "overrides[37]: arguments: the value has a newline"),
        (
            {"request_memory": "lots of it"},
            SubmitRefusedError,
            "overrides[37]: HTCondor can make no job of it: ",
        ),
        (
            "arguments",
            InvalidInputError,
            "overrides[37]: overrides are mappings of submit commands, not a str",
        ),
    ):
        wrong[37] = commands  # type: ignore[assignment]
        with pytest.raises(error) as caught:
            JobGroup.from_data(HELD, wrong)
        assert str(caught.value).startswith(text)
    base = "executable = /bin/sleep\ninput = $(file)\n"
    with pytest.raises(JdfError, match=r"^overrides\[1\], <text>:2: input: .*/nothing does not exist"):
        JobGroup.from_data(base, [{"file": "/dev/null"}, {"file": "/nothing"}])


def test_what_is_doubtful_in_all_of_a_group_is_told_once() -> None:
    with pytest.warns(UserWarning, match=r"^overrides\[0\]: nothing uses 'reqest_memory'") as warned:
        JobGroup.from_data({**HELD, "reqest_memory": "5"}, [{}, {}, {}])
    assert len(warned) == 1


def test_a_group_can_be_held_back() -> None:
    group = JobGroup.from_data(HELD, [{}, {}], submit=False, count=2)
    with pytest.raises(UnsubmittedJobError, match="submit"):
        len(group)
    assert "not submitted" in repr(group)
    assert len(group.submit()) == 2
    assert len(group) == 4
    with pytest.raises(InvalidInputError, match="submitted already"):
        group.submit()


def test_a_group_is_submitted_as_a_whole_or_not_at_all(pool: PersonalPool) -> None:
    before = connect(pool.address).query("true", ["ClusterId"])  # jobs of earlier tests may be about to leave
    with pytest.raises((JdfError, SubmitRefusedError), match="RequestMemory = lots of it"):
        JobGroup.from_data(HELD, [{}, {"request_memory": "lots of it"}])
    after = connect(pool.address).query("true", ["ClusterId"])
    assert {ad["ClusterId"] for ad in after} <= {ad["ClusterId"] for ad in before}


def test_a_group_from_a_jdf_has_a_cluster_for_each_queue(tmp_path: Path) -> None:
    (tmp_path / "two.jdf").write_text("executable = /bin/sleep\nhold = true\nqueue 2\narguments = 5\nqueue\n")
    group = JobGroup.from_jdf("two.jdf")
    assert [len(cluster) for cluster in group.clusters] == [2, 1]


def test_waiting_for_a_group_is_one_question_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    group = JobGroup.from_data({"executable": "/bin/sleep", "log": ""}, [{"arguments": "1"}] * 2)
    asked, looks = count_questions(monkeypatch), []
    monkeypatch.setattr(waiting, "refresh", lambda *args: looks.append(args) or refresh(*args))
    assert group.wait(60)
    assert 0 < asked.count("query") <= len(looks)
    assert len(group.status) == 2


def test_the_union_of_groups_has_each_cluster_once() -> None:
    one, other = submitted(HELD, 2), submitted(HELD)
    group = JobGroup([one]) | JobGroup([one, other])
    assert len(group) == 3
    assert len(group.union(submitted(HELD))) == 4
    assert group.select(JobStatus.HELD).release()["TotalSuccess"] == 3


def test_a_group_has_clusters_only() -> None:
    with pytest.raises(InvalidInputError, match="not a int"):
        JobGroup([1])  # type: ignore[list-item]
    assert len(JobGroup()) == 0
    assert JobGroup().wait(1)


def test_an_action_on_a_group_names_failed_jobs() -> None:
    one, other = submitted(HELD), submitted(HELD)
    one.remove("gone")
    totals = (JobGroup([one, other])).release()
    assert totals["TotalSuccess"] == 1
    assert list(totals.failed) == [one[0]]


# -- a second pool, which is harmed ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def other_pool() -> Iterator[PersonalPool]:
    """Return a disposable pool without a history, where whoever claims to be alice is believed."""
    believed = {
        "SEC_DEFAULT_AUTHENTICATION_METHODS": "FS, CLAIMTOBE",
        "ALLOW_READ": "*",
        "ALLOW_WRITE": "*",
        "HISTORY": "",
    }
    with PersonalPool(cpus=1, memory=1024, fsync=False, settings=believed) as pool:
        yield pool


def test_a_group_over_two_schedds(other_pool: PersonalPool) -> None:
    commands = {"executable": "/bin/sleep", "arguments": "0.2", "hold": "true"}
    there = JobCluster(commands, 2, pool=other_pool)
    there.submit()
    here = submitted(commands, 2)
    group = JobGroup([here, there])
    assert len(group) == len(group.status) == 4
    assert group.release()["TotalSuccess"] == 4
    assert group.wait(60)
    assert set(group.status.values()) == {JobStatus.COMPLETED}
    assert here[0] != there[0]


@pytest.fixture
def alice(other_pool: PersonalPool, tmp_path: Path) -> Iterator[PoolAddress]:
    """Return the disposable pool as another user reaches it."""
    config = tmp_path / "alice"
    config.write_text(
        f"include : {other_pool.config_file}\n"
        "SEC_DEFAULT_AUTHENTICATION_METHODS = CLAIMTOBE\nSEC_CLAIMTOBE_USER = alice\n"
    )
    address = PoolAddress(config_file=config)
    yield address
    condor = connect(address)
    condor.act("remove", constraint='Owner == "alice"')
    condor.close()


def test_acting_on_another_user_s_job(other_pool: PersonalPool, alice: PoolAddress) -> None:
    mine = JobCluster(HELD, 2, pool=other_pool)
    mine.submit()
    for act in (Job.release, Job.remove, lambda job: job.edit(JobPrio=1)):
        job = Job.from_queue((mine.id, 1), pool=alice)
        with pytest.raises(NotAuthorizedError, match=r"is not yours: it belongs to .*alice"):
            act(job)
    assert mine.counts == {JobStatus.HELD: 2}


def test_of_several_users_jobs_only_the_others_fail(other_pool: PersonalPool, alice: PoolAddress) -> None:
    theirs = JobCluster(HELD, 2, pool=other_pool)
    theirs.submit()
    hers = JobCluster(HELD, 2, pool=alice)
    hers.submit()
    group = JobGroup([JobCluster.from_queue(theirs.id, pool=alice), hers])
    others = set(group.clusters[0])
    for act in (
        lambda: group.edit(JobPrio=9),
        lambda: group.release(),
        lambda: group.hold(),
        lambda: group.remove(),
    ):
        done = act()
        assert done["TotalSuccess"] == 2
        assert set(done.failed) == others
        assert all(why.startswith("it belongs to ") for why in done.failed.values())
    assert hers.counts == {JobStatus.REMOVED: 2}
    assert set(theirs["JobPrio"].values()) == {0}
    with pytest.raises(NotAuthorizedError, match=rf"job {theirs.id}\.0 is not yours"):
        group.clusters[0].hold()
    theirs.remove()


def test_who_removes_another_s_jobs_with_their_own_has_removed_only_their_own(
    other_pool: PersonalPool, alice: PoolAddress
) -> None:
    theirs = JobCluster(HELD, pool=other_pool)
    theirs.submit()
    hers = JobCluster(HELD, pool=alice)
    hers.submit()
    group = JobGroup([JobCluster.from_queue(theirs.id, pool=alice), hers])
    group.remove()
    theirs.remove("by its owner")
    with pytest.raises(JobRemovedError, match="by its owner"):
        group.wait(30)


def test_a_job_that_is_gone_answers_from_its_log_where_there_is_no_history(other_pool: PersonalPool) -> None:
    job = Job({"executable": "/bin/sleep", "arguments": "0"}, pool=other_pool)
    job.submit()
    job.ad  # noqa: B018  as it was last
    assert job.wait(30)
    assert "Job terminated" in job.log()
    assert (job.status, job.exit_code, job["Args"]) == (JobStatus.COMPLETED, 0, "0")


def test_a_job_that_is_gone_without_a_trace_is_lost(other_pool: PersonalPool) -> None:
    ad = {"ClusterId": 999, "ProcId": 0, "JobStatus": 2}
    lost = Job.from_ad(ad, pool=other_pool)
    with pytest.raises(JobLostError, match="neither its event log nor the history"):
        lost.wait(30)
    assert lost.status is JobStatus.REMOVED
    assert lost["ClusterId"] == 999


def test_an_empty_path_is_no_file() -> None:
    with pytest.raises(InvalidInputError, match="this one is empty"):
        JobCluster.from_jdf("")
