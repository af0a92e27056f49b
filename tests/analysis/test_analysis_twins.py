"""Trials beside their twins, and numbers taken along on a map."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stabilitysweep import ResultError
from stabilitysweep.analysis import CellValue, excess_over_twin, stability_map

LAW = settings(derandomize=True, deadline=None, max_examples=30)
AXES = {"precision": ("float32", "float16"), "clip": (None, 1.0), "lr": (0.1, 0.2, 0.3)}


def table(seeds: int = 2) -> pd.DataFrame:
    rows = [
        {"precision": precision, "clip": clip, "lr": rate, "seed": seed}
        for precision in AXES["precision"]
        for clip in AXES["clip"]
        for rate in AXES["lr"]
        for seed in range(seeds)
    ]
    made = pd.DataFrame(rows).astype({"clip": object})
    random = np.random.default_rng(3)
    made["number"] = random.uniform(size=len(made))
    made["outcome"], made["onset_step"] = "stable", np.nan
    return made


@LAW
@given(st.randoms(use_true_random=False))
def test_every_trial_is_set_against_its_own_twin_in_any_order(random: object) -> None:
    trials = table()
    order = list(range(len(trials)))
    random.shuffle(order)  # type: ignore[attr-defined]
    mixed = trials.iloc[order].reset_index(drop=True)
    found = excess_over_twin(mixed, list(AXES), "number", "precision", "float32")
    single = trials[trials["precision"] == "float32"]
    for place, row in mixed.iterrows():
        same = single[
            (single["lr"] == row["lr"])
            & (single["seed"] == row["seed"])
            & (single["clip"].isna() == pd.isna(row["clip"]))
        ]
        assert len(same) == 1
        assert found[place] == pytest.approx(row["number"] - same["number"].iloc[0])


def test_without_a_twin_there_is_no_excess() -> None:
    trials = table()
    half = trials[trials["precision"] == "float16"]
    assert np.isnan(excess_over_twin(half, list(AXES), "number", "precision", "float32")).all()
    assert np.isnan(excess_over_twin(trials, ["clip", "lr"], "number", "precision", "x")).all()
    with pytest.raises(ResultError, match="other"):
        excess_over_twin(trials, list(AXES), "other", "precision", "float32")


@pytest.mark.parametrize("statistic", ["lowest", "median"])
def test_a_map_takes_a_number_along_cell_by_cell(statistic: str) -> None:
    trials = table(seeds=3)
    trials.loc[trials["lr"] == 0.2, "number"] = np.nan
    found = stability_map(
        trials, AXES, x="lr", y="precision", pool=["clip"], value=CellValue("number", statistic)
    )
    grouped = trials.groupby(["precision", "lr"])["number"]
    expected = grouped.min() if statistic == "lowest" else grouped.median()
    assert found.value is not None
    for y, precision in enumerate(found.y.values):
        for x, rate in enumerate(found.x.values):
            np.testing.assert_allclose(found.value[0, 0, y, x], expected[precision, rate])
    assert stability_map(trials, AXES).value is None
    with pytest.raises(ResultError, match="other"):
        stability_map(trials, AXES, value=CellValue("other", "median"))
