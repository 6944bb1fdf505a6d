"""Jobs that are held for memory and tried again with more, in the terms of the submit language.

Each time that a job is held because it used more than it asked for, it asks for twice as much, up to a cap, and
HTCondor releases it. It counts such holds only (`NumHoldsByReason`), so a hold by the user changes nothing. This
works with any HTCondor from 23.9 on; 25.2's own ``retry_request_memory`` does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# HoldReasonCode: 34 where the kernel keeps the accounts (cgroups), 21 where the startd looks itself.
_CODES, _SUBCODE = (34, 21), 102
_REASONS = ("JobOutOfResources", "StartdHeldJob")
_HOLDS = f"({' + '.join(f'(NumHoldsByReason.{reason} ?: 0)' for reason in _REASONS)})"


def is_for_memory(code: int, subcode: int) -> bool:
    """Tell whether a hold means that a job used more memory than it asked for."""
    return code in _CODES and subcode == _SUBCODE


def holds_of(ad: Mapping[str, Any]) -> int:
    """Return how often a job was held for memory, by its ad, as HTCondor counts it."""
    counts = ad.get("NumHoldsByReason") or {}
    return sum(int(counts.get(reason) or 0) for reason in _REASONS)


def request(first: int, cap: int) -> str:
    """Return the ``request_memory`` of jobs that ask for `first` MB, and then for up to `cap` MB."""
    return f"min({{{cap}, {first} * int(pow(2, {_HOLDS}))}})"


def periodic_release(first: int, cap: int) -> str:
    """Return the ``periodic_release`` that goes with it: after a hold for memory with less than the cap."""
    codes = " || ".join(f"HoldReasonCode == {code}" for code in _CODES)
    return f"({codes}) && HoldReasonSubCode == {_SUBCODE} && {first} * int(pow(2, {_HOLDS} - 1)) < {cap}"


def is_tried_again(holds: int, first: int, cap: int | None) -> bool:
    """Tell whether HTCondor releases a job after so many holds for memory."""
    return cap is not None and holds > 0 and first * 2 ** (holds - 1) < cap
