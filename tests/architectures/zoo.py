"""Small models that together have most of what Keras offers.

Each function is a user's `build(hp)`: it asks for `learning_rate`, and for what its laws need.
"""

from __future__ import annotations

from typing import Any

import keras
import keras_tuner
import tensorflow as tf
from keras import layers, ops
from zoo_data import LENGTH

HP = keras_tuner.HyperParameters


def _rate(hp: HP) -> float:
    return float(hp.Float("learning_rate", 1e-4, 1.0, default=0.01))


def _regression(hp: HP, optimizer: Any, **compiled: Any) -> keras.Model:
    model = keras.Sequential(
        [keras.Input((5,)), layers.Dense(6, "tanh", name="hidden"), layers.Dense(1, name="out")]
    )
    model.compile(optimizer=optimizer, **{"loss": "mse", **compiled})
    return model


def convolutions(hp: HP) -> keras.Model:
    """Convolutions of every kind, batch statistics, pooling; functional."""
    inputs = keras.Input((8, 8, 2))
    x = layers.Conv2D(4, 3, dilation_rate=2, padding="same", name="dilated")(inputs)
    x = layers.BatchNormalization(momentum=0.8, name="norm")(x)
    x = layers.Activation("relu")(x)
    x = layers.SpatialDropout2D(0.3, seed=1)(x)
    x = layers.Conv2D(4, 3, strides=2, padding="same", groups=2, name="grouped")(x)
    x = layers.UpSampling2D(2)(layers.MaxPooling2D(2)(x))
    x = layers.SeparableConv2D(4, 2, name="separable")(x)
    x = layers.AveragePooling2D(2, strides=1)(x)
    x = layers.DepthwiseConv2D(2, padding="same", name="depthwise")(x)
    x = layers.Conv2DTranspose(3, 2, strides=2, activation="gelu", name="transposed")(x)
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, layers.Dense(3, name="logits")(x))
    model.compile(
        optimizer=keras.optimizers.Adam(_rate(hp)),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(2, name="top2")],
    )
    return model


def masked_words(hp: HP) -> keras.Model:
    """An embedding with a mask, recurrent layers above each other, one of them both ways."""
    model = keras.Sequential(
        [
            keras.Input((LENGTH,), dtype="int32"),
            layers.Embedding(11, 4, mask_zero=True, name="words"),
            layers.LSTM(3, return_sequences=True, name="lstm"),
            layers.Bidirectional(layers.GRU(2), name="both_ways"),
            layers.Dense(1, activation="sigmoid", name="probability"),
        ]
    )
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([4, 8], [1.0, 0.5, 0.25])
    rate = _rate(hp)
    model.compile(
        optimizer=keras.optimizers.SGD(Scaled(schedule, rate), momentum=0.9, nesterov=True),
        loss="binary_crossentropy",
        metrics=["accuracy", keras.metrics.AUC(num_thresholds=20, name="auc")],
    )
    return model


class Scaled(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule of a user's own: another one, times a number."""

    def __init__(self, schedule: Any, factor: float) -> None:
        self.schedule, self.factor = schedule, factor

    def __call__(self, step: Any) -> Any:
        return self.factor * self.schedule(step)

    def get_config(self) -> dict[str, Any]:
        return {"schedule": self.schedule.get_config(), "factor": self.factor}


def noisy_sequence(hp: HP) -> keras.Model:
    """Noise, a causal convolution, a layer at each step, a recurrent one behind them."""
    model = keras.Sequential(
        [
            keras.Input((LENGTH, 3)),
            layers.GaussianNoise(0.1, seed=3),
            layers.Conv1D(4, 3, padding="causal", activation="elu", name="causal"),
            layers.TimeDistributed(layers.Dense(4, name="each"), name="at_each_step"),
            layers.MaxPooling1D(2),
            layers.Dropout(0.25, seed=4),
            layers.LSTM(3, name="lstm"),
            layers.Dense(1, name="out"),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.RMSprop(_rate(hp), centered=True, momentum=0.5, clipvalue=0.1),
        loss="huber",
        metrics=["mae"],
    )
    return model


def dropped_sequence(hp: HP) -> keras.Model:
    """Dropout of the inputs and of the states of recurrent layers."""
    model = keras.Sequential(
        [
            keras.Input((LENGTH, 3)),
            layers.GRU(3, dropout=0.3, return_sequences=True, seed=5, name="gru"),
            layers.LSTM(3, dropout=0.2, recurrent_dropout=0.3, seed=6, name="lstm"),
            layers.Dense(1, name="out"),
        ]
    )
    model.compile(optimizer=keras.optimizers.Adam(_rate(hp)), loss="mse")
    return model


@keras.saving.register_keras_serializable()
class Sampled(layers.Layer):
    """The bottleneck of a variational autoencoder: draws, and adds its own loss."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed_generator = keras.random.SeedGenerator(7)

    def call(self, inputs: tuple[Any, Any]) -> Any:
        mean, log_variance = inputs
        divergence = 1 + log_variance - ops.square(mean) - ops.exp(log_variance)
        self.add_loss(-0.05 * ops.mean(divergence))
        noise = keras.random.normal(ops.shape(mean), seed=self.seed_generator)
        return mean + ops.exp(0.5 * log_variance) * noise


def variational(hp: HP) -> keras.Model:
    """A variational autoencoder, its noise drawn in every call."""
    inputs = keras.Input((5,))
    hidden = layers.Dense(6, "relu", name="encoder")(inputs)
    drawn = Sampled(name="drawn")(
        [layers.Dense(2, name="mean")(hidden), layers.Dense(2, name="log_variance")(hidden)]
    )
    model = keras.Model(inputs, layers.Dense(1, name="out")(drawn))
    model.compile(optimizer=keras.optimizers.Adam(_rate(hp)), loss="mse")
    return model


def masked_both_ways(hp: HP) -> keras.Model:
    """A mask through a layer that reads sequences both ways and hands sequences on."""
    model = keras.Sequential(
        [
            keras.Input((LENGTH,), dtype="int32"),
            layers.Embedding(11, 4, mask_zero=True, name="words"),
            layers.Bidirectional(layers.LSTM(3, return_sequences=True), name="both_ways"),
            layers.GRU(3, name="gru"),
            layers.Dense(1, activation="sigmoid", name="probability"),
        ]
    )
    model.compile(optimizer=keras.optimizers.SGD(_rate(hp)), loss="binary_crossentropy")
    return model


def plain_recurrent(hp: HP) -> keras.Model:
    """Plain recurrent layers above each other."""
    model = keras.Sequential(
        [
            keras.Input((LENGTH, 3)),
            layers.SimpleRNN(4, return_sequences=True, name="first"),
            layers.SimpleRNN(3, name="second"),
            layers.Dense(1, name="out"),
        ]
    )
    model.compile(optimizer=keras.optimizers.SGD(_rate(hp)), loss="mse")
    return model


class Summing(layers.Layer):
    """Adds up a sequence in a loop of its own, which no operation of a whole stack computes."""

    def call(self, inputs: Any) -> Any:
        def advance(carry: Any, column: Any) -> tuple[Any, Any]:
            carry = ops.tanh(carry + column)
            return carry, carry

        last, _ = ops.scan(advance, ops.zeros_like(inputs[:, 0]), ops.transpose(inputs, (1, 0, 2)))
        return last


def summed(hp: HP) -> keras.Model:
    """A loop that cannot be vectorised, behind a layer that needs its gradient."""
    model = keras.Sequential(
        [
            keras.Input((LENGTH, 3)),
            layers.Dense(4, name="before"),
            Summing(name="summing"),
            layers.Dense(1, name="out"),
        ]
    )
    model.compile(optimizer=keras.optimizers.SGD(_rate(hp)), loss="mse")
    return model


def causal_attention(hp: HP) -> keras.Model:
    """A block of a transformer, under a schedule with warm-up."""
    inputs = keras.Input((LENGTH, 3))
    x = layers.Dense(4, name="embedded")(inputs)
    attended = layers.MultiHeadAttention(2, 3, dropout=0.1, seed=5, name="attention")(
        layers.LayerNormalization(name="norm")(x), x, use_causal_mask=True
    )
    x = layers.Add()([x, attended])
    x = layers.GlobalMaxPooling1D()(layers.Dense(4, "gelu", name="mixed")(x))
    model = keras.Model(inputs, layers.Dense(1, name="out")(x))
    rate = _rate(hp)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.1 * rate, 12, alpha=0.1, warmup_target=rate, warmup_steps=4
    )
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=0.1)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    model.compile(optimizer=optimizer, loss="mse")
    return model


def normalizations(hp: HP) -> keras.Model:
    """Every normalization that looks at one row alone; clipped by the norm of all gradients."""
    inputs = keras.Input((8, 8, 2))
    x = layers.Conv2D(4, 3, strides=3, name="conv")(inputs)
    x = layers.GroupNormalization(2, name="group")(x)
    x = layers.LayerNormalization(axis=(1, 2, 3), name="layer")(x)
    x = layers.Flatten()(layers.LeakyReLU()(x))
    x = layers.Dense(6, name="wide")(layers.RMSNormalization(name="rms")(x))
    x = layers.UnitNormalization(name="unit")(layers.PReLU(name="prelu")(x))
    model = keras.Model(inputs, layers.Dense(3, activation="softmax", name="classes")(x))
    model.compile(
        optimizer=keras.optimizers.Nadam(_rate(hp), global_clipnorm=0.5),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def two_and_two(hp: HP) -> keras.Model:
    """Two inputs, a shared layer, two outputs with losses and weights by name."""
    numbers = keras.Input((4,), name="numbers")
    word = keras.Input((1,), name="word", dtype="int32")
    meaning = layers.Flatten()(layers.Embedding(7, 4, name="meaning")(word))
    shared = layers.Dense(4, "relu", kernel_constraint="unit_norm", name="shared")
    x = layers.Concatenate()([shared(numbers), shared(meaning)])
    frozen = layers.Dense(4, "tanh", name="frozen", trainable=False)
    x = layers.Multiply()([frozen(x), layers.Dense(4, name="free")(x)])
    outputs = {
        "value": layers.Dense(2, name="value")(x),
        "kind": layers.Dense(1, activation="sigmoid", name="kind")(x),
    }
    model = keras.Model([numbers, word], outputs)
    model.compile(
        optimizer=keras.optimizers.Adam(_rate(hp), amsgrad=True, epsilon=1e-3),
        loss={"value": "mse", "kind": "binary_crossentropy"},
        loss_weights={"value": 0.5, "kind": 2.0},
        metrics={"value": ["mae"], "kind": ["accuracy"]},
    )
    return model


class Weighing(layers.Layer):
    """A layer of a user's own, with a loss that it adds."""

    def __init__(self, factor: float, **options: Any) -> None:
        super().__init__(**options)
        self.factor = factor

    def build(self, shape: Any) -> None:
        self.scale = self.add_weight(shape=(shape[-1],), initializer="ones", name="scale")
        self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False, name="calls")

    def call(self, inputs: Any, training: bool = False) -> Any:
        if training:
            self.calls.assign_add(1.0)
        self.add_loss(0.1 * ops.mean(ops.square(self.scale)))
        return inputs * self.scale * self.factor


class OfOwnClass(keras.Model):
    """A model of a user's own class, with a loss of its own."""

    def __init__(self, l2: float, factor: float) -> None:
        super().__init__()
        self.hidden = layers.Dense(
            6, "softplus", kernel_regularizer=keras.regularizers.L1L2(1e-3, l2), name="hidden"
        )
        self.weighing = Weighing(factor, name="weighing")
        self.out = layers.Dense(1, activity_regularizer=keras.regularizers.L1(0.01), name="out")

    def call(self, inputs: Any, training: bool = False) -> Any:
        return self.out(self.weighing(self.hidden(inputs), training=training))

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        own = super().compute_loss(x, y, y_pred, sample_weight, training)
        return own + 0.1 * ops.mean(ops.log(ops.cosh(y - y_pred)))


def subclassed(hp: HP) -> keras.Model:
    """A subclass of Model and of Layer, losses on the way, a number to lift: `l2`."""
    model = OfOwnClass(hp.Float("l2", 0.0, 1.0, default=0.01), hp.Float("factor", 0, 9, default=1))
    model.compile(
        optimizer=keras.optimizers.SGD(_rate(hp), weight_decay=0.01, clipnorm=0.7),
        loss=lambda y, predicted: ops.mean(ops.abs(y - predicted) ** 1.5, axis=-1),
    )
    return model


def averaged(hp: HP) -> keras.Model:
    """The weights' moving average, written back every fifth step; a Lambda; a bounded kernel."""
    model = keras.Sequential(
        [
            keras.Input((5,)),
            layers.Dense(6, "tanh", kernel_constraint=keras.constraints.MaxNorm(0.8), name="bound"),
            layers.Lambda(lambda x: x * ops.sigmoid(x), name="gate"),
            layers.Dense(1, name="out"),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.SGD(
            _rate(hp), momentum=0.5, use_ema=True, ema_momentum=0.8, ema_overwrite_frequency=5
        ),
        loss="mse",
    )
    return model


def accumulated(hp: HP) -> keras.Model:
    """Gradients of three batches for a step."""
    optimizer = keras.optimizers.Adamax(_rate(hp), gradient_accumulation_steps=3, weight_decay=0.1)
    return _regression(hp, optimizer)


def scaled_loss(hp: HP) -> keras.Model:
    """A loss scaled by an optimizer of the user's own making, which skips some steps."""
    inner = keras.optimizers.SGD(_rate(hp), momentum=0.9)
    # Large at first, and doubled after every fourth finite step: then it is skipped again.
    optimizer = keras.optimizers.LossScaleOptimizer(
        inner, initial_scale=2.0**126, dynamic_growth_steps=4
    )
    return _regression(hp, optimizer, loss_weights=100.0)


def unscaled_loss(hp: HP) -> keras.Model:
    """Never scaled, whatever the precision."""
    return _regression(hp, keras.optimizers.Adam(_rate(hp)), auto_scale_loss=False)


OPTIMIZERS = {
    "adagrad": lambda rate: keras.optimizers.Adagrad(rate),
    "adadelta": lambda rate: keras.optimizers.Adadelta(rate),
    "adamax": lambda rate: keras.optimizers.Adamax(rate),
    "ftrl": lambda rate: keras.optimizers.Ftrl(rate, l1_regularization_strength=1e-3),
    "lion": lambda rate: keras.optimizers.Lion(rate),
    "lamb": lambda rate: keras.optimizers.Lamb(rate),
    "adafactor": lambda rate: keras.optimizers.Adafactor(rate),
    "nadam": lambda rate: keras.optimizers.Nadam(rate),
    "muon": lambda rate: keras.optimizers.Muon(rate),
    "exponential": lambda rate: keras.optimizers.SGD(
        keras.optimizers.schedules.ExponentialDecay(rate, 3, 0.7, staircase=True)
    ),
    "inverse_time": lambda rate: keras.optimizers.Adam(
        keras.optimizers.schedules.InverseTimeDecay(rate, 2, 0.5)
    ),
    "polynomial": lambda rate: keras.optimizers.RMSprop(
        keras.optimizers.schedules.PolynomialDecay(rate, 10, cycle=True)
    ),
    "restarts": lambda rate: keras.optimizers.SGD(
        keras.optimizers.schedules.CosineDecayRestarts(rate, 5), momentum=0.9
    ),
}


def optimizers(hp: HP) -> keras.Model:
    """The same network under any of the other optimizers and schedules."""
    kind = hp.Choice("update", list(OPTIMIZERS))
    return _regression(hp, OPTIMIZERS[kind](_rate(hp)))


def dropped(hp: HP) -> keras.Model:
    """A rate of dropout and a number in a closure: both are in the graph."""
    factor = hp.Float("factor", 0.0, 9.0, default=1.0)
    model = keras.Sequential(
        [
            keras.Input((5,)),
            layers.Dense(6, "relu", name="hidden"),
            layers.Lambda(lambda x: factor * x, name="scaled"),
            layers.Dropout(hp.Float("dropout", 0.0, 0.9, default=0.1), seed=0, name="dropped"),
            layers.Dense(
                1, kernel_regularizer=keras.regularizers.L2(hp.Float("l2", 0, 1)), name="out"
            ),
        ]
    )
    model.compile(optimizer=keras.optimizers.SGD(_rate(hp)), loss="mse")
    return model


class InPython(layers.Layer):
    """Computed by NumPy, outside of the graph."""

    def call(self, inputs: Any) -> Any:
        @tf.custom_gradient
        def cubed(x: Any) -> Any:
            y = tf.numpy_function(lambda a: (a**3).astype(a.dtype), [x], x.dtype)
            return tf.ensure_shape(y, x.shape), lambda up: 3.0 * x**2 * up

        return cubed(inputs)

    def compute_output_shape(self, shape: Any) -> Any:
        return shape


def in_python(hp: HP) -> keras.Model:
    """A layer that no graph of trials can compute."""
    model = keras.Sequential(
        [
            keras.Input((5,)),
            layers.Dense(4, "tanh", name="hidden"),
            InPython(name="python"),
            layers.Dense(1, name="out"),
        ]
    )
    model.compile(optimizer=keras.optimizers.SGD(_rate(hp)), loss="mse")
    return model


class Untracked(layers.Layer):
    """Keeps count in a variable that Keras does not know of."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        object.__setattr__(self, "seen", [tf.Variable(1.0, name="seen")])

    def call(self, inputs: Any) -> Any:
        return inputs * self.seen[0]


def untracked(hp: HP) -> keras.Model:
    """A variable that is no weight of the model."""
    model = keras.Sequential(
        [keras.Input((5,)), Untracked(name="untracked"), layers.Dense(1, name="out")]
    )
    model.compile(optimizer=keras.optimizers.SGD(_rate(hp)), loss="mse")
    return model


class Unseeded(layers.Layer):
    """Random numbers from Keras' global state."""

    def call(self, inputs: Any) -> Any:
        return inputs + 0.1 * keras.random.normal(ops.shape(inputs), dtype=inputs.dtype)


def unseeded(hp: HP) -> keras.Model:
    """Random numbers that no seed of the model decides on."""
    model = keras.Sequential(
        [keras.Input((5,)), Unseeded(name="unseeded"), layers.Dense(1, name="out")]
    )
    model.compile(optimizer=keras.optimizers.SGD(_rate(hp)), loss="mse")
    return model
