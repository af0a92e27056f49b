"""A trial: one combination of axis values with one seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from stabilitysweep.blueprint import Blueprint
from stabilitysweep.config import (
    DatasetSettings,
    ModelSettings,
    PreprocessingSettings,
    TrainingSettings,
)


@dataclass(frozen=True, slots=True)
class Trial:
    """One combination of axis values with one seed, everything resolved.

    Settings objects are shared between the trials of a grid: they are frozen.

    Attributes:
        trial_id: 16 hexadecimal digits, see `trial_id`.
        axes: the value of each axis, in the grid's order, as resolved: a batch size is a
            number, a data set its label. Of merged combinations, those of the first.
        seed: of initial weights, batch order and dropout; at least 0.
        dataset: the data set.
        preprocessing: with a `target_scaling` that is not None; a `fill_value` or number of
            `neighbors` that has no effect is the default.
        model: the network. With a blueprint its `hp` are those that the build asked for,
            before and without one those that the config gives.
        training: with `steps` and without `epochs`; `batch_size` at most the number of
            training rows; `weight_decay` None only if there is none. What a compiled model
            decides on is as in the model.
        blueprint: what building the user's model has told; None for the built-in model, and
            before it is built.
    """

    trial_id: str
    axes: dict[str, Any]
    seed: int
    dataset: DatasetSettings
    preprocessing: PreprocessingSettings
    model: ModelSettings
    training: TrainingSettings
    blueprint: Blueprint | None = None

    @property
    def target_form(self) -> str:
        """The form of the target: that of the loss, be it the config's or the model's own."""
        if self.blueprint is not None and self.blueprint.compiled:
            return self.blueprint.target
        return self.training.loss
