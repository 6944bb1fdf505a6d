"""The rows of several series as datasets of one HDF5 file, each written at its place as it arrives."""

from __future__ import annotations

import os
from typing import Any

from .hdf5 import HDF5Rows
from .hdf5_file import HDF5Writer
from .series import Places, failed, kind_of, parts_of

FRAMES = "frames"  # the dataset beside the rows that tells which frame each is of
_State = tuple[int, list[tuple[int, Any]]]  # the items that are written, as bits; what is to be written


class SeriesHDF5(HDF5Writer):
    """HDF5 datasets of all rows; the value is an `HDF5Rows`, or a list of them where there are several series.

    Of one series the dataset has the given name; of several it is in a group that is named by the number of
    the series. Of results that are dicts there is one for each key, in a group of that name. Beside it ``frames``
    has the number of the frame of each row, and attributes of its group tell ``path``, ``run`` and ``traj``.
    Others can read the file while it grows, with ``h5py.File(path, swmr=True)``; rows that are not there yet, and
    what is masked, are NaN, or 0 where the numbers are no floats. Where rows come that need a wider type than
    those before, the file is replaced by one with that type.

    Parameters
    ----------
    path : path
        The file, which must not be there yet.
    name : str
        The name of the datasets.
    places : Places
        Where the rows belong, with labels.
    **options
        As for `HDF5Writer`.
    """

    needs_rows = True

    def __init__(self, path: str | os.PathLike[str], name: str, places: Places, **options: Any) -> None:
        super().__init__(path, **options)
        self.name = name
        self.places = places

    def zero(self) -> Any:
        """Return the state of no results."""
        return 0, []

    def add(self, state: Any, index: int, value: Any) -> Any:
        """Return the state with one more result."""
        state[1].append((index, value))
        return state

    def merge(self, a: Any, b: Any) -> Any:
        """Write the rows of both; return the state without them."""
        written = a[0] | b[0]
        new = sorted([*a[1], *b[1]], key=lambda pair: pair[0])
        if new:
            with self.writing():
                for item, value in new:
                    self._write(item, value, written)
                    written |= 1 << item
        return written, []

    def is_whole(self, state: _State) -> bool:
        """Tell whether all rows are written."""
        return state[0] == (1 << len(self.places.n)) - 1

    def _write(self, item: int, value: Any, written: int) -> None:
        import numpy as np

        parts = {part: _plain(rows) for part, rows in parts_of(value).items()}
        for part, rows in parts.items():
            if rows.ndim == 0 or len(rows) != self.places.n[item]:
                raise self._refused(
                    item, f"an array of shape {rows.shape}{_of(part)}", "one row for each frame"
                )
        if self._file is None:
            self._create(lambda file: self._add_series(file, parts))
        there = self._there(self.places.series[item])
        if set(there) != set(parts):
            raise self._refused(
                item, kind_of(parts.get("", parts)), f"{kind_of(there.get('', there))}, as before it"
            )
        wider = {}
        for part, rows in parts.items():
            data = there[part]
            if rows.shape[1:] != data.shape[1:] or not _are_alike(rows.dtype, data.dtype):
                raise self._refused(item, f"{kind_of(rows)}{_of(part)}", f"{kind_of(data)}, as before it")
            if not np.can_cast(rows.dtype, data.dtype, "safe"):
                wider[part] = np.result_type(rows, data.dtype)
        if wider:
            self._widen({part: wider.get(part, data.dtype) for part, data in there.items()}, written)
            there = self._there(self.places.series[item])
        first = int(self.places.first[item])
        for part, rows in parts.items():
            there[part][first : first + len(rows)] = rows.astype(there[part].dtype, copy=False)

    def _there(self, series: int) -> dict[str, Any]:
        """Return the datasets of a series."""
        found = self._file[self._dataset(series, "")]
        return dict(found.items()) if hasattr(found, "items") else {"": found}

    def _refused(self, item: int, what: str, needed: str) -> Exception:
        return failed(
            f"the function returned {what} for {self.places.in_words(item)}, and {self.path} needs {needed}. "
            "Other rows are written there as they were computed; mend the function, remove the file and the map, "
            "and call compute_observable again",
            "merge",
        )

    def _widen(self, dtypes: dict[str, Any], written: int) -> None:
        """Replace the file by one of other types, with the rows of the items that are written."""
        import numpy as np

        before = self._file

        def fill(file: Any) -> None:
            like = {}
            for part, dtype in dtypes.items():
                like[part] = np.empty((1, *before[self._dataset(0, part)].shape[1:]), dtype)
            self._add_series(file, like)
            for item, n in enumerate(self.places.n):
                if written >> item & 1:
                    first = int(self.places.first[item])
                    for part, dtype in dtypes.items():
                        name = self._dataset(self.places.series[item], part)
                        file[name][first : first + n] = before[name][first : first + n].astype(dtype)

        self._create(fill)
        before.close()

    def _add_series(self, file: Any, parts: dict[str, Any]) -> None:
        import numpy as np

        for number, (label, n) in enumerate(zip(self.places.labels, self.places.lengths, strict=True)):
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


def _plain(rows: Any) -> Any:
    """Return rows as an array, with what stands in a file where they are masked."""
    import numpy as np

    rows = rows if isinstance(rows, np.ma.MaskedArray) else np.asarray(rows)
    return np.ma.filled(rows, float("nan") if rows.dtype.kind == "f" else rows.dtype.type())


def _are_alike(one: Any, other: Any) -> bool:
    """Tell whether a type has room for both."""
    numbers = "biufc"
    return bool(
        one == other or one.kind == other.kind == "S" or (one.kind in numbers and other.kind in numbers)
    )


def _of(part: str) -> str:
    return f" in {part!r}" if part else ""


def _shape(found: Any) -> Any:
    """Return the shape of a dataset, or those of the datasets of a group, by name."""
    return {name: each.shape for name, each in found.items()} if hasattr(found, "items") else found.shape
