"""The bifurcation diagram of the logistic map, computed on an HTCondor pool.

For each growth rate r between 1 and 4, iterate x -> r x (1 - x) until the start is forgotten, and keep where x
goes from there: one value, two, four, eight, chaos.
"""

from __future__ import annotations

import time
from pathlib import Path

import matplotlib as mpl
import numpy as np

from condormap import PersonalPool, condormap, remove

RATES = np.arange(1.01, 3.99, 0.002)
PICTURE = Path("output/logistic.png")


def logistic(rate: float, *, settle: int = 1000, keep: int = 200) -> np.ndarray:
    """Return where the logistic map with this growth rate goes, once it has settled."""
    x = 0.5
    for _ in range(settle):
        x = rate * x * (1 - x)
    visited = np.empty(keep)
    for step in range(keep):
        x = visited[step] = rate * x * (1 - x)
    return visited


def draw(orbits: list[np.ndarray], path: Path) -> None:
    """Draw the orbits over their growth rates."""
    mpl.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(10, 6), dpi=150, layout="constrained")
    rates = np.repeat(RATES, [len(orbit) for orbit in orbits])
    axes.plot(rates, np.concatenate(orbits), ",", color="black", alpha=0.25)
    axes.set(xlabel="growth rate $r$", ylabel="$x$ after 1,000 steps", xlim=(1, 4), ylim=(0, 1))
    axes.set_title("The logistic map $x \\to r\\,x\\,(1 - x)$, computed by condormap")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    plt.close(figure)


def main() -> None:
    print("Starting a personal HTCondor pool on this machine")
    with PersonalPool() as pool:
        print(f"Mapping logistic() over {len(RATES):,} growth rates on {pool.cpus} cpus")
        began = time.perf_counter()
        m = condormap(logistic, RATES, pool=pool)
        orbits = list(m)
        seconds = time.perf_counter() - began

        sample = range(0, len(RATES), 100)
        assert all(np.array_equal(orbits[i], logistic(RATES[i])) for i in sample), "not what map() gives"
        hosts = m.jobs.host
        n_slots = len({*hosts.values()})
        print(f"{len(orbits):,} results in {seconds:.1f} s, from {len(hosts)} jobs on {n_slots} slots:")
        for job, host in hosts.items():
            print(f"  job {job.id:6} on {host}")
        print(f"{len(sample)} of them compared with plain map(): equal")
        draw(orbits, PICTURE)
        remove(m.tag)
    print(f"The bifurcation diagram: {PICTURE.resolve()}")


if __name__ == "__main__":
    main()
