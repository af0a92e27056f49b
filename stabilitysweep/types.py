"""Frozen records and enums that every part of the package speaks in.

Nothing here imports another module of the package, nor TensorFlow.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray


class Outcome(StrEnum):
    """What became of a trial, judged by its losses and probes."""

    STABLE = "stable"
    STALLED = "stalled"
    DIVERGED = "diverged"
    NONFINITE = "nonfinite"
    CRASHED = "crashed"


class Stage(StrEnum):
    """Where a probe sits, in the order in which a step computes them."""

    INPUT = "input"
    ACTIVATION = "activation"
    LOSS = "loss"
    GRADIENT = "gradient"
    OPTIMIZER = "optimizer"
    WEIGHT = "weight"
    PREDICTION = "prediction"


class Kind(StrEnum):
    """Which non-finite value a probe met first."""

    NAN = "nan"
    POSITIVE_INFINITY = "+inf"
    NEGATIVE_INFINITY = "-inf"


class Cause(StrEnum):
    """Why a trial failed; `docs/causes.md` has the rules."""

    INPUT_NOT_FINITE = "input_not_finite"
    LEARNING_RATE_TOO_HIGH = "learning_rate_too_high"
    FLOAT16_OVERFLOW = "float16_overflow"
    FLOAT16_UNDERFLOW = "float16_underflow"
    LOSS_FUNCTION_SINGULAR = "loss_function_singular"
    ACTIVATION_UNBOUNDED = "activation_unbounded"
    LOSS_SCALE_EXHAUSTED = "loss_scale_exhausted"
    PREDICTION_ONLY = "prediction_only"
    UNKNOWN = "unknown"


class Compiled(StrEnum):
    """How the training graph was executed."""

    GRAPH = "graph"
    XLA = "xla"


@dataclass(frozen=True, slots=True)
class Onset:
    """The first non-finite value of a trial.

    Attributes:
        step: optimizer step, counted from 1; 0 for the input, `steps_run` for the prediction.
        stage: the probe that met it.
        tensor: the layer (activation) or variable (gradient, optimizer, weight) it is in.
        kind: NaN, +Inf or -Inf; NaN where a tensor holds several kinds.
    """

    step: int
    stage: Stage
    tensor: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Trace:
    """A trial's curves, thinned to K log-spaced steps.

    Attributes:
        steps: int32 [K], counted from 1, increasing.
        loss: float32 [K], the batch loss with penalties at each of those steps.
        grad_norm: float32 [K], global L2 norm of the unscaled gradient.
        weight_norm: float32 [K], global L2 norm of the trainable weights after the step.
        max_activation: float32 [K], the largest absolute output of any layer.
        loss_scale: float32 [K], the loss scale used at the step; 1 without loss scaling.
    """

    steps: NDArray[np.int32]
    loss: NDArray[np.float32]
    grad_norm: NDArray[np.float32]
    weight_norm: NDArray[np.float32]
    max_activation: NDArray[np.float32]
    loss_scale: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the two engines agree on a user's model.

    Attributes:
        program: what was compared, see `models.programs.verdict_key`.
        agrees: whether its trials may be trained in a stack.
        text: why not, and the layer where the engines part; or what was compared.
    """

    program: str
    agrees: bool
    text: str


@dataclass(frozen=True, slots=True)
class TrialResult:
    """One row of the trials table, without its axis values, and its trace.

    Losses are those with penalties over the whole training split, before step 1 and
    after the last; `best_loss` is the lowest batch loss. Values may be NaN or infinite.
    `headroom_bits` is the base-2 logarithm of the largest finite number over the largest
    magnitude met; `zero_gradients` in [0, 1] the share of gradient entries that were zero;
    `critical_learning_rate` where theory gives one (see `engines.curvature`).
    A crashed trial has a `message`, and None where nothing was measured.
    """

    trial_id: str
    outcome: Outcome
    engine: str
    compiled: Compiled | None = None
    onset: Onset | None = None
    nan_step: int | None = None
    cause: str | None = None
    initial_loss: float | None = None
    final_loss: float | None = None
    best_loss: float | None = None
    val_loss: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    skipped_steps: int | None = None
    final_loss_scale: float | None = None
    max_abs_activation: float | None = None
    max_grad_norm: float | None = None
    max_weight_norm: float | None = None
    headroom_bits: float | None = None
    zero_gradients: float | None = None
    critical_learning_rate: float | None = None
    steps_run: int = 0
    trace: Trace | None = None
    message: str | None = None
