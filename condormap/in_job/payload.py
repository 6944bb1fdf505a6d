"""What a job reads and what it writes back: the chunk table and the outcome frames.

Travels into the job with `runner` and `worker`: standard library only, and of that only what
a job must have anyway, for each import costs every job some milliseconds (so no pathlib, tempfile, dataclasses).

Chunk table
    ``chunks.bin`` holds a pair of unsigned 64-bit integers for each chunk: the half-open range of positions
    that it covers. A position is an item's index, or, where the submission has a ``selection.bin``, an index
    into that list of item indices (a retry runs a few items from all over the map).

Outcome file
    One per attempt at a chunk, append-only, a sequence of frames::

        prefix   magic "CMF1", length of the header, length of the data, CRC-32 of the header
        header   JSON
        data     the items' pickles, one after the other; or as the header says
        trailer  CRC-32 of the data

    A batch of items is one frame; its header has a column per property, so that a status is learnt without
    unpickling anything::

        {"kind": "items", "runs": [[first, stop], ...], "states": "rrer", "sizes": [...], "us": [...]}

    ``states`` has a letter for each item (`RESULT`, `ERROR`, `DIED`); ``sizes`` is one number where all are equal;
    ``us`` is the time in microseconds, or, where a frame has very many items, the sum of their times. With
    ``"column": "q"`` (or ``"d"``) the results are integers (floats) and the data is the array of them, 8 bytes
    each, little-endian. With ``"packed": true`` the frame has one item whose data `packed` reads. With
    ``"shared": true`` the data is one pickle that holds for all items of the frame, and with ``"preflight": true``
    it says why the function cannot be loaded there. With ``"state": n`` the first n bytes of the data are the
    state of a reducer (`packed`) to which the results were added; those not kept have the size 0. The
    first frame is ``start`` (host, Python...), the last one of a complete attempt is ``end``. A torn tail is no
    frame.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from array import array

from .packed import Packed, TornError, read_exactly, read_packed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any, BinaryIO

    Folder = str | os.PathLike[str]

RESULT, ERROR, DIED = "r", "e", "d"

# Types of results that lie in a frame as numbers, and how: signed integers and floats of 8 bytes, little-endian.
COLUMNS = {"int": "q", "float": "d", "numpy.int64": "q", "numpy.float64": "d", "numpy.float32": "d"}
FUNCTION_FILE, REDUCER_FILE = "func.pkl", "reducer.pkl"
CHUNKS_FILE, SELECTION_FILE = "chunks.bin", "selection.bin"
FILES_PER_FOLDER = 1000  # of chunks: a folder with 100,000 files is slow on every file system

_PAIR = struct.Struct("<QQ")
_PREFIX = struct.Struct("<4sIQI")
_TRAILER = struct.Struct("<I")
_MAGIC = b"CMF1"
_PIECE = 1 << 20


class DamagedError(Exception):
    """A file is not what this module wrote."""


def little_endian(values: Iterable[int]) -> array[int]:
    """Return `values` as an array of unsigned 64-bit integers; see `array_bytes`."""
    return array("Q", values)


def array_bytes(values: array[int]) -> bytes:
    """Return the little-endian bytes of an array of unsigned 64-bit integers."""
    if struct.pack("=H", 1) != struct.pack("<H", 1):
        values = array("Q", values)
        values.byteswap()
    return values.tobytes()


def array_from(data: bytes) -> array[int]:
    """Return the array of unsigned 64-bit integers that `array_bytes` wrote."""
    values = array("Q")
    values.frombytes(data)
    if struct.pack("=H", 1) != struct.pack("<H", 1):
        values.byteswap()
    return values


def read_slice(path: str, start: int, stop: int) -> array[int]:
    """Return the 64-bit integers ``start`` to ``stop`` (exclusive) of a file of them."""
    with open(path, "rb") as file:
        file.seek(8 * start)
        data = file.read(8 * (stop - start))
    if len(data) != 8 * (stop - start):
        raise DamagedError(f"{path} ends before entry {stop}")
    return array_from(data)


def chunk_range(folder: Folder, chunk: int) -> range:
    """Return the positions of a chunk, from the chunk table of a submission's folder."""
    start, stop = read_slice(f"{os.fspath(folder)}/{CHUNKS_FILE}", 2 * chunk, 2 * chunk + 2)
    return range(start, stop)


def write_chunks(folder: Folder, chunks: Iterable[range]) -> None:
    """Write the chunk table of a submission."""
    with open(f"{os.fspath(folder)}/{CHUNKS_FILE}", "wb") as file:
        file.write(b"".join(_PAIR.pack(chunk.start, chunk.stop) for chunk in chunks))


def read_chunks(folder: Folder) -> list[range]:
    """Return the chunk table of a submission."""
    with open(f"{os.fspath(folder)}/{CHUNKS_FILE}", "rb") as file:
        return [range(start, stop) for start, stop in _PAIR.iter_unpack(file.read())]


def chunk_items(folder: Folder, chunk: int) -> range | array[int]:
    """Return the item indices of a chunk, in the order in which they are computed."""
    positions = chunk_range(folder, chunk)
    selection = f"{os.fspath(folder)}/{SELECTION_FILE}"
    return read_slice(selection, positions.start, positions.stop) if os.path.exists(selection) else positions


def runs_of(items: Iterable[int]) -> Iterator[range]:
    """Yield the maximal ranges of consecutive numbers in `items`, in order."""
    if isinstance(items, range) and items.step == 1:
        if items:
            yield items
        return
    start = stop = -1
    for item in items:
        if item != stop:
            if stop > start:
                yield range(start, stop)
            start = item
        stop = item + 1
    if stop > start:
        yield range(start, stop)


def chunk_file(folder: Folder, chunk: int, suffix: str) -> str:
    """Return the file of a chunk in a sharded folder: ``folder/3/3017.suffix``."""
    return f"{os.fspath(folder)}/{chunk // FILES_PER_FOLDER}/{chunk}.{suffix}"


def make_shards(folder: Folder, n_chunks: int) -> None:
    """Make the sub-folders that `chunk_file` names."""
    for shard in range((n_chunks + FILES_PER_FOLDER - 1) // FILES_PER_FOLDER):
        os.makedirs(f"{os.fspath(folder)}/{shard}", exist_ok=True)


# ---- frames -----------------------------------------------------------------------------------------------


def write_frame(
    file: BinaryIO, header: dict[str, Any], parts: Iterable[bytes | memoryview] = (), size: int = 0
) -> None:
    """Append one frame to an unbuffered file opened for writing.

    Parameters
    ----------
    file : binary file
        Unbuffered, positioned at the end of the last complete frame.
    header : dict
        JSON values.
    parts : iterable of bytes
        The data, in pieces, so that a large result is not copied into one.
    size : int
        The total size of `parts` in bytes.
    """
    text = json.dumps(header, separators=(",", ":")).encode()
    head = _PREFIX.pack(_MAGIC, len(text), size, zlib.crc32(text)) + text
    if size <= _PIECE:
        data = b"".join(parts)
        write_all(file, head + data + _TRAILER.pack(zlib.crc32(data)))
        return
    write_all(file, head)
    crc = 0
    for part in parts:
        view = memoryview(part)
        for begin in range(0, len(view), _PIECE):  # in pieces that stay in the processor's cache
            piece = view[begin : begin + _PIECE]
            crc = zlib.crc32(piece, crc)
            write_all(file, piece)
    write_all(file, _TRAILER.pack(crc))


def write_all(file: BinaryIO, data: bytes | memoryview) -> None:
    """Write to an unbuffered file, which may take less than it is given (a full disk, more than 2 GB)."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


class Frame:
    """Where a frame is in its file, and its header.

    Attributes
    ----------
    header : dict
        The JSON header.
    start : int
        Where the frame starts.
    data_start, data_stop : int
        The byte range of the data in the file.
    end : int
        Where the next frame starts.
    """

    __slots__ = ("data_start", "data_stop", "end", "header", "start")

    def __init__(self, header: dict[str, Any], start: int, data_start: int, data_size: int) -> None:
        self.header = header
        self.start = start
        self.data_start = data_start
        self.data_stop = data_start + data_size
        self.end = self.data_stop + _TRAILER.size


def read_frame(file: BinaryIO, offset: int) -> Frame | None:
    """Return the frame that starts at `offset`, or None where no complete frame is (yet).

    Raises
    ------
    DamagedError
        The bytes there are not a frame.
    """
    size = os.fstat(file.fileno()).st_size
    if size < offset + _PREFIX.size:
        return None
    file.seek(offset)
    magic, header_size, data_size, crc = _PREFIX.unpack(file.read(_PREFIX.size))
    if magic != _MAGIC:
        raise DamagedError(f"{file.name} has no outcome frame at byte {offset}")
    data_start = offset + _PREFIX.size + header_size
    if size < data_start + data_size + _TRAILER.size:
        return None
    text = file.read(header_size)
    if zlib.crc32(text) != crc:
        raise DamagedError(f"{file.name}: the header of the frame at byte {offset} is damaged")
    return Frame(json.loads(text), offset, data_start, data_size)


def read_frames(path: str, offset: int = 0) -> Iterator[Frame]:
    """Yield the complete frames of an outcome file from `offset` on."""
    with open(path, "rb") as file:
        while frame := read_frame(file, offset):
            yield frame
            offset = frame.end


def read_data(path: str, frame: Frame) -> bytes | Packed:
    """Return the data of a frame that belongs to its items: bytes unless the frame is ``packed``.

    Raises
    ------
    DamagedError
        The checksum does not fit.
    """
    return _read_data(path, frame)[1]


def read_state(path: str, frame: Frame) -> bytes | Packed:
    """Return the state of a reducer that a frame has, for `packed.load`.

    Raises
    ------
    DamagedError
        The checksum does not fit.
    """
    return _read_data(path, frame)[0]


def _read_data(path: str, frame: Frame) -> tuple[bytes | Packed, bytes | Packed]:
    """Return the state of a frame, empty where there is none, and the data of its items.

    Raises
    ------
    DamagedError
        The checksum does not fit.
    """
    with open(path, "rb", buffering=0) as file:
        file.seek(frame.data_start)
        state_size = frame.header.get("state", 0)
        size = frame.data_stop - frame.data_start - state_size
        state: bytes | Packed = b""
        crc = 0
        try:
            if state_size:
                state, crc = read_packed(file, state_size)
            if frame.header.get("packed"):
                data, crc = read_packed(file, size)
            else:
                data = read_exactly(file, size)
                crc = zlib.crc32(data, crc)
            trailer = read_exactly(file, _TRAILER.size)
        except TornError:
            raise DamagedError(f"{path} ends in the data of the frame at byte {frame.start}") from None
    if _TRAILER.unpack(trailer)[0] != crc:
        raise DamagedError(f"{path}: the data of the frame at byte {frame.start} is damaged")
    return state, data
