"""Loading: the forms of CSV, and how the types of its columns are told."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stabilitysweep.config import DatasetSettings
from stabilitysweep.data import RawData, load
from stabilitysweep.data.raw import MISSING_CODE
from stabilitysweep.errors import DataError

PLAIN = "a,c,y\n1.5,red,0\n2.5,blue,1\n,,0\n"


def read(folder: Path, content: str | bytes, name: str = "data.csv", **keys: Any) -> RawData:
    data = content if isinstance(content, bytes) else content.encode()
    (folder / name).write_bytes(data)
    return load(DatasetSettings(**{"path": name, "target": "y", **keys}), folder)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stabilitysweep.data.sources.csv_file._BLOCK_BYTES", 64)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", " ", ":"])
def test_the_separator_is_told_or_given(tmp_path: Path, separator: str) -> None:
    known = {"separator": separator} if separator in " :" else {}
    raw = read(tmp_path, PLAIN.replace(",", separator), **known)
    assert raw.content_hash == read(tmp_path, PLAIN).content_hash


def test_a_separator_within_quotes_does_not_mislead(tmp_path: Path) -> None:
    raw = read(tmp_path, 'a;y\n"1,2,3";4\n"5,6,7";8\n')
    assert raw.levels == (("1,2,3", "5,6,7"),)


def test_decimal_commas_in_quotes_stand_between_separating_ones(tmp_path: Path) -> None:
    # As spreadsheets write CSV where numbers have a comma.
    keys = {"separator": ",", "decimal": ","}
    raw = read(tmp_path, 'a,b,y\n"1,5",2,"3,25"\n4,"0,5",6\n', **keys)
    np.testing.assert_array_equal(raw.features, [[1.5, 2], [4, 0.5]])
    np.testing.assert_array_equal(raw.target, [3.25, 6])
    with pytest.raises(DataError, match="line 2: expected 3 values as in the header, got 5"):
        read(tmp_path, "a,b,y\n1,5,2,3,25\n", **keys)


def test_a_decimal_comma_is_no_separator(tmp_path: Path) -> None:
    raw = read(tmp_path, PLAIN.replace(",", ";").replace(".", ","), decimal=",")
    assert raw.content_hash == read(tmp_path, PLAIN).content_hash


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1", "cp1252"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    text = PLAIN.replace("red", "né").replace("a,", "ä,")
    raw = read(tmp_path, text.encode(encoding), encoding=encoding)
    assert raw.content_hash == read(tmp_path, text).content_hash
    assert raw.feature_names == ("ä",)


def test_a_wrong_encoding_is_named_with_its_remedy(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"byte 0xe9 that is none\. Set encoding, for instance to"):
        read(tmp_path, "a,y\né,1\n".encode("latin-1"))
    with pytest.raises(DataError, match="Set encoding: utf-16"):
        read(tmp_path, "a,y\n1,1\n".encode("utf-16"))
    with pytest.raises(DataError, match="expected text in UTF-8"):
        read(tmp_path, "a,y\né,1\n".encode("latin-1"), encoding="ascii")


@pytest.mark.parametrize("encoding", ["hex", "rot13"])
def test_an_encoding_that_is_none_of_text(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(DataError, match=f"'{encoding}' is not a text encoding"):
        read(tmp_path, PLAIN, encoding=encoding)


@pytest.mark.usefixtures("small_blocks")
def test_a_byte_that_is_no_text_is_found_anywhere(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="byte 0xe9"):
        read(tmp_path, b"a,y\n" + b"x,1\n" * 100 + b"\xe9,1\n")


def test_without_a_header_columns_are_numbered(tmp_path: Path) -> None:
    raw = read(tmp_path, "1,2\n3,4\n", header=False, target="column_2")
    assert raw.feature_names == ("column_1",)
    np.testing.assert_array_equal(raw.features, [[1], [3]])
    np.testing.assert_array_equal(raw.target, [2, 4])
    assert raw.locate(1) == "line 2"
    with pytest.raises(DataError, match="line 2: expected 2 values as in the first row, got 1"):
        read(tmp_path, "1,2\n3\n", header=False, target="column_2")


def _zipped(folder: Path, content: bytes, *more: str) -> bytes:
    file = folder / "archive"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("inner.csv", *more):
            archive.writestr(name, content)
    return file.read_bytes()


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda content: bytes(pa.compress(content, codec="zstd", asbytes=True)),
}


@pytest.mark.parametrize("ending", [*PACKERS, ".zip"])
def test_compressed_files_are_the_same_data(tmp_path: Path, ending: str) -> None:
    content = PLAIN.encode()
    packed = _zipped(tmp_path, content) if ending == ".zip" else PACKERS[ending](content)
    raw = read(tmp_path, packed, f"data.csv{ending}")
    assert raw.content_hash == read(tmp_path, PLAIN).content_hash
    assert raw.label == "data"
    assert raw.locate(2) == "line 4"


@pytest.mark.parametrize("ending", [*PACKERS, ".zip"])
def test_a_compressed_file_cut_short_is_one_message(tmp_path: Path, ending: str) -> None:
    rows = np.random.default_rng(0).normal(size=(500, 2)).tolist()
    content = ("a,y\n" + "".join(f"{a},{y}\n" for a, y in rows)).encode()
    packed = _zipped(tmp_path, content) if ending == ".zip" else PACKERS[ending](content)
    with pytest.raises(DataError, match=r"data\.csv.*damaged or cut short.*Copy it anew"):
        read(tmp_path, packed[: len(packed) // 2], f"data.csv{ending}")


def test_an_archive_of_two_files_is_refused(tmp_path: Path) -> None:
    packed = _zipped(tmp_path, PLAIN.encode(), "other.csv")
    with pytest.raises(DataError, match="expected one file in the archive, got 2"):
        read(tmp_path, packed, "data.csv.zip")


def test_quoted_texts_may_hold_lines_separators_and_quotes(tmp_path: Path) -> None:
    raw = read(tmp_path, 'c,y\n"one\ntwo, ""three""",1\nplain,2\n')
    assert raw.levels == (('one\ntwo, "three"', "plain"),)
    assert raw.locate(1) == "line 4"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_in_any_way(tmp_path: Path, end: str) -> None:
    raw = read(tmp_path, PLAIN.replace("\n", end))
    assert raw.content_hash == read(tmp_path, PLAIN).content_hash
    assert raw.locate(2) == "line 4"


def test_a_quote_may_stand_after_a_blank(tmp_path: Path) -> None:
    raw = read(tmp_path, 'a, "b, c", y\n1, "x, y", 2\n3, "z", 4\n')
    assert raw.feature_names == ("a",)
    assert raw.category_names == ("b, c",)
    assert raw.levels == (("x, y", "z"),)
    assert read(tmp_path, 'a,y\n1, "2"\n3, "4"\n').target.tolist() == [2, 4]


def test_text_columns_are_categories(tmp_path: Path) -> None:
    raw = read(tmp_path, "c,a,y\n red ,1,0\nblue,2,1\nNA,3,1\nred,4,1\n")
    assert raw.feature_names == ("a",)
    assert raw.category_names == ("c",)
    assert raw.levels == (("blue", "red"),)
    assert raw.categories.dtype == np.int32
    assert raw.categories[:, 0].tolist() == [1, 0, MISSING_CODE, 1]
    assert raw.dtypes == {"c": "string", "a": "float64", "y": "float64"}


def test_truth_values_and_times_are_numbers(tmp_path: Path) -> None:
    raw = read(tmp_path, "b,d,t,y\nTrue,1970-01-02,2000-01-01 12:00:00,a\nfalse,,,b\n")
    np.testing.assert_array_equal(raw.features, [[1, 1, 10957.5], [0, np.nan, np.nan]])
    assert raw.dtypes["b"] == "bool"
    assert raw.dtypes["d"] == "date32"
    assert raw.dtypes["t"].startswith("timestamp")


def test_a_target_of_truth_values_or_dates_stays_text(tmp_path: Path) -> None:
    assert read(tmp_path, "a,y\n1,True\n2,False\n").target.tolist() == ["True", "False"]
    assert read(tmp_path, "a,y\n1,2020-01-01\n").target.tolist() == ["2020-01-01"]


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (["1", "2", "x"], ["1", "2", "x"]),
        (["1", "2.5", "3"], [1, 2.5, 3]),
        (["1", "+2", "nULL", " 3 "], [1, 2, np.nan, 3]),
        (["True", "False", "maybe"], ["False", "True", "maybe"]),
        (["2020-01-01", "2020-01-02", "soon"], ["2020-01-01", "2020-01-02", "soon"]),
        (["", "", "5"], [np.nan, np.nan, 5]),
        (["", "", "x"], ["x"]),
        (["1_000", "2"], ["1_000", "2"]),
        (["007", "7"], [7, 7]),
        (["", "NA", "None"], [np.nan] * 3),
    ],
)
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.usefixtures("small_blocks")
def test_types_are_told_from_the_whole_column(
    tmp_path: Path, column: list[str], expected: list[Any], late: bool
) -> None:
    # A block holds some ten rows: with `late` the last value comes many blocks after the first.
    cells = [column[0]] * 100 * late + column
    raw = read(tmp_path, "v,w,y\n" + "".join(f"{cell},1,2\n" for cell in cells))
    if isinstance(expected[-1], str):
        assert raw.levels == (tuple(sorted(expected)),)
        assert raw.feature_names == ("w",)
    else:
        assert raw.feature_names == ("v", "w")
        np.testing.assert_array_equal(raw.features[-len(column) :, 0], expected)


@pytest.mark.usefixtures("small_blocks")
def test_many_columns_may_turn_out_to_be_text(tmp_path: Path) -> None:
    names = [f"c{column}" for column in range(12)]
    rows = [["1"] * 12 for _ in range(60)]
    for column in range(0, 12, 2):
        rows[20 + 3 * column][column] = "x"
    text = "\n".join(",".join([*row, "0"]) for row in [names, *rows]).replace("11,0", "11,y", 1)
    raw = read(tmp_path, text + "\n")
    assert raw.category_names == tuple(names[::2])
    assert raw.feature_names == tuple(names[1::2])
    assert set(raw.levels) == {("1", "x")}


@pytest.mark.usefixtures("small_blocks")
def test_a_ragged_row_is_found_in_any_block(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 202: expected 2 values as in the header, got 3"):
        read(tmp_path, "a,y\n" + "1,2\n" * 200 + "1,2,3\n")


def test_marks_of_missing_values(tmp_path: Path) -> None:
    text = "a,b,c,y\n-999,1,?,1\n-999.0,inf,x,2\n-9.99e2,-inf,-999,3\n"
    raw = read(tmp_path, text, missing_values=["?", -999, "inf"])
    np.testing.assert_array_equal(raw.features, [[np.nan, 1], [np.nan] * 2, [np.nan, -np.inf]])
    assert raw.levels == (("x",),)
    assert raw.categories[:, 0].tolist() == [MISSING_CODE, 0, MISSING_CODE]
    with pytest.raises(DataError, match="target 'y' has no value in line 3"):
        read(tmp_path, text, missing_values=[2])


def test_numbers_can_be_categories(tmp_path: Path) -> None:
    raw = read(tmp_path, "c,y\n3,1\n3.0,2\n2.50,2\n,1\n10,1\n", categorical=["c"])
    assert raw.levels == (("10", "2.5", "3"),)
    assert raw.categories[:, 0].tolist() == [2, 2, 1, MISSING_CODE, 0]


def test_the_text_of_a_category_is_kept_if_not_all_are_numbers(tmp_path: Path) -> None:
    raw = read(tmp_path, "c,y\n3.0,1\nx,2\n", categorical=["c"])
    assert raw.levels == (("3.0", "x"),)


@settings(derandomize=True, deadline=None, max_examples=40)
@given(
    cells=st.lists(
        st.one_of(
            st.floats().map(repr),
            st.integers().map(str),
            st.sampled_from(
                ["", "NA", "+1", ".5", "1.", "1e400", "0x1", " 2 ", "x", "1,5", "NuLl"]
            ),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_arrow_and_python_read_alike(
    tmp_path_factory: pytest.TempPathFactory, cells: list[str]
) -> None:
    """The law of the fast reader: a blank before a quote sends the file to the slow one."""
    folder = tmp_path_factory.mktemp("csv")
    fast = "".join(f'"{cell}",q,1\n' for cell in cells)
    raw = read(folder, "v,w,y\n" + fast)
    slow = read(folder, "v,w,y\n" + fast.replace(",q,", ', "q",'))
    assert raw.content_hash == slow.content_hash


@pytest.mark.usefixtures("small_blocks")
def test_a_row_may_be_longer_than_a_block(tmp_path: Path) -> None:
    raw = read(tmp_path, "c,a,y\n" + "x,1,2\n" * 30 + "z" * 500 + ",3,4\n")
    assert raw.levels == (("x", "z" * 500),)
    assert raw.features[-1] == 3
