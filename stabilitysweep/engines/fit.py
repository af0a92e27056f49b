"""The fit engine: one trial after another by `model.fit`, the yardstick of the stacked engine.

Everything that decides a trial is Keras' own here: the model, the optimizer, the loss
scaling, the training loop. Only `train_step` is replaced, by one that does what Keras' does
and also hands out what its probes saw; the tests hold it against stock Keras, weight by
weight. Initial weights, batches and their order are those of the stacked engine.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from stabilitysweep.data import PreparedData, batch_order
from stabilitysweep.engines.base import LEAST_PLACES, Stack, cast, first_precision, input_onset
from stabilitysweep.engines.curvature import Curvatures
from stabilitysweep.engines.evaluation import Evaluation, Evaluator
from stabilitysweep.engines.probed_step import History, ProbedStep, Watch
from stabilitysweep.engines.results import StackRecord, input_failures, results
from stabilitysweep.engines.schedules import learning_rates
from stabilitysweep.engines.stack_state import Reading, Settings
from stabilitysweep.engines.subject import BuiltIn, Subject, UserModel, UserModels, output_name
from stabilitysweep.grid import Trial
from stabilitysweep.models.builder import ModelSpec, build_model, precision_scope
from stabilitysweep.models.compiled import inner_optimizer, user_loss
from stabilitysweep.models.losses import build_loss
from stabilitysweep.models.programs import Program
from stabilitysweep.numerics.moments import Moment
from stabilitysweep.types import Compiled, TrialResult

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

    def few_steps(self, stack: Stack, data: PreparedData) -> Reading:
        """Train the single trial of a stack for its few steps, and evaluate nothing."""
        keras.backend.clear_session()
        with precision_scope(stack.program.precision):
            # A graph would cost more than it saves; under XLA random numbers are others.
            eagerly = stack.program.compiled is Compiled.GRAPH
            return fit(set_up(stack, data, self._users, eagerly=eagerly), stack.steps)

    def inspect(
        self, stack: Stack, data: PreparedData, first: int, last: int, *, predictions: bool
    ) -> list[Moment]:
        """Train the first trial of the stack again, and look; see `Engine.inspect`."""
        keras.backend.clear_session()
        alone = Stack(stack.program, stack.trials[:1], 1)
        watch = Watch(first, last, predictions)
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


class Setup(NamedTuple):
    """A trial's own model, ready for `fit`.

    Attributes:
        subject: its model compiled, and its step replaced by `step`.
        initial: trainable weights before step 1.
        step: what is read of every batch.
        batches: of the whole training.
    """

    subject: Subject
    initial: list[NDArray[Any]]
    step: ProbedStep
    batches: tf.data.Dataset


def set_up(
    stack: Stack,
    data: PreparedData,
    users: UserModels | None = None,
    watch: Watch | None = None,
    *,
    eagerly: bool = False,
) -> Setup:
    """Build and compile the model of the single trial of `stack`; see `train`."""
    (trial,) = stack.trials
    program = stack.program
    subject = _subject(trial, program, users)
    model = subject.model
    user = trial.blueprint
    model.compile(
        optimizer=model.optimizer
        if user is not None and user.compiled
        else build_optimizer(trial, stack.steps),
        loss=build_loss(program.loss) if user is None else user_loss(model),
        loss_weights=getattr(model._compile_loss, "_user_loss_weights", None),
        jit_compile=program.compiled is Compiled.XLA,
        run_eagerly=eagerly,
        # Where its user has decided against the scaling of the loss, so it stays.
        auto_scale_loss=user is None or not user.compiled,
    )
    if user is not None and user.compiled:
        _override_rate(trial, model)
    step = ProbedStep(subject, watch.heads if watch else None)
    model.train_step = step
    x, y = cast(data.x_train, data.y_train, keras.config.floatx())
    order = batch_order(trial.seed, stack.batch_size, data.train_rows, stack.steps)

    def batch_of(rows: tf.Tensor) -> tuple[Any, Any]:
        own = tf.nest.map_structure(lambda table: tf.gather(table, rows), (x, y))
        inputs = subject.inputs(own[0])
        # As Keras' own adapters do: `tf.data` takes a list for one tensor.
        return tuple(inputs) if isinstance(inputs, list) else inputs, own[1]

    plain = tf.autograph.experimental.do_not_convert(batch_of)
    batches = tf.data.Dataset.from_tensor_slices(order).map(plain)
    initial = [variable.numpy() for variable in model.trainable_variables]
    return Setup(subject, initial, step, batches)


def fit(setup: Setup, steps: int, watch: Watch | None = None) -> Reading:
    """Call `model.fit` for some steps; return the readings, [T, 1] each."""
    history = History()
    setup.subject.model.fit(
        setup.batches,
        epochs=1,
        steps_per_epoch=steps,
        shuffle=False,
        verbose=0,
        callbacks=[history, watch] if watch else [history],
    )
    return history.readings()


def train(
    stack: Stack,
    data: PreparedData,
    watch: Watch | None = None,
    users: UserModels | None = None,
) -> StackRecord:
    """Train the single trial of `stack` by `model.fit`, inside its `precision_scope`.

    Args:
        stack: of one trial.
        data: what it is trained on.
        watch: looks at some of the steps.
        users: the users' modules, for a trial of a user's model.
    """
    (trial,) = stack.trials
    setup = set_up(stack, data, users, watch)
    subject, model = setup.subject, setup.subject.model
    floatx = keras.config.floatx()
    evaluator = Evaluator(stack.program, subject)
    copies = 1 if trial.blueprint is None else LEAST_PLACES
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

    x, y = cast(data.x_train, data.y_train, floatx)
    before = evaluate(x, y)
    readings = fit(setup, stack.steps, watch)
    after = evaluate(x, y)
    x_validation, y_validation = cast(data.x_validation, data.y_validation, floatx)
    if watch is not None and len(x_validation):
        watch.look_at_predictions(subject, x_validation)
    scale = getattr(model.optimizer, "dynamic_scale", None)
    return StackRecord(
        initial=[setup.initial],
        readings=readings,
        probe_table=setup.step.table(),
        before=before,
        after=after,
        validation=evaluate(x_validation, y_validation) if len(x_validation) else None,
        final_scale=np.array([1.0 if scale is None else float(scale.numpy())]),
        output=output_name(model),
        scaled=scale is not None,
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


def _stacked(variable: Any, copies: int) -> tf.Tensor:
    return tf.stack([variable.value] * copies)
