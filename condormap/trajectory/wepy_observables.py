"""Observables written back into the WepyHDF5 file that they are of."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..errors import InvalidInputError
from ..reducers.hdf5 import HDF5Rows
from ..reducers.hdf5_graft import New, check_can_graft, check_groups, graft
from ..reducers.hdf5_series import SeriesHDF5
from ..reducers.series import Label, Places, failed
from .formats.hdf5 import opened
from .formats.wepy import length

OBSERVABLES = "observables"
_OURS = "condormap"  # the attribute that tells which map has written an observable
_SPARSE = "_settings/sparse_fields"
_LONGEST_NAME = 100  # bytes: it is in the name of a file, too


class WepyObservables(SeriesHDF5):
    """An observable of each trajectory, ``runs/<i>/trajectories/<j>/observables/<name>``, as wepy reads it.

    The jobs read the file, and a file must not change while it is read. So the rows are written as they come to a
    file beside it, ``<file>.<name>.partial.h5``, which others can read meanwhile (see `SeriesHDF5`). When the last
    row is there they are moved into the WepyHDF5 file, in one step (`graft`). A number for each frame becomes a
    feature vector of length 1. Where not all frames of all trajectories were chosen, or the field is sparse
    already, the observable is a sparse field.

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
    FileExistsError
        The file beside it is there: a map that is not finished writes the observable.
    """

    def __init__(self, name: str, places: Places) -> None:
        self.home = places.labels[0].path
        if name in ("", ".", "..") or len(os.fsencode(name)) > _LONGEST_NAME or set(name) & {"/", "\0"}:
            raise InvalidInputError(
                f"an observable's name is not '.' or '..', has no slash, and at most {_LONGEST_NAME} bytes: "
                f"{name!r}. Nothing was submitted"
            )
        try:
            super().__init__(f"{self.home}.{name}.partial.h5", name, places)
        except FileExistsError as error:
            raise FileExistsError(
                f"{self.home}.{name}.partial.h5 is there already: a map writes the observable {name!r} to it, and "
                "is not finished. Have it finish, or condormap.remove() it; if there is none, remove the file. "
                "Nothing was submitted"
            ) from error
        self.field = f"{OBSERVABLES}/{name}"
        try:
            check_can_graft(self.home)
            with opened(self.home) as file:
                self.is_sparse = self._check(file)
                self.described = self._state_of(file)
        except (PermissionError, ValueError) as error:
            raise InvalidInputError(f"no observable can be added to {self.home}: {error}") from error

    def _check(self, file: Any) -> bool:
        """Refuse what can't be written into the file; return whether it is a sparse field there."""
        if not os.access(self.home, os.W_OK):
            raise PermissionError("it can't be written")
        is_sparse = self.field in _sparse_fields(file)
        ours = set()
        for label in self.places.labels:
            where = f"run {label.run}, trajectory {label.traj}"
            walk = file[f"runs/{label.run}/trajectories/{label.traj}"]
            if walk.file.filename != file.filename:
                raise ValueError(
                    f"run {label.run} is in another file, {walk.file.filename}: describe that one"
                )
            if not _is_free(walk, self.field):
                raise ValueError(
                    f"it has an observable {self.name!r} of {where}, already: choose another name, or delete it"
                )
            if list(label.frames) != sorted(set(label.frames)):
                raise ValueError(
                    f"the frames of {where}, are not in ascending order, as those of an observable must be"
                )
            is_sparse |= len(label.frames) < length(walk, self.home)
            ours.add((str(label.run), str(label.traj)))
        check_groups(file, [f"{_SPARSE}/", *(f"{self._target(label)}/" for label in self.places.labels)])
        others = [
            (run, traj, walk.get(self.field)) for run, traj, walk in _walks(file) if (run, traj) not in ours
        ]
        is_sparse |= any(_is_group(other) for *_, other in others)
        for run, traj, other in others if is_sparse else ():
            if other is not None and not _is_group(other):
                raise ValueError(
                    f"the observable {self.name!r} of run {run}, trajectory {traj}, is one of all frames, and "
                    "wepy can't read it where others are of some frames: choose all frames, or another name"
                )
        return is_sparse

    def _state_of(self, file: Any) -> tuple[int, list[int]]:
        """Return what tells the file from another one: its number, and the lengths of its trajectories."""
        walks = [file.get(f"runs/{label.run}/trajectories/{label.traj}", {}) for label in self.places.labels]
        lengths = [
            length(walk, self.home) if _is_group(walk) and "positions" in walk else -1 for walk in walks
        ]
        return os.stat(self.home).st_ino, lengths

    def finish(self, state: Any) -> Any:
        """Write what is not written yet; when all is, move it into the file. Return where the rows are."""
        state = self.merge((state[0], list(state[1])), (0, []))
        if not self.is_whole(state):
            return super().finish(state)
        if os.path.exists(self.path):
            self._move()
        return self._found()

    def discard_files(self) -> None:
        """Remove the file beside the WepyHDF5 file, with the map."""
        import h5py

        with contextlib.suppress(OSError):
            with h5py.File(self.path, "r", swmr=True, locking=False) as file:
                is_ours = file.attrs.get(_OURS) == self.id
            if is_ours:
                os.unlink(self.path)

    def _move(self) -> None:
        try:
            with self.writing():
                graft(self.home, self._datasets)
        except (OSError, ValueError) as error:
            raise failed(
                f"the observable {self.name!r} could not be added to {self.home}: {error}. That file is as it was"
                f", and all rows are in {self.path}. When the cause is gone, m.result() (or that of "
                "condormap.load(tag)) goes on",
                "finish",
            ) from error
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)

    def _datasets(self, file: Any) -> dict[str, New]:
        """Return what is to be added to the file; nothing, where it was added."""
        if all(self._is_there(file, label) for label in self.places.labels):
            return {}
        if self._state_of(file) != self.described:
            raise ValueError(
                "it is another file than the jobs have read, or its trajectories have other lengths"
            )
        self.is_sparse = self._check(file)
        found: dict[str, New] = {}
        for number, label in enumerate(self.places.labels):
            rows, target = self._file[self._dataset(number, "")], self._target(label)
            feature = rows.shape[1:] or (1,)
            new = New(rows, (len(rows), *feature), {_OURS: self.id})
            if not self.is_sparse:
                found[target] = new
                continue
            found[f"{target}/data"] = new
            found[f"{target}/_sparse_idxs"] = New(np.array(label.frames, np.int64))
            found |= _settings(file, self.field, feature, rows.dtype)
        return found

    def _is_there(self, file: Any, label: Label) -> bool:
        found = file.get(self._target(label))
        data = found.get("data") if _is_group(found) else found
        return data is not None and data.attrs.get(_OURS) == self.id

    def _target(self, label: Label) -> str:
        return f"runs/{label.run}/trajectories/{label.traj}/{self.field}"

    def _found(self) -> Any:
        found = []
        with opened(self.home) as file:
            for label in self.places.labels:
                target = self._target(label)
                if not self._is_there(file, label):
                    raise failed(f"{self.home} no longer has the {target} of this map", "finish")
                data = file[target]["data"] if _is_group(file[target]) else file[target]
                found.append(HDF5Rows(self.home, target, data.shape))
        return self.places.one_or_all(found)


def _walks(file: Any) -> Iterator[tuple[str, str, Any]]:
    """Yield all trajectories of a file."""
    for run in file["runs"]:
        for traj, walk in file.get(f"runs/{run}/trajectories", {}).items():  # another file's may be missing
            yield run, traj, walk


def _is_group(found: Any) -> bool:
    return hasattr(found, "keys")


def _is_free(walk: Any, field: str) -> bool:
    """Tell whether a trajectory has nothing of a field but the empty datasets that wepy makes of a sparse one."""
    found = walk.get(field)
    return found is None or (_is_group(found) and len(found.get("_sparse_idxs", ())) == 0)


def _sparse_fields(file: Any) -> list[str]:
    return list(file[_SPARSE].asstr()[:]) if _SPARSE in file else []


def _settings(file: Any, field: str, feature: tuple[int, ...], dtype: Any) -> dict[str, New]:
    """Return what wepy's settings have for a sparse field, as far as it is not there."""
    import h5py

    text = h5py.string_dtype()
    fields = _sparse_fields(file)
    shape, described = f"_settings/field_feature_shapes/{field}", f"_settings/field_feature_dtypes/{field}"
    found = {}
    if field not in fields:
        found[_SPARSE] = New(np.array([*fields, field], text))
    if shape not in file or np.isnan(file[shape][()]).all():
        found[shape] = New(np.array(feature))
    if described not in file or file[described].asstr()[()] == "None":
        found[described] = New(np.array(json.dumps(np.dtype(dtype).descr), text))
    return found
