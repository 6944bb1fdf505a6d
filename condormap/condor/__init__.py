"""The seam to HTCondor: calls with a deadline, made by a child process, which alone imports the bindings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from condormap.condor.calls import within
    from condormap.condor.client import Condor, connect
    from condormap.condor.results import (
        LATER,
        Action,
        ActResult,
        Event,
        EventBatch,
        Expansion,
        Fit,
        Identity,
        Match,
        Submitted,
    )

__all__ = [
    "LATER",
    "ActResult",
    "Action",
    "Condor",
    "Event",
    "EventBatch",
    "Expansion",
    "Fit",
    "Identity",
    "Match",
    "Submitted",
    "connect",
    "within",
]


def __getattr__(name: str) -> Any:
    # On demand, for the child imports this package too, and its start would take half as long again.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from condormap.condor import calls, client, results

    home = {"Condor": client, "connect": client, "within": calls}.get(name, results)
    return getattr(home, name)
