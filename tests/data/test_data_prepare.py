"""Splitting, preprocessing, and fitting the target to the loss."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import ArrayLike

from stabilitysweep.config import DatasetSettings, PreprocessingSettings
from stabilitysweep.config.names import Imputation, Loss, Scaling, default_target_scaling
from stabilitysweep.data import PreparedData, RawData, load, prepare
from stabilitysweep.data.targets import LOSSES, SCALED_LOSSES
from stabilitysweep.errors import DataError

SCALINGS, IMPUTATIONS = get_args(Scaling), get_args(Imputation)
SPARSE, BINARY = "sparse_categorical_crossentropy", "binary_crossentropy"


def raw_data(features: ArrayLike, target: ArrayLike | None = None) -> RawData:
    x = np.array(features, np.float64)
    y = np.arange(len(x), dtype=np.float64) if target is None else np.array(target)
    return RawData(x, y, tuple(f"x{i}" for i in range(x.shape[1])), "test", "a test")


def prepared(
    raw: RawData, loss: str = "mse", fraction: float = 0.2, seed: int = 0, **steps: Any
) -> PreparedData:
    dataset = DatasetSettings(name="iris", validation_fraction=fraction, split_seed=seed)
    return prepare(raw, dataset, PreprocessingSettings(**steps), loss)


def noise(rows: int = 20, columns: int = 3) -> np.ndarray[Any, Any]:
    return np.abs(np.random.default_rng(0).normal(5, 3, (rows, columns)))


def test_the_config_means_the_same_losses_and_defaults() -> None:
    assert set(get_args(Loss)) == LOSSES
    for loss in get_args(Loss):
        assert (default_target_scaling(loss) == "standard") == (loss in SCALED_LOSSES)


# --- the split


def test_split_parts_are_disjoint_and_cover_every_row() -> None:
    raw = raw_data(np.arange(50.0).reshape(50, 1))
    data = prepared(raw, scaling="none", target_scaling="none")
    assert data.train_rows == 40
    assert len(data.x_validation) == 10
    both = np.concatenate([data.x_train, data.x_validation])
    assert sorted(both[:, 0]) == list(range(50))
    np.testing.assert_array_equal(data.x_train, data.y_train)
    np.testing.assert_array_equal(data.x_validation, data.y_validation)


def test_split_follows_its_seed() -> None:
    raw = raw_data(noise())
    one, same, other = (prepared(raw, seed=seed) for seed in (0, 0, 1))
    assert one.content_hash == same.content_hash != other.content_hash


def test_fraction_zero_trains_on_every_row_in_order() -> None:
    raw = raw_data(noise())
    data = prepared(raw, fraction=0, scaling="none")
    np.testing.assert_array_equal(data.x_train, raw.features)
    assert data.x_validation.shape == (0, 3)
    assert data.y_validation.shape == (0, 1)
    labels = prepared(raw_data(noise(), np.arange(20) % 3), SPARSE, fraction=0)
    assert labels.y_validation.shape == (0,)
    assert labels.y_validation.dtype == np.int32


@pytest.mark.parametrize(("rows", "fraction"), [(1, 0.2), (2, 0.99)])
def test_too_few_rows_to_split(rows: int, fraction: float) -> None:
    with pytest.raises(DataError, match=f"{rows} rows are too few.*validation_fraction to 0"):
        prepared(raw_data(noise(rows)), fraction=fraction)


def test_one_row_can_be_trained_on() -> None:
    assert prepared(raw_data(noise(1)), fraction=0).train_rows == 1


# --- features


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("imputation", IMPUTATIONS)
def test_every_combination_is_fitted_on_the_training_rows_alone(
    scaling: str, imputation: str
) -> None:
    features = noise(40)
    features[::7, 1] = np.nan
    raw = raw_data(features)
    data = prepared(raw, scaling=scaling, imputation=imputation)
    held_out = ~np.isin(raw.features[:, 0], _training_rows(raw)[:, 0])
    changed = features.copy()
    changed[held_out] *= 1000
    again = prepared(raw_data(changed), scaling=scaling, imputation=imputation)
    np.testing.assert_array_equal(data.x_train, again.x_train)
    assert np.isnan(data.x_train).any() == (imputation == "none")


def _training_rows(raw: RawData) -> np.ndarray[Any, Any]:
    return prepared(raw, scaling="none").x_train


def test_standard_scaling_has_mean_zero_and_deviation_one() -> None:
    data = prepared(raw_data(noise(50)))
    np.testing.assert_allclose(data.x_train.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(data.x_train.std(axis=0), 1)


def test_minmax_and_maxabs_and_robust() -> None:
    raw = raw_data([[0.0], [1.0], [2.0], [3.0], [-4.0]])
    minmax = prepared(raw, fraction=0, scaling="minmax").x_train
    assert (minmax.min(), minmax.max()) == (0, 1)
    assert prepared(raw, fraction=0, scaling="maxabs").x_train.min() == -1
    robust = prepared(raw, fraction=0, scaling="robust").x_train
    np.testing.assert_allclose(robust[:, 0], [-0.5, 0, 0.5, 1, -2.5])


@pytest.mark.parametrize(
    ("imputation", "filled"), [("mean", 3.0), ("median", 2.0), ("most_frequent", 1.0)]
)
def test_imputation_fills_in_the_statistic(imputation: str, filled: float) -> None:
    raw = raw_data([[1.0], [1.0], [2.0], [3.0], [8.0], [np.nan]])
    data = prepared(raw, fraction=0, imputation=imputation, scaling="none")
    assert data.x_train[-1, 0] == filled


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("imputation", IMPUTATIONS)
@pytest.mark.parametrize("empty", [np.nan, np.inf])
def test_an_empty_column_keeps_its_place(scaling: str, imputation: str, empty: float) -> None:
    features = noise()
    features[:, 1] = empty
    data = prepared(raw_data(features), scaling=scaling, imputation=imputation)
    assert data.x_train.shape[1] == 3
    if np.isinf(empty):
        assert np.isinf(data.x_train[:, 1]).all()
    elif imputation == "none":
        assert np.isnan(data.x_train[:, 1]).all()
    else:
        assert (data.x_train[:, 1] == 0).all()
    assert np.isfinite(data.x_train[:, [0, 2]]).all()


@pytest.mark.parametrize("scaling", SCALINGS)
def test_a_constant_column_stays_finite(scaling: str) -> None:
    features = noise()
    features[:, 1] = 0.1
    data = prepared(raw_data(features), scaling=scaling)
    assert np.isfinite(data.x_train).all()
    if scaling == "standard":
        np.testing.assert_allclose(data.x_train[:, 1], 0, atol=1e-15)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(
    features=hnp.arrays(np.float64, (8, 2), elements=st.floats(-1e100, 1e100) | st.just(np.nan)),
    infinite=hnp.arrays(np.int8, (8, 2), elements=st.sampled_from([0, 0, 0, 1, -1])),
    scaling=st.sampled_from(SCALINGS),
    imputation=st.sampled_from(IMPUTATIONS),
)
def test_nan_and_infinity_pass_through_untouched(
    features: np.ndarray[Any, Any], infinite: np.ndarray[Any, Any], scaling: str, imputation: str
) -> None:
    # The logarithm makes NaN itself of what is below -1.
    features = np.abs(features) if scaling == "log1p" else features
    x = np.where(infinite == 0, features, np.copysign(np.inf, infinite))
    data = prepared(raw_data(x), fraction=0, scaling=scaling, imputation=imputation).x_train
    np.testing.assert_array_equal(np.isposinf(data), np.isposinf(x))
    np.testing.assert_array_equal(np.isneginf(data), np.isneginf(x))
    expected = np.isnan(x) if imputation == "none" else np.zeros_like(x, bool)
    np.testing.assert_array_equal(np.isnan(data), expected)


def test_enormous_values_give_no_warning() -> None:
    """Warnings are errors here; what overflows is left to be seen by the audit and the probes."""
    enormous = [1e300, -1e308, 1e308, 0.0, 1.0]
    data = prepared(raw_data([[value] for value in enormous], enormous), fraction=0)
    assert not np.isfinite(data.x_train).all()
    np.testing.assert_array_equal(data.x_train, data.y_train)


# --- targets


def test_regression_targets_are_standardised_by_default() -> None:
    raw = raw_data(noise(50), np.arange(50) ** 2.0)
    for loss in sorted(SCALED_LOSSES):
        data = prepared(raw, loss)
        assert data.y_train.shape == (40, 1)
        assert data.outputs == 1
        np.testing.assert_allclose([data.y_train.mean(), data.y_train.std()], [0, 1], atol=1e-12)
    plain = prepared(raw, target_scaling="none")
    assert set(plain.y_train[:, 0]) <= set(raw.target)
    deviation = plain.y_train.std()
    np.testing.assert_allclose(
        data.y_validation, (plain.y_validation - plain.y_train.mean()) / deviation
    )


def test_a_constant_target_stays_finite() -> None:
    data = prepared(raw_data(noise(), np.full(20, 0.1)))
    np.testing.assert_allclose(data.y_train, 0, atol=1e-15)


def test_regression_takes_integer_labels() -> None:
    data = prepared(raw_data(noise(), np.arange(20) % 3), target_scaling="none")
    assert data.y_train.dtype == np.float64
    assert set(data.y_train[:, 0]) == {0, 1, 2}


@pytest.mark.parametrize("labels", [(-1, 1), (0.5, 2.5), ("no", "yes"), (False, True)])
def test_two_classes_become_zero_and_one_in_sorted_order(labels: tuple[Any, Any]) -> None:
    raw = raw_data(noise(), [labels[i % 2] for i in range(20)])
    data = prepared(raw, BINARY, fraction=0)
    assert data.y_train.dtype == np.float64
    assert data.outputs == 1
    np.testing.assert_array_equal(data.y_train[:, 0], np.arange(20) % 2)


@pytest.mark.parametrize("labels", [(3, 5, 9), (3.0, 5.0, 9.0), ("a", "b", "c")])
def test_classes_are_numbered_in_sorted_order(labels: tuple[Any, ...]) -> None:
    raw = raw_data(noise(), [labels[i % 3] for i in range(20)])
    data = prepared(raw, SPARSE, fraction=0)
    assert data.y_train.dtype == np.int32
    assert data.outputs == 3
    np.testing.assert_array_equal(data.y_train, np.arange(20) % 3)


def test_classes_keep_their_number_when_none_is_trained_on() -> None:
    # One row of class 0; wherever it falls, the others are 1 and 2.
    target = np.array([0] + [1, 2] * 10)
    raw = raw_data(np.arange(21.0).reshape(-1, 1), target)
    seen = set()
    for seed in range(8):
        data = prepared(raw, SPARSE, seed=seed, fraction=0.5, scaling="none")
        assert data.outputs == 3
        np.testing.assert_array_equal(data.y_train, target[data.x_train[:, 0].astype(int)])
        seen.add(0 in data.y_train)
    assert seen == {True, False}


@pytest.mark.parametrize(
    ("target", "loss", "message"),
    [
        (
            ["a", "b"] * 10,
            "mse",
            r"mse needs a target of numbers, got the text 'a' in row 0.*" + SPARSE,
        ),
        (["1", "2"] * 9 + ["x", "3"], "mse", r"'x' in row 18.* 19 of 20 are numbers: mend"),
        (["0,5", "1.000,25"] * 10, "mae", r"decimal point, set dataset\.decimal to ','"),
        (["a"] * 20, BINARY, "exactly two classes, got 1 .*nothing to learn"),
        (["a", "b", "c", "a"] * 5, BINARY, f"got 3 .a, b, c.; use {SPARSE}"),
        (np.arange(20) + 0.5, BINARY, "got 20 .*; use mse, mae or huber"),
        (np.arange(20) / 2, SPARSE, r"needs classes .*got 0\.5.*use mse, mae or huber"),
        (np.arange(20) // 1.5, SPARSE, "got 13 classes in 20 rows"),
        (np.ones(20), SPARSE, "at least two classes"),
        ([np.nan] + [1.0] * 19, "mse", "expected a finite target, got nan in row 0"),
        ([1.0] * 19 + [np.inf], "mae", "got inf in row 19"),
        ([np.nan] + [1.0] * 19, BINARY, "expected a finite target"),
        ([np.inf] + [1.0] * 19, SPARSE, "expected a finite target"),
    ],
)
def test_a_target_that_does_not_fit_the_loss(target: Any, loss: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        prepared(raw_data(noise(), target), loss)


def test_half_as_many_classes_as_rows_is_allowed() -> None:
    assert prepared(raw_data(noise(), np.arange(20) // 2), SPARSE).outputs == 10


@pytest.mark.parametrize("loss", [BINARY, SPARSE])
def test_scaling_the_target_of_a_classification_is_refused(loss: str) -> None:
    with pytest.raises(DataError, match="target_scaling 'standard' fits mse, mae, huber"):
        prepared(raw_data(noise(), np.arange(20) % 2), loss, target_scaling="standard")


def test_an_unknown_loss_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match="expected a loss among"):
        prepared(raw_data(noise()), "hinge")


# --- the record


def test_the_content_is_frozen_and_contiguous() -> None:
    data = prepared(raw_data(np.asfortranarray(noise())))
    for array in (data.x_train, data.y_train, data.x_validation, data.y_validation):
        assert array.flags.c_contiguous
        assert not array.flags.writeable


def test_the_hash_tells_preparations_apart() -> None:
    raw = raw_data(noise(30), np.arange(30) % 2)
    hashes = [
        prepared(raw).content_hash,
        prepared(raw, scaling="minmax").content_hash,
        prepared(raw, BINARY).content_hash,
        prepared(raw, SPARSE).content_hash,
        prepared(raw, fraction=0).content_hash,
        prepared(raw, fraction=0.5).content_hash,
    ]
    assert len(set(hashes)) == len(hashes)


@pytest.mark.parametrize(
    ("name", "loss", "outputs"),
    [("diabetes", "mse", 1), ("breast_cancer", BINARY, 1), ("digits", SPARSE, 10)],
)
def test_a_bundled_set_is_ready_to_train_on(name: Any, loss: str, outputs: int) -> None:
    settings_ = DatasetSettings(name=name)
    data = prepare(load(settings_, Path()), settings_, PreprocessingSettings(), loss)
    assert data.outputs == outputs
    assert data.label == name
    assert np.isfinite(data.x_train).all()
    assert np.isfinite(data.x_validation).all()
    assert len(data.feature_names) == data.x_train.shape[1]


def test_poisson_takes_counts_as_they_are() -> None:
    data = prepared(raw_data(noise()), "poisson")
    both = np.concatenate([data.y_train, data.y_validation])
    assert sorted(both[:, 0]) == list(range(20))
    with pytest.raises(DataError, match=r"poisson needs a target of counts.*got -1\.5 in row 0"):
        prepared(raw_data(noise(), np.arange(20) - 1.5), "poisson")
    with pytest.raises(DataError, match="poisson takes counts"):
        prepared(raw_data(noise()), "poisson", target_scaling="standard")
