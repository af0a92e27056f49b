"""Models are determined by their spec and seed: in every process, whatever was built before."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from stabilitysweep.config import ModelSettings
from stabilitysweep.models import builder
from stabilitysweep.models.builder import ModelSpec, build_model, precision_scope

ROOT = Path(__file__).parents[2]
PRECISIONS = ("float32", "mixed_float16", "float16", "mixed_bfloat16", "float64")


def spec(precision: str = "float32", outputs: int = 2, **settings: Any) -> ModelSpec:
    return ModelSpec(ModelSettings(**{"width": 4, "depth": 2, **settings}), 3, outputs, precision)


def weights(model: keras.Model) -> list[np.ndarray]:
    return [variable.numpy() for variable in model.variables]


def digest(model: keras.Model) -> str:
    digest = hashlib.sha256()
    for variable in model.variables:
        # Of its path only the name: Keras counts the seed generators of dropout layers.
        digest.update(variable.name.encode() + variable.numpy().tobytes())
    return digest.hexdigest()


SPECS = [
    spec(dropout=0.2, batch_norm=True),
    spec(initializer="orthogonal", activation="tanh"),
    spec("float16", initializer="he_normal"),
]


@pytest.mark.slow
def test_weights_are_equal_in_another_process_that_built_other_models_before() -> None:
    program = f"""
import sys
sys.path[:0] = [{str(ROOT)!r}, {str(Path(__file__).parent)!r}]
import conftest, test_models_builder as here
for number in range(3):
    here.keras.layers.Dense(5)
for seed in (7, 0):
    print("\\n".join(here.digest(here.build_model(spec, seed)) for spec in here.SPECS[::-1]))
"""
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120
    )
    other = run.stdout.split()[-3:]
    assert other[::-1] == [digest(build_model(own, 0)) for own in SPECS]


def test_weights_do_not_depend_on_what_the_process_did_before() -> None:
    first = digest(build_model(SPECS[0], 3))
    keras.utils.set_random_seed(99)
    keras.layers.Dense(4).build((None, 2))
    build_model(SPECS[1], 4)
    assert digest(build_model(SPECS[0], 3)) == first


@pytest.mark.parametrize("own", SPECS)
def test_weights_are_those_of_the_seed_in_keras_without_setting_tensorflows(
    own: ModelSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        # All graphs of the process would be optimized anew.
        patched.setattr(tf.random, "set_seed", lambda seed: pytest.fail("it was set"))
        found = digest(build_model(own, 5))
    monkeypatch.setattr(builder, "random", SimpleNamespace(seed=keras.utils.set_random_seed))
    assert digest(build_model(own, 5)) == found


def test_seeds_differ() -> None:
    seen = {digest(build_model(SPECS[0], seed)) for seed in range(4)}
    assert len(seen) == 4


def test_settings_that_are_no_part_of_the_shape_do_not_change_the_weights() -> None:
    plain = weights(build_model(spec(), 0))
    penalised = weights(build_model(spec(l1=0.1, l2=0.2), 0))
    for a, b in zip(plain, penalised, strict=True):
        np.testing.assert_array_equal(a, b)


def test_depth_zero_is_linear() -> None:
    model = build_model(spec(depth=0), 0)
    assert [layer.name for layer in model.layers] == ["features", "output"]
    x = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    kernel, bias = weights(model)
    np.testing.assert_allclose(model(x), x @ kernel + bias, rtol=1e-6, atol=1e-6)


def test_names_are_fixed() -> None:
    for _ in range(2):  # a second model in the same process is called the same
        model = build_model(spec(batch_norm=True, dropout=0.1), 0)
        assert [variable.path for variable in model.trainable_variables] == [
            "hidden_1/kernel",
            "hidden_1/bias",
            "batch_norm_1/gamma",
            "batch_norm_1/beta",
            "hidden_2/kernel",
            "hidden_2/bias",
            "batch_norm_2/gamma",
            "batch_norm_2/beta",
            "output/kernel",
            "output/bias",
        ]
        assert [layer.name for layer in model.layers] == [
            "features",
            "hidden_1", "batch_norm_1", "activation_1", "dropout_1",
            "hidden_2", "batch_norm_2", "activation_2", "dropout_2",
            "output",
        ]  # fmt: skip
        assert model.output_names == ["output"]


def test_the_activation_stands_after_the_normalization_and_before_the_dropout() -> None:
    plain = build_model(spec(activation="tanh"), 0)
    assert plain.get_layer("hidden_1").activation is keras.activations.tanh
    normal = build_model(spec(activation="tanh", batch_norm=True), 0)
    assert normal.get_layer("hidden_1").activation is keras.activations.linear
    assert normal.get_layer("activation_1").activation is keras.activations.tanh
    assert plain.get_layer("output").activation is keras.activations.linear


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("depth", [0, 1])
def test_the_head_computes_in_float32_under_a_mixed_policy_only(precision: str, depth: int) -> None:
    model = build_model(spec(precision, depth=depth), 0)
    compute = precision.removeprefix("mixed_")
    mixed = precision.startswith("mixed_")
    assert model.get_layer("output").compute_dtype == ("float32" if mixed else compute)
    if depth:
        assert model.get_layer("hidden_1").compute_dtype == compute
    variables = "float32" if mixed else precision
    assert {variable.dtype for variable in model.trainable_variables} == {variables}
    with precision_scope(precision):
        assert model(np.ones((2, 3), keras.config.floatx())).dtype == (
            "float32" if mixed else compute
        )


@pytest.mark.parametrize("strength", ["l1", "l2"])
@pytest.mark.parametrize("depth", [0, 2])
def test_penalties_are_on_every_kernel_and_nothing_else(strength: str, depth: int) -> None:
    model = build_model(spec(depth=depth, batch_norm=True, **{strength: 0.5}), 0)
    penalised = [v.path for v in model.trainable_variables if v.regularizer is not None]
    kernels = [v.path for v in model.trainable_variables if v.path.endswith("/kernel")]
    assert penalised == kernels and len(kernels) == depth + 1
    assert len(model.losses) == depth + 1
    values = {v.path: v.numpy().astype(np.float64) for v in model.trainable_variables}
    power = {"l1": np.abs, "l2": np.square}[strength]
    expected = [0.5 * power(values[path]).sum() for path in kernels]
    np.testing.assert_allclose([float(loss) for loss in model.losses], expected, rtol=1e-6)


def test_strengths_of_zero_are_no_regularizer_at_all() -> None:
    model = build_model(spec(l1=0, l2=0), 0)
    assert all(variable.regularizer is None for variable in model.trainable_variables)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_scope_sets_policy_and_floatx_and_puts_them_back(precision: str) -> None:
    before = keras.config.dtype_policy().name, keras.config.floatx()
    with precision_scope(precision):
        floatx = "float64" if precision == "float64" else "float32"
        assert (keras.config.dtype_policy().name, keras.config.floatx()) == (precision, floatx)
        with precision_scope("float32"):
            assert (keras.config.dtype_policy().name, keras.config.floatx()) == (
                "float32",
                "float32",
            )
        assert (keras.config.dtype_policy().name, keras.config.floatx()) == (precision, floatx)
    assert (keras.config.dtype_policy().name, keras.config.floatx()) == before


def test_the_scope_puts_back_what_was_there_after_an_exception() -> None:
    before = keras.config.dtype_policy().name, keras.config.floatx()
    with pytest.raises(RuntimeError), precision_scope("float64"):
        raise RuntimeError
    assert (keras.config.dtype_policy().name, keras.config.floatx()) == before


def test_a_policy_that_keras_does_not_know_changes_nothing() -> None:
    with precision_scope("float64"):
        with pytest.raises(ValueError), precision_scope("float31"):
            pass
        assert keras.config.floatx() == "float64"


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_model_is_built_alike_inside_and_outside_of_the_scope(precision: str) -> None:
    outside = digest(build_model(spec(precision), 1))
    with precision_scope(precision):
        assert digest(build_model(spec(precision), 1)) == outside
