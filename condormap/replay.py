"""Computing one item of a map here, from just what its job got."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .folders.store import MapRecord
from .payload.item_store import unpickle_items
from .payload.serialize import read_function


def replay(folder: Path, record: MapRecord, item: int, *, pdb: bool) -> Any:
    """Call the map's function with an item; see `CondorMap.debug`."""
    function = read_function(folder)
    (value,) = unpickle_items(folder, (item,))
    arguments = value if record.star else (value,)
    if not pdb:
        return function(*arguments)
    from pdb import Pdb  # here, for it takes long

    return Pdb().runcall(function, *arguments)
