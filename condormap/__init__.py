"""condormap: call a Python function over a dataset on an HTCondor pool as if it were `map`.

>>> from condormap import condormap
>>> list(condormap(lambda x: x * x, range(5)))
[0, 1, 4, 9, 16]

The names below are loaded when they are first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import checkpoint, errors, reducers, trajectory
    from .catalog import load, remove, retag
    from .executor.executor import CondorExecutor
    from .folders.cleaning import clean
    from .folders.listing import maps
    from .handle import CondorMap
    from .in_job.outcome import Outcome
    from .integrations.process_pool import MapPool
    from .jobs.cluster import JobCluster
    from .jobs.group import JobGroup
    from .jobs.job import Job
    from .mapper.mapper import CondorMapper
    from .mapping import condormap, map
    from .options import JobOptions
    from .pool.personal import PersonalPool
    from .results import Item
    from .status import ItemState, JobStatus

__version__ = "0.1.0"

_HOMES = {
    "CondorExecutor": "executor.executor",
    "CondorMap": "handle",
    "CondorMapper": "mapper.mapper",
    "Item": "results",
    "ItemState": "status",
    "Job": "jobs.job",
    "JobCluster": "jobs.cluster",
    "JobGroup": "jobs.group",
    "JobOptions": "options",
    "JobStatus": "status",
    "MapPool": "integrations.process_pool",
    "Outcome": "in_job.outcome",
    "PersonalPool": "pool.personal",
    "clean": "folders.cleaning",
    "condormap": "mapping",
    "load": "catalog",
    "map": "mapping",
    "maps": "folders.listing",
    "remove": "catalog",
    "retag": "catalog",
}

__all__ = [
    "CondorExecutor",
    "CondorMap",
    "CondorMapper",
    "Item",
    "ItemState",
    "Job",
    "JobCluster",
    "JobGroup",
    "JobOptions",
    "JobStatus",
    "MapPool",
    "Outcome",
    "PersonalPool",
    "checkpoint",
    "clean",
    "condormap",
    "errors",
    "load",
    "map",
    "maps",
    "reducers",
    "remove",
    "retag",
    "trajectory",
]


def __getattr__(name: str) -> Any:
    if name in ("checkpoint", "errors", "reducers", "trajectory"):
        return importlib.import_module(f".{name}", __name__)
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
