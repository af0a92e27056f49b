"""Split and preprocess a data set for training.

Notation: N training rows, M validation rows, D columns of numbers, F inputs of the model.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    RobustScaler,
    StandardScaler,
)

from stabilitysweep.blueprint import Block
from stabilitysweep.config import (
    DatasetSettings,
    PreprocessingSettings,
    default_target_scaling,
)
from stabilitysweep.data.categories import CategoryEncoder
from stabilitysweep.data.imputation import Imputer, without_infinity
from stabilitysweep.data.prepared import Floats, PreparedData
from stabilitysweep.data.raw import Array, RawData, Rows, Targets, plain_blocks
from stabilitysweep.data.split import Split, split_rows
from stabilitysweep.data.targets import (
    COUNT_LOSS,
    OWN_FORMS,
    SCALED_LOSSES,
    EncodedTarget,
    encode_target,
)
from stabilitysweep.errors import DataError

# Each of these passes NaN through and takes its statistics from the other values.
_SCALERS = {
    "standard": StandardScaler,
    "minmax": MinMaxScaler,
    "robust": RobustScaler,
    "maxabs": MaxAbsScaler,
}


def prepare(
    raw: RawData,
    settings: DatasetSettings,
    preprocessing: PreprocessingSettings,
    loss: str,
    whole: frozenset[str] = frozenset(),
) -> PreparedData:
    """Split the rows, impute, encode and scale the inputs, encode and scale the target.

    Everything is fitted on the training rows alone; see `Inputs` and `scale_target`.

    Args:
        raw: the data as loaded.
        settings: `validation_fraction` in [0, 1), `split_seed` and `stratify`.
        preprocessing: how to impute, encode and scale; `target_scaling` None means
            standardised for a regression loss, as it is for a classification loss.
        loss: mse, mae, huber, poisson, binary_crossentropy, sparse_categorical_crossentropy, or
            another form of the target; see `encode_target`.
        whole: names of blocks of the inputs that are not scaled.

    Returns:
        The prepared data, N >= 1.

    Raises:
        DataError: the target does not fit the loss, its scaling does not, there are too
            few rows to split, or what is asked of a column is more than can be done.
        ValueError: an unknown loss.
    """
    split = split_rows(raw, settings)
    target = encode_target(raw, loss)
    scaled = scale_target(raw, target, split, preprocessing.target_scaling, loss)
    inputs = Inputs(raw, split, preprocessing, whole=whole)
    return assemble(raw, inputs, inputs.transform(), scaled, target.outputs)


def assemble(
    raw: RawData,
    inputs: Inputs,
    features: tuple[Floats, Floats],
    target: tuple[Targets, Targets],
    outputs: int,
) -> PreparedData:
    """Put inputs and target together; each a pair of training and validation rows."""
    return PreparedData(
        x_train=features[0],
        y_train=target[0],
        x_validation=features[1],
        y_validation=target[1],
        outputs=outputs,
        feature_names=inputs.names,
        label=raw.label,
        blocks=inputs.blocks,
        named=raw.named,
    )


def scale_target(
    raw: RawData, target: EncodedTarget, split: Split, scaling: str | None, loss: str
) -> tuple[Targets, Targets]:
    """Scale the target as its training rows have it.

    Args:
        raw: the data, for messages.
        target: its target, encoded.
        split: the rows of each side.
        scaling: a scaler's name or `none`; None is the loss' default.
        loss: the loss, or the form of the target; only mse, mae and huber may have it scaled.

    Returns:
        The target of the training rows and of the validation rows.

    Raises:
        DataError: the scaling does not fit the loss, or `log1p` meets a target of -1 or less.
    """
    scaling = scaling or ("none" if loss in OWN_FORMS else default_target_scaling(loss))
    if scaling != "none" and loss in OWN_FORMS:
        raise DataError(
            f"dataset '{raw.label}': target_scaling '{scaling}' fits {', '.join(SCALED_LOSSES)}; "
            "the loss of a model of your own takes the target as it is. Set it to none."
        )
    if scaling != "none" and loss not in SCALED_LOSSES:
        kind = "counts" if loss == COUNT_LOSS else "classes"
        raise DataError(
            f"dataset '{raw.label}': target_scaling '{scaling}' fits {', '.join(SCALED_LOSSES)}; "
            f"{loss} takes {kind}. Set it to none."
        )
    if scaling == "none":
        return _rows_of(target.values, split.train), _rows_of(target.values, split.validation)
    values = cast(Array, target.values)  # no loss that is scaled takes several
    train, validation = values[split.train], values[split.validation]
    if scaling == "log1p" and values.min() <= -1:
        row = int(values.argmin())
        raise DataError(
            f"dataset '{raw.label}': target_scaling 'log1p' needs targets above -1, got "
            f"{float(values[row, 0]):g} in {raw.locate(row)}. Use standard or robust."
        )
    scaler = _Scaler(scaling)
    with _overflow_unsaid():
        scaler.fit(train)
        return scaler.transform(train), scaler.transform(validation)


def _rows_of(targets: Targets, rows: Rows) -> Targets:
    if isinstance(targets, Mapping):
        return {name: values[rows] for name, values in targets.items()}
    return targets[rows]


@contextmanager
def _overflow_unsaid() -> Iterator[None]:
    """Pass over what NumPy and scikit-learn say of NaN and overflow.

    A column that is all NaN, or whose variance overflows, is what a sweep may be about; its
    NaN reaches the audit and the probes, a warning would say less.
    """
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


class Inputs:
    """The inputs of the model: what is learnt of the training rows, and applied to all.

    - Imputation fills NaN, in the columns' own units; a column without any training value
      becomes 0 (`constant`: the fill value), so the shapes never depend on the rows.
    - Categories are encoded; see `CategoryEncoder`.
    - Scaling goes over the columns of numbers, ordinal codes among them, not over zeros
      and ones, nor over what the model takes as whole numbers.
    - Inf is data under study and stays where it is: neither imputed, nor counted in a
      statistic.

    Attributes:
        names: F names: numbers, encoded categories, indicators of missing values.
        blocks: which of the F columns belong together: those of the source, then one for each
            column of categories, then the indicators.
    """

    def __init__(
        self,
        raw: RawData,
        split: Split,
        preprocessing: PreprocessingSettings,
        imputer: Imputer | None = None,
        whole: frozenset[str] = frozenset(),
    ) -> None:
        """Lay out the columns; statistics are learnt when they are first needed.

        Args:
            raw: the data as loaded.
            split: the rows of each side.
            preprocessing: what to do.
            imputer: one that fills gaps in that way already, to be shared.
            whole: names of blocks that the model takes as whole numbers: they are not scaled.

        Raises:
            DataError: one-hot encoding would make too many columns, or `knn` compare too
                many rows.
        """
        self._raw = raw
        self._split = split
        self._preprocessing = preprocessing
        self._encoder = CategoryEncoder(raw, split.train, preprocessing)
        self._indicated = self._columns_to_indicate()
        self._imputer = imputer or Imputer(raw, split, preprocessing)
        self._scaler = _Scaler(preprocessing.scaling)
        self._learnt = False
        indicated = [
            f"{(*raw.feature_names, *raw.category_names)[place]} is missing"
            for place in self._indicated
        ]
        self.names: tuple[str, ...] = (*raw.feature_names, *self._encoder.names, *indicated)
        self.blocks: tuple[Block, ...] = (
            *raw.blocks,
            *self._encoded_blocks(),
            *plain_blocks(indicated, len(self.names) - len(indicated)),
        )
        self._unscaled = [
            place
            for block in self.blocks
            if block.name in whole
            for place in range(block.start, block.stop)
        ]

    def transform(self) -> tuple[Floats, Floats]:
        """Return the inputs of the training rows [N, F] and of the validation rows [M, F].

        The statistics are learnt once, however often this is asked.
        """
        with _overflow_unsaid():
            train = self._of(self._split.train, learn=not self._learnt)
            self._learnt = True
            return train, self._of(self._split.validation)

    def _of(self, rows: Rows, *, learn: bool = False) -> Floats:
        """The inputs of some rows; with `learn`, these are the rows to learn from."""
        parts = [self._scaled(rows, learn)]
        if not self._encoder.is_ordinal and self._encoder.names:
            parts.append(self._encoder.transform(rows))
        if len(self._indicated):
            parts.append(self._missing(rows)[:, self._indicated].astype(np.float64))
        return np.ascontiguousarray(parts[0] if len(parts) == 1 else np.hstack(parts))

    def _scaled(self, rows: Rows, learn: bool) -> Floats:
        """The columns that are scaled: numbers, their gaps filled, and ordinal codes."""
        numbers = self._imputer.filled(rows)
        if self._encoder.is_ordinal and self._encoder.names:
            numbers = np.hstack([numbers, self._encoder.transform(rows)])
        unscaled = [place for place in self._unscaled if place < numbers.shape[1]]
        kept = numbers[:, unscaled]
        if unscaled:
            # Their statistics are not asked for: a scaling may have none of such values.
            numbers[:, unscaled] = 0.0
        if learn:
            self._scaler.fit(numbers)
        scaled = self._scaler.transform(numbers)
        if unscaled:
            scaled[:, unscaled] = kept
        return scaled

    def _encoded_blocks(self) -> Iterator[Block]:
        start = len(self._raw.feature_names)
        for name, width in zip(self._raw.category_names, self._encoder.widths, strict=True):
            ordinal = self._encoder.is_ordinal
            if width:
                shape = () if ordinal else (width,)
                yield Block(name, start, start + width, shape, whole=ordinal)
            start += width

    def _columns_to_indicate(self) -> NDArray[np.intp]:
        if not self._preprocessing.missing_indicator:
            return np.empty(0, np.intp)
        return np.flatnonzero(self._missing(self._split.train).any(axis=0))

    def _missing(self, rows: Rows) -> NDArray[np.bool_]:
        """Where a value is missing, bool [len(rows), D + C]."""
        return np.hstack([np.isnan(self._raw.features[rows]), self._encoder.missing(rows)])


class _Scaler:
    """Scales columns of numbers; Inf stays where it is."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._scaler: Any = None

    def fit(self, train: Floats) -> None:
        if self._name == "log1p":
            self._scaler = FunctionTransformer(np.log1p)
        elif self._name != "none" and train.shape[1]:
            self._scaler = _SCALERS[self._name](copy=False).fit(without_infinity(train))

    def transform(self, values: Floats) -> Floats:
        """Scale an array of the caller's own, in place where that can be."""
        if self._scaler is None or not values.size:  # scikit-learn refuses an empty table
            return values
        infinite = np.isinf(values)
        if not infinite.any():
            scaled: Floats = self._scaler.transform(values)
            return scaled
        return np.where(infinite, values, self._scaler.transform(without_infinity(values)))
