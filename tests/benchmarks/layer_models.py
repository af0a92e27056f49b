"""Tiny models around one layer or one optimizer each, for `layer_table.py`.

`build(hp)` and `update(hp)` are a user's functions; the others return the data they train on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import keras_tuner
import numpy as np
from keras import layers as kl

ROWS = 24
SHAPES: dict[str, tuple[int, ...]] = {
    "vector": (5,),
    "sequence": (6, 4),
    "image": (6, 6, 4),
    "volume": (4, 4, 4, 2),
}


def _attention(layer: Any, **call: Any) -> Callable[[Any], Any]:
    return lambda x: layer(x, x, **call)


LAYERS: dict[str, dict[str, Callable[[], Callable[[Any], Any]]]] = {
    "vector": {
        "Dense": lambda: kl.Dense(4, "relu"),
        "Dense, every regularizer": lambda: kl.Dense(
            4,
            kernel_regularizer=keras.regularizers.L1L2(0.01, 0.01),
            bias_regularizer=keras.regularizers.L2(0.01),
            activity_regularizer=keras.regularizers.L1(0.01),
        ),
        "Dense, OrthogonalRegularizer": lambda: kl.Dense(
            4, kernel_regularizer=keras.regularizers.OrthogonalRegularizer()
        ),
        "Dense, MaxNorm": lambda: kl.Dense(4, kernel_constraint=keras.constraints.MaxNorm(0.5)),
        "EinsumDense": lambda: kl.EinsumDense("ab,bc->ac", 4, bias_axes="c"),
        "BatchNormalization": lambda: kl.BatchNormalization(),
        "LayerNormalization": lambda: kl.LayerNormalization(),
        "RMSNormalization": lambda: kl.RMSNormalization(),
        "UnitNormalization": lambda: kl.UnitNormalization(),
        "SpectralNormalization": lambda: kl.SpectralNormalization(kl.Dense(4)),
        "Dropout": lambda: kl.Dropout(0.3, seed=0),
        "AlphaDropout": lambda: kl.AlphaDropout(0.3, seed=0),
        "GaussianDropout": lambda: kl.GaussianDropout(0.3, seed=0),
        "GaussianNoise": lambda: kl.GaussianNoise(0.3, seed=0),
        "ActivityRegularization": lambda: kl.ActivityRegularization(0.01, 0.01),
        "ELU": lambda: kl.ELU(),
        "LeakyReLU": lambda: kl.LeakyReLU(),
        "PReLU": lambda: kl.PReLU(),
        "ReLU": lambda: kl.ReLU(max_value=1.0),
        "Softmax": lambda: kl.Softmax(),
        "Activation, gelu": lambda: kl.Activation("gelu"),
        "Lambda": lambda: kl.Lambda(lambda x: x * x),
        "RepeatVector": lambda: kl.RepeatVector(2),
        "Concatenate, Add, Multiply": lambda: (
            lambda x: kl.Concatenate()([kl.Add()([x, x]), kl.Multiply()([x, x])])
        ),
        "Dot": lambda: lambda x: kl.Dot(1)([x, x]),
    },
    "tokens": {
        "Embedding": lambda: kl.Embedding(9, 4),
        "Embedding, mask_zero, LSTM": lambda: (
            lambda x: kl.LSTM(3)(kl.Embedding(9, 4, mask_zero=True)(x))
        ),
        "Embedding, mask_zero, GRU": lambda: (
            lambda x: kl.GRU(3)(kl.Embedding(9, 4, mask_zero=True)(x))
        ),
        "Embedding, mask_zero, Bidirectional, sequences": lambda: (
            lambda x: kl.Bidirectional(kl.LSTM(3, return_sequences=True))(
                kl.Embedding(9, 4, mask_zero=True)(x)
            )
        ),
        "Embedding, mask_zero, MultiHeadAttention": lambda: (
            lambda x: _attention(kl.MultiHeadAttention(2, 3))(kl.Embedding(9, 4, mask_zero=True)(x))
        ),
    },
    "image": {
        "Conv2D": lambda: kl.Conv2D(4, 3),
        "Conv2D, strides": lambda: kl.Conv2D(4, 3, strides=2),
        "Conv2D, dilation": lambda: kl.Conv2D(4, 2, dilation_rate=2),
        "Conv2D, groups": lambda: kl.Conv2D(4, 3, groups=2),
        "Conv2DTranspose": lambda: kl.Conv2DTranspose(3, 2, strides=2),
        "SeparableConv2D": lambda: kl.SeparableConv2D(3, 2),
        "DepthwiseConv2D": lambda: kl.DepthwiseConv2D(3),
        "MaxPooling2D": lambda: kl.MaxPooling2D(2),
        "AveragePooling2D": lambda: kl.AveragePooling2D(2),
        "GlobalAveragePooling2D": lambda: kl.GlobalAveragePooling2D(),
        "GlobalMaxPooling2D": lambda: kl.GlobalMaxPooling2D(),
        "AdaptiveAveragePooling2D": lambda: kl.AdaptiveAveragePooling2D(2),
        "UpSampling2D": lambda: kl.UpSampling2D(2),
        "UpSampling2D, bilinear": lambda: kl.UpSampling2D(2, interpolation="bilinear"),
        "Resizing": lambda: kl.Resizing(4, 4),
        "ZeroPadding2D, Cropping2D": lambda: lambda x: kl.Cropping2D(1)(kl.ZeroPadding2D(2)(x)),
        "BatchNormalization, images": lambda: kl.BatchNormalization(),
        "GroupNormalization": lambda: kl.GroupNormalization(2),
        "SpatialDropout2D": lambda: kl.SpatialDropout2D(0.3, seed=0),
        "ConvLSTM1D": lambda: kl.ConvLSTM1D(2, 2),
        "RandomFlip": lambda: kl.RandomFlip(seed=0),
    },
    "volume": {
        "Conv3D": lambda: kl.Conv3D(2, 2),
        "Conv3DTranspose": lambda: kl.Conv3DTranspose(2, 2),
        "MaxPooling3D": lambda: kl.MaxPooling3D(2),
        "AveragePooling3D": lambda: kl.AveragePooling3D(2),
        "ConvLSTM2D": lambda: kl.ConvLSTM2D(2, 2),
    },
    "sequence": {
        "Conv1D": lambda: kl.Conv1D(4, 3, padding="causal"),
        "Conv1D, strides": lambda: kl.Conv1D(4, 3, strides=2),
        "Conv1DTranspose": lambda: kl.Conv1DTranspose(3, 2, strides=2),
        "SeparableConv1D": lambda: kl.SeparableConv1D(3, 2),
        "DepthwiseConv1D": lambda: kl.DepthwiseConv1D(3),
        "MaxPooling1D": lambda: kl.MaxPooling1D(2),
        "AveragePooling1D": lambda: kl.AveragePooling1D(2),
        "GlobalAveragePooling1D": lambda: kl.GlobalAveragePooling1D(),
        "GlobalMaxPooling1D": lambda: kl.GlobalMaxPooling1D(),
        "UpSampling1D": lambda: kl.UpSampling1D(2),
        "ZeroPadding1D, Cropping1D": lambda: lambda x: kl.Cropping1D(1)(kl.ZeroPadding1D(2)(x)),
        "SimpleRNN": lambda: kl.SimpleRNN(3),
        "LSTM": lambda: kl.LSTM(3),
        "LSTM, two, return_sequences": lambda: (
            lambda x: kl.LSTM(3)(kl.LSTM(3, return_sequences=True)(x))
        ),
        "LSTM, dropout": lambda: kl.LSTM(3, dropout=0.2, recurrent_dropout=0.2, seed=0),
        "GRU": lambda: kl.GRU(3),
        "GRU, two, return_sequences": lambda: (
            lambda x: kl.GRU(3)(kl.GRU(3, return_sequences=True)(x))
        ),
        "Bidirectional": lambda: kl.Bidirectional(kl.GRU(3)),
        "RNN, StackedRNNCells": lambda: kl.RNN([kl.LSTMCell(3), kl.GRUCell(2)]),
        "RNN of a cell, behind a Dense": lambda: (
            lambda x: kl.RNN(kl.SimpleRNNCell(3))(kl.Dense(3)(x))
        ),
        "Masking, LSTM": lambda: lambda x: kl.LSTM(3)(kl.Masking(0.0)(x)),
        "TimeDistributed": lambda: kl.TimeDistributed(kl.Dense(3)),
        "MultiHeadAttention": lambda: _attention(kl.MultiHeadAttention(2, 3)),
        "MultiHeadAttention, causal": lambda: _attention(
            kl.MultiHeadAttention(2, 3), use_causal_mask=True
        ),
        "GroupQueryAttention": lambda: _attention(kl.GroupQueryAttention(3, 4, 2)),
        "Attention": lambda: lambda x: kl.Attention(use_scale=True)([x, x]),
        "AdditiveAttention": lambda: lambda x: kl.AdditiveAttention()([x, x]),
        "SpatialDropout1D": lambda: kl.SpatialDropout1D(0.3, seed=0),
        "Permute, Reshape": lambda: lambda x: kl.Reshape((3, 8))(kl.Permute((2, 1))(x)),
    },
}

_OPT = keras.optimizers
OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "SGD": lambda: _OPT.SGD(0.01),
    "SGD, momentum, nesterov": lambda: _OPT.SGD(0.01, momentum=0.9, nesterov=True),
    "Adam": lambda: _OPT.Adam(0.01),
    "Adam, amsgrad": lambda: _OPT.Adam(0.01, amsgrad=True),
    "AdamW": lambda: _OPT.AdamW(0.01),
    "RMSprop": lambda: _OPT.RMSprop(0.01, momentum=0.5),
    "RMSprop, centered": lambda: _OPT.RMSprop(0.01, centered=True),
    "Nadam": lambda: _OPT.Nadam(0.01),
    "Adagrad": lambda: _OPT.Adagrad(0.01),
    "Adadelta": lambda: _OPT.Adadelta(0.01),
    "Adamax": lambda: _OPT.Adamax(0.01),
    "Ftrl": lambda: _OPT.Ftrl(0.01),
    "Lion": lambda: _OPT.Lion(0.01),
    "Lamb": lambda: _OPT.Lamb(0.01),
    "Adafactor": lambda: _OPT.Adafactor(0.01),
    "Muon": lambda: _OPT.Muon(0.01),
    "ScheduleFreeAdamW": lambda: _OPT.ScheduleFreeAdamW(0.01),
    "SGD, clipnorm": lambda: _OPT.SGD(0.01, clipnorm=0.1),
    "SGD, clipvalue": lambda: _OPT.SGD(0.01, clipvalue=0.1),
    "SGD, global_clipnorm": lambda: _OPT.SGD(0.01, global_clipnorm=0.1),
    "Adam, weight decay": lambda: _OPT.Adam(0.01, weight_decay=0.1),
    "SGD, moving average": lambda: _OPT.SGD(0.01, use_ema=True, ema_overwrite_frequency=2),
    "SGD, accumulated gradients": lambda: _OPT.SGD(0.01, gradient_accumulation_steps=2),
    "SGD, loss_scale_factor": lambda: _OPT.SGD(0.01, loss_scale_factor=8.0),
    "LossScaleOptimizer": lambda: _OPT.LossScaleOptimizer(_OPT.Adam(0.01)),
    "SGD, CosineDecay": lambda: _OPT.SGD(_OPT.schedules.CosineDecay(0.01, 5)),
}


def _data(kind: str) -> tuple[Any, Any]:
    random = np.random.default_rng(0)
    y = random.normal(size=ROWS).astype("float32")
    if kind == "tokens":
        x = random.integers(1, 9, size=(ROWS, 6))
        x[np.arange(6) >= random.integers(2, 7, size=(ROWS, 1))] = 0
        return x, y
    return random.normal(size=(ROWS, *SHAPES[kind])).astype("float32"), y


def vector() -> tuple[Any, Any]:
    """Rows of 5 numbers."""
    return _data("vector")


def tokens() -> tuple[Any, Any]:
    """Rows of 6 whole numbers, filled up with zeros."""
    return _data("tokens")


def sequence() -> tuple[Any, Any]:
    """Rows of 6 steps of 4 numbers."""
    return _data("sequence")


def image() -> tuple[Any, Any]:
    """Rows of 6 by 6 pixels of 4 channels."""
    return _data("image")


def volume() -> tuple[Any, Any]:
    """Rows of 4 by 4 by 4 points of 2 channels."""
    return _data("volume")


def build(hp: keras_tuner.HyperParameters) -> keras.Model:
    """Build a layer of trainable weights, the layer in question, and a layer of one unit."""
    name = str(hp.Choice("layer", [name for group in LAYERS.values() for name in group]))
    kind = next(kind for kind, group in LAYERS.items() if name in group)
    if kind == "tokens":
        inputs = x = keras.Input((6,), dtype="int32")
    else:
        inputs = keras.Input(SHAPES[kind])
        x = kl.Dense(SHAPES[kind][-1], "tanh", name="before")(inputs)
    x = kl.Flatten(name="flat")(LAYERS[kind][name]()(x))
    model = keras.Model(inputs, kl.Dense(1, name="after")(x))
    model.compile(optimizer=keras.optimizers.SGD(0.01), loss="mse")
    return model


def update(hp: keras_tuner.HyperParameters) -> keras.Model:
    """Build a small network under the optimizer in question."""
    name = str(hp.Choice("update", list(OPTIMIZERS)))
    model = keras.Sequential([keras.Input((5,)), kl.Dense(4, "tanh"), kl.Dense(1)])
    model.compile(optimizer=OPTIMIZERS[name](), loss="mse")
    return model
