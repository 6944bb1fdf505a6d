"""Whether a job has what the map's function needs. Travels into the job; standard library only.

``needs.json`` lies beside the function::

    {"python": [3, 12], "modules": {"numpy": "2.1.0", "mylab": ""}}

``python`` is null where the function is not pickled as code; ``modules`` are those that its pickle refers to, with
their version where it was made.
"""

from __future__ import annotations

import json
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NEEDS_FILE = "needs.json"
LOADING = "unpickling the function"


def read_needs(folder: str) -> dict[str, Any]:
    """Return what the function in `folder` needs."""
    with open(f"{folder}/{NEEDS_FILE}", "rb") as file:
        needs: dict[str, Any] = json.load(file)
    return needs


def other_python(needs: dict[str, Any]) -> dict[str, Any] | None:
    """Return what is wrong with this Python for the function's code; None if nothing is."""
    wanted = needs["python"]
    if wanted is None or wanted == list(sys.version_info[:2]):
        return None
    return {"python": wanted, "executable": sys.executable}


def other_modules(needs: dict[str, Any]) -> list[str]:
    """Return which of the modules that are loaded have another major version than where the map was made."""
    others = []
    for name, wanted in needs["modules"].items():
        here = getattr(sys.modules.get(name), "__version__", None)
        if isinstance(here, str) and wanted and _major(here) != _major(wanted):
            others.append(f"{name} {here} (not {wanted})")
    return others


def _major(version: str) -> list[str]:
    """Return the part of a version that changes when something is not as before."""
    parts = version.split(".")
    return parts[:2] if parts[0] == "0" else parts[:1]
