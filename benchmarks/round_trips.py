"""One-item maps in a row: from the call of condormap() to the result in hand.

Goal for 50 of them: median at most 0.2 s, 95% under 1.2 s, nothing over 3 s. Then in turns with the same by hand.

    python benchmarks/round_trips.py [ROUNDS]
"""

from __future__ import annotations

import os
import sys
import tempfile
import time

from floor import Floor
from harness import Figures, column, interleave, quantile, report

from condormap import PersonalPool, condormap


def square(x: int) -> int:
    return x * x


def by_condormap(pool: PersonalPool) -> Figures:
    began = time.perf_counter()
    (result,) = condormap(square, [7], pool=pool)
    ended = time.perf_counter()
    assert result == 49
    return {"total": ended - began}


def main(rounds: int = 50) -> None:
    with tempfile.TemporaryDirectory(prefix="condormap-bench-") as home, PersonalPool(cpus=2) as pool:
        os.environ["CONDORMAP_HOME"] = home
        os.environ["CONDOR_CONFIG"] = str(pool.config_file)
        import htcondor2

        floor = Floor(htcondor2.Schedd())
        alone = interleave({"condormap, in a row": lambda: by_condormap(pool)}, rounds)
        report("One-item maps in a row", alone)
        times = column(alone["condormap, in a row"], "total")
        late, worst = quantile(times, 0.95), times[-1]
        print(f"95% under {late:.3f} s (goal 1.2), the slowest {worst:.3f} s (goal 3)")
        runs = interleave(
            {
                "condormap": lambda: by_condormap(pool),
                "by hand": lambda: {"total": floor.map(square, [7], [1])["total"]},
            },
            rounds,
        )
        report("One-item maps, in turns with the same by hand", runs)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
