"""Loading: Parquet files."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from stabilitysweep.config import DatasetSettings
from stabilitysweep.data import RawData, load
from stabilitysweep.data.raw import MISSING_CODE
from stabilitysweep.errors import DataError


def read(folder: Path, table: pa.Table | None = None, **keys: Any) -> RawData:
    if table is not None:
        parquet.write_table(table, folder / "data.parquet", row_group_size=keys.pop("group", None))
    return load(DatasetSettings(**{"path": "data.parquet", "target": "y", **keys}), folder)


def test_every_type_of_number_is_one(tmp_path: Path) -> None:
    columns = {
        "i": pa.array([1, None, 3]),
        "u": pa.array([1, 2, 3], pa.uint8()),
        "h": pa.array(np.array([1, np.nan, np.inf], np.float16)),
        "f": pa.array([0.5, None, -2], pa.float32()),
        "b": pa.array([True, None, False]),
        "day": pa.array([0, 1, None], pa.date32()),
        "ms": pa.array([86_400_000, None, 0], pa.date64()),
        "t": pa.array([43_200, 86_400, None], pa.timestamp("s", "UTC")),
        "ns": pa.array([86_400 * 10**9, 0, None], pa.duration("ns")),
        "clock": pa.array([43_200, None, 0], pa.time32("s")),
        "d": pa.array([Decimal("1.25"), None, Decimal("2.50")]),
        "none": pa.nulls(3),
        "k": pa.array([7, 8, 7]).dictionary_encode(),
        "y": pa.array([1, 2, 3]),
    }
    raw = read(tmp_path, pa.table(columns))
    nan, inf = np.nan, np.inf
    expected = {
        "i": [1, nan, 3],
        "u": [1, 2, 3],
        "h": [1, nan, inf],
        "f": [0.5, nan, -2],
        "b": [1, nan, 0],
        "day": [0, 1, nan],
        "ms": [1, nan, 0],
        "t": [0.5, 1, nan],
        "ns": [1, 0, nan],
        "clock": [0.5, nan, 0],
        "d": [1.25, nan, 2.5],
        "none": [nan] * 3,
        "k": [7, 8, 7],
    }
    assert raw.feature_names == tuple(expected)
    np.testing.assert_array_equal(raw.features.T, list(expected.values()))
    assert raw.target.dtype == np.int64
    assert raw.dtypes["f"] == "float32"
    assert raw.dtypes["day"] == "date32"
    assert raw.source == "Parquet file data.parquet, target 'y'"


def test_texts_are_categories(tmp_path: Path) -> None:
    texts = ["b", None, "a", " "]
    table = {
        "s": pa.array(texts),
        "l": pa.array(texts, pa.large_string()),
        "v": pa.array(texts, pa.string_view()),
        "d": pa.array(texts).dictionary_encode(),
        "y": pa.array(["NA", "u", "u", "v"]),
    }
    raw = read(tmp_path, pa.table(table))
    assert raw.category_names == ("s", "l", "v", "d")
    assert raw.levels == (("a", "b"),) * 4
    assert raw.categories.tolist() == [[1] * 4, [MISSING_CODE] * 4, [0] * 4, [MISSING_CODE] * 4]
    # A typed file has its own way to say that a value is missing: NA is Namibia here.
    assert raw.target.tolist() == ["NA", "u", "u", "v"]


def test_numbers_can_be_categories(tmp_path: Path) -> None:
    table = pa.table({"f": pa.array([0.1, 3.0, None], pa.float32()), "y": [1, 2, 3]})
    raw = read(tmp_path, table, categorical=["f"])
    assert raw.levels == (("0.1", "3"),)


def test_a_mark_is_met_in_the_precision_of_its_column(tmp_path: Path) -> None:
    table = pa.table({"f": pa.array([-9.99, 1.0], pa.float32()), "i": [5, -999], "y": [1, 2]})
    raw = read(tmp_path, table, missing_values=[-9.99, "-999"])
    np.testing.assert_array_equal(raw.features, [[np.nan, 5], [1, np.nan]])


@pytest.mark.parametrize("group", [1, 3, 1000])
def test_row_groups_make_no_difference(tmp_path: Path, group: int) -> None:
    generator = np.random.default_rng(0)
    table = pa.table(
        {
            "a": generator.normal(size=50),
            "c": generator.choice(["u", "v", "w"], 50),
            "y": generator.normal(size=50),
        }
    )
    raw = read(tmp_path, table, group=group)
    np.testing.assert_array_equal(raw.features[:, 0], table["a"].to_numpy())
    csv.write_csv(table, tmp_path / "data.csv")
    text = load(DatasetSettings(path="data.csv", target="y"), tmp_path)
    assert raw.content_hash == text.content_hash


def test_the_index_of_a_frame_is_no_feature(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1.0, 2], "y": [1, 2]}, index=["p", "q"])
    frame.to_parquet(tmp_path / "data.parquet")
    assert read(tmp_path).feature_names == ("a",)


NESTED = pa.table(
    {"l": [[1], [2]], "a": [1, 2], "s": [{"q": 1}] * 2, "b": [b"x", b"y"], "y": [1.0, 2]}
)


def test_what_is_no_column_of_values_is_refused_unless_it_is_left_out(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"column 'l', got list<.*exclude: \[l\]"):
        read(tmp_path, NESTED)
    with pytest.raises(DataError, match="column 'b', got binary"):
        read(tmp_path, exclude=["l", "s"])
    with pytest.raises(DataError, match="in the target 's', got struct<"):
        read(tmp_path, target="s", features=["a"])
    assert read(tmp_path, exclude=["l", "s", "b"]).feature_names == ("a",)
    assert read(tmp_path, features=["a"]).feature_names == ("a",)


@pytest.mark.parametrize("left", [0, 3, 100, -30])
def test_a_file_cut_short_is_one_message(tmp_path: Path, left: int) -> None:
    parquet.write_table(NESTED, tmp_path / "data.parquet")
    content = (tmp_path / "data.parquet").read_bytes()
    (tmp_path / "data.parquet").write_bytes(content[:left])
    with pytest.raises(DataError, match=r"data\.parquet: not a Parquet file, or damaged") as caught:
        read(tmp_path, features=["a"])
    assert "\n" not in str(caught.value)


def test_damaged_pages_are_one_message(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random(20_000)
    table = pa.table({"a": values, "y": values})
    parquet.write_table(table, tmp_path / "data.parquet", write_page_checksum=True)
    content = bytearray((tmp_path / "data.parquet").read_bytes())
    content[1000] ^= 1
    (tmp_path / "data.parquet").write_bytes(content)
    with pytest.raises(DataError, match="damaged or cut short"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0, None, np.nan], r"target 'y' has no value in rows 1, 2 \(counted from 0\)\. Fill"),
        ([1.0, np.inf, 2], r"target 'y' is infinite in row 1 \(counted from 0\)"),
        (["a", None, "b"], "target 'y' has no value in row 1"),
        ([None, None, None], "target 'y' has no value in rows 0, 1, 2"),
    ],
)
def test_a_target_without_a_value_names_the_row(
    tmp_path: Path, values: list[Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, pa.table({"a": [1, 2, 3], "y": values}))


def test_a_file_without_rows_or_with_names_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected rows, got none"):
        read(tmp_path, pa.table({"a": pa.array([], pa.int8()), "y": pa.array([], pa.int8())}))
    twice = pa.table([pa.array([1])] * 3, names=["a", "a", "y"])
    with pytest.raises(DataError, match="got twice: a"):
        read(tmp_path, twice)
