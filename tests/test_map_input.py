"""Bad input: each a clear error, nothing submitted, nothing left behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Gate

from condormap import Job, JobCluster, PersonalPool, condormap, load
from condormap.address import PoolAddress
from condormap.condor import connect
from condormap.errors import (
    CondorError,
    ImpossibleRequestError,
    InvalidInputError,
    JobDiedError,
    NoPoolError,
    SerializationError,
    StorageError,
    SubmitRefusedError,
    UnreachableError,
)


def everything_submitted(pool: PersonalPool) -> int:
    """Return how many clusters the schedd has made so far, those that are gone included."""
    condor = connect(pool.address)
    here = condor.query("true", ["ClusterId"], cluster_ads=True)
    return len({ad["ClusterId"] for ad in here + condor.history("true", ["ClusterId"])})


def maps(home: Path) -> set[str]:
    folder = home / "maps"
    return set(os.listdir(folder)) if folder.is_dir() else set()


@pytest.fixture
def refused(pool: PersonalPool, condormap_home: Path) -> Iterator[None]:
    """Check that a test submits nothing and leaves nothing in the folder of maps."""
    before = everything_submitted(pool), maps(condormap_home)
    yield
    assert (everything_submitted(pool), maps(condormap_home)) == before


def failing_iterable() -> Iterator[int]:
    yield 1
    raise FileNotFoundError(2, "No such file or directory", "data.csv")


# -- the function and the items --------------------------------------------------------------------------------


@pytest.mark.usefixtures("refused")
@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        ((None, [1]), InvalidInputError, "the first argument must be callable, not a NoneType: None"),
        (([1], abs), InvalidInputError, r"the first argument must be callable, not a list: \[1\]"),
        ((abs, 7), InvalidInputError, "argument 2 must be iterable, not a int: 7"),
        ((pow, [1], None), InvalidInputError, "argument 3 must be iterable, not a NoneType"),
        ((abs,), InvalidInputError, "at least one iterable"),
        ((threading.Lock().__exit__, [1]), SerializationError, r"the function .*lock"),
        ((abs, [1, threading.Lock()]), SerializationError, "item 1, a lock, cannot be pickled.*lock"),
        ((abs, failing_iterable()), FileNotFoundError, r"data\.csv"),
    ],
    ids=["None", "list", "int", "second", "none given", "function", "item", "iterable"],
)
def test_what_cannot_be_mapped_is_refused(
    pool: PersonalPool, call: tuple[Any, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        condormap(*call, pool=pool)
    assert type(caught.value) is error


@pytest.mark.usefixtures("refused")
def test_strict_refuses_iterables_of_different_lengths(pool: PersonalPool) -> None:
    with pytest.raises(InvalidInputError, match="strict=True, and the iterables have different lengths"):
        condormap(pow, range(3), range(4), strict=True, pool=pool)


# -- options ---------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("refused")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"chunksize": 0}, "chunksize must be 1 or more, not 0"),
        ({"chunksize": "big"}, 'chunksize must be a positive integer or "auto"'),
        ({"memroy": "2GB"}, r"condormap has no option memroy=; did you mean memory=\?"),
        ({"zzz": 1}, "condormap has no option zzz=; there are: .*chunksize"),
        ({"chunk_size": 1}, r"did you mean chunksize=\?"),
        ({"tag": "a/b"}, "'a/b' is no tag"),
        ({"cpus": 0}, "cpus must be an integer of 1 or more"),
        ({"progress": "yes"}, "progress must be True, False, or None .*, not 'yes'"),
        ({"environment": {"A": None}}, "environment: A must be text, a number or a path, not None"),
        ({"submit": {"nice_user": None}}, "submit: nice_user must be text, a number or a path, not None"),
        ({"environment": {"A": "b\nc"}}, "cannot be passed to a job: it contains a line break"),
        ({"submit": {"executable": "/bin/sh"}}, "condormap sets the submit command 'executable' itself"),
    ],
)
def test_wrong_options_are_refused(pool: PersonalPool, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        condormap(abs, [1], pool=pool, **options)


@pytest.mark.usefixtures("refused")
@pytest.mark.parametrize(
    "options", [{"requirements": "Memory >"}, {"submit": {"request_disk": "a lot of"}}], ids=str
)
def test_what_the_submit_language_refuses_is_refused(pool: PersonalPool, options: dict[str, Any]) -> None:
    with pytest.raises(SubmitRefusedError):
        condormap(abs, [1], pool=pool, **options)


def test_a_tag_in_use_is_refused(pool: PersonalPool) -> None:
    condormap(abs, [], pool=pool, tag="taken")
    with pytest.raises(InvalidInputError, match="there is a map with the tag 'taken' already"):
        condormap(abs, [1], pool=pool, tag="taken")


def test_a_map_that_is_not_there_cannot_be_loaded() -> None:
    with pytest.raises(InvalidInputError, match="there is no map with the tag 'no-such-map'"):
        load("no-such-map")


# -- what the pool cannot do -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("refused")
@pytest.mark.parametrize("items", [[1], [1, 2, 3]])
@pytest.mark.parametrize(
    "request_",
    [
        {"cpus": 3},
        {"memory": "5GB"},
        {"disk": "900TB"},
        {"cpus": 1000, "memory": "1TB"},
        {"submit": {"request_memory": "5GB"}},
        {"submit": {"Request_Disk": "900000000000"}},
    ],
    ids=str,
)
def test_more_than_the_personal_pool_has_is_refused(
    pool: PersonalPool, items: list[int], request_: dict[str, Any]
) -> None:
    with pytest.raises(
        ImpossibleRequestError,
        match=r"pool of 2 cpus, 4096 MB of memory and .* can never fulfil what a job asks",
    ):
        condormap(abs, items, pool=pool, **request_)


@pytest.mark.usefixtures("refused")
@pytest.mark.parametrize(
    ("requirements", "why"),
    [
        ("false", r"\(false\)"),
        ("Memory > 5000", r"Memory > 5000: the slots' Memory is at most 4096"),
        ('OpSys == "WINDOWS" && LoadAvg < 1e9', r'OpSys == "WINDOWS": the slots\' OpSys is LINUX\)'),
        ("TARGET.HasWings", "the slots' HasWings is undefined"),
        ("SlotID == 1 && SlotID == 2", "no slot has all of: SlotID == 1 && SlotID == 2"),
        ("TARGET.Memory > 100 * RequestMemory", "TARGET.Memory > 100 \\* RequestMemory"),
    ],
)
@pytest.mark.parametrize("how", ["option", "submit command"])
def test_requirements_that_the_personal_pool_can_never_fulfil_are_refused(
    pool: PersonalPool, requirements: str, why: str, how: str
) -> None:
    options: dict[str, Any] = {"requirements": requirements}
    with pytest.raises(ImpossibleRequestError, match=why):
        condormap(abs, [1], pool=pool, **(options if how == "option" else {"submit": options}))


@pytest.mark.parametrize(
    "requirements",
    ["time() < 0", "CurrentTime < 0", "NumJobStarts > 0", "LoadAvg > 1e9", "Machine == MY.LastRemoteHost"],
)
def test_requirements_that_may_come_true_are_not_refused(pool: PersonalPool, requirements: str) -> None:
    m = condormap(abs, [1], pool=pool, requirements=requirements)
    m.remove()
    assert m.wait(timeout=20)


def test_all_that_the_personal_pool_has_is_not_refused(pool: PersonalPool) -> None:
    assert list(condormap(abs, [-1], pool=pool, cpus=2, memory="4GB")) == [1]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[PersonalPool]:
    """A pool that looks like a site's: its slots do not say that they are a personal pool's."""
    attributes = {"STARTD_ATTRS": "", "SCHEDD_ATTRS": ""}
    with PersonalPool(tmp_path / "site", cpus=1, memory=512, fsync=False, settings=attributes) as pool:
        yield pool


def test_more_than_a_site_s_slots_show_now_is_a_warning(site: PersonalPool) -> None:
    wanted: list[tuple[dict[str, Any], str]] = [
        ({"cpus": 999}, r"asks for \(cpus=999, memory=1024 MB\) now"),
        ({"memory": 100, "disk": "900TB"}, r"asks for \(cpus=1, memory=100 MB, disk=943718400 MB\) now"),
        ({"memory": 100, "requirements": "Memory > 600"}, "Memory > 600: the slots' Memory is at most 512"),
    ]
    for options, told in wanted:
        with pytest.warns(UserWarning, match=f"no slot of the pool fulfils .*{told}"):
            m = condormap(abs, [1], pool=site, **options)
        assert m.remove()["TotalSuccess"]
        assert m.wait(timeout=20)


@pytest.mark.usefixtures("refused")
def test_a_pool_that_was_stopped_is_an_error(tmp_path: Path) -> None:
    with PersonalPool(tmp_path / "pool", cpus=1, memory=512, fsync=False) as pool:
        address = pool.address
    with pytest.raises(NoPoolError, match="does not run; start it first"):
        condormap(abs, [1], pool=pool)
    with pytest.raises(UnreachableError, match="Nothing was submitted"):
        condormap(abs, [1, 2], pool=address)
    with pytest.raises(UnreachableError, match="does not exist"):
        condormap(abs, [1, 2], pool=PoolAddress(tmp_path / "removed" / "condor_config"))


@pytest.mark.usefixtures("refused")
def test_no_pool_at_all_is_an_error_that_names_the_command(
    monkeypatch: pytest.MonkeyPatch, condormap_home: Path
) -> None:
    monkeypatch.delenv("CONDOR_CONFIG", raising=False)
    monkeypatch.setenv("JUPYTERHUB_USER", "alice")  # where none is started unasked
    with pytest.raises(NoPoolError, match="condormap pool start"):
        condormap(abs, [1, 2])


# -- the disk --------------------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of condormap's that the test may harm."""
    monkeypatch.setenv("CONDORMAP_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.mark.usefixtures("refused")
@pytest.mark.parametrize("place", ["home", "home/maps", "home/lib"])
def test_a_folder_that_cannot_be_made_is_an_error(pool: PersonalPool, home: Path, place: str) -> None:
    (home.parent / place).parent.mkdir(exist_ok=True)
    (home.parent / place).write_text("a file is in the way")
    with pytest.raises(StorageError, match="set CONDORMAP_HOME to a folder that you can write"):
        condormap(abs, [1, 2], pool=pool)
    assert maps(home) == set()


LIMITED = """
import os, resource, sys
from condormap import condormap
from condormap.errors import StorageError

def big(size):
    yield from (bytes(size // 10) for _ in range(10))

condormap(abs, [])
before = set(os.listdir(os.environ["CONDORMAP_HOME"] + "/maps"))
HOW
try:
    condormap(len, big(N_BYTES))
except StorageError as error:
    print(error)
print(set(os.listdir(os.environ["CONDORMAP_HOME"] + "/maps")) == before)
"""


@pytest.mark.usefixtures("refused", "home")
@pytest.mark.parametrize("size", [300_000, 5_000_000])
def test_a_file_that_may_not_grow_is_an_error(run_script: Callable[[str], str], size: int) -> None:
    limit = "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))"
    out = run_script(LIMITED.replace("HOW", limit).replace("N_BYTES", str(size)))
    assert "File too large" in out
    assert out.endswith("\nTrue\n")


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file system of 2 MB, where this user may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if (
        shutil.which("mount") is None
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("this user may not mount a file system")
    monkeypatch.setenv("CONDORMAP_HOME", str(disk))
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


@pytest.mark.usefixtures("refused")
@pytest.mark.parametrize("items", [[bytes(1_990_000)], [bytes(4_000_000)], [bytes(300_000)] * 20], ids=len)
def test_a_full_disk_is_an_error(pool: PersonalPool, small_disk: Path, items: list[bytes]) -> None:
    with pytest.raises(StorageError, match="the disk is full: free some space, or set CONDORMAP_HOME"):
        condormap(len, items, pool=pool)
    assert maps(small_disk) == set()


def test_a_disk_that_results_fill_is_the_reason_that_their_job_gives(
    pool: PersonalPool, small_disk: Path, gate: Gate
) -> None:
    def function(size: int) -> bytes:
        if size > 10:
            gate.wait()
        return bytes(size)

    m = condormap(function, [10, 4_000_000, 10], pool=pool, chunksize=3)
    assert m[0] == bytes(10)  # so it is on disk
    gate.open()
    first, *others = m.results(errors="return", timeout=60)
    assert first == bytes(10)
    for error in others:
        assert isinstance(error, JobDiedError)
        assert "disk of its results was full: free some space, then retry()" in str(error)


@pytest.mark.usefixtures("refused")
def test_a_configuration_that_htcondor_cannot_read_is_named_with_the_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "condor_config"
    config.write_text("this is no setting\n")
    monkeypatch.setenv("CONDOR_CONFIG", str(config))
    with pytest.raises(
        CondorError, match=f"Line 1 .*{config}.* Nothing was done. What to do: correct the conf"
    ):
        condormap(abs, [1])


@pytest.mark.usefixtures("refused")
def test_a_folder_of_somebody_else_s_is_an_error(
    start_script: Callable[..., subprocess.Popen[str]], home: Path
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    home.mkdir(mode=0o755)
    os.chmod(home.parent, 0o755)
    code = """
        import os
        from condormap import condormap
        from condormap.errors import StorageError
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        try:
            condormap(abs, [1])
        except StorageError as error:
            print(error)
    """
    process = start_script(code)
    out, _ = process.communicate(timeout=60)
    assert "Permission denied" in out or process.returncode, out
    assert maps(home) == set()


@pytest.mark.usefixtures("refused")
@pytest.mark.parametrize("what", ["map", "job", "cluster"])
def test_a_current_folder_that_is_gone_is_said_to_be(
    pool: PersonalPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    job = {"executable": "/bin/true"}
    calls: dict[str, Callable[[], object]] = {
        "map": lambda: condormap(abs, [1], pool=pool),
        "job": Job(job, pool=pool).submit,
        "cluster": JobCluster(job, 2, pool=pool).submit,
    }
    with pytest.raises(StorageError, match="the current folder of this process is gone") as caught:
        calls[what]()
    assert "CONDORMAP_HOME" not in str(caught.value)


# -- text that HTCondor would take for its own -----------------------------------------------------------------


NASTY = [
    "plain", "", " ", "  two  blanks  ", "tab\there", "it's", "''", 'say "hi"', '"', '""', "$(HOME)", "$$(Cpus)",
    "$ENV(PATH)", "$", "$$", "a=b=c", "#no comment", "\\", "back\\slash\\", "%s", "é ü 漢字", "a;b|c&d",
    "(x)", "queue 5", "$$$", "$$$$(X)", "a$$b$c$$(HOME)d$",
]  # fmt: skip


def test_environment_values_arrive_as_they_are(pool: PersonalPool) -> None:
    environment = {f"NASTY_{n}": value for n, value in enumerate(NASTY)}
    m = condormap(
        lambda name: os.environ[name], list(environment), pool=pool, environment=environment, chunksize=99
    )
    assert dict(zip(NASTY, m, strict=True)) == {value: value for value in NASTY}


@pytest.mark.parametrize("name", ['it\'s a $(HOME) of "mine"', "blank ", "$ENV(PATH) # é"])
def test_folders_may_have_any_name(
    pool: PersonalPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = tmp_path / name / "in it"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("CONDORMAP_HOME", str(folder / name))
    m = condormap(lambda x: (print("printed"), os.getcwd())[1], range(1), pool=pool)
    assert m.results(timeout=20) == [str(folder)]
    assert len(list(m.path.glob("submissions/0/stdio/0/0.out"))) == 1


@pytest.mark.usefixtures("refused")
def test_a_folder_whose_name_breaks_the_line_is_refused(
    pool: PersonalPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "a\nqueue 5"
    folder.mkdir()
    monkeypatch.chdir(folder)
    with pytest.raises(InvalidInputError, match="the path of the current folder must be one line"):
        condormap(abs, [1], pool=pool)
