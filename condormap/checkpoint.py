"""State of one long item that outlives its process, its job and its machine; for use within the function.

::

    from condormap import checkpoint

    def simulate(parameters):
        step, grid = checkpoint.load((0, None))
        while step < 10_000:
            ...
            if step % 100 == 0:
                checkpoint.save((step, grid))
        return grid

When the job is vacated, the process dies or the item takes too long, the next attempt goes on from what was saved
last; so does `CondorMap.retry` with an item that failed. What an item saved is removed when it has a result.
Outside of a job, and in processes that the function spawns (not: forks), `load` returns the default and `save`
does nothing.
"""

# Also travels into jobs whose Python has no condormap: standard library only.

from __future__ import annotations

import importlib
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["load", "save"]


def load(default: Any = None) -> Any:
    """Return what an earlier attempt at this item saved last, or the default.

    Parameters
    ----------
    default : object
        What the item begins with.
    """
    keeper = _keeper()
    return default if keeper is None else keeper.load(default)


def save(state: Any) -> None:
    """Save the state of this item, in place of what it saved before; a crash meanwhile leaves the old one.

    Parameters
    ----------
    state : object
        Anything that can be pickled; large arrays are written as they are. It is on disk when this returns, so
        save every few minutes rather than every few milliseconds.

    Raises
    ------
    OSError
        It could not be written.
    """
    keeper = _keeper()
    if keeper is not None:
        keeper.save(state)


def _keeper() -> Any:
    """Return what keeps the states of this job's items; None outside of a job."""
    worker = getattr(sys.modules.get("condormap_job.worker"), "current", None)
    return None if worker is None else importlib.import_module("condormap_job.keeping").Keeper(worker)
