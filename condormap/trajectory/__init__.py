"""Trajectories of molecular dynamics: described here, read in the jobs, a chunk of frames at a time.

::

    files -> Trajectory, WepyH5 -> .chunks() -> Chunk (some 100 bytes) -> job -> read(chunk, topology) -> frames

What travels is the specification of some frames, and not the frames. It needs the extra ``condormap[trajectory]``
(mdtraj, h5py, numpy), here and in the Python of the jobs; importing this package loads none of them.

>>> from condormap.trajectory import Trajectory, compute_observable
>>> data = Trajectory("run.xtc", top="system.pdb", stride=10)  # doctest: +SKIP
>>> data.n_frames, data.n_atoms  # doctest: +SKIP
((1000,), 3341)
>>> chunks = data.chunks(chunk_size=100)  # doctest: +SKIP
>>> rmsd = compute_observable(partial(md.rmsd, reference=reference), data)  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .chunk import Chunk
    from .observables import compute_observable
    from .reading import Reader, read
    from .reduced import RDF, ContactMap, DistanceHistogram
    from .trajectory import Trajectory
    from .wepy import WepyH5

_HOMES = {
    "ContactMap": "reduced",
    "DistanceHistogram": "reduced",
    "RDF": "reduced",
    "Chunk": "chunk",
    "Reader": "reading",
    "Trajectory": "trajectory",
    "WepyH5": "wepy",
    "compute_observable": "observables",
    "read": "reading",
}

__all__ = [
    "RDF",
    "Chunk",
    "ContactMap",
    "DistanceHistogram",
    "Reader",
    "Trajectory",
    "WepyH5",
    "compute_observable",
    "read",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
