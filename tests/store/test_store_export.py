"""CSV, Parquet and JSON: read back to the bit, written whole or not at all."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyarrow import parquet

from stabilitysweep.errors import ResultError
from stabilitysweep.store import SQLiteStore, export, write_csv, write_json, write_parquet
from stabilitysweep.types import Kind, Onset, Outcome, Stage

from .strategies import trial


@pytest.fixture
def table(tmp_path: Path) -> pd.DataFrame:
    onset = Onset(3, Stage.LOSS, 'loss, "total"\nof é', Kind.NAN)
    with SQLiteStore(tmp_path / "sweep.db") as store:
        store.record_config({}, {})
        numbers = [0.1 + 0.2, 1e-300, -math.inf, math.inf, math.nan, 5e-324]
        store.add(
            [
                trial(
                    f"{place:02}e1",
                    axes={"l2": value if math.isfinite(value) else 0, "clip": None, "f": "relu"},
                    final_loss=value,
                    nan_step=2**53 + 1,
                    onset=onset,
                    metrics={"mae": value},
                )
                for place, value in enumerate(numbers)
            ]
        )
        store.add([trial("ff", axes={"l2": 1, "clip": 0.5, "f": "x"}, outcome=Outcome.CRASHED)])
        return store.table(["l2", "clip", "f"])


def test_csv_round_trip(table: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "trials.csv"
    write_csv(table, path)
    counts: dict[str, Any] = dict.fromkeys(table.columns[table.dtypes == "Int64"], "Int64")
    texts = {name: object for name in table.columns[table.dtypes == "object"] if name != "clip"}
    read = pd.read_csv(
        path,
        dtype={**counts, **texts},
        keep_default_na=False,
        na_values=[""],
    )
    expected = table.astype({"clip": float})
    expected[list(texts)] = expected[list(texts)].where(expected[list(texts)].notna(), np.nan)
    pd.testing.assert_frame_equal(read, expected, check_exact=True)
    assert b"\r" not in path.read_bytes()


def test_parquet_round_trip(table: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "trials.parquet"
    write_parquet(table, path)
    read = pd.read_parquet(path)
    assert read.columns.tolist() == table.columns.tolist()
    numeric = table.columns[table.dtypes != "object"]
    pd.testing.assert_frame_equal(read[numeric], table[numeric], check_exact=True)
    for name in table.columns.difference(numeric):
        column = read[name].astype(object)
        assert column.where(column.notna(), None).tolist() == table[name].tolist()


def test_parquet_of_an_empty_table(tmp_path: Path) -> None:
    with SQLiteStore(tmp_path / "sweep.db") as store:
        empty = store.table(["depth"])
    write_parquet(empty, tmp_path / "t.parquet")
    write_csv(empty, tmp_path / "t.csv")
    assert pd.read_parquet(tmp_path / "t.parquet").columns.tolist() == empty.columns.tolist()
    assert (tmp_path / "t.csv").read_text().startswith("trial_id,depth,seed,outcome,")


def test_parquet_of_mixed_axis_values_is_their_json(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": pd.Series([1, "full", None, True, [1, 2.5]], dtype=object)})
    write_parquet(frame, tmp_path / "t.parquet")
    read = pd.read_parquet(tmp_path / "t.parquet")["x"].tolist()
    assert [json.loads(value) for value in read] == [1, "full", None, True, [1, 2.5]]
    assert frame["x"].tolist()[1] == "full", "the caller's table is left as it was"


def test_json_is_strict_and_complete(tmp_path: Path) -> None:
    value = {
        "a": [math.nan, math.inf, -math.inf, -0.0, 0.1, 2**70],
        "b": {"outcome": Outcome.STABLE, "none": None, "flag": True, "é": "ü"},
        "c": (np.float32(0.5), np.int64(3), np.bool_(False), np.float64("nan")),
        "d": np.array([[1.0, np.inf]]),
        "e": pd.NA,
        3: "three",
    }
    path = tmp_path / "summary.json"
    write_json(value, path)

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    read = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    assert read == {
        "a": ["nan", "+inf", "-inf", -0.0, 0.1, 2**70],
        "b": {"outcome": "stable", "none": None, "flag": True, "é": "ü"},
        "c": [0.5, 3, False, "nan"],
        "d": [[1.0, "+inf"]],
        "e": None,
        "3": "three",
    }


def test_json_refuses_what_it_has_no_form_for(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="expected plain values for JSON, got set"):
        write_json({"a": {1}}, tmp_path / "x.json")
    assert list(tmp_path.iterdir()) == []


WRITERS: list[Callable[[Any, Path], None]] = [write_csv, write_parquet, write_json]


def something(write: Callable[[Any, Path], None]) -> Any:
    return {"a": 1} if write is write_json else pd.DataFrame({"a": [1]})


@pytest.mark.parametrize("write", WRITERS)
def test_a_failure_leaves_the_old_file_and_no_other(
    write: Callable[[Any, Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def no_space(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("stabilitysweep.folder.os.fsync", no_space)
    with pytest.raises(ResultError, match=r"cannot be written: No space left on device\. Free"):
        write(something(write), path)
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("write", WRITERS)
def test_a_file_is_replaced_and_its_rights_are_the_usual(
    write: Callable[[Any, Path], None], tmp_path: Path
) -> None:
    path, usual = tmp_path / "file", tmp_path / "usual"
    usual.touch()
    path.write_text("old")
    write(something(write), path)
    assert path.read_bytes() != b"old"
    assert path.stat().st_mode == usual.stat().st_mode
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "usual"]


@pytest.mark.parametrize("write", WRITERS)
def test_a_missing_folder_is_the_users_error(
    write: Callable[[Any, Path], None], tmp_path: Path
) -> None:
    with pytest.raises(ResultError, match="cannot be written: No such file"):
        write(something(write), tmp_path / "no" / "file")


def test_a_large_table_is_written_in_parts_to_the_same_parquet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = 25
    frame = pd.DataFrame(
        {
            "number": np.where(np.arange(size) % 3, np.nan, np.arange(size) * 0.1),
            "flag": np.arange(size) % 2 == 0,
            "count": pd.array([None] * 12 + [*range(size - 12)], dtype="Int64"),
            # What they hold shows in the last part alone.
            "text": pd.Series([None] * (size - 1) + ["late, é"], dtype=object),
            "mixed": pd.Series([1] * (size - 1) + ["full"], dtype=object),
            "wide": pd.Series([1] * (size - 1) + [0.5], dtype=object),
            "nothing": pd.Series([None] * size, dtype=object),
        }
    )
    frame.attrs = {"known": [1, "two"]}
    whole, parts = tmp_path / "whole.parquet", tmp_path / "parts.parquet"
    write_parquet(frame, whole)
    monkeypatch.setattr(export, "_ROWS", 4)
    write_parquet(frame, parts)
    assert parquet.ParquetFile(parts).num_row_groups == 7
    assert parquet.read_schema(parts).equals(parquet.read_schema(whole), check_metadata=True)
    assert parquet.read_table(parts).equals(parquet.read_table(whole))
    pd.testing.assert_frame_equal(pd.read_parquet(parts), pd.read_parquet(whole))
    assert pd.read_parquet(parts).attrs == frame.attrs
