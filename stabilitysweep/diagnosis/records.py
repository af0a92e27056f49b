"""What a diagnosis is made of; nothing here imports TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from stabilitysweep.analysis import Explanation, Remedy
from stabilitysweep.types import TrialResult


class Quantity(StrEnum):
    """What a tensor is, in the order in which a step computes them."""

    INPUT = "input"
    ACTIVATION = "activation"
    LOSS = "loss"
    GRADIENT = "gradient"
    OPTIMIZER = "optimizer"
    UPDATE = "update"
    WEIGHT = "weight"
    PREDICTION = "prediction"


@dataclass(frozen=True, slots=True)
class TensorStats:
    """One tensor in one step.

    Attributes:
        quantity: what it is. An update is the weight after the step minus before it; a
            gradient is unscaled, penalties included.
        tensor: name of the layer (input, activation, prediction) or variable.
        dtype: what it is computed in.
        size: number of entries, at least 1.
        largest: largest magnitude of a finite entry; 0 if none is finite.
        mean: mean magnitude of the finite entries; 0 if none is finite.
        zeros: share of the entries that are zero, in [0, 1].
        nans: entries that are NaN.
        infs: entries that are infinite.
    """

    quantity: Quantity
    tensor: str
    dtype: str
    size: int
    largest: float
    mean: float
    zeros: float
    nans: int
    infs: int

    @property
    def finite(self) -> bool:
        """Whether every entry is."""
        return not (self.nans or self.infs)


@dataclass(frozen=True, slots=True)
class Moment:
    """One step, looked at.

    Attributes:
        step: counted from 1; 0 for the input. Predictions have the last step's number.
        loss: batch loss with penalties; None where a moment is no step of the training.
        loss_scale: used in the step; 1 without loss scaling.
        skipped: whether loss scaling skipped the update.
        tensors: in the order of computation.
    """

    step: int
    loss: float | None
    loss_scale: float
    skipped: bool
    tensors: tuple[TensorStats, ...]

    def first_bad(self) -> TensorStats | None:
        """Return the first tensor with an entry that is not finite."""
        return next((stats for stats in self.tensors if not stats.finite), None)


@dataclass(frozen=True, slots=True)
class Replay:
    """A trial trained once more.

    Attributes:
        result: what the replay measured.
        moments: the last steps up to the onset, or to the end without one; increasing.
        differences: in what it differs from the stored trial, one line each; empty where it
            reproduces it.
    """

    result: TrialResult
    moments: tuple[Moment, ...]
    differences: tuple[str, ...]

    @property
    def reproduced(self) -> bool:
        """Whether outcome, onset and first NaN are those stored."""
        return not self.differences


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Why a trial failed, with the evidence.

    Attributes:
        stored: the trial as it is stored.
        settings: its value on each axis, and its seed.
        fixed: the settings that all trials of the sweep share.
        explanation: the cause and a sentence.
        replay: the last steps, layer by layer.
        remedies: the nearest cells in which it does not happen, nearest first.
        picked: why it was picked, where no trial was asked for.
    """

    stored: TrialResult
    settings: Mapping[str, Any]
    fixed: Mapping[str, Any]
    explanation: Explanation
    replay: Replay
    remedies: tuple[Remedy, ...]
    picked: str | None = None
