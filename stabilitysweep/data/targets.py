"""From the target to what a loss takes: numbers, 0 and 1, class indices, or arrays as given.

Notation: N rows, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from stabilitysweep.blueprint import TargetFacts
from stabilitysweep.data.listing import some
from stabilitysweep.data.raw import Array, RawData, Targets, target_arrays
from stabilitysweep.errors import DataError

SCALED_LOSSES = ("mse", "mae", "huber")
"""Those that may be given a standardised target."""

COUNT_LOSS = "poisson"
REGRESSION_LOSSES = frozenset({*SCALED_LOSSES, COUNT_LOSS})
BINARY_LOSS = "binary_crossentropy"
SPARSE_LOSS = "sparse_categorical_crossentropy"
LOSSES = REGRESSION_LOSSES | {BINARY_LOSS, SPARSE_LOSS}

CATEGORICAL_FORM = "categorical_crossentropy"
NUMBERS_FORM = "numbers"
GIVEN_FORM = "given"
OWN_FORMS = frozenset({CATEGORICAL_FORM, NUMBERS_FORM, GIVEN_FORM})
"""Forms that the target takes beside those of the losses, for a model of the user's own."""

_SHOWN = 5

_MANY_CLASSES = 20
_ROWS_A_NUMBER, _ROWS_A_NAME = 5, 2
"""Rows a class below which a target is taken for no set of classes."""


@dataclass(frozen=True, slots=True, eq=False)
class EncodedTarget:
    """A target in the form its loss takes.

    Attributes:
        values: float64 [N, 1] for regression and `numbers`, the same with 0 and 1 for two
            classes, int32 [N] from 0 to C - 1 for `sparse_categorical_crossentropy`, float64
            [N, C] for `categorical_crossentropy`; float64 or int32 [N, ...] for `given`, of
            the one output or of each by name.
        outputs: units of the model's head: 1, or C; for `given` the values a row of all.
    """

    values: Targets
    outputs: int


def encode_target(raw: RawData, loss: str) -> EncodedTarget:
    """Encode the target of the whole data, before any split.

    Classes are numbered in sorted order over all rows, so that a class keeps its number
    whichever rows are trained on.

    Args:
        raw: the data as loaded.
        loss: one of `LOSSES`; or one of `OWN_FORMS`: `categorical_crossentropy` takes classes
            as one-hot rows, or a target [N, C] as it is, `numbers` a column, `given` the arrays
            that the source gives.

    Raises:
        DataError: the target does not fit the loss; the message says which loss would.
        ValueError: `loss` is none of these.
    """
    if loss not in LOSSES | OWN_FORMS:
        raise ValueError(f"expected a loss among {sorted(LOSSES | OWN_FORMS)}, got {loss!r}")
    if loss == GIVEN_FORM:
        return _given(raw)
    if loss == CATEGORICAL_FORM:
        return _one_hot(raw)
    if raw.targets:
        raise DataError(_no_column(raw, loss))
    if loss == COUNT_LOSS:
        return EncodedTarget(_counts(raw).reshape(-1, 1), outputs=1)
    if loss in REGRESSION_LOSSES or loss == NUMBERS_FORM:
        return EncodedTarget(_numbers(raw, loss).reshape(-1, 1), outputs=1)
    if loss == BINARY_LOSS:
        return EncodedTarget(_two_classes(raw), outputs=1)
    indices, classes = _classes(raw, SPARSE_LOSS)
    return EncodedTarget(indices, outputs=classes)


def target_facts(raw: RawData) -> TargetFacts:
    """Return what a model's output has to fit."""
    if raw.targets:
        shapes = ((name, values.shape[1:]) for name, values in raw.targets.items())
        return TargetFacts(shapes=tuple(shapes))
    classes = np.unique(raw.target).size if _are_labels(raw.target) else 0
    return TargetFacts(classes=int(classes), text=_is_text(raw.target))


def _given(raw: RawData) -> EncodedTarget:
    if not raw.targets:
        raise DataError(
            f"dataset '{raw.label}' ({raw.source}): expected a target with a shape of its own, got "
            "one value a row. Return y of shape [rows, ...], or a dict of arrays by the names of "
            "the model's outputs."
        )
    values = {name: _plain_dtype(array) for name, array in raw.targets.items()}
    outputs = sum(math.prod(array.shape[1:]) for array in values.values())
    return EncodedTarget(values[""] if list(values) == [""] else values, outputs)


def _plain_dtype(values: Array) -> Array:
    limits = np.iinfo(np.int32)
    fits = values.dtype.kind in "iu" and (
        not values.size or (values.min() >= limits.min and values.max() <= limits.max)
    )
    return values.astype(np.int32 if fits else np.float64)


def _one_hot(raw: RawData) -> EncodedTarget:
    if not raw.targets:
        indices, classes = _classes(raw, CATEGORICAL_FORM)
        return EncodedTarget(np.eye(classes)[indices], outputs=classes)
    values, *others = target_arrays(raw.targets)
    if others or values.ndim != 2:
        raise DataError(
            f"dataset '{raw.label}' ({raw.source}): {CATEGORICAL_FORM} takes classes: expected y "
            f"of shape [rows], or [rows, classes], got {_shapes_in_words(raw.targets)}. Return "
            "the classes, or one column a class."
        )
    return EncodedTarget(values.astype(np.float64), outputs=values.shape[1])


def _no_column(raw: RawData, loss: str) -> str:
    remedy = (
        "Or let the loss of your model take a target of such a shape."
        if loss == NUMBERS_FORM
        else "Only a model of your own (model.build) can take a target of such a shape."
    )
    return (
        f"dataset '{raw.label}' ({raw.source}): expected y of shape [rows], one value a row, for "
        f"{loss}, got {_shapes_in_words(raw.targets)}. Return one column; for classes, their "
        f"numbers and not one column a class. {remedy}"
    )


def _shapes_in_words(targets: Mapping[str, Array]) -> str:
    shapes = [f"{values.shape} of '{name}'" for name, values in targets.items()]
    if list(targets) == [""]:
        return f"the shape {targets[''].shape}"
    return f"a dict of the shapes {some(shapes, _SHOWN)}"


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


def _classes(raw: RawData, loss: str) -> tuple[Array, int]:
    """The number of each row's class, int32 [N], and how many classes there are."""
    if not _is_text(raw.target):
        values = _numbers(raw, loss)
        fractions = values[values != np.floor(values)]
        if fractions.size:
            raise DataError(
                f"dataset '{raw.label}': {loss} needs classes (whole numbers or text), "
                f"got {fractions[0]}. For a continuous target use mse, mae or huber."
            )
    classes, indices = np.unique(raw.target, return_inverse=True)
    rows = raw.target.size
    if classes.size < 2:
        raise DataError(
            f"dataset '{raw.label}': {loss} needs at least two classes, got only "
            f"{some(classes, _SHOWN)}: there is nothing to learn."
        )
    # Numbers with few repetitions each are a measurement; names may be rarer.
    numeric = raw.target.dtype.kind in "iuf" and classes.size > _MANY_CLASSES
    if (_ROWS_A_NUMBER if numeric else _ROWS_A_NAME) * classes.size > rows:
        raise DataError(
            f"dataset '{raw.label}': {loss} got {classes.size} classes in {rows} rows "
            f"({some(classes, _SHOWN)}): expected more rows a class on average. Is this the "
            "right target? For a quantity use mse, mae or huber."
        )
    return indices.astype(np.int32).reshape(-1), int(classes.size)


def _are_labels(target: Array) -> bool:
    return _is_text(target) or bool(np.all(target == np.floor(target)))
