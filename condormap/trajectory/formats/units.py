"""Units that files say, as factors to those of mdtraj."""

from __future__ import annotations

from typing import Any

from ...errors import TrajectoryInputError

#: The units of mdtraj, by the kind of what is measured.
LENGTH, TIME, ANGLE = "nanometers", "picoseconds", "degrees"


def factor(unit: Any, wanted: str, what: str, path: str) -> float:
    """Return by what values in a unit are multiplied to be in another; 1 where the file says no unit.

    Raises
    ------
    TrajectoryInputError
        It is no unit of that kind.
    """
    text = unit.decode() if isinstance(unit, bytes) else str(unit or "")
    if text in ("", wanted):
        return 1.0
    from mdtraj.utils import in_units_of

    try:
        return float(in_units_of(1.0, text, wanted))
    except Exception as error:  # whatever its parser of units raises
        raise TrajectoryInputError(
            f"{path}: {what} is in {text!r}, which can't be converted to {wanted}: {error}", path=path
        ) from error
