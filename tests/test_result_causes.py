"""Causes as a stored result tells them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from inline_executor import CRASHING, FAILING, run_inline

from stabilitysweep import Result, Thresholds, open_result

CONFIG: dict[str, Any] = {
    "name": "causes",
    "dataset": {"name": "make_regression", "options": {"n_samples": 20, "n_features": 3}},
    "training": {"steps": 6, "batch_size": 4},
    "grid": {"learning_rate": [0.01, FAILING, CRASHING]},
    "seeds": 2,
}


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    folder: Path = tmp_path_factory.mktemp("results") / "causes"
    run_inline(folder, CONFIG)
    return open_result(folder)


def test_the_table_has_a_cause_and_its_sentence_for_what_failed_alone(result: Result) -> None:
    table = result.trials
    columns = list(table.columns)
    assert columns.index("cause_text") == columns.index("cause") + 1
    failed = table["outcome"] == "nonfinite"
    assert failed.sum() == 2
    # They fail after two steps, too few to call it growth.
    assert set(table.loc[failed, "cause"]) == {"learning_rate_too_high"}
    said = "The same trial at learning rate 0.01 does not fail."
    assert all(said in text for text in table.loc[failed, "cause_text"])
    assert all(value is None for value in table.loc[~failed, "cause"])
    assert all(value is None for value in table.loc[~failed, "cause_text"])


def test_a_trial_tells_the_same_as_the_table(result: Result) -> None:
    for row in result.trials.to_dict("records"):
        found = result.explain(row["trial_id"])
        assert (found and found.cause) == row["cause"]
        assert (found and found.sentence) == row["cause_text"]
        assert result.trial(row["trial_id"]).result.cause == row["cause"]
        told = result.trial_to_json(row["trial_id"])
        assert (told["cause"], told["cause_text"]) == (row["cause"], row["cause_text"])
    assert result.explain("nobody") is None


def test_outcomes_judged_anew_have_causes(result: Result) -> None:
    strict = open_result(result.folder, Thresholds(stable_below=1e-4, diverged_above=1e-3))
    before, after = result.trials, strict.trials
    changed = (before["outcome"] == "stable") & (after["outcome"] == "diverged")
    assert changed.sum() == 2
    assert before.loc[changed, "cause"].isna().all()
    assert set(after.loc[changed, "cause"]) == {"unknown"}  # its loss fell: nothing grew
    first = after.loc[changed, "trial_id"].iloc[0]
    assert strict.trial(first).result.cause == "unknown"
    assert result.trial(first).result.cause is None
