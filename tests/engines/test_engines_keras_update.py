"""Any Keras optimizer on a stack does to each trial what it does to that trial alone.

Notation: P trials, T steps. The weights are those of a convolution and of a head: tensors of
one, two and three dimensions. Gradients are made up.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from stabilitysweep.engines.keras_update import KerasUpdate, optimizer_variables

P, T = 3, 5
RATES = np.array([1e-3, 0.02, 0.3], np.float32)
EPS = float(np.finfo(np.float32).eps)
OPT = keras.optimizers

Make = Callable[[float], keras.optimizers.Optimizer]


def made(kind: type, **options: Any) -> Make:
    return lambda rate: kind(learning_rate=rate, **options)


# Of sums and products alone, which every kernel rounds alike: equal to the bit.
EXACT: dict[str, Make] = {
    "sgd": made(OPT.SGD),
    "momentum": made(OPT.SGD, momentum=0.9),
    "nesterov": made(OPT.SGD, momentum=0.9, nesterov=True),
    "lion": made(OPT.Lion),
    "sgd, clipvalue": made(OPT.SGD, clipvalue=0.4),
    "sgd, weight_decay": made(OPT.SGD, weight_decay=0.1),
    "sgd, accumulation": made(OPT.SGD, gradient_accumulation_steps=2),
    "momentum, accumulation, decay": made(
        OPT.SGD, momentum=0.9, gradient_accumulation_steps=4, weight_decay=0.1
    ),
    "sgd, ema": made(OPT.SGD, use_ema=True, ema_momentum=0.8),
    "sgd, ema that overwrites": made(
        OPT.SGD, use_ema=True, ema_momentum=0.8, ema_overwrite_frequency=2
    ),
    "sgd, ema, accumulation": made(
        OPT.SGD, use_ema=True, ema_overwrite_frequency=3, gradient_accumulation_steps=2
    ),
}
ROUNDED: dict[str, Make] = {
    "rmsprop": made(OPT.RMSprop),
    "rmsprop, centered": made(OPT.RMSprop, centered=True, momentum=0.9),
    "adam": made(OPT.Adam),
    "adam, amsgrad": made(OPT.Adam, amsgrad=True),
    "adamw": made(OPT.AdamW, weight_decay=0.1),
    "nadam": made(OPT.Nadam),
    "adagrad": made(OPT.Adagrad),
    "adadelta": made(OPT.Adadelta),
    "adamax": made(OPT.Adamax),
    "ftrl": made(OPT.Ftrl, l1_regularization_strength=0.01, l2_regularization_strength=0.1),
    "lamb": made(OPT.Lamb, weight_decay=0.1),
    "adafactor": made(OPT.Adafactor),
    "adafactor, absolute": made(OPT.Adafactor, relative_step=False, beta_2_decay=-0.5),
    "muon": made(OPT.Muon),
    "muon, exclude_layers": made(OPT.Muon, exclude_layers=["head"]),
    "sgd, clipnorm": made(OPT.SGD, clipnorm=0.7),
    "sgd, global_clipnorm": made(OPT.SGD, global_clipnorm=0.7),
    "adam, all at once": made(
        OPT.Adam,
        global_clipnorm=0.7,
        weight_decay=0.05,
        use_ema=True,
        ema_overwrite_frequency=2,
        gradient_accumulation_steps=2,
    ),
    "nadam, accumulation": made(OPT.Nadam, gradient_accumulation_steps=2, clipvalue=0.4),
}
CASES = EXACT | ROUNDED
# Each family of slots and of terms around the update; the others are theirs again.
QUICK = {
    "momentum",
    "lion",
    "momentum, accumulation, decay",
    "sgd, ema that overwrites",
    "rmsprop, centered",
    "adamw",
    "adafactor",
    "muon, exclude_layers",
    "sgd, global_clipnorm",
    "adam, all at once",
}
EACH = [case if case in QUICK else pytest.param(case, marks=pytest.mark.slow) for case in CASES]


def model_of(**options: Any) -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((4, 2)),
            keras.layers.Conv1D(3, 2, name="conv", **options),
            keras.layers.Flatten(name="flat"),
            keras.layers.Dense(2, name="head", **options),
        ]
    )


def drawn(model: keras.Model, seed: int, *leading: int) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [
        random.normal(size=(*leading, *weight.shape)).astype(np.float32)
        for weight in model.trainable_variables
    ]


def gradients_of(model: keras.Model) -> list[np.ndarray]:
    """[T, P, ...] for each weight, of sizes that differ from trial to trial."""
    sizes = np.array([0.3, 1.0, 4.0], np.float32)
    return [
        values * sizes.reshape(1, P, *[1] * (values.ndim - 2)) for values in drawn(model, 1, T, P)
    ]


class Path:
    """Weights and slots of each trial after each step, and what training leaves behind."""

    def __init__(self, steps: list[tuple[list[Any], list[Any]]], final: list[Any]) -> None:
        self.steps = [[np.asarray(tensor) for tensor in (*w, *s)] for w, s in steps]
        self.steps.append([np.asarray(tensor) for tensor in final])


Step = Callable[[list[np.ndarray]], Path]


def stacked(make: Make, model: keras.Model) -> Step:
    """The stack, traced once: what gradients make of it."""
    update = KerasUpdate(make(0.5), model.trainable_variables)
    step = tf.function(update, autograph=False)
    return lambda gradients: _stacked_path(update, step, model, gradients)


def stacked_path(make: Make, model: keras.Model, gradients: list[np.ndarray]) -> Path:
    return stacked(make, model)(gradients)


def _stacked_path(
    update: KerasUpdate, step: Callable[..., Any], model: keras.Model, gradients: list[np.ndarray]
) -> Path:
    weights = tuple(tf.constant(values) for values in drawn(model, 0, P))
    slots = update.initial(tf.constant(P))
    steps = []
    for place in range(T):
        own = tuple(tf.constant(values[place]) for values in gradients)
        count = tf.fill([P], tf.constant(place, tf.int64))
        weights, slots = step(weights, own, slots, tf.constant(RATES), count)
        steps.append(([w.numpy() for w in weights], [slot.numpy() for (slot,) in slots]))
    return Path(steps, [tensor.numpy() for tensor in update.final_weights(weights, slots)])


class Alone:
    """Keras' own optimizer for one trial after another, in a graph as `fit` has it."""

    def __init__(self, make: Make, model: keras.Model) -> None:
        self._model = model
        self._optimizer = optimizer = make(0.5)
        optimizer.build(model.trainable_variables)
        self._kept = [optimizer._iterations, *optimizer_variables(optimizer)]
        self._begin = [variable.numpy() for variable in self._kept]
        self._apply = tf.function(
            lambda own: optimizer.apply(own, model.trainable_variables), autograph=False
        )

    def __call__(self, gradients: list[np.ndarray], trial: int) -> Path:
        weights = self._model.trainable_variables
        for weight, values in zip(weights, drawn(self._model, 0, P), strict=True):
            weight.assign(values[trial])
        for variable, value in zip(self._kept, self._begin, strict=True):
            variable.assign(value)
        self._optimizer.learning_rate = RATES[trial]
        steps = []
        for place in range(T):
            self._apply([tf.constant(values[place, trial]) for values in gradients])
            slots = [variable.numpy() for variable in self._kept[1:]]
            steps.append(([weight.numpy() for weight in weights], slots))
        self._optimizer.finalize_variable_values(weights)
        return Path(steps, [weight.numpy() for weight in weights])


def keras_path(make: Make, model: keras.Model, gradients: list[np.ndarray], trial: int) -> Path:
    for weight, values in zip(model.trainable_variables, drawn(model, 0, P), strict=True):
        weight.assign(values[trial])
    return Alone(make, model)(gradients, trial)


@cache
def known(case: str) -> tuple[keras.Model, Step, Alone]:
    """Both, each traced once."""
    model = model_of()
    return model, stacked(CASES[case], model), Alone(CASES[case], model_of())


def assert_alike(path: Path, alone: Path, trial: int, *, exact: bool) -> None:
    """Equal to the bit, or within 8 units in the last place of a tensor's largest entry."""
    assert len(path.steps) == len(alone.steps)
    for place, (ours, own) in enumerate(zip(path.steps, alone.steps, strict=True)):
        for stack, expected in zip(ours, own, strict=True):
            largest = np.max(np.abs(expected), where=np.isfinite(expected), initial=0.0)
            np.testing.assert_allclose(
                stack[trial],
                expected,
                rtol=0,
                atol=0 if exact else 8 * EPS * float(largest),
                err_msg=f"after step {place + 1}",
            )


@pytest.mark.parametrize("case", EACH)
def test_each_trial_is_updated_as_if_alone(case: str) -> None:
    model, stack, alone = known(case)
    gradients = gradients_of(model)
    path = stack(gradients)
    for trial in range(P):
        assert_alike(path, alone(gradients, trial), trial, exact=case in EXACT)


def test_an_optimizer_whose_slots_begin_as_the_weights_is_refused() -> None:
    with pytest.raises(ValueError, match="begins with a trial's own weights"):
        KerasUpdate(OPT.ScheduleFreeAdamW(0.1), model_of().trainable_variables)


@pytest.mark.parametrize(
    "constraint",
    [
        keras.constraints.NonNeg(),
        keras.constraints.MaxNorm(0.5),
        keras.constraints.UnitNorm(),
        keras.constraints.MinMaxNorm(0.2, 0.4, rate=0.5),
    ],
    ids=lambda constraint: type(constraint).__name__,
)
@pytest.mark.parametrize("case", ["sgd", "sgd, ema that overwrites"])
def test_constraints_hold_for_each_trial_by_itself(case: str, constraint: Any) -> None:
    model = model_of(kernel_constraint=constraint)
    gradients = gradients_of(model)
    path, alone = stacked_path(CASES[case], model, gradients), Alone(CASES[case], model)
    for trial in range(P):
        assert_alike(path, alone(gradients, trial), trial, exact=False)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 3e38])
@pytest.mark.parametrize("case", EACH)
def test_a_broken_neighbour_changes_no_bit_and_breaks_as_it_would_alone(
    case: str, bad: float
) -> None:
    model, stack, alone = known(case)
    clean = gradients_of(model)
    dirty = [values.copy() for values in clean]
    dirty[0][1, 1, 0, 1, 2] = bad  # one entry of one trial's kernel, in the second step
    before, after = stack(clean), stack(dirty)
    for ours, own in zip(after.steps, before.steps, strict=True):
        for stack, expected in zip(ours, own, strict=True):
            for trial in (0, 2):
                np.testing.assert_array_equal(stack[trial], expected[trial])
    assert_alike(after, alone(dirty, 1), 1, exact=case in EXACT)


def test_slots_are_named_by_their_weights_each_once() -> None:
    model = model_of()
    update = KerasUpdate(OPT.Adam(), model.trainable_variables)
    paths = [variable.path for variable in model.trainable_variables]
    slots = ("momentum", "velocity")
    assert sorted(update.names) == sorted(f"{path}/{slot}" for path in paths for slot in slots)
    assert KerasUpdate(OPT.SGD(), model_of().trainable_variables).names == []


@pytest.mark.parametrize("case", ["momentum", "nadam", "adafactor", "sgd, ema that overwrites"])
def test_neither_the_template_nor_its_optimizer_is_written_to(case: str) -> None:
    model, optimizer = model_of(), CASES[case](0.5)
    update = KerasUpdate(optimizer, model.trainable_variables)
    variables = [*model.trainable_variables, *optimizer_variables(optimizer), optimizer._iterations]
    before = [variable.numpy() for variable in variables]
    rate = optimizer._learning_rate
    weights = tuple(tf.constant(values) for values in drawn(model, 0, P))
    slots = update.initial(tf.constant(P))
    update(weights, weights, slots, tf.constant(RATES), tf.zeros([P], tf.int64))
    assert optimizer._learning_rate is rate and float(rate) == 0.5
    for variable, value in zip(variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


def test_keras_optimizers_write_as_ever_after_an_update() -> None:
    model = model_of()
    gradients = gradients_of(model)
    before = keras_path(CASES["adamw"], model, gradients, 0)
    stacked_path(CASES["nadam"], model, gradients)
    after = keras_path(CASES["adamw"], model, gradients, 0)
    for ours, own in zip(after.steps, before.steps, strict=True):
        for value, expected in zip(ours, own, strict=True):
            np.testing.assert_array_equal(value, expected)


def excluding(kind: str) -> Make:
    """AdamW that leaves some weights of `WEIGHTS` alone, by name or by the variables."""

    def make(rate: float) -> keras.optimizers.Optimizer:
        optimizer = OPT.AdamW(rate, weight_decay=0.5)
        if kind == "names":
            optimizer.exclude_from_weight_decay(var_names=["bias"])
        else:
            optimizer.exclude_from_weight_decay(var_list=LISTED)
        return optimizer

    return make


LISTED: list[Any] = []


@pytest.mark.parametrize(
    "kind",
    ["names", "variables"],
)
def test_what_is_excluded_from_weight_decay_does_not_decay(kind: str) -> None:
    model = model_of()
    LISTED[:] = [model.trainable_variables[0]]
    gradients = gradients_of(model)
    path = stacked_path(excluding(kind), model, gradients)
    for trial in range(P):
        assert_alike(path, keras_path(excluding(kind), model, gradients, trial), trial, exact=False)


def test_an_optimizer_that_its_user_has_built_updates_as_any_other() -> None:
    model = model_of()

    def built(rate: float) -> keras.optimizers.Optimizer:
        optimizer = OPT.Adam(rate)
        optimizer.build(model.trainable_variables)
        return optimizer

    gradients = gradients_of(model)
    path = stacked_path(built, model, gradients)
    for trial in range(P):
        assert_alike(path, keras_path(built, model, gradients, trial), trial, exact=False)
