"""What descriptions of data have in common: chunks of their trajectories, and collections of dask's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..errors import InvalidInputError
from .chunk import Chunk, Chunks
from .chunking import chosen_size, packed
from .indices import Indices
from .reading import Reader, check_unchanged
from .sizes import sent_nbytes
from .source import Source
from .topology import SmallTopology, subset

_CELL = 6 * 4 + 4  # bytes of a frame beside its coordinates
_NUMBERS = 7  # the time and the unit cell
_COPIES = 2.0  # memory at the peak of reading, by what is returned: what the formats copy on the way


class Described:
    """Trajectories that are described and not read.

    Attributes
    ----------
    trajectories : tuple of Source
        One for each trajectory, in order.
    topology : mdtraj.Topology or None
        Of the chosen atoms, in their order.
    n_atoms : int
        How many atoms are chosen.
    n_frames : tuple of int
        How many frames of each trajectory are chosen.
    frame_nbytes : int
        The bytes of a frame in memory.
    is_one : bool
        One trajectory was given by itself: what is made of it is not in a list.
    """

    trajectories: tuple[Source, ...]
    is_one: bool = False
    topology: Any
    atoms: Indices | None
    n_atoms: int
    fields: tuple[str, ...] = ()
    rep: str | None = None

    @property
    def n_frames(self) -> tuple[int, ...]:
        """How many frames of each trajectory are chosen."""
        return tuple(source.n_frames for source in self.trajectories)

    @property
    def labels(self) -> Any:
        """Run, traj and frame of each row of results: a structured array, or a list of these as of results."""
        found = []
        for source in self.trajectories:
            label = np.empty(source.n_frames, [("run", "i8"), ("traj", "i8"), ("frame", "i8")])
            label["run"], label["traj"], label["frame"] = source.run, source.traj, source.frames.array
            found.append(label)
        return self.one_or_all(found)

    def one_or_all(self, values: list[Any]) -> Any:
        """Return the values of all trajectories, or that of the only one."""
        return values[0] if self.is_one else values

    @property
    def frame_nbytes(self) -> int:
        """The bytes of a frame in memory."""
        return self.n_atoms * 12 + _CELL

    @property
    def read_nbytes(self) -> int:
        """The bytes of memory that reading takes at its peak, per frame."""
        return int(self.frame_nbytes * _COPIES)

    def values_nbytes(self, number: int) -> int:
        """Return the bytes of a frame of a trajectory where it is sent as arrays."""
        return self.n_atoms * 12 + 8 * _NUMBERS

    @property
    def reader(self) -> Reader:
        """A function that reads a chunk; it pickles small, with the topology."""
        return Reader(self._small)

    def check_unchanged(self) -> None:
        """Raise TrajectoryChangedError where a file is no longer what it was when it was described."""
        for source in {source.path: source for source in self.trajectories if source.path}.values():
            check_unchanged(source)

    def chunks(
        self,
        chunk_size: int | str = "auto",
        *,
        memory: int | str | None = None,
        slots: int = 1,
        probe: Any = None,
    ) -> list[Chunk]:
        """Return the chunks: consecutive frames of one trajectory each, in order.

        Parameters
        ----------
        chunk_size : int or "auto"
            How many frames a chunk has at most. ``"auto"``: as many as fit into half of `memory`, and few enough
            that each slot gets four chunks.
        memory : int, str or None
            What a job may take, in MB or as ``"2GB"``; 1 GB by default.
        slots : int
            How many jobs run at once.
        probe : callable or None
            The function that the frames are for: it is called here, with one frame and with a few, for the time
            and the memory that a frame takes. A chunk then takes ten minutes at most.

        Returns
        -------
        list of Chunk
            No chunk has frames of two trajectories; the last one of each may be shorter.
        """
        size = chosen_size(self, chunk_size, memory=memory, slots=slots, probe=probe)
        return [chunk for number in range(len(self.trajectories)) for chunk in self._chunks_of(number, size)]

    def jobs(
        self,
        chunk_size: int | str = "auto",
        *,
        frames: int | None = None,
        memory: int | str | None = None,
        slots: int = 1,
        probe: Any = None,
    ) -> list[Chunks]:
        """Return the chunks, packed for jobs: those of short trajectories together, in order.

        Parameters
        ----------
        chunk_size, memory, slots, probe
            As for `chunks`.
        frames : int or None
            How many frames a job has at most, but for a chunk that alone has more; by default as many as a chunk
            may have.
        """
        size = chosen_size(self, chunk_size, memory=memory, slots=slots, probe=probe)
        return packed(self.chunks(size), size if frames is None else frames)

    def to_delayed(self, chunk_size: int | str = "auto") -> list[Any]:
        """Return a `dask.delayed.Delayed` for each chunk, whose value is its frames.

        Parameters
        ----------
        chunk_size : int or "auto"
            How many frames a chunk has at most; ``"auto"`` for 64 MB.
        """
        from . import views

        return views.delayed(self, chunk_size)

    def to_bag(self, chunk_size: int | str = "auto") -> Any:
        """Return a `dask.bag.Bag` whose elements are the frames of a chunk, one in each partition.

        Parameters
        ----------
        chunk_size : int or "auto"
            As for `to_delayed`.
        """
        from . import views

        return views.bag(self, chunk_size)

    def to_dask_array(self, name: str = "xyz", chunk_size: int | str = "auto") -> Any:
        """Return a `dask.array.Array` of all frames; a list of them, as results are.

        Parameters
        ----------
        name : str
            ``"xyz"``, ``"time"``, ``"unitcell_lengths"``, ``"unitcell_angles"`` or ``"unitcell_vectors"``; of a
            WepyHDF5 file one of the fields, masked where it is sparse.
        chunk_size : int or "auto"
            As for `to_delayed`.
        """
        from . import views

        return views.array(self, name, chunk_size)

    def to_xarray(self, name: str = "xyz", chunk_size: int | str = "auto") -> Any:
        """Return an `xarray.DataArray` over `to_dask_array`, with frame numbers; a list of them, as results are.

        Parameters
        ----------
        name, chunk_size
            As for `to_dask_array`.
        """
        from . import views

        return views.labelled(self, name, chunk_size)

    def row_of(self, name: str, number: int) -> tuple[tuple[int, ...], Any]:
        """Return shape and type of what a frame of a trajectory has by a name, for `to_dask_array`.

        Raises
        ------
        InvalidInputError
            It has no such thing.
        """
        rows = {"xyz": ((self.n_atoms, 3), np.float32), "time": ((), np.float64)}
        if all(source.has_cells for source in self.trajectories):
            rows |= {f"unitcell_{each}": ((3,), np.float32) for each in ("lengths", "angles")}
            rows["unitcell_vectors"] = ((3, 3), np.float32)
        if name not in rows:
            raise InvalidInputError(f"the frames have no {name!r}; they have {', '.join(rows)}")
        return rows[name]

    def is_masked(self, name: str) -> bool:
        """Tell whether frames may lack what has this name, so that arrays of it are masked."""
        return False

    def _set_atoms(self, atoms: Indices | None, topology: Any) -> None:
        """Set what is chosen of all atoms."""
        self.atoms = atoms
        self.n_atoms = topology.n_atoms if atoms is None else len(atoms)
        self.topology = subset(topology, atoms)
        self._small = SmallTopology(self.topology)

    def _chunks_of(self, number: int, size: int) -> Iterator[Chunk]:
        source, values_nbytes = self.trajectories[number], self.values_nbytes(number)
        for start in range(0, source.n_frames, size):
            stop = min(start + size, source.n_frames)
            frames = source.frames[start:stop]
            yield Chunk(
                path=source.path,
                format=source.format,
                run=source.run,
                traj=source.traj,
                source=number,
                frames=frames,
                out_start=start,
                n_out=stop - start,
                atoms=self.atoms,
                fields=self.fields,
                offsets=None if source.offsets is None else Indices(source.offsets[frames.array]),
                size=source.size,
                mtime_ns=source.mtime_ns,
                has_cells=source.has_cells,
                rep=self.rep,
                sent_nbytes=sent_nbytes(source, frames, self.atoms, self.n_atoms, values_nbytes),
            )
