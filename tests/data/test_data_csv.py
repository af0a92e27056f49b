"""Loading: CSV files, and every way in which one cannot be used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stabilitysweep.config import DatasetSettings
from stabilitysweep.data import RawData, load
from stabilitysweep.errors import DataError


def read(folder: Path, content: str | bytes, target: str = "y") -> RawData:
    data = content if isinstance(content, bytes) else content.encode()
    (folder / "data.csv").write_bytes(data)
    return load(DatasetSettings(path="data.csv", target=target), folder)


def test_columns_but_the_target_are_features(tmp_path: Path) -> None:
    raw = read(tmp_path, "a,y,b\n1,10,2\n3,20,4e-3\n")
    assert raw.feature_names == ("a", "b")
    np.testing.assert_array_equal(raw.features, [[1, 2], [3, 4e-3]])
    np.testing.assert_array_equal(raw.target, [10.0, 20.0])
    assert raw.target.dtype == np.float64
    assert raw.label == "data"
    assert raw.source == "CSV file data.csv, target 'y'"


@pytest.mark.parametrize("mark", ["", "NA", "nan", "NaN", "null", "N/A", "None", "#N/A", " "])
def test_missing_features_are_nan(tmp_path: Path, mark: str) -> None:
    raw = read(tmp_path, f"a,b,y\n{mark},2,1\n3,{mark},2\n")
    np.testing.assert_array_equal(raw.features, [[np.nan, 2], [3, np.nan]])


def test_infinite_features_are_kept(tmp_path: Path) -> None:
    raw = read(tmp_path, "a,y\ninf,1\n-Infinity,2\n1e999,3\n")
    np.testing.assert_array_equal(raw.features[:, 0], [np.inf, -np.inf, np.inf])


def test_text_targets_are_kept(tmp_path: Path) -> None:
    raw = read(tmp_path, "a,y\n1,cat\n2, dog \n3,7\n")
    assert raw.target.tolist() == ["cat", "dog", "7"]


def test_what_spreadsheets_write_is_read(tmp_path: Path) -> None:
    content = b'\xef\xbb\xbf"a, with comma", y \r\n"1", 2\r\n\r\n3,4\r\n'
    raw = read(tmp_path, content)
    assert raw.feature_names == ("a, with comma",)
    np.testing.assert_array_equal(raw.features, [[1], [3]])


def test_same_content_elsewhere_has_the_same_hash(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    one = read(tmp_path, "a,y\n1,2\n")
    two = read(tmp_path / "other", "a,y\n1.0,2e0\n")
    assert one.content_hash == two.content_hash


def test_an_absolute_path_is_used_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "d.csv"
    file.write_text("a,y\n1,2\n")
    assert load(DatasetSettings(path=str(file), target="y"), Path("/nowhere")).features == [[1]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the file is empty"),
        ("\n\n", "the file is empty"),
        ("a,y\n", "expected rows of values below the header, got none"),
        ("y\n1\n2\n", "only one column, 'y'"),
        ("a y\n1 2\n", "only one column, 'a y'. If it is separated by blanks"),
        ('a,y\n1,2\n3,"4\n', "line 3: not CSV: unexpected end of data"),
        ('a,y\n1,"2\n3,"4\n', "line 2: not CSV.*quote"),
        ("a,y\n1,2\n1,2,3\n", "line 3: expected 2 values as in the header, got 3"),
        ("a,y\n1,2\n\n1\n", "line 4: expected 2 values as in the header, got 1"),
        ('a,y\n1,"2\n', "line 2: not CSV: unexpected end of data"),
        ("a,b,a,y\n1,2,3,4\n", "expected different column names, got twice: a"),
        ("a,y, y\n1,2,3\n", "got twice: y"),
        (",a,y\n0,1,2\n", "column 1 has no name.*index=False"),
        ("a,label\n1,2\n", r"no column 'y'\. Columns: a, label"),
        ("a,Y\n1,2\n", "no column 'y'"),
        ("a,yy\n1,2\n", r"Did you mean 'yy'\?"),
        ("a,y\n1,\n2,1\n3,nan\n", "target 'y' has no value in lines 2, 4"),
        ("a,y\n1,\n2,1\n", "target 'y' has no value in line 2"),
        ("a,y\n1,cat\n2,\n", "target 'y' has no value in line 3"),
        ("\na,y\n\n'1',3\n\n2,\n", "target 'y' has no value in line 6"),
        ('a,y\n"x\ny\nz",3\n2,\n', "target 'y' has no value in line 5"),
        ("a,y\n1,2\n2,inf\n", "target 'y' is infinite in line 3"),
        ("a,y\n" + "1,\n" * 30, "lines 2, 3, 4, 5, 6, 7, 8, 9 and 22 more"),
        (b"a,y\n1,\xff\n", "expected text in UTF-8, got the byte 0xff"),
        ("a,y\n1,2\n".encode("utf-16"), "expected text in UTF-8"),
    ],
)
def test_content_that_cannot_be_used(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path, content)
    assert str(tmp_path / "data.csv") in str(caught.value)


def test_a_missing_file_says_where_it_looked_and_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "housing.csv").touch()
    with pytest.raises(DataError) as caught:
        load(DatasetSettings(path="housng.csv", target="y"), tmp_path)
    message = str(caught.value)
    assert str(tmp_path / "housng.csv") in message
    assert "relative to the config" in message
    assert "There is 'housing.csv'" in message


def test_a_missing_folder_is_no_crash(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no file 'no/such\.csv'"):
        load(DatasetSettings(path="no/such.csv", target="y"), tmp_path)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    with pytest.raises(DataError, match="expected a file, got a folder"):
        load(DatasetSettings(path="sub", target="y"), tmp_path)


@pytest.mark.parametrize("ending", ["xlsx", "json", "feather", "npy", "h5", "pkl", "PICKLE"])
def test_other_formats_are_named(tmp_path: Path, ending: str) -> None:
    (tmp_path / f"data.{ending}").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=rf"expected a file ending in .csv.*Convert it: .*{ending}"):
        load(DatasetSettings(path=f"data.{ending}", target="y"), tmp_path)


def test_an_ending_that_is_not_known_is_tried_as_text(tmp_path: Path) -> None:
    (tmp_path / "data.dat").write_text("a,y\n1,2\n")
    assert load(DatasetSettings(path="data.dat", target="y"), tmp_path).features == [[1]]


@settings(derandomize=True, deadline=None, max_examples=50)
@given(values=st.lists(st.floats(), min_size=1, max_size=5))
def test_numbers_are_read_to_the_bit(
    tmp_path_factory: pytest.TempPathFactory, values: list[float]
) -> None:
    rows = "".join(f"{value!r},1\n" for value in values)
    raw = read(tmp_path_factory.mktemp("csv"), "a,y\n" + rows)
    np.testing.assert_array_equal(raw.features[:, 0], values)
    assert (np.signbit(raw.features[:, 0]) == np.signbit(values))[~np.isnan(values)].all()
