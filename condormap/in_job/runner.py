"""The program inside the job: a supervisor that never runs user code, and the worker that does.

::

    supervisor --fork--> worker: unpickle the function, then for each item: load, call, pickle the result
        ^                  |
        +-- shared memory: sizes, times, states and pickles of the finished items
        |
        v
    outcome file: frames (see `payload`)

The worker writes into memory that it shares with the supervisor, so what it finished outlives it: an item
that kills the worker (a segfault, ``os._exit``, the kernel's memory killer) costs that item only; the
supervisor records its death and starts another worker for the rest. A result too large for that memory goes
through a spill file that has no name. The supervisor alone writes the outcome file: about every 0.2 s, when the
memory fills, and when the worker has ended.

Run as ``python RUN SPEC CHUNK JOB [ATTEMPT]``: RUN is what `condormap.payload.bundle` made, SPEC the submission's
``spec.json``, CHUNK the number of the chunk, JOB the job's id, and ATTEMPT how often it was started before, where
HTCondor has to tell. Standard library only. The keys of ``spec.json``:

``star``
    An item is a tuple of arguments.
``items``
    The folder of the function and the items, from that of the submission.
``retries``
    How often an item at which the worker died is tried again.
``reduce``
    Whether the results are added up in the job (`reducing`), and what is done with them besides: null,
    ``"keep"`` or ``"discard"``.
``item_timeout``
    Seconds that an item may take; null if as long as it likes.
``sent``
    True where the job does not see these folders, and was sent what it needs of them: see `place`.
``files``
    Extra input files that the job sees: a name in the job, and a path, of each.
"""

from __future__ import annotations

import errno

from .place import DISK_FULL
from .supervisor import Supervisor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str]) -> int:
    """Run one attempt at one chunk: ``SPEC CHUNK JOB [ATTEMPT]``; return the job's exit code."""
    spec, chunk, job, *attempt = argv
    try:
        supervisor = Supervisor(spec, int(chunk), job, *map(int, attempt))
        if supervisor.spec["reduce"]:
            from .reducing import ReducingSupervisor

            supervisor = ReducingSupervisor(spec, int(chunk), job, *map(int, attempt))
        return supervisor.run()
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        return DISK_FULL  # standard error most likely lies on the same disk
