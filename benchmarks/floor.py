"""The floor: what a person writes by hand with htcondor2 for one map, and nothing more.

One late-materialising cluster, a pickle of its items for each job, a result file for each job that is renamed
when it is complete, the event log polled every 10 ms. No handling of errors, no names, no state to come back to.
"""

from __future__ import annotations

import itertools
import pickle
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

_JOB = """\
import os, pickle, sys
folder, chunk = sys.argv[1:]
with open(folder + "/function", "rb") as file:
    function = pickle.load(file)
with open(folder + "/in." + chunk, "rb") as file:
    items = pickle.load(file)
results = [function(item) for item in items]
with open(folder + "/new." + chunk, "wb") as file:
    pickle.dump(results, file, protocol=5)
os.rename(folder + "/new." + chunk, folder + "/out." + chunk)
"""
_SHARED = """\
arguments = {folder}/job.py {folder} $(chunk)
should_transfer_files = NO
"""
_SENT = """\
arguments = job.py . $(chunk)
should_transfer_files = YES
when_to_transfer_output = ON_EXIT
transfer_input_files = job.py, function, in.$(chunk)
transfer_output_files = out.$(chunk)
"""


class Floor:
    """Maps by hand on one pool."""

    def __init__(self, schedd: Any) -> None:
        self.schedd = schedd
        # Removed at the end, for the schedd still writes to a log when its map is over.
        self._home = tempfile.TemporaryDirectory(prefix="condormap-floor-", ignore_cleanup_errors=True)

    def map(
        self,
        function: Callable[[Any], Any],
        items: Iterable[Any],
        sizes: Sequence[int],
        *,
        transfer: bool = False,
    ) -> dict[str, float]:
        """Map in ``len(sizes)`` jobs of these many items; return the seconds of each part.

        With `transfer`, HTCondor sends the files, else the jobs see the folder.
        """
        import cloudpickle
        import htcondor2

        began = time.perf_counter()
        folder = Path(tempfile.mkdtemp(dir=self._home.name))
        try:
            (folder / "job.py").write_text(_JOB)
            (folder / "function").write_bytes(cloudpickle.dumps(function))
            source = iter(items)
            for chunk, size in enumerate(sizes):
                with (folder / f"in.{chunk}").open("wb") as file:
                    pickle.dump(list(itertools.islice(source, size)), file, protocol=5)
            (folder / "log").touch()
            submit = htcondor2.Submit(
                f"""
                universe = vanilla
                executable = {sys.executable}
                transfer_executable = False
                {(_SENT if transfer else _SHARED).format(folder=folder)}
                initialdir = {folder}
                log = {folder}/log
                request_cpus = 1
                request_memory = 1024
                max_idle = 6
                """
            )
            rows = iter([{"chunk": str(chunk)} for chunk in range(len(sizes))])
            self.schedd.submit(submit, count=1, itemdata=rows)
            submitted = time.perf_counter()
            log, left, started = htcondor2.JobEventLog(str(folder / "log")), len(sizes), 0.0
            while left:
                for event in log.events(stop_after=0):
                    if event.type == htcondor2.JobEventType.EXECUTE:
                        started = started or time.perf_counter()
                    elif event.type == htcondor2.JobEventType.JOB_TERMINATED:
                        left -= 1
                if left:
                    time.sleep(0.01)
            n_results = 0
            for chunk in range(len(sizes)):
                with (folder / f"out.{chunk}").open("rb") as file:
                    n_results += len(pickle.load(file))
            ended = time.perf_counter()
            assert n_results == sum(sizes)
        finally:
            while folder.exists():  # the daemons may still write the jobs' last events
                shutil.rmtree(folder, ignore_errors=True)
        return {"total": ended - began, "without the wait": ended - began - (started - submitted)}
