"""An open map: what the parts of its handle share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .condor import Condor
from .folders.store import MapRecord
from .state.map_state import MapState


@dataclass(frozen=True)
class OpenMap:
    """A map that this process has open.

    Parameters
    ----------
    path : Path
        Its folder.
    record : MapRecord
        What its ``map.json`` says.
    condor : Condor
        Its pool.
    state : MapState
        Its state.
    """

    path: Path
    record: MapRecord
    condor: Condor
    state: MapState
