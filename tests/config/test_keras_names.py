"""The static names against Keras itself."""

import inspect
from collections.abc import Callable
from typing import Any

import keras
import pytest

from stabilitysweep.config import ACTIVATIONS, INITIALIZERS, default_weight_decay
from stabilitysweep.config.names import ACTIVATION_ALIASES


def _public(module: Any, kind: Callable[[Any], bool]) -> list[Any]:
    """The public functions or classes of a Keras module, each once."""
    return list({id(item): item for _, item in inspect.getmembers(module, kind)}.values())


def test_activations_are_those_of_one_argument_that_keep_the_shape() -> None:
    helpers = {"get", "serialize", "deserialize"}
    functions = {f.__name__: f for f in _public(keras.activations, inspect.isfunction)}
    usable = set()
    for name in functions.keys() - helpers:
        required = [
            p
            for p in inspect.signature(functions[name]).parameters.values()
            if p.default is inspect.Parameter.empty
        ]
        if len(required) == 1 and functions[name](keras.ops.ones((2, 4))).shape == (2, 4):
            usable.add(name)
    assert set(ACTIVATIONS) == usable


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_keras_knows_the_activation(name: str) -> None:
    assert keras.activations.get(name).__name__ == name


@pytest.mark.parametrize(("alias", "name"), ACTIVATION_ALIASES.items())
def test_an_alias_is_the_same_function(alias: str, name: str) -> None:
    assert keras.activations.get(alias) is keras.activations.get(name)


def test_initializers_are_those_that_build_a_kernel_without_arguments() -> None:
    usable = set()
    for kind in _public(keras.initializers, inspect.isclass):
        try:
            kernel = kind()((4, 8))
        except (TypeError, ValueError, NotImplementedError):  # arguments, or other shapes
            continue
        if tuple(kernel.shape) == (4, 8):
            usable.add(kind)
    # `Constant` and the like that work by default only as another one are not listed.
    listed = {type(keras.initializers.get(name)) for name in INITIALIZERS}
    assert listed == usable - {keras.initializers.Constant}


@pytest.mark.parametrize("name", INITIALIZERS)
def test_keras_builds_the_initializer(name: str) -> None:
    assert keras.initializers.get(name)((4, 8)).shape == (4, 8)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("sgd", keras.optimizers.SGD),
        ("adam", keras.optimizers.Adam),
        ("adamw", keras.optimizers.AdamW),
        ("rmsprop", keras.optimizers.RMSprop),
    ],
)
def test_default_weight_decay(name: Any, kind: Callable[[], Any]) -> None:
    assert default_weight_decay(name) == kind().weight_decay
