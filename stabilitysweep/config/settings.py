"""The sections of a config: one frozen model each, with every default.

A section checks each of its settings by itself. What must fit together across settings
is in `rules`, since any of them may be an axis.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import PurePath
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from stabilitysweep.config.fields import (
    ABOVE_ZERO,
    AT_LEAST_ZERO,
    WHOLE_ABOVE_ZERO,
    Expected,
    Fraction,
    NonNegativeNumber,
    NonNegativeWhole,
    PositiveNumber,
    PositiveWhole,
    Rate,
    refuse,
)
from stabilitysweep.config.names import (
    ACTIVATION_ALIASES,
    CLASSIFICATION_LOSSES,
    DATASETS,
    GENERATORS,
    LOSS_ALIASES,
    METRICS,
    Activation,
    BundledDataset,
    GeneratedDataset,
    Imputation,
    Initializer,
    Loss,
    Metric,
    OptimizerName,
    Precision,
    Scaling,
    Schedule,
    TargetScaling,
)

DEFAULT_STEPS = 100
_SHAPE_LIMIT = 65_536  # wider or deeper is a slip of the finger, and would exhaust the memory

_Flag = Annotated[StrictBool, Expected("true or false")]
_Size = Annotated[
    PositiveWhole,
    Field(le=_SHAPE_LIMIT),
    Expected(f"a whole number from 1 to {_SHAPE_LIMIT:,}"),
]


def _plain(value: Any) -> Any:
    """Pass what JSON can hold, so that it can be stored, hashed and loaded again."""
    match value:
        case None | bool() | int() | str():
            return value
        case float() if math.isfinite(value):
            return value
        case list() | tuple():
            return [_plain(item) for item in value]
        case dict() if all(isinstance(key, str) for key in value):
            return {key: _plain(item) for key, item in value.items()}
    raise ValueError("not plain")


def _no_repeats(metrics: tuple[Metric, ...]) -> tuple[Metric, ...]:
    if len(set(metrics)) != len(metrics):
        raise ValueError("repeated")
    return metrics


def _without_alias(aliases: Mapping[str, str]) -> BeforeValidator:
    return BeforeValidator(lambda name: aliases.get(name, name) if isinstance(name, str) else name)


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DatasetSettings(_Settings):
    """Which data, and how it is split.

    A plain text stands for `{name: TEXT}`, or for `{path: TEXT}` if it ends in `.csv`.

    Attributes:
        name: one of scikit-learn's data sets or generators; or else `path`.
        path: a CSV file, as the user wrote it: relative to the config's folder.
        target: the column to predict; required with `path`, refused with `name`.
        options: arguments of a generator (`make_...`); plain values.
        validation_fraction: share of the rows held out, 0 <= f < 1; 0 trains on every row.
        split_seed: seed of the split, the same for all trials; 0 to 2**31 - 1.
        given_label: the `label` key: what the table calls this data set.
    """

    # `label` is the property that always has a text; `given_label` is what the user wrote.
    model_config = ConfigDict(
        frozen=True, extra="forbid", serialize_by_alias=True, validate_by_name=True
    )

    name: Annotated[
        BundledDataset | GeneratedDataset | None,
        Expected(f"a known data set ({', '.join(DATASETS)}), or else the 'path' of a CSV file"),
    ] = None
    path: Annotated[
        Annotated[StrictStr, Field(min_length=1)] | None, Expected("the path of a CSV file")
    ] = None
    target: Annotated[
        Annotated[StrictStr, Field(min_length=1)] | None, Expected("the name of a column, as text")
    ] = None
    options: Annotated[
        dict[str, Any],
        BeforeValidator(_plain),
        Expected("a mapping of the generator's arguments to plain, finite values"),
    ] = Field(default_factory=dict)
    validation_fraction: Fraction = 0.2
    split_seed: NonNegativeWhole = 0
    given_label: Annotated[
        Annotated[StrictStr, Field(min_length=1, max_length=100)] | None,
        Expected("a text of at most 100 characters"),
    ] = Field(default=None, alias="label")

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, data: Any) -> Any:
        if isinstance(data, str):
            return {"path" if data.lower().endswith(".csv") else "name": data}
        return data

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.name is None and self.path is None:
            raise refuse("name", "either 'name' or 'path'", "neither")
        if self.name is not None and self.path is not None:
            raise refuse("path", "either 'name' or 'path'", "both")
        if self.path is not None and self.target is None:
            raise refuse("target", "the name of the column to predict in the file", "nothing")
        if self.name is not None and self.target is not None:
            raise refuse("target", f"none, since {self.name!r} has its own", repr(self.target))
        if self.options and self.name not in GENERATORS:
            kind = "a file" if self.name is None else repr(self.name)
            raise refuse(
                "options",
                f"none, since {kind} is no generator (one of {', '.join(GENERATORS)})",
                ", ".join(map(repr, self.options)),
            )
        return self

    @property
    def label(self) -> str:
        """What the trials table calls it: the given label, the name, or the path's stem."""
        return self.given_label or self.name or PurePath(self.path or "").stem


class PreprocessingSettings(_Settings):
    """What is done to the data before training, fitted on the training rows alone.

    Attributes:
        imputation: how missing inputs are filled; `none` leaves them NaN.
        scaling: how each input column is scaled.
        target_scaling: None means `standard` under mse, mae and huber, otherwise `none`.
    """

    imputation: Imputation = "none"
    scaling: Scaling = "standard"
    target_scaling: TargetScaling | None = None


class ModelSettings(_Settings):
    """The network.

    Attributes:
        name: the only model so far.
        width: units of each hidden layer, 1 to 65,536.
        depth: hidden layers, 0 to 65,536; 0 is a linear model.
        activation: of the hidden layers, a Keras name.
        initializer: of every kernel, a Keras name.
        l1: strength of the L1 penalty on every kernel, >= 0; 0 is no regularizer at all.
        l2: strength of the L2 penalty on every kernel, >= 0; 0 is no regularizer at all.
        dropout: share of the hidden units dropped in training, 0 <= d < 1.
        batch_norm: whether hidden layers are batch-normalised.
    """

    name: Literal["mlp"] = "mlp"
    width: _Size = 32
    depth: Annotated[
        NonNegativeWhole,
        Field(le=_SHAPE_LIMIT),
        Expected(f"a whole number from 0 to {_SHAPE_LIMIT:,}"),
    ] = 2
    activation: Annotated[Activation, _without_alias(ACTIVATION_ALIASES)] = "relu"
    initializer: Initializer = "glorot_uniform"
    l1: NonNegativeNumber = 0.0
    l2: NonNegativeNumber = 0.0
    dropout: Fraction = 0.0
    batch_norm: _Flag = False


class TrainingSettings(_Settings):
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
    loss: Annotated[Loss, _without_alias(LOSS_ALIASES)] = "mse"
    steps: Annotated[PositiveWhole | None, Expected(WHOLE_ABOVE_ZERO)] = None
    epochs: Annotated[PositiveWhole | None, Expected(WHOLE_ABOVE_ZERO)] = None
    learning_rate: PositiveNumber = 0.01
    batch_size: Annotated[
        PositiveWhole | Literal["full"], Expected(f"{WHOLE_ABOVE_ZERO}, or full")
    ] = 32
    momentum: Fraction = 0.0
    nesterov: _Flag = False
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
        AfterValidator(_no_repeats),
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
