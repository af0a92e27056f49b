"""What a sweep does with its data, as far as it decides how bad a finding is; and remedies."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from stabilitysweep.config import (
    AXIS_SETTINGS,
    DatasetSettings,
    SweepConfig,
    default_target_scaling,
)
from stabilitysweep.config.fields import LARGEST_NUMBER
from stabilitysweep.data.finding import Severity, setting
from stabilitysweep.data.targets import SCALED_LOSSES

FLOAT16_LARGEST = 65_504.0
FLOAT32_LARGEST = LARGEST_NUMBER
LARGEST_ROOT = 255.9
"""Above it a square is beyond float16: 255.9^2 = 65,485, 256^2 = 65,536."""

ROUNDOFF = {
    "float16": 2.0**-11,
    "mixed_float16": 2.0**-11,
    "mixed_bfloat16": 2.0**-8,
    "float32": 2.0**-24,
    "float64": 2.0**-53,
}
"""Unit roundoff of what a policy computes in: a number is stored within this share of it."""

LARGEST = {
    "float16": FLOAT16_LARGEST,
    "mixed_float16": FLOAT16_LARGEST,
    "mixed_bfloat16": FLOAT32_LARGEST,  # a little less, by its last bits
    "float32": FLOAT32_LARGEST,
    "float64": sys.float_info.max,
}
"""Largest finite number of what a policy computes in."""


@dataclass(frozen=True, slots=True)
class Choices:
    """All values that settings have in the sweep; axes are crossed, so any may meet any.

    Attributes:
        dataset: the data set at hand.
        axes: the values of each axis.
        imputations: of `imputation`; so are the others of the setting they are named after.
        fill_values: what imputation `constant` fills numbers with; empty without it.
        indicated: whether some trial has indicators of missing values.
        scalings: how inputs are scaled.
        encodings: how categories become numbers.
        unknown_categories: what becomes of categories that training never saw.
        target_scalings: of losses that take a scaled target, `null` resolved; may be empty.
        precisions: dtype policies.
        batch_sizes: rows a step; `full` left out.
        losses: the losses; none where a model of the user's may bring its own.
        own_model: whether the model is built by a function of the user's.
        batch_norm: whether some trial normalises batches.
    """

    dataset: DatasetSettings
    axes: Mapping[str, tuple[Any, ...]]
    imputations: tuple[str, ...]
    fill_values: tuple[float, ...]
    indicated: bool
    scalings: tuple[str, ...]
    encodings: tuple[str, ...]
    unknown_categories: tuple[str, ...]
    target_scalings: tuple[str, ...]
    precisions: tuple[str, ...]
    batch_sizes: tuple[int, ...]
    losses: tuple[str, ...]
    own_model: bool
    batch_norm: bool

    @classmethod
    def of(cls, config: SweepConfig, dataset: DatasetSettings) -> Choices:
        """Collect them from a config, for one of its data sets."""
        own_model = config.model.build is not None
        losses = () if own_model and "loss" not in config.given else config.values("loss")
        scaled = {
            given or default_target_scaling(loss)
            for given in config.values("target_scaling")
            for loss in losses
            if loss in SCALED_LOSSES
        }
        constant = "constant" in config.values("imputation")
        return cls(
            dataset=dataset,
            axes=config.grid,
            imputations=config.values("imputation"),
            fill_values=config.values("fill_value") if constant else (),
            indicated=any(config.values("missing_indicator")),
            scalings=config.values("scaling"),
            encodings=config.values("encoding"),
            unknown_categories=config.values("unknown_categories"),
            target_scalings=tuple(sorted(scaled)),
            precisions=config.values("precision"),
            batch_sizes=tuple(size for size in config.values("batch_size") if size != "full"),
            losses=losses,
            own_model=own_model,
            batch_norm=any(config.values("batch_norm")),
        )

    @property
    def imputed(self) -> bool:
        """Whether every trial fills what is missing."""
        return "none" not in self.imputations

    @property
    def _chosen(self) -> dict[str, tuple[str, ...]]:
        return {
            "imputation": self.imputations,
            "scaling": self.scalings,
            "encoding": self.encodings,
            "unknown_categories": self.unknown_categories,
            "target_scaling": self.target_scalings,
        }

    @property
    def float16(self) -> tuple[str, ...]:
        """The policies of the sweep that compute in float16."""
        return tuple(name for name in self.precisions if LARGEST[name] == FLOAT16_LARGEST)

    def use(self, name: str, value: Any, avoided: Iterable[Any] = ()) -> str:
        """How to give a setting a value; an axis loses what is to be avoided, or gains it.

        Args:
            name: of the setting.
            value: a good one.
            avoided: values that break trials.

        Returns:
            A line of YAML; empty if every trial has that value already.
        """
        if name not in self.axes:
            has_it = self._chosen.get(name) == (value,)
            return "" if has_it else setting(AXIS_SETTINGS[name].section, **{name: value})
        avoided = set(avoided)
        kept = [other for other in self.axes[name] if other not in avoided]
        if value not in kept and (not kept or len(kept) == len(self.axes[name])):
            kept.append(value)
        return setting("grid", **{name: kept})

    def impute(self, strategy: str = "median") -> str:
        """How to have missing values filled."""
        return self.use("imputation", strategy, {"none"})

    def exclude(self, name: str) -> str:
        """How to leave a column out; what is left out already stays so."""
        if self.dataset.features is not None:
            kept = [other for other in self.dataset.features if other != name]
            return setting("dataset", features=kept) if kept else ""
        others: dict[str, Any] = {}
        if name in self.dataset.categorical:  # a config refuses it under both
            others["categorical"] = [one for one in self.dataset.categorical if one != name]
        return setting("dataset", exclude=[*self.dataset.exclude, name], **others)

    def mark_missing(
        self, marks: Iterable[str | float], strategy: str = "median", **others: Any
    ) -> str:
        """How to have marks read as missing values, and these filled.

        Args:
            marks: texts or numbers.
            strategy: how to fill them.
            others: settings of the data set that go with it.
        """
        known = [*self.dataset.missing_values, *marks]
        line = setting("dataset", **others, missing_values=known)
        return line if self.imputed else f"{line}\n{self.impute(strategy)}"

    def drop_marked(self, marks: Iterable[str | float]) -> str:
        """How to have rows left out whose target is a mark of a missing one."""
        known = [*self.dataset.missing_values, *marks]
        return setting("dataset", missing_values=known, missing_target="drop")

    def stratify(self) -> str:
        """How to have each class on both sides, where the rows of these are drawn."""
        return "" if self.dataset.stratify else setting("dataset", stratify=True)


def graded(*, critical: bool = False, warning: bool = False) -> Severity:
    """The severity of which the condition holds, the worst first."""
    if critical:
        return Severity.CRITICAL
    return Severity.WARNING if warning else Severity.NOTE


def number(value: float) -> str:
    """A number of the data in four digits: 1,200,000 is `1.2e6`, whole ones below as they are."""
    if abs(value) < 1e6 and value == int(value):
        return f"{int(value):,}"
    mantissa, _, exponent = f"{value:,.4g}".partition("e")
    return f"{mantissa}e{int(exponent)}" if exponent else mantissa


def part(count: int, total: int, noun: str, verb: str = "are") -> str:
    """A part of a whole as a subject: `12 of 442 values are`, `1 of 442 values is`."""
    singular = {"are": "is", "have": "has", "lie": "lies"}
    return f"{count:,} of {total:,} {noun} {singular[verb] if count == 1 else verb}"
