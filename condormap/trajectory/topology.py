"""Topologies: parsed once, reduced to the chosen atoms in their order, and made small for the way to the jobs."""

from __future__ import annotations

import gc
import json
import operator
import os
import pickle
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import TrajectoryDamagedError, TrajectoryInputError
from .indices import Indices


def parse_topology(top: Any) -> Any:
    """Return the `mdtraj.Topology` that an argument means: one, a trajectory, or a file that mdtraj reads.

    Raises
    ------
    TrajectoryInputError
        It can't be read.
    """
    import mdtraj

    if top is None or isinstance(top, mdtraj.Topology):
        return top
    if isinstance(top, mdtraj.Trajectory):
        return top.topology
    try:
        return mdtraj.load_topology(os.path.expanduser(os.fspath(top)))
    except Exception as error:  # whatever its parsers raise
        raise TrajectoryInputError(
            f"top: {top}: mdtraj can't read a topology from it: {type(error).__name__}: {error}",
            path=str(top),
        ) from error


def subset(topology: Any, atoms: Indices | None) -> Any:
    """Return the topology of some atoms, in their order.

    In another order than that of the file, a residue (and chain) of which atoms of another one come between
    becomes several, so that the atoms, counted by residues, are in the order of the coordinates.
    """
    if topology is None or atoms is None:
        return topology
    if atoms.is_ascending:
        return topology.subset(list(atoms))
    import mdtraj

    found = mdtraj.Topology()
    chain = residue = before = None
    new = {}
    for number in atoms:
        atom = topology.atom(number)
        if before is None or atom.residue.chain is not before.residue.chain:
            chain = found.add_chain(atom.residue.chain.chain_id)
        if before is None or atom.residue is not before.residue:
            old = atom.residue
            residue = found.add_residue(old.name, chain, old.resSeq, old.segment_id)
        before = atom
        new[atom] = found.add_atom(
            atom.name, atom.element, residue, serial=atom.serial, formal_charge=atom.formal_charge
        )
    for bond in topology.bonds:
        if bond[0] in new and bond[1] in new:
            found.add_bond(new[bond[0]], new[bond[1]], bond.type, bond.order)
    return found


class SmallTopology:
    """A topology whose pickle is compressed, to a sixth or less, and that nobody can change.

    Parameters
    ----------
    topology : mdtraj.Topology or None
        It.
    packed : bytes, optional
        Its pickle, where there is one.
    """

    def __init__(self, topology: Any, packed: bytes | None = None) -> None:
        self._given = topology
        self._packed = packed
        self._copy: Any = None
        self._looked: Any = None

    @property
    def topology(self) -> Any:
        """A copy, the same each time, but where a function of frames has changed it: then a new one."""
        if self._copy is None or _looks(self._copy) != self._looked:
            self._copy = _unpacked(self._pack())
            self._looked = _looks(self._copy)
        return self._copy

    def _pack(self) -> bytes:
        if self._packed is None:
            self._packed = zlib.compress(pickle.dumps(self._given, 5), 1)
        return self._packed

    def __reduce__(self) -> tuple[Any, ...]:
        return SmallTopology, (None, self._pack())


def _looks(topology: Any) -> Any:
    """Return what functions may change of a topology."""
    if topology is None:
        return None
    atoms = [atom.name for atom in topology.atoms], [atom.element for atom in topology.atoms]
    residues = [
        (residue.name, residue.resSeq, residue.n_atoms, residue.chain.index) for residue in topology.residues
    ]
    return atoms, residues, topology.n_bonds


def _unpacked(data: bytes) -> Any:
    collects = gc.isenabled()
    gc.disable()  # which else looks at all these objects again and again: four fifths of the time
    try:
        return pickle.loads(zlib.decompress(data))
    finally:
        if collects:
            gc.enable()


@dataclass(frozen=True, slots=True)
class StoredTopology:
    """The topology that a file has in JSON: called, it is built; equal to any of the same text."""

    text: str | bytes
    path: str = field(compare=False)

    def __call__(self) -> Any:
        """Return it."""
        return topology_of_json(self.text, self.path)


def topology_of_json(text: str | bytes, path: str) -> Any:
    """Return the topology that a file of mdtraj's or wepy's describes in JSON.

    Raises
    ------
    TrajectoryDamagedError
        It describes none.
    """
    try:
        return _built(json.loads(text))
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise TrajectoryDamagedError(
            f"{path}: its topology is damaged ({type(error).__name__}: {error}). Give another one: top=",
            path=path,
        ) from error


def _built(found: Mapping[str, Any]) -> Any:
    import mdtraj
    from mdtraj.core.element import get_by_symbol, virtual
    from mdtraj.core.topology import bond_name_to_type

    topology = mdtraj.Topology()
    for chain in _in_order(found["chains"]):
        new_chain = topology.add_chain(chain.get("chain_id"))
        for residue in _in_order(chain["residues"]):
            new_residue = topology.add_residue(
                residue["name"], new_chain, residue.get("resSeq"), residue.get("segmentID", "")
            )
            for atom in _in_order(residue["atoms"]):
                try:
                    element = get_by_symbol(atom["element"])
                except KeyError:
                    element = virtual
                topology.add_atom(atom["name"], element, new_residue, formal_charge=atom.get("formal_charge"))
    atoms = list(topology.atoms)
    kinds = found.get("bond_metadata") or [None] * len(found["bonds"])
    for (a, b), kind in zip(found["bonds"], kinds, strict=True):
        if kind is None:
            topology.add_bond(atoms[a], atoms[b])
        else:
            topology.add_bond(atoms[a], atoms[b], bond_name_to_type(kind["type"]), kind["order"])
    return topology


def _in_order(parts: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return sorted(parts, key=operator.itemgetter("index"))
