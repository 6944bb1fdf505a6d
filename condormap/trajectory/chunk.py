"""The specification of some frames of one trajectory: what travels instead of the frames."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .indices import Indices


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some frames of one trajectory, and where their results belong.

    Attributes
    ----------
    path : str
        The file, absolute; empty for a trajectory in memory.
    format : str
        ``"xtc"``, ``"trr"``, ``"dcd"``, ``"netcdf"``, ``"hdf5"`` (mdtraj's), ``"wepy"`` or ``"memory"``.
    run, traj : int
        Whose frames they are: of a WepyHDF5 file its numbers; else 0 and the number of the trajectory.
    source : int
        The position of the trajectory in ``.trajectories`` of the description.
    frames : Indices
        The numbers of the frames in the file, in the order in which they are read (so the label of each row).
    out_start, n_out : int
        The rows of this trajectory's output that the frames stand for: ``[out_start, out_start + n_out)``.
    atoms : Indices or None
        The atoms, by their numbers in the file and in the order of the result; None for all.
    fields : tuple of str
        The fields of a WepyHDF5 file; empty where frames are read as an `mdtraj.Trajectory`.
    offsets : Indices or None
        Where each of the frames begins in an XTC or TRR file, so that no job looks for them.
    size, mtime_ns : int
        Size and time of the file when it was described: a job notices that it has changed.
    has_cells : bool or None
        Whether the frames have unit cells; None where they are read without.
    rep : str or None
        The alternative representation whose positions are read, for a WepyHDF5 file.
    data : object
        The frames themselves, where they travel with their specification.
    sent_nbytes : int
        The bytes that they take then, about.
    """

    path: str
    format: str
    run: int
    traj: int
    source: int
    frames: Indices
    out_start: int
    n_out: int
    atoms: Indices | None = None
    fields: tuple[str, ...] = ()
    offsets: Indices | None = None
    size: int = 0
    mtime_ns: int = 0
    has_cells: bool | None = None
    rep: str | None = None
    data: Any = field(default=None, compare=False, repr=False)
    sent_nbytes: int = 0

    def with_data(self) -> Chunk:
        """Return the chunk with its frames, for a job that does not see the file: a part of the file, or arrays.

        `condormap` does so by itself where the jobs are sent their files.

        Raises
        ------
        TrajectoryChangedError, TrajectoryDamagedError
            As for `read`.
        """
        from .carrying import with_data

        return with_data(self)

    def __condormap_sent__(self) -> Chunk:
        return self.with_data()

    def __condormap_sent_nbytes__(self) -> int:
        return self.sent_nbytes if self.data is None else 0

    def split(self, most: int) -> Iterator[Chunk]:
        """Yield chunks of at most `most` frames that together are this one: to keep memory low within a job."""
        for start in range(0, self.n_out, most):
            stop = min(start + most, self.n_out)
            yield dataclasses.replace(
                self,
                frames=self.frames[start:stop],
                offsets=None if self.offsets is None else self.offsets[start:stop],
                sent_nbytes=-(-self.sent_nbytes * (stop - start) // self.n_out),
                data=None if self.data is None else self.data[start:stop],
                out_start=self.out_start + start,
                n_out=stop - start,
            )


class Chunks(tuple[Chunk, ...]):
    """The chunks of one job."""

    __slots__ = ()

    def __condormap_sent__(self) -> Chunks:
        return Chunks(chunk.with_data() for chunk in self)

    def __condormap_sent_nbytes__(self) -> int:
        return sum(chunk.__condormap_sent_nbytes__() for chunk in self)
