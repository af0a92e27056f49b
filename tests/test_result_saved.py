"""The table of a large result, read back from the file that a run left: the same, or not used."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from inline_executor import CRASHING, run_inline
from pandas.testing import assert_frame_equal

from stabilitysweep import Result, open_result
from stabilitysweep.numerics.outcomes import Thresholds
from stabilitysweep.result import saved
from stabilitysweep.store import SQLiteStore
from stabilitysweep.types import Outcome

CONTENT: dict[str, Any] = {
    "name": "saved",
    "dataset": {"name": "make_regression", "options": {"n_samples": 20, "n_features": 3}},
    "training": {"steps": 6, "metrics": ["mae"]},
    "grid": {
        "precision": ["float32", "float16"],
        "learning_rate": [0.01, 0.1, 1.0, 3.0, CRASHING],
        "batch_norm": [True, False],
        "batch_size": [4, 8],
    },
    "seeds": 2,
}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved, "LEAST_TRIALS", 10)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    run_inline(tmp_path / "saved", CONTENT)
    open_result(tmp_path / "saved").save(figures=False)
    return tmp_path / "saved"


def from_record(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Result:
    """The result as it is without its file."""
    with monkeypatch.context() as patched:
        patched.setattr(saved, "LEAST_TRIALS", 10**9)
        result = open_result(folder)
        assert result._saved is None
    return result


def is_used(folder: Path) -> bool:
    return open_result(folder)._saved is not None


def test_what_is_read_back_is_what_the_record_gives(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result, expected = open_result(folder), from_record(folder, monkeypatch)
    assert result._saved is not None
    with monkeypatch.context() as patched:
        patched.setattr(SQLiteStore, "table", lambda *given, **named: pytest.fail("was read"))
        assert len(result.trials) == 80
        assert result.wanted == 80
    assert_frame_equal(result.trials, expected.trials, check_exact=True)
    assert result.trials.attrs == expected.trials.attrs == {}
    for name in result.trials:
        own, other = result.trials[name], expected.trials[name]
        assert [type(value) for value in own] == [type(value) for value in other], name
    assert result.axes == expected.axes
    assert result.summary == expected.summary
    explained = [result.explain(own) for own in result.trials["trial_id"]]
    assert explained == [expected.explain(own) for own in expected.trials["trial_id"]]
    assert any(explained)
    assert_frame_equal(result.boundaries, expected.boundaries)


def test_a_trial_that_came_later_is_not_missed(folder: Path) -> None:
    run_inline(folder, {**CONTENT, "seeds": 3})
    assert not is_used(folder)
    assert len(open_result(folder).trials) == 120
    open_result(folder).save(figures=False)
    assert is_used(folder)


def test_a_crashed_trial_that_was_measured_after_all_is_not_missed(folder: Path) -> None:
    with SQLiteStore(folder / "sweep.db") as store:
        crashed = open_result(folder).first_crash()
        assert crashed is not None
        measured = store.result(open_result(folder).trials["trial_id"].iloc[0]).result
        store.add([crashed._replace(result=replace(measured, trial_id=crashed.result.trial_id))])
    assert not is_used(folder)
    assert (open_result(folder).trials["outcome"] == Outcome.CRASHED).sum() == 15


def test_other_thresholds_are_judged_from_the_record(folder: Path) -> None:
    result = open_result(folder, Thresholds(stable_below=1e-9, diverged_above=1.01))
    assert result._saved is None
    assert Outcome.STABLE not in set(result.trials["outcome"])


@pytest.mark.parametrize(
    "what", ["edited", "rewritten", "torn", "gone", "other code", "another record"]
)
def test_a_file_that_is_not_of_this_record_is_passed_over(
    folder: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / saved.TABLE
    match what:
        case "edited":
            table = pd.read_parquet(path)
            assert table.attrs  # pandas keeps them
            table.assign(outcome="stable").to_parquet(path)
        case "rewritten":
            table = pd.read_parquet(path)
            table.attrs.clear()
            table.assign(outcome="stable").to_parquet(path)
        case "torn":
            path.write_bytes(path.read_bytes()[:100])
        case "gone":
            path.unlink()
        case "other code":
            monkeypatch.setattr(saved, "_code", lambda: "another")
        case "another record":
            connection = sqlite3.connect(folder / "sweep.db")
            connection.execute("UPDATE meta SET value = '\"earlier\"' WHERE key = 'created'")
            connection.commit()
            connection.close()
    assert not is_used(folder)
    assert set(open_result(folder).trials["outcome"]) > {Outcome.STABLE}


def test_a_column_that_does_not_come_back_is_never_marked(tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    grid = {"clipnorm": [None, 1, 2], "learning_rate": [0.1, 0.2, 0.3, 0.4]}
    run_inline(folder, CONTENT | {"grid": grid})
    open_result(folder).save(figures=False)
    assert not is_used(folder)
    assert open_result(folder).trials["clipnorm"].iloc[0] is None
