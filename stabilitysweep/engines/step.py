"""One optimizer step of every trial in a stack, with its probes, as a graph.

Notation: P trials in the stack, B rows a batch, D input columns, O outputs. Weights,
slots and other state carry the trial axis in front: a kernel is [P, D, W].

What one trial does (forward, loss, penalties, backward) is written for one trial, with
the model's own Keras layers, and vectorised by `tf.vectorized_map`. What follows (loss
scaling, clipping, the optimizer) is element-wise and is written for the whole stack.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import keras
import tensorflow as tf

from stabilitysweep.engines import loss_scaling, optimizers, penalties
from stabilitysweep.engines.loss_scaling import LossScale
from stabilitysweep.engines.recorder import recording
from stabilitysweep.engines.trial_axis import expand, select
from stabilitysweep.models.programs import Program
from stabilitysweep.numerics import probes
from stabilitysweep.types import Stage

Tensors = tuple[tf.Tensor, ...]


class Settings(NamedTuple):
    """The numbers in which trials of a program differ, a tensor [P] each but the first.

    Attributes:
        learning_rates: [P, T], by steps applied so far.
        l1: penalty strength, >= 0.
        l2: penalty strength, >= 0.
        momentum: in [0, 1).
        weight_decay: >= 0.
        clipnorm: > 0, or 0 for none.
    """

    learning_rates: tf.Tensor
    l1: tf.Tensor
    l2: tf.Tensor
    momentum: tf.Tensor
    weight_decay: tf.Tensor
    clipnorm: tf.Tensor


class State(NamedTuple):
    """All that a step changes.

    Attributes:
        weights: trainable variables, [P, ...] each, in the model's order.
        others: non-trainable variables (batch statistics, dropout seeds), [P, ...].
        slots: for each weight its optimizer slots.
        iterations: steps applied so far, int64 [P].
        loss_scale: the dynamic loss scale.
        active: bool [P], false from the step after weights became non-finite.
        settled: bool [P], an onset was met outside of a skipped step.
        skipping: bool [P], the last step was skipped.
    """

    weights: Tensors
    others: Tensors
    slots: tuple[Tensors, ...]
    iterations: tf.Tensor
    loss_scale: LossScale
    active: tf.Tensor
    settled: tf.Tensor
    skipping: tf.Tensor


class Reading(NamedTuple):
    """What a step's probes saw, a float tensor [P] each; columns of the recorded history.

    Attributes:
        active: 1 where the trial ran this step, 0 where it was frozen.
        loss: batch loss with penalties, unscaled.
        grad_norm: L2 norm of the unscaled gradient over all weights.
        weight_norm: L2 norm of all weights after the step.
        max_activation: largest absolute output of any layer.
        loss_scale: used in this step.
        skipped: 1 where loss scaling skipped the update.
        probe: index of the first non-finite probe in the order of computation; -1 if
            every one is finite, or if the trial's onset was named in an earlier step.
        kind: index into `probes.KINDS` of what that probe met.
    """

    active: tf.Tensor
    loss: tf.Tensor
    grad_norm: tf.Tensor
    weight_norm: tf.Tensor
    max_activation: tf.Tensor
    loss_scale: tf.Tensor
    skipped: tf.Tensor
    probe: tf.Tensor
    kind: tf.Tensor


Slopes = tuple[penalties.Slopes | None, ...]
"""What the penalty multiplies each weight with; None for weights that have no penalty."""


class _Pass(NamedTuple):
    """What one pass through the model gives, [P, ...] each.

    The loss, [P], is unscaled and has its penalties; the gradients are scaled, and
    have not.
    """

    loss: tf.Tensor
    gradients: Tensors
    others: Tensors
    activations: Tensors


class TrainingStep:
    """The step of one program, ready to be traced.

    Attributes:
        layers: names of the probed layer outputs; known once the step has been traced.
    """

    def __init__(self, program: Program, model: keras.Model, loss: keras.losses.Loss) -> None:
        """Keep what the graph is made from.

        Args:
            program: decides which optional terms the graph has.
            model: built; its own weights are never read or written.
            loss: Keras' loss for one trial's batch.
        """
        self._program = program
        self._model = model
        self._loss = loss
        self._optimizer = optimizers.build(
            program.optimizer, momentum=program.terms.momentum, nesterov=program.nesterov
        )
        self._scaled = program.precision == "mixed_float16"
        self._penalized = penalties.penalized(model)
        self.layers: list[str] = []

    @property
    def slot_names(self) -> tuple[str, ...]:
        """Names of the optimizer's slots of each weight, in their order."""
        return self._optimizer.slots

    def probe_table(self) -> list[tuple[Stage, str]]:
        """Return stage and tensor behind each probe index, in the order of computation."""
        weights = [variable.path for variable in self._model.trainable_variables]
        return [
            *((Stage.ACTIVATION, layer) for layer in self.layers),
            (Stage.LOSS, "loss"),
            *((Stage.GRADIENT, path) for path in weights),
            *((Stage.OPTIMIZER, f"{path}/{slot}") for path in weights for slot in self.slot_names),
            *((Stage.WEIGHT, path) for path in weights),
        ]

    def initial_state(self, weights: Tensors, others: Tensors) -> State:
        """Return the state before step 1, slots at zero as Keras starts them."""
        trials = tf.shape(weights[0])[0]
        no = tf.zeros([trials], tf.bool)
        return State(
            weights=weights,
            others=others,
            slots=tuple(tuple(tf.zeros_like(w) for _ in self.slot_names) for w in weights),
            iterations=tf.zeros([trials], tf.int64),
            loss_scale=loss_scaling.initial(trials, enabled=self._scaled),
            active=~no,
            settled=no,
            skipping=no,
        )

    def slopes(self, weights: Tensors, settings: Settings) -> Slopes:
        """Lay out what does not change from step to step; the shapes are `weights`'."""
        strengths = self._strengths(settings)
        return tuple(
            penalties.slopes(weight, strengths) if penalized else None
            for weight, penalized in zip(weights, self._penalized, strict=True)
        )

    def __call__(
        self, state: State, settings: Settings, slopes: Slopes, x: tf.Tensor, y: tf.Tensor
    ) -> tuple[State, Reading]:
        """Train every active trial on its batch.

        Args:
            state: before the step.
            settings: the trials' numbers.
            slopes: what `slopes` made of them.
            x: [P, B, D] inputs.
            y: [P, B, 1] targets, or [P, B] labels.

        Returns:
            The state after the step (a frozen trial's is what it was) and the readings.
        """
        run = self._forward_backward(state, settings, x, y)
        gradients = tuple(
            gradient if slope is None else penalties.add_gradient(gradient, weight, slope)
            for gradient, weight, slope in zip(
                self._unscale(run.gradients, state.loss_scale.scale),
                state.weights,
                slopes,
                strict=True,
            )
        )
        grad_squares = probes.sum_of_squares(gradients)
        finite = self._finite_steps(run.gradients, grad_squares)
        applied = state.active & finite

        weights, slots = self._update(state, settings, gradients)
        weights = _select_all(applied, weights, state.weights)
        slots = tuple(
            _select_all(applied, new, old) for new, old in zip(slots, state.slots, strict=True)
        )
        others = _select_all(state.active, run.others, state.others)
        weight_squares = probes.sum_of_squares(weights)
        skipped = state.active & ~finite
        magnitudes = [tf.abs(probes.widen(activation)) for activation in run.activations]
        sound = self._sound(run.loss, magnitudes, slots, grad_squares, weight_squares)
        named = state.settled | (state.skipping & skipped)
        probe, kind, weights_finite = self._locate(
            run,
            gradients,
            slots,
            weights,
            settings,
            wanted=state.active & ~sound & ~named,
            doubtful=state.active & ~tf.math.is_finite(weight_squares),
        )
        record = run.loss.dtype
        peaks = [tf.cast(probes.largest(values), record) for values in magnitudes]
        reading = Reading(
            active=tf.cast(state.active, record),
            loss=run.loss,
            grad_norm=tf.cast(tf.sqrt(grad_squares), record),
            weight_norm=tf.cast(tf.sqrt(weight_squares), record),
            max_activation=tf.reduce_max(tf.stack(peaks), axis=0),
            loss_scale=tf.cast(state.loss_scale.scale, record),
            skipped=tf.cast(skipped, record),
            probe=tf.cast(probe, record),
            kind=tf.cast(kind, record),
        )
        scale = state.loss_scale
        if self._scaled:
            advanced = loss_scaling.advance(scale, finite)
            scale = LossScale(*_select_all(state.active, advanced, scale))
        return (
            State(
                weights=weights,
                others=others,
                slots=slots,
                iterations=state.iterations + tf.cast(applied, tf.int64),
                loss_scale=scale,
                active=state.active & weights_finite,
                settled=state.settled | ((probe >= 0) & ~skipped),
                skipping=skipped,
            ),
            reading,
        )

    def _strengths(self, settings: Settings) -> penalties.Strengths:
        terms = self._program.terms
        return penalties.Strengths(
            settings.l1 if terms.l1 else None, settings.l2 if terms.l2 else None
        )

    def _forward_backward(
        self, state: State, settings: Settings, x: tf.Tensor, y: tf.Tensor
    ) -> _Pass:
        def one_trial(
            arguments: tuple[Tensors, Tensors, tf.Tensor, tf.Tensor, tf.Tensor],
        ) -> _Pass:
            weights, others, batch, targets, scale = arguments
            with (
                tf.GradientTape() as tape,
                recording(self._model) as record,
                penalties.without_penalties(self._model),
            ):
                tape.watch(weights)
                predictions, new_others, added = self._model.stateless_call(
                    list(weights), list(others), batch, training=True, return_losses=True
                )
                loss = self._loss(targets, predictions)
                if added:
                    loss = keras.ops.sum([loss, *added])
                objective = loss * tf.cast(scale, loss.dtype) if self._scaled else loss
            self.layers = record.names
            gradients = tape.gradient(
                objective, weights, unconnected_gradients=tf.UnconnectedGradients.ZERO
            )
            return _Pass(loss, tuple(gradients), tuple(new_others), tuple(record.outputs))

        run: _Pass = tf.vectorized_map(
            one_trial, (state.weights, state.others, x, y, state.loss_scale.scale)
        )
        penalty = penalties.value(
            [w for w, kept in zip(state.weights, self._penalized, strict=True) if kept],
            self._strengths(settings),
        )
        return run if penalty is None else run._replace(loss=run.loss + penalty)

    def _unscale(self, gradients: Tensors, scale: tf.Tensor) -> Tensors:
        if not self._scaled:
            return gradients
        # Scales are powers of two, so that their reciprocals are exact.
        reciprocal = 1.0 / scale
        return tuple(gradient * expand(reciprocal, gradient) for gradient in gradients)

    def _finite_steps(self, scaled_gradients: Tensors, grad_squares: tf.Tensor) -> tf.Tensor:
        """Tell which trials' scaled gradients are finite; all, where nothing is skipped."""
        everywhere = tf.ones_like(grad_squares, tf.bool)
        if not self._scaled:
            return everywhere

        def exactly() -> tf.Tensor:
            return tf.reduce_all(tf.stack([probes.all_finite(g) for g in scaled_gradients]), axis=0)

        proven = tf.reduce_all(tf.math.is_finite(grad_squares))
        return tf.cond(proven, lambda: everywhere, exactly)

    def _update(
        self, state: State, settings: Settings, gradients: Tensors
    ) -> tuple[Tensors, tuple[Tensors, ...]]:
        last = tf.shape(settings.learning_rates, tf.int64)[1] - 1
        rates = tf.gather(
            settings.learning_rates, tf.minimum(state.iterations, last), axis=1, batch_dims=1
        )
        hyper = optimizers.Hyperparameters(
            rates, settings.momentum, settings.weight_decay, settings.clipnorm, state.iterations
        )
        terms = self._program.terms
        weights, slots = [], []
        for weight, gradient, slot in zip(state.weights, gradients, state.slots, strict=True):
            gradient = tf.cast(gradient, weight.dtype)
            if terms.clipnorm:
                gradient = optimizers.clip_by_norm(gradient, hyper.clipnorm)
            if terms.weight_decay:
                weight = optimizers.decay_weights(weight, hyper)
            weight, slot = self._optimizer.update(weight, gradient, slot, hyper)
            weights.append(weight)
            slots.append(slot)
        return tuple(weights), tuple(slots)

    @staticmethod
    def _sound(
        loss: tf.Tensor,
        magnitudes: Sequence[tf.Tensor],
        slots: tuple[Tensors, ...],
        grad_squares: tf.Tensor,
        weight_squares: tf.Tensor,
    ) -> tf.Tensor:
        """Tell cheaply which trials are proven finite in every probe."""
        flags = [
            tf.math.is_finite(loss),
            tf.math.is_finite(grad_squares),
            tf.math.is_finite(weight_squares),
            *(probes.proven_finite(values) for values in magnitudes),
            *(probes.proven_finite(tf.abs(slot)) for group in slots for slot in group),
        ]
        return tf.reduce_all(tf.stack(flags), axis=0)

    def _locate(
        self,
        run: _Pass,
        gradients: Tensors,
        slots: tuple[Tensors, ...],
        weights: Tensors,
        settings: Settings,
        *,
        wanted: tf.Tensor,
        doubtful: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Name the first non-finite probe of `wanted` trials, and check `doubtful` weights.

        The exact look at every tensor is taken only in steps where some trial needs it.

        Returns:
            Probe index (-1 where not wanted or finite), kind code, whether the weights
            are finite: int32, int32 and bool [P].
        """
        none = tf.fill(tf.shape(wanted), -1)

        def look() -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            slot_sums = [probes.nonfinite_sum(slot) for group in slots for slot in group]
            if self._program.optimizer in ("sgd", "rmsprop") and self._program.terms.momentum:
                slot_sums = self._own_slots(slot_sums, settings.momentum)
            sums = [
                *(probes.nonfinite_sum(activation) for activation in run.activations),
                probes.nonfinite_sum(run.loss),
                *(probes.nonfinite_sum(gradient) for gradient in gradients),
                *slot_sums,
                *(probes.nonfinite_sum(weight) for weight in weights),
            ]
            table = tf.stack(sums, axis=1)
            bad = table != 0
            first = tf.argmax(bad, axis=1, output_type=tf.int32)
            found = wanted & tf.reduce_any(bad, axis=1)
            kind = probes.kind_code(tf.gather(table, first, axis=1, batch_dims=1))
            weights_finite = ~tf.reduce_any(bad[:, -len(weights) :], axis=1)
            return tf.where(found, first, -1), tf.where(found, kind, 0), weights_finite

        def skip() -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            return none, tf.zeros_like(none), tf.ones_like(wanted)

        probe, kind, finite = tf.cond(tf.reduce_any(wanted | doubtful), look, skip)
        return probe, kind, finite

    def _own_slots(self, sums: Sequence[tf.Tensor], momentum: tf.Tensor) -> list[tf.Tensor]:
        """Drop the momentum slot's reading where a trial alone would have no such slot."""
        names = self.slot_names * (len(sums) // len(self.slot_names))
        return [
            tf.where((momentum > 0) | (name != "momentum"), value, tf.zeros_like(value))
            for name, value in zip(names, sums, strict=True)
        ]


def _select_all(
    condition: tf.Tensor, new: Sequence[tf.Tensor], old: Sequence[tf.Tensor]
) -> Tensors:
    return tuple(select(condition, after, before) for after, before in zip(new, old, strict=True))
