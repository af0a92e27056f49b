"""The names a config may use, as static lists: nothing is imported to know them.

A test compares the Keras names with Keras itself.
"""

from __future__ import annotations

from typing import Literal, get_args

BundledDataset = Literal["diabetes", "breast_cancer", "wine", "digits", "iris"]
GeneratedDataset = Literal[
    "make_regression",
    "make_classification",
    "make_friedman1",
    "make_moons",
    "make_circles",
    "make_blobs",
]

_COMPRESSED = ("", ".gz", ".bz2", ".xz", ".zst", ".zip")
TEXT_ENDINGS = tuple(
    text + compressed for text in (".csv", ".tsv", ".txt", ".data") for compressed in _COMPRESSED
)
FILE_ENDINGS = (*TEXT_ENDINGS, ".parquet", ".pq", ".npz")

# The datasets that Keras loads (and downloads) itself, but its sequences of words.
KerasDataset = Literal[
    "keras.datasets.boston_housing",
    "keras.datasets.california_housing",
    "keras.datasets.cifar10",
    "keras.datasets.cifar100",
    "keras.datasets.fashion_mnist",
    "keras.datasets.mnist",
]

Imputation = Literal["none", "mean", "median", "most_frequent", "knn", "constant"]
Scaling = Literal["standard", "minmax", "robust", "maxabs", "log1p", "none"]
TargetScaling = Literal["standard", "minmax", "robust", "maxabs", "log1p", "none"]
Encoding = Literal["one_hot", "ordinal"]
UnknownCategories = Literal["encode", "missing"]

# What `keras.activations.get` resolves to a function of one argument. Left out: `threshold`
# needs two more, and `glu` halves the width.
Activation = Literal[
    "celu",
    "elu",
    "exponential",
    "gelu",
    "hard_shrink",
    "hard_sigmoid",
    "hard_silu",
    "hard_tanh",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "log_softmax",
    "mish",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "soft_shrink",
    "softmax",
    "softplus",
    "softsign",
    "sparse_plus",
    "sparse_sigmoid",
    "sparsemax",
    "squareplus",
    "tanh",
    "tanh_shrink",
]

# What `keras.initializers.get` builds without arguments for the kernel of a Dense layer.
Initializer = Literal[
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "identity",
    "lecun_normal",
    "lecun_uniform",
    "ones",
    "orthogonal",
    "random_normal",
    "random_uniform",
    "truncated_normal",
    "variance_scaling",
    "zeros",
]

OptimizerName = Literal["sgd", "adam", "adamw", "rmsprop"]
Loss = Literal[
    "mse", "mae", "huber", "poisson", "binary_crossentropy", "sparse_categorical_crossentropy"
]
Schedule = Literal["constant", "cosine", "exponential"]
Precision = Literal["float32", "mixed_float16", "float16", "mixed_bfloat16", "float64"]
Metric = Literal["mse", "mae", "rmse", "r2", "accuracy"]

GENERATORS: tuple[str, ...] = get_args(GeneratedDataset)
KERAS_DATASETS: tuple[str, ...] = get_args(KerasDataset)
DATASETS: tuple[str, ...] = (*get_args(BundledDataset), *GENERATORS, *KERAS_DATASETS)
ACTIVATIONS: tuple[str, ...] = get_args(Activation)
INITIALIZERS: tuple[str, ...] = get_args(Initializer)
METRICS: tuple[str, ...] = get_args(Metric)

# Second names of the same thing, turned into the first: they must not be told apart.
ACTIVATION_ALIASES = {"swish": "silu", "hard_swish": "hard_silu"}
ENCODING_ALIASES = {"onehot": "one_hot", "one-hot": "one_hot"}
LOSS_ALIASES = {"mean_squared_error": "mse", "mean_absolute_error": "mae"}

CLASSIFICATION_LOSSES = frozenset({"binary_crossentropy", "sparse_categorical_crossentropy"})
UNSCALED_LOSSES = CLASSIFICATION_LOSSES | {"poisson"}
"""Their targets mean something as they are: classes, and counts that are never below 0."""

COMPILED_SETTINGS = (
    "optimizer", "loss", "learning_rate", "momentum", "nesterov", "weight_decay", "clipnorm",
    "warmup_steps", "schedule", "decay_rate",
)  # fmt: skip
"""Settings of `training` that a user's compiled model may decide on."""

TABLE_COLUMNS = frozenset({
    "trial_id", "seed", "outcome", "onset_step", "onset_stage", "onset_tensor", "onset_kind",
    "nan_step", "cause", "cause_text", "initial_loss", "final_loss", "best_loss",
    "skipped_steps", "final_loss_scale", "max_abs_activation", "max_grad_norm",
    "max_weight_norm", "headroom_bits", "zero_gradients", "excess_zero_gradients",
    "lost_gradients", "critical_learning_rate", "steps_run", "engine", "compiled",
})  # fmt: skip
"""The columns of the trials table that are no axes, but `val_loss` and the like.

A test compares them with the table itself.
"""

SLICE_COLUMNS = frozenset({
    "safe", "failing", "status", "refined", "islands", "highest_stable", "steps", "trials",
    "partial", "sensitivity", "relative_sensitivity", "best_loss_mean", "best_rate",
    "initial_loss_mean", "rates", "rates_missing",
})  # fmt: skip
"""The columns of the tables of boundaries and sensitivities that are no axes.

A test compares them with the tables themselves.
"""

CLASSIFICATION_METRICS = frozenset({"accuracy"})
MOMENTUM_OPTIMIZERS = frozenset({"sgd", "rmsprop"})


def default_target_scaling(loss: str) -> TargetScaling:
    """The target scaling meant by `target_scaling: null` under a loss."""
    return "none" if loss in UNSCALED_LOSSES else "standard"


def default_weight_decay(optimizer: OptimizerName) -> float | None:
    """The weight decay meant by `weight_decay: null`: what the Keras optimizer defaults to."""
    return 0.004 if optimizer == "adamw" else None
