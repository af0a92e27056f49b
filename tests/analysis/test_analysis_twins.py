"""Trials beside their twins, and numbers taken along on a map."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stabilitysweep import ResultError
from stabilitysweep.analysis import CellValue, stability_map, zeros_beside_twin

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
    made["zero_gradients"] = random.uniform(size=len(made))
    made["outcome"], made["onset_step"] = "stable", np.nan
    return made


@LAW
@given(st.randoms(use_true_random=False))
def test_every_trial_is_set_against_its_own_twin_in_any_order(random: object) -> None:
    trials = table()
    order = list(range(len(trials)))
    random.shuffle(order)  # type: ignore[attr-defined]
    mixed = trials.iloc[order].reset_index(drop=True)
    excess, lost = zeros_beside_twin(mixed, list(AXES))
    single = trials[trials["precision"] == "float32"]
    for place, row in mixed.iterrows():
        same = single[
            (single["lr"] == row["lr"])
            & (single["seed"] == row["seed"])
            & (single["clip"].isna() == pd.isna(row["clip"]))
        ]
        assert len(same) == 1
        twin = same["zero_gradients"].iloc[0]
        assert excess[place] == pytest.approx(row["zero_gradients"] - twin)
        assert lost[place] == pytest.approx((row["zero_gradients"] - twin) / (1 - twin))


def test_all_is_lost_where_every_entry_became_zero() -> None:
    trials = table()
    half = trials["precision"] == "float16"
    trials.loc[half, "zero_gradients"] = 1.0
    trials.loc[~half, "zero_gradients"] = 0.7  # dead units are no loss
    excess, lost = zeros_beside_twin(trials, list(AXES))
    np.testing.assert_allclose(excess, np.where(half, 0.3, 0.0))
    np.testing.assert_allclose(lost, np.where(half, 1.0, 0.0))


def test_without_a_sound_twin_nothing_is_said() -> None:
    trials = table()
    half = trials[trials["precision"] == "float16"]
    for found in (*zeros_beside_twin(half, list(AXES)), *zeros_beside_twin(trials, ["clip", "lr"])):
        assert np.isnan(found).all()
    trials.loc[trials["lr"] == 0.2, "onset_step"] = 4
    for found in zeros_beside_twin(trials, list(AXES)):
        assert (np.isnan(found) == (trials["lr"] == 0.2)).all()
    with pytest.raises(ResultError, match="zero_gradients"):
        zeros_beside_twin(trials.drop(columns="zero_gradients"), list(AXES))


@pytest.mark.parametrize("statistic", ["lowest", "median"])
def test_a_map_takes_a_number_along_cell_by_cell(statistic: str) -> None:
    trials = table(seeds=3)
    trials.loc[trials["lr"] == 0.2, "zero_gradients"] = np.nan
    value = CellValue("zero_gradients", statistic)
    found = stability_map(trials, AXES, x="lr", y="precision", pool=["clip"], value=value)
    grouped = trials.groupby(["precision", "lr"])["zero_gradients"]
    expected = grouped.min() if statistic == "lowest" else grouped.median()
    assert found.value is not None
    for y, precision in enumerate(found.y.values):
        for x, rate in enumerate(found.x.values):
            np.testing.assert_allclose(found.value[0, 0, y, x], expected[precision, rate])
    assert stability_map(trials, AXES).value is None
    with pytest.raises(ResultError, match="other"):
        stability_map(trials, AXES, value=CellValue("other", "median"))
