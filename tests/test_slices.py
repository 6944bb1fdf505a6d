"""The slices of an item store that are sent to jobs have just their items, and read like the store."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from condormap.in_job.items import read_blocks, slice_items
from condormap.in_job.packed import LEAST_BUFFER
from condormap.in_job.payload import DamagedError
from condormap.payload.item_store import unpickle_items, write_items
from condormap.payload.slices import write_slices

MANY = 3000  # more than a block has


def cut(folder: Path, *chunks: Any) -> list[Path]:
    write_slices(folder, folder / "slices", chunks, "s.")
    return [folder / "slices" / str(chunk // 1000) / f"s.{chunk}" for chunk in range(len(chunks))]


def values(path: Path) -> dict[int, Any]:
    items = slice_items(str(path))
    return dict(zip(items, unpickle_items(path, items), strict=True))


@pytest.mark.parametrize(
    "items",
    [
        range(MANY),
        [str(x) for x in range(MANY)],
        list(numpy.arange(MANY) / 3),
        [x if x % 7 else f"{x}" for x in range(MANY)],
    ],
    ids=["numbers", "texts", "numpy's", "mixed"],
)
def test_each_slice_has_the_items_of_its_chunk(tmp_path: Path, items: Any) -> None:
    write_items(tmp_path, [items])
    chunks = [range(1), range(1, 999), range(999, 1000), range(1000, 2500), range(2500, MANY)]
    for chunk, path in zip(chunks, cut(tmp_path, *chunks), strict=True):
        assert slice_items(str(path)) == chunk
        assert values(path) == {item: items[item] for item in chunk}


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.integers() | st.text(max_size=9) | st.floats(allow_nan=False) | st.none(), min_size=1, max_size=40
    ),
    st.data(),
)
def test_a_slice_of_any_items_has_just_these(
    tmp_path_factory: pytest.TempPathFactory, items: list[Any], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("store")
    write_items(folder, [items])
    chosen = sorted(data.draw(st.sets(st.sampled_from(range(len(items))))))
    (path,) = cut(folder, chosen)
    assert values(path) == {item: items[item] for item in chosen}


def test_large_arrays_are_in_it_as_they_are_in_the_store(tmp_path: Path) -> None:
    arrays = [numpy.full(LEAST_BUFFER, float(n)) for n in range(4)]
    write_items(tmp_path, [arrays])
    (path,) = cut(tmp_path, [1, 3])
    found = values(path)
    assert list(found) == [1, 3]
    assert all(numpy.array_equal(found[n], arrays[n]) for n in found)
    assert path.stat().st_size < 2.01 * arrays[0].nbytes


def test_an_array_that_items_share_is_in_a_slice_once(tmp_path: Path) -> None:
    arrays = [numpy.arange(LEAST_BUFFER) + n for n in range(3)]
    items = [(n, arrays[n % 3], arrays[n // 6]) if n != 4 else "text" for n in range(12)]
    write_items(tmp_path, [items], share=True)
    chunks = [[0], [3, 9], range(12), [4, 5, 7, 11], [4]]
    for chunk, path in zip(chunks, cut(tmp_path, *chunks), strict=True):
        found = values(path)
        assert list(found) == list(chunk)
        for item in chunk:
            assert all(map(numpy.array_equal, found[item], items[item]))
        needed = {id(each) for item in chunk for each in items[item] if not isinstance(each, int | str)}
        assert path.stat().st_size < len(needed) * arrays[0].nbytes + 10_000


def test_a_slice_has_no_more_than_its_items(tmp_path: Path) -> None:
    write_items(tmp_path, [range(MANY)])
    assert all(path.stat().st_size < 100 for path in cut(tmp_path, *([n] for n in range(50))))


def test_slices_lie_in_folders_of_a_thousand(tmp_path: Path) -> None:
    write_items(tmp_path, [range(1002)])
    cut(tmp_path, *([n] for n in range(1002)))
    counts = {folder.name: len(list(folder.iterdir())) for folder in (tmp_path / "slices").iterdir()}
    assert counts == {"0": 1000, "1": 2}
    assert values(tmp_path / "slices" / "1" / "s.1001") == {1001: 1001}


@pytest.mark.parametrize("kept", [0, 7, 0.5, -1])
def test_a_cut_slice_is_noticed(tmp_path: Path, kept: float) -> None:
    write_items(tmp_path, [["a" * 99, "b" * 99]])
    (path,) = cut(tmp_path, range(2))
    data = path.read_bytes()
    path.write_bytes(data[: math.ceil(kept * len(data)) if kept == 0.5 else int(kept)])
    with pytest.raises(DamagedError):
        list(read_blocks(path, slice_items(str(path))))
