"""A description that was written from ads is one that condor_submit makes the same ads from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from jdf_generator import generate, prepare
from jdf_judge import Judge, Refused, differences

from condormap import Job, JobCluster, JobStatus, condormap
from condormap.condor import connect
from condormap.errors import InvalidInputError
from condormap.jdf.check import check
from condormap.jdf.split import parse_jdf
from condormap.jdf.write import jdf_of_ads
from condormap.pool.personal import PersonalPool

JDFS = Path(__file__).parents[1] / "jdfs"
SLEEP = "executable = /bin/sleep\ntransfer_executable = false\n"
SUBMIT_FILE = "JobSubmitFile"  # the file's name


@pytest.fixture
def judge(pool: PersonalPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Judge:
    monkeypatch.chdir(tmp_path)
    return Judge(pool, tmp_path)


def written(text: str, judge: Judge) -> tuple[str, list[str]]:
    """Return the description written of these jobs, and what condor_submit makes differently of it."""
    Path("first.job").write_text(text)
    ads = judge.theirs("first.job")
    Path("second.job").write_text(jdf_of_ads(ads))
    return Path("second.job").read_text(), differences(judge.theirs("second.job"), ads, SUBMIT_FILE)


@pytest.mark.parametrize(
    "name", sorted(path.name for path in JDFS.glob("*.job") if path.name != "factory.job")
)
def test_every_file_of_the_collection(name: str, judge: Judge) -> None:
    shutil.copytree(JDFS, judge.folder / "jdfs")
    ads = judge.theirs(f"jdfs/{name}")
    Path("again.job").write_text(jdf_of_ads(ads))
    assert differences(judge.theirs("again.job"), ads, SUBMIT_FILE) == []


@pytest.mark.parametrize("seed", range(100, 120))
def test_jobs_at_random(seed: int, judge: Judge) -> None:
    prepare(judge.folder)
    text = generate(seed, judge.folder).blocks[-1]
    Path("first.job").write_text(text)
    try:
        ads = judge.theirs("first.job")
    except Refused:
        return
    again = jdf_of_ads(ads)
    Path("second.job").write_text(again)
    assert differences(judge.theirs("second.job"), ads, SUBMIT_FILE) == [], f"{text}\n--- written\n{again}"


def test_it_reads_as_people_write_it(judge: Judge) -> None:
    text, different = written(
        f'{SLEEP}arguments = $(Process)\noutput = $(x).out\nrequest_memory = 64\n+Mine = "a b"\n'
        "queue x in (1 2)\n",
        judge,
    )
    assert different == []
    lines = [line for line in text.splitlines() if not line.startswith(("#", "MY.Requirements"))]
    assert lines[:1] == ["universe = vanilla"]
    assert {"executable = /bin/sleep", "request_memory = 64", 'MY.Mine = "a b"'} <= set(lines)
    assert lines[-6:] == [
        "arguments = $(job_arguments)",
        "output = $(job_output)",
        "queue job_arguments, job_output from (",
        "0, 1.out",
        "1, 2.out",
        ")",
    ]


@pytest.mark.parametrize(
    "command",
    [
        "arguments = \"'a ''b''' \"\"quoted\"\" $(DOLLAR)(HOME) $(DOLLAR)ENV(X)\"",
        "arguments = a\\'b 'c",
        'arguments = old\\"style',
        "arguments = $$(Memory) $$([TARGET.Cpus + 1])",
        'environment = "A=\'x y\' B=""1"" C=$$(Name)"',
        '+Backslash = "C:\\dir\\"',
        '+Quotes = "say \\"hi\\" $(DOLLAR)(x)"',
        "+Expression = ifThenElse(A =?= undefined, {1, 2}, [ b = 3 ])",
        '+Row = "$(Process), # )"',
        "+Odd = $(Process) == 1",
        '+Text = "$(Process) a, b"\n+Other = "c d $(Process)"',
        "request_memory = ifThenElse(isUndefined(X), 10, 20)",
        "input = first.job\nstream_output = true\noutput = x",
        "priority = $(Process)",
        'description = "a, b"\nkeep_claim_idle = 20\nnice_user = true',
        "universe = parallel\nmachine_count = 2",
        "universe = local",
        "universe = docker\ndocker_image = image",
        "max_retries = 3\nretry_until = ExitCode == 4",
        "notification = always\nnotify_user = a@b.c",
        "arguments = \u00fc \u2192 \U0001f600",
        "arguments = \"'\u00fc \u2192' ''\"",
        '+Umlaut = "\u00e4 \u2192 \U0001f600, $(Process)"',
        "environment = \"A='\u00e4 b' B='it''s' C=\"\"quoted\"\" D=a\\b\"",
        "environment = A=1;B=with blank;C='x'",
        "output = out \u00e4.$(Process)\nlog = with blank.log",
        "batch_name = \u00e4 'b' $(Process)",
    ],
)
def test_values_that_are_easily_broken(command: str, judge: Judge) -> None:
    text, different = written(f"{SLEEP}{command}\nqueue 3\n", judge)
    assert different == [], text


@pytest.mark.parametrize(
    "items",
    ["C:\\dir\\\x1f\nother", 'C:\\dir\\\x1f\n"a b"\x1f', "/a b/\\\x1f\n/c,d/\\\x1f"],
)
@pytest.mark.parametrize(
    "command", ["arguments", "executable", "output", "environment", "batch_name", "+Mine"]
)
def test_values_of_jobs_that_end_in_a_backslash(command: str, items: str, judge: Judge) -> None:
    value = {"environment": "A=$(x)", "+Mine": '"$(x)"'}.get(command, "$(x)")
    if command != "arguments":  # which have two syntaxes
        items = items.replace('"', "")
    text, different = written(f"{SLEEP}{command} = {value}\nqueue x, end from (\n{items}\n)\n", judge)
    assert different == [], text


@pytest.mark.parametrize(
    "command",
    ['arguments = -\nMY.Args = strcat("a", "$(Process)")', 'MY.Arguments = strcat("a", "$(Process)")'],
)
def test_arguments_that_are_an_expression(command: str, judge: Judge) -> None:
    text, different = written(f"{SLEEP}{command}\nqueue 2\n", judge)
    assert different == [], text


@pytest.mark.parametrize("command", ["arguments", "output", "batch_name", "+Mine", "environment"])
def test_a_value_of_all_jobs_that_ends_in_a_backslash(command: str, judge: Judge) -> None:
    value = {"environment": "A=$(x)", "+Mine": '"$(x)"'}.get(command, "$(x)")
    text, different = written(f"{SLEEP}x = C:\\dir\\$(end)\n{command} = {value}\nqueue 2\n", judge)
    assert different == [], text


EDITS = {
    "RequestMemory": "2048",
    "Args": '"7"',
    "Arguments": '"seven \\\\"',
    "Mine": '"edited, with \\"quotes\\" and $(macros)"',
    "Added": '"\u00fcber \u2192 \U0001f600"',
    "Sum": "RequestMemory * 2 + NumJobStarts",
    "JobPrio": "5",
    "PeriodicHold": "NumJobStarts > 3",
}


@pytest.mark.parametrize("name", sorted(EDITS))
def test_an_attribute_that_was_edited(name: str, judge: Judge) -> None:
    (block,) = check(parse_jdf(f'{SLEEP}arguments = 1\n+Mine = "a"\nqueue 2\n', hold=True), judge.condor)
    submitted = judge.condor.submit_block(block.text, folder=judge.folder, submission_id=f"edited-{name}")
    job = f"{submitted.cluster}.1"
    judge.condor.edit({name: EDITS[name]}, jobs=[job])
    ads = judge.condor.query_text(f"ClusterId == {submitted.cluster} && ProcId == 1")
    judge.condor.act("remove", jobs=[str(submitted.cluster)])
    Path("edited.job").write_text(jdf_of_ads(ads))
    theirs = judge.theirs("edited.job")
    assert theirs[0][name] == ads[0][name]
    assert differences(theirs, ads, SUBMIT_FILE, "ProcId") == [], Path("edited.job").read_text()


def test_what_has_become_of_a_job_is_left_out(judge: Judge) -> None:
    """A job that has run is described as it was submitted."""
    (block,) = check(parse_jdf(f"{SLEEP}arguments = 0\nlog = a.log\nmax_retries = 2\nqueue\n"), judge.condor)
    submitted = judge.condor.submit_block(block.text, folder=judge.folder, submission_id="has-run")
    judge.wait_until_gone(submitted.cluster)
    ads = judge.condor.query_text(f"ClusterId == {submitted.cluster}")
    assert ads[0]["JobStatus"] == "4"
    Path("again.job").write_text(jdf_of_ads(ads))
    fresh = judge.ours(check(parse_jdf(block.text, hold=True), judge.condor)[0])
    assert differences(judge.theirs("again.job"), fresh, SUBMIT_FILE) == []


@pytest.mark.parametrize("how", ["held and released", "on hold", "ran before"])
def test_no_attribute_of_the_queue_is_written(how: str, judge: Judge, pool: PersonalPool) -> None:
    c = JobCluster({"executable": "/bin/sleep", "arguments": "2000"}, 2, pool=pool)
    before = ""
    try:
        c.submit()
        before = c.to_jdf()
        if how == "ran before":
            assert c[0].wait(60, for_=JobStatus.RUNNING)
        c[0].hold("lunch")
        c[1].hold("another reason")
        if how != "on hold":
            c[0].release()
        assert c.to_jdf() == before
    finally:
        c.remove()


def test_jobs_that_were_submitted_on_hold_are_so_again(pool: PersonalPool) -> None:
    c = JobCluster({"executable": "/bin/sleep", "arguments": "2000", "hold": "true"}, 2, pool=pool)
    c.submit()
    try:
        assert "\nhold = true\n" in c.to_jdf()
        c[0].release()
        assert "\nqueue job_hold from (\nfalse\ntrue\n)\n" in c.to_jdf()
    finally:
        c.remove()


def test_a_factory_says_how_many_jobs_have_no_ad_yet(judge: Judge) -> None:
    text = f"{SLEEP}requirements = false\nmax_idle = 2\nmax_materialize = 4\nqueue 10\n"
    (block,) = check(parse_jdf(text, hold=True), judge.condor)
    again = jdf_of_ads(judge.ours(block))
    assert "# 8 jobs are missing" in again
    assert "max_idle = 2\nmax_materialize = 4\n" in again


def test_the_file_in_a_maps_folder_is_one_for_condor_submit(judge: Judge, pool: PersonalPool) -> None:
    m = condormap(abs, range(-5, 0), pool=pool, chunksize=2)
    assert list(m) == [5, 4, 3, 2, 1]
    folder = m.path / "submissions" / "0"
    cluster = json.loads((folder / "cluster.json").read_text())["cluster"]
    judge.wait_until_gone(cluster)
    ours = judge.condor.query_text(f"ClusterId == {cluster}")
    theirs = judge.theirs(folder / "submit.sub")
    # As descriptions, for the map's jobs have run.
    descriptions = [jdf_of_ads(ads).replace(f" {ads[0]['ClusterId']}", " CLUSTER") for ads in (ours, theirs)]
    descriptions[1] = descriptions[1].replace("hold = true\n", "")
    assert len(theirs) == 3
    assert descriptions[0] == descriptions[1]


def test_no_ads_no_description() -> None:
    with pytest.raises(InvalidInputError, match="no job to write"):
        jdf_of_ads([])


# -- to_jdf() --------------------------------------------------------------------------------------------------

SUBMITTED_BY = ("JobSubmitFile", "JobSubmitMethod", "UserLog")  # us, with a log of ours where none is named


def test_a_cluster_and_its_jobs_write_what_condor_submit_makes_again(
    judge: Judge, pool: PersonalPool
) -> None:
    commands = {"executable": "/bin/sleep", "arguments": "$(Process)1", "hold": "true", "+Mine": '"a b"'}
    c = JobCluster(commands, count=3, pool=pool)
    c.submit()
    try:
        ads = connect(pool.address).query_text(f"ClusterId == {c.id}")
        ads.sort(key=lambda ad: int(ad["ProcId"]))
        Path("cluster.job").write_text(c.to_jdf())
        assert differences(judge.theirs("cluster.job"), ads, *SUBMITTED_BY) == []
        Path("job.job").write_text(c[1].to_jdf())
        assert [ad["Args"] for ad in judge.theirs("job.job")] == ['"11"']
    finally:
        c.remove()


def test_what_is_not_submitted_is_written_as_it_was_given(pool: PersonalPool) -> None:
    text = "executable = /bin/true\nqueue 2\n"
    assert JobCluster.from_text(text, submit=False, pool=pool).to_jdf() == text
    assert "executable = /bin/true" in Job({"executable": "/bin/true"}, pool=pool).to_jdf()


def test_a_map_writes_the_description_of_its_jobs(judge: Judge, pool: PersonalPool) -> None:
    m = condormap(abs, range(4), pool=pool, chunksize=2)
    Path("map.job").write_text(m.to_jdf())
    ads = judge.theirs("map.job")
    assert [ad["CondormapChunk"] for ad in ads] == ["0", "1"]
    m.wait()


def test_from_jdf_counts_only_the_queue_statements_of_branches_that_are_taken(pool: PersonalPool) -> None:
    text = "executable = /bin/true\nif {}\n  queue 2\nelse\n  queue 3\nendif\n"
    c = JobCluster.from_text(text.format("true"), pool=pool)
    assert len(c) == 2
    c.wait(30)
    with pytest.raises(InvalidInputError, match="nothing was submitted"):
        JobCluster.from_text("executable = /bin/true\nif false\n  queue\nendif\n", pool=pool)
