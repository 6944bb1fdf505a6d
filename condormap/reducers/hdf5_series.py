"""The rows of several series as datasets of one HDF5 file, each written at its place as it arrives."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

from .hdf5 import HDF5Rows
from .hdf5_file import HDF5Writer
from .series import Places, parts_of

FRAMES = "frames"  # the dataset beside the rows that tells which frame each is of


class Label(NamedTuple):
    """What the rows of a series are of.

    Attributes
    ----------
    path : str
        The trajectory's file; empty where it has none.
    run, traj : int
        Its numbers.
    frames : sequence of int
        The number of the frame of each row.
    """

    path: str
    run: int
    traj: int
    frames: Sequence[int]


class SeriesHDF5(HDF5Writer):
    """HDF5 datasets of all rows; the value is an `HDF5Rows`, or a list of them where there are several series.

    Of one series the dataset has the given name; of several it is in a group that is named by the number of
    the series. Of results that are dicts there is one for each key, in a group of that name. Beside it ``frames``
    has the number of the frame of each row, and attributes of its group tell ``path``, ``run`` and ``traj``.
    Others can read the file while it grows, with ``h5py.File(path, swmr=True)``; rows that are not there yet, and
    what is masked, are NaN, or 0 where the numbers are no floats.

    Parameters
    ----------
    path : path
        The file, which must not be there yet.
    name : str
        The name of the datasets.
    places : Places
        Where the rows belong.
    labels : sequence of Label
        What the rows of each series are of.
    **options
        As for `HDF5Writer`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        name: str,
        places: Places,
        labels: Sequence[Label],
        **options: Any,
    ) -> None:
        super().__init__(path, **options)
        self.name = name
        self.places = places
        self.labels = list(labels)

    def zero(self) -> Any:
        """Return the state of no results."""
        return 0, []

    def add(self, state: Any, index: int, value: Any) -> Any:
        """Return the state with one more result."""
        state[1].append((index, value))
        return state

    def merge(self, a: Any, b: Any) -> Any:
        """Write the rows of both; return the state without them."""
        new = sorted([*a[1], *b[1]], key=lambda pair: pair[0])
        if not new:
            return a[0] + b[0], []
        with self.writing():
            for item, value in new:
                self._write(item, parts_of(value))
        return a[0] + b[0] + sum(int(self.places.n[item]) for item, _ in new), []

    def _write(self, item: int, parts: dict[str, Any]) -> None:
        import numpy as np

        parts = {part: np.ma.filled(rows, _nothing(rows.dtype)) for part, rows in parts.items()}
        if self._file is None:
            self._create(lambda file: self._add_series(file, parts))
        series, first = self.places.series[item], int(self.places.first[item])
        for part, rows in parts.items():
            where = self._dataset(series, part)
            data = self._file.get(where)
            if (
                data is None
                or rows.shape[1:] != data.shape[1:]
                or not np.can_cast(rows.dtype, data.dtype, "safe")
            ):
                there = "is not there" if data is None else f"is {data.dtype} of shape {data.shape[1:]}"
                raise ValueError(
                    f"the rows of item {item} are {rows.dtype} of shape {rows.shape[1:]}, and the dataset {where}"
                    f", which was made for the first rows, {there}"
                )
            data[first : first + len(rows)] = rows

    def _add_series(self, file: Any, parts: dict[str, Any]) -> None:
        import numpy as np

        for number, (label, n) in enumerate(zip(self.labels, self.places.lengths, strict=True)):
            group = file.require_group(self._group(number))
            group.attrs.update(path=label.path, run=label.run, traj=label.traj)
            group.create_dataset(FRAMES, data=np.asarray(label.frames, np.int64))
            for part, rows in parts.items():
                self._add_dataset(file, self._dataset(number, part), n, rows)

    def _group(self, series: int) -> str:
        return "/" if self.places.is_one else f"/{series}"

    def _dataset(self, series: int, part: str) -> str:
        return "/".join([self._group(series).rstrip("/"), self.name, *([part] if part else [])])

    def finish(self, state: Any) -> Any:
        """Write what is not written yet; return where the rows are."""
        self.merge((state[0], list(state[1])), (0, []))
        names = [self._dataset(number, "") for number in range(len(self.places.lengths))]
        shapes: list[Any] = [()] * len(names)
        if os.path.exists(self.path):
            with self.writing():
                shapes = [_shape(self._file[name]) for name in names]
        found = [HDF5Rows(self.path, name, shape) for name, shape in zip(names, shapes, strict=True)]
        return self.places.one_or_all(found)


def _nothing(dtype: Any) -> Any:
    """Return what stands in a file where an array is masked."""
    return float("nan") if dtype.kind == "f" else dtype.type()


def _shape(found: Any) -> Any:
    """Return the shape of a dataset, or those of the datasets of a group, by name."""
    return {name: each.shape for name, each in found.items()} if hasattr(found, "items") else found.shape
