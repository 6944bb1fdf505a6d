"""JobCluster.from_jdf of a file that makes 10,000 jobs, against condor_submit.

Goal: at most 1.2 times what condor_submit takes for the same file.

    python benchmarks/jdf_submit.py [ROUNDS] [JOBS]
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from harness import Figures, interleave, report

from condormap import JobCluster, PersonalPool
from condormap.condor import Condor, connect

COMMANDS = """\
executable = /bin/sleep
transfer_executable = false
arguments = $(Process) $(x:0)
output = $(Process).out
log = jobs.log
request_memory = 32MB
hold = true
"""


def by_condormap(pool: PersonalPool, path: Path) -> list[int]:
    with contextlib.chdir(path.parent):
        return [JobCluster.from_jdf(path, pool=pool).id]


def by_condor_submit(program: Path, path: Path) -> list[int]:
    run = subprocess.run(
        [program, "-terse", path], cwd=path.parent, check=True, capture_output=True, text=True
    )
    return [int(run.stdout.partition(".")[0])]


def measured(condor: Condor, submit: Callable[[], list[int]]) -> Callable[[], Figures]:
    """Return a contender whose jobs are removed when the time is taken."""

    def contender() -> Figures:
        began = time.perf_counter()
        clusters = submit()
        ended = time.perf_counter()
        condor.act("remove", jobs=[str(cluster) for cluster in clusters], deadline=120)
        while condor.query("true", ["ProcId"], limit=1):
            time.sleep(0.1)
        return {"total": ended - began}

    return contender


def main(rounds: int = 7, n_jobs: int = 10_000) -> None:
    with tempfile.TemporaryDirectory(prefix="condormap-bench-") as folder, PersonalPool(cpus=2) as pool:
        os.environ["CONDOR_CONFIG"] = str(pool.config_file)
        condor = connect(pool.address)
        program = pool.daemons.bin / "condor_submit"
        Path(folder, "rows.txt").write_text("".join(f"row {index}\n" for index in range(n_jobs)))
        for title, queue in (("a number", f"queue {n_jobs}"), ("a table", "queue x from rows.txt")):
            path = Path(folder, title.replace(" ", "_") + ".job")
            path.write_text(f"{COMMANDS}{queue}\n")
            contenders = {
                "condormap": measured(condor, lambda path=path: by_condormap(pool, path)),  # type: ignore[misc]
                "condor_submit": measured(condor, lambda path=path: by_condor_submit(program, path)),  # type: ignore[misc]
            }
            report(f"Submit of {n_jobs} jobs, {title}", interleave(contenders, rounds), goals={"total": 1.2})


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
