"""Split and preprocess a data set for training.

Notation: N training rows, M validation rows, D features, C classes.
"""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    RobustScaler,
    StandardScaler,
)

from stabilitysweep.config import DatasetSettings, PreprocessingSettings
from stabilitysweep.data.prepared import Floats, PreparedData
from stabilitysweep.data.raw import RawData
from stabilitysweep.data.split import split_rows
from stabilitysweep.data.targets import COUNT_LOSS, SCALED_LOSSES, encode_target
from stabilitysweep.errors import DataError

# Each of these passes NaN through and takes its statistics from the other values.
_SCALERS = {
    "standard": StandardScaler,
    "minmax": MinMaxScaler,
    "robust": RobustScaler,
    "maxabs": MaxAbsScaler,
}


def prepare(
    raw: RawData, settings: DatasetSettings, preprocessing: PreprocessingSettings, loss: str
) -> PreparedData:
    """Split the rows, impute and scale the features, encode and scale the target.

    The split depends on `split_seed` and the fraction alone, and is the same for all trials;
    everything is fitted on the training rows. With `validation_fraction` 0 all rows are
    trained on, in their order. Imputation fills NaN; a column without any value becomes 0, so
    the shapes never change. Inf is data under study and stays where it is: neither imputed,
    nor counted in a scaler's statistics.

    Args:
        raw: the data as loaded.
        settings: `validation_fraction` in [0, 1) and `split_seed`.
        preprocessing: how to impute and scale; `target_scaling` None means standardised for
            a regression loss, as it is for a classification loss.
        loss: mse, mae, huber, poisson, binary_crossentropy or sparse_categorical_crossentropy.

    Returns:
        The prepared data, N >= 1.

    Raises:
        DataError: the target does not fit the loss, its scaling does not, or there are too
            few rows to split.
        ValueError: an unknown loss.
    """
    target = encode_target(raw, loss)
    scaled = preprocessing.target_scaling
    if scaled is None:
        scaled = "standard" if loss in SCALED_LOSSES else "none"
    if scaled != "none" and loss not in SCALED_LOSSES:
        kind = "counts" if loss == COUNT_LOSS else "classes"
        raise DataError(
            f"dataset '{raw.label}': target_scaling '{scaled}' fits {', '.join(SCALED_LOSSES)}; "
            f"{loss} takes {kind}. Set it to none."
        )
    train, validation = split_rows(raw, settings)
    x_train, x_validation = _scale(
        _feature_steps(preprocessing), raw.features[train], raw.features[validation]
    )
    y_train, y_validation = target.values[train], target.values[validation]
    if scaled == "standard":
        y_train, y_validation = _scale([("scale", StandardScaler())], y_train, y_validation)
    return PreparedData(
        x_train=x_train,
        y_train=y_train,
        x_validation=x_validation,
        y_validation=y_validation,
        outputs=target.outputs,
        feature_names=raw.feature_names,
        label=raw.label,
    )


def _feature_steps(preprocessing: PreprocessingSettings) -> list[tuple[str, object]]:
    steps: list[tuple[str, object]] = []
    if preprocessing.imputation != "none":
        imputer = SimpleImputer(strategy=preprocessing.imputation, keep_empty_features=True)
        steps.append(("impute", imputer))
    if preprocessing.scaling != "none":
        steps.append(("scale", _SCALERS[preprocessing.scaling]()))
    return steps or [("as it is", FunctionTransformer())]


def _scale(
    steps: list[tuple[str, object]], train: Floats, validation: Floats
) -> tuple[Floats, Floats]:
    """Fit on the training rows, transform both; Inf stays in its place."""
    pipeline = Pipeline(steps)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        # A column that is all NaN, or whose variance overflows, is what a sweep may be about;
        # its NaN reaches the audit and the probes, a warning here would say less.
        warnings.simplefilter("ignore", RuntimeWarning)
        pipeline.fit(_without_infinity(train))
        return _transform(pipeline, train), _transform(pipeline, validation)


def _transform(pipeline: Pipeline, values: Floats) -> Floats:
    if not len(values):  # scikit-learn refuses an empty table
        return np.array(values, np.float64)
    transformed = pipeline.transform(_without_infinity(values))
    result = np.where(np.isinf(values), values, transformed)
    return np.ascontiguousarray(result, np.float64)


def _without_infinity(values: Floats) -> Floats:
    # scikit-learn takes NaN for a missing value, but refuses Inf.
    return np.where(np.isinf(values), np.nan, values)
