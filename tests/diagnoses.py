"""A diagnosis made by hand, for what shows one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stabilitysweep.analysis import Explanation, Remedy
from stabilitysweep.diagnosis.records import Diagnosis, Moment, Quantity, Replay, TensorStats
from stabilitysweep.types import Cause, Kind, Onset, Outcome, Stage, TrialResult

STORED = TrialResult(
    "2b4126c6f896ed2b",
    Outcome.NONFINITE,
    "stacked",
    onset=Onset(3, Stage.ACTIVATION, "hidden_2", Kind.POSITIVE_INFINITY),
    nan_step=4,
    steps_run=4,
)


def stats(
    quantity: Quantity, tensor: str, largest: float, *, nans: int = 0, infs: int = 0, size: int = 8
) -> TensorStats:
    return TensorStats(
        quantity, tensor, "float32", size, largest, largest / 2, 0.25, nans=nans, infs=infs
    )


def moment(step: int, depth: int = 2, bad: int | None = None, skipped: bool = False) -> Moment:
    """A step of a network so deep, Inf in one layer and NaN in those behind."""
    tensors = [stats(Quantity.INPUT, "features", 2.5)]
    tensors += [
        stats(
            Quantity.ACTIVATION,
            f"hidden_{layer}",
            10.0 ** (step + layer % 5),
            infs=3 if layer == bad else 0,
            nans=8 if bad is not None and layer > bad else 0,
        )
        for layer in range(1, depth + 1)
    ]
    tensors.append(stats(Quantity.LOSS, "loss", 5, size=1, nans=1 if bad else 0))
    tensors += [
        stats(quantity, f"hidden_{layer}/kernel", 0.5 * step)
        for quantity in (Quantity.GRADIENT, Quantity.UPDATE, Quantity.WEIGHT)
        for layer in range(1, depth + 1)
    ]
    return Moment(step, 5.0 * step, 1.0, skipped=skipped, tensors=tuple(tensors))


def diagnosis(moments: Sequence[Moment] | None = None, **changes: Any) -> Diagnosis:
    """The diagnosis of `STORED`; `changes` as of a `Diagnosis`, or `differences` of its replay."""
    shown = [moment(1), moment(2, skipped=True), moment(3, bad=2)] if moments is None else moments
    found: dict[str, Any] = {
        "stored": STORED,
        "settings": {"depth": 2, "learning_rate": 0.3, "seed": 1},
        "fixed": {"loss": "mse"},
        "explanation": Explanation(Cause.LEARNING_RATE_TOO_HIGH, "The loss grew 9-fold a step."),
        "replay": Replay(STORED, tuple(shown), tuple(changes.pop("differences", ()))),
        "remedies": (Remedy({"learning_rate": (0.3, 0.1)}, seeds=3, steps_away=2),),
    }
    return Diagnosis(**(found | changes))
