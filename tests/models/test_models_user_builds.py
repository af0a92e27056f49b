"""A user's build is called, and its mistakes are told with function, values and cause."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pytest

from stabilitysweep.blueprint import Block, Request, TargetFacts
from stabilitysweep.models.builder import precision_scope
from stabilitysweep.models.survey import survey

HEAD = """
import sys
import keras
from keras import layers

def net(units=2, inputs=None):
    first = [] if inputs is None else [keras.Input((inputs,))]
    model = keras.Sequential([*first, layers.Dense(units), layers.Dense(1)])
    model.compile("sgd", "mse")
    return model

"""
Build = Callable[[str], str]


@pytest.fixture
def refusal(tmp_path: Path) -> Build:
    """The error of a build with this body, asked with n = 2 and a batch size."""

    def refused(body: str, name: str = "build") -> str:
        (tmp_path / "users_.py").write_text(HEAD + body)
        (found,) = survey([asked(f"users_:{name}")], [tmp_path])
        return found.error

    return refused


def asked(build: str, **values: Any) -> Request:
    return Request(
        build=build,
        values=tuple(sorted({"n": 2, "batch_size": 8, **values}.items())),
        given=("batch_size",),
        training=(("loss", "mse"),),
        precision="float32",
        blocks=(Block("x", 0, 4, (4,)),),
        named=False,
        target=TargetFacts(),
    )


def test_weights_of_the_module_are_refused(refusal: Build) -> None:
    shared = """
outside = layers.Dense(3, name="outside")

def build(hp):
    model = keras.Sequential([keras.Input((4,)), outside, layers.Dense(1)])
    model.compile("sgd", "mse")
    return model
"""
    error = refusal(shared)
    assert "outside/kernel' is also one of a model that was built before" in error
    assert "Make all layers inside the build" in error


def test_frozen_weights_of_the_module_may_be_shared(refusal: Build) -> None:
    body = """
outside = layers.Dense(3, name="outside", trainable=False)

def build(hp):
    model = keras.Sequential([keras.Input((4,)), outside, layers.Dense(1)])
    model.compile("sgd", "mse")
    return model
"""
    assert refusal(body) == ""


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        ("hp.Int('n', 1, 3)\n    raise ValueError('too many')", "ValueError: too many, in "),
        ("hp.Int('n', 1, 3)\n    sys.exit(3)", "SystemExit: 3, in "),
        ("hp.Int('n', 1, 3)", "expected a Keras model, got None: is a `return` missing?"),
        ("return net(hp.Int('n', 1, 3), inputs=7)", "expected axis -1 of input shape to have"),
        ("hp.Choice('n', [2])\n    keras.config.set_dtype_policy('float64')\n    return net()",
         "sets Keras' dtype policy to float64"),
    ],
)  # fmt: skip
def test_a_mistake_names_the_function_the_values_and_the_cause(
    refusal: Build, body: str, cause: str
) -> None:
    error = refusal(f"def build(hp):\n    {body}\n")
    assert error.startswith("model.build 'users_:build' with n 2: ")
    assert cause in error
    assert "\n" not in error
    assert "\x1b" not in error
    assert "batch_size" not in error


def test_a_value_of_another_kind_is_told_with_the_values_of_the_trial(tmp_path: Path) -> None:
    (tmp_path / "users_.py").write_text(
        HEAD + "def build(hp):\n    return net(hp.Int('n', 1, 3))\n"
    )
    (found,) = survey([asked("users_:build", n="two")], [tmp_path])
    assert "with n two: ValueError: hp 'n': expected a whole number, got 'two'" in found.error


@pytest.mark.parametrize(
    ("body", "name", "cause"),
    [
        ("def build(hp, other): ...", "build", "takes `hp` alone, got build(hp, other)"),
        ("def built(hp): ...", "build", "there is no 'build' in "),
        ("1 / 0", "build", "cannot be imported: ZeroDivisionError"),
        ("build = 3", "build", "expected a function of `hp`"),
    ],
)
def test_a_function_that_cannot_be_called(
    refusal: Callable[..., str], body: str, name: str, cause: str
) -> None:
    error = refusal(f"{body}\n", name)
    assert error.startswith("model.build 'users_:build': ")
    assert cause in error


def test_a_policy_that_a_build_sets_does_not_reach_the_next_model(tmp_path: Path) -> None:
    (tmp_path / "users_.py").write_text(
        HEAD
        + "def build(hp):\n    if hp.Int('n', 1, 3) == 1:\n"
        + "        keras.config.set_dtype_policy('float16')\n    return net()\n"
    )
    first, second = survey([asked("users_:build", n=1), asked("users_:build", n=2)], [tmp_path])
    assert "dtype policy to float16" in first.error
    assert second.error == ""
    with precision_scope("float32"):
        assert keras.config.dtype_policy().name == "float32"


def test_there_is_no_such_module(tmp_path: Path) -> None:
    (found,) = survey([asked("not_there_:build")], [tmp_path])
    assert "there is no module 'not_there_'" in found.error
