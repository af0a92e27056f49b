"""What must fit together across settings, in every combination of the grid.

Any of the settings may be an axis, so a rule looks at all the values each can have.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from stabilitysweep.config.names import (
    CLASSIFICATION_LOSSES,
    CLASSIFICATION_METRICS,
    MOMENTUM_OPTIMIZERS,
    UNSCALED_LOSSES,
)
from stabilitysweep.config.settings import PreprocessingSettings, TrainingSettings

Values = Callable[[str], tuple[Any, ...]]
"""Gives all the values a setting has in the grid: one, or those of its axis."""

_UNUSED_DECAY_RATE = TrainingSettings.model_fields["decay_rate"].default


@dataclass(frozen=True, slots=True)
class Conflict:
    """A combination that is refused, since one of its settings would be ignored or wrong.

    Attributes:
        setting: the one to blame.
        expected: completes "expected ...".
        got: completes "got ...": the combination.
    """

    setting: str
    expected: str
    got: str


def find_conflicts(values: Values) -> Iterator[Conflict]:
    """Find what does not fit together.

    Args:
        values: gives the values of a setting, by name; none for one whose values are not
            known, which is then in no conflict.

    Yields:
        For each rule that is broken, its first broken combination.
    """
    for rule in (
        _momentum_of_optimizer,
        _nesterov_of_optimizer,
        _nesterov_with_momentum,
        _warmup_within_steps,
        _decay_rate_of_schedule,
        _fill_value_of_imputation,
        _neighbors_of_imputation,
        _target_scaling_of_loss,
        _metric_of_loss,
    ):
        yield from itertools.islice(rule(values), 1)


def _momentum_of_optimizer(values: Values) -> Iterator[Conflict]:
    for optimizer, momentum in itertools.product(values("optimizer"), values("momentum")):
        if momentum != 0 and optimizer not in MOMENTUM_OPTIMIZERS:
            yield Conflict(
                "momentum",
                f"0, since optimizer {optimizer!r} has no momentum (sgd and rmsprop have)",
                f"momentum {momentum:g} with optimizer {optimizer!r}",
            )


def _nesterov_of_optimizer(values: Values) -> Iterator[Conflict]:
    for optimizer, nesterov in itertools.product(values("optimizer"), values("nesterov")):
        if nesterov and optimizer != "sgd":
            yield Conflict(
                "nesterov",
                "false, since only optimizer 'sgd' has Nesterov momentum",
                f"nesterov true with optimizer {optimizer!r}",
            )


def _nesterov_with_momentum(values: Values) -> Iterator[Conflict]:
    momenta = values("momentum")
    if momenta and not any(momenta) and any(values("nesterov")):
        yield Conflict(
            "nesterov",
            "a momentum above 0 to go with it, or false",
            "nesterov true, which has no effect with momentum 0",
        )


def _warmup_within_steps(values: Values) -> Iterator[Conflict]:
    for steps, warmup in itertools.product(values("steps"), values("warmup_steps")):
        if steps is not None and warmup >= steps:
            yield Conflict("warmup_steps", f"fewer than the {steps} steps of training", f"{warmup}")


def _decay_rate_of_schedule(values: Values) -> Iterator[Conflict]:
    schedules = values("schedule")
    for rate in values("decay_rate"):
        if schedules and "exponential" not in schedules and rate != _UNUSED_DECAY_RATE:
            yield Conflict(
                "decay_rate",
                "schedule 'exponential' to go with it",
                f"decay_rate {rate:g}, which has no effect with schedule {schedules[0]!r}",
            )


def _fill_value_of_imputation(values: Values) -> Iterator[Conflict]:
    yield from _of_imputation(values, "fill_value", "constant")


def _neighbors_of_imputation(values: Values) -> Iterator[Conflict]:
    yield from _of_imputation(values, "neighbors", "knn")


def _of_imputation(values: Values, setting: str, imputation: str) -> Iterator[Conflict]:
    imputations = values("imputation")
    unused = PreprocessingSettings.model_fields[setting].default
    for value in values(setting):
        if imputations and imputation not in imputations and value != unused:
            yield Conflict(
                setting,
                f"imputation {imputation!r} to go with it",
                f"{setting} {value:g}, which has no effect with imputation {imputations[0]!r}",
            )


def _target_scaling_of_loss(values: Values) -> Iterator[Conflict]:
    for loss, scaling in itertools.product(values("loss"), values("target_scaling")):
        if scaling not in (None, "none") and loss in UNSCALED_LOSSES:
            kind = "classes" if loss in CLASSIFICATION_LOSSES else "counts, never below 0"
            yield Conflict(
                "target_scaling",
                f"none, since the targets of loss {loss!r} are {kind}",
                f"target_scaling {scaling!r} with loss {loss!r}",
            )


def _metric_of_loss(values: Values) -> Iterator[Conflict]:
    for loss, metrics in itertools.product(values("loss"), values("metrics")):
        for metric in metrics:
            if (metric in CLASSIFICATION_METRICS) != (loss in CLASSIFICATION_LOSSES):
                kind = "classification" if loss in CLASSIFICATION_LOSSES else "regression"
                yield Conflict(
                    "metrics",
                    f"metrics of {kind}, since loss is {loss!r}",
                    f"metric {metric!r} with loss {loss!r}",
                )
