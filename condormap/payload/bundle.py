"""The folder of Python files that every job of a map runs: the runner, what it reads, and what comes with them.

The folder is named by a hash of its content and shared by all maps of a user, so that Python compiles it once;
an upgrade of condormap makes another one, and jobs that are in the queue keep theirs. It also has all of them in
one file, compiled, which jobs are sent that do not see the folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import itertools
import marshal
import os
import shutil
import sys
import tempfile
import zipfile
from functools import cache
from pathlib import Path

OLD_PYTHON = 78  # the exit code of a job whose Python is too old (EX_CONFIG of sysexits.h)
_MAIN = f"""\
import os
import sys
if sys.version_info < (3, 9):
    # What an old Python can run, too.
    sys.stderr.write("condormap: the jobs need Python 3.9 or newer, and %s is Python %s"
                     % (sys.executable, sys.version.split()[0]))
    sys.exit({OLD_PYTHON})
sys.path[0] = os.path.abspath(sys.path[0])
sys.path.insert(1, sys.path[0] + "/pickling")  # the cloudpickle that the function was pickled by
sys.path.append(sys.path[0] + "/fallback")  # where this Python has no condormap of its own
if __name__ == "__main__":  # and not in a process that the function spawns
    from condormap_job.runner import main
    code = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # the interpreter's clean-up costs milliseconds and has nothing to clean
"""
RUN_FILE, RUN_ARCHIVE = "run.py", "run.zip"  # what a Python is given to run
# What a function finds in a Python without condormap: `condormap.checkpoint`, also by way of the function; the
# reducers, and what reads trajectories.
_STAND_IN = """\
from . import checkpoint
def __getattr__(name):
    raise AttributeError("this Python has no condormap, and so only what jobs are sent of it: no " + name)
"""
_STAND_IN_MAPPING = """\
import sys
condormap = sys.modules[__package__]
"""


@cache
def _files() -> dict[str, bytes]:
    """Return the content of the folder: relative path -> bytes."""
    here = Path(__file__).parents[1]
    files = {RUN_FILE: _MAIN.encode()}
    files |= {
        f"condormap_job/{path.name}": path.read_bytes() for path in sorted((here / "in_job").glob("*.py"))
    }
    files |= {
        "fallback/condormap/__init__.py": _STAND_IN.encode(),
        "fallback/condormap/checkpoint.py": (here / "checkpoint.py").read_bytes(),
        "fallback/condormap/mapping.py": _STAND_IN_MAPPING.encode(),
    }
    folders = [(here / name).rglob("*.py") for name in ("reducers", "trajectory")]
    for path in sorted([here / "errors.py", *itertools.chain(*folders)]):
        files[f"fallback/condormap/{path.relative_to(here)}"] = path.read_bytes()
    spec = importlib.util.find_spec("cloudpickle")
    assert spec is not None
    assert spec.origin is not None
    for path in sorted(Path(spec.origin).parent.glob("*.py")):
        files[f"pickling/cloudpickle/{path.name}"] = path.read_bytes()
    return files


def bundle(home: Path) -> Path:
    """Return the folder for the jobs of this version of condormap below `home`; make it if it isn't there.

    Parameters
    ----------
    home : Path
        condormap's folder, which the jobs can read.

    Raises
    ------
    OSError
        It can't be written.
    """
    digest = hashlib.sha256(str(sys.implementation.cache_tag).encode())  # it is compiled for this Python
    for name, data in _files().items():
        digest.update(f"{name}\0{len(data)}\0".encode() + data)
    target = home / "lib" / digest.hexdigest()[:16]
    if target.is_dir():
        with contextlib.suppress(OSError):
            os.utime(target)  # it is in use: `condormap.clean` goes by that
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".new-", dir=target.parent))
    try:
        for name, data in _files().items():
            path = staging / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        _write_archive(staging / RUN_ARCHIVE)
        os.rename(staging, target)
    except OSError:
        shutil.rmtree(staging, ignore_errors=True)
        if not target.is_dir():  # else another process was faster
            raise
    return target


def _write_archive(path: Path) -> None:
    """Write the files as a zip file that a Python runs; another one than this compiles them anew, in each job."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in _files().items():
            name = "__main__.py" if name == RUN_FILE else name
            archive.writestr(name, data, zipfile.ZIP_DEFLATED)
            if not name.startswith("fallback/"):  # few jobs need that, and all are sent it
                archive.writestr(f"{name}c", _compiled(name, data))


def _compiled(name: str, source: bytes) -> bytes:
    """Return the pyc file of a module, which is not compared with its source (PEP 552)."""
    code = compile(source, name, "exec", dont_inherit=True)
    unchecked, no_hash = (1).to_bytes(4, "little"), bytes(8)
    return importlib.util.MAGIC_NUMBER + unchecked + no_hash + marshal.dumps(code)
