"""What condormap makes of a job description file is what condor_submit makes of it: their ads are compared."""

from __future__ import annotations

import getpass
import shutil
import warnings
from pathlib import Path

import pytest
from jdf_generator import COMMANDS, QUEUES, generate, prepare
from jdf_judge import Judge, Refused, differences

from condormap.errors import SubmitRefusedError
from condormap.jdf.check import check
from condormap.jdf.split import parse_jdf, read_jdf
from condormap.pool.personal import PersonalPool

JDFS = Path(__file__).parents[1] / "jdfs"

SLEEP = "executable = /bin/sleep\ntransfer_executable = false\n"

#: Attributes of single files that differ, and why.
EXPLAINED = {
    "macros.job": {"Lucky": "random", "Team": "random"},
    "several_queues.job": {"ProcId": "condor_submit makes one cluster of all queue statements"},
}


@pytest.fixture
def judge(pool: PersonalPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Judge:
    monkeypatch.chdir(tmp_path)
    return Judge(pool, tmp_path)


@pytest.mark.parametrize(
    "name", sorted(path.name for path in JDFS.glob("*.job") if path.name != "factory.job")
)
def test_every_file_of_the_collection(name: str, judge: Judge) -> None:
    shutil.copytree(JDFS, judge.folder / "jdfs")
    path = f"jdfs/{name}"
    blocks = check(read_jdf(path, hold=True), judge.condor)
    ours = [ad for block in blocks for ad in judge.ours(block)]
    theirs = judge.theirs(path)
    assert differences(ours, theirs, *EXPLAINED.get(name, {})) == []
    assert len(ours) == sum(block.n_jobs or 0 for block in blocks)


def test_the_factory_of_the_collection(judge: Judge) -> None:
    shutil.copytree(JDFS, judge.folder / "jdfs")
    # The jobs of a factory are not on hold when they are made, so these get no slot.
    (block,) = check(read_jdf("jdfs/factory.job", hold=True, requirements="false"), judge.condor)
    ours = judge.ours(block)
    assert (block.n_jobs, len(ours)) == (20, 4)
    assert differences(ours, judge.theirs("jdfs/factory.job", "-append", "requirements = false")) == []


def compare(text: str, judge: Judge) -> None:
    """Compare what becomes of a file with one queue statement."""
    prepare(judge.folder)
    Path("one.job").write_text(SLEEP + text.replace("FOLDER", str(judge.folder)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of ${cluster}, and of variables that nothing uses
        (block,) = check(read_jdf("one.job", hold=True), judge.condor)
    theirs = judge.theirs("one.job")
    assert len(theirs) == block.n_jobs
    assert differences(judge.ours(block), theirs) == []


@pytest.mark.parametrize("queue", QUEUES)
def test_each_form_of_the_queue_statement(queue: str, judge: Judge) -> None:
    compare(f'+Seen = "$(item) $(x) $(y) $(Step) $(ItemIndex) $(Process)"\n{queue}', judge)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command(command: str, judge: Judge) -> None:
    compare(f"n = 1\npath = a/b.c\nx = 1.5\n{command}queue 2\n", judge)


@pytest.mark.parametrize("seed", range(50))
def test_files_at_random(seed: int, judge: Judge) -> None:
    prepare(judge.folder)
    generated = generate(seed, judge.folder)
    Path("random.job").write_text(generated.whole)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of ${cluster}
        blocks = check(read_jdf("random.job", hold=True), judge.condor)
    assert len(blocks) == len(generated.blocks)
    for block, alone in zip(blocks, generated.blocks, strict=True):
        Path("alone.job").write_text(alone)
        try:
            theirs = judge.theirs("alone.job")
        except Refused:  # two commands of the block that contradict each other
            with pytest.raises(SubmitRefusedError):
                judge.ours(block)
            continue
        ours = judge.ours(block)
        assert len(ours) == block.n_jobs
        assert differences(ours, theirs, "JobSubmitFile") == [], f"{alone}\n--- ours\n{block.text}"


def test_one_cluster_for_each_queue_statement_and_one_in_all_for_condor_submit(judge: Judge) -> None:
    Path("two.job").write_text(f"{SLEEP}arguments = 1\nqueue 2\narguments = 2\nqueue\n")
    blocks = check(read_jdf("two.job", hold=True), judge.condor)
    first, second = (judge.ours(block) for block in blocks)
    assert [ad["Args"] for ad in first] == ['"1"', '"1"']
    assert [ad["Args"] for ad in second] == ['"2"']
    assert {ad["ClusterId"] for ad in first}.isdisjoint(ad["ClusterId"] for ad in second)
    assert differences(first + second, judge.theirs("two.job"), "ProcId") == []


def test_a_queue_statement_counts_only_in_the_branch_that_is_taken(judge: Judge) -> None:
    """condor_submit stumbles over the `else` behind a queue statement; here it does what it says."""
    text = f"{SLEEP}if $(big:false)\n arguments = 9\n queue 9\nelse\n arguments = 2\n queue 2\nendif\nqueue\n"
    (two, one) = check(parse_jdf(text, hold=True), judge.condor)
    assert [ad["Args"] for ad in judge.ours(two)] == ['"2"', '"2"']
    assert [ad["Args"] for ad in judge.ours(one)] == ['"2"']
    (nine, _) = check(parse_jdf(f"big = true\n{text}", hold=True), judge.condor)
    assert nine.n_jobs == 9


def test_no_queue_statement_is_one_job(judge: Judge) -> None:
    Path("none.job").write_text(SLEEP)
    (block,) = check(read_jdf("none.job", hold=True), judge.condor)
    assert differences(judge.ours(block), judge.theirs("none.job")) == []


def test_a_table_of_25(judge: Judge) -> None:
    Path("table.csv").write_text("name,value\na b, 1\nc,2\n")
    Path("table.job").write_text(f'{SLEEP}+Name = "$(name)"\n+V = $(value)\nqueue from table table.csv\n')
    (block,) = check(read_jdf("table.job", hold=True), judge.condor)
    ours = judge.ours(block)
    try:
        theirs = judge.theirs("table.job")
    except Refused:
        pytest.skip("condor_submit of this version has no tables")
    assert [ad["Name"] for ad in ours] == ['"a b"', '"c"']
    assert differences(ours, theirs) == []


def test_overrides_hold_as_if_they_stood_last(judge: Judge) -> None:
    Path("one.job").write_text(f"{SLEEP}request_memory = 1\narguments = $(what)\nqueue\n")
    overrides = {"request_memory": "64MB", "what": 7, "+Project": '"x"', "hold": True}
    (block,) = check(read_jdf("one.job", **overrides), judge.condor)
    (ad,) = judge.ours(block)
    assert (ad["RequestMemory"], ad["Args"], ad["Project"]) == ("64", '"7"', '"x"')
    appended = [f"{name} = {value}" for name, value in overrides.items()]
    theirs = judge.theirs("one.job", *(word for each in appended for word in ("-append", each)))
    assert differences([ad], theirs) == []


def test_the_environment_is_that_of_the_moment(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    judge.condor.start()  # its process has an older one
    monkeypatch.setenv("CONDORMAP_COLOUR", "red")
    monkeypatch.delenv("LANG", raising=False)
    text = f"{SLEEP}arguments = $ENV(CONDORMAP_COLOUR) $ENV(LANG:none)\ngetenv = CONDORMAP_*\nqueue\n"
    Path("environment.job").write_text(text)
    (block,) = check(read_jdf("environment.job", hold=True), judge.condor)
    (ad,) = judge.ours(block)
    assert ad["Args"] == '"red none"'
    assert "CONDORMAP_COLOUR=red" in ad["Environment"]


def test_the_group_of_a_job_has_its_user(judge: Judge) -> None:
    """The bindings alone would write ``"physics."``."""
    Path("group.job").write_text(f"{SLEEP}accounting_group = physics\nqueue\n")
    (block,) = check(read_jdf("group.job", hold=True), judge.condor)
    ours = judge.ours(block)
    assert ours[0]["AccountingGroup"] == f'"physics.{getpass.getuser()}"'
    assert differences(ours, judge.theirs("group.job")) == []
