"""The item store: what is written is read back, in whatever selection; what is damaged is noticed."""

from __future__ import annotations

import math
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from condormap.errors import SerializationError
from condormap.in_job.items import read_blocks, read_item
from condormap.in_job.packed import LEAST_BUFFER
from condormap.in_job.payload import DamagedError
from condormap.payload.item_store import unpickle_items, write_items

numbers = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.complex_numbers(allow_nan=False)
)
of_numpy = st.sampled_from([numpy.float64, numpy.float32, numpy.int64, numpy.uint8, numpy.bool_]).flatmap(
    lambda kind: st.integers(0, 1).map(kind)
)
values = numbers | of_numpy | st.binary(max_size=2000) | st.text(max_size=50) | st.tuples(numbers, of_numpy)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the examples of a property share: each overwrites the files of the one before."""
    return tmp_path_factory.mktemp("items")


def typed(values: list[Any]) -> list[tuple[type, Any]]:
    return [(type(value), value) for value in values]


@given(st.lists(values, max_size=60), st.data())
def test_items_come_back_in_whatever_selection_is_asked_for(
    scratch: Path, items: list[Any], data: st.DataObject
) -> None:
    write_items(scratch, [items])
    wanted = data.draw(st.lists(st.integers(0, len(items) - 1), max_size=20) if items else st.just([]))
    assert typed(list(unpickle_items(scratch, wanted))) == typed([items[item] for item in wanted])


@given(st.lists(st.lists(values, max_size=30), max_size=4), values)
def test_items_are_appended_behind_those_that_count(scratch: Path, parts: list[list[Any]], torn: Any) -> None:
    write_items(scratch, [[]])
    n_items = 0
    for part in parts:
        write_items(scratch, [[torn, torn]], after=n_items)  # whoever wrote these was killed
        n_items = write_items(scratch, [part], after=n_items)
    everything = [value for part in parts for value in part]
    assert n_items == len(everything)
    assert typed(list(unpickle_items(scratch, range(n_items)))) == typed(everything)


def test_a_million_numbers_take_a_few_bytes_each(tmp_path: Path) -> None:
    write_items(tmp_path, [range(1_000_000)])
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 6_000_000
    assert list(unpickle_items(tmp_path, (999_999, 0, 500_000))) == [999_999, 0, 500_000]


def test_numbers_keep_their_bits(tmp_path: Path) -> None:
    items = [-0.0, math.inf, numpy.float32(0.1), numpy.float64(-0.0), numpy.int64(-(2**63)), 2**70, True]
    write_items(tmp_path, [items])
    assert [(type(x), repr(x)) for x in unpickle_items(tmp_path, range(7))] == [
        (type(x), repr(x)) for x in items
    ]


def test_items_larger_than_every_buffer_come_back(tmp_path: Path) -> None:
    items = [bytes([n]) * (n * 700_000) for n in range(6)]
    assert write_items(tmp_path, [items]) == 6
    assert list(unpickle_items(tmp_path, range(6))) == items


def test_a_large_array_lies_in_the_store_once_and_comes_back_writable(tmp_path: Path) -> None:
    array = numpy.arange(LEAST_BUFFER, dtype=float).reshape(256, -1)
    write_items(tmp_path, [[1, {"a": array, "b": (array, "text")}, 3]])
    assert (tmp_path / "items.pkl").stat().st_size < array.nbytes + 1000
    back = read_item(tmp_path, 1)
    assert numpy.array_equal(back["a"], array)
    assert back["b"][0] is back["a"]
    assert back["a"].flags.writeable
    back["a"][:] = 0
    assert numpy.array_equal(read_item(tmp_path, 1)["a"], array)
    assert list(unpickle_items(tmp_path, (0, 2))) == [1, 3]


def test_an_array_that_items_share_lies_in_the_store_once_and_each_has_its_own(tmp_path: Path) -> None:
    array, other = numpy.arange(LEAST_BUFFER, dtype=float), numpy.arange(LEAST_BUFFER) * 2
    items = [(n, array, other) if n % 3 else (n, "text", array.T, other[5:]) for n in range(9)]
    n_items = write_items(tmp_path, [items[:5]], share=True)
    write_items(
        tmp_path, [items[5:]], after=n_items, share=True
    )  # others then, for an array may change meanwhile
    whole, part = array.nbytes + other.nbytes, other[5:].nbytes
    assert (tmp_path / "items.pkl").stat().st_size < 2 * whole + 3 * array.nbytes + 3 * part + 10_000
    for order in (range(9), (8, 3, 1, 0)):
        for item, back in zip(order, unpickle_items(tmp_path, order), strict=True):
            assert all(numpy.array_equal(a, b) for a, b in zip(back, items[item], strict=True))
            back[-1][:] = 0


def test_buffers_of_one_object_are_shared_if_they_are_the_whole_of_it(tmp_path: Path) -> None:
    memory = numpy.arange(LEAST_BUFFER) % 251
    items = [Part(memory, begin) for begin in (0, 1)]
    write_items(tmp_path, [items], share=True)
    assert [bytes(back) for back in unpickle_items(tmp_path, range(2))] == [
        memory.tobytes()[part.begin :][:LEAST_BUFFER] for part in items
    ]


class Part:
    """Is pickled as a part of the memory of an object."""

    def __init__(self, memory: numpy.ndarray[Any, Any], begin: int) -> None:
        self.memory, self.begin = memory, begin

    def __reduce_ex__(self, protocol: Any) -> Any:
        part = memoryview(self.memory).cast("B")[self.begin :][:LEAST_BUFFER]
        return bytes, (pickle.PickleBuffer(part),)


@pytest.mark.parametrize("items", [["a" * 100, "b" * 100], [numpy.zeros(LEAST_BUFFER)], [1, 2, 3]])
def test_a_cut_item_file_is_noticed(tmp_path: Path, items: list[Any]) -> None:
    write_items(tmp_path, [items])
    path = tmp_path / "items.pkl"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DamagedError, match="in the middle of an item"):
        list(read_blocks(tmp_path, range(len(items))))


def test_a_cut_index_is_noticed(tmp_path: Path) -> None:
    write_items(tmp_path, ["abc"])
    path = tmp_path / "items.idx"
    path.write_bytes(path.read_bytes()[:-16])
    with pytest.raises(DamagedError, match=r"items\.idx ends before item 2"):
        list(read_blocks(tmp_path, range(3)))


def test_an_item_that_cannot_be_unpickled_is_named_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Local:
        pass

    monkeypatch.setattr(sys.modules[__name__], "Local", Local, raising=False)
    Local.__qualname__ = "Local"
    write_items(tmp_path, [["a", Local(), "c"]])
    monkeypatch.delattr(sys.modules[__name__], "Local")
    found = unpickle_items(tmp_path, range(3))
    assert next(found) == "a"
    with pytest.raises(SerializationError, match="item 1 cannot be unpickled here: AttributeError"):
        next(found)


def test_without_numpy_each_of_its_numbers_says_so_and_the_other_items_are_read(tmp_path: Path) -> None:
    write_items(tmp_path, [["first", *numpy.arange(3.0), "last"]])
    code = f"""
import sys
sys.modules["numpy"] = None
from condormap.in_job.items import read_blocks
told = []
for values, load in read_blocks({str(tmp_path)!r}, range(5)):
    for value in values:
        try:
            told.append(load(value) if load else value)
        except ImportError:
            told.append("no numpy")
assert told == ["first", "no numpy", "no numpy", "no numpy", "last"], told
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


def test_items_have_the_protocol_that_every_supported_python_reads(tmp_path: Path) -> None:
    write_items(tmp_path, [["text"]])
    (((data,), load),) = read_blocks(tmp_path, [0])
    assert load is pickle.loads
    assert data[:2] == b"\x80\x05"
