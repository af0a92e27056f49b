"""A small recurrent network for sequences: stacked LSTM or GRU layers, clipping and a schedule.

    dataset: {function: sweeps.lstm:noisy_sines}
    model: {build: sweeps.lstm:build}

Gradients of recurrent networks explode, and clipping by the norm of all gradients together is
the usual remedy: `global_clipnorm` may be an axis, with 0 for none.

Notation: N sequences; B sequences in a batch; T values in each.
"""

from __future__ import annotations

import keras
import keras_tuner
import numpy as np
from keras import layers
from numpy.typing import NDArray

LENGTH = 16
"""Values in each sequence, T."""


def noisy_sines(
    rows: int = 1000, noise: float = 0.1, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Sine waves with noise, and the value that comes next.

    Args:
        rows: N, at least 1.
        noise: standard deviation of the noise on every value, at least 0.
        seed: of the random numbers, at least 0.

    Returns:
        Sequences float32 [N, T, 1] with T = 16, of amplitude 1, any phase and 8 to 16 values a
        period; and float32 [N], the value after the last one, without noise.
    """
    random = np.random.default_rng(seed)
    period = random.uniform(8, 16, size=(rows, 1))
    phase = random.uniform(0, 2 * np.pi, size=(rows, 1))
    waves = np.sin(2 * np.pi * np.arange(LENGTH + 1) / period + phase)
    noisy = waves[:, :-1] + noise * random.normal(size=(rows, LENGTH))
    return noisy[..., np.newaxis].astype("float32"), waves[:, -1].astype("float32")


def build(hp: keras_tuner.HyperParameters) -> keras.Model:
    """Build the compiled model under the current dtype policy.

    Args:
        hp: reads `cell` (`lstm` or `gru`), `layers`, `units` (of each layer), `learning_rate`,
            `cosine` (whether the learning rate falls to 0 along a cosine), `decay_steps` (over
            so many steps; asked for with `cosine` alone) and `global_clipnorm` (largest norm of
            all gradients together; 0 does not clip).

    Returns:
        A sequential model from sequences [B, T, 1] to predictions [B, 1].
    """
    cell = {"lstm": layers.LSTM, "gru": layers.GRU}[hp.Choice("cell", ["lstm", "gru"])]
    depth = hp.Int("layers", 1, 3, default=1)
    units = hp.Int("units", 4, 64, default=16)

    model = keras.Sequential([keras.Input((LENGTH, 1), name="sequence")], name="lstm")
    for index in range(1, depth + 1):
        # All layers but the last hand on every step, as the next one expects a sequence.
        model.add(cell(units, return_sequences=index < depth, name=f"recurrent_{index}"))
    # Under a mixed policy the last layer is float32, as Keras advises. Under the others it is like
    # the rest: `global_clipnorm` takes gradients of one dtype only.
    mixed = keras.config.dtype_policy().name.startswith("mixed_")
    model.add(layers.Dense(1, dtype="float32" if mixed else None, name="next_value"))

    learning_rate = hp.Float("learning_rate", 1e-4, 100.0, sampling="log", default=0.1)
    if hp.Boolean("cosine", default=False):
        decay_steps = hp.Int("decay_steps", 1, 100_000, default=100)
        learning_rate = keras.optimizers.schedules.CosineDecay(learning_rate, decay_steps)
    clipnorm = hp.Float("global_clipnorm", 0.0, 100.0, default=0.0)
    model.compile(
        optimizer=keras.optimizers.SGD(
            learning_rate, momentum=0.9, global_clipnorm=clipnorm if clipnorm > 0 else None
        ),
        loss="mse",
    )
    return model
