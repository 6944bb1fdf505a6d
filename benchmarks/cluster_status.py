"""The status of a cluster of 10,000 jobs: what it costs, and how often the schedd is asked (goal: once).

python benchmarks/cluster_status.py [JOBS] [ROUNDS]
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from typing import Any

from harness import interleave, report, timed

from condormap import JobCluster, JobStatus, PersonalPool
from condormap.condor import Condor


def count_questions(work: Callable[[], object]) -> list[str]:
    """Return what the schedd is asked while `work` is done."""
    asked = []
    real = Condor.query, Condor.history

    def query(self: Condor, *args: Any, **more: Any) -> Any:
        asked.append("query")
        return real[0](self, *args, **more)

    def history(self: Condor, *args: Any, **more: Any) -> Any:
        asked.append("history")
        return real[1](self, *args, **more)

    Condor.query, Condor.history = query, history  # type: ignore[method-assign]
    try:
        work()
    finally:
        Condor.query, Condor.history = real  # type: ignore[method-assign]
    return asked


def main(n_jobs: int = 10_000, rounds: int = 15) -> None:
    with tempfile.TemporaryDirectory(prefix="condormap-bench-") as home, PersonalPool(cpus=2) as pool:
        os.environ["CONDORMAP_HOME"] = home
        os.environ["CONDOR_CONFIG"] = str(pool.config_file)
        import htcondor2

        cluster = JobCluster({"executable": "/bin/sleep", "arguments": "1", "hold": "true"}, n_jobs)
        number = cluster.submit()
        schedd = htcondor2.Schedd()

        def by_hand() -> object:
            ads = schedd.query(f"ClusterId == {number}", ["ProcId", "JobStatus"])
            return {ad["ProcId"]: ad["JobStatus"] for ad in ads}

        assert by_hand() == cluster.status == dict.fromkeys(range(n_jobs), JobStatus.HELD)
        contenders = {"condormap": timed(lambda: cluster.status), "by hand": timed(by_hand)}
        report(f"Status of a cluster of {n_jobs} jobs", interleave(contenders, rounds))
        for name, work in {
            "status": lambda: cluster.status,
            "repr": lambda: repr(cluster),
            "status of a selection": lambda: cluster[: n_jobs // 2].status,
            "status by JobCluster.from_queue": lambda: JobCluster.from_queue(number).status,
        }.items():
            print(f"{name:32} asks the schedd: {', '.join(count_questions(work))}")
        cluster.remove()
        print(
            f"{'wait for all, after remove()':32} asks the schedd: {', '.join(count_questions(cluster.wait))}"
        )
        print(
            f"{'status when all have ended':32} asks: {', '.join(count_questions(lambda: cluster.status)) or '-'}"
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
