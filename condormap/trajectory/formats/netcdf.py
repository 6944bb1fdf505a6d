"""NetCDF files of AMBER's (versions 1 and 2 of the format): frames of one size, in Angstrom and degrees.

The header is read here, so that neither netCDF4 nor a map of the whole file is needed: the specification is
https://docs.unidata.ucar.edu/netcdf-c/current/file_format_specifications.html.
"""

from __future__ import annotations

import os
from typing import Any, BinaryIO

import numpy as np

from ...errors import TrajectoryDamagedError
from . import Arrays, First, Info
from .records import Layout, read_records

_TYPES = {1: ">i1", 2: "S1", 3: ">i2", 4: ">i4", 5: ">f4", 6: ">f8"}
_NM = 0.1  # an Angstrom
_PIECE = 16 << 20  # bytes that are read at once beside the result
_STREAMING = 0xFFFFFFFF


def describe(path: str, first: First) -> Info:
    """Return what a file has."""
    with open(path, "rb") as file:
        layout = read_layout(file, path)
        has_cells = False
        if layout.n_frames and {"cell_lengths", "cell_angles"} <= set(layout.record.names):
            frames = np.array([first(layout.n_frames)])
            records = read_records(file, path, layout.start, layout.record, frames)
            has_cells = bool(records["cell_lengths"].any())
    return Info(layout.n_frames, layout.n_atoms, has_cells)


def read(path: str, frames: Any, offsets: Any, atoms: Any) -> Arrays:
    """Return some frames of a file."""
    with open(path, "rb") as file:
        layout = read_layout(file, path)
        names = layout.record.names
        n_atoms = layout.n_atoms if atoms is None else len(atoms)
        xyz = np.empty((len(frames), n_atoms, 3), np.float32)
        time = np.empty(len(frames), np.float32) if "time" in names else None
        cells = np.empty((2, len(frames), 3)) if {"cell_lengths", "cell_angles"} <= set(names) else None
        step = max(1, _PIECE // layout.record.itemsize)
        for begin in range(0, len(frames), step):
            part = slice(begin, begin + step)
            records = read_records(file, path, layout.start, layout.record, frames[part])
            xyz[part] = records["coordinates"] if atoms is None else records["coordinates"][:, atoms]
            if time is not None:
                time[part] = records["time"]
            if cells is not None:
                cells[:, part] = records["cell_lengths"], records["cell_angles"]
    xyz /= np.float32(10)  # rounded as if computed at double precision, which 0.1 is not
    if cells is None:
        return Arrays(xyz, time, None, None)
    return Arrays(xyz, time, (cells[0] * _NM).astype(np.float32), cells[1].astype(np.float32))


class _Header:
    """What is at the beginning of a file, read on and on."""

    def __init__(self, file: BinaryIO, path: str) -> None:
        self._file = file
        self._path = path

    def number(self, size: int = 4) -> int:
        return int.from_bytes(self.bytes(size), "big")

    def bytes(self, size: int) -> bytes:
        data = self._file.read(size)
        if len(data) < size:
            raise TrajectoryDamagedError(f"{self._path}: the header is cut off", path=self._path)
        return data

    def name(self) -> str:
        size = self.number()
        return self.bytes((size + 3) // 4 * 4)[:size].decode("utf-8", "replace")

    def skip_attributes(self) -> None:
        self.number()
        for _ in range(self.number()):
            self.name()
            kind, n = self.number(), self.number()
            self.bytes((n * np.dtype(_TYPES.get(kind, ">f8")).itemsize + 3) // 4 * 4)


def read_layout(file: BinaryIO, path: str) -> Layout:
    """Return the layout of an open file, of its header.

    Raises
    ------
    TrajectoryDamagedError
        It is no such file, or ends too soon.
    """
    header = _Header(file, path)
    magic = file.read(4)
    if magic[:3] != b"CDF" or magic[3:] not in (b"\1", b"\2"):
        of_4 = magic == b"\x89HDF"
        what = "is of NetCDF-4: write it as AMBER's NetCDF (ncdump, cpptraj)" if of_4 else "is no NetCDF file"
        raise TrajectoryDamagedError(f"{path} {what}", path=path)
    n_frames = header.number()
    dimensions, variables = [], []
    header.number()
    for _ in range(header.number()):
        dimensions.append((header.name(), header.number()))
    header.skip_attributes()
    header.number()
    for _ in range(header.number()):
        name = header.name()
        shape = [dimensions[header.number()] for _ in range(header.number())]
        header.skip_attributes()
        kind, size, begin = header.number(), header.number(), header.number(4 if magic[3:] == b"\1" else 8)
        if shape and shape[0][1] == 0:  # has a row for each frame
            variables.append((name, _TYPES[kind], [length for _, length in shape[1:]], size, begin))
    found = {variable[0] for variable in variables}
    if "coordinates" not in found:
        raise TrajectoryDamagedError(
            f"{path} has no coordinates, but {', '.join(sorted(found)) or 'no frames'}: it is no trajectory of "
            "AMBER's",
            path=path,
        )
    start = min(variable[4] for variable in variables)
    record = np.dtype(
        {
            "names": [variable[0] for variable in variables],
            "formats": [(variable[1], tuple(variable[2])) for variable in variables],
            "offsets": [variable[4] - start for variable in variables],
            "itemsize": sum(variable[3] for variable in variables),
        }
    )
    n_there = (os.fstat(file.fileno()).st_size - start) // record.itemsize
    if n_frames == _STREAMING:
        n_frames = n_there
    if n_there < n_frames:
        raise TrajectoryDamagedError(
            f"{path} ends in the middle of frame {n_there}, and its header says {n_frames} frames: it was cut "
            "off, or is still being written",
            path=path,
            frame=n_there,
        )
    n_atoms = dict(dimensions)["atom"]
    return Layout(start, n_frames, n_atoms, record)
