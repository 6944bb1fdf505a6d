"""New datasets in somebody's HDF5 file, in one step: the file is whole at every moment, whenever we are killed.

No byte that the file has is written over, but for the last step. The datasets, and a new version of each group on
the way to them, go behind its end; the other members of these groups are the old objects. Then the superblock, the
first 48 (or 96) bytes, is told of the new root group and the new end, in one write. Who opens the file before that
finds what was there, and after it also what is new. A writer that is killed leaves bytes behind the end: HDF5 does
not look at them, and the next writer uses them. The old versions of the groups, some hundred bytes each, stay as
unused space.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from .hdf5_behind import Behind, Superblock

_BLOCK = 1 << 24  # bytes that are copied at once
_SPARE = 1 << 20  # bytes that the groups may take, beside the datasets
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
_LINK = b"condormap.new-root"  # no version of the file has it that anyone sees


class New(NamedTuple):
    """A dataset that is to be.

    Attributes
    ----------
    values : array or h5py.Dataset
        What it has.
    shape : tuple of int or None
        Its shape, if not that of the values.
    attrs : mapping
        Its attributes.
    """

    values: Any
    shape: tuple[int, ...] | None = None
    attrs: Mapping[str, Any] = {}


def graft(path: str, plan: Callable[[Any], Mapping[str, New]]) -> None:
    """Put new datasets into an HDF5 file.

    Parameters
    ----------
    path : str
        The file.
    plan : callable
        Gets the open file, which nobody else changes now, and returns the datasets by their paths. What is at such
        a path is replaced.

    Raises
    ------
    BlockingIOError
        It is open elsewhere.
    OSError
        There is no room for it, or the file can't be written.
    ValueError
        It is of a kind that can't be changed so.
    """
    import h5py

    with open(path, "r+b", buffering=0) as file:
        descriptor = file.fileno()
        _lock(descriptor, path)
        superblock = Superblock.of(path, descriptor)
        with h5py.File(path, "r", locking=False) as old:
            news = plan(old)
            if not news:
                return
            _check_space(path, sum(new.values.nbytes for new in news.values()))
            try:
                os.ftruncate(descriptor, superblock.end)  # without what one who was killed left behind it
                replaced = _written(old, descriptor, superblock, news)
                os.fsync(descriptor)
                _check(old, descriptor, superblock, replaced, news)
            except BaseException as error:
                with contextlib.suppress(OSError):
                    os.ftruncate(descriptor, superblock.end)
                if isinstance(
                    error, KeyError | RuntimeError | TypeError
                ):  # h5py's words for what HDF5 can't do
                    raise OSError(f"HDF5 can't write what is new: {error}") from error
                raise
        os.pwrite(descriptor, replaced, 0)
        os.fsync(descriptor)


def check_can_graft(path: str) -> None:
    """Raise a ValueError where an HDF5 file can't be changed so."""
    with open(path, "rb", buffering=0) as file:
        Superblock.of(path, file.fileno())


def check_groups(file: Any, paths: Iterable[str]) -> None:
    """Raise a ValueError where a group on the way to new datasets has two names: the new one would have one."""
    import h5py

    groups = {path[:k] for path in paths for k, letter in enumerate(path) if letter == "/"}
    for path in sorted(groups):
        if path in file:
            is_link = not isinstance(file.get(path, getlink=True), h5py.HardLink)
            if is_link or h5py.h5o.get_info(file[path].id).rc > 1:
                raise ValueError(f"the group {path} is a link, or another hard link leads to it")


def _lock(descriptor: int, path: str) -> None:
    """Keep others from opening the file, as HDF5 itself does."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BlockingIOError(
            errno.EAGAIN, "it is open elsewhere, in this process or another", path
        ) from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise


def _check_space(path: str, size: int) -> None:
    free = shutil.disk_usage(os.path.dirname(os.path.realpath(path))).free
    if free < size + _SPARE:
        needs = f"its disk has {free >> 20} MB free, and {(size + _SPARE) >> 20} MB are needed"
        raise OSError(errno.ENOSPC, needs, path)


def _written(old: Any, descriptor: int, superblock: Superblock, news: Mapping[str, New]) -> bytes:
    """Write what is new behind the end of a file; return the superblock that has it."""
    import h5py

    tree: dict[str, Any] = {}
    for path, new in news.items():
        *groups, name = path.split("/")
        place = tree
        for group in groups:
            place = place.setdefault(group, {})
        place[name] = new
    behind = Behind(descriptor, superblock.end)
    try:
        with h5py.File(behind, "r+", libver=("v110", "latest") if superblock.is_new else None) as file:
            root = _add_version(old, file, "/", tree, file.id, None)
            file.flush()
            # HDF5 removes on closing what has no name. This step is the last: it changes the old root group, and
            # space before the end that it frees must not be taken for what is new.
            h5py.h5o.link(root.id, file.id, _LINK)
            address = h5py.h5o.get_info(root.id).addr
    except Exception:
        if behind.error is not None:
            raise behind.error from None
        raise
    return superblock.replaced(address, os.fstat(descriptor).st_size)


def _add_version(old: Any, file: Any, path: str, changes: Mapping[str, Any], parent: Any, name: Any) -> Any:
    """Make a new version of a group as a member of another; the old one is read from the file opened before."""
    import h5py

    there = old.get(path)
    if there is not None and not isinstance(there, h5py.Group):
        raise ValueError(f"{path} is no group")
    plist = h5py.h5p.create(h5py.h5p.GROUP_CREATE)
    if there is not None:
        old_plist = there.id.get_create_plist()
        plist.set_link_creation_order(old_plist.get_link_creation_order())
        plist.set_attr_creation_order(old_plist.get_attr_creation_order())
    group = h5py.Group(h5py.h5g.create(parent, name, gcpl=plist))
    if there is not None:
        _copy_attributes(there.id, group.id)
        for member in there:
            if member not in changes:
                _link(there.id, group.id, file.id, path, _encoded(member))
    for member in changes:
        if isinstance(changes[member], New):
            _copy(changes[member], group, member)
        else:
            below = f"{path.rstrip('/')}/{member}"
            _add_version(old, file, below, changes[member], group.id, _encoded(member))
    return group


def _encoded(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _link(there: Any, group: Any, file: Any, path: str, name: bytes) -> None:
    """Give a group a member of its old version."""
    import h5py

    kind = there.links.get_info(name).type
    if kind == h5py.h5l.TYPE_HARD:
        group.links.create_hard(name, file, b"/".join([_encoded(path.rstrip("/")), name]))
    elif kind == h5py.h5l.TYPE_SOFT:
        group.links.create_soft(name, there.links.get_val(name))
    elif kind == h5py.h5l.TYPE_EXTERNAL:
        group.links.create_external(name, *there.links.get_val(name))
    else:
        raise ValueError(f"{path} has a link of a kind that can't be kept: {name!r}")


def _copy_attributes(old: Any, new: Any) -> None:
    import h5py
    import numpy as np

    for number in range(h5py.h5a.get_num_attrs(old)):
        one = h5py.h5a.open(old, index=number)
        other = h5py.h5a.create(new, one.name, one.get_type().copy(), one.get_space())
        if one.get_space().get_simple_extent_type() != h5py.h5s.NULL:
            values = np.zeros(one.shape, one.dtype)
            one.read(values)
            other.write(values)


def _copy(new: New, group: Any, name: str) -> None:
    shape = new.values.shape if new.shape is None else new.shape
    grows = (None, *shape[1:]) if shape else None
    data = group.create_dataset(name, shape=shape, dtype=new.values.dtype, maxshape=grows)
    data.attrs.update(new.attrs)
    for where, values in _blocks(new):
        data[where] = values


def _blocks(new: New) -> Iterator[tuple[Any, Any]]:
    """Yield the values a piece at a time: where it is, the piece."""
    import numpy as np

    values, shape = new.values, new.values.shape if new.shape is None else new.shape
    if not shape:
        yield (), values[()]
        return
    step = max(1, _BLOCK // max(1, values.dtype.itemsize * int(np.prod(shape[1:]))))
    for start in range(0, shape[0], step):
        stop = min(start + step, shape[0])
        yield slice(start, stop), values[start:stop].reshape(stop - start, *shape[1:])


def _check(
    old: Any, descriptor: int, superblock: Superblock, replaced: bytes, news: Mapping[str, New]
) -> None:
    """See that the file will be what it should, before it is told so."""
    import h5py

    behind = Behind(descriptor, superblock.end)
    behind.write(replaced)
    hard = h5py.HardLink
    changed = {""} | {path[:k] for path in news for k, letter in enumerate(path) if letter == "/"}
    with h5py.File(behind, "r") as file:
        for path in changed:
            before, after = old.get(path or "/"), file[path or "/"]
            for name in before or ():
                whole = f"{path}/{name}".lstrip("/")
                if name not in after:
                    raise OSError(f"{whole} was lost in writing")
                if whole in changed or whole in news or before.get(name, getclass=True, getlink=True) != hard:
                    continue
                one, other = (h5py.h5o.get_info(each.id, _encoded(name)) for each in (before, after))
                if one.addr != other.addr:
                    raise OSError(f"{whole} was replaced in writing")
            if before is not None and not set(before.attrs) <= set(after.attrs):
                raise OSError(f"{path} lost attributes in writing")
        for path, new in news.items():
            for where, values in _blocks(new):
                if not _are_same(file[path], where, values):
                    raise OSError(f"{path} reads as something else than was written")


def _are_same(data: Any, where: Any, values: Any) -> bool:
    if data.dtype.kind == "O":
        found = data.asstr()[where]
        return bool((found == values).all() if hasattr(found, "all") else found == values)
    return bool(data[where].tobytes() == values.astype(data.dtype).tobytes())
