"""Which frames and which atoms: what a user may say, as sequences of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import InvalidInputError, TrajectoryInputError
from .indices import Indices


def chosen_frames(
    frames: Any, stride: int | None, n_frames: int, name: str, *, path: str | None = None
) -> Indices:
    """Return the numbers of the chosen frames, in the order in which they are asked for.

    Parameters
    ----------
    frames : None, slice, sequence of int or of bool
        None for all. Negative numbers count from the end; numbers may come in any order and more than once.
    stride : int or None
        Of those, every how many-th.
    n_frames : int
        How many there are.
    name : str
        The trajectory's, for messages.
    path : str, optional
        Its file, where that is not the name.

    Raises
    ------
    TrajectoryInputError
        One isn't there, or none is chosen.
    """
    path = name if path is None else path
    chosen = Indices(range(n_frames) if frames is None else _numbers(frames, n_frames, name, path))
    if stride is not None:
        chosen = chosen[::stride]
    if not len(chosen):
        what = (
            "it has no frames" if not n_frames else f"of its {n_frames} frames, {_shown(frames)} chooses none"
        )
        raise TrajectoryInputError(
            f"{name}: {what}. Nothing was submitted",
            path=path,
        )
    return chosen


def _shown(frames: Any) -> str:
    """Return a choice of frames as it is said; of a mask, which is long, only what it is."""
    mask = not isinstance(frames, slice) and len(frames) > 10
    return "the mask of them" if mask else f"frames={frames!r}"


def _numbers(frames: Any, n_frames: int, name: str, path: str) -> range | np.ndarray[Any, Any]:
    if isinstance(frames, slice):
        try:
            return range(n_frames)[frames]
        except (TypeError, ValueError) as error:
            raise InvalidInputError(f"frames={frames!r}: {error}") from None
    numbers = np.asarray(frames)
    if numbers.ndim != 1 or (numbers.dtype.kind not in "iub" and numbers.size):
        raise InvalidInputError(
            f"frames must be a slice, a list of numbers or a mask of booleans, not {frames!r}; of several "
            "trajectories, one for all or a list with one for each"
        )
    if numbers.dtype.kind == "b":
        if len(numbers) != n_frames:
            raise TrajectoryInputError(
                f"{name} has {n_frames} frames, and the mask of them {len(numbers)} booleans", path=path
            )
        return np.flatnonzero(numbers)
    numbers = numbers.astype(np.int64)
    wrong = np.flatnonzero((numbers < -n_frames) | (numbers >= n_frames))
    if len(wrong):
        frame = int(numbers[wrong[0]])
        raise TrajectoryInputError(
            f"{name} has {n_frames} frames, and no frame {frame}. Nothing was submitted",
            path=path,
            frame=frame,
        )
    return np.where(numbers < 0, numbers + n_frames, numbers)


def first_of(chosen: Indices, numbers: Any) -> int | None:
    """Return the first of the chosen frames that is one of these."""
    if not len(numbers):
        return None
    found = np.flatnonzero(np.isin(chosen.array, numbers))
    return chosen[int(found[0])] if len(found) else None


def all_have_cells(chosen: Indices, without: Any, name: str, *, path: str) -> bool:
    """Tell whether the chosen frames have unit cells, of which some frames are without.

    Raises
    ------
    TrajectoryInputError
        Some have, and some have not.
    """
    frame = first_of(chosen, without)
    if frame is None:
        return True
    if np.isin(chosen.array, without).all():
        return False
    raise TrajectoryInputError(
        f"{name}: frame {frame} has no unit cell, and others have one: leave such frames out (frames=), "
        "or say unitcell=False to have none. Nothing was submitted",
        path=path,
        frame=frame,
    )


def frames_of_each(frames: Any, n_trajectories: int) -> list[Any]:
    """Return the choice for each trajectory, of one for all or a list with one for each."""
    several = isinstance(frames, list | tuple) and any(
        each is None or isinstance(each, slice | Sequence | np.ndarray) for each in frames
    )
    if not several:
        return [frames] * n_trajectories
    if len(frames) != n_trajectories:
        raise InvalidInputError(
            f"frames has {len(frames)} choices of frames, and there are {n_trajectories} trajectories: give one "
            "for all of them, or one for each"
        )
    return list(frames)


def check_stride(stride: Any) -> int | None:
    """Return the stride."""
    if stride is not None and (isinstance(stride, bool) or not hasattr(stride, "__index__") or stride < 1):
        raise InvalidInputError(f"stride must be a positive integer, not {stride!r}")
    return None if stride is None else int(stride)


def chosen_atoms(atoms: Any, topology: Any, n_atoms: int, name: str) -> Indices | None:
    """Return the numbers of the chosen atoms, in the given order; None for all.

    Parameters
    ----------
    atoms : None, str or sequence of int
        A string is in mdtraj's language of selections; a boolean for each atom is a mask.
    topology : mdtraj.Topology or None
        For such a string.
    n_atoms : int
        How many there are.
    name : str
        The trajectory's, for messages.

    Raises
    ------
    InvalidInputError
        One isn't there, is named twice, or none is chosen.
    """
    if atoms is None:
        return None
    if isinstance(atoms, str):
        if topology is None:
            raise InvalidInputError(f"atoms={atoms!r} needs a topology, and {name} has none: give top=")
        try:
            numbers = topology.select(atoms)
        except Exception as error:  # whatever its parser raises
            raise InvalidInputError(f"atoms={atoms!r} is no selection of mdtraj's: {error}") from error
    else:
        numbers = np.asarray(atoms)
        if numbers.ndim != 1 or (numbers.dtype.kind not in "iub" and numbers.size):
            raise InvalidInputError(
                f"atoms must be a list of numbers, a mask, or a selection in mdtraj's language, not {atoms!r}"
            )
    if numbers.dtype.kind == "b":
        if len(numbers) != n_atoms:
            raise TrajectoryInputError(
                f"{name} has {n_atoms} atoms, and the mask of them {len(numbers)} booleans", path=name
            )
        numbers = np.flatnonzero(numbers)
    numbers = numbers.astype(np.int64)
    if not len(numbers):
        raise InvalidInputError(f"atoms={atoms!r} chooses none of the {n_atoms} atoms. Nothing was submitted")
    wrong = numbers[(numbers < -n_atoms) | (numbers >= n_atoms)]
    if len(wrong):
        raise TrajectoryInputError(f"{name} has {n_atoms} atoms, and no atom {wrong[0]}", path=name)
    numbers = np.where(numbers < 0, numbers + n_atoms, numbers)
    unique, counts = np.unique(numbers, return_counts=True)
    if len(unique) < len(numbers):
        raise InvalidInputError(f"atoms has atom {unique[counts > 1][0]} more than once")
    if len(numbers) == n_atoms and np.array_equal(numbers, unique):
        return None
    return Indices(numbers)
