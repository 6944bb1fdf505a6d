"""Contenders, interleaved: every figure is the median of several runs, every comparison a ratio of medians.

Machines are noisy and drift, so no contender runs twice in a row: each round runs every contender once, in an
order that changes from round to round.
"""

from __future__ import annotations

import json
import os
import platform
import random
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

Figures = Mapping[str, float]  # the name of a part -> seconds


def interleave(contenders: Mapping[str, Callable[[], Figures]], rounds: int) -> dict[str, list[Figures]]:
    """Run each contender once unmeasured, then `rounds` times in turns; return the figures of each run."""
    order = list(contenders)
    for name in order:
        contenders[name]()
    runs: dict[str, list[Figures]] = {name: [] for name in order}
    for _ in range(rounds):
        random.shuffle(order)
        for name in order:
            runs[name].append(contenders[name]())
    return runs


def timed(work: Callable[[], object]) -> Callable[[], Figures]:
    """Return a contender that measures one call of `work` as its "total"."""

    def contender() -> Figures:
        start = time.perf_counter()
        work()
        return {"total": time.perf_counter() - start}

    return contender


def column(runs: list[Figures], part: str) -> list[float]:
    return sorted(run[part] for run in runs)


def quantile(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, int(share * len(values)))]


def report(
    title: str, runs: Mapping[str, list[Figures]], *, goals: Mapping[str, float] | None = None
) -> None:
    """Print each contender's figures, and the first one's ratio to each other, with the goal for the second.

    A ratio is that of the medians; beside it stands the median of the ratios of the runs of one round.
    """
    print(f"\n{title}  ({os.cpu_count()} cpus, Python {platform.python_version()}, seconds)")
    parts = list(next(iter(runs.values()))[0])
    print(f"{'':24}" + "".join(f"{part:>34}" for part in parts))
    for name, figures in runs.items():
        print(f"{name:24}", end="")
        for part in parts:
            values = column(figures, part)
            low, middle, high = values[0], statistics.median(values), values[-1]
            print(f"{f'{middle:.3f} ({low:.3f} to {high:.3f})':>34}", end="")
        print(f"   {len(figures)} runs")
    names = list(runs)
    for other in names[1:]:
        print(f"{names[0]} / {other}"[:24].ljust(24), end="")
        for part in parts:
            if not any(column(runs[other], part)):  # bytes that need not travel
                print(f"{'':>34}", end="")
                continue
            ratio = statistics.median(column(runs[names[0]], part)) / statistics.median(
                column(runs[other], part)
            )
            pairs = [a[part] / b[part] for a, b in zip(runs[names[0]], runs[other], strict=True)]
            goal = f", goal {goals[part]}" if goals and part in goals and other == names[1] else ""
            print(f"{f'{ratio:.2f} (pairs {statistics.median(pairs):.2f}{goal})':>34}", end="")
        print()
    save(title, runs)


def save(title: str, runs: Mapping[str, list[Figures]]) -> None:
    """Append the raw figures to ``output/benchmarks.jsonl``."""
    folder = Path("output")
    folder.mkdir(exist_ok=True)
    with (folder / "benchmarks.jsonl").open("a") as file:
        file.write(json.dumps({"title": title, "time": time.time(), "runs": runs}) + "\n")
