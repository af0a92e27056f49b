"""The sections of a config: one frozen model each, with every default.

A section checks each of its settings by itself. What must fit together across settings
is in `rules`, since any of them may be an axis.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    SerializerFunctionWrapHandler,
    StrictStr,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from stabilitysweep.config.fields import (
    ABOVE_ZERO,
    AT_LEAST_ZERO,
    FUNCTION,
    WHOLE_ABOVE_ZERO,
    Expected,
    FiniteNumber,
    Flag,
    Fraction,
    NoKey,
    NonNegativeNumber,
    NonNegativeWhole,
    PositiveNumber,
    PositiveWhole,
    Rate,
    Settings,
    different,
    refuse,
    without_alias,
)
from stabilitysweep.config.names import (
    ACTIVATION_ALIASES,
    CLASSIFICATION_LOSSES,
    ENCODING_ALIASES,
    LOSS_ALIASES,
    METRICS,
    Activation,
    Encoding,
    Imputation,
    Initializer,
    Loss,
    Metric,
    OptimizerName,
    Precision,
    Scaling,
    Schedule,
    TargetScaling,
    UnknownCategories,
)

DEFAULT_STEPS = 100
_SHAPE_LIMIT = 65_536  # wider or deeper is a slip of the finger, and would exhaust the memory

_Size = Annotated[
    PositiveWhole,
    Field(le=_SHAPE_LIMIT),
    Expected(f"a whole number from 1 to {_SHAPE_LIMIT:,}"),
]


class PreprocessingSettings(Settings):
    """What is done to the data before training, fitted on the training rows alone.

    Attributes:
        imputation: how missing inputs are filled; `none` leaves them NaN. Missing categories
            become the most frequent one, or under `constant` a category of their own.
        fill_value: what `constant` fills numbers with; finite.
        neighbors: how many rows `knn` averages over, at least 1.
        missing_indicator: whether each column with missing training values gets a second
            one, 1 where a value was missing and 0 elsewhere.
        scaling: how each input column of numbers is scaled.
        encoding: how a column of categories becomes numbers.
        unknown_categories: what becomes of a category that no training row has: `encode`
            (no column set, or the code 0), or `missing`, to be imputed or stay NaN.
        target_scaling: None means `standard` under mse, mae and huber, otherwise `none`.
    """

    later = frozenset(
        {"fill_value", "neighbors", "missing_indicator", "encoding", "unknown_categories"}
    )

    imputation: Imputation = "none"
    fill_value: Annotated[FiniteNumber, Expected("a finite number")] = 0.0
    neighbors: PositiveWhole = 5
    missing_indicator: Flag = False
    scaling: Scaling = "standard"
    encoding: Annotated[Encoding, without_alias(ENCODING_ALIASES)] = "one_hot"
    unknown_categories: UnknownCategories = "encode"
    target_scaling: TargetScaling | None = None


HpValue = bool | int | float | str
"""A value of an `hp`."""


def _by_name(items: tuple[tuple[str, HpValue], ...]) -> tuple[tuple[str, HpValue], ...]:
    return tuple(sorted(items))


class ModelSettings(Settings):
    """The network: the built-in one, or what a function of the user's builds.

    Attributes:
        name: the built-in model; without meaning beside `build`, as all but `hp` then is.
        width: units of each hidden layer, 1 to 65,536.
        depth: hidden layers, 0 to 65,536; 0 is a linear model.
        activation: of the hidden layers, a Keras name.
        initializer: of every kernel, a Keras name.
        l1: strength of the L1 penalty on every kernel, >= 0; 0 is no regularizer at all.
        l2: strength of the L2 penalty on every kernel, >= 0; 0 is no regularizer at all.
        dropout: share of the hidden units dropped in training, 0 <= d < 1.
        batch_norm: whether hidden layers are batch-normalised.
        build: `module:function`, a KerasTuner `build(hp)` or a HyperModel of the user's; None
            for the built-in model.
        hp: what `hp` is to give the user's function, by name, in the order of the names.
    """

    later = frozenset({"build", "hp"})

    name: Literal["mlp"] = "mlp"
    width: _Size = 32
    depth: Annotated[
        NonNegativeWhole,
        Field(le=_SHAPE_LIMIT),
        Expected(f"a whole number from 0 to {_SHAPE_LIMIT:,}"),
    ] = 2
    activation: Annotated[Activation, without_alias(ACTIVATION_ALIASES)] = "relu"
    initializer: Initializer = "glorot_uniform"
    l1: NonNegativeNumber = 0.0
    l2: NonNegativeNumber = 0.0
    dropout: Fraction = 0.0
    batch_norm: Flag = False
    build: Annotated[
        Annotated[StrictStr, Field(pattern=FUNCTION)] | None,
        Expected("a build(hp) function or a HyperModel, as 'module:function'"),
    ] = None
    hp: Annotated[tuple[tuple[str, HpValue], ...], AfterValidator(_by_name), NoKey()] = ()

    @model_serializer(mode="wrap")
    def _as_written(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """As the section of a config: either the built-in model or a build and its `hp`."""
        if self.build is not None:
            return {"build": self.build, **dict(self.hp)}
        return {key: value for key, value in handler(self).items() if key not in self.later}


class TrainingSettings(Settings):
    """How the network is trained, and for how long.

    Attributes:
        optimizer: a Keras optimizer.
        loss: the short name; Keras' `mean_squared_error`, `mean_absolute_error` become it.
        steps: optimizer steps; exactly one of `steps` and `epochs` is not None. 100 if
            neither is given.
        epochs: passes over the data, each of ceil(rows / batch size) steps.
        learning_rate: above 0.
        batch_size: rows a step, at least 1; `full` is all of them.
        momentum: 0 <= m < 1, of `sgd` and `rmsprop`.
        nesterov: Nesterov momentum, of `sgd`.
        weight_decay: decoupled, >= 0; None is the optimizer's default (0.004 for `adamw`,
            none for the others).
        clipnorm: largest norm of each gradient, above 0; None is no clipping.
        warmup_steps: steps over which the learning rate rises linearly, below `steps`.
        schedule: course of the learning rate after the warm-up.
        decay_rate: what the `exponential` schedule multiplies by over the run, 0 < r <= 1.
        precision: the Keras dtype policy.
        metrics: what is measured on the validation rows, besides the loss.
    """

    optimizer: OptimizerName = "sgd"
    loss: Annotated[Loss, without_alias(LOSS_ALIASES)] = "mse"
    steps: Annotated[PositiveWhole | None, Expected(WHOLE_ABOVE_ZERO)] = None
    epochs: Annotated[PositiveWhole | None, Expected(WHOLE_ABOVE_ZERO)] = None
    learning_rate: PositiveNumber = 0.01
    batch_size: Annotated[
        PositiveWhole | Literal["full"], Expected(f"{WHOLE_ABOVE_ZERO}, or full")
    ] = 32
    momentum: Fraction = 0.0
    nesterov: Flag = False
    weight_decay: Annotated[
        NonNegativeNumber | None,
        Expected(f"{AT_LEAST_ZERO}, or null for the default of the optimizer"),
    ] = None
    clipnorm: Annotated[
        PositiveNumber | None, Expected(f"{ABOVE_ZERO}, or null for no clipping")
    ] = None
    warmup_steps: NonNegativeWhole = 0
    schedule: Schedule = "constant"
    decay_rate: Rate = 0.1
    precision: Precision = "float32"
    metrics: Annotated[
        tuple[Metric, ...],
        AfterValidator(different),
        Expected(f"a list of different metrics out of {', '.join(METRICS)}"),
    ] = ()

    @model_validator(mode="before")
    @classmethod
    def _some_budget(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and data.get("steps") is data.get("epochs") is None:
            return {**data, "steps": DEFAULT_STEPS}
        return data

    @field_validator("epochs")
    @classmethod
    def _one_budget(cls, epochs: int | None, info: ValidationInfo) -> int | None:
        if epochs is not None and info.data.get("steps") is not None:
            raise refuse("", "either 'steps' or 'epochs'", "both")
        return epochs

    @property
    def is_classification(self) -> bool:
        """Whether the loss takes classes rather than numbers."""
        return self.loss in CLASSIFICATION_LOSSES
