"""The fit engine: one trial after another by `model.fit`, the yardstick of the stacked engine.

Everything that decides a trial is Keras' own here: the model, the optimizer, the loss
scaling, the training loop. Only `train_step` is replaced, by one that does what Keras' does
and also hands out what its probes saw; the tests hold it against stock Keras, weight by
weight. Initial weights, batches and their order are those of the stacked engine.
"""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from stabilitysweep.data import PreparedData, batch_order
from stabilitysweep.engines.base import LEAST_PLACES, Stack, cast, first_precision, input_onset
from stabilitysweep.engines.curvature import Curvatures
from stabilitysweep.engines.evaluation import Evaluation, Evaluator
from stabilitysweep.engines.inspection import Heads, Tensors, look_at_predictions, rows_of_step
from stabilitysweep.engines.keras_update import optimizer_variables, slot_name
from stabilitysweep.engines.results import StackRecord, input_failures, results
from stabilitysweep.engines.schedules import learning_rates
from stabilitysweep.engines.stack_state import Reading, Settings
from stabilitysweep.engines.step_probes import floating, held_paths
from stabilitysweep.engines.subject import BuiltIn, Subject, UserModel, UserModels, output_name
from stabilitysweep.grid import Trial
from stabilitysweep.models.builder import ModelSpec, build_model, precision_scope
from stabilitysweep.models.compiled import inner_optimizer
from stabilitysweep.models.losses import build_loss
from stabilitysweep.models.programs import Program
from stabilitysweep.models.recorder import compute_dtypes, recording
from stabilitysweep.numerics import probes
from stabilitysweep.numerics.moments import Moment
from stabilitysweep.types import Compiled, Stage, TrialResult

Float = np.floating


class FitEngine:
    """Trains a stack trial by trial with `model.fit`, compiled as the stack asks for."""

    name = "fit"

    def __init__(self) -> None:
        """Start with no curvature known, and no user's module open."""
        self._curvatures = Curvatures()
        self._users = UserModels()

    def run(self, stack: Stack, data: PreparedData) -> list[TrialResult]:
        """Train every trial of the stack; see `Engine.run`."""
        onset = input_onset(data, first_precision(stack.program))
        if onset is not None:
            return input_failures(stack, onset, self.name)
        found: list[TrialResult] = []
        for trial in stack.trials:
            keras.backend.clear_session()
            alone = Stack(stack.program, (trial,), 1)
            with precision_scope(stack.program.precision):
                record = train(alone, data, users=self._users)
            found += results(alone, record, self.name, data, self._curvatures)
        return found

    def inspect(
        self, stack: Stack, data: PreparedData, first: int, last: int, *, predictions: bool
    ) -> list[Moment]:
        """Train the first trial of the stack again, and look; see `Engine.inspect`."""
        keras.backend.clear_session()
        alone = Stack(stack.program, stack.trials[:1], 1)
        watch = _Watch(first, last, predictions)
        with precision_scope(stack.program.precision):
            train(alone, data, watch, self._users)
        return watch.moments


class TableSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate of each step out of a table; the last one from its end on."""

    def __init__(self, table: NDArray[Float]) -> None:
        """Keep the table: [T], by steps applied so far."""
        self.table = table

    def __call__(self, step: Any) -> Any:
        """Return the learning rate after `step` steps have been applied."""
        place = tf.minimum(tf.cast(step, tf.int32), len(self.table) - 1)
        return tf.gather(tf.constant(self.table, keras.config.floatx()), place)

    def get_config(self) -> dict[str, Any]:
        """Return what the schedule is made from."""
        return {"table": self.table}


def train(
    stack: Stack,
    data: PreparedData,
    watch: _Watch | None = None,
    users: UserModels | None = None,
    *,
    eagerly: bool = False,
) -> StackRecord:
    """Train the single trial of `stack` by `model.fit`, inside its `precision_scope`.

    Args:
        stack: of one trial.
        data: what it is trained on.
        watch: looks at some of the steps.
        users: the users' modules, for a trial of a user's model.
        eagerly: do without a graph, which for a few steps costs more than it saves.
    """
    (trial,) = stack.trials
    program = stack.program
    subject = _subject(trial, program, users)
    model = subject.model
    initial = [variable.numpy() for variable in model.trainable_variables]
    floatx = keras.config.floatx()
    user = trial.blueprint
    model.compile(
        optimizer=model.optimizer
        if user is not None and user.compiled
        else build_optimizer(trial, stack.steps),
        loss=build_loss(program.loss) if user is None else model._compile_loss._user_loss,
        loss_weights=None if user is None else model._compile_loss._user_loss_weights,
        jit_compile=program.compiled is Compiled.XLA,
        run_eagerly=eagerly,
        # Where its user has decided against the scaling of the loss, so it stays.
        auto_scale_loss=user is None or not user.compiled,
    )
    if user is not None:
        _override_rate(trial, model)
    probe = _ProbedStep(subject, watch.heads if watch else None)
    model.train_step = probe

    x, y = cast(data.x_train, data.y_train, floatx)
    order = batch_order(trial.seed, stack.batch_size, data.train_rows, stack.steps)

    def batch_of(rows: tf.Tensor) -> tuple[Any, Any]:
        own = tf.nest.map_structure(lambda table: tf.gather(table, rows), (x, y))
        return subject.inputs(own[0]), own[1]

    batches = tf.data.Dataset.from_tensor_slices(order).map(batch_of)
    evaluator = Evaluator(program, subject)
    copies = 1 if user is None else LEAST_PLACES
    settings = tf.nest.map_structure(
        lambda one: tf.repeat(one, copies, axis=0), _settings(trial, floatx)
    )

    def evaluate(split_x: NDArray[Any], split_y: Any) -> Evaluation:
        return evaluator(
            tuple(_stacked(variable, copies) for variable in model.trainable_variables),
            tuple(_stacked(variable, copies) for variable in model.non_trainable_variables),
            settings,
            split_x,
            split_y,
        )

    before = evaluate(x, y)
    history = _History()
    model.fit(
        batches,
        epochs=1,
        steps_per_epoch=stack.steps,
        shuffle=False,
        verbose=0,
        callbacks=[history, watch] if watch else [history],
    )
    after = evaluate(x, y)
    x_validation, y_validation = cast(data.x_validation, data.y_validation, floatx)
    if watch is not None and len(x_validation):
        watch.look_at_predictions(subject, x_validation)
    scale = getattr(model.optimizer, "dynamic_scale", None)
    return StackRecord(
        initial=[initial],
        readings=history.readings(),
        probe_table=probe.table(),
        before=before,
        after=after,
        validation=evaluate(x_validation, y_validation) if len(x_validation) else None,
        final_scale=np.array([1.0 if scale is None else float(scale.numpy())]),
        output=output_name(model),
    )


def _subject(trial: Trial, program: Program, users: UserModels | None) -> Subject:
    """Build the trial's own model, with its own weights and regularizers."""
    if trial.blueprint is None:
        spec = ModelSpec(trial.model, program.features, program.outputs, program.precision)
        return BuiltIn(program, build_model(spec, trial.seed))
    if users is None:
        raise ValueError("expected the users' modules for a user's model")
    return UserModel(program, users.build(trial.blueprint, trial.seed))


def _override_rate(trial: Trial, model: keras.Model) -> None:
    """Set a learning rate that the config gives and the model does not ask for."""
    rate = inner_optimizer(model)._learning_rate
    if isinstance(rate, keras.Variable):
        rate.assign(trial.training.learning_rate)


def _settings(trial: Trial, floatx: str) -> Settings:
    """The numbers that an evaluation needs; the others are off."""

    def one(value: float) -> tf.Tensor:
        return tf.constant([float(np.float32(value))], floatx)

    off = one(0.0)
    numbers = () if trial.blueprint is None else trial.blueprint.numbers
    return Settings(
        learning_rates=off[:, None],
        l1=one(trial.model.l1),
        l2=one(trial.model.l2),
        momentum=off,
        weight_decay=off,
        clipnorm=off,
        numbers=tf.constant(np.array([numbers], np.float32).reshape(1, -1), floatx),
    )


def build_optimizer(trial: Trial, steps: int) -> keras.optimizers.Optimizer:
    """Return the Keras optimizer of a trial, not wrapped for loss scaling.

    `compile` does the wrapping, where the model's policy is `mixed_float16`.
    """
    training = trial.training
    common = {
        "learning_rate": TableSchedule(learning_rates(training, steps)),
        "clipnorm": training.clipnorm,
        "weight_decay": training.weight_decay or None,
    }
    match training.optimizer:
        case "sgd":
            return keras.optimizers.SGD(
                momentum=training.momentum, nesterov=training.nesterov, **common
            )
        case "adam":
            return keras.optimizers.Adam(**common)
        case "adamw":
            return keras.optimizers.AdamW(**common | {"weight_decay": training.weight_decay or 0.0})
        case "rmsprop":
            return keras.optimizers.RMSprop(momentum=training.momentum, **common)
    raise ValueError(f"unknown optimizer {training.optimizer!r}")


class _ProbedStep:
    """Keras' `train_step`, with the readings of its probes as its logs."""

    def __init__(self, subject: Subject, heads: Heads | None = None) -> None:
        self._subject = subject
        self._model = model = subject.model
        self._heads = heads
        self._computed_in = compute_dtypes(model)
        self._layers: list[str] = []
        self._slots: list[str] = []

    def __call__(self, data: tuple[tf.Tensor, Any]) -> dict[str, tf.Tensor]:
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
        raw = tape.gradient(objective, weights, unconnected_gradients=_ZERO)
        # Those of an embedding come as slices.
        gradients = [tf.convert_to_tensor(gradient) for gradient in raw]
        # What was flushed to zero would be hidden by the gradient of a penalty.
        apart = model.losses and self._subject.closed_form
        bare = tape.gradient(of_data, weights) if apart else gradients
        nonzero = tf.add_n([probes.count_nonzero(gradient[None])[0] for gradient in bare])
        scaling = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        if not optimizer.built:
            optimizer.build(weights)
        scale = tf.identity(optimizer.dynamic_scale.value) if scaling else tf.ones([])
        applied = tf.identity(optimizer.iterations.value)
        optimizer.apply_gradients(zip(gradients, weights, strict=True))
        skipped = tf.equal(applied, optimizer.iterations.value)

        unscaled = [g / tf.cast(scale, g.dtype) for g in gradients] if scaling else gradients
        self._layers = record.names
        inner = optimizer.inner_optimizer if scaling else optimizer
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


class _History(keras.callbacks.Callback):
    """Keeps the logs of every batch; stops where the stacked engine does, see `State.active`."""

    def __init__(self) -> None:
        super().__init__()
        self._rows: list[list[float]] = []
        self._broken = False

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
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


class _Watch(keras.callbacks.Callback):
    """Keeps what was seen of the steps from `first` to `last`."""

    def __init__(self, first: int, last: int, predictions: bool) -> None:
        super().__init__()
        self.heads = Heads()
        self.moments: list[Moment] = []
        self._first, self._last, self._predictions = first, last, predictions
        self._step = 0

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
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


_ZERO = tf.UnconnectedGradients.ZERO

_SLOTS = {
    "SGD": ("momentum",),
    "Adam": ("momentum", "velocity"),
    "AdamW": ("momentum", "velocity"),
    "RMSprop": ("velocity", "momentum"),
}


def _stacked(variable: Any, copies: int) -> tf.Tensor:
    return tf.stack([variable.value] * copies)


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
    return tf.stack([tf.cast(probes.largest(tf.abs(tensor))[0], dtype) for tensor in tensors])


def _stack_of_one(tensors: list[tf.Tensor]) -> list[tf.Tensor]:
    return [tensor[None] for tensor in tensors]
