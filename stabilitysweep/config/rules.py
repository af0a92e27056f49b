"""What must fit together across settings, in every combination of the grid.

Any of the settings may be an axis, so a rule looks at all the values each can have.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
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

NEEDS = {
    "decay_rate": ("schedule", "exponential"),
    "fill_value": ("imputation", "constant"),
    "neighbors": ("imputation", "knn"),
}
"""Settings that mean nothing but beside one value of another setting."""

UNUSED = {
    name: (PreprocessingSettings.model_fields | TrainingSettings.model_fields)[name].default
    for name in NEEDS
}
"""What such a setting is where it means nothing."""


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
    rules: tuple[Callable[[Values], Iterator[Conflict]], ...] = (
        _momentum_of_optimizer,
        _nesterov_of_optimizer,
        _nesterov_with_momentum,
        _warmup_within_steps,
        *(partial(_setting_without_effect, setting) for setting in NEEDS),
        _target_scaling_of_loss,
        _metric_of_loss,
    )
    for rule in rules:
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


def _setting_without_effect(setting: str, values: Values) -> Iterator[Conflict]:
    by, needed = NEEDS[setting]
    deciders = values(by)
    for value in values(setting):
        if deciders and needed not in deciders and value != UNUSED[setting]:
            got = f"{setting} {value:g}, which has no effect with {by} {deciders[0]!r}"
            yield Conflict(setting, f"{by} {needed!r} to go with it", got)


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
