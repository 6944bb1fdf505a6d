"""What a Job answers, a JobCluster and a JobGroup answer for all jobs at once, with one question."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_job_prompt import count_questions, script

from condormap import Job, JobCluster, JobGroup, JobStatus, PersonalPool
from condormap.condor import Condor, connect
from condormap.errors import InvalidInputError, NoSuchJobError, StorageError
from condormap.events import EventType

pytestmark = pytest.mark.usefixtures("at_a_prompt")

SLEEP = {"executable": "/bin/sleep", "arguments": "2000"}
HELD = {**SLEEP, "hold": "true"}


def submitted(commands: dict[str, str], count: int = 1) -> JobCluster:
    cluster = JobCluster(commands, count)
    cluster.submit()
    return cluster


@pytest.fixture
def done(tmp_path: Path) -> JobCluster:
    """Return a cluster of three jobs that have ended, with output and different exit codes."""
    run = script(tmp_path / "run", "echo out $1; echo err $1 >&2; exit $1\n")
    cluster = submitted(
        {"executable": run, "arguments": "$(ProcId)", "output": "$(ProcId).out", "error": "$(ProcId).err"}, 3
    )
    assert cluster.wait(60)
    return cluster


# -- every answer is a dict by proc ----------------------------------------------------------------------------


def test_codes_texts_and_hosts_of_jobs_that_have_ended(done: JobCluster) -> None:
    assert done.exit_code == {0: 0, 1: 1, 2: 2}
    assert done.exit_signal == dict.fromkeys(range(3))
    assert done.stdout() == {proc: f"out {proc}\n" for proc in range(3)}
    assert done[1:].stderr() == {1: "err 1\n", 2: "err 2\n"}
    assert all("slot" in host for host in done.host.values())
    assert [text.count("Job terminated.\n") for text in done.log().values() if text] == [1, 1, 1]
    assert done.ad[2] is not None
    assert done.ad[2]["ExitCode"] == 2
    assert done.explain()[1] == f"Job {done.id}.1: it completed with exit code 1."


def test_reasons_of_holds_and_removals() -> None:
    cluster = submitted(HELD, 3)
    cluster[0].remove("not needed")
    cluster[1].release()
    reasons = cluster.hold_reason
    assert reasons[0] is reasons[1] is None
    assert reasons[2] is not None
    assert reasons[2].startswith("held at the user's request, at submission (code 15")
    removed = cluster.remove_reason
    assert "not needed" in str(removed[0])
    assert removed[1] is removed[2] is None


def test_an_attribute_of_all_jobs() -> None:
    cluster = submitted(HELD, 3)
    cluster[1:].edit(JobPrio=5, OnlyTheirs="x")
    assert cluster["JobPrio"] == cluster["jobprio"] == {0: 0, 1: 5, 2: 5}
    assert cluster["OnlyTheirs"] == {0: None, 1: "x", 2: "x"}
    for name in ("NoSuchAttribute", "no attribute"):
        with pytest.raises(KeyError, match=name):
            _ = cluster[name]


def test_the_events_of_all_jobs_in_one_sequence_so_far_and_following() -> None:
    cluster = submitted({"executable": "/bin/sleep", "arguments": "0.2"}, 3)
    so_far = [event.job for event in cluster.events() if event.type is EventType.SUBMIT]
    assert so_far == [f"{cluster.id}.{proc}" for proc in range(3)]
    ends = [event for event in cluster.events(follow=True) if event.type is EventType.JOB_TERMINATED]
    assert sorted(event.job for event in ends) == so_far
    assert {event.job for event in cluster[1:].events()} - {str(cluster.id)} == {*so_far[1:]}


def test_the_events_of_several_logs_come_in_the_order_of_their_times() -> None:
    group = JobGroup.from_data({"executable": "/bin/true"}, [{"log": "a.log"}, {"log": "b.log"}])
    events = list(group.events(follow=True))
    assert [event.time for event in events] == sorted(event.time for event in events)
    assert sum(event.type is EventType.JOB_TERMINATED for event in events) == 2


def test_jobs_of_one_cluster_may_have_different_logs() -> None:
    cluster = submitted({"executable": "/bin/true", "log": "$(ProcId).log"}, 2)
    cluster.wait(30)
    texts = cluster.log()
    assert all(str(texts[proc]).count("Job terminated.\n") == 1 for proc in range(2))
    ends = [event.job for event in cluster.events() if event.type is EventType.JOB_TERMINATED]
    assert sorted(ends) == [f"{cluster.id}.0", f"{cluster.id}.1"]


def test_refresh_asks_for_all_ads_now_and_an_action_makes_them_old() -> None:
    cluster = submitted(HELD, 2)
    first = cluster.ad
    assert cluster.ad[0] is first[0]
    assert cluster[0].ad is first[0]
    assert cluster.refresh()[0] is not first[0]
    cluster.edit(JobPrio=3)
    assert {ad["JobPrio"] for ad in cluster.ad.values() if ad} == {3}


def test_suspend_continue_and_vacate_of_a_cluster() -> None:
    cluster = submitted(SLEEP, 2)
    assert cluster.wait(30, for_=JobStatus.RUNNING)
    assert cluster.suspend()["TotalSuccess"] == 2
    assert cluster.wait(30, for_=JobStatus.SUSPENDED)
    assert cluster[1].continue_()["TotalSuccess"] == 1
    assert cluster[1].wait(30, for_=JobStatus.RUNNING)
    while cluster[1].status is not JobStatus.RUNNING:  # the log is ahead of the schedd
        assert cluster[1].status is JobStatus.SUSPENDED
    assert cluster[1:].vacate()["TotalSuccess"] == 1


def test_an_action_on_a_whole_cluster_says_which_jobs_it_did_not_fit() -> None:
    cluster = submitted(SLEEP, 3)
    assert cluster[:2].wait(30, for_=JobStatus.RUNNING)
    totals = cluster.vacate()
    assert totals["TotalSuccess"] == 2
    assert totals.failed == {2: "it does not run: it is idle"}


def test_the_totals_are_all_that_htcondor_reports() -> None:
    totals = submitted(HELD, 2).release()
    assert repr(totals).startswith(
        "<ActionResult {'TotalSuccess': 2, 'TotalNotFound': 0, 'TotalBadStatus': 0, "
    )
    assert len(totals) == 8


def test_a_value_that_one_job_lacks_is_none_and_one_that_all_lack_an_error(done: JobCluster) -> None:
    Path("1.out").unlink()
    assert done.stdout() == {0: "out 0\n", 1: None, 2: "out 2\n"}
    with pytest.raises(StorageError, match=r"1\.out is not there"):
        done[1:2].stdout()


def test_a_cluster_without_a_log_says_so(pool: PersonalPool) -> None:
    cluster = submitted({**HELD, "log": ""}, 2)
    for ask in (cluster.log, cluster.events):
        with pytest.raises(StorageError, match="has no event log"):
            ask()


# -- and costs one question ------------------------------------------------------------------------------------


def test_each_answer_about_many_jobs_in_the_queue_is_one_question(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = submitted(HELD, 300)
    asked = count_questions(monkeypatch)
    for ask in (
        lambda: cluster.hold_reason,
        lambda: cluster.host,
        lambda: cluster.ad,
        lambda: cluster["Cmd"],
        lambda: list(cluster.events()),
        lambda: cluster.explain(),
        lambda: cluster.refresh(),
    ):
        asked.clear()
        ask()
        assert asked in ([], ["query"])
    asked.clear()
    assert len(cluster.log()) == 300
    assert asked == []


def test_the_output_of_jobs_that_have_ended_is_two_questions(
    done: JobCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = count_questions(monkeypatch)
    assert len(done.stdout()) == 3
    assert asked == ["query", "history"]


def test_why_many_jobs_wait_is_asked_for_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = submitted({**SLEEP, "request_memory": "1000000"}, 40)
    analysed: list[str] = []
    real = Condor.analyse
    monkeypatch.setattr(
        Condor, "analyse", lambda self, which, **more: analysed.append(which) or real(self, which, **more)
    )
    asked = count_questions(monkeypatch)
    texts = cluster.explain()
    assert (asked, len(analysed)) == (["query", "query"], 1)
    assert all("RequestMemory is 1000000" in text for text in texts.values())


def test_jobs_that_match_differently_are_explained_differently() -> None:
    cluster = JobCluster.from_text(
        "executable = /bin/sleep\narguments = 2000\nrequest_memory = $(m)\nqueue m in (1000000, 2000000)"
    )
    texts = cluster.explain()
    assert "RequestMemory is 1000000" in texts[0]
    assert "RequestMemory is 2000000" in texts[1]


def test_a_condition_on_jobs_is_two_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = submitted(HELD, 50)
    asked = count_questions(monkeypatch)
    chosen = cluster.select(where=lambda job: job["ProcId"] % 2 == 1 and job.status is JobStatus.HELD)
    assert list(chosen.status) == list(range(1, 50, 2))
    assert asked == ["query", "query", "query"]  # two of the selection, one of its status


# -- selections and groups -------------------------------------------------------------------------------------


def test_jobs_by_a_list_of_procs() -> None:
    cluster = submitted(HELD, 4)
    assert list(cluster[[3, 0]].status) == [3, 0]
    assert cluster[[0, 3]].release()["TotalSuccess"] == 2
    with pytest.raises(IndexError, match="none with the proc 9"):
        _ = cluster[[0, 9]]


def test_a_long_selection_with_gaps_is_just_these_jobs() -> None:
    cluster = submitted(HELD, 120)
    odd = cluster[1::2]
    assert odd.release()["TotalSuccess"] == 60
    assert cluster.select(JobStatus.HELD).edit(JobPrio=2)["TotalSuccess"] == 60
    assert sum(priority == 2 for priority in cluster["JobPrio"].values()) == 60


def test_a_group_answers_by_job(tmp_path: Path) -> None:
    run = script(tmp_path / "run", "echo $1; exit $1\n")
    group = JobGroup.from_data(
        {"executable": run, "output": "$(ClusterId)"}, [{"arguments": "3"}, {"arguments": "4"}]
    )
    assert group.wait(60)
    first, second = group
    assert group.exit_code == {first: 3, second: 4}
    assert group.stdout() == {first: "3\n", second: "4\n"}
    assert group["Args"] == {first: "3", second: "4"}
    assert group.explain()[second].endswith("it completed with exit code 4.")


def test_a_group_s_jobs_by_their_place() -> None:
    one, other = submitted(HELD, 2), submitted(HELD, 2)
    group = JobGroup([one, other])
    assert (group[0], group[-1]) == (one[0], other[1])
    assert [job.id for job in group[1:3]] == [one[1].id, other[0].id]
    with pytest.raises(IndexError, match="has 4 jobs, and none at 4"):
        _ = group[4]
    assert len(group.select(where=lambda job: job["ProcId"] == 1)) == 2


def test_a_union_with_jobs_and_clusters_has_each_job_once() -> None:
    one, other = submitted(HELD, 3), submitted(HELD, 3)
    group = JobGroup([one[0], one[0:2], one[1]])
    assert [job.id for job in group] == [one[0].id, one[1].id]
    assert len(group | other[2] | one) == 4
    assert len(other | group) == 5
    assert len(other[0] | group) == 3


def test_an_action_on_no_job_does_nothing() -> None:
    cluster = submitted(HELD, 2)
    for jobs in (cluster.select(JobStatus.RUNNING), JobGroup()):
        assert jobs.release()["TotalSuccess"] == 0
        assert jobs.edit(JobPrio=1)["TotalSuccess"] == 0
        assert jobs.wait(1)


def test_the_description_of_a_cluster_has_jobs_of_the_queue_and_of_the_history() -> None:
    cluster = JobCluster.from_text("executable = /bin/sleep\narguments = $(n)\nqueue n in (0, 2000)")
    cluster[0].wait(60)
    again = JobCluster.from_text(cluster.to_jdf(), hold=True)
    assert again["Args"] == {0: "0", 1: "2000"}


# -- factories -------------------------------------------------------------------------------------------------


def test_a_factory_answers_for_jobs_that_it_has_not_made_yet() -> None:
    cluster = submitted({**SLEEP, "max_idle": "1"}, 5)
    assert cluster["Args"] == dict.fromkeys(range(5), "2000")
    assert cluster.ad[4] is not None
    assert cluster.ad[4]["ProcId"] == 4
    assert cluster.stdout() == dict.fromkeys(range(5), "")
    assert "factory has not made it yet" in cluster.explain()[4]
    assert cluster.log()[0] != cluster.log()[4]


def test_the_totals_of_a_factory_count_the_cluster_itself(pool: PersonalPool) -> None:
    cluster = submitted({**SLEEP, "max_idle": "2"}, 20)
    held = cluster.hold()
    made = connect(pool.address).query(f"ClusterId == {cluster.id}")  # no more, while it is on hold
    assert held["TotalSuccess"] == len(made) + 1
    assert cluster.counts == {JobStatus.HELD: 20}
    assert cluster.hold().failed == {ad["ProcId"]: "it is on hold already" for ad in made}
    assert cluster.release()["TotalSuccess"] == held["TotalSuccess"]
    assert JobStatus.HELD not in cluster.counts
    assert cluster.remove()["TotalSuccess"] >= held["TotalSuccess"]  # it may have gone on meanwhile
    assert cluster.wait(30)
    assert cluster.counts == {JobStatus.REMOVED: 20}


def test_an_edit_of_a_factory_reaches_the_jobs_that_it_makes_later() -> None:
    cluster = submitted({**SLEEP, "arguments": "0", "max_idle": "1"}, 6)
    cluster.hold()
    others = submitted(HELD, 2)
    totals = JobGroup([cluster, others]).edit(JobPrio=8, Note="ä")
    assert not totals.failed
    assert totals["TotalSuccess"] >= 1 + 2
    assert cluster[5:].edit(JobPrio=9).failed == {5: "its factory has not made it yet"}
    cluster.release()
    assert cluster.wait(60)
    assert set(cluster["Note"].values()) == set(others["Note"].values()) == {"ä"}
    assert set(cluster["JobPrio"].values()) == {8}


def test_actions_on_some_jobs_of_a_factory_leave_the_factory_alone() -> None:
    cluster = submitted({**SLEEP, "max_idle": "1"}, 6)
    assert cluster[0:1].hold("just this")["TotalSuccess"] == 1
    assert cluster.select(JobStatus.HELD)[:].status == {0: JobStatus.HELD}
    assert cluster[0].release()["TotalSuccess"] == 1
    rest = cluster[1:].remove()
    assert rest.failed[5] == "its factory has not made it yet"
    assert cluster.status[5] is JobStatus.IDLE


# -- what a schedd forgets --------------------------------------------------------------------------------------


def test_a_job_that_the_schedd_has_left_out_after_a_release_runs_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Released while it was still being stopped, and the list of jobs that can run made without it meanwhile."""
    stubborn = """"-c 'trap : TERM; while :; do sleep 0.1; done'\""""
    (job,) = submitted({"executable": "/bin/sh", "arguments": stubborn, "job_max_vacate_time": "3"})
    assert job.wait(60, for_=JobStatus.RUNNING)
    job.hold()
    job.release()
    assert submitted({"executable": "/bin/true"}).wait(60)
    assert job.wait(60, for_=JobStatus.RUNNING)


# -- arguments of a wrong type ---------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["held", [0, 1], 5, [JobStatus.HELD, 2], 1.5])
def test_a_selection_is_by_states_and_not_by_numbers(status: object) -> None:
    cluster = submitted(HELD, 2)
    for jobs in (cluster, JobGroup([cluster])):
        with pytest.raises(InvalidInputError, match="status is a JobStatus"):
            jobs.select(status)  # type: ignore[arg-type]


@pytest.mark.parametrize("which", [1.5, None, (0, 1), True, [0.5]])
def test_what_chooses_no_jobs_is_refused(which: object) -> None:
    cluster = submitted(HELD, 2)
    for jobs in (cluster, JobGroup([cluster])):
        with pytest.raises(InvalidInputError, match="and nothing for"):
            jobs[which]  # type: ignore[call-overload]


def test_arguments_of_a_wrong_type_are_refused() -> None:
    cluster = submitted(HELD, 2)
    for message, call in [
        ("a reason is text", lambda: cluster.hold(7)),  # type: ignore[arg-type]
        ("a reason is text", lambda: cluster[0].remove(None)),  # type: ignore[arg-type]
        ("timeout", lambda: cluster.events(timeout="x")),  # type: ignore[arg-type]
        ("timeout", lambda: cluster[0].events(follow=True, timeout="x")),  # type: ignore[arg-type]
        ("for_ is", lambda: cluster.wait(for_=[])),
        ("where is a function", lambda: cluster.select(where=3)),  # type: ignore[arg-type]
        ("expressions are", lambda: cluster.edit(expressions={"JobPrio": 3})),  # type: ignore[dict-item]
        ("expressions are", lambda: cluster.edit(expressions=["JobPrio"])),  # type: ignore[arg-type]
        ("no attribute to edit", lambda: cluster.edit()),
        ("from_ad takes", lambda: Job.from_ad(3)),  # type: ignore[arg-type]
        ("no ClusterId", lambda: Job.from_ad({"ClusterId": True, "ProcId": 0})),
        ("overrides are mappings", lambda: JobGroup.from_data(HELD, None)),  # type: ignore[arg-type]
        ("overrides are mappings", lambda: JobGroup.from_data(HELD, {"arguments": "1"})),  # type: ignore[arg-type]
        ("overrides are mappings", lambda: JobGroup.from_data(HELD, ["arguments"])),  # type: ignore[list-item]
        ("not a NoneType", lambda: JobGroup.from_data(HELD, [{"arguments": None}])),
        ("takes the path", lambda: JobCluster.from_jdf(3)),  # type: ignore[arg-type]
        ("takes the path", lambda: JobGroup.from_jdf(None)),  # type: ignore[arg-type]
        ("takes text", lambda: JobGroup.from_text(Path("x"))),  # type: ignore[arg-type]
        ("not a NoneType", lambda: JobCluster.from_text("executable = /bin/true", arguments=None)),
        ("not a list", lambda: JobCluster.from_text("executable = /bin/true", arguments=["a"])),
        ("JobGroups, JobClusters and Jobs", lambda: JobGroup(3)),  # type: ignore[arg-type]
    ]:
        with pytest.raises(InvalidInputError, match=message):
            call()
    assert cluster.counts == {JobStatus.HELD: 2}


def test_a_group_cannot_be_united_with_something_else() -> None:
    with pytest.raises(TypeError):
        JobGroup() | 3  # type: ignore[operator]


def test_ads_that_nobody_has_are_an_error() -> None:
    job = Job.from_ad({"ClusterId": 999999, "ProcId": 0})
    job._cluster.ads.clear()
    with pytest.raises(NoSuchJobError, match=r"999999\.0 has no ad"):
        _ = job.ad
