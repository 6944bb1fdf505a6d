"""Job at a prompt: submitted, looked at, steered, waited for, and answering after it has left the queue."""

from __future__ import annotations

import doctest
import re
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from condormap import Job, JobCluster, JobStatus, PersonalPool
from condormap.condor import Condor, connect
from condormap.errors import (
    InvalidInputError,
    JobHeldError,
    JobRemovedError,
    NoSuchJobError,
    RefusedError,
    StorageError,
    SubmitRefusedError,
    UnsubmittedJobError,
)
from condormap.events import EventType
from condormap.jobs.actions import literal
from condormap.jobs.explain import explain

pytestmark = pytest.mark.usefixtures("at_a_prompt")

SLEEP = {"executable": "/bin/sleep", "arguments": "2000"}
TRUE = {"executable": "/bin/true"}


@pytest.fixture
def condor(pool: PersonalPool) -> Condor:
    return connect(pool.address)


def submitted(commands: dict[str, str] | str) -> Job:
    job = Job(commands)
    job.submit()
    return job


def script(path: Path, text: str) -> str:
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


# Word for word what must work; 78 stands for the number of a cluster.
SESSION = """
>>> from condormap import Job, JobCluster, JobGroup
>>> j = Job({"Executable": "/bin/sleep", "Arguments": "2000"})
>>> j.submit()
78
>>> j.status            # prints readably, compares equal to HTCondor's number
<JobStatus.IDLE: 1>
>>> j.hold()            # TotalSuccess and the other totals, as HTCondor reports them
>>> j.status
<JobStatus.HELD: 5>
>>> j.remove()
>>> c = JobCluster.from_jdf("jdfs/sleep.job")     # submits, as condor_submit would
>>> c.status
{0: <JobStatus.RUNNING: 2>, 1: ..., 2: ..., 3: ...}
>>> c.wait()
"""


def test_the_session_word_for_word(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = script(tmp_path / "run", "while [ ! -e go ]; do sleep 0.05; done\n")
    (tmp_path / "jdfs").mkdir()
    (tmp_path / "jdfs/sleep.job").write_text(f"executable = {run}\nqueue 4\n")
    others = JobCluster(SLEEP, 2)
    others.submit()
    assert others.wait(60, for_=JobStatus.RUNNING)  # so that j stays idle, for the pool has two cpus

    names: dict[str, Any] = {}
    printed: dict[str, str] = {}
    for example in doctest.DocTestParser().get_examples(SESSION):
        if example.source.startswith("c.status"):
            others.remove()
            assert names["c"][0].wait(60, for_=JobStatus.RUNNING)
        if example.source.startswith("c.wait"):
            (tmp_path / "go").touch()
        exec(compile(example.source, "<session>", "single"), names)
        got = printed[example.source.split("#")[0].strip()] = capsys.readouterr().out
        want = got if not example.want else re.sub(r"^78$", "...", example.want)
        assert doctest.OutputChecker().check_output(want, got, doctest.ELLIPSIS), (example.source, got)
    assert int(printed["j.submit()"]) == names["j"]["ClusterId"]
    for action in ("j.hold()", "j.remove()"):
        assert all(
            total in printed[action] for total in ("'TotalSuccess': 1", "'TotalNotFound': 0", "TotalError")
        )
    assert printed["c.wait()"] == "True\n"
    assert names["j"].status == 3


# -- from commands, text, ads, the queue, the history ----------------------------------------------------------


def test_submit_returns_the_cluster_and_gives_the_job_its_id() -> None:
    job = Job(SLEEP)
    cluster = job.submit()
    assert job.id == f"{cluster}.0"
    assert repr(job) == f"<Job {cluster}.0>"


def test_a_job_from_text_with_or_without_a_queue_statement() -> None:
    for text in ("executable = /bin/true\nhold = true\n", "executable = /bin/true\nhold = true\nqueue\n"):
        assert submitted(text).status is JobStatus.HELD


def test_text_that_makes_several_jobs_is_refused_and_the_error_names_the_cluster() -> None:
    with pytest.raises(InvalidInputError, match=r"JobCluster\.from_text"):
        Job("executable = /bin/true\nqueue 2\n")


@pytest.mark.parametrize(
    ("commands", "message"),
    [
        ({"executable": "/bin/true\nqueue 5"}, "newline"),
        ({"executable = /bin/true\nqueue 5": "x"}, "no submit command"),
        ({"queue": "5"}, "a statement of job description files"),
        ({"Include": "x"}, "a statement of job description files"),
        ({"executable": "/bin/true\\"}, "backslash"),
        ({"executable": ["/bin/true"]}, "not a list"),
        ({1: "x"}, "no submit command"),
        (7, "mapping or text"),
    ],
)
def test_commands_that_would_not_stay_one_command_are_refused(commands: object, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        Job(commands)  # type: ignore[arg-type]


def test_an_executable_that_is_not_there_is_refused_before_anything_is_submitted(condor: Condor) -> None:
    with pytest.raises(InvalidInputError, match="/no/such/program"):
        Job({"executable": "/no/such/program"}).submit()
    assert condor.query("true") == []


def test_what_htcondor_refuses_is_an_error_of_the_submit() -> None:
    with pytest.raises(SubmitRefusedError):
        Job({**TRUE, "request_memory": "lots of it"}).submit()


def test_a_job_is_submitted_once() -> None:
    job = submitted(SLEEP)
    with pytest.raises(InvalidInputError, match="submitted already"):
        job.submit()


def test_a_job_that_was_not_submitted_says_so() -> None:
    job = Job(SLEEP)
    assert "not submitted" in repr(job)
    for ask in (
        lambda: job.status,
        lambda: job.id,
        lambda: job.ad,
        job.hold,
        job.wait,
        job.explain,
        job.stdout,
    ):
        with pytest.raises(UnsubmittedJobError, match="submit"):
            ask()


def test_a_job_of_the_queue_by_its_id_in_each_form() -> None:
    job = submitted(SLEEP)
    cluster = int(job.id.split(".")[0])
    for name in (job.id, (cluster, 0), cluster, str(cluster)):
        assert Job.from_queue(name) == job


def test_a_job_of_the_history_by_its_id(tmp_path: Path) -> None:
    job = submitted({"executable": script(tmp_path / "run", "exit 3\n")})
    job.wait(30)
    again = Job.from_queue(job.id)
    assert again.status is JobStatus.COMPLETED
    assert again.exit_code == 3


def test_an_id_that_nobody_has_is_no_such_job() -> None:
    with pytest.raises(NoSuchJobError, match=r"1000000\.3 is neither in the queue"):
        Job.from_queue("1000000.3")


@pytest.mark.parametrize("name", ["x", "1.2.3", -1, (1,), 1.5, None, True])
def test_what_is_no_id_is_refused(name: object) -> None:
    with pytest.raises(InvalidInputError, match="a job's id is"):
        Job.from_queue(name)  # type: ignore[arg-type]


def test_a_cluster_s_id_is_no_job_s_when_it_has_several() -> None:
    cluster = JobCluster(SLEEP, 2)
    with pytest.raises(InvalidInputError, match=r"JobCluster\.from_queue"):
        Job.from_queue(cluster.submit())


def test_a_job_from_an_ad_of_a_query(condor: Condor) -> None:
    job = submitted(SLEEP)
    (ad,) = condor.query("true")
    again = Job.from_ad(ad)
    assert again == job
    assert again["cmd"] == "/bin/sleep"
    assert again.hold()["TotalSuccess"] == 1


def test_an_ad_without_an_id_is_no_job_s() -> None:
    with pytest.raises(InvalidInputError, match="ClusterId"):
        Job.from_ad({"Cmd": "/bin/true"})


# -- its ad ----------------------------------------------------------------------------------------------------


def test_attributes_by_name_in_any_case() -> None:
    job = submitted(SLEEP)
    assert job["Cmd"] == job["cmd"] == job.ad["CMD"] == "/bin/sleep"
    assert "NoSuchAttribute" not in job.ad
    with pytest.raises(KeyError, match="NoSuchAttribute"):
        _ = job["NoSuchAttribute"]


def test_the_ad_is_asked_for_once_in_a_moment_and_again_after_an_action(
    condor: Condor, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submitted({**SLEEP, "hold": "true"})
    assert job.ad is job.ad
    before = job.ad
    assert job.refresh() is not before
    job.release()
    assert job["JobStatus"] != JobStatus.HELD


def test_edit_changes_attributes_by_values_and_by_expressions() -> None:
    job = submitted({**SLEEP, "hold": "true"})
    text = 'a "quoted" \\ text'
    assert job.edit(JobPrio=7, MyNote=text, expressions={"MyDouble": "JobPrio * 2"})["TotalSuccess"] == 1
    assert (job["JobPrio"], job["MyNote"], job["MyDouble"]) == (7, text, "JobPrio * 2")


@pytest.mark.parametrize(
    "text",
    ["Käse, 5 €", "日本語", "a\\", "\\303\\244", "\\\\", '"', '\\"é\\"', "it's $(x) # {1; 2}", " ", ""],
)
def test_a_text_comes_back_from_the_ad_as_it_was_given(text: str) -> None:
    job = submitted({**SLEEP, "hold": "true"})
    job.edit(MyText=text)
    assert job["MyText"] == Job.from_queue(job.id)["MyText"] == text
    edit = lambda: job.edit(MyTexts=[text, 1], expressions={"MyText": f"{{{literal('', text)}, JobPrio}}"})  # noqa: E731
    if text.endswith("\\"):  # that HTCondor's syntax cannot tell from a quotation mark in the text
        with pytest.raises(InvalidInputError, match="ends in a backslash"):
            edit()
    else:
        edit()
        assert (job["MyTexts"], job["MyText"]) == ([text, 1], [text, "JobPrio"])


def test_an_attribute_that_may_not_be_changed_is_refused() -> None:
    with pytest.raises(RefusedError):
        submitted(SLEEP).edit(Owner="somebody")


def test_a_value_that_no_classad_has_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="set is no ClassAd value"):
        submitted(SLEEP).edit(JobPrio={1})


# -- actions ---------------------------------------------------------------------------------------------------


def test_hold_and_release_and_their_reasons() -> None:
    job = submitted(SLEEP)
    job.hold("lunch")
    assert job.hold_reason is not None
    assert job.hold_reason.startswith("held by a user (code 1, subcode 0): lunch")
    job.release()
    assert job.hold_reason is None


def test_suspend_continue_and_vacate_of_a_running_job() -> None:
    job = submitted(SLEEP)
    assert job.wait(30, for_=JobStatus.RUNNING)
    assert job.host
    assert job.suspend()["TotalSuccess"] == 1
    assert job.wait(10, for_=JobStatus.SUSPENDED)
    assert job.continue_()["TotalSuccess"] == 1
    assert job.wait(10, for_=JobStatus.RUNNING)
    while (status := job.status) is not JobStatus.RUNNING:  # the log is ahead of the schedd
        assert status is JobStatus.SUSPENDED
    assert job.vacate()["TotalSuccess"] == 1
    assert job.wait(10, for_=JobStatus.IDLE)


def test_an_action_that_does_not_fit_the_state_says_why_and_raises_nothing() -> None:
    job = submitted({**SLEEP, "hold": "true"})
    assert job.suspend().failed[0].startswith("it does not run: it is on hold")
    job.hold()
    assert job.hold().failed == {0: "it is on hold already"}
    job.release()
    assert job.release().failed[0].startswith("it is not on hold")


def test_an_action_on_a_job_that_is_gone_says_how_it_ended() -> None:
    job = submitted(TRUE)
    job.wait(30)
    for act in (job.hold, job.remove, lambda: job.edit(JobPrio=1)):
        with pytest.raises(NoSuchJobError, match="it completed with exit code 0"):
            act()


# -- waiting ---------------------------------------------------------------------------------------------------


def test_wait_is_false_when_the_time_passes_first() -> None:
    assert submitted(SLEEP).wait(0.2) is False


def test_waiting_for_a_held_job_raises_what_it_is_held_for() -> None:
    job = submitted({**SLEEP, "hold": "true"})
    with pytest.raises(JobHeldError, match="code 15") as caught:
        job.wait(30)
    assert (caught.value.job, caught.value.code) == (job.id, 15)
    assert job.wait(30, holds_ok=True)


def test_a_hold_during_the_wait_ends_it() -> None:
    job = submitted({**SLEEP, "periodic_hold": "JobStatus == 2", "periodic_hold_reason": '"too hot"'})
    with pytest.raises(JobHeldError, match="too hot"):
        job.wait(60)


def test_a_job_that_was_removed_by_someone_else_says_so(condor: Condor) -> None:
    job = submitted(SLEEP)
    condor.act("remove", jobs=[job.id], reason="the cleaner")
    with pytest.raises(JobRemovedError, match=r"the cleaner \(by user"):
        job.wait(30)
    assert job.status is JobStatus.REMOVED
    assert job.remove_reason is not None
    assert "the cleaner" in job.remove_reason
    assert "the cleaner" in job.explain()


def test_a_job_that_was_removed_here_is_waited_for_without_an_error() -> None:
    job = submitted(SLEEP)
    job.remove()
    assert job.wait(30)


def test_waiting_for_what_cannot_come_any_more_is_false() -> None:
    job = submitted(TRUE)
    job.wait(30)
    assert job.wait(30, for_=JobStatus.RUNNING)  # it has run
    assert not job.wait(30, for_=JobStatus.HELD)


def test_for_what_to_wait_is_checked() -> None:
    job = submitted(SLEEP)
    for for_ in ("some", 77, [77], 1.5):
        with pytest.raises(InvalidInputError, match="for_ is"):
            job.wait(1, for_=for_)  # type: ignore[arg-type]


def test_a_wait_with_a_log_asks_the_schedd_once(monkeypatch: pytest.MonkeyPatch) -> None:
    job = submitted({"executable": "/bin/sleep", "arguments": "1"})
    questions = count_questions(monkeypatch)
    assert job.wait(30)
    assert questions == ["query"]


def test_a_wait_without_a_log_asks_ever_less_often(
    pool: PersonalPool, monkeypatch: pytest.MonkeyPatch, condor: Condor
) -> None:
    name = condor.ping().schedd
    stuck = JobCluster({**SLEEP, "requirements": "time() < 0"}, 2, pool=pool, schedd=name)
    cluster = JobCluster({"executable": "/bin/sleep", "arguments": "1"}, 2, pool=pool, schedd=name)
    for each in (stuck, cluster):
        each.submit()
        assert "UserLog" not in each[0].ad
    questions = count_questions(monkeypatch)
    assert not stuck.wait(4)
    assert 2 <= questions.count("query") <= 8  # after 0.25, 0.4, 0.6 s...
    assert cluster.wait(60)


def count_questions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note what the schedd is asked from now on; the questions are asked all the same."""
    asked: list[str] = []
    for name in ("query", "history"):
        real = getattr(Condor, name)

        def noted(
            self: Condor, *args: object, name: str = name, real: object = real, **more: object
        ) -> object:
            asked.append(name)
            return real(self, *args, **more)  # type: ignore[operator]

        monkeypatch.setattr(Condor, name, noted)
    return asked


# -- what it wrote, and its history ----------------------------------------------------------------------------


def test_output_errors_and_exit_code(tmp_path: Path) -> None:
    run = script(tmp_path / "run", "echo out; echo err >&2; exit 4\n")
    job = Job({"executable": run, "output": "o.txt", "error": "$(ClusterId).txt"})
    job.submit()
    assert job.exit_code is None
    assert job.wait(30)
    assert (job.stdout(), job.stderr(), job.exit_code) == ("out\n", "err\n", 4)


def test_a_signal_is_no_exit_code(tmp_path: Path) -> None:
    job = submitted({"executable": script(tmp_path / "run", "kill -9 $$\n")})
    job.wait(30)
    assert (job.exit_code, job.exit_signal) == (None, 9)


def test_output_before_the_job_ran_is_empty_and_output_that_is_gone_an_error(tmp_path: Path) -> None:
    job = submitted({**TRUE, "output": "o.txt", "hold": "true"})
    assert job.stdout() == job.stderr() == ""
    job.release()
    job.wait(30)
    (tmp_path / "o.txt").unlink()
    with pytest.raises(StorageError, match=r"o\.txt is not there"):
        job.stdout()


def test_the_events_so_far_and_following() -> None:
    job = submitted({"executable": "/bin/sleep", "arguments": "1"})
    assert [event.type for event in job.events()][:1] == [EventType.SUBMIT]
    types = [event.type for event in job.events(follow=True)]
    assert types[0] == 0
    assert types[-1] == EventType.JOB_TERMINATED
    assert "EXECUTE" in str(next(event for event in job.events() if event.type == 1))


def test_following_events_ends_with_the_time() -> None:
    job = submitted({**SLEEP, "hold": "true"})
    assert [event.type for event in job.events(follow=True, timeout=0.3)] == [EventType.SUBMIT]


def test_the_log_is_the_job_s_own_part_of_a_shared_log(tmp_path: Path) -> None:
    first, second = (submitted({**TRUE, "log": "shared.log", "hold": "true"}) for _ in range(2))
    assert first.log().count("Job submitted") == 1
    assert second.log() in (tmp_path / "shared.log").read_text()


def test_a_job_without_a_log_of_its_own_gets_one_in_condormap_s_folder(condormap_home: Path) -> None:
    assert Path(submitted(SLEEP)["UserLog"]).parent == condormap_home / "logs"


def test_a_job_without_any_log_says_so(pool: PersonalPool, condor: Condor) -> None:
    job = Job(SLEEP, pool=pool, schedd=condor.ping().schedd)
    job.submit()
    with pytest.raises(StorageError, match="has no event log"):
        job.log()


def test_a_job_that_left_the_queue_keeps_answering(tmp_path: Path) -> None:
    job = submitted({**TRUE, "output": "o.txt"})
    job.wait(30)
    assert job.status is JobStatus.COMPLETED
    assert job.exit_code == 0
    assert job["ExitCode"] == 0
    assert job.host
    assert job.log()
    assert job.explain() == f"Job {job.id}: it completed with exit code 0."


# -- explain ---------------------------------------------------------------------------------------------------


def test_explain_names_the_clause_that_no_slot_fulfils() -> None:
    job = submitted({**SLEEP, "request_memory": "1000000"})
    text = job.explain()
    assert "None of the pool's" in text
    assert "RequestMemory is 1000000; the slots' Memory is at most 4096" in text


def test_explain_takes_requirements_apart_as_htcondor_reads_them() -> None:
    requirements = '(Memory > 1 && (Arch == "No && Such" || OpSys == "NONE")) && (true ? Cpus > 0 : false)'
    text = submitted({**SLEEP, "requirements": requirements}).explain()
    assert '0 of 32 fulfil  Arch == "No && Such" || OpSys == "NONE"' in text
    assert "Cpus > 0" not in text


def test_explain_of_a_job_that_waits_for_its_turn() -> None:
    cluster = JobCluster(SLEEP, 3)
    cluster.submit()
    assert cluster[0:2].wait(60, for_=JobStatus.RUNNING)
    assert "The schedd runs 2 jobs, and it may run 2 at once" in cluster[2].explain()


def test_explain_of_a_held_job_says_what_to_do() -> None:
    job = submitted({**SLEEP, "hold": "true"})
    assert "What to do: " in job.explain()


@pytest.mark.parametrize(
    ("code", "subcode", "words"),
    [
        (34, 102, "edit(RequestMemory=...) asks for more"),
        (21, 102, "edit(RequestMemory=...) asks for more"),
        (34, 104, "edit(RequestDisk=...) asks for more"),
        (6, 2, "release() it; or submit() another"),
        (22, 0, "make its event log writable"),
        (99, 0, "mend the reason and release() it"),
    ],
)
def test_the_advice_about_a_hold_is_for_plain_jobs(
    code: int, subcode: int, words: str, pool: PersonalPool
) -> None:
    ad = {"ClusterId": 1, "ProcId": 0, "JobStatus": 5, "HoldReasonCode": code, "HoldReasonSubCode": subcode}
    job = Job.from_ad(ad, pool=pool)
    (text,) = explain(job._parts()).values()
    assert words in text
    assert "map" not in text
    assert "memory=" not in text


def test_the_error_of_a_held_job_says_what_to_do_with_a_plain_job() -> None:
    job = submitted({**TRUE, "executable": "/no/such", "transfer_executable": "false"})
    with pytest.raises(
        JobHeldError, match=r"code 6, subcode 2.*It stays in the queue: put the program.* release\(\)"
    ):
        job.wait(60)


def test_explain_of_a_job_that_is_to_start_later() -> None:
    later = int(time.time()) + 3600
    text = submitted({**SLEEP, "deferral_time": str(later)}).explain()
    assert "It is not to start before " in text
    assert "fulfil" not in text
    assert "What to do" not in text
    text = submitted({**SLEEP, "deferral_time": str(later), "request_memory": "1000000"}).explain()
    assert "RequestMemory is 1000000" in text
    assert "DeferralTime" not in text


def test_a_job_as_html() -> None:
    job = submitted({**SLEEP, "hold": "true", "output": "<o>"})
    assert f"<td>{job.id}</td><td>HELD</td>" in job._repr_html_()
    assert "&lt;o&gt;" in Job({**SLEEP, "output": "<o>"})._repr_html_()


def test_an_edit_is_seen_at_once_and_takes_lists(pool: PersonalPool) -> None:
    j = Job({"executable": "/bin/sleep", "arguments": "60", "hold": "true"}, pool=pool)
    j.submit()
    try:
        assert j["JobPrio"] == 0
        j.edit(JobPrio=9, Numbers=[1, 2])
        assert (j["JobPrio"], j["Numbers"]) == (9, [1, 2])
        for wrong in (2**70, float("nan"), "two\nlines"):
            with pytest.raises(InvalidInputError):
                j.edit(Wrong=wrong)
    finally:
        j.remove()


def test_a_time_out_that_is_no_number_is_refused(pool: PersonalPool) -> None:
    j = Job({"executable": "/bin/true"}, pool=pool)
    j.submit()
    for wrong in (float("nan"), "x"):
        with pytest.raises(InvalidInputError, match="timeout"):
            j.wait(wrong)
    j.wait(30)
