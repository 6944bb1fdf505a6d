"""Arrays of all results as one."""

from __future__ import annotations

from typing import Any

from .basic import Collect
from .numbers import as_array


class Concatenate(Collect):
    """The arrays of all results as one, in the order of the items: ``numpy.concatenate(results, axis)``.

    Parameters
    ----------
    axis : int or None
        The axis along which they are joined; None flattens them first.
    """

    def __init__(self, axis: int | None = 0) -> None:
        self.axis = axis

    def add(self, state: list[tuple[int, Any]], index: int, value: Any) -> list[tuple[int, Any]]:
        """Return the state with one more result."""
        return super().add(state, index, as_array(value))

    def finish(self, state: list[tuple[int, Any]]) -> Any:
        """Return the array; a ValueError where there are no results."""
        import numpy as np

        return np.concatenate(super().finish(state), axis=self.axis)
