"""With the guard training is what it is without, and nothing of it is left behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from integrations.guarded_models import (
    GRAPH,
    WAYS,
    Way,
    compiled,
    data,
    plain,
    same,
    state,
    train,
)

from stabilitysweep.integrations.keras import StabilityGuard


def alike(one: list[Any], other: list[Any]) -> bool:
    """Whether all is equal to rounding."""
    return all(np.allclose(a, b, rtol=1e-5, atol=1e-6) for a, b in zip(one, other, strict=True))


def guard(every: int = 3, **settings: Any) -> StabilityGuard:
    return StabilityGuard(every, report=None, quiet=True, **settings)


@pytest.mark.parametrize(
    "way",
    [
        *WAYS,
        pytest.param((False, False, 3), id="graph by threes"),
        pytest.param((True, False, 3), id="xla by threes", marks=pytest.mark.slow),
    ],
)
def test_weights_and_slots_are_the_same_to_the_bit(way: Way) -> None:
    alone, guarded = plain(way, built=False), plain(way, built=False)
    train(alone, epochs=2)
    watcher = guard()
    train(guarded, watcher, epochs=2)
    equal = alike if way[0] else same  # under XLA only to rounding
    assert equal(state(alone), state(guarded))
    assert watcher.report is not None
    assert (watcher.report.onset, watcher.report.steps_run) == (None, 16)
    # Again, without it: the seeds of dropout are where they would be.
    train(alone, epochs=1)
    train(guarded, epochs=1)
    assert equal(state(alone), state(guarded))


class Noise(keras.layers.Layer):
    """Noise from an operation that counts its own draws."""

    def call(self, inputs: Any, training: bool = False) -> Any:
        return inputs + tf.random.normal(tf.shape(inputs)) if training else inputs


def test_noise_with_a_count_of_its_own_is_drawn_as_without() -> None:
    # Under XLA no two trainings with such noise are alike, without a guard either.
    def trained(*callbacks: Any) -> list[Any]:
        keras.utils.set_random_seed(5)
        model = compiled([keras.layers.Dense(3), Noise(), keras.layers.Dense(1)], GRAPH)
        train(model, *callbacks, epochs=2)
        return state(model)

    assert same(trained(), trained(guard(100)))


@pytest.mark.parametrize(
    "policy",
    [
        "mixed_float16",
        "float64",
        pytest.param("float16", marks=pytest.mark.slow),
        pytest.param("mixed_bfloat16", marks=pytest.mark.slow),
    ],
)
def test_every_precision_is_watched_and_left_alone(policy: str) -> None:
    floatx = keras.config.floatx()
    keras.config.set_dtype_policy(policy)
    if policy == "float64":
        keras.config.set_floatx("float64")
    try:
        alone, guarded = (plain(optimizer=keras.optimizers.SGD(0.01)) for _ in range(2))
        train(alone, epochs=1)
        watcher = guard()
        train(guarded, watcher, epochs=1)
    finally:
        keras.config.set_floatx(floatx)
        keras.config.set_dtype_policy("float32")
    # TensorFlow lays out the graph of float64 otherwise where a gradient is read.
    equal = alike if policy == "float64" else same
    assert equal(state(alone), state(guarded))
    assert watcher.report is not None and watcher.report.onset is None
    scale = getattr(alone.optimizer, "dynamic_scale", None)
    assert watcher.report.loss_scale == (1.0 if scale is None else float(scale.numpy()))


def test_the_loss_is_that_of_the_batch_with_penalties_and_weights() -> None:
    x, y = data()
    keras.utils.set_random_seed(3)
    inputs = keras.Input((x.shape[1],))
    regularizer = keras.regularizers.L2(0.1)
    hidden = keras.layers.Dense(4, kernel_regularizer=regularizer)(inputs)
    outputs = [keras.layers.Dense(1, name=name)(hidden) for name in ("one", "two")]
    model = keras.Model(inputs, outputs)
    model.compile("sgd", loss=["mse", "mae"], loss_weights=[1.0, 0.5])
    weights = np.linspace(0.5, 2, len(x)).astype(np.float32)
    expected = model.test_on_batch(x, [y, y], [weights, weights], return_dict=True)["loss"]
    watcher = guard()
    model.fit(
        x, [y, y], sample_weight=[weights, weights], batch_size=len(x), verbose=0,
        callbacks=[watcher],
    )  # fmt: skip
    assert watcher.report is not None
    assert watcher.report.curve[0].loss == pytest.approx(float(expected), rel=1e-5)


class Own(keras.Model):
    """A user's own step: another loss, two optimizers, `apply`."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = keras.layers.Dense(3), keras.layers.Dense(1)
        self.other = keras.optimizers.SGD(0.01)

    def call(self, inputs: Any) -> Any:
        return self.second(self.first(inputs))

    def train_step(self, batch: Any) -> Any:
        x, y = batch
        with tf.GradientTape(persistent=True) as tape:
            loss = self.compute_loss(x, y, self(x, training=True))
        kernels = self.first.trainable_variables, self.second.trainable_variables
        self.optimizer.apply(tape.gradient(loss, kernels[0]), kernels[0])
        self.other.apply_gradients(zip(tape.gradient(loss, kernels[1]), kernels[1], strict=True))
        return {"own": loss}


def test_a_step_of_the_users_own_is_watched_with_all_its_optimizers() -> None:
    keras.utils.set_random_seed(0)
    model = Own()
    model.compile("adam", loss="mse")
    watcher = guard()
    history = train(model, watcher, epochs=1)
    report = watcher.report
    assert report is not None and report.steps_run == 8
    assert report.curve[-1].loss == pytest.approx(history.history["own"][0])
    assert report.curve[-1].iteration == 8
    looked_at = {moment.step: moment.tensors for moment in report.moments}
    gradients = [stats.tensor for stats in looked_at[6] if stats.quantity == "gradient"]
    assert len(set(gradients)) == 4


def test_sliced_gradients_and_accumulated_ones_are_watched() -> None:
    def built() -> keras.Model:
        keras.utils.set_random_seed(4)
        layers = [keras.layers.Embedding(7, 3), keras.layers.Flatten(), keras.layers.Dense(1)]
        model = keras.Sequential([keras.Input((2,), dtype="int32"), *layers])
        optimizer = keras.optimizers.Adam(0.01, gradient_accumulation_steps=2)
        model.compile(optimizer, loss="mse")
        return model

    x = np.random.default_rng(0).integers(0, 7, (32, 2))
    y = x.sum(axis=1, keepdims=True).astype(np.float32)
    models = [built(), built()]
    watcher = guard()
    models[0].fit(x, y, batch_size=4, verbose=0, shuffle=False)
    models[1].fit(x, y, batch_size=4, verbose=0, shuffle=False, callbacks=[watcher])
    assert same(state(models[0]), state(models[1]))
    assert watcher.report is not None and watcher.report.steps_run == 8
    assert all(
        reading.gradient_norm for reading in watcher.report.curve if reading.step in (1, 2, 3, 6)
    )


def test_steps_are_counted_from_one_in_every_fit() -> None:
    model, watcher = plain(), guard()
    train(model, watcher, epochs=1)
    train(model, watcher, epochs=3, initial_epoch=1)
    report = watcher.report
    assert report is not None
    assert [r.step for r in report.curve] == list(range(1, 17))
    assert [r.iteration for r in report.curve] == list(range(9, 25))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras' own
def test_nothing_is_left_behind(tmp_path: Path) -> None:
    model = plain()
    names = set(vars(model)), set(vars(model.optimizer))
    watcher = guard()
    train(model, watcher, epochs=1)
    assert (set(vars(model)) - {"history"}, set(vars(model.optimizer))) >= names
    for owner in (model, model.optimizer):
        assert not {"train_step", "compute_loss", "apply"} & set(vars(owner))
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert same(again.get_weights(), model.get_weights())


class Trouble(keras.callbacks.Callback):
    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if batch == 2:
            raise KeyboardInterrupt


@pytest.mark.slow
def test_a_fit_that_is_interrupted_leaves_a_model_that_trains_as_before() -> None:
    alone, guarded = plain(), plain()
    for model, callbacks in ((alone, []), (guarded, [guard()])):
        with pytest.raises(KeyboardInterrupt):
            train(model, *callbacks, Trouble())
    train(alone, epochs=1)
    train(guarded, epochs=1)
    assert same(state(alone), state(guarded))
    function = guarded.train_function
    train(guarded, epochs=1)
    assert guarded.train_function is function  # Keras' own, and kept
    watcher = guard()
    train(guarded, watcher, epochs=1)
    assert watcher.report is not None and watcher.report.steps_run == 8


def test_evaluating_and_predicting_with_the_guard_are_harmless() -> None:
    model, watcher = plain(), guard()
    x, y = data()
    model.evaluate(x, y, verbose=0, callbacks=[watcher])
    model.predict(x, verbose=0, callbacks=[watcher])
    assert watcher.report is None
    model.fit(x, y, verbose=0, validation_data=(x, y), callbacks=[watcher])
    assert watcher.report is not None and watcher.report.onset is None
