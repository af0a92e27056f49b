"""Keras' own training step, instrumented: what the fit engine sees of every batch."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from stabilitysweep.engines.inspection import Heads, Tensors, look_at_predictions, rows_of_step
from stabilitysweep.engines.keras_update import optimizer_variables, slot_name
from stabilitysweep.engines.slices import take_apart
from stabilitysweep.engines.stack_state import Reading
from stabilitysweep.engines.step_probes import floating, held_paths
from stabilitysweep.engines.subject import Subject
from stabilitysweep.models.recorder import compute_dtypes, recording
from stabilitysweep.numerics import probes
from stabilitysweep.numerics.moments import Moment
from stabilitysweep.types import Stage


class ProbedStep:
    """Keras' `train_step`, with the readings of its probes as its logs."""

    def __init__(self, subject: Subject, heads: Heads | None = None) -> None:
        self._subject = subject
        self._model = model = subject.model
        self._heads = heads
        self._computed_in = compute_dtypes(model)
        self._layers: list[str] = []
        self._slots: list[str] = []

    def __call__(self, data: tuple[Any, Any]) -> dict[str, tf.Tensor]:
        """Train on a batch of inputs and targets, as the model takes them."""
        model, optimizer = self._model, self._model.optimizer
        x, y = data
        with tf.GradientTape(persistent=True) as tape, recording(model) as record:
            predictions = model(x, training=True)
            loss = model._compute_loss(
                x=x, y=y, y_pred=predictions, sample_weight=None, training=True
            )
            objective = optimizer.scale_loss(loss)
            of_data = optimizer.scale_loss(
                model.loss(y, predictions) if self._subject.closed_form else loss
            )
        weights = model.trainable_variables
        before = [tf.identity(weight.value) for weight in weights] if self._heads else []
        raw = tape.gradient(objective, weights)
        gradients, _, _ = take_apart(raw, weights)
        # What was flushed to zero would be hidden by the gradient of a penalty.
        apart = model.losses and self._subject.closed_form
        bare = tape.gradient(of_data, weights) if apart else gradients
        nonzero = tf.add_n([probes.count_nonzero(gradient[None])[0] for gradient in bare])
        scaling = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        if not optimizer.built:
            optimizer.build(weights)
        scale = tf.identity(optimizer.dynamic_scale.value) if scaling else tf.ones([])
        inner = optimizer.inner_optimizer if scaling else optimizer
        applied = tf.identity(inner._iterations.value)  # batches, also while they accumulate
        # As the tape gives them: Keras treats slices otherwise, and leaves out what has none.
        pairs = zip(raw, weights, strict=True)
        optimizer.apply_gradients([(own, weight) for own, weight in pairs if own is not None])
        skipped = tf.equal(applied, inner._iterations.value)

        unscaled = [g / tf.cast(scale, g.dtype) for g in gradients] if scaling else gradients
        self._layers = record.names
        slots = _slots(inner, weights)
        self._slots = [name for name, _ in slots]
        after = [weight.value for weight in weights]
        held = floating([variable.value for variable in model.non_trainable_variables])
        kept = [slot for _, slot in slots]
        readings = self._readings(
            record.outputs, loss, unscaled, kept, after, held, scale, skipped, nonzero
        )
        if self._heads is not None:
            named = list(zip(record.names, record.outputs, strict=True))
            tensors = Tensors(_side_by_side(x), named, loss, unscaled, slots, before, after, held)
            readings[_INSPECTION] = self._heads.measure(rows_of_step(model, tensors))
        return readings

    def table(self) -> list[tuple[Stage, str]]:
        """Return stage and tensor behind each probe index, in the order of computation."""
        paths = [variable.path for variable in self._model.trainable_variables]
        return [
            *((Stage.ACTIVATION, layer) for layer in self._layers),
            (Stage.LOSS, "loss"),
            *((Stage.GRADIENT, path) for path in paths),
            *((Stage.OPTIMIZER, slot) for slot in self._slots),
            *((Stage.WEIGHT, path) for path in (*paths, *held_paths(self._model))),
        ]

    def _readings(
        self,
        activations: list[tf.Tensor],
        loss: tf.Tensor,
        gradients: list[tf.Tensor],
        slots: list[tf.Tensor],
        weights: list[tf.Tensor],
        held: list[tf.Tensor],
        scale: tf.Tensor,
        skipped: tf.Tensor,
        nonzero: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        dtype = loss.dtype
        gradients, weights = _stack_of_one(gradients), _stack_of_one(weights)
        tensors = [
            *_stack_of_one(activations),
            loss[None],
            *gradients,
            *_stack_of_one(slots),
            *weights,
            *_stack_of_one(held),
        ]
        end = len(tensors) - len(held)
        sums = tf.stack([probes.nonfinite_sum(tensor)[0] for tensor in tensors])
        bad = sums != 0
        first = tf.argmax(bad, output_type=tf.int32)
        found = tf.reduce_any(bad)
        kind = probes.kind_code(tf.gather(sums, first))
        activation_peaks = _peaks(_stack_of_one(activations), dtype)
        peaks = [activation_peaks, _peaks(gradients, dtype), _peaks(weights, dtype)]
        held_in = [*(a.dtype for a in activations), *self._computed_in, *(w.dtype for w in weights)]
        limits = [probes.limit_bits(tf.as_dtype(kind).name) for kind in held_in]
        entries = sum(gradient.shape.num_elements() for gradient in gradients)
        values = Reading(
            active=tf.cast(~tf.reduce_any(bad[end - len(weights) : end]), dtype),
            loss=loss,
            grad_norm=tf.sqrt(probes.sum_of_squares(gradients))[0],
            weight_norm=tf.sqrt(probes.sum_of_squares(weights))[0],
            max_activation=tf.reduce_max(activation_peaks),
            loss_scale=scale,
            skipped=tf.cast(skipped, dtype),
            headroom=probes.headroom(tf.concat(peaks, axis=0)[None], limits)[0],
            zero_gradients=1.0 - nonzero / entries,
            probe=tf.where(found, first, -1),
            kind=tf.where(found, kind, 0),
        )
        return {name: tf.cast(value, dtype) for name, value in values._asdict().items()}


class History(keras.callbacks.Callback):
    """Keeps the logs of every batch; stops where the stacked engine does, see `State.active`."""

    def __init__(self) -> None:
        super().__init__()
        self._rows: list[list[float]] = []
        self._broken = False

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Keep the readings of a batch."""
        row = logs or {}
        self._rows.append([float(row[name]) for name in Reading._fields])
        broken = not row["active"]
        if broken and (self._broken or math.isnan(row["loss"])):
            self.model.stop_training = True
        self._broken = broken

    def readings(self) -> Reading:
        """Return the fields, [T, 1] each."""
        table = np.array(self._rows)[:, :, None]
        reading = Reading(*np.moveaxis(table, 1, 0))
        # The step whose update broke the weights was still run: `active` is before it.
        return reading._replace(active=np.ones_like(reading.active))


class Watch(keras.callbacks.Callback):
    """Keeps what was seen of the steps from `first` to `last`."""

    def __init__(self, first: int, last: int, predictions: bool) -> None:
        super().__init__()
        self.heads = Heads()
        self.moments: list[Moment] = []
        self._first, self._last, self._predictions = first, last, predictions
        self._step = 0

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Keep what was seen of a step that is watched."""
        row = logs or {}
        self._step += 1
        if self._first <= self._step <= self._last:
            self.moments.append(
                Moment(
                    step=self._step,
                    loss=float(row["loss"]),
                    loss_scale=float(row["loss_scale"]),
                    skipped=bool(row["skipped"]),
                    tensors=self.heads.read(np.asarray(row[_INSPECTION])),
                )
            )

    def look_at_predictions(self, subject: Subject, x: NDArray[Any]) -> None:
        """Look at the predictions for the rows `x`, if that was asked for."""
        if self._predictions:
            weights = [variable.value for variable in self.model.trainable_variables]
            others = [variable.value for variable in self.model.non_trainable_variables]
            tensors = look_at_predictions(subject, weights, others, x)
            self.moments.append(Moment(self._step, None, 1.0, skipped=False, tensors=tensors))


_INSPECTION = "inspection"
"""Key of the statistics in the logs of a batch; Keras leaves what is no number as it is."""


def _slots(optimizer: Any, weights: list[Any]) -> list[tuple[str, tf.Tensor]]:
    """Return the optimizer's slots as (name, value), weight by weight, in Keras' order."""
    if type(optimizer).__name__ not in _SLOTS:
        own = optimizer_variables(optimizer)
        return [(slot_name(variable, weights), variable.value) for variable in own]
    found = []
    for weight in weights:
        for kind in _SLOTS[type(optimizer).__name__]:
            suffix = f"{weight.path}/{kind}".replace("/", "_")
            own = [v.value for v in optimizer.variables if v.name.endswith(suffix)]
            found += [(f"{weight.path}/{kind}", slot) for slot in own]
    return found


_SLOTS = {
    "SGD": ("momentum",),
    "Adam": ("momentum", "velocity"),
    "AdamW": ("momentum", "velocity"),
    "RMSprop": ("velocity", "momentum"),
}


def _side_by_side(inputs: Any) -> tf.Tensor:
    """Return all inputs of a model as one tensor."""
    flat = tf.nest.flatten(inputs)
    if len(flat) == 1:
        return flat[0]
    floatx = keras.config.floatx()
    rows = [tf.reshape(tf.cast(value, floatx), [tf.shape(value)[0], -1]) for value in flat]
    return tf.concat(rows, axis=1)


def _peaks(tensors: list[tf.Tensor], dtype: tf.DType) -> tf.Tensor:
    """Return the largest magnitude of each tensor: [K]."""
    return tf.stack([probes.peak([tensor], dtype)[0] for tensor in tensors])


def _stack_of_one(tensors: list[tf.Tensor]) -> list[tf.Tensor]:
    return [tensor[None] for tensor in tensors]
