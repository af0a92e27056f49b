"""What an engine is, and what it is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from stabilitysweep.data import PreparedData
from stabilitysweep.data.sources.user_functions import one_line
from stabilitysweep.grid import Trial
from stabilitysweep.models.programs import Program
from stabilitysweep.numerics.moments import Moment
from stabilitysweep.types import Kind, Onset, Stage, TrialResult


@dataclass(frozen=True, slots=True)
class Stack:
    """Trials that are trained together in one call of a program.

    Attributes:
        program: the graph they share.
        trials: at least one; they agree in batch size, steps, data and preprocessing.
        places: size of the stack. Under XLA a trial's last bits depend on it, so missing
            places are filled with copies of the first trial; the plain graph fills up
            to whole vectors.
        alone: why these trials are trained one by one, by the fit engine; empty if they are
            not. Of users' models only.
        verify: whether the program's sharing is still to be verified, see `engines.verified`.
    """

    program: Program
    trials: tuple[Trial, ...]
    places: int
    alone: str = ""
    verify: bool = False

    @property
    def batch_size(self) -> int:
        """Rows a step."""
        return int(self.trials[0].training.batch_size)

    @property
    def steps(self) -> int:
        """Optimizer steps."""
        steps = self.trials[0].training.steps
        if steps is None:
            raise ValueError("expected trials whose epochs are resolved to steps")
        return steps


def crash_message(trial: Trial, reason: str) -> str:
    """Say why a trial could not be run; of a user's model with its function and values."""
    blueprint = trial.blueprint
    if blueprint is None:
        return reason
    values = ", ".join(f"{name} {value}" for name, value in blueprint.values)
    return (
        f"model.build '{blueprint.build}'{f' with {values}' if values else ''}: {one_line(reason)}"
    )


class Engine(Protocol):
    """Trains stacks. One engine lives in one process and may keep what it compiled."""

    name: str

    def run(self, stack: Stack, data: PreparedData) -> list[TrialResult]:
        """Train every trial of the stack.

        Returns:
            A result for each trial, in their order: a function of the trial alone, to
            the bit, whatever else is in the stack.

        Raises:
            Exception: what building or running the graph raised; the caller decides
                which trials that makes `crashed`.
        """

    def inspect(
        self, stack: Stack, data: PreparedData, first: int, last: int, *, predictions: bool
    ) -> list[Moment]:
        """Train the first trial of the stack again, and look at some of its steps.

        What is looked at are the steps of `run`, to the bit.

        Args:
            stack: its input is finite.
            data: what it is trained on.
            first: the first step to look at, at least 1.
            last: the last one; fewer are looked at where training ends before.
            predictions: whether to look at the predictions on the validation rows as well,
                where there are any; `last` is to be the end of the training then.
        """


VECTOR_LANES = 16
"""Float32 numbers in the widest vector registers there are: stacks are filled up to these."""

LEAST_PLACES = 2
"""Places that a stack of a user's model has at least. Keras adds a bias after `tf.squeeze`
without an axis, whose vectorised form takes away a trial axis of length 1 as well."""

_ROUNDS_TO_INF = {
    "float16": 65_520.0,
    "bfloat16": float.fromhex("0x1.ffp127"),
    "float32": float.fromhex("0x1.ffffffp127"),
    "float64": np.inf,
}
"""The smallest number that each dtype rounds to Inf: half a spacing above its largest."""


def input_dtype(precision: str) -> str:
    """Return the dtype in which the first layer sees its inputs."""
    return {"mixed_float16": "float16", "mixed_bfloat16": "bfloat16"}.get(precision, precision)


def cast(x: NDArray[Any], y: Any, floatx: str) -> tuple[NDArray[Any], Any]:
    """Return inputs and targets with their floats in Keras' floatx."""

    def own(values: NDArray[Any]) -> NDArray[Any]:
        return values.astype(floatx) if values.dtype.kind == "f" else values

    with np.errstate(over="ignore"):  # beyond float32 a value is Inf, and reported as such
        targets = {name: own(v) for name, v in y.items()} if isinstance(y, Mapping) else own(y)
        return x.astype(floatx), targets


def first_precision(program: Program) -> str:
    """Return the policy of the layer that sees the inputs: the head's in a linear model.

    A user's model is given floatx, and casts by itself where it wants to.
    """
    if program.user is not None:
        return "float64" if program.precision == "float64" else "float32"
    mixed_head = program.model.depth == 0 and program.precision.startswith("mixed_")
    return "float32" if mixed_head else program.precision


def input_onset(data: PreparedData, precision: str) -> Onset | None:
    """Return the onset of a trial whose training inputs are not finite as the model sees them.

    Inputs that are finite in float64 can be infinite once cast to float16.
    """
    limit = _ROUNDS_TO_INF[input_dtype(precision)]
    bad: NDArray[np.bool_] = ~(np.abs(data.x_train) < limit)
    columns = np.flatnonzero(bad.any(axis=0))
    if not columns.size:
        return None
    column = int(columns[0])
    values = data.x_train[bad[:, column], column]
    if np.isnan(values).any() or (values.min() < 0 < values.max()):
        kind = Kind.NAN
    else:
        kind = Kind.POSITIVE_INFINITY if values[0] > 0 else Kind.NEGATIVE_INFINITY
    return Onset(0, Stage.INPUT, data.feature_names[column], kind)
