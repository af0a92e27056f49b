"""The prepared data of a sweep: learnt once, made when asked for, let go of when there is much."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from sklearn.impute import KNNImputer
from sklearn.preprocessing import StandardScaler

from stabilitysweep.config import DatasetSettings, PreprocessingSettings
from stabilitysweep.data import PreparedSets, RawData, data_key, prepare, split_rows
from stabilitysweep.data import preparation as module

DATASET = DatasetSettings(name="iris")
REGRESSION = PreprocessingSettings(target_scaling="standard")
CHOICES = [
    PreprocessingSettings(imputation=imputation, scaling=scaling, missing_indicator=indicator)
    for imputation in ("none", "mean", "knn")
    for scaling in ("standard", "none")
    for indicator in (False, True)
]


def raw_data() -> RawData:
    generator = np.random.default_rng(3)
    features = generator.normal(size=(30, 3))
    features[::5, 1] = np.nan
    codes = generator.integers(-1, 3, (30, 2)).astype(np.int32)
    return RawData(
        features,
        generator.normal(size=30),
        ("a", "b", "c"),
        "test",
        "a test",
        categories=codes,
        category_names=("kind", "place"),
        levels=(("x", "y", "z"), ("p", "q", "r")),
    )


@pytest.fixture
def sets() -> PreparedSets:
    raw = raw_data()
    return PreparedSets({"test": raw}, {"test": split_rows(raw, DATASET)})


@pytest.mark.parametrize("settings", CHOICES)
def test_they_are_what_prepare_gives_and_have_the_shape_that_was_said(
    sets: PreparedSets, settings: PreprocessingSettings
) -> None:
    key = sets.lay_out("test", settings, "mse")
    shape = sets.shapes[key]
    made = sets[key]
    assert made.content_hash == prepare(raw_data(), DATASET, settings, "mse").content_hash
    assert shape == made.shape == (made.x_train.shape[1], 1)


def test_each_preprocessing_is_learnt_once_whatever_is_kept(
    sets: PreparedSets, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits: Counter[str] = Counter()
    fit = StandardScaler.fit

    def counting(self: StandardScaler, x: Any, *rest: Any) -> StandardScaler:
        fits["inputs" if x.shape[1] > 1 else "target"] += 1
        return fit(self, x, *rest)

    monkeypatch.setattr(StandardScaler, "fit", counting)
    monkeypatch.setattr(module, "_KEPT_BYTES", 0)
    keys = [
        sets.lay_out("test", PreprocessingSettings(imputation=imputation), loss)
        for imputation in ("mean", "median")
        for loss in ("mse", "mae", "mse")
    ]
    first = [sets[key].content_hash for key in keys]
    assert [sets[key].content_hash for key in keys] == first
    assert len(set(keys)) == len(sets) == 2
    assert fits == {"inputs": 2, "target": 1}


def test_neighbours_are_searched_once_for_all_scalings(
    sets: PreparedSets, monkeypatch: pytest.MonkeyPatch
) -> None:
    searches: list[int] = []
    transform = KNNImputer.transform

    def counting(self: KNNImputer, x: Any) -> Any:
        searches.append(len(x))
        return transform(self, x)

    monkeypatch.setattr(KNNImputer, "transform", counting)
    monkeypatch.setattr(module, "_KEPT_BYTES", 0)
    for _ in range(2):
        for scaling in ("none", "standard", "minmax"):
            chosen = PreprocessingSettings(imputation="knn", scaling=scaling)
            assert not np.isnan(sets[sets.lay_out("test", chosen, "mse")].x_train[:, 1]).any()
    assert searches == [6]  # the rows with a gap, of both sides


def test_what_is_asked_for_again_is_kept_while_there_is_room(
    sets: PreparedSets, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [sets.lay_out("test", settings, "mse") for settings in CHOICES]
    assert all(sets[key] is sets[key] for key in keys)
    oldest = sets[keys[0]]
    for key in keys:
        assert sets[key].train_rows == 24
    assert sets[keys[0]] is oldest
    monkeypatch.setattr(module, "_KEPT_BYTES", oldest.nbytes)
    for key in keys[1:]:
        assert sets[key].train_rows == 24
    assert sets[keys[-1]] is sets[keys[-1]]
    assert sets[keys[0]] is not oldest


def test_losses_on_one_preprocessing_share_its_inputs(sets: PreparedSets) -> None:
    plain = PreprocessingSettings(target_scaling="none")
    one, other = (sets[sets.lay_out("test", settings, "mse")] for settings in (plain, REGRESSION))
    assert one.x_train is other.x_train
    assert one.content_hash != other.content_hash


@pytest.mark.parametrize(
    ("setting", "value", "counts"),
    [
        ("fill_value", 1.0, False),
        ("neighbors", 3, False),
        ("missing_indicator", True, True),
        ("encoding", "ordinal", True),
        ("unknown_categories", "missing", True),
        ("scaling", "minmax", True),
        ("target_scaling", "none", True),
    ],
)
def test_a_setting_without_effect_is_no_other_data(setting: str, value: Any, counts: bool) -> None:
    changed = REGRESSION.model_copy(update={setting: value})
    keys = {data_key("test", settings, "mse") for settings in (REGRESSION, changed)}
    assert len(keys) == 1 + counts


def test_the_values_of_constant_and_knn_count_under_them() -> None:
    for imputation, setting, values in (
        ("constant", "fill_value", (0.0, -1.0)),
        ("knn", "neighbors", (3, 5)),
    ):
        keys = {
            data_key(
                "test", PreprocessingSettings(imputation=imputation, **{setting: value}), "mse"
            )
            for value in values
        }
        assert len(keys) == 2
