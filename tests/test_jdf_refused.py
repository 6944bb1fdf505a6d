"""What condor_submit refuses is refused: with the file and the line, and nothing of it was ever in the queue."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import psutil
import pytest
from jdf_judge import Judge

from condormap import JobCluster, JobGroup
from condormap.errors import InvalidInputError, JdfError, SubmitRefusedError, UnreachableError
from condormap.jdf.check import refused
from condormap.jdf.split import parse_jdf
from condormap.pool.personal import PersonalPool

SLEEP = "executable = /bin/sleep\ntransfer_executable = false\n"


@pytest.fixture
def judge(pool: PersonalPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Judge:
    monkeypatch.chdir(tmp_path)
    return Judge(pool, tmp_path)


@pytest.fixture(autouse=True)
def of_the_machine(pool: PersonalPool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the pool the one that a call without a pool uses."""
    monkeypatch.setenv("CONDOR_CONFIG", str(pool.config_file))


def refuses(judge: Judge, path: str) -> bool:
    return judge.run("condor_submit", "-dry-run", "out.ads", path).returncode != 0


def never_submitted(judge: Judge, mark: str) -> bool:
    constraint = f'CondormapTest == "{mark}"'
    return not judge.condor.query(constraint) and not judge.condor.history(constraint)


#: Mistakes that HTCondor finds when it makes a job's ad: a command, and a part of what it says of it.
ADS = [
    ("universe = nonsense", "don't know about the 'nonsense' universe"),
    ("universe = grid", "grid_resource"),
    ("universe = vm", "vm_memory"),
    ("universe = docker", "docker_image"),
    ("universe = container", "container_image"),
    ("universe = java", "class name"),
    ("requirements = (Memory >", "Parse error in expression: Requirements = ((Memory >)"),
    ("+A = {{", "Parse error in expression: A = {{"),
    ("MY.B = 1 +", "Parse error in expression: B = 1 +"),
    ('arguments = "a \'b"', "Unbalanced quote"),
    ('environment = "A=1 B=\'x"', "Unbalanced quote"),
    ("request_memory = abc def", "RequestMemory = abc def"),
    ("request_disk = 1XB", "RequestDisk = 1XB"),
    ("request_cpus = 1 2", "RequestCpus = 1 2"),
    ("priority = abc", "priority=abc is invalid"),
    ("max_retries = x y", "max_retries=x y is invalid"),
    ("notification = sometimes", "Notification must be"),
    ("periodic_hold = (", "PeriodicHold = ("),
    ("on_exit_hold = )", "OnExitHold = )"),
    ("rank = (", "Rank = ("),
    ("retry_until = [", "retry_until=[ is invalid"),
    ("should_transfer_files = perhaps", "invalid value (perhaps)"),
    ("hold = maybe", "hold=maybe is invalid"),
    ("kill_sig = SIGNOPE", "invalid signal SIGNOPE"),
    ("accounting_group = a b!", "Invalid accounting_group"),
    ("image_size = -5", "Image Size must be positive"),
    ("stream_output = perhaps", "stream_output=perhaps is invalid"),
    ("deferral_time = abc (", "deferral_time = abc ( is invalid"),
    ("max_idle = x", "max_idle=x is invalid"),
]


@pytest.mark.parametrize(("command", "said"), ADS)
def test_what_is_only_found_when_an_ad_is_made_is_found_before_the_first_submit(
    command: str, said: str, judge: Judge
) -> None:
    mark = secrets.token_hex(8)
    text = f'{SLEEP}+CondormapTest = "{mark}"\nqueue\n{command}\n# a comment\nqueue\n'
    Path("two.job").write_text(text)
    Path("alone.job").write_text(f"{SLEEP}{command}\nqueue\n")
    assert refuses(judge, "alone.job")
    with pytest.raises(JdfError) as caught:
        JobGroup.from_jdf("two.job")
    assert said in str(caught.value)
    assert "Submit:" not in str(caught.value)
    assert str(caught.value).startswith("two.job:5: ")
    assert caught.value.line == 5
    assert str(caught.value).endswith("Nothing was submitted")
    assert never_submitted(judge, mark)


def test_so_is_it_in_a_file_with_one_queue_statement(judge: Judge) -> None:
    mark = secrets.token_hex(8)
    Path("one.job").write_text(f'{SLEEP}+CondormapTest = "{mark}"\npriority = abc\nqueue\n')
    with pytest.raises(JdfError, match=r"^one\.job:4: .*priority=abc is invalid.* Nothing was submitted$"):
        JobCluster.from_jdf("one.job")
    assert never_submitted(judge, mark)


def test_a_value_that_is_wrong_in_a_later_item_only(judge: Judge) -> None:
    mark = secrets.token_hex(8)
    rows = "".join(f"{each}\n" for each in [*range(300), "{{"])
    text = f'{SLEEP}+CondormapTest = "{mark}"\nqueue\n+A = $(x)\nqueue x from (\n{rows})\n'
    Path("rows.job").write_text(text)
    with pytest.raises(JdfError, match=r"^rows\.job:5: .*A = {{"):
        JobGroup.from_jdf("rows.job")
    assert never_submitted(judge, mark)


def test_a_factory_too(judge: Judge) -> None:
    mark = secrets.token_hex(8)
    text = f'{SLEEP}+CondormapTest = "{mark}"\nqueue\nmax_idle = 1\n+A = $(x)\nqueue x from (\n1\n{{{{\n)\n'
    Path("factory.job").write_text(text)
    with pytest.raises(JdfError, match=r"^factory\.job:6: .*A = {{"):
        JobGroup.from_jdf("factory.job")
    assert never_submitted(judge, mark)


def test_more_jobs_than_the_schedd_takes_at_once(judge: Judge) -> None:
    mark = secrets.token_hex(8)
    text = f'{SLEEP}hold = true\n+CondormapTest = "{mark}"\nqueue\nqueue 20001\n'
    Path("many.job").write_text(text)
    with pytest.raises(
        JdfError, match=r"^many\.job:6: it makes 20001 jobs, .* takes 20000 .*set max_materialize"
    ):
        JobGroup.from_jdf("many.job")
    assert never_submitted(judge, mark)
    factory = JobCluster.from_text(f"{SLEEP}requirements = false\nqueue 20001\n", max_materialize=1)
    assert len(factory) == 20001
    factory.remove()


def test_what_only_the_schedd_refuses_says_what_became_of_the_clusters_before(judge: Judge) -> None:
    """The schedd limits the jobs of one submit; how many another machine's takes is not known here."""
    mark = secrets.token_hex(8)
    text = f'{SLEEP}hold = true\n+CondormapTest = "{mark}"\nqueue\nqueue 20001\n'
    Path("many.job").write_text(text)
    with pytest.raises(
        SubmitRefusedError, match=r"^many\.job:6: .*no more than 20000 .*max_materialize"
    ) as caught:
        JobGroup.from_jdf("many.job", schedd=judge.condor.ping().schedd)
    assert "The clusters before it (" in str(caught.value)
    assert str(caught.value).endswith("were removed again")
    assert "Nothing was submitted" not in str(caught.value)
    assert judge.condor.query(f'CondormapTest == "{mark}" && JobStatus != 3') == []


def test_an_override_that_is_wrong_is_named(pool: PersonalPool) -> None:
    with pytest.raises(JdfError, match=r"priority=abc is invalid.*\(given besides the file: priority\)"):
        JobCluster.from_text(f"{SLEEP}queue\n", priority="abc")


def test_commands_that_are_not_text_have_no_line(pool: PersonalPool) -> None:
    with pytest.raises(SubmitRefusedError, match=r"^HTCondor can make no job of it: priority=abc"):
        JobCluster({"executable": "/bin/sleep", "priority": "abc"}).submit()
    with pytest.raises(JdfError, match=r"^executable: /nowhere does not exist"):
        JobCluster({"executable": "/nowhere"}).submit()


#: Mistakes that HTCondor finds while it reads: the text, what it is to say, the file, the line.
FILES = [
    ("error : stop $(x:here)\nqueue\n", "stop here", "broken.job", 3),
    ("error 7 : a code\nqueue\n", "a code", "broken.job", 3),
    ("if true\n error : inside\nendif\nqueue\n", "inside", "broken.job", 4),
    ("use template:nope\nqueue\n", "it has no such template", "broken.job", 3),
    ("use nothing\nqueue\n", "it has no such template", "broken.job", 3),
    ("include : bad.inc\nqueue\n", "cannot read 'nonsense here'", "bad.inc", 2),
    ("include : outer.inc\nqueue\n", "cannot read 'nonsense here'", "bad.inc", 2),
    ("include : $(which).inc\nwhich = later\nqueue\n", "it is not there", "broken.job", 3),
    ("include : error.inc\nqueue\n", "from the include", "error.inc", 3),
    ("include : queue.inc\nqueue\n", "cannot stand in an included file", "queue.inc", 2),
    ("include : itself.inc\nqueue\n", "too deeply", "itself.inc", 1),
    ("include : /nowhere/program x |\nqueue\n", "there is no program '/nowhere/program'", "broken.job", 3),
    ("include : /bin/echo nonsense here |\nqueue\n", "not in the submit language", "broken.job", 3),
    ("queue -1\n", "out of range", "broken.job", 3),
    ('queue "2"\n', "count expression", "broken.job", 3),
    ("queue 2 # comment\n", "count expression", "broken.job", 3),
    ("queue x in [::-1] (a b)\n", "a step below 1", "broken.job", 3),
    ("queue x in (a b) # comment\n", "has no end", "broken.job", 3),
    ("queue x from nowhere.txt\n", "can't open file", "broken.job", 3),
    ("no command\nqueue\n", "no command (name = value)", "broken.job", 3),
    ("a-b = 5\nqueue\n", "no command (name = value)", "broken.job", 3),
    ("if defined\nqueue\n", "no queue statement is reached", "broken.job", 4),
    ("if true\narguments = 1\n", "has no `endif`", "broken.job", 3),
    ("else\nqueue\n", "needs its place", "broken.job", 3),
    ("a @=end\nvalue\nqueue\n", "has no end", "broken.job", 3),
]


@pytest.mark.parametrize(("text", "said", "path", "line"), FILES)
def test_what_condor_submit_cannot_read(text: str, said: str, path: str, line: int, judge: Judge) -> None:
    Path("bad.inc").write_text("a = 1\nnonsense here\n")
    Path("outer.inc").write_text("# outer\ninclude : bad.inc\n")
    Path("error.inc").write_text("\n\nerror : from the include\n")
    Path("queue.inc").write_text("a = 1\nqueue\n")
    Path("itself.inc").write_text("include : itself.inc\n")
    Path("broken.job").write_text(SLEEP + text)
    assert refuses(judge, "broken.job")
    with pytest.raises(JdfError) as caught:
        JobGroup.from_jdf("broken.job")
    assert said in str(caught.value)
    assert (caught.value.path, caught.value.line) == (path, line)


@pytest.mark.parametrize(
    ("text", "line", "circle"),
    [
        ("a = $(b)\nb = $(a)\narguments = $(a)\nqueue\n", 3, "$(a) -> $(b) -> $(a)"),
        ("a = 1 $(b:2)\nb = $(c)\nc = $Fn(b)\narguments = $(a)\nqueue\n", 4, "$(b) -> $(c) -> $(b)"),
        ("a = $(b)\nb = $(a)\nif $(a)\nendif\nqueue\n", 3, "$(a) -> $(b) -> $(a)"),
        ("a = $(b)\nb = $(a)\ninclude : $(a)\nqueue\n", 3, "$(a) -> $(b) -> $(a)"),
        ("n = $(m)\nm = $(n)\nqueue $(n)\n", 3, "$(n) -> $(m) -> $(n)"),
        ("arguments = $(x)\nqueue x from (\na $(x)\n)\n", 4, "$(x) -> $(x)"),
        ("arguments = $(x)\ny = $(X)\nqueue x from (\n1\n$(y)\n)\n", 5, "$(x) -> $(y) -> $(x)"),
        ("arguments = $(x)\nqueue x,y from (\n$(y) 1\n$(y) $(x)\n)\n", 4, "$(x) -> $(y) -> $(x)"),
    ],
)
def test_macros_in_a_circle_on_which_condor_submit_hangs(
    text: str, line: int, circle: str, judge: Judge
) -> None:
    with pytest.raises(JdfError, match=r"refer to each other in a circle") as caught:
        JobGroup.from_text(SLEEP + text)
    assert circle in str(caught.value)
    assert caught.value.line == line


@pytest.mark.parametrize(
    "text",
    [
        "a = 1\na = $(a) $(b)\nb = 2\narguments = $(a)\nqueue\n",
        "a = $(b)\nb = $(a)\narguments = $(b)\nqueue a in (1 2)\n",
        "if true\n a = $(b)\n b = 1\nelse\n b = $(a)\nendif\nif $(b)\n arguments = $(a)\nendif\nqueue\n",
        "arguments = $(x) $(y)\nqueue x, y from (\n$(y) 1\n2 $(x)\n$(Process) $(Process)\n)\n",
        "arguments = $(a) $ENV(arguments)\na = $RANDOM_CHOICE(a, b)\nqueue\n",
    ],
)
def test_what_is_no_circle(text: str, judge: Judge) -> None:
    Path("fine.job").write_text(SLEEP + text)
    assert not refuses(judge, "fine.job")
    group = JobGroup.from_jdf("fine.job", hold=True)
    group.remove()


# -- what condor_submit takes, and is refused with a reason ----------------------------------------------------


def test_a_queue_statement_that_is_never_reached(judge: Judge) -> None:
    """condor_submit makes one job of it."""
    Path("never.job").write_text(f"{SLEEP}if false\n  queue 3\nendif\n")
    assert not refuses(judge, "never.job")
    with pytest.raises(JdfError, match=r"^never\.job:4: no queue statement is reached.*behind the `endif`"):
        JobGroup.from_jdf("never.job")


def test_a_folder_is_no_executable(judge: Judge) -> None:
    Path("folder").mkdir()
    with pytest.raises(JdfError, match=r"<text>:1: executable: .*folder is a folder, not a program"):
        JobGroup.from_text("executable = folder\nqueue\n")


def test_an_override_of_a_variable_of_the_queue_statement(judge: Judge) -> None:
    """It would change nothing, for the items hold."""
    with pytest.raises(JdfError, match=r"<text>:4: 'x' was given besides the file, but"):
        JobGroup.from_text(f"{SLEEP}arguments = $(x)\nqueue x in (1 2)\n", x=5)


@pytest.mark.parametrize("value", [None, ["a", "b"], {"a": 1}, object(), b"bytes"])
def test_an_override_that_is_no_text_number_or_path(value: object) -> None:
    with pytest.raises(
        InvalidInputError, match="arguments: a submit command's value is text, a number or a path"
    ):
        parse_jdf(f"{SLEEP}queue\n", arguments=value)


def test_the_same_command_twice(pool: PersonalPool) -> None:
    with pytest.raises(InvalidInputError, match="'Executable' and 'executable' are the same to HTCondor"):
        JobCluster({"Executable": "/bin/sleep", "executable": "/bin/true"})
    with pytest.raises(InvalidInputError, match=r"'\+A' and 'My.a' are the same to HTCondor"):
        JobCluster({"executable": "/bin/sleep", "+A": 1, "My.a": 2})


@pytest.mark.parametrize(
    ("queue", "where"),
    [
        ("queue x from items.txt", "the items in items.txt are not UTF-8"),
        ("queue x from /bin/cat items.txt |", "the items that '/bin/cat items.txt' gives are not UTF-8"),
    ],
)
def test_items_of_another_encoding(queue: str, where: str, judge: Judge) -> None:
    Path("items.txt").write_bytes("b\ncafé\n".encode("latin-1"))
    with pytest.raises(JdfError, match=r"^<text>:4: .*iconv") as caught:
        JobGroup.from_text(f"{SLEEP}arguments = $(x)\n{queue}\n")
    assert where in str(caught.value)
    assert "0xe9 behind 'caf'" in str(caught.value)


def test_a_script_with_the_line_ends_of_windows(judge: Judge) -> None:
    Path("crlf.sh").write_bytes(b"#!/bin/sh\r\nexit 0\r\n")
    Path("crlf.job").write_text("executable = crlf.sh\nqueue\n")
    assert refuses(judge, "crlf.job")
    with pytest.raises(
        JdfError, match=r"^crlf\.job:1: executable: .*crlf\.sh is a script .*CRLF.*dos2unix crlf\.sh"
    ):
        JobGroup.from_jdf("crlf.job")
    Path("lf.sh").write_bytes(b"#!/bin/sh\necho 'a\r\nb'\n")
    JobGroup.from_text("executable = lf.sh\nhold = true\nqueue\n").remove()


def test_a_script_that_gives_nothing_says_how_it_ended(judge: Judge) -> None:
    Path("fails.sh").write_text("echo no such table >&2; exit 3\n")
    with pytest.raises(JdfError, match=r"makes no job: .*'/bin/sh fails\.sh'.*exit status 3: no such table"):
        JobGroup.from_text(f"{SLEEP}queue x from /bin/sh fails.sh |\n")


# -- the process for calls to HTCondor -------------------------------------------------------------------------


def test_no_program_of_a_description_is_left_behind(judge: Judge) -> None:
    Path("items.sh").write_text("echo 1; echo 2\n")
    Path("include.sh").write_text("echo a = 1\n")
    text = "arguments = $(x) $(a)\ninclude : /bin/sh include.sh |\nqueue x from /bin/sh items.sh |\n"
    group = JobGroup.from_text(f"{SLEEP}{text}{text}", hold=True)
    group.remove()
    with pytest.raises(JdfError):
        JobGroup.from_text(f"{SLEEP}include : /bin/sh items.sh |\nqueue x from /bin/sh items.sh |\n")
    children = [
        each
        for each in psutil.Process(os.getpid()).children()
        if each.status() != psutil.STATUS_ZOMBIE and "child" in " ".join(each.cmdline())
    ]
    assert judge.condor.pid in [each.pid for each in children]
    assert [left for each in children for left in each.children(recursive=True)] == []


def test_a_rehearsal_leaves_no_job(judge: Judge) -> None:
    mark = secrets.token_hex(8)
    text = f'{SLEEP}+CondormapTest = "{mark}"\nqueue 2000\n'
    judge.condor.rehearse_block(text, folder=".")
    assert never_submitted(judge, mark)


def test_an_error_of_another_kind_stays_what_it_is() -> None:
    (block,) = parse_jdf("queue\n", path="my.job")
    error = UnreachableError("submit: gone. Nothing was submitted")
    assert refused(block, error) is error
    after = refused(block, error, "The clusters before it (7) were removed again")
    assert type(after) is UnreachableError
    assert str(after) == "my.job:1: submit: gone. The clusters before it (7) were removed again"
