"""What is wrong with the target, beside the losses of the sweep."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from stabilitysweep.data.audit.choices import (
    FLOAT32_LARGEST,
    LARGEST,
    LARGEST_ROOT,
    Choices,
    graded,
    number,
    part,
)
from stabilitysweep.data.audit.number_findings import WARNED_Z, marks_finding
from stabilitysweep.data.audit.numbers import NumberColumn, measure
from stabilitysweep.data.audit.ranges import best_scaling
from stabilitysweep.data.audit.spread import Floats
from stabilitysweep.data.finding import Finding, Severity
from stabilitysweep.data.listing import some
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
_LARGEST_SQUARED = 1e154  # beyond, a square is beyond float64
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
    if raw.targets and choices.own_model:
        return  # its outputs decide what fits
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
    return Finding(Severity.CRITICAL, "invalid_target", name, _count_bad(raw, loss), text, remedy)


def _count_bad(raw: RawData, loss: str) -> int:
    """Values that the loss cannot take; where none can be named, all of them."""
    target = raw.target
    if raw.targets or target.dtype.kind not in "biuf":
        return len(target)
    values = target.astype(np.float64)
    bad = ~np.isfinite(values)
    if loss == COUNT_LOSS:
        bad |= values < 0
    if loss == SPARSE_LOSS:
        bad |= values != np.floor(values)
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
    suspicion = "targets: marks of rows without one"
    yield from marks_finding(column, choices.drop_marked, suspicion)
    yield from _large(column, values, losses, choices)
    if column.outliers and not column.is_constant:
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


def _large(
    column: NumberColumn, values: Floats, losses: list[str], choices: Choices
) -> Iterator[Finding]:
    """Targets beyond the precision they are stored in, or whose squared errors are large."""
    scalings = set() if set(losses) <= {COUNT_LOSS} else set(choices.target_scalings)
    if COUNT_LOSS in losses:
        scalings.add("none")  # it means something as it is
    spread = column.spread
    largest = {scaling: spread.largest_after(scaling) for scaling in sorted(scalings)}
    narrowest = min(choices.precisions, key=target_limit)
    limit = target_limit(narrowest)
    broken = [scaling for scaling in largest if largest[scaling] > limit]
    if broken:
        scaled = spread.scaled(values, broken[0])
        count = int(np.count_nonzero(~(np.abs(scaled) <= limit)))
        harm = "Inf" if np.isfinite(largest[broken[0]]) else "NaN or Inf"
        best = best_scaling([spread], limit) if set(losses) <= set(SCALED_LOSSES) else None
        yield Finding(
            Severity.CRITICAL,
            "large_target",
            column.name,
            count,
            f"up to {number(column.largest)} in magnitude: with target_scaling {broken[0]}, "
            f"{part(count, column.rows, 'targets')} {harm} in {narrowest}",
            choices.use("target_scaling", best, broken) if best else "",
        )
        return
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
            f"near {_squared(column.largest)}, {beyond}",
            choices.use("target_scaling", "standard", {"none"}),
        )


def target_limit(precision: str) -> float:
    """Largest finite target: mixed policies keep it, as they do weights, in float32."""
    return FLOAT32_LARGEST if precision.startswith("mixed_") else LARGEST[precision]


def _squared(value: float) -> str:
    return number(value**2) if value < _LARGEST_SQUARED else "Inf"


def _classification(
    raw: RawData, split: Split, name: str, losses: list[str], choices: Choices
) -> Iterator[Finding]:
    classes, codes = np.unique(raw.target, return_inverse=True)
    codes = codes.reshape(-1)
    training = np.bincount(codes[split.train], minlength=len(classes))
    validation = np.bincount(codes[split.validation], minlength=len(classes))
    yield from _labels(classes, name, len(raw.target), losses)
    counts = training + validation
    room = min(len(split.train), len(split.validation))
    can_draw = raw.own_training_rows is None and counts.min() > 1 and len(classes) <= room
    unseen = np.flatnonzero((training == 0) & (validation > 0))
    if len(unseen):
        rows = int(validation[unseen].sum())
        yield Finding(
            Severity.WARNING,
            "unseen_class",
            name,
            rows,
            f"{part(rows, len(split.validation), 'validation rows', 'have')} a class that no "
            f"training row has: {some(list(classes[unseen]), _SHOWN)}",
            choices.stratify() if can_draw else "",
        )
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
            "",  # no setting weighs classes; the same shares on both sides mend nothing
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
        f"labels {some(list(classes), _SHOWN)} where {loss} expects 0 to {len(classes) - 1}: "
        f"renumbered here; in code of your own they give {harm}",
        "in code of your own: y = np.unique(y, return_inverse=True)[1]",
    )
