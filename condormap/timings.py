"""How long a function takes for an item, as earlier maps of it have shown: ``times.json`` in condormap's folder.

Whoever sees a map complete writes it. It only sizes the chunks of later maps, so it may be lost or be wrong.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .folders.paths import data_home
from .folders.store import write_json
from .payload.serialize import describe_function

_MOST = 1000  # functions; the one that was used least lately is forgotten first


def function_id(function: Callable[..., Any]) -> str:
    """Return what tells a function from others: its name and its code, without the arguments of a partial."""
    while isinstance(function, functools.partial):
        function = function.func
    digest = hashlib.sha256(describe_function(function).encode())
    code = getattr(function, "__code__", None)
    if code is not None:
        plain = [each for each in code.co_consts if isinstance(each, str | int | float | bytes | None)]
        digest.update(code.co_code + repr((plain, code.co_names)).encode())
    return digest.hexdigest()[:16]


def known(function_id: str) -> float | None:
    """Return how many seconds an item of a function took; None where that isn't known."""
    entry = _read().get(function_id)
    return entry[0] if entry else None


def note(function_id: str, seconds: float) -> None:
    """Note how many seconds an item of a function took, where that can be written."""
    entries = _read()
    entries.pop(function_id, None)
    entries[function_id] = (seconds, time.time())
    latest = sorted(entries.items(), key=lambda each: each[1][1])[-_MOST:]
    with contextlib.suppress(OSError):
        write_json(_file(), dict(latest))


def _read() -> dict[str, tuple[float, float]]:
    try:
        found = json.loads(_file().read_bytes())
        return {str(id): (float(seconds), float(when)) for id, (seconds, when) in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _file() -> Path:
    return data_home() / "times.json"
