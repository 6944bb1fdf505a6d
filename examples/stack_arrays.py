"""How far random walkers get, from arrays that an executable writes, stacked in one HDF5 file.

The executable writes how far a thousand walkers are after each step into a NumPy file. The jobs read these files
where they are, and send the rows; `StackHDF5` writes each at its place as it arrives.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import h5py
import numpy as np

from condormap import CondorMapper, PersonalPool, reducers, remove

RUNS, STEPS = 40, 500
STACK = Path("output/stack_arrays.h5")
# Any program that writes files will do; this one is in Python, for that is on this machine.
WALK = f"""\
#!{sys.executable}
import sys
import numpy
seed, steps, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
moves = numpy.random.default_rng(seed).choice([-1, 1], size=(2, steps, 1000))
numpy.save(path, (moves.cumsum(axis=1) ** 2).sum(axis=0).mean(axis=1))
"""


def main() -> None:
    STACK.parent.mkdir(exist_ok=True)
    STACK.unlink(missing_ok=True)  # of an earlier run; `StackHDF5` replaces no file
    executable = STACK.with_name("walk")
    executable.write_text(WALK)
    print("Starting a personal HTCondor pool on this machine")
    with PersonalPool() as pool:
        print(f"Mapping {executable} over {RUNS} seeds on {pool.cpus} cpus")
        began = time.perf_counter()
        m = CondorMapper(
            executable,
            range(RUNS),
            argtmpl=f"{{}} {STEPS} {{out}}",
            outtmpl="{}.npy",
            keep_outputs=False,
            read=np.load,
            reduce=reducers.StackHDF5(STACK),
            pool=pool,
        )
        print(f"{m.result()}, in {time.perf_counter() - began:.1f} s")
        with h5py.File(STACK) as file:
            distances = file["data"][:].mean(axis=0)
        for step in (1, 10, 100, STEPS):
            print(
                f"  after {step:3} steps: mean square distance {distances[step - 1]:7.1f}, in theory {2 * step}"
            )
        assert np.allclose(distances, 2 * np.arange(1, STEPS + 1), rtol=0.1), "not what theory says"
        remove(m.tag)
    print(f"How far they get, run by run: {STACK.resolve()}")


if __name__ == "__main__":
    main()
