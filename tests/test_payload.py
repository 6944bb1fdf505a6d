"""The chunk table and the outcome frames: what is written is read back, and what is damaged is noticed."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from condormap.in_job.payload import (
    FILES_PER_FOLDER,
    SELECTION_FILE,
    DamagedError,
    array_bytes,
    chunk_file,
    chunk_items,
    make_shards,
    read_chunks,
    read_data,
    read_frame,
    read_frames,
    read_slice,
    runs_of,
    write_chunks,
    write_frame,
)

keys = st.text(max_size=8).filter(lambda key: key not in ("state", "packed"))  # those say what the data are
frames = st.tuples(st.dictionaries(keys, st.integers() | st.text()), st.lists(st.binary()))


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the examples of a property share: each overwrites the files of the one before."""
    return tmp_path_factory.mktemp("payload")


def write(path: Path, written: list[tuple[dict[str, Any], list[bytes]]]) -> Path:
    with path.open("wb", buffering=0) as file:
        for header, parts in written:
            write_frame(file, header, parts, sum(map(len, parts)))
    return path


# -- runs -------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 60)))
def test_runs_cover_the_numbers_in_order_and_none_can_be_joined_to_the_next(numbers: list[int]) -> None:
    runs = list(runs_of(numbers))
    assert [number for run in runs for number in run] == numbers
    assert all(runs)
    assert all(one.stop != other.start for one, other in itertools.pairwise(runs))


@pytest.mark.parametrize("numbers", [range(3, 9), range(0), range(5, 3), range(0, 9, 3), range(5, 0, -1)])
def test_runs_of_ranges_are_those_of_the_same_list(numbers: range) -> None:
    assert list(runs_of(numbers)) == list(runs_of(list(numbers)))


# -- chunk table -----------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 2**63), st.integers(0, 100)), max_size=20))
def test_the_chunk_table_comes_back(scratch: Path, pairs: list[tuple[int, int]]) -> None:
    chunks = [range(start, start + size) for start, size in pairs]
    write_chunks(scratch, chunks)
    assert read_chunks(scratch) == chunks
    assert [list(chunk_items(scratch, number)[:3]) for number in range(len(chunks))] == [
        list(chunk[:3]) for chunk in chunks
    ]


def test_a_selection_says_which_items_the_positions_mean(tmp_path: Path) -> None:
    write_chunks(tmp_path, [range(2), range(2, 5)])
    (tmp_path / SELECTION_FILE).write_bytes(array_bytes(array("Q", [70, 7, 2**40, 0, 5])))
    assert [list(chunk_items(tmp_path, chunk)) for chunk in range(2)] == [[70, 7], [2**40, 0, 5]]


def test_integers_are_little_endian_on_every_machine(tmp_path: Path) -> None:
    path = tmp_path / "numbers"
    path.write_bytes(bytes.fromhex("01000000000000000001000000000000"))
    assert list(read_slice(str(path), 0, 2)) == [1, 256]
    assert array_bytes(array("Q", [1, 256])) == path.read_bytes()


def test_a_folder_never_has_the_files_of_more_than_a_thousand_chunks(tmp_path: Path) -> None:
    n_chunks = 2 * FILES_PER_FOLDER + 1
    make_shards(tmp_path, n_chunks)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1", "2"]
    assert Path(chunk_file(tmp_path, n_chunks - 1, "0")) == tmp_path / "2" / "2000.0"


# -- frames ----------------------------------------------------------------------------------------------------


@given(st.lists(frames, max_size=8))
def test_any_sequence_of_frames_is_read_back(
    scratch: Path, written: list[tuple[dict[str, Any], list[bytes]]]
) -> None:
    path = write(scratch / "frames", written)
    read = [(frame.header, read_data(str(path), frame)) for frame in read_frames(str(path))]
    assert read == [(header, b"".join(parts)) for header, parts in written]


def test_a_frame_of_several_megabytes_is_written_in_its_pieces(tmp_path: Path) -> None:
    parts = [b"a" * 900_000, b"", b"b" * 900_000]
    path = write(tmp_path / "frames", [({"n": 1}, parts), ({"n": 2}, [])])
    first, second = read_frames(str(path))
    assert read_data(str(path), first) == b"".join(parts)
    assert (second.start, second.header) == (first.end, {"n": 2})


def torn(path: Path) -> Iterator[int]:
    """Cut the file by one byte after the other; yield how many are left."""
    for size in range(path.stat().st_size - 1, -1, -1):
        with path.open("r+b") as file:
            file.truncate(size)
        yield size


def test_a_torn_tail_is_no_frame_wherever_it_is_torn(tmp_path: Path) -> None:
    path = write(tmp_path / "frames", [({"n": 1}, [b"one"]), ({"n": 2}, [b"two"])])
    first, _ = read_frames(str(path))
    for size in torn(path):
        left = [frame.header["n"] for frame in read_frames(str(path))]
        assert left == ([1] if size >= first.end else [])


@given(st.data())
def test_a_changed_byte_never_gives_other_content(scratch: Path, data: st.DataObject) -> None:
    path = write(scratch / "frames", [({"n": 1}, [b"some data of the frame"])])
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    try:
        found = [(frame.header, read_data(str(path), frame)) for frame in read_frames(str(path))]
    except DamagedError:
        return
    assert found == []  # a changed length may look like a frame that is not complete yet


def test_what_is_no_frame_says_where(tmp_path: Path) -> None:
    path = write(tmp_path / "frames", [({"n": 1}, [b"data"])])
    end = path.stat().st_size
    with path.open("ab") as file:
        file.write(b"x" * 100)
    with path.open("rb") as file, pytest.raises(DamagedError, match=f"no outcome frame at byte {end}"):
        read_frame(file, end)


def test_a_damaged_header_is_noticed(tmp_path: Path) -> None:
    path = write(tmp_path / "frames", [({"n": 1}, [b"data"])])
    path.write_bytes(path.read_bytes().replace(b'"n"', b'"m"'))
    with pytest.raises(DamagedError, match="header of the frame at byte 0 is damaged"):
        list(read_frames(str(path)))


def test_damaged_data_is_noticed_when_it_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "frames", [({"n": 1}, [b"data"])])
    path.write_bytes(path.read_bytes().replace(b"data", b"date"))
    (frame,) = read_frames(str(path))
    with pytest.raises(DamagedError, match=r"data of the frame at byte \d+ is damaged"):
        read_data(str(path), frame)
