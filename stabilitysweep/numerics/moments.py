"""One step of one trial as it is shown: every tensor in a few numbers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


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
        """Return the first tensor with an entry that is not finite.

        Updates do not count: they are no stage of a step, and what they make of a weight
        is seen in the weight.
        """
        probed = (stats for stats in self.tensors if stats.quantity is not Quantity.UPDATE)
        return next((stats for stats in probed if not stats.finite), None)
