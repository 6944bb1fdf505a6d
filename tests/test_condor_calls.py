"""Submit, act, edit and ask, on a real pool."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from condormap import errors
from condormap.address import PoolAddress
from condormap.condor import Action, Condor, Submitted, connect
from condormap.pool.personal import PersonalPool

NEVER = "executable = /bin/true\nrequirements = false\nrequest_memory = 1\ninitialdir = /tmp\n"
Submit = Callable[..., Submitted]


@pytest.fixture
def condor(pool: PersonalPool) -> Condor:
    return connect(pool.address)


@pytest.fixture
def submit(condor: Condor) -> Iterator[Submit]:
    """Submit jobs that never start, and remove them after the test."""
    ids: list[str] = []

    def submit(description: str = NEVER, **options: object) -> Submitted:
        ids.append(uuid.uuid4().hex)
        return condor.submit(description, submission_id=ids[-1], **options)  # type: ignore[arg-type]

    yield submit
    for each in ids:
        condor.act("remove", constraint=f'CondormapSubmission == "{each}"')


def jobs(condor: Condor, submitted: Submitted, *attributes: str) -> list[dict[str, object]]:
    ads = condor.query(f"ClusterId == {submitted.cluster}", ["ProcId", *attributes])
    return sorted(ads, key=lambda ad: ad["ProcId"])


def test_rows_become_the_variables_of_the_jobs(condor, submit):
    rows = [{"first": f"{i}", "second": f"a-b_c.{i}"} for i in range(5)]
    submitted = submit(NEVER + "arguments = $(first) $(second)", rows=rows)
    assert (submitted.first_proc, submitted.n_procs, submitted.warnings) == (0, 5, ())
    arguments = [
        job["Arguments"] if "Arguments" in job else job["Args"]
        for job in jobs(condor, submitted, "Args", "Arguments")
    ]
    assert arguments == [f"{i} a-b_c.{i}" for i in range(5)]


def test_count_is_the_number_of_jobs_and_of_jobs_for_each_row(submit):
    assert submit().n_procs == 1
    assert submit(count=3).n_procs == 3
    assert submit(rows=[{"x": "1"}, {"x": "2"}], count=3).n_procs == 6


def test_a_factory_makes_its_jobs_as_it_goes(condor, submit):
    submitted = submit(NEVER + "max_idle = 2", rows=[{"x": str(i)} for i in range(10)])
    assert submitted.n_procs == 10

    def cluster_and_jobs() -> tuple[dict[str, object], int]:
        wanted = ["ProcId", "TotalSubmitProcs"]
        ads = condor.query(f"ClusterId == {submitted.cluster}", wanted, cluster_ads=True)
        (cluster,) = [ad for ad in ads if "ProcId" not in ad]
        return cluster, len(ads) - 1

    while not cluster_and_jobs()[1]:  # the schedd makes the first ones soon after the submit
        time.sleep(0.01)
    cluster, n_jobs = cluster_and_jobs()
    assert cluster["TotalSubmitProcs"] == 10
    assert 0 < n_jobs <= 2


def test_a_submission_is_found_in_the_queue_before_its_first_job_and_in_the_history(condor, submit):
    submission_id = uuid.uuid4().hex
    submitted = condor.submit(NEVER + "max_idle = 1", count=2, submission_id=submission_id)
    assert condor.find_submission(submission_id) == submitted.cluster
    condor.act("remove", jobs=[str(submitted.cluster)])
    while condor.query(f"ClusterId == {submitted.cluster}", cluster_ads=True):
        time.sleep(0.02)
    assert condor.find_submission(submission_id) == submitted.cluster
    assert condor.find_submission(submission_id, since=time.time() + 60) is None
    assert condor.find_submission("no-such-submission") is None


def test_relative_paths_of_a_description_are_the_caller_s(condor, submit, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    submitted = submit(NEVER.replace("initialdir = /tmp\n", ""))
    assert jobs(condor, submitted, "Iwd")[0]["Iwd"] == str(tmp_path)


def test_a_job_runs_and_its_events_and_history_tell(condor, tmp_path):
    log = tmp_path / "log"
    submitted = condor.submit(
        f"executable = /bin/true\nlog = {log}\ninitialdir = {tmp_path}\nshould_transfer_files = NO\n"
        "request_memory = 1\nrequest_disk = 1\n",
        submission_id=uuid.uuid4().hex,
    )
    types: list[int] = []
    offset = 0
    until = time.monotonic() + 60
    while 5 not in types and time.monotonic() < until:
        batch = condor.events(log, offset)
        types += [event.type for event in batch.events]
        offset = batch.offset
        time.sleep(0.01)
    assert types[0] == 0
    assert types[-1] == 5
    while not (ads := condor.history(f"ClusterId == {submitted.cluster}", ["ExitCode"], limit=1)):
        time.sleep(0.02)
    assert ads[0]["ExitCode"] == 0


@pytest.mark.parametrize("given", ["jobs", "clusters", "constraint"])
def test_jobs_are_held_and_released(given, condor, submit):
    cluster = submit(count=2).cluster
    which: dict[str, object] = {
        "jobs": {"jobs": [f"{cluster}.0", f"{cluster}.1"]},
        "clusters": {"jobs": [str(cluster)]},
        "constraint": {"constraint": f"ClusterId == {cluster}"},
    }[given]
    assert condor.act("hold", **which)["TotalSuccess"] >= 2
    held = condor.query(f"ClusterId == {cluster}", ["JobStatus"])
    assert [job["JobStatus"] for job in held] == [5, 5]
    condor.act(Action.RELEASE, **which)
    assert [job["JobStatus"] for job in condor.query(f"ClusterId == {cluster}", ["JobStatus"])] == [1, 1]


@pytest.mark.parametrize("reason", ["plain", 'with "quotes" in it', "C:\\path\\", "ünïcödé 'x'", 'a\\"b'])
def test_the_reason_of_an_action_reaches_the_job(reason, condor, submit):
    submitted = submit()
    condor.act("hold", jobs=[f"{submitted.cluster}.0"], reason=reason)
    said = str(jobs(condor, submitted, "HoldReason")[0]["HoldReason"])
    assert said.startswith(reason)


def test_a_reason_of_several_lines_is_put_on_one(condor, submit):
    submitted = submit()
    condor.act("hold", jobs=[f"{submitted.cluster}.0"], reason="one\ntwo")
    assert str(jobs(condor, submitted, "HoldReason")[0]["HoldReason"]).startswith("one two")


def test_an_action_on_a_job_that_is_not_there_is_counted(condor):
    assert condor.act("hold", jobs=["999999.0"])["TotalNotFound"] == 1


def test_edit_changes_this_users_jobs_and_counts_them(condor, submit):
    submitted = submit(count=3)
    edited = condor.edit({"Note": '"a"', "Twice": "2 * RequestMemory"}, jobs=[str(submitted.cluster)])
    assert edited == 3
    assert jobs(condor, submitted, "Note", "Twice")[2]["Note"] == "a"
    assert condor.edit({"Note": "1"}, jobs=["999999"]) == 0


def test_edit_of_cluster_ads_changes_what_a_factory_makes_later_too(condor, submit):
    submitted = submit(NEVER + "max_materialize = 1", count=3)
    which = {"jobs": [str(submitted.cluster)], "cluster_ads": True}
    assert condor.edit({"RequestMemory": "7"}, **which) == 1  # the jobs that it has made are counted
    condor.act("remove", jobs=[f"{submitted.cluster}.0"])
    until = time.monotonic() + 20
    while [job["ProcId"] for job in jobs(condor, submitted)] != [1]:
        assert time.monotonic() < until
        time.sleep(0.05)
    assert jobs(condor, submitted, "RequestMemory")[0]["RequestMemory"] == 7


def test_an_attribute_that_may_not_be_changed_is_refused_by_name(condor, submit):
    with pytest.raises(errors.RefusedError, match="immutable attribute ClusterId"):
        condor.edit({"ClusterId": "7"}, jobs=[str(submit().cluster)])


def test_values_of_ads_are_plain(condor, submit):
    submitted = submit(
        NEVER + 'MY.Text = "x"\nMY.List = {1, "a"}\nMY.Nested = [ a = 1 ]\nMY.Later = TARGET.Foo + 1\n'
        "MY.Nothing = undefined\nMY.Real = 1.5\nMY.Yes = true"
    )
    names = ["Text", "List", "Nested", "Later", "Nothing", "Real", "Yes"]
    job = jobs(condor, submitted, *names)[0]
    assert [job[name] for name in names if name != "Later"] == ["x", [1, "a"], {"a": 1}, None, 1.5, True]
    assert job["Later"] is None or "Foo" in str(job["Later"])


def test_the_schedd_says_who_we_are(condor):
    identity = condor.ping()
    assert "@" in identity.user
    assert identity.method == "FS"
    assert identity.schedd == condor.schedd_ad()["Name"]
    assert identity.version.startswith("$CondorVersion: ")


def test_slots_are_what_the_collector_knows(condor):
    slots = condor.slots("Cpus >= 1", ["Name", "Cpus"])
    assert slots
    assert all(slot["Cpus"] >= 1 for slot in slots)


def test_a_pool_is_found_by_its_collector_alone(condor, pool):
    collector = (Path(pool.folder) / "log" / ".collector_address").read_text().splitlines()[0]
    other = Condor(PoolAddress(pool.config_file, collector=collector))
    assert other.ping().schedd == condor.ping().schedd
    other.close()


@pytest.mark.parametrize(
    "description",
    [
        "universe = vanilla",
        NEVER + "request_cpus = foo(((",
        NEVER + "universe = no-such-universe",
        NEVER + "this is no submit language",
        NEVER + "use_oauth_services = box",
    ],
)
def test_a_description_that_htcondor_does_not_accept_is_refused(description, condor, submit):
    with pytest.raises(errors.SubmitRefusedError, match="Nothing was submitted"):
        submit(description)


def test_a_warning_of_the_schedd_comes_with_every_submission_that_it_is_about():
    warning = {
        "SUBMIT_REQUIREMENT_NAMES": "Small",
        "SUBMIT_REQUIREMENT_Small": "RequestMemory < 5",
        "SUBMIT_REQUIREMENT_Small_IS_WARNING": "True",
        "SUBMIT_REQUIREMENT_Small_REASON": '"that is a lot of memory"',
    }
    with PersonalPool(cpus=1, memory=1024, fsync=False, settings=warning) as pool:
        condor = Condor(pool.address)
        large = NEVER + "request_memory = 100"
        for _ in range(2):
            (said,) = condor.submit(large, submission_id=uuid.uuid4().hex).warnings
            assert "that is a lot of memory" in said
        assert condor.submit(NEVER, submission_id=uuid.uuid4().hex).warnings == ()
        condor.close()


def refused_before_asking() -> list[Callable[[Condor], object]]:
    return [
        lambda c: c.submit(NEVER + "queue 5", submission_id="a"),
        lambda c: c.submit(NEVER, submission_id='a"b'),
        lambda c: c.submit(NEVER, submission_id="a", rows=[{"x": "1"}, {"y": "2"}]),
        lambda c: c.submit(NEVER, submission_id="a", rows=[{"x y": "1"}]),
        *(
            lambda c, value=value: c.submit(NEVER, submission_id="a", rows=[{"x": value}])
            for value in ("a b", "a)", "#a", "a\\", "a\nqueue 5", "", "$(y)")
        ),
        lambda c: c.act("destroy", jobs=["1.0"]),
        lambda c: c.act("hold"),
        lambda c: c.act("hold", jobs=[]),
        lambda c: c.act("hold", jobs=["1.0"], constraint="true"),
        lambda c: c.act("hold", jobs=["1 || true"]),
        lambda c: c.act("hold", constraint="foo((("),
        lambda c: c.edit({}, jobs=["1.0"]),
        lambda c: c.edit({"a b": "1"}, jobs=["1.0"]),
        lambda c: c.edit({"Note": "1; Other = 2"}, jobs=["1.0"]),
        lambda c: c.edit({"Note": "1 +++"}, jobs=["1.0"]),
        lambda c: c.query("foo((("),
        lambda c: c.history("foo((("),
        lambda c: c.slots("foo((("),
        lambda c: c.find_submission('"'),
    ]


@pytest.mark.parametrize("call", refused_before_asking())
def test_an_argument_that_is_not_what_it_should_be_is_refused(call, condor):
    with pytest.raises(errors.InvalidInputError):
        call(condor)
