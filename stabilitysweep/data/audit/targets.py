"""What is wrong with the target, beside the losses of the sweep."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from stabilitysweep.data.audit.choices import (
    LARGEST_ROOT,
    Choices,
    graded,
    number,
    part,
)
from stabilitysweep.data.audit.number_findings import WARNED_Z
from stabilitysweep.data.audit.numbers import Floats, NumberColumn, measure
from stabilitysweep.data.finding import Finding, Severity
from stabilitysweep.data.raw import Array, RawData
from stabilitysweep.data.split import Split
from stabilitysweep.data.targets import (
    BINARY_LOSS,
    COUNT_LOSS,
    REGRESSION_LOSSES,
    SCALED_LOSSES,
    SPARSE_LOSS,
    encode_target,
)
from stabilitysweep.errors import DataError

LARGE_TARGET = 1e3
"""Magnitude of an unscaled target from which the first squared errors reach a million."""

IMBALANCE = 5.0
"""Rows of the most frequent class for one of the rarest, from which classes are imbalanced."""

STRONG_IMBALANCE = 20.0
"""The same for a warning: a model that only ever names the first is right 95 % of the time."""

_SHOWN = 3
_ROBUST_LOSSES = {"mae", "huber"}


def target_findings(raw: RawData, split: Split, choices: Choices) -> Iterator[Finding]:
    """Judge the target for every loss of the sweep."""
    name = raw.target_name or "target"
    if raw.without_target:
        total = raw.without_target + len(raw.target)
        yield Finding(
            Severity.NOTE,
            "missing_target",
            name,
            raw.without_target,
            f"{part(raw.without_target, total, 'rows')} without a target, and left out",
            "",
        )
    refused: set[str] = set()
    for loss in dict.fromkeys(choices.losses):
        try:
            encode_target(raw, loss)
        except DataError as error:
            refused.add(loss)
            yield _misfit(raw, name, loss, str(error))
    usable = [loss for loss in choices.losses if loss not in refused]
    if any(loss in REGRESSION_LOSSES for loss in usable):
        values = raw.target.astype(np.float64)
        yield from _regression(measure(name, values, split.train), values, usable, choices)
    if BINARY_LOSS in usable or SPARSE_LOSS in usable:
        yield from _classification(raw, split, name, usable, choices)


def _misfit(raw: RawData, name: str, loss: str, message: str) -> Finding:
    for beginning in (f"dataset '{raw.label}'", f" ({raw.source})", ": "):
        message = message.removeprefix(beginning)
    text, _, remedy = message.partition(". ")
    return Finding(
        Severity.CRITICAL, "invalid_target", name, _count_bad(raw.target, loss), text, remedy
    )


def _count_bad(target: Array, loss: str) -> int:
    """Values that the loss cannot take; where none can be named, all of them."""
    if target.dtype.kind not in "biuf":
        return len(target)
    values = target.astype(np.float64)
    bad = ~np.isfinite(values)
    if loss == COUNT_LOSS:
        bad |= values < 0
    return int(np.count_nonzero(bad)) or len(target)


def _regression(
    column: NumberColumn, values: Floats, losses: list[str], choices: Choices
) -> Iterator[Finding]:
    if column.is_constant:
        yield Finding(
            Severity.WARNING,
            "constant_target",
            column.name,
            column.known_training,
            f"the same value, {number(column.train_low)}, in every training row: there is "
            "nothing to learn",
            "dataset: {target: another column}",
        )
        return
    scaled_loss = any(loss in SCALED_LOSSES for loss in losses)
    if scaled_loss and "log1p" in choices.target_scalings and column.not_above_minus_one:
        yield Finding(
            Severity.CRITICAL,
            "target_log1p_domain",
            column.name,
            column.not_above_minus_one,
            f"{part(column.not_above_minus_one, column.rows, 'targets')} -1 or less, down to "
            f"{number(column.low)}: target_scaling log1p cannot take them",
            choices.use("target_scaling", "standard", {"log1p"}),
        )
    limit = LARGEST_ROOT if choices.float16 else LARGE_TARGET
    if "mse" in losses and "none" in choices.target_scalings and column.largest > limit:
        beyond = (
            f"beyond float16's 65,504, as are gradients with {choices.float16[0]}"
            if choices.float16
            else "and so are gradients"
        )
        yield Finding(
            Severity.WARNING,
            "large_target",
            column.name,
            int(np.count_nonzero(np.abs(values) > limit)),
            f"up to {number(column.largest)} in magnitude, unscaled: first squared errors are "
            f"near {number(column.largest**2)}, {beyond}",
            choices.use("target_scaling", "standard", {"none"}),
        )
    if column.outliers:
        bounded = set(losses) <= _ROBUST_LOSSES
        yield Finding(
            graded(warning=column.farthest_z >= WARNED_Z and not bounded),
            "target_outliers",
            column.name,
            column.outliers,
            f"{part(column.outliers, column.rows, 'targets', 'lie')} far out, the farthest "
            f"{number(column.farthest)}: a robust z-score of {number(column.farthest_z)}",
            "" if bounded else choices.use("loss", "huber"),
        )


def _classification(
    raw: RawData, split: Split, name: str, losses: list[str], choices: Choices
) -> Iterator[Finding]:
    classes, codes = np.unique(raw.target, return_inverse=True)
    codes = codes.reshape(-1)
    training = np.bincount(codes[split.train], minlength=len(classes))
    validation = np.bincount(codes[split.validation], minlength=len(classes))
    yield from _labels(classes, name, len(raw.target), losses)
    unseen = np.flatnonzero((training == 0) & (validation > 0))
    if len(unseen):
        rows = int(validation[unseen].sum())
        yield Finding(
            Severity.WARNING,
            "unseen_class",
            name,
            rows,
            f"{part(rows, len(split.validation), 'validation rows', 'have')} a class that no "
            f"training row has: {_some(classes[unseen])}",
            choices.stratify() if raw.own_training_rows is None else "",
        )
    counts = training + validation
    most, least = int(counts.argmax()), int(counts.argmin())
    ratio = counts[most] / counts[least]
    if ratio >= IMBALANCE:
        yield Finding(
            graded(warning=bool(ratio >= STRONG_IMBALANCE)),
            "class_imbalance",
            name,
            int(counts[least]),
            f"class {classes[least]!s} has {counts[least]:,} rows, class {classes[most]!s} has "
            f"{counts[most]:,}: {number(float(ratio))} to 1",
            choices.stratify() if raw.own_training_rows is None else "",
        )


def _labels(classes: Array, name: str, rows: int, losses: list[str]) -> Iterator[Finding]:
    """Labels that are numbered anew here, and would not be in code of the user's own."""
    expected: Floats = np.arange(len(classes), dtype=np.float64)
    if classes.dtype.kind not in "biuf" or np.array_equal(classes.astype(np.float64), expected):
        return
    loss = SPARSE_LOSS if SPARSE_LOSS in losses else BINARY_LOSS
    harm = "NaN or an error" if loss == SPARSE_LOSS else "a loss below 0 or without a bound"
    yield Finding(
        Severity.NOTE,
        "renumbered_labels",
        name,
        rows,
        f"labels {_some(classes)} where {loss} expects 0 to {len(classes) - 1}: renumbered here; "
        f"in code of your own they give {harm}",
        "in code of your own: y = np.unique(y, return_inverse=True)[1]",
    )


def _some(classes: Array) -> str:
    shown = ", ".join(str(value) for value in classes[:_SHOWN])
    more = len(classes) - _SHOWN
    return f"{shown} and {more:,} more" if more > 0 else shown
