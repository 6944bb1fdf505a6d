"""Finding and installing the HTCondor daemons: real packages, from this machine's real mirror."""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from condormap.errors import DaemonsNotFoundError, InstallError
from condormap.pool import daemons as finding
from condormap.pool import debian, elf, tarball
from condormap.pool.apt import stanzas
from condormap.pool.commands_install import install_command
from condormap.pool.daemons import Daemons, find_daemons, version_key
from condormap.pool.install import install

HAS_APT = shutil.which("apt-get") is not None
needs_apt = pytest.mark.skipif(not HAS_APT, reason="this machine has no apt")

INSTALL = (
    "import sys; from condormap.pool.install import install; say = lambda line: print(line, flush=True); "
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of condormap's with the newest HTCondor really installed, shared by the tests below."""
    if not HAS_APT:
        pytest.skip("this machine has no apt")
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONDORMAP_HOME", str(folder))
        try:
            install()
        except InstallError as error:
            if "resolv" in str(error) or "connect" in str(error):
                pytest.skip(f"the mirror cannot be reached: {error}")
            raise
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def installed(home: Path, monkeypatch: pytest.MonkeyPatch) -> Daemons:
    """The daemons of `home`, which is this process's; no HTCondor on the system is in sight."""
    monkeypatch.setenv("CONDORMAP_HOME", str(home))
    without_system(monkeypatch)
    return find_daemons()


@pytest.fixture
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CONDORMAP_HOME", str(tmp_path / "home"))
    without_system(monkeypatch)
    return tmp_path / "home"


@pytest.fixture(scope="module")
def official(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tarball laid out as HTCondor's own are, made of the installed programs and their libraries."""
    (prefix,) = (home / "daemons").glob("2*")
    path = tmp_path_factory.mktemp("tarball") / "condor-99.1.2-stripped.tar.gz"
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for folder in ("bin", "sbin", "lib"):
            archive.add(prefix / "usr" / folder, f"condor-99.1.2/{folder}")
        archive.add(prefix / "usr/libexec/condor", "condor-99.1.2/libexec")
    return path


def without_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no HTCondor that this machine has be found; apt and the like still are."""
    paths = [p for p in os.environ["PATH"].split(":") if not Path(p, "condor_master").exists()]
    monkeypatch.setenv("PATH", ":".join(paths))
    monkeypatch.setattr(finding, "_SYSTEM_FOLDERS", ())


def with_apt(monkeypatch: pytest.MonkeyPatch, folder: Path, configuration: str) -> None:
    """Let apt on this machine be configured with these lines beside its own."""
    (folder / "test.apt.conf").write_text(configuration)
    monkeypatch.setenv("APT_CONFIG", str(folder / "test.apt.conf"))


def with_sources(monkeypatch: pytest.MonkeyPatch, folder: Path, lines: str) -> None:
    """Let apt on this machine be configured with these sources and no others."""
    (folder / "machine.list").write_text(lines)
    with_apt(
        monkeypatch,
        folder,
        f'Dir::Etc::sourcelist "{folder}/machine.list"; Dir::Etc::sourceparts "{folder}/none";',
    )


def start(home: Path, call: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "CONDORMAP_HOME": str(home)}
    return subprocess.Popen(
        [sys.executable, "-c", INSTALL + call], env=environment, stdout=subprocess.PIPE, text=True
    )


# -- what was installed ---------------------------------------------------------------------------------------


def test_installed_daemons_run(installed: Daemons) -> None:
    answer = subprocess.run([installed.sbin / "condor_master", "-version"], capture_output=True, text=True)
    assert f"$CondorVersion: {installed.version} " in answer.stdout
    assert installed.source == "user"
    assert version_key(installed.version) >= (23, 9)


def test_installed_programs_use_only_what_is_beside_them(installed: Daemons) -> None:
    prefix = installed.release.parent
    files = elf.elf_files(prefix)
    interpreters = {file.interpreter for file in files if file.path.parent == installed.sbin}
    assert len(interpreters) == 1
    assert Path(interpreters.pop()).is_relative_to(prefix)
    assert elf.missing_libraries(prefix, files) == {}


def test_installed_folders_are_what_htcondor_calls_them(installed: Daemons) -> None:
    assert (installed.bin / "condor_submit").exists()
    assert (installed.libexec / "condor_shared_port").exists()
    assert (installed.lib / "condor_ssh_to_job_sshd_config_template").exists()
    assert installed.settings()["RELEASE_DIR"] == str(installed.release)


def test_every_user_may_read_and_run_what_is_installed(installed: Daemons) -> None:
    for path in (installed.release.parent, *installed.release.parent.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            assert mode & stat.S_IROTH, path
            assert not mode & (stat.S_ISUID | stat.S_ISGID | stat.S_IWGRP | stat.S_IWOTH), path
            assert bool(mode & stat.S_IXOTH) == bool(mode & stat.S_IXUSR), path


def test_nothing_but_the_installation_stays(installed: Daemons, home: Path) -> None:
    folder = home / "daemons"
    assert not (folder / ".staging").exists()


def test_a_second_install_needs_no_network_and_no_time(
    installed: Daemons, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_apt(monkeypatch, tmp_path, 'Acquire::http::Proxy "http://127.0.0.1:9/";')
    started = time.perf_counter()
    assert install() == installed
    assert time.perf_counter() - started < 0.5


def test_two_suites_lie_side_by_side_and_the_newest_is_used(installed: Daemons) -> None:
    if debian.distribution().family != "debian":
        pytest.skip("Ubuntu has no suite of a fixed name that has HTCondor")
    older = install(suite="trixie")
    try:
        assert older.release != installed.release
        assert find_daemons() == installed
        assert install(suite="trixie") == older
        assert find_daemons(older.release.parent).version == older.version
    finally:
        shutil.rmtree(older.release.parent)


# -- finding --------------------------------------------------------------------------------------------------


def test_system_htcondor_goes_before_the_users(installed: Daemons, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}:{installed.sbin}")
    found = find_daemons()
    assert (found.source, found.release, found.version) == ("system", installed.release, installed.version)


def test_a_link_to_a_system_htcondor_leads_to_it(
    installed: Daemons, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/condor_master").symlink_to(installed.sbin / "condor_master")
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}:{tmp_path}/bin")
    assert find_daemons().release == installed.release


def test_a_system_htcondor_that_is_too_old_is_passed_over(
    installed: Daemons, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("sbin/condor_master", "libexec/condor_shared_port"):
        program = tmp_path / name
        program.parent.mkdir()
        program.write_text("#!/bin/sh\necho '$CondorVersion: 10.2.0 2023-01-05 $'\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}:{tmp_path}/sbin")
    assert find_daemons().source == "user"
    monkeypatch.setenv("CONDORMAP_HOME", str(tmp_path))
    with pytest.raises(DaemonsNotFoundError, match=r"10\.2\.0, which is too old"):
        find_daemons()


@pytest.mark.parametrize("inside", ["", "usr", "usr/sbin/condor_master"])
def test_a_path_that_is_given_is_used(
    home: Path, inside: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONDORMAP_HOME", str(tmp_path))
    (prefix,) = (home / "daemons").glob("2*")
    found = find_daemons(prefix / inside)
    assert (found.source, found.release) == ("given", prefix / "usr")


def test_a_given_path_without_htcondor_is_an_error_even_where_others_are(
    installed: Daemons, tmp_path: Path
) -> None:
    with pytest.raises(DaemonsNotFoundError, match="was given as the HTCondor to use"):
        find_daemons(tmp_path)


def test_no_daemons_names_the_command_to_run(empty_home: Path) -> None:
    with pytest.raises(DaemonsNotFoundError, match="condormap pool install"):
        find_daemons()


def test_a_damaged_installation_is_not_used_and_said_to_be(installed: Daemons) -> None:
    startd = installed.sbin / "condor_startd"
    startd.rename(startd.with_name("away"))
    try:
        with pytest.raises(DaemonsNotFoundError, match=r"damaged \(usr/sbin/condor_startd is missing\)"):
            find_daemons()
    finally:
        startd.with_name("away").rename(startd)


def test_an_installation_that_was_moved_is_not_used(installed: Daemons, empty_home: Path) -> None:
    copy = empty_home / "daemons" / "copy"
    shutil.copytree(installed.release.parent, copy, symlinks=True)
    with pytest.raises(DaemonsNotFoundError, match="does not run elsewhere"):
        find_daemons()


# -- from a tarball, interrupted, two at once ------------------------------------------------------------------


def test_from_tarball(official: Path, empty_home: Path) -> None:
    found = install(tarball=official)
    assert (found.release, found.libexec) == (found.sbin.parent, found.release / "libexec")
    answer = subprocess.run([found.sbin / "condor_schedd", "-version"], capture_output=True, text=True)
    assert f"$CondorVersion: {found.version} " in answer.stdout
    files = elf.elf_files(found.release)
    (loader,) = {file.interpreter for file in files if file.path.parent == found.sbin}
    assert Path(loader).is_relative_to(found.release)


def test_a_damaged_installation_is_redone(official: Path, empty_home: Path) -> None:
    found = install(tarball=official)
    (found.sbin / "condor_startd").write_bytes(b"")
    assert install(tarball=official) == found
    assert find_daemons() == found


def test_two_at_once_install_once(official: Path, empty_home: Path) -> None:
    both = [start(empty_home, f"install(tarball={str(official)!r}, say=say)") for _ in range(2)]
    said = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum("Unpacking" in text for text in said) == 1
    assert sum("Waiting for another installation" in text for text in said) == 1


@needs_apt
def test_a_killed_install_takes_apt_along_and_the_next_one_starts_afresh(
    official: Path, empty_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # apt waits 15 s for its answer
        proxy = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        with_apt(monkeypatch, tmp_path, f'Acquire::http::Proxy "{proxy}";')
        process = start(empty_home, "install(say=say)")
        assert process.stdout is not None
        assert "Looking for HTCondor" in process.stdout.readline()
        connection, _ = silent.accept()
        apt = wait_for_child(process.pid)
        process.kill()
        process.wait()
        process.stdout.close()
        wait_for_end(apt)
        connection.close()
    assert (empty_home / "daemons/.staging").exists()
    with pytest.raises(DaemonsNotFoundError):
        find_daemons()
    install(tarball=official)
    assert not (empty_home / "daemons/.staging").exists()


def wait_for_child(pid: int) -> int:
    """Return the process id of a process's first child, as soon as it has one."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        if children:
            return int(children[0])
        time.sleep(0.005)
    raise AssertionError(f"process {pid} started no child")


def wait_for_end(pid: int) -> None:
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")")[-1].split()[0]
        except OSError:
            return
        if state == "Z":
            return
        time.sleep(0.01)
    raise AssertionError(f"process {pid} did not end")


# -- tarballs that are none ------------------------------------------------------------------------------------


def made(path: Path, *extra: tarfile.TarInfo) -> Path:
    names = ("bin/condor_submit", "sbin/condor_master", "sbin/condor_schedd", "sbin/condor_startd")
    with tarfile.open(path, "w:gz") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(f"./condor/{name}"), io.BytesIO())
        for member in extra:
            archive.addfile(member)
    return path


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


@pytest.mark.parametrize(
    "member",
    [
        link("condor/lib", "/etc"),
        link("condor/lib", "../../etc"),
        link("condor/lib", "/etc/passwd", tarfile.LNKTYPE),
        link("condor/../../escaped", ""),
        link("condor/device", "", tarfile.CHRTYPE),
    ],
    ids=["absolute link", "relative link", "hard link", "name", "device"],
)
def test_a_tarball_that_leads_out_of_itself_is_refused(member: tarfile.TarInfo, tmp_path: Path) -> None:
    path = made(tmp_path / "condor.tar.gz", member)
    with pytest.raises(InstallError, match=r"leads out of it|special file|one folder"):
        tarball.unpack(path, tmp_path / "to")
    assert not (tmp_path / "to").exists()


def test_a_tarball_of_something_else_is_refused(tmp_path: Path, empty_home: Path) -> None:
    with tarfile.open(tmp_path / "other.tar.gz", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("other/bin/true"), io.BytesIO())
    with pytest.raises(InstallError, match="there is no bin/condor_submit"):
        install(tarball=tmp_path / "other.tar.gz")


def test_a_tarball_whose_programs_do_not_run_is_refused(tmp_path: Path, empty_home: Path) -> None:
    path = made(tmp_path / "condor.tar.gz", tarfile.TarInfo("condor/libexec/condor_shared_port"))
    with pytest.raises(InstallError, match="sbin/condor_master"):
        install(tarball=path)
    assert sorted(p.name for p in (empty_home / "daemons").iterdir()) == [".lock"]


def test_a_truncated_tarball_is_refused(official: Path, tmp_path: Path, empty_home: Path) -> None:
    (tmp_path / "half.tar.gz").write_bytes(official.read_bytes()[:1_000_000])
    with pytest.raises(InstallError, match="not a whole tarball"):
        install(tarball=tmp_path / "half.tar.gz")


def test_a_tarball_with_another_checksum_is_refused(tmp_path: Path, empty_home: Path) -> None:
    path = made(tmp_path / "condor.tar.gz")
    with pytest.raises(InstallError, match="not the file that was asked for"):
        install(tarball=path, sha256="0" * 64)
    assert not empty_home.exists()


def test_a_tarball_that_is_not_there(tmp_path: Path, empty_home: Path) -> None:
    with pytest.raises(InstallError, match="No such file"):
        install(tarball=tmp_path / "absent.tar.gz")


# -- where nothing fits ----------------------------------------------------------------------------------------


def test_without_apt_the_error_lists_what_can_be_done(
    empty_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InstallError) as caught:
        install()
    for way in ("--from-tarball", "administrator", "conda-forge", "lab's pool"):
        assert way in str(caught.value)


@needs_apt
def test_a_mirror_that_does_not_answer_ends_soon_and_leaves_nothing(
    empty_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_apt(monkeypatch, tmp_path, 'Acquire::http::Proxy "http://127.0.0.1:9/"; Acquire::Retries "0";')
    with pytest.raises(InstallError, match=r"Could not connect to 127\.0\.0\.1:9"):
        install()
    assert [path.name for path in (empty_home / "daemons").iterdir()] == [".lock"]


@needs_apt
def test_a_mirror_without_the_distributions_signature_is_refused(
    empty_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = debian.distribution()
    suite = debian.suites(system)[0]
    index = tmp_path / "mirror/dists" / suite / "main/binary-amd64"
    index.mkdir(parents=True)
    (index / "Packages").write_text("Package: condor\nVersion: 99.1\nArchitecture: amd64\n")
    (index.parents[1] / "Release").write_text(f"Codename: {suite}\nComponents: main\nArchitectures: amd64\n")
    with_sources(monkeypatch, tmp_path, f"deb [trusted=yes] file:{tmp_path}/mirror {suite} main\n")
    with pytest.raises(InstallError, match="is not signed"):
        install(suite=suite)


@needs_apt
def test_an_apt_whose_configuration_is_broken(
    empty_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_apt(monkeypatch, tmp_path, 'APT { "')
    with pytest.raises(InstallError, match="Syntax error"):
        install()


@needs_apt
def test_a_suite_that_the_mirror_has_not(home: Path, empty_home: Path) -> None:
    with pytest.raises(InstallError, match="nonesuch"):
        install(suite="nonesuch")


def test_a_suite_cannot_smuggle_lines_into_the_sources(empty_home: Path) -> None:
    with pytest.raises(InstallError, match="is not the name of a suite"):
        install(suite="sid\nTrusted: yes")


def test_a_folder_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONDORMAP_HOME", "/proc/nowhere")
    with pytest.raises(InstallError, match="Set CONDORMAP_HOME"):
        install()


def test_command_line_says_the_error_and_how_to_go_on(empty_home: Path, tmp_path: Path) -> None:
    answer = CliRunner().invoke(install_command, ["--from-tarball", str(tmp_path / "absent")])
    assert answer.exit_code == 1
    assert "No such file" in answer.output
    answer = CliRunner().invoke(install_command, ["--suite", "sid", "--from-tarball", "x"])
    assert "exclude each other" in answer.output


# -- reading the machine's configuration -----------------------------------------------------------------------


def test_sources_of_both_formats_and_only_enabled_ones(tmp_path: Path) -> None:
    main, parts = tmp_path / "sources.list", tmp_path / "sources.list.d"
    parts.mkdir()
    main.write_text(
        "# deb http://mirror.example/commented sid main\n"
        "deb-src http://mirror.example/source sid main\n"
        "deb [arch=amd64 signed-by=/usr/share/keyrings/Key.gpg check-valid-until=no] "
        "http://mirror.example/one trixie main contrib # why\n"
    )
    (parts / "two.sources").write_text(
        "Types: deb deb-src\n# a comment\nURIs: http://mirror.example/two\n  http://mirror.example/three\n"
        "Suites: trixie trixie-updates\nComponents: main\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n"
        "\nEnabled: no\nTypes: deb\nURIs: http://mirror.example/off\nSuites: sid\nComponents: main\n"
    )
    (parts / "off.list.disabled").write_text("deb http://mirror.example/disabled sid main\n")
    one, two = debian.read_sources(main, parts)
    assert (one.uris, one.suites, one.components) == (
        ("http://mirror.example/one",),
        ("trixie",),
        ("main", "contrib"),
    )
    assert (one.signed_by, one.check_valid_until) == ("/usr/share/keyrings/Key.gpg", "no")
    assert two.uris == ("http://mirror.example/two", "http://mirror.example/three")
    assert two.signed_by.startswith("-----BEGIN")


@needs_apt
def test_only_the_distributions_own_mirrors_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system = debian.distribution()
    release = system.codename
    with_sources(
        monkeypatch,
        tmp_path,
        f"deb http://mirror.example/plain {release} main\n"
        f"deb [signed-by=/usr/share/keyrings/{system.family}-archive-keyring.gpg] http://mirror.example/signed/ "
        f"{release} main\n"
        f"deb [trusted=yes] http://mirror.example/signed {release} main\n"
        f"deb [signed-by=/etc/apt/keyrings/vendor.gpg] http://vendor.example/apt {release} main\n"
        f"deb http://vendor.example/docker {release} stable\n"
        f"deb http://mirror.example/security {release}-security main\n",
    )
    found = debian.mirrors(system)
    assert [mirror["URIs"] for mirror in found] == [
        "http://mirror.example/plain",
        "http://mirror.example/signed/",
    ]
    assert {mirror["Signed-By"] for mirror in found} == {str(system.keyring)}
    assert not any("Trusted" in mirror for mirror in found)


def test_debian_suites_go_from_newest_to_the_machines_own() -> None:
    system = debian.Distribution("debian", "bookworm")
    assert debian.suites(system) == ["sid", "testing", "stable", "bookworm", "bookworm-backports"]


def test_ubuntu_suites_begin_with_the_one_in_development_and_end_with_the_machines_own() -> None:
    names = debian.suites(debian.Distribution("ubuntu", "jammy"))
    assert (names[0], names[-1]) == ("devel", "jammy")


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("25.14.1+dfsg-1", (25, 14, 1)), ("1:23.9.6", (23, 9, 6)), ("23.9.6~rc1", (23, 9, 6)), ("unknown", ())],
)
def test_version_key(text: str, numbers: tuple[int, ...]) -> None:
    assert version_key(text) == numbers


def test_control_format_with_continued_lines_and_comments() -> None:
    text = "Package: a\nDepends: b,\n# not this\n c\n\n\nPackage: d\n"
    assert list(stanzas(text)) == [{"package": "a", "depends": "b,\n c"}, {"package": "d"}]


def test_a_stamp_of_an_unknown_layout_is_no_installation(tmp_path: Path) -> None:
    (tmp_path / finding.STAMP).write_text(json.dumps({"layout": 2}))
    assert finding.read_stamp(tmp_path) is None
