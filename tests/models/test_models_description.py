"""Models whose descriptions are equal compute the same; where none can tell, there is none.

Every model is made as in a survey: names begin anew, the seed is the same. Two models that are
compared differ in one thing.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from stabilitysweep.models.description import describe_model

Make = Callable[[], keras.Model]
L, REG = keras.layers, keras.regularizers


def described(make: Make) -> str:
    keras.backend.clear_session(free_memory=False)
    keras.utils.set_random_seed(3)
    return describe_model(make())


def compiled(model: keras.Model, loss: Any = "mse", **settings: Any) -> keras.Model:
    model.compile(**{"optimizer": "sgd", "loss": loss, **settings})
    return model


def sequential(*layers: Any, **settings: Any) -> keras.Model:
    return compiled(keras.Sequential([keras.Input((3,)), *layers, L.Dense(1)]), **settings)


def functional(function: Callable[[Any], Any], **settings: Any) -> keras.Model:
    given = keras.Input((3,))
    return compiled(keras.Model(given, function(given)), **settings)


class Own(L.Layer):
    """Keeps something; what it makes of it is its own affair."""

    def __init__(self, value: Any = None, **settings: Any) -> None:
        super().__init__(**settings)
        self.value = value

    def build(self, shape: Any) -> None:
        if isinstance(self.value, L.Layer):
            self.value.build(shape)

    def call(self, x: Any) -> Any:
        return x


class Weighing(L.Layer):
    """Has a weight of which it keeps no more than the variable."""

    def __init__(self, regularizer: Any = None) -> None:
        super().__init__()
        self.weight = self.add_weight(shape=(3,), regularizer=regularizer)

    def build(self, shape: Any) -> None:
        """Nothing to do."""

    def call(self, x: Any) -> Any:
        return x * self.weight


class Net(keras.Model):
    """Layers of any kind one after the other, and an attribute."""

    def __init__(self, *layers: Any, value: Any = None) -> None:
        super().__init__()
        self.steps = [*layers, L.Dense(1)]
        self.value = value

    def call(self, x: Any) -> Any:
        for layer in self.steps:
            x = layer(x)
        return x


def net(*layers: Any, value: Any = None, **settings: Any) -> keras.Model:
    model = Net(*layers, value=value)
    model(np.zeros((2, 3), np.float32))
    return compiled(model, **settings)


def two_outputs(**settings: Any) -> keras.Model:
    given = keras.Input((3,))
    outputs = {name: L.Dense(1, name=name)(given) for name in ("a", "b")}
    return compiled(keras.Model(given, outputs), {"a": "mse", "b": "mae"}, **settings)


class Scaled(keras.losses.Loss):
    def __init__(self, factor: Any = 1.0, **settings: Any) -> None:
        super().__init__(**settings)
        self.factor = factor

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return self.factor * keras.ops.mean(keras.ops.square(y_true - y_pred), axis=-1)


class Above(keras.metrics.Metric):
    def __init__(self, limit: float, name: str = "above") -> None:
        super().__init__(name=name)
        self.limit = limit
        self.total = self.add_weight(name="total", initializer="zeros")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self.total.assign_add(keras.ops.sum(keras.ops.cast(y_pred > self.limit, "float32")))

    def result(self) -> Any:
        return self.total.value


class Penalty(REG.Regularizer):
    """Its config leaves its factor out."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def __call__(self, x: Any) -> Any:
        return self.factor * keras.ops.sum(keras.ops.square(x))

    def get_config(self) -> dict[str, Any]:
        return {}


def doubled(x: Any) -> Any:
    return 2 * x


def own_loss(y_true: Any, y_pred: Any) -> Any:
    return keras.ops.mean(keras.ops.abs(y_true - y_pred))


def other_loss(y_true: Any, y_pred: Any) -> Any:
    return keras.ops.max(keras.ops.abs(y_true - y_pred))


class Foreign:
    pass


# --- what can be told

Values = tuple[Any, Any]
OF_KERAS: dict[str, tuple[Callable[[Any], keras.Model], Values]] = {
    "units": (lambda v: sequential(L.Dense(v)), (4, 5)),
    "rate": (lambda v: sequential(L.Dropout(v, seed=1)), (0.1, 0.2)),
    "l2": (lambda v: sequential(L.Dense(4, kernel_regularizer=REG.L2(v))), (0.1, 0.2)),
    "l2, l1": (
        lambda v: sequential(L.Dense(4, kernel_regularizer=v)),
        (REG.L2(0.1), REG.L1(0.1)),
    ),
    "activation": (lambda v: sequential(L.Dense(4, activation=v)), ("relu", "tanh")),
    "activation, a function": (
        lambda v: sequential(L.Dense(4, activation=v)),
        (keras.activations.relu, keras.activations.tanh),
    ),
    "trainable": (lambda v: sequential(L.Dense(4, trainable=v)), (True, False)),
    "dtype": (lambda v: sequential(L.Dense(4, dtype=v)), ("float32", "mixed_float16")),
    "kind": (lambda v: sequential(v(0.1, seed=1)), (L.Dropout, L.GaussianNoise)),
    "depth": (lambda v: sequential(*(L.Dense(4) for _ in range(v))), (1, 2)),
    "inside of a layer": (
        lambda v: sequential(L.Reshape((3, 1)), L.TimeDistributed(L.Dense(v)), L.Flatten()),
        (4, 5),
    ),
    "in a model of one's own": (lambda v: net(L.Dense(v)), (4, 5)),
    "rate in a model of one's own": (lambda v: net(L.Dropout(v, seed=1)), (0.1, 0.2)),
    "order": (
        lambda v: functional(lambda x: L.Subtract()([x, L.ReLU()(x)][:: 1 if v else -1])),
        (True, False),
    ),
    "connection": (
        lambda v: functional(lambda x: L.Add()([x, L.ReLU()(x if v else L.Softmax()(x))])),
        (True, False),
    ),
    "an operation": (lambda v: functional(lambda x: v(x)), (keras.ops.exp, keras.ops.tanh)),
    "a number of an operation": (lambda v: functional(lambda x: x * v), (2.0, 3.0)),
    "a setting of an operation": (
        lambda v: functional(lambda x: keras.ops.clip(x, 0, v)),
        (1.0, 2.0),
    ),
    "a setting of a call": (
        lambda v: functional(lambda x: L.Dropout(0.5, seed=1)(x, training=v)),
        (True, False),
    ),
}  # fmt: skip

VALUES: dict[str, Values] = {
    "number": (1, 2),
    "float": (0.1, 0.1 + 1e-16),
    "kind of number": (1, 1.0),
    "truth value": (True, 1),
    "text": ("a", "b"),
    "none": (None, 0),
    "list": ([1, 2], [1, 3]),
    "order of a list": ([1, 2], [2, 1]),
    "longer list": ([1, 2], [1, 2, 0]),
    "nested list": ([[1], [2]], [[1, 2], []]),
    "set": ({1, 2}, {1, 3}),
    "array": (np.array([1.0, 2.0]), np.array([1.0, 2.0 + 1e-15])),
    "shape of an array": (np.zeros((2, 3)), np.zeros((3, 2))),
    "kind of array": (np.zeros(2, np.float32), np.zeros(2, np.int32)),
    "signs of zeros": (np.array([0.0]), np.array([-0.0])),
    "long array": (np.arange(5_000), np.arange(5_000) + (np.arange(5_000) == 2_500)),
    "dict": ({"a": 1}, {"a": 2}),
    "key": ({"a": 1}, {"b": 1}),
    "nested dict": ({"a": {"b": [1, {"c": 2}]}}, {"a": {"b": [1, {"c": 3}]}}),
    "array in a dict": ({"a": [np.zeros(2)]}, {"a": [np.ones(2)]}),
    "regularizer": (REG.L2(0.1), REG.L2(0.2)),
    "kind of initializer": (keras.initializers.Zeros(), keras.initializers.Ones()),
    "class": (Own, Net),
    "function of the module": (own_loss, other_loss),
}

COMPILED: dict[str, tuple[Callable[[Any], keras.Model], Values]] = {
    "loss": (lambda v: sequential(loss=v), ("mse", "mae")),
    "function of the module": (lambda v: sequential(loss=v), (own_loss, other_loss)),
    "loss of Keras": (
        lambda v: sequential(loss=keras.losses.BinaryCrossentropy(label_smoothing=v)),
        (0.1, 0.2),
    ),
    "from logits": (
        lambda v: sequential(loss=keras.losses.BinaryCrossentropy(from_logits=v)),
        (True, False),
    ),
    "number of a loss": (lambda v: sequential(loss=Scaled(v)), (1.0, 2.0)),
    "list of a loss": (lambda v: sequential(loss=Scaled(v)), ([1.0, 2.0], [1.0, 3.0])),
    "array of a loss": (lambda v: sequential(loss=Scaled(v)), (np.ones(2), np.zeros(2))),
    "nested dict of a loss": (
        lambda v: sequential(loss=Scaled({"a": {"b": v}})),
        (1.0, 2.0),
    ),
    "reduction": (
        lambda v: sequential(loss=Scaled(reduction=v)),
        ("sum", "sum_over_batch_size"),
    ),
    "one of two losses": (
        lambda v: compiled(two_outputs(), {"a": Scaled(v), "b": "mae"}),
        (1.0, 2.0),
    ),
    "loss weights": (
        lambda v: two_outputs(loss_weights={"a": 1.0, "b": v}),
        (0.5, 0.25),
    ),
    "loss weights or none": (
        lambda v: two_outputs(loss_weights=v),
        (None, {"a": 1.0, "b": 0.5}),
    ),
    "metrics": (lambda v: sequential(metrics=v), (["mse"], ["mae"])),
    "metrics or none": (lambda v: sequential(metrics=v), (["mse"], None)),
    "another metric": (lambda v: sequential(metrics=v), (["mse"], ["mse", "mae"])),
    "metric of Keras": (
        lambda v: sequential(metrics=[keras.metrics.BinaryAccuracy(threshold=v)]),
        (0.5, 0.25),
    ),
    "number of a metric": (lambda v: sequential(metrics=[Above(v)]), (0.5, 0.25)),
    "name of a metric": (lambda v: sequential(metrics=[Above(0.5, v)]), ("a", "b")),
}


def assert_told_apart(make: Callable[[Any], keras.Model], values: Values) -> None:
    """Another text for the other value; the same one for the same, also after the other."""
    one, other = (functools.partial(make, value) for value in values)
    first, second = described(one), described(other)
    assert first and second
    assert first != second
    assert described(one) == first


@pytest.mark.parametrize("name", list(OF_KERAS))
def test_keras_own_layers_are_told_apart(name: str) -> None:
    assert_told_apart(*OF_KERAS[name])


@pytest.mark.parametrize("name", list(VALUES))
def test_layers_of_a_user_are_told_apart_by_their_attributes(name: str) -> None:
    assert_told_apart(lambda value: net(Own(value)), VALUES[name])


@pytest.mark.parametrize("name", ["number", "list", "array", "nested dict", "class"])
def test_models_of_a_user_are_told_apart_by_their_attributes(name: str) -> None:
    assert_told_apart(lambda value: net(value=value), VALUES[name])


@pytest.mark.parametrize("name", ["number", "text", "list", "dict", "nested dict"])
@pytest.mark.parametrize(
    "make",
    [lambda v: sequential(Own(v)), lambda v: functional(lambda x: Own(v)(x))],
    ids=["sequential", "functional"],
)
def test_layers_of_a_user_are_told_apart_in_models_of_keras(make: Any, name: str) -> None:
    assert_told_apart(make, VALUES[name])


def test_layers_that_a_layer_holds_are_told_apart() -> None:
    for one, other in [
        (lambda: Own(L.Dense(4)), lambda: Own(L.Dense(5))),
        (lambda: Own(Own(1)), lambda: Own(Own(2))),
        (lambda: Own({"a": Own(1)}), lambda: Own({"a": Own(2)})),
    ]:
        assert_told_apart(lambda kind: net(kind()), (one, other))


@pytest.mark.parametrize("which", [0, 1])
def test_which_of_its_layers_an_attribute_is_is_told(which: int) -> None:
    def chosen(place: int) -> keras.Model:
        layers = [Own(0), Own(0)]
        return net(*layers, value=layers[place])

    assert_told_apart(chosen, (which, 1 - which))


@pytest.mark.parametrize(
    "make",
    [
        lambda: sequential(L.Dense(4), Own([1]), loss=Scaled(2.0), metrics=["mae"]),
        lambda: functional(lambda x: L.Add()([x, 2 * Own([1])(x)])),
        lambda: net(Own({"a": np.arange(4.0)}), L.Dropout(0.5, seed=1), loss=Scaled(2.0)),
    ],
    ids=["sequential", "functional", "own"],
)
def test_the_text_does_not_depend_on_the_models_that_were_built_before(make: Make) -> None:
    first = described(make)
    for width in (2, 7):
        sequential(L.Dense(width), Own(width), loss=Scaled(width), metrics=[Above(width)])
        net(Own({"a": width}), L.Dropout(0.3))
    assert described(make) == first != ""


@pytest.mark.parametrize("name", list(COMPILED))
def test_what_a_model_is_compiled_with_is_told_apart(name: str) -> None:
    assert_told_apart(*COMPILED[name])


KINDS = {make.__name__: make for make in (sequential, net, two_outputs)}


@pytest.mark.parametrize("name", list(KINDS))
def test_the_optimizer_does_not_enter(name: str) -> None:
    opt = keras.optimizers
    texts = {
        described(functools.partial(KINDS[name], optimizer=kind(rate)))
        for kind, rate in [(opt.SGD, 0.1), (opt.SGD, 0.2), (opt.Adam, 0.1), (opt.RMSprop, 1.0)]
    }
    assert len(texts) == 1 and "" not in texts


# --- what only a traced graph can tell


def closure(factor: float) -> Callable[..., Any]:
    def loss(y_true: Any, y_pred: Any) -> Any:
        return factor * own_loss(y_true, y_pred)

    return loss


def made_inside(kind: type) -> type:
    class Inside(kind):  # type: ignore[misc, valid-type]
        pass

    return Inside


UNTOLD: dict[str, Make] = {
    "Lambda": lambda: sequential(L.Lambda(lambda x: 2 * x)),
    "Lambda of a function": lambda: sequential(L.Lambda(doubled)),
    "Lambda in a model of one's own": lambda: net(L.Lambda(doubled)),
    "lambda in a layer": lambda: net(Own(lambda x: x)),
    "lambda in a model": lambda: net(value=lambda x: x),
    "lambda in a list": lambda: net(Own([1, {"a": lambda x: x}])),
    "lambda in a layer, sequential": lambda: sequential(Own(lambda x: x)),
    "closure in a layer": lambda: net(Own(closure(2.0))),
    "bound method": lambda: net(Own(Foreign().__init__)),
    "partial": lambda: net(Own(functools.partial(own_loss, 1))),
    "foreign object": lambda: net(Own(Foreign())),
    "foreign object in a model": lambda: net(value=Foreign()),
    "foreign object in a dict": lambda: net(Own({"a": [Foreign()]})),
    "foreign object, sequential": lambda: sequential(Own(Foreign())),
    "layer made inside": lambda: net(made_inside(Own)(1)),
    "layer made inside, sequential": lambda: sequential(made_inside(Own)(1)),
    "layer of Keras made inside": lambda: sequential(made_inside(L.Dense)(4)),
    "class made inside": lambda: net(Own(made_inside(Own))),
    "model made inside": lambda: compiled(made_inside(Net)(L.Dense(2))),
    "loss made inside": lambda: sequential(loss=made_inside(Scaled)(1.0)),
    "metric made inside": lambda: sequential(metrics=[made_inside(Above)(1.0)]),
    "regularizer made inside": lambda: net(Own(made_inside(Penalty)(1.0))),
    "closure as loss": lambda: sequential(loss=closure(2.0)),
    "lambda as loss": lambda: sequential(loss=lambda y_true, y_pred: own_loss(y_true, y_pred)),
    "closure as one of two losses": lambda: compiled(
        two_outputs(), {"a": closure(2.0), "b": "mae"}
    ),
    "closure in a loss": lambda: sequential(loss=Scaled(closure(2.0))),
    "foreign object in a loss": lambda: sequential(loss=Scaled(Foreign())),
    "closure as metric": lambda: sequential(metrics=[closure(2.0)]),
    "activation": lambda: sequential(L.Dense(4, activation=doubled)),
    "activation, lambda": lambda: sequential(L.Dense(4, activation=lambda x: 2 * x)),
    "activation in a model of one's own": lambda: net(L.Dense(4, activation=doubled)),
    "activation, functional": lambda: functional(lambda x: L.Activation(doubled)(x)),
}  # fmt: skip


@pytest.mark.parametrize("name", list(UNTOLD))
def test_where_only_a_traced_graph_can_tell_there_is_no_text(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Keras, which takes a lambda for unsafe to load
        assert described(UNTOLD[name]) == ""


def adapted(factor: float) -> keras.Model:
    layer = L.Normalization()
    layer.adapt(factor * np.eye(3, dtype=np.float32))
    return sequential(layer)


def frozen(trainable: bool) -> keras.Model:
    model = sequential(L.Dense(4))
    model.layers[0].bias.trainable = trainable
    return model


def named_as_keras_names(value: str) -> keras.Model:
    layer = Own()
    layer.loss = value
    return net(layer)


def masking(supports: bool) -> keras.Model:
    layer = Own()
    layer.supports_masking = supports
    return net(layer)


def of_type(factor: float) -> keras.Model:
    return net(type("Made", (Own,), {"call": lambda self, x: factor * x})())


def replaced_call(factor: float) -> keras.Model:
    layer = L.Dense(3)
    layer.call = lambda x: factor * x
    return net(layer)


SUBTLE: dict[str, tuple[Callable[[Any], keras.Model], Values]] = {
    "what Keras' loss leaves out of its config": (
        lambda v: sequential(loss=keras.losses.Huber(v)),
        (1.0, 2.0),
    ),
    "what a regularizer leaves out of its config": (
        lambda v: sequential(L.Dense(4, kernel_regularizer=Penalty(v))),
        (1.0, 2.0),
    ),
    "regularizer of a weight": (
        lambda v: net(Weighing(v)),
        (REG.L1(0.1), REG.L2(0.1)),
    ),
    "activity regularizer": (
        lambda v: net(Own(activity_regularizer=v)),
        (REG.L1(0.1), REG.L2(0.1)),
    ),
    "what a layer was adapted to": (adapted, (1.0, 2.0)),
    "a weight that is not trained": (frozen, (True, False)),
    "an attribute with a name of Keras' models": (named_as_keras_names, ("a", "b")),
    "masks": (masking, (True, False)),
    "a class without a place": (of_type, (1.0, 2.0)),
    "a call that was replaced": (replaced_call, (1.0, 2.0)),
    "weighted metrics": (
        lambda v: sequential(weighted_metrics=v),
        (["mse"], ["mae"]),
    ),
    "arrays of objects": (
        lambda v: net(Own(np.array([v, None], object))),
        (Foreign(), Foreign()),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", list(SUBTLE))
def test_models_that_differ_never_share_a_text(name: str) -> None:
    make, values = SUBTLE[name]
    first, second = (described(functools.partial(make, value)) for value in values)
    assert first != second or first == ""
