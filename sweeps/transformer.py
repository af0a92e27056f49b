"""A small causal transformer: the next character of generated text, from all those before it.

    dataset: {function: sweeps.transformer:sums}
    model: {build: sweeps.transformer:build}

It has layers of Keras and one of its own (`TokenAndPosition`), a loss at every position, AdamW,
and a learning rate that warms up. Where the normalization stands, before or after the residual
connection (Xiong et al., "On Layer Normalization in the Transformer Architecture", 2020,
<https://arxiv.org/abs/2002.04745>), decides how much of a warm-up it needs.

Notation: N texts; B texts in a batch; T characters in each; V characters in the alphabet.
"""

from __future__ import annotations

from typing import Any

import keras
import keras_tuner
import numpy as np
from keras import layers
from numpy.typing import NDArray

ALPHABET = "0123456789+=;"
"""The V = 13 characters; a token is the place of its character here."""

LENGTH = 16
"""Characters in each text, T."""


def sums(rows: int = 1000, seed: int = 0) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Texts such as `7+5=12;31+8=39;4`, and the character that follows each character.

    Args:
        rows: N, at least 1.
        seed: of the random numbers, at least 0.

    Returns:
        Tokens int32 [N, T] with T = 16, from 0 to V - 1, and the tokens one place further on
        int32 [N, T].
    """
    random = np.random.default_rng(seed)
    # The shortest sum, `0+0=0;`, has six characters: four fill a text and one more character.
    terms = random.integers(0, 50, size=(rows, 4, 2)).tolist()
    texts = ["".join(f"{a}+{b}={a + b};" for a, b in row) for row in terms]
    tokens = np.array([[ALPHABET.index(c) for c in text[: LENGTH + 1]] for text in texts], "int32")
    return tokens[:, :-1], tokens[:, 1:]


class TokenAndPosition(layers.Layer):
    """The sum of an embedding of each token and one of its position.

    Args:
        vocabulary: number of tokens, V.
        length: number of positions, T.
        width: size of an embedding.
        **kwargs: arguments of every Keras layer, such as `name`.
    """

    def __init__(self, vocabulary: int, length: int, width: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.token = layers.Embedding(vocabulary, width, name="token")
        self.position = layers.Embedding(length, width, name="position")

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make both tables of weights."""
        self.token.build(input_shape)
        self.position.build(input_shape[-1:])
        super().build(input_shape)

    def call(self, tokens: Any) -> Any:
        """Return embeddings [B, T, width] of integer tokens [B, T]."""
        return self.token(tokens) + self.position(keras.ops.arange(tokens.shape[-1]))


def build(hp: keras_tuner.HyperParameters) -> keras.Model:
    """Build the compiled model under the current dtype policy.

    Args:
        hp: reads `blocks`, `width` (of the embeddings), `heads` (of the attention), `norm`
            (`pre`: before attention and feed-forward layers; `post`: after the sum with what
            went past them), `dropout` (the rate in both), `learning_rate`, `warmup_steps` (of
            a linear rise from 0; 0 is none) and `weight_decay`.

    Returns:
        A functional model from tokens [B, T] to logits [B, T, V].
    """
    blocks = hp.Int("blocks", 1, 6, default=1)
    width = hp.Int("width", 8, 64, step=8, default=16)
    heads = hp.Int("heads", 1, 4, default=2)
    norm = hp.Choice("norm", ["pre", "post"])
    rate = hp.Float("dropout", 0.0, 0.9, default=0.0)

    def normalize(x: Any, where: str, name: str) -> Any:
        """Return x, normalized if this is where the model does so."""
        return layers.LayerNormalization(name=f"norm_{name}")(x) if norm == where else x

    tokens = keras.Input((LENGTH,), dtype="int32", name="tokens")
    x = TokenAndPosition(len(ALPHABET), LENGTH, width, name="embedding")(tokens)
    for index in range(1, blocks + 1):
        h = normalize(x, "pre", f"attention_{index}")
        h = layers.MultiHeadAttention(
            heads, width // heads, dropout=rate, name=f"attention_{index}"
        )(h, h, use_causal_mask=True)
        x = layers.Add(name=f"add_attention_{index}")([x, h])
        x = normalize(x, "post", f"attention_{index}")

        h = normalize(x, "pre", f"feed_forward_{index}")
        h = layers.Dense(4 * width, activation="gelu", name=f"expand_{index}")(h)
        h = layers.Dense(width, name=f"contract_{index}")(h)
        if rate > 0:
            h = layers.Dropout(rate, name=f"dropout_{index}")(h)
        x = layers.Add(name=f"add_feed_forward_{index}")([x, h])
        x = normalize(x, "post", f"feed_forward_{index}")
    x = normalize(x, "pre", "final")
    # float32 whatever the policy, as Keras advises for the last layer.
    logits = layers.Dense(len(ALPHABET), dtype="float32", name="logits")(x)
    model = keras.Model(tokens, logits, name="transformer")

    learning_rate = hp.Float("learning_rate", 1e-5, 10.0, sampling="log", default=3e-3)
    warmup_steps = hp.Int("warmup_steps", 0, 10_000, default=20)
    if warmup_steps > 0:
        # Named for its fall, it rises as well: from 0 to the learning rate, where it stays.
        learning_rate = keras.optimizers.schedules.PolynomialDecay(
            0.0, warmup_steps, end_learning_rate=learning_rate
        )
    model.compile(
        optimizer=keras.optimizers.AdamW(
            learning_rate, weight_decay=hp.Float("weight_decay", 0.0, 1.0, default=0.004)
        ),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model
