"""Print a line for each Python from 3.11 on this machine: its version and its path.

Of several of one version, one that has CPython's own tests of executors, if there is one. That none has them is an
error, for then nobody would run them.
"""

from __future__ import annotations

import glob
import os
import re
import subprocess
import sys

ASK = """
import importlib.util, sys
found = importlib.util.find_spec("test") and importlib.util.find_spec("test.test_concurrent_futures")
print(*sys.version_info[:2], bool(found), bool(importlib.util.find_spec("ensurepip")), sys.executable)
"""
PLACES = [*os.environ.get("PATH", "").split(os.pathsep), os.path.expanduser("~/.pyenv/versions/*/bin")]
PLACES += [os.path.expanduser("~/.local/share/uv/python/*/bin"), "/opt/python/*/bin"]


def main() -> int:
    """Print them; return the exit code."""
    found: dict[tuple[int, int], tuple[bool, str]] = {}
    paths = {path for place in PLACES for path in glob.glob(f"{place}/python3*")}
    for path in sorted(path for path in paths if re.fullmatch(r"python3([.]\d+)?", os.path.basename(path))):
        run = subprocess.run([path, "-c", ASK], capture_output=True, text=True, check=False)
        if run.returncode:
            continue
        major, minor, has_tests, can_install, executable = run.stdout.split()
        version, candidate = (int(major), int(minor)), (has_tests == "True", executable)
        if can_install == "True" and version >= (3, 11):
            found[version] = max(found.get(version, candidate), candidate, key=lambda each: each[0])
    for (major, minor), (_, path) in sorted(found.items()):
        print(f"{major}.{minor} {path}")
    if not any(has_tests for has_tests, _ in found.values()):
        print(
            "No Python here has test.test_concurrent_futures: install one built from source", file=sys.stderr
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
