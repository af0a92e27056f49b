"""Planting one NaN or Inf where training would have none, to see what is reported.

Both engines run as they are; the model, loss and optimizer they are given are Keras' own with
one seam each, at which an entry of a tensor is replaced while the step is inside a window:

    activation   the output of a layer
    gradient     of a variable, on the way back through its layer
    loss         what the loss function returns
    optimizer    a slot, after its update
    weight       a variable, after its update
    prediction   the output on the held-out rows

Where, when, what and in which trial are variables that the graph reads: it is traced once.
Notation: P trials in the stack.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import pytest
import tensorflow as tf

from stabilitysweep.engines import evaluation, fit, program_graph, stacked, step, subject
from stabilitysweep.types import Stage

Place = tuple[Stage, str]
NOWHERE = -1
SLOTS = {"momentums": "momentum", "_momentums": "momentum", "_velocities": "velocity"}
"""Keras' attributes: the first of SGD, the others of Adam and RMSprop."""


@dataclass(frozen=True)
class Plant:
    """What to plant: `value` at entry number `entry` (round the end) of a tensor.

    It is there in the steps from `first` to `last`, counted from 1; a prediction has no step.
    """

    place: Place
    value: float
    first: int = 1
    last: int = 1
    entry: int = 0
    trial: int = 0


class Garden:
    """The variables that say what is planted, and the seams that read them."""

    def __init__(self) -> None:
        self.places: list[Place] = []
        self.held_out = 0
        self._code, self._first, self._last, self._entry, self._trial, self._clock = (
            tf.Variable(NOWHERE, trainable=False, dtype=tf.int32) for _ in range(6)
        )
        self._predicts = tf.Variable(False, trainable=False)
        self._value = tf.Variable(0.0, trainable=False)
        # In whatever is traced: the code of the place to plant at now, a scalar or [P].
        self._now: tf.Tensor | None = None

    def plant(self, plant: Plant | None) -> None:
        """Plant it in what is run next."""
        self._clock.assign(0)
        self._code.assign(self._code_of(*plant.place) if plant else NOWHERE)
        if plant:
            for name in ("first", "last", "entry", "trial", "value"):
                getattr(self, f"_{name}").assign(getattr(plant, name))

    @contextmanager
    def planted_engines(self, held_out: int) -> Iterator[None]:
        """Let engines that are run inside, and what they trace, use the seams.

        Args:
            held_out: rows of the validation split, another number than the training rows.
        """
        self.held_out = held_out
        with pytest.MonkeyPatch.context() as patch:
            for module in (stacked, subject, fit):
                build_model = self._after(module.build_model, self._open_layers)
                patch.setattr(module, "build_model", build_model)
            for module in (subject, fit):
                build_loss = self._after(module.build_loss, self._open_loss)
                patch.setattr(module, "build_loss", build_loss)
            patch.setattr(
                fit, "build_optimizer", self._after(fit.build_optimizer, self._open_optimizer)
            )
            patch.setattr(fit, "ProbedStep", self._subclass(fit.ProbedStep, "__call__"))
            patch.setattr(program_graph, "TrainingStep", self._stacked_step())
            patch.setattr(step, "vectorize", self._telling(step.vectorize))
            patch.setattr(evaluation, "vectorize", self._telling(evaluation.vectorize, self._held))
            self._tell_held_out(patch)
            yield

    # --- which place, when

    def _tick(self, trials: Any = None) -> tf.Tensor:
        """Count a step; return the code of where to plant in it, a scalar or [P]."""
        now = self._clock.assign_add(1)
        inside = (now >= self._first) & (now <= self._last)
        code = tf.where(inside & ~self._is_prediction(), self._code, NOWHERE)
        return code if trials is None else self._of_trial(code, trials)

    def _held(self, trials: Any) -> tf.Tensor:
        code = tf.where(self._predicts & self._is_prediction(), self._code, NOWHERE)
        return self._of_trial(code, trials)

    def _of_trial(self, code: tf.Tensor, trials: Any) -> tf.Tensor:
        return tf.where(tf.range(trials) == self._trial, code, NOWHERE)

    def _is_prediction(self) -> tf.Tensor:
        predictions = [
            code for code, (stage, _) in enumerate(self.places) if stage is Stage.PREDICTION
        ]
        return tf.reduce_any([tf.equal(self._code, code) for code in predictions])

    def _telling(
        self, vectorize: Callable[..., Any], when: Callable[..., Any] | None = None
    ) -> Callable[..., Any]:
        """Hand each trial's code into the function that is written for one trial."""

        def tell(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
            trials = tf.shape(tf.nest.flatten(arguments)[0])[0]
            codes = self._now if when is None else when(trials)

            def of_trial(own: tuple[Any, ...]) -> Any:
                with self._at(own[-1]):
                    return function(own[:-1])

            return vectorize(of_trial, (*arguments, codes))

        return tell

    @contextmanager
    def _at(self, code: tf.Tensor) -> Iterator[None]:
        before, self._now = self._now, code
        try:
            yield
        finally:
            self._now = before

    # --- what is put there

    def _put(self, tensor: tf.Tensor, stage: Stage, name: str) -> tf.Tensor:
        """Add to the entry of one trial's `tensor`, if this is the place.

        As where a sum overflows: the gradient flows back as it would.
        """
        here = tf.equal(self._now, self._code_of(stage, name))
        value = tf.cast(self._value, tensor.dtype)
        return tf.where(here & self._mask(tf.shape(tensor)), tensor + value, tensor)

    def _put_in_stack(self, tensor: tf.Tensor, stage: Stage, name: str) -> tf.Tensor:
        """Replace the entry of [P, ...] in the trial whose place it is."""
        here = tf.equal(self._now, self._code_of(stage, name))
        here = tf.reshape(here, [-1] + [1] * (len(tensor.shape) - 1))
        return tf.where(
            here & self._mask(tf.shape(tensor)[1:]), tf.cast(self._value, tensor.dtype), tensor
        )

    def _mask(self, shape: tf.Tensor) -> tf.Tensor:
        size = tf.reduce_prod(shape)
        return tf.reshape(tf.equal(tf.range(size), self._entry % size), shape)

    def _code_of(self, stage: Stage, name: str) -> int:
        if (stage, name) not in self.places:
            self.places.append((stage, name))
        return self.places.index((stage, name))

    # --- the seams

    @staticmethod
    def _after(function: Callable[..., Any], change: Callable[[Any], None]) -> Callable[..., Any]:
        def build(*args: Any, **kwargs: Any) -> Any:
            made = function(*args, **kwargs)
            change(made)
            return made

        return build

    def _subclass(self, kind: type, method: str) -> type:
        """A fit engine's step that counts, and plants while it is traced."""
        garden, own = self, getattr(kind, method)

        def call(step: Any, *args: Any) -> Any:
            with garden._at(garden._tick()):
                return own(step, *args)

        return type(f"Planted{kind.__name__}", (kind,), {method: call})

    def _stacked_step(self) -> type:
        garden = self

        class PlantedStep(step.TrainingStep):
            def __call__(self, state: Any, *args: Any) -> Any:
                with garden._at(garden._tick(tf.shape(state.active)[0])):
                    return super().__call__(state, *args)

            def _update(self, *args: Any) -> Any:
                weights, slots = super()._update(*args)
                paths = [variable.path for variable in self._subject.model.trainable_variables]
                weights = self._put_packed(weights, Stage.WEIGHT, paths)
                slots = tuple(
                    self._put_packed(slot, Stage.OPTIMIZER, [f"{path}/{name}" for path in paths])
                    for name, slot in zip(self.slot_names, slots, strict=True)
                )
                return weights, slots

            def _put_packed(self, packed: Any, stage: Stage, names: list[str]) -> Any:
                return self.packing.pack(
                    [
                        garden._put_in_stack(tensor, stage, name)
                        for tensor, name in zip(self.packing.unpack(packed), names, strict=True)
                    ]
                )

        return PlantedStep

    def _open_layers(self, model: keras.Model) -> None:
        (output,) = model.output_names
        self._code_of(Stage.PREDICTION, output)
        for layer in model.layers:
            if not isinstance(layer, keras.layers.InputLayer):
                self._open_layer(layer, is_output=layer.name == output)

    def _open_layer(self, layer: Any, *, is_output: bool) -> None:
        garden, kind = self, type(layer)

        def call(layer: Any, *args: Any, **kwargs: Any) -> tf.Tensor:
            result = kind.call(layer, *args, **kwargs)
            if garden._now is None:  # Keras looks at shapes
                return result
            for variable in layer.trainable_variables:
                result = garden._with_gradient(result, variable)
            if is_output:
                result = garden._put(result, Stage.PREDICTION, layer.name)
            return garden._put(result, Stage.ACTIVATION, layer.name)

        layer.__class__ = type(kind.__name__, (kind,), {"call": call})

    def _with_gradient(self, result: tf.Tensor, variable: Any) -> tf.Tensor:
        """Return `result`, through which the planted value reaches the variable's gradient."""
        here = tf.equal(self._now, self._code_of(Stage.GRADIENT, variable.path))

        @tf.custom_gradient
        def through(result: tf.Tensor, weight: tf.Tensor) -> Any:
            def back(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
                own = tf.zeros_like(weight)
                value = tf.cast(self._value, weight.dtype)
                return upstream, tf.where(here & self._mask(tf.shape(weight)), value, own)

            return tf.identity(result), back

        return through(result, tf.convert_to_tensor(variable))

    def _open_loss(self, loss: keras.losses.Loss) -> None:
        garden, kind = self, type(loss)

        def call(loss: Any, *args: Any, **kwargs: Any) -> tf.Tensor:
            value = kind.__call__(loss, *args, **kwargs)
            return garden._put(value, Stage.LOSS, "loss")

        loss.__class__ = type(kind.__name__, (kind,), {"__call__": call})

    def _open_optimizer(self, optimizer: Any) -> None:
        garden, update = self, optimizer.update_step

        def update_step(gradient: Any, variable: Any, rate: Any) -> None:
            update(gradient, variable, rate)
            place = optimizer._get_variable_index(variable)
            path = optimizer._trainable_variables[place].path
            for attribute, name in SLOTS.items():
                if getattr(optimizer, attribute, None):
                    slot = getattr(optimizer, attribute)[place]
                    slot.assign(garden._put(slot.value, Stage.OPTIMIZER, f"{path}/{name}"))
            variable.assign(garden._put(variable.value(), Stage.WEIGHT, path))

        optimizer.update_step = update_step

    def _tell_held_out(self, patch: pytest.MonkeyPatch) -> None:
        evaluate = evaluation.Evaluator.__call__

        def call(evaluator: Any, *args: Any) -> Any:
            self._predicts.assign(len(args[-1]) == self.held_out)
            return evaluate(evaluator, *args)

        patch.setattr(evaluation.Evaluator, "__call__", call)
