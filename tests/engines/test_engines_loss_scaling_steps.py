"""Loss scaling inside a step and a run: what is skipped, what is kept, what follows.

Notation: P trials; g is a trial's largest unscaled gradient, in float16. Start-up skips
`k` steps, the smallest k with g * 2**(15 - k) < 65,520, what float16 rounds to Inf.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from planting import Garden, Plant

from stabilitysweep.data import PreparedData
from stabilitysweep.engines.fit import FitEngine
from stabilitysweep.engines.loss_scaling import LossScale
from stabilitysweep.engines.stack_state import Settings, State
from stabilitysweep.engines.stacked import StackedEngine
from stabilitysweep.engines.step import TrainingStep, _Pass
from stabilitysweep.engines.subject import BuiltIn
from stabilitysweep.models.builder import ModelSpec, build_model, precision_scope
from stabilitysweep.types import Compiled, Kind, Onset, Outcome, Stage

P, RATE = 3, 0.125
SHAPES = ((3, 1), (1,))
OPTIMIZERS: dict[str, tuple[dict[str, Any], Callable[[], Any], dict[str, str]]] = {
    "sgd": ({}, lambda: keras.optimizers.SGD(RATE), {}),
    "momentum": (
        {"momentum": 0.5},
        lambda: keras.optimizers.SGD(RATE, momentum=0.5),
        {"momentum": "momentums"},
    ),
    "adam": (
        {"optimizer": "adam"},
        lambda: keras.optimizers.Adam(RATE),
        {"momentum": "_momentums", "velocity": "_velocities"},
    ),
    "rmsprop": (
        {"optimizer": "rmsprop"},
        lambda: keras.optimizers.RMSprop(RATE),
        {"velocity": "_velocities"},
    ),
}


def scaled_in_half(gradients: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """The gradient of a scaled loss as a float16 layer computes it."""
    return tf.cast(tf.cast(gradients * scale, tf.float16), tf.float32)


class FedStep(TrainingStep):
    """A step whose gradients are given to it, as its inputs [P, 4]."""

    def _forward_backward(self, state: State, _: Settings, x: tf.Tensor, y: tf.Tensor) -> _Pass:
        self.layers = ["given"]
        kernel, bias = tf.split(scaled_in_half(x, state.loss_scale.scale[:, None]), [3, 1], axis=1)
        gradients = self.packing.pack([kernel[:, :, None], bias])
        return _Pass(tf.zeros([P]), gradients, state.others, (tf.zeros([P, 1]),))


@cache
def fed_step(lab: Any, optimizer: str) -> tuple[State, Callable[..., State], TrainingStep]:
    """The state before step 1, the compiled step, and what it was compiled from."""
    training = {"precision": "mixed_float16", **OPTIMIZERS[optimizer][0]}
    trials = lab.trials(lab.data(), model={"depth": 0}, training=training)
    program = lab.program(trials, lab.data())
    with precision_scope("mixed_float16"):
        model = build_model(ModelSpec(program.model, 3, 1, "mixed_float16"), 0)
        step = FedStep(program, BuiltIn(program, model))
        weights = tuple(tf.ones([P, *shape]) for shape in SHAPES)
        zeros = tf.zeros([P])
        numbers = Settings(
            learning_rates=tf.fill([P, 1], RATE),
            l1=zeros,
            l2=zeros,
            momentum=tf.fill([P], training.get("momentum", 0.0)),
            weight_decay=zeros,
            clipnorm=zeros,
            numbers=tf.zeros([P, 0]),
        )

        @tf.function(autograph=False)
        def graph(state: State, gradients: tf.Tensor) -> State:
            constants = step.constants(state, numbers)
            targets, sampled = tf.zeros([P, 1, 1]), tf.constant(False)
            after, _ = step(state, numbers, constants, gradients, targets, sampled)
            return after

        return step.initial_state(weights, ()), graph, step


class Keras:
    """Keras' own optimizer under its loss scaling, for one trial; reset before use."""

    def __init__(self, optimizer: str) -> None:
        _, build, self.attributes = OPTIMIZERS[optimizer]
        self.weights = [keras.Variable(np.ones(shape, np.float32)) for shape in SHAPES]
        self.optimizer = keras.optimizers.LossScaleOptimizer(build())
        self.optimizer.build(self.weights)

        @tf.function(autograph=False)
        def apply(gradients: tf.Tensor) -> None:
            scaled = scaled_in_half(gradients, self.optimizer.dynamic_scale.value)
            parts = [tf.reshape(scaled[:3], [3, 1]), scaled[3:]]
            self.optimizer.apply(parts, self.weights)

        self.apply = apply

    def reset(self, counter: int) -> None:
        inner = self.optimizer.inner_optimizer
        slots = [slot for name in self.attributes.values() for slot in getattr(inner, name)]
        for variable in (inner._iterations, *slots):
            variable.assign(np.zeros(variable.shape))
        for weight in self.weights:
            weight.assign(np.ones(weight.shape))
        self.optimizer.dynamic_scale.assign(2.0**15)
        self.optimizer.step_counter.assign(counter)

    def state(self) -> dict[str, list[np.ndarray]]:
        inner = self.optimizer.inner_optimizer
        return {
            "weights": [weight.numpy() for weight in self.weights],
            **{
                name: [slot.numpy() for slot in getattr(inner, attribute)]
                for name, attribute in self.attributes.items()
            },
            "scale": [self.optimizer.dynamic_scale.numpy()],
            "counter": [self.optimizer.step_counter.numpy()],
            "iterations": [inner.iterations.numpy()],
        }


@cache
def keras_trials(optimizer: str) -> list[Keras]:
    return [Keras(optimizer) for _ in range(P)]


def states(state: State, step: TrainingStep) -> list[dict[str, list[np.ndarray]]]:
    """What each trial's state holds, in the words of `Keras.state`."""
    unpack = step.packing.unpack
    tensors = {
        "weights": unpack(state.weights),
        **{name: unpack(slot) for name, slot in zip(step.slot_names, state.slots, strict=True)},
        "scale": [state.loss_scale.scale],
        "counter": [state.loss_scale.counter],
        "iterations": [state.iterations],
    }
    return [
        {name: [tensor[trial].numpy() for tensor in group] for name, group in tensors.items()}
        for trial in range(P)
    ]


# Finite in float16 at a scale of 2^15, or after a few halvings, or after very many, or never.
SIZE = st.sampled_from([1e-9, 0.3, 1.0, 3.0, 100.0, 6e4, 1e30, math.nan, math.inf, -math.inf])


@pytest.mark.parametrize(
    "optimizer",
    ["sgd", "adam", *[pytest.param(o, marks=pytest.mark.slow) for o in ("momentum", "rmsprop")]],
)
def test_weights_slots_iterations_and_scale_are_those_of_keras_after_every_step(
    lab: Any, optimizer: str
) -> None:
    begin, graph, step = fed_step(lab, optimizer)
    exact = optimizer in ("sgd", "momentum")

    @settings(derandomize=True, deadline=None, max_examples=8)
    @given(
        st.lists(st.lists(SIZE, min_size=P, max_size=P), min_size=1, max_size=12),
        st.lists(st.sampled_from([0, 1_994, 1_998, 1_999]), min_size=P, max_size=P),
    )
    def law(sizes: list[list[float]], counters: list[int]) -> None:
        own = keras_trials(optimizer)
        for trial, counter in zip(own, counters, strict=True):
            trial.reset(counter)
        state = begin._replace(
            loss_scale=LossScale(begin.loss_scale.scale, tf.constant(counters, tf.int32))
        )
        for size in sizes:
            gradients = np.ones((P, 4), np.float32) * [1.0, -0.5, 0.25, 1.0]
            gradients[:, 2] *= size
            before = states(state, step)
            state = graph(state, tf.constant(gradients, tf.float32))
            for trial, found, old, row in zip(
                own, states(state, step), before, gradients, strict=True
            ):
                finite = bool(
                    np.isfinite(scaled_in_half(np.float32(row), old["scale"][0]).numpy()).all()
                )
                trial.apply(tf.constant(row, tf.float32))
                expected = trial.state()
                assert found.keys() == expected.keys()
                for name in found:
                    for ours, theirs in zip(found[name], expected[name], strict=True):
                        if exact or ours.shape == ():
                            assert ours.tobytes() == theirs.astype(ours.dtype).tobytes(), name
                        else:  # a power and a root of vectors or of single numbers
                            np.testing.assert_allclose(ours, theirs, rtol=3e-6, err_msg=name)
                kept = [name for name in found if name not in ("scale", "counter")]
                if not finite:
                    assert all(
                        ours.tobytes() == theirs.tobytes()
                        for name in kept
                        for ours, theirs in zip(found[name], old[name], strict=True)
                    )
                    assert (found["scale"][0], found["counter"][0]) == (old["scale"][0] / 2, 0)
                else:
                    assert found["iterations"][0] == old["iterations"][0] + 1

    law()


# --- start-up, plateau, streak


def one_weight(g: float) -> PreparedData:
    """Rows x = 1, on which a chain of ones 1 -> 1 -> 1 has the gradient g at its hidden layer."""
    x, y = np.ones((4, 1)), np.full((4, 1), 1 - g / 2)
    return PreparedData(x, y, x[:0], y[:0], 1, ("x0",), "made")


def chain(lab: Any, engine: Any, g: float, steps: int, compiled: Compiled = Compiled.GRAPH) -> Any:
    data = one_weight(g)
    trials = lab.trials(
        data,
        model={"width": 1, "activation": "linear", "initializer": "ones"},
        training={"precision": "mixed_float16", "batch_size": 1, "steps": steps},
        learning_rate=[1e-12],
    )
    (result,) = lab.run(engine, trials, data, compiled, places=4)
    return result


def startup_skips(g: float) -> int:
    return next(k for k in range(200) if g * 2.0 ** (15 - k) < 65_520)


UNIT = 2.0**-15
GRADIENTS = (0.25, 65_519 * UNIT, 65_520 * UNIT, 3.875, 4.0, 100.5, 32_760.0, 65_504.0)
STARTUP_STEPS = 20


@pytest.mark.parametrize(
    "compiled", [Compiled.GRAPH, pytest.param(Compiled.XLA, marks=pytest.mark.slow)]
)
def test_start_up_skips_as_many_steps_as_the_formula_says(
    lab: Any, stacked: StackedEngine, compiled: Compiled
) -> None:
    assert [startup_skips(g) for g in GRADIENTS] == [0, 0, 1, 1, 2, 6, 15, 15]
    for g in GRADIENTS:
        result, skips = chain(lab, stacked, g, STARTUP_STEPS, compiled), startup_skips(g)
        assert (result.skipped_steps, result.final_loss_scale) == (skips, 2.0 ** (15 - skips))
        assert result.trace.loss_scale[: skips + 1].tolist() == [
            2.0 ** (15 - step) for step in range(min(skips + 1, len(result.trace.steps)))
        ]
        # Skips that end are no onset; at this learning rate nothing is learnt.
        assert result.onset is None and result.outcome is Outcome.STALLED


def test_model_fit_skips_as_many(lab: Any, fit: FitEngine) -> None:
    for g in (65_520 * UNIT, 100.5):
        result = chain(lab, fit, g, 8)
        assert (result.skipped_steps, result.outcome) == (startup_skips(g), Outcome.STALLED)


def test_skips_to_the_end_are_told_from_skips_at_the_start_and_from_a_plateau(
    lab: Any, stacked: StackedEngine, fit: FitEngine
) -> None:
    for engine in (stacked, fit):
        # 100.5 needs six halvings: six steps are over before one was applied.
        streak, startup, plateau = (
            chain(lab, engine, g, steps) for g, steps in ((100.5, 6), (100.5, 7), (0.0, 6))
        )
        assert (streak.outcome, streak.skipped_steps) == (Outcome.NONFINITE, 6)
        assert streak.onset == Onset(1, Stage.GRADIENT, "hidden_1/kernel", Kind.POSITIVE_INFINITY)
        assert (startup.outcome, startup.skipped_steps) == (Outcome.STALLED, 6)
        assert (plateau.outcome, plateau.skipped_steps) == (Outcome.STALLED, 0)
        assert startup.onset is plateau.onset is None
        for result in (streak, startup, plateau):
            assert result.initial_loss == result.final_loss


@pytest.mark.slow
def test_the_scale_of_a_run_doubles_after_two_thousand_steps_that_were_applied(
    lab: Any, stacked: StackedEngine
) -> None:
    # At 2^16 the gradient is Inf again: halve, skip, and start to count anew.
    trace = chain(lab, stacked, 1.25, 2_004).trace
    scale = dict(zip(trace.steps.tolist(), trace.loss_scale.tolist(), strict=True))
    assert scale[1] == 2.0**15
    assert chain(lab, stacked, 1.25, 2_000).final_loss_scale == 2.0**16
    after = chain(lab, stacked, 1.25, 2_001)
    assert (after.skipped_steps, after.final_loss_scale) == (1, 2.0**15)
    assert chain(lab, stacked, 1.25, 1_999).final_loss_scale == 2.0**15


# --- exhaustion


@pytest.mark.parametrize("name", ["stacked", "fit"])
def test_after_142_skips_the_scale_is_zero_and_the_next_finite_gradient_breaks_the_weights(
    lab: Any, fit: FitEngine, name: str
) -> None:
    engine = fit if name == "fit" else StackedEngine()
    data, garden, steps = lab.data(), Garden(), 146
    trials = lab.trials(
        data, training={"precision": "mixed_float16", "steps": steps}, learning_rate=[1e-3]
    )

    def run(last: int) -> Any:
        """Train with a NaN in a gradient in the steps up to `last`."""
        with garden.planted_engines(held_out=6):
            garden.plant(Plant((Stage.GRADIENT, "output/bias"), math.nan, 1, last))
            (result,) = lab.run(engine, trials, data)
        return result

    exhausted = run(142)
    trace = exhausted.trace
    assert trace.steps[np.argmax(trace.loss_scale == 0)] == 143
    assert exhausted.final_loss_scale == 0.0 and exhausted.skipped_steps >= 142
    assert exhausted.onset == Onset(143, Stage.GRADIENT, "hidden_1/kernel", Kind.NAN)
    assert exhausted.steps_run < steps and math.isnan(exhausted.final_loss)
    assert np.isfinite(trace.loss[trace.steps == 143]).all()  # of the weights before the step

    if name == "stacked":
        # One skip fewer, and the scale is the smallest normal number: the gradients vanish.
        spared = run(141)
        assert (spared.skipped_steps, spared.final_loss_scale) == (141, 2.0**-126)
        assert spared.onset is None and spared.outcome is Outcome.STALLED

        endless = run(steps)
        assert (endless.skipped_steps, endless.final_loss_scale) == (steps, 0.0)
        assert endless.onset == Onset(1, Stage.GRADIENT, "output/bias", Kind.NAN)
