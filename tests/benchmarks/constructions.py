"""Trials whose cause of failure is known from how they were made; `causes.py` judges them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.model_selection import train_test_split

from stabilitysweep.types import Cause

ROWS, COLUMNS = 100, 4
LIMIT = 0.248496  # N / lambda of diabetes, every column standardised: docs/exact-limits.md
LINEAR: dict[str, Any] = {"depth": 0}
DIABETES: dict[str, Any] = {"name": "diabetes", "validation_fraction": 0}


@dataclass(frozen=True)
class Truth:
    """What is known of some trials of a grid.

    Attributes:
        cause: why they fail.
        argument: how that is known.
        where: the values of axes at which it holds, each with those allowed.
    """

    cause: Cause
    argument: str
    where: Mapping[str, tuple[Any, ...]]


@dataclass(frozen=True)
class Construction:
    """A grid and what is known of its trials; those without a truth are twins."""

    name: str
    config: Mapping[str, Any]
    truths: tuple[Truth, ...]

    def truth(self, row: Mapping[str, Any]) -> Truth | None:
        """Return what is known of a trial, by its row of the table."""
        for truth in self.truths:
            if all(row[axis] in allowed for axis, allowed in truth.where.items()):
                return truth
        return None


def made(
    name: str,
    cause: Cause,
    argument: str,
    grid: dict[str, list[Any]],
    where: dict[str, tuple[Any, ...]] | None = None,
    **sections: Any,
) -> Construction:
    """Return a construction with one truth."""
    source = {} if "dataset" in grid else {"dataset": DIABETES}
    config = {**source, **sections, "grid": grid}
    return Construction(name, config, (Truth(cause, argument, where or {}),))


def write(
    folder: Path, name: str, *, x: float = 1.0, y: float = 1.0, plant: Any = None, at: int = 0
) -> dict[str, Any]:
    """Write 100 rows of 4 columns, y their sum; return the `dataset` of a config.

    Args:
        folder: where to.
        name: of the file.
        x: scale of the inputs.
        y: scale of the target.
        plant: a value for the first column of row `at`, None for none.
        at: the row.
    """
    random = np.random.default_rng(0)
    inputs = random.normal(size=(ROWS, COLUMNS))
    target = y * (inputs.sum(axis=1) + 5)
    inputs *= x
    if plant is not None:
        inputs[at, 0] = plant
    names = ",".join([*(f"x{column}" for column in range(COLUMNS)), "y"])
    lines = [",".join(map(repr, row)) for row in np.column_stack([inputs, target]).tolist()]
    (folder / f"{name}.csv").write_text("\n".join([names, *lines]) + "\n", encoding="utf-8")
    return {"path": f"{name}.csv", "target": "y", "label": name}


def constructions(folder: Path) -> list[Construction]:
    """Return all of them; their files are written into `folder`."""
    return [
        *_data(folder),
        *_linear_rates(),
        *_rates(),
        *_activations(),
        *_overflows(folder),
        *_underflows(),
        *_losses(folder),
        *_scales(folder),
        *_unknown(folder),
    ]


def _data(folder: Path) -> list[Construction]:
    train, validation = train_test_split(np.arange(ROWS), test_size=0.2, random_state=0)
    short = {"steps": 10, "learning_rate": 0.01}
    both: dict[str, list[Any]] = {"precision": ["float32", "float16"]}
    planted = {"nan": np.nan, "inf": np.inf}
    in_training = [
        write(folder, f"train_{name}", plant=value, at=int(train[3]))
        for name, value in planted.items()
    ]
    in_validation = [
        write(folder, f"validation_{name}", plant=value, at=int(validation[3]))
        for name, value in planted.items()
    ]
    return [
        made(
            "training-row",
            Cause.INPUT_NOT_FINITE,
            "a training row of the file holds NaN or Inf, and nothing is imputed.",
            {"dataset": in_training, **both},
            model=LINEAR,
            training=short,
        ),
        made(
            "validation-row",
            Cause.PREDICTION_ONLY,
            "only a row that is held out holds NaN or Inf.",
            {"dataset": in_validation, **both},
            model=LINEAR,
            training=short,
        ),
        made(
            "raw-validation-row",
            Cause.PREDICTION_ONLY,
            "only a row that is held out holds NaN; no scaling.",
            {"learning_rate": [1e-3, 1e-2]},
            dataset=in_validation[0],
            model={"depth": 1, "width": 8},
            preprocessing={"scaling": "none"},
            training={"steps": 10},
        ),
    ]


def _linear_rates() -> list[Construction]:
    high = Cause.LEARNING_RATE_TOO_HIGH
    full = {"steps": 300, "batch_size": "full"}
    rates = [LIMIT * factor for factor in (0.5, 1.5, 3.0, 5.0)]
    exact = "descent on a quadratic above its exact limit."
    halves = ["float32", "mixed_float16", "float16", "float64"]
    return [
        made(
            "linear",
            high,
            exact,
            {"learning_rate": rates, "precision": halves},
            {"learning_rate": tuple(rates[1:])},
            model=LINEAR,
            training=full,
        ),
        made("linear-alone", high, exact, {"learning_rate": [3 * LIMIT]}, model=LINEAR,
             training=full),
        made("linear-short", high, f"{exact} The budget ends before it overflows.",
             {"learning_rate": [rates[0], rates[1], rates[3]]},
             {"learning_rate": (rates[1], rates[3])},
             model=LINEAR, training={**full, "steps": 12}),
        made("momentum", high, exact, {"learning_rate": [1.9 * LIMIT * f for f in (1.5, 4)]},
             model=LINEAR, training={**full, "momentum": 0.9}),
        made("nesterov", high, exact,
             {"learning_rate": [3.8 / 2.8 / 2 * LIMIT * f for f in (0.5, 2, 5)]},
             {"learning_rate": tuple(3.8 / 2.8 / 2 * LIMIT * f for f in (2, 5))},
             model=LINEAR, training={**full, "momentum": 0.9, "nesterov": True}),
        made("penalty", high, f"{exact} The L2 penalty alone has one of 1 / 10.",
             {"learning_rate": [0.3, 0.5]}, model={**LINEAR, "l2": 10.0}, training=full),
    ]  # fmt: skip


def _rates() -> list[Construction]:
    high = Cause.LEARNING_RATE_TOO_HIGH
    absurd = (1e3, 1e6, 1e10)
    text = "an absurd learning rate; the same network trains at the lowest rate of the grid."
    return [
        made("deep", high, text,
             {"learning_rate": [1e-3, *absurd], "activation": ["relu", "gelu"]},
             {"learning_rate": absurd},
             model={"depth": 4, "width": 16}, training={"steps": 60}),
        made("adam", high, text,
             {"learning_rate": [1e-3, 1e10, 1e25], "precision": ["float32", "mixed_bfloat16"]},
             {"learning_rate": (1e10, 1e25)},
             model={"depth": 3, "width": 16}, training={"steps": 60, "optimizer": "adam"}),
        made("float16-rate", high, f"{text} There is no float32 in it.",
             {"learning_rate": [1e-3, 10.0, 1e3]}, {"learning_rate": (10.0, 1e3)},
             model={"depth": 2, "width": 16}, training={"steps": 60, "precision": "float16"}),
    ]  # fmt: skip


def _activations() -> list[Construction]:
    unbounded = Cause.ACTIVATION_UNBOUNDED
    still = {"steps": 4, "learning_rate": 1e-6}
    return [
        made("ones", unbounded, "each layer multiplies by 8, and 8^50 exceeds 3e38.",
             {"depth": [50, 60], "precision": ["float32", "mixed_bfloat16", "float16"]},
             model={"width": 8, "initializer": "ones"}, training=still),
        made("exponential", unbounded, "a tower of exponentials exceeds any float.",
             {"precision": ["float32", "float64", "mixed_bfloat16"], "learning_rate": [1e-6, 1e-3]},
             model={"depth": 6, "width": 8, "activation": "exponential", "initializer": "ones"},
             training={"steps": 4}),
        made("wide-ones", unbounded, "each layer multiplies by 64, and 64^22 exceeds 3e38.",
             {"depth": [24, 30]}, model={"width": 64, "initializer": "ones"}, training=still),
    ]  # fmt: skip


def _overflows(folder: Path) -> list[Construction]:
    cause = Cause.FLOAT16_OVERFLOW
    three = ["float32", "mixed_float16", "float16"]
    halves = ("mixed_float16", "float16")
    raw = {"scaling": "none", "target_scaling": "none"}
    tiny = {"steps": 6, "learning_rate": 1e-30}
    fixed = " At this learning rate nothing moves."
    large = write(folder, "large", x=2e4)
    larger = write(folder, "larger", x=1e6)
    far, farther = write(folder, "far", y=300.0), write(folder, "farther", y=1e6)
    deep = {"width": 8, "initializer": "ones"}
    return [
        made("ones-float16", cause, f"8^7 exceeds 65,504, 8^14 not 3e38.{fixed}",
             {"depth": [7, 10, 14], "precision": three}, {"precision": halves},
             model=deep, training=tiny),
        made("ones-float16-alone", cause, f"8^7 exceeds 65,504, 8^9 not 3e38.{fixed}",
             {"depth": [7, 9]}, model=deep, training={**tiny, "precision": "float16"}),
        made("raw-inputs", cause, f"sums of inputs of 2e4 exceed 65,504.{fixed}",
             {"precision": three}, {"precision": halves}, dataset=large, preprocessing=raw,
             model={"depth": 1, **deep}, training=tiny),
        made("larger-inputs", cause, f"the inputs, of 1e6, exceed 65,504.{fixed}",
             {"precision": ["float32", "float16"]}, {"precision": halves}, dataset=larger,
             preprocessing=raw, model={"depth": 1, **deep}, training=tiny),
        made("velocity", cause, "the gradient of the bias is about 3,000, its square above "
             "65,504; float32 trains.",
             {"precision": ["float32", "float16"], "optimizer": ["adam", "rmsprop"]},
             {"precision": halves}, dataset=far, preprocessing=raw, model=LINEAR,
             training={"steps": 20, "learning_rate": 1e-3}),
        made("velocity-alone", cause, "the same without float32.",
             {"optimizer": ["adam", "rmsprop"]}, dataset=far, preprocessing=raw, model=LINEAR,
             training={"steps": 20, "learning_rate": 1e-3, "precision": "float16"}),
        made("raw-targets", cause, "the gradient of the bias is 2 times a target of 5e6.",
             {"precision": ["float32", "float16"]}, {"precision": halves}, dataset=farther,
             preprocessing=raw, model=LINEAR, training={"steps": 20, "learning_rate": 1e-3}),
    ]  # fmt: skip


def _underflows() -> list[Construction]:
    cause = Cause.FLOAT16_UNDERFLOW
    full = {"batch_size": "full"}
    both = ["float32", "float16"]
    rounded = (
        "weights of 1 are moved by less than 2^-12 a step, half of float16's spacing; in all "
        "steps together by 1 %."
    )
    return [
        made("flushed", cause, "weights of 0.05 shrink a signal to 0.28 a layer of 32: the "
             "gradient is below 2^-25; float32 trains under Adam.",
             {"depth": [12, 13, 14], "precision": both}, {"precision": ("float16",)},
             model={"width": 32, "activation": "tanh", "initializer": "random_normal"},
             training={**full, "steps": 300, "optimizer": "adam", "learning_rate": 0.01}),
        made("rounded", cause, rounded,
             {"learning_rate": [1e-5, 2e-5], "precision": both}, {"precision": ("float16",)},
             model={**LINEAR, "initializer": "ones"}, training={**full, "steps": 500}),
        made("rounded-alone", cause, rounded, {"learning_rate": [1e-5]},
             model={**LINEAR, "initializer": "ones"},
             training={**full, "steps": 500, "precision": "float16"}),
    ]  # fmt: skip


def _losses(folder: Path) -> list[Construction]:
    cause = Cause.LOSS_FUNCTION_SINGULAR
    text = "half of a linear head's outputs are negative, and `poisson` takes their logarithm."
    counts = write(folder, "counts")
    path = folder / "counts.csv"
    head, *lines = path.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if float(line.rpartition(",")[2]) >= 0]
    path.write_text("\n".join([head, *kept]) + "\n", encoding="utf-8")
    training = {"steps": 4, "loss": "poisson"}
    return [
        made("poisson", cause, text,
             {"depth": [0, 2], "precision": ["float32", "mixed_float16", "float16", "float64"]},
             dataset=counts, model={"width": 8, "activation": "tanh"},
             training={**training, "learning_rate": 1e-6}),
        made("poisson-rates", cause, text, {"learning_rate": [1e-6, 1e-2]},
             dataset=counts, model=LINEAR, training=training),
    ]  # fmt: skip


def _scales(folder: Path) -> list[Construction]:
    raw = {"target_scaling": "none"}
    text = "2 times a target of {} in float16: finite only with the loss scaled far below 1."
    return [
        made(f"targets-{name}", Cause.LOSS_SCALE_EXHAUSTED, text.format(name),
             {"precision": precisions, "learning_rate": [1e-6, 1e-5]},
             {"precision": ("mixed_float16",)},
             dataset=write(folder, f"targets_{name}", y=scale), preprocessing=raw,
             model={"depth": 1, "width": 8, "activation": "tanh"}, training={"steps": steps})
        for name, scale, steps, precisions in (
            ("1e9", 1e9, 22, ["float32", "mixed_float16"]),
            ("1e12", 1e12, 25, ["mixed_float16"]),
            ("1e15", 1e15, 30, ["float32", "mixed_float16"]),
        )
    ]  # fmt: skip


def _unknown(folder: Path) -> list[Construction]:
    raw = {"target_scaling": "none"}
    beyond = [write(folder, f"beyond_{n:.0e}".replace("+", ""), y=n) for n in (1e20, 1e30)]
    early = write(folder, "early", y=1e4)
    model = {"depth": 1, "width": 8, "activation": "tanh"}
    return [
        made("overflowing-loss", Cause.UNKNOWN, "the square of the target exceeds 3e38: no rule "
             "is about targets.",
             {"dataset": beyond, "precision": ["float32", "mixed_bfloat16"]},
             preprocessing=raw, model=model, training={"steps": 6, "learning_rate": 1e-6}),
        made("early", Cause.UNKNOWN, "the budget ends in the skips of loss scaling at the start.",
             {"precision": ["float32", "mixed_float16"], "learning_rate": [1e-6, 1e-5]},
             {"precision": ("mixed_float16",)},
             dataset=early, preprocessing=raw, model=model, training={"steps": 4}),
    ]  # fmt: skip
