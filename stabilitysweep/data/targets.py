"""From a target column to what a loss takes: numbers, 0 and 1, or class indices.

Notation: N rows, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stabilitysweep.data.listing import some
from stabilitysweep.data.raw import Array, RawData
from stabilitysweep.errors import DataError

SCALED_LOSSES = ("mse", "mae", "huber")
"""Those that may be given a standardised target."""

COUNT_LOSS = "poisson"
REGRESSION_LOSSES = frozenset({*SCALED_LOSSES, COUNT_LOSS})
BINARY_LOSS = "binary_crossentropy"
SPARSE_LOSS = "sparse_categorical_crossentropy"
LOSSES = REGRESSION_LOSSES | {BINARY_LOSS, SPARSE_LOSS}

_SHOWN = 5

_MANY_CLASSES = 20
_ROWS_A_NUMBER, _ROWS_A_NAME = 5, 2
"""Rows a class below which a target is taken for no set of classes."""


@dataclass(frozen=True, slots=True, eq=False)
class EncodedTarget:
    """A target in the form its loss takes.

    Attributes:
        values: float64 [N, 1] for regression, the same with 0 and 1 for two classes, int32
            [N] from 0 to C - 1 for `sparse_categorical_crossentropy`.
        outputs: units of the model's head: 1, or C.
    """

    values: Array
    outputs: int


def encode_target(raw: RawData, loss: str) -> EncodedTarget:
    """Encode the target of the whole data, before any split.

    Classes are numbered in sorted order over all rows, so that a class keeps its number
    whichever rows are trained on.

    Raises:
        DataError: the target does not fit the loss; the message says which loss would.
        ValueError: `loss` is none of `LOSSES`.
    """
    if loss not in LOSSES:
        raise ValueError(f"expected a loss among {sorted(LOSSES)}, got {loss!r}")
    if loss == COUNT_LOSS:
        return EncodedTarget(_counts(raw).reshape(-1, 1), outputs=1)
    if loss in REGRESSION_LOSSES:
        return EncodedTarget(_numbers(raw, loss).reshape(-1, 1), outputs=1)
    if loss == BINARY_LOSS:
        return EncodedTarget(_two_classes(raw), outputs=1)
    return _classes(raw)


def _is_text(target: Array) -> bool:
    return target.dtype.kind not in "biuf"


def _numbers(raw: RawData, loss: str) -> Array:
    if _is_text(raw.target):
        raise DataError(_text_for_numbers(raw, loss))
    values = raw.target.astype(np.float64)
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise DataError(
            f"dataset '{raw.label}': expected a finite target, got {values[bad[0]]} in "
            f"{raw.locate(int(bad[0]))} ({bad.size} such rows). Remove them."
        )
    return values


def _text_for_numbers(raw: RawData, loss: str) -> str:
    row = next((row for row, text in enumerate(raw.target) if not _is_number(str(text))), 0)
    text = str(raw.target[row])
    message = (
        f"dataset '{raw.label}' ({raw.source}): {loss} needs a target of numbers, got the "
        f"text {text!r} in {raw.locate(row)}."
    )
    if _is_number(text.replace(".", "").replace(",", ".")):
        return message + " If the comma is a decimal point, set dataset.decimal to ','."
    numbers = sum(_is_number(str(value)) for value in raw.target)
    if numbers > len(raw.target) / 2:
        return (
            f"{message} {numbers} of {len(raw.target)} are numbers: mend or remove the other rows."
        )
    return f"{message} For classes use {SPARSE_LOSS} (or {BINARY_LOSS} for two)."


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _counts(raw: RawData) -> Array:
    values = _numbers(raw, COUNT_LOSS)
    bad = np.flatnonzero(values < 0)
    if bad.size:
        raise DataError(
            f"dataset '{raw.label}': {COUNT_LOSS} needs a target of counts or rates, 0 or more, "
            f"got {values[bad[0]]:g} in {raw.locate(int(bad[0]))} ({bad.size} such rows). For a "
            "quantity of either sign use mse, mae or huber."
        )
    return values


def _two_classes(raw: RawData) -> Array:
    if not _is_text(raw.target):
        _numbers(raw, BINARY_LOSS)
    classes, indices = np.unique(raw.target, return_inverse=True)
    if classes.size != 2:
        better = SPARSE_LOSS if _are_labels(raw.target) else "mse, mae or huber"
        remedy = f"; use {better}" if classes.size > 2 else ": there is nothing to learn"
        raise DataError(
            f"dataset '{raw.label}': {BINARY_LOSS} needs exactly two classes, got "
            f"{classes.size} ({some(classes, _SHOWN)}){remedy}."
        )
    return indices.astype(np.float64).reshape(-1, 1)


def _classes(raw: RawData) -> EncodedTarget:
    if not _is_text(raw.target):
        values = _numbers(raw, SPARSE_LOSS)
        fractions = values[values != np.floor(values)]
        if fractions.size:
            raise DataError(
                f"dataset '{raw.label}': {SPARSE_LOSS} needs classes (whole numbers or text), "
                f"got {fractions[0]}. For a continuous target use mse, mae or huber."
            )
    classes, indices = np.unique(raw.target, return_inverse=True)
    rows = raw.target.size
    if classes.size < 2:
        raise DataError(
            f"dataset '{raw.label}': {SPARSE_LOSS} needs at least two classes, got only "
            f"{some(classes, _SHOWN)}: there is nothing to learn."
        )
    # Numbers with few repetitions each are a measurement; names may be rarer.
    numeric = raw.target.dtype.kind in "iuf" and classes.size > _MANY_CLASSES
    if (_ROWS_A_NUMBER if numeric else _ROWS_A_NAME) * classes.size > rows:
        raise DataError(
            f"dataset '{raw.label}': {SPARSE_LOSS} got {classes.size} classes in {rows} rows "
            f"({some(classes, _SHOWN)}): expected more rows a class on average. Is this the "
            "right target? For a quantity use mse, mae or huber."
        )
    return EncodedTarget(indices.astype(np.int32).reshape(-1), outputs=int(classes.size))


def _are_labels(target: Array) -> bool:
    return _is_text(target) or bool(np.all(target == np.floor(target)))
