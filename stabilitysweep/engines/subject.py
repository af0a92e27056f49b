"""What a program trains: the built-in model, or a user's, each as a function of its variables.

Notation: B rows a batch, D input columns, K lifted numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from stabilitysweep.blueprint import Blueprint
from stabilitysweep.engines import penalties
from stabilitysweep.engines.lean_loss import lean_loss
from stabilitysweep.engines.loss_scaling import GROWTH_STEPS, INITIAL_SCALE
from stabilitysweep.errors import TrialError
from stabilitysweep.models.builder import ModelSpec, build_model, precision_scope
from stabilitysweep.models.compiled import inner_optimizer, only_loss
from stabilitysweep.models.first_call import first_call
from stabilitysweep.models.lifting import lifted_numbers
from stabilitysweep.models.losses import build_loss
from stabilitysweep.models.programs import Program
from stabilitysweep.models.stateless import run_model
from stabilitysweep.models.user_builds import Built, UserBuild

Tensors = Sequence[tf.Tensor]


class Outputs(NamedTuple):
    """What a pass gives.

    Attributes:
        loss: a scalar; with all penalties where `Subject.closed_form` is not set.
        predictions: what the model returns.
        others: new values of the non-trainable variables.
    """

    loss: tf.Tensor
    predictions: Any
    others: Tensors


class Scaling(NamedTuple):
    """The numbers of dynamic loss scaling, see `engines.loss_scaling`."""

    start: float = INITIAL_SCALE
    growth_steps: int = GROWTH_STEPS


class Subject(Protocol):
    """A model that is trained, as a function.

    Attributes:
        model: the template; its own weights are never read or written.
        scaled: whether Keras scales its loss.
        scaling: how, if it does.
        closed_form: whether L1 and L2 are added outside, see `engines.penalties`.
        numbers: K.
        optimizer: the Keras optimizer that updates the weights, where ours are not to.
        threshold: above which an output of two classes means the second: 0 for logits.
    """

    model: keras.Model
    scaled: bool
    scaling: Scaling
    closed_form: bool
    numbers: int
    optimizer: keras.optimizers.Optimizer | None
    threshold: float

    def run(
        self,
        weights: Tensors,
        others: Tensors,
        numbers: Any,
        rows: tf.Tensor,
        targets: Any,
        *,
        training: bool,
    ) -> Outputs:
        """Pass a batch [B, D] through the model and its loss.

        Args:
            weights: trainable variables in the model's order.
            others: non-trainable variables in the model's order.
            numbers: [K]; not read where K is 0.
            rows: the batch.
            targets: as the loss takes them.
            training: whether dropout and the like are on.
        """

    def inputs(self, rows: tf.Tensor) -> Any:
        """Return what the model itself takes for a batch [B, D]."""


class BuiltIn:
    """The multilayer perceptron of the config."""

    closed_form = True
    scaling = Scaling()
    numbers = 0
    optimizer = None
    threshold = 0.0

    def __init__(self, program: Program, model: keras.Model | None = None) -> None:
        """Build the template, unless there is a model."""
        if model is None:
            # Any strength will do: it marks what may be penalized. Always marked, so that the
            # weights of a program are packed alike whether it has penalties or not.
            settings = program.model.model_copy(update={"l2": 1.0})
            spec = ModelSpec(settings, program.features, program.outputs, program.precision)
            model = build_model(spec, seed=0)
        self.model = model
        self.scaled = program.precision == "mixed_float16"
        self._loss = lean_loss(build_loss(program.loss))

    def run(
        self,
        weights: Tensors,
        others: Tensors,
        numbers: Any,
        rows: tf.Tensor,
        targets: Any,
        *,
        training: bool,
    ) -> Outputs:
        """Pass a batch through the model; see `Subject.run`."""
        with penalties.without_penalties(self.model):
            predictions, new_others, added = self.model.stateless_call(
                list(weights), list(others), rows, training=training, return_losses=True
            )
        loss = self._loss(targets, predictions)
        return Outputs(keras.ops.sum([loss, *added]) if added else loss, predictions, new_others)

    def inputs(self, rows: tf.Tensor) -> Any:
        """Return the batch as it is."""
        return rows


class UserModel:
    """A model of a user's."""

    closed_form = False

    def __init__(self, program: Program, built: Built) -> None:
        """Keep a built model; its losses and metrics are made here, outside of any graph."""
        if program.user is None:
            raise ValueError("expected the program of a user's model")
        self.built = built
        self.model = built.model
        optimizer = built.model.optimizer
        self.scaled = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        self.scaling = Scaling()
        if self.scaled:
            self.scaling = Scaling(float(optimizer.initial_scale), optimizer.dynamic_growth_steps)
        self._lifted = lifted_numbers(built.model)
        self.numbers = len(self._lifted)
        self.threshold = 0.0 if _takes_logits(built) else 0.5
        self.optimizer = inner_optimizer(built.model) if program.optimizer == "keras" else None
        first_call(built, program.user.template.target, program.user.template.facts)

    def run(
        self,
        weights: Tensors,
        others: Tensors,
        numbers: Any,
        rows: tf.Tensor,
        targets: Any,
        *,
        training: bool,
    ) -> Outputs:
        """Pass a batch through the model; see `Subject.run`."""
        found = run_model(
            self.model,
            self.built.binding,
            self._lifted,
            weights,
            others,
            numbers,
            rows,
            targets,
            training=training,
        )
        return Outputs(found.loss, found.predictions, found.others)

    def inputs(self, rows: tf.Tensor) -> Any:
        """Return the batch in the shapes that the model takes; see `Binding`."""
        return self.built.binding(rows)


def _takes_logits(built: Built) -> bool:
    loss = only_loss(built.model)
    config = loss.get_config() if isinstance(loss, keras.losses.Loss) else {}
    return bool(config.get("from_logits", False))


def output_name(model: keras.Model) -> str:
    """Return the name of a model's output layer, or of the model where it has none by name."""
    names = getattr(model, "output_names", None)
    return str(names[0]) if names else str(model.name)


def input_name(model: keras.Model) -> str:
    """Return the name of a model's input; `inputs` where it has several, or none by name."""
    inputs = getattr(model, "inputs", None) or []
    return str(inputs[0].name) if len(inputs) == 1 else "inputs"


class UserModels:
    """The users' build functions that this process has opened."""

    def __init__(self) -> None:
        """Start with none."""
        self._builds: dict[tuple[str, tuple[str, ...]], UserBuild] = {}

    def build(self, blueprint: Blueprint, seed: int | None) -> Built:
        """Build the model of a blueprint with the weights of a seed, or any; see `UserBuild`."""
        key = (blueprint.build, blueprint.folders)
        if key not in self._builds:
            self._builds[key] = UserBuild(blueprint.build, [*map(Path, blueprint.folders)])
        with precision_scope(blueprint.precision):
            return self._builds[key](blueprint.request(), seed)

    def rates(self, blueprint: Blueprint, steps: int) -> NDArray[np.float64]:
        """Return the learning rate of a model's own schedule by steps applied so far: [steps]."""
        try:
            built = self.build(blueprint, None)
        except TrialError:  # names of layers may matter to it
            built = self.build(blueprint, 0)
        rate = inner_optimizer(built.model)._learning_rate
        if not isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
            return np.full(steps, float(rate()))
        with precision_scope(blueprint.precision):
            table = tf.function(
                lambda: tf.map_fn(
                    lambda step: tf.cast(rate(step), keras.config.floatx()),
                    tf.range(steps, dtype=tf.int64),
                    fn_output_signature=keras.config.floatx(),
                ),
                autograph=False,
            )()
        found: NDArray[np.float64] = table.numpy().astype(np.float64)
        return found

    def close(self) -> None:
        """Forget the modules."""
        for build in self._builds.values():
            build.close()
        self._builds.clear()
