"""Observables written back into the WepyHDF5 file that they are of."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from typing import Any

from ..errors import InvalidInputError
from ..reducers.hdf5 import HDF5Rows
from ..reducers.hdf5_series import SeriesHDF5
from ..reducers.series import Label, Places
from .formats.hdf5 import opened
from .formats.wepy import length

OBSERVABLES = "observables"
_OURS = "condormap"  # the attribute that tells which map has written an observable
_BLOCK = 1 << 24  # bytes that are copied at once


class WepyObservables(SeriesHDF5):
    """An observable of each trajectory, ``runs/<i>/trajectories/<j>/observables/<name>``, as wepy reads it.

    The jobs read the file, and a file must not change while it is read. So the rows are written as they come to a
    file beside it, ``<file>.<name>.partial.h5``, which others can read meanwhile (see `SeriesHDF5`). When the last
    row is there they are moved into the WepyHDF5 file. A number for each frame becomes a feature vector of length
    1. Where not all frames of all trajectories were chosen, the observable is a sparse field.

    Parameters
    ----------
    name : str
        The observable's name.
    places : Places
        Where the rows belong, with labels.

    Raises
    ------
    InvalidInputError
        A trajectory has such an observable already, the name has a slash, frames come twice or in another order
        than that of the file, or the file cannot be written.
    """

    def __init__(self, name: str, places: Places) -> None:
        self.home = places.labels[0].path
        if not name or "/" in name:
            raise InvalidInputError(f"an observable's name has no slash: {name!r}. Nothing was submitted")
        super().__init__(f"{self.home}.{name}.partial.h5", name, places)
        self._check()

    def _check(self) -> None:
        if not os.access(self.home, os.W_OK):
            raise InvalidInputError(f"{self.home} can't be written, so no observable can be added to it")
        self.is_sparse = False
        with opened(self.home) as file:
            for label in self.places.labels:
                if self._target(label) in file:
                    raise InvalidInputError(
                        f"{self.home} has an observable {self.name!r} of run {label.run}, trajectory {label.traj}"
                        ", already: choose another name, or delete it. Nothing was submitted"
                    )
                if list(label.frames) != sorted(set(label.frames)):
                    raise InvalidInputError(
                        f"the frames of run {label.run}, trajectory {label.traj}, are not in ascending order, as "
                        "those of an observable must be. Nothing was submitted"
                    )
                walk = file[f"runs/{label.run}/trajectories/{label.traj}"]
                self.is_sparse |= len(label.frames) < length(walk, self.home)

    def _target(self, label: Label) -> str:
        return f"runs/{label.run}/trajectories/{label.traj}/{OBSERVABLES}/{self.name}"

    def finish(self, state: Any) -> Any:
        """Write what is not written yet; when all is, move it into the file. Return where the rows are."""
        state = self.merge((state[0], list(state[1])), (0, []))
        if not self.is_whole(state):
            return super().finish(state)
        if os.path.exists(self.path):
            self._move()
        return self._found()

    def _move(self) -> None:
        import h5py

        with self.writing(), h5py.File(self.home, "r+") as file:
            for number, label in enumerate(self.places.labels):
                target = self._target(label)
                if target in file:  # of an earlier try, that was killed
                    del file[target]
                rows = self._file[self._dataset(number, "")]
                self._copy(rows, file, target, label.frames if self.is_sparse else None)
                file[target].attrs[_OURS] = self.id
            if self.is_sparse:
                _note_sparse(file, f"{OBSERVABLES}/{self.name}")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)

    def _copy(self, rows: Any, file: Any, target: str, frames: Sequence[int] | None) -> None:
        import numpy as np

        feature = rows.shape[1:] or (1,)
        data = file.create_dataset(
            target if frames is None else f"{target}/data",
            shape=(len(rows), *feature),
            dtype=rows.dtype,
            maxshape=(None, *feature),
        )
        if frames is not None:
            file[target].create_dataset("_sparse_idxs", data=np.asarray(frames, np.int64), maxshape=(None,))
        step = max(1, _BLOCK // max(1, rows.dtype.itemsize * int(np.prod(feature))))
        for start in range(0, len(rows), step):
            data[start : start + step] = rows[start : start + step].reshape(-1, *feature)

    def _found(self) -> Any:
        found = []
        with opened(self.home) as file:
            for label in self.places.labels:
                target = self._target(label)
                if target not in file or file[target].attrs.get(_OURS) != self.id:
                    raise FileNotFoundError(f"{self.home} no longer has the {target} of this map")
                data = file[target] if hasattr(file[target], "shape") else file[target]["data"]
                found.append(HDF5Rows(self.home, target, data.shape))
        return self.places.one_or_all(found)


def _note_sparse(file: Any, field: str) -> None:
    """Note in wepy's settings that a field is sparse, or wepy does not read it."""
    fields = file["_settings/sparse_fields"]
    if field not in fields.asstr()[:]:
        fields.resize((len(fields) + 1,))
        fields[-1] = field
