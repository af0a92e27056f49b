"""Loading: which rows and columns of a source are used; laws that every source keeps."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from stabilitysweep.config import DatasetSettings
from stabilitysweep.data import RawData, load
from stabilitysweep.data.raw import MISSING_CODE
from stabilitysweep.data.sources.growing import Growing
from stabilitysweep.data.sources.sampling import Sample, first_of_equals
from stabilitysweep.errors import DataError

ROWS = 100


def columns() -> dict[str, Any]:
    generator = np.random.default_rng(7)
    return {
        "a": np.arange(ROWS, dtype=float),
        "c": generator.choice(["u", "v", "w"], ROWS),
        "b": generator.integers(0, 3, ROWS).astype(float),
        "y": generator.normal(size=ROWS),
    }


def _csv(folder: Path) -> dict[str, Any]:
    csv.write_csv(pa.table(columns()), folder / "data.csv")
    return {"path": "data.csv", "target": "y"}


def _parquet(folder: Path) -> dict[str, Any]:
    parquet.write_table(pa.table(columns()), folder / "data.parquet", row_group_size=7)
    return {"path": "data.parquet", "target": "y"}


def _npz(folder: Path) -> dict[str, Any]:
    np.savez(folder / "data.npz", **columns())
    return {"path": "data.npz", "target": "y"}


SOURCES: list[Callable[[Path], dict[str, Any]]] = [_csv, _parquet, _npz]
every_source = pytest.mark.parametrize("source", SOURCES)


def read(folder: Path, source: Callable[[Path], dict[str, Any]], **keys: Any) -> RawData:
    return load(DatasetSettings(**source(folder), **keys), folder)


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stabilitysweep.data.sources.csv_file._BLOCK_BYTES", 64)
    monkeypatch.setattr("stabilitysweep.data.sources.table._CHUNK_ROWS", 3)
    monkeypatch.setattr("stabilitysweep.data.sources.gathering._LEAST_ROWS", 2)
    monkeypatch.setattr("stabilitysweep.data.sources.gathering._BLOCK_VALUES", 4)


@every_source
@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"features": ["c", "a"]},
        {"exclude": ["a"]},
        {"categorical": ["b"]},
        {"missing_values": [2, "u"]},
        {"rows": 10},
        {"rows": 10, "sample_seed": 3, "drop_duplicates": True},
        {"rows": ROWS},
    ],
)
def test_all_sources_give_the_same(
    tmp_path: Path, source: Callable[[Path], dict[str, Any]], keys: dict[str, Any]
) -> None:
    one, other = read(tmp_path, _csv, **keys), read(tmp_path, source, **keys)
    assert one.content_hash == other.content_hash
    assert one.drawn_from == other.drawn_from
    assert pickle.loads(pickle.dumps(other.locate))(0) == other.locate(0)


@every_source
@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("rows", [None, 1, 17, 99])
def test_chunks_make_no_difference(
    tmp_path: Path,
    source: Callable[[Path], dict[str, Any]],
    rows: int | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small = read(tmp_path, source, rows=rows)
    monkeypatch.undo()
    assert small.content_hash == read(tmp_path, source, rows=rows).content_hash


@every_source
def test_a_sample_is_random_seeded_and_in_order(
    tmp_path: Path, source: Callable[[Path], dict[str, Any]]
) -> None:
    raw = read(tmp_path, source, rows=20)
    rows = raw.features[:, 0].astype(int)
    assert (np.diff(rows) > 0).all()
    assert raw.drawn_from == ROWS
    np.testing.assert_array_equal(raw.target, columns()["y"][rows])
    place = f"line {rows[5] + 2}" if source is _csv else f"row {rows[5]} (counted from 0)"
    assert raw.locate(5) == place
    other = read(tmp_path, source, rows=20, sample_seed=1)
    assert raw.content_hash != other.content_hash


def test_a_sample_as_large_as_the_data_is_the_data(tmp_path: Path) -> None:
    whole = read(tmp_path, _csv)
    for rows in (ROWS, 10 * ROWS):
        raw = read(tmp_path, _csv, rows=rows)
        assert raw.content_hash == whole.content_hash
        assert raw.drawn_from is None


def test_every_row_is_drawn_as_often_as_any_other() -> None:
    drawn = np.zeros(40)
    for seed in range(500):
        sample = Sample(10, seed)
        kept = np.empty(0, int)
        for start in range(0, 40, 8):
            kept = np.concatenate([kept, sample.admit(8) + start])
            chosen = sample.prune(last=start == 32)
            kept = kept if chosen is None else kept[chosen]
            assert len(kept) <= 20
        assert len(kept) == 10
        drawn[kept] += 1
    # 125 expected, with a standard deviation below 10.
    assert drawn.min() > 80 and drawn.max() < 170


def test_duplicates_are_dropped_but_for_the_first(tmp_path: Path) -> None:
    rows = ["1,u,5", "2,v,5", "1,u,5", ",u,5", ",u,5", "1,u,6", "-0,,1", "0,,1", "1,v,5"]
    (tmp_path / "d.csv").write_text("a,c,y\n" + "\n".join(rows) + "\n")
    raw = load(DatasetSettings(path="d.csv", target="y", drop_duplicates=True), tmp_path)
    assert raw.features[:, 0].tolist()[:2] == [1, 2]
    assert len(raw.target) == 6
    assert [raw.locate(row) for row in range(6)] == [f"line {n}" for n in (2, 3, 5, 7, 8, 10)]


def test_dropping_twice_is_dropping_once() -> None:
    generator = np.random.default_rng(0)
    numbers = generator.integers(0, 3, (200, 3)).astype(float)
    numbers[numbers == 2] = np.nan
    codes = generator.integers(-1, 2, (200, 1)).astype(np.int32)
    first = first_of_equals(numbers, codes)
    again = first_of_equals(numbers[first], codes[first])
    assert len(again) == len(first)
    table = {(*map(str, row), int(code)) for row, (code,) in zip(numbers, codes, strict=True)}
    assert len(first) == len(table)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"features": ["A"]}, r"features: there is no column 'A'\. Did you mean 'a'\?"),
        ({"exclude": ["zz"]}, r"exclude: there is no column 'zz'\. Columns: a, c, b, y"),
        ({"categorical": ["bb"]}, r"categorical: there is no column 'bb'\. Did you mean 'b'"),
        ({"categorical": ["y"]}, "categorical: expected columns that are inputs, got the target"),
        ({"exclude": ["a", "b", "c"]}, "expected at least one feature beside the target"),
    ],
)
@pytest.mark.parametrize("source", [_csv, _parquet])
def test_a_column_that_is_not_there_is_named(
    tmp_path: Path, source: Callable[[Path], dict[str, Any]], keys: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path, source, **keys)
    assert str(tmp_path) in str(caught.value)


def test_columns_of_bundled_sets_and_generators_can_be_chosen() -> None:
    iris = load(DatasetSettings(name="iris", features=["petal width (cm)"], rows=7), Path())
    assert iris.features.shape == (7, 1)
    assert iris.drawn_from == 150
    moons = load(DatasetSettings(name="make_moons", exclude=["x0"], categorical=["x1"]), Path())
    assert moons.feature_names == ()
    assert moons.category_names == ("x1",)
    with pytest.raises(DataError, match="dataset 'wine': features: there is no column 'acid'"):
        load(DatasetSettings(name="wine", features=["acid"]), Path())


def validated(folder: Path, train: str, held_out: str, **keys: Any) -> RawData:
    (folder / "train.csv").write_text(train)
    (folder / "held_out.csv").write_text(held_out)
    return load(
        DatasetSettings(path="train.csv", validation_path="held_out.csv", target="y", **keys),
        folder,
    )


def test_validation_rows_come_last_with_columns_by_name(tmp_path: Path) -> None:
    raw = validated(tmp_path, "a,c,y\n1,x,2\n2,z,3\n", "more,y,c,a\n0,5,w,9\n")
    assert raw.own_training_rows == 2
    np.testing.assert_array_equal(raw.features, [[1], [2], [9]])
    assert raw.levels == (("w", "x", "z"),)
    assert raw.categories[:, 0].tolist() == [1, 2, 0]
    assert raw.target.tolist() == [2, 3, 5]
    assert raw.locate(1) == "line 3"
    assert raw.locate(2) == f"line 2 of {tmp_path / 'held_out.csv'}"
    assert raw.source == "CSV file train.csv, target 'y', validation rows from held_out.csv"


def test_the_formats_of_the_two_files_may_differ(tmp_path: Path) -> None:
    _csv(tmp_path), _parquet(tmp_path)
    keys = {"path": "data.csv", "target": "y", "validation_path": "data.parquet"}
    raw = load(DatasetSettings(**keys), tmp_path)
    np.testing.assert_array_equal(raw.features[:ROWS], raw.features[ROWS:])
    np.testing.assert_array_equal(raw.categories[:ROWS], raw.categories[ROWS:])


def test_only_the_training_file_is_sampled(tmp_path: Path) -> None:
    rows = "".join(f"{row},{row}\n" for row in range(50))
    raw = validated(tmp_path, "a,y\n" + rows, "a,y\n" + rows, rows=5)
    assert raw.own_training_rows == 5
    assert raw.drawn_from == 50
    np.testing.assert_array_equal(raw.features[5:, 0], np.arange(50))
    assert raw.locate(7) == f"line 4 of {tmp_path / 'held_out.csv'}"


def test_rows_that_are_trained_on_are_not_held_out(tmp_path: Path) -> None:
    raw = validated(tmp_path, "a,y\n1,1\n1,1\n2,2\n", "a,y\n2,2\n3,3\n", drop_duplicates=True)
    assert raw.own_training_rows == 2
    assert raw.features[:, 0].tolist() == [1, 2, 3]
    with pytest.raises(DataError, match="expected at least one row with a target that does not"):
        validated(tmp_path, "a,y\n1,1\n", "a,y\n1,1\n", drop_duplicates=True)


@pytest.mark.parametrize("target", ["1,,3,,5", "no,,yes,,no"])
def test_rows_without_a_target_are_left_out_if_that_is_asked_for(
    tmp_path: Path, target: str
) -> None:
    rows = zip("abcde", target.split(","), strict=True)
    text = "c,x,y\n" + "".join(f"{c},{n},{y}\n" for n, (c, y) in enumerate(rows))
    (tmp_path / "data.csv").write_text(text)
    keys = {"path": "data.csv", "target": "y"}
    with pytest.raises(DataError, match=r"no value in lines 3, 5.*missing_target: drop"):
        load(DatasetSettings(**keys), tmp_path)
    raw = load(DatasetSettings(**keys, missing_target="drop"), tmp_path)
    assert raw.features[:, 0].tolist() == [0, 2, 4]
    assert [raw.levels[0][code] for code in raw.categories[:, 0]] == ["a", "c", "e"]
    assert [str(value)[:2] for value in raw.target] in (["1.", "3.", "5."], ["no", "ye", "no"])
    assert [raw.locate(row) for row in range(3)] == ["line 2", "line 4", "line 6"]
    assert raw.without_target == 2


def test_rows_without_a_target_are_left_out_of_both_files(tmp_path: Path) -> None:
    keys = {"missing_target": "drop", "drop_duplicates": True, "missing_values": [-1]}
    raw = validated(tmp_path, "a,y\n1,1\n2,\n1,1\n3,-1\n", "a,y\n7,\n1,1\n8,2\n", **keys)
    assert raw.features[:, 0].tolist() == [1, 8]
    assert (raw.own_training_rows, raw.without_target) == (1, 3)
    for train, held_out, file in (("1,", "2,2", "train"), ("1,1", "2,", "held_out")):
        with pytest.raises(DataError, match=rf"{file}\.csv: expected at least one row with a targ"):
            validated(tmp_path, f"a,y\n{train}\n", f"a,y\n{held_out}\n", **keys)


def test_a_column_of_text_may_look_like_numbers_in_the_other_file(tmp_path: Path) -> None:
    raw = validated(tmp_path, "c,y\nx,p\n7,q\n", "c,y\n7,3\n8,p\n")
    assert raw.levels == (("7", "8", "x"),)
    assert raw.target.tolist() == ["p", "q", "3", "p"]


@pytest.mark.parametrize(("train", "held_out"), [("", "x"), ("x", "")])
def test_a_column_that_is_missing_in_one_file_is_what_the_other_says(
    tmp_path: Path, train: str, held_out: str
) -> None:
    raw = validated(tmp_path, f"c,y\n{train},1\n", f"c,y\n{held_out},1\n")
    assert raw.levels == (("x",),)
    assert sorted(raw.categories[:, 0].tolist()) == [MISSING_CODE, 0]


@pytest.mark.parametrize(
    ("held_out", "message"),
    [
        ("a,c,y\n1,x,1\n\nred,x,2\n", r"numbers in column 'a', as in .*'red' in line 4"),
        ("a,c\n1,x\n", r"held_out.csv: there is no column 'y'"),
        ("a,y\n1,1\n", r"held_out.csv: features: there is no column 'c'"),
        ("a,c,y\n1,x,red\n", r"expected numbers in the target 'y'.*the text 'red' in line 2"),
        ("a,c,y\n1,x,\n", r"target 'y' has no value in line 2 of .*held_out.csv"),
        ("a,c,y\n", "held_out.csv: expected rows of values below the header"),
    ],
)
def test_validation_rows_that_do_not_fit(tmp_path: Path, held_out: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        validated(tmp_path, "a,c,y\n1,x,2\n", held_out)


def test_numbers_where_text_was_are_refused_in_a_typed_file(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"c": [5], "y": [1.0]}), tmp_path / "v.parquet")
    (tmp_path / "t.csv").write_text("c,y\nx,1\n")
    keys = {"path": "t.csv", "validation_path": "v.parquet", "target": "y"}
    with pytest.raises(DataError, match=r"v\.parquet: expected text in column 'c'.*the number 5"):
        load(DatasetSettings(**keys), tmp_path)


def test_an_array_grows_without_losing_rows() -> None:
    grown = Growing((2,), np.float64)
    for start in range(0, 1000, 10):
        grown.room(10)[...] = np.arange(start, start + 10)[:, None]
    grown.keep(np.arange(0, 1000, 2))
    grown.add(np.full((1, 2), -1.0))
    np.testing.assert_array_equal(grown.done()[:, 0], [*range(0, 1000, 2), -1])
