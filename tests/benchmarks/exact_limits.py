"""Where linear regression stops being stable, and when it overflows, against exact mathematics.

Notation: N rows, A the inputs with a column of ones, H = 2 A'A / N the Hessian of the mean
square error of one Dense layer, P the matrix that is 1 for the kernel and 0 for the bias.

Three data sets, five ways of descending, two precisions: full batch, no validation rows. The
limit of each is computed here with NumPy's eigenvalues and nothing of the package. The
boundary is the largest learning rate with no failure at or below it, on a sweep from a
twentieth of the limit to five times it that is fine near it. It must lie within 1 % of the
limit, and the table's `critical_learning_rate` within 0.1 %.

Then the step at which the loss overflows, for plain descent a little above its limit: within
1 % of the formula or one step. The exit code is 1 if any of these is missed. Last, without a bar,
how far networks and small batches hold beside the limit of their initial weights.

    python tests/benchmarks/exact_limits.py --output docs/exact-limits.md
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from linear import Array, hessian, write_csv
from shared import described, table, write_page
from sklearn.datasets import load_wine

from stabilitysweep.config import SweepConfig, parse_config
from stabilitysweep.data import PreparedData, load, prepare
from stabilitysweep.engines.base import Engine, Stack
from stabilitysweep.executors.worker import start_engine
from stabilitysweep.grid import Grid, Trial
from stabilitysweep.models.builder import ModelSpec
from stabilitysweep.models.programs import group
from stabilitysweep.types import Compiled, Outcome, Stage, TrialResult

L2, DECAY, MOMENTUM = 1.0, 0.5, 0.9
STEPS, LONG = 2_000, 10_000
PRECISIONS = ("float32", "float64")
COARSE = np.geomspace(0.05, 5.0, 25)
FINE = 1.0 + 0.0025 * np.arange(-20, 21)
NETWORKS = ((0, "relu"), (2, "tanh"), (2, "relu"), (4, "gelu"))
FACTORS = (1.005, 1.01, 1.02, 1.05, 1.1)
BOUNDARY_BAR, RATE_BAR, STEP_BAR = 0.01, 0.001, 0.01


@dataclass(frozen=True)
class Way:
    """A way of descending.

    Attributes:
        name: for the table.
        settings: of the config: section to key and value.
        limit: from the largest eigenvalue of H, and of H + 2 L2 P, to the limit.
    """

    name: str
    settings: dict[str, dict[str, Any]]
    limit: Callable[[float, float], float]


WAYS = (
    Way("plain", {}, lambda top, _: 2 / top),
    Way(f"L2 {L2:g}", {"model": {"l2": L2}}, lambda _, penalized: 2 / penalized),
    Way(
        f"weight decay {DECAY:g}",
        {"training": {"weight_decay": DECAY}},
        lambda top, _: 2 / (top + DECAY),
    ),
    Way(
        f"heavy ball {MOMENTUM:g}",
        {"training": {"momentum": MOMENTUM}},
        lambda top, _: 2 * (1 + MOMENTUM) / top,
    ),
    Way(
        f"Nesterov {MOMENTUM:g}",
        {"training": {"momentum": MOMENTUM, "nesterov": True}},
        lambda top, _: (2 + 2 * MOMENTUM) / ((1 + 2 * MOMENTUM) * top),
    ),
)


def conditioned() -> tuple[Array, Array]:
    """Return 200 rows of 8 columns, A'A / N with eigenvalues from 4 to 4e-4."""
    random = np.random.default_rng(0)
    start = np.column_stack([np.ones(200), random.normal(size=(200, 8))])
    left = np.linalg.qr(start)[0][:, 1:]
    right = np.linalg.qr(random.normal(size=(8, 8)))[0]
    x = math.sqrt(200) * (left * np.sqrt(4 * np.geomspace(1.0, 1e-4, 8))) @ right
    return x, x @ random.normal(size=8) + 0.1 * random.normal(size=200)


def sources(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the config's `dataset` and `preprocessing` for each data set."""
    wine = load_wine()  # its labels are classes: only from a file are they numbers
    write_csv(folder / "wine.csv", wine.data, wine.target.astype(float))
    write_csv(folder / "conditioned.csv", *conditioned())
    return {
        "diabetes": {"dataset": {"name": "diabetes"}},
        "wine": {"dataset": {"path": "wine.csv", "target": "y"}},
        "condition 1e4": {
            "dataset": {"path": "conditioned.csv", "target": "y"},
            "preprocessing": {"scaling": "none"},
        },
    }


def config_of(
    source: dict[str, Any], way: Way, precision: str, rates: Array, steps: int, folder: Path
) -> SweepConfig:
    """Return the config of one sweep over learning rates."""
    return parse_config(
        {
            "name": "limits",
            **source,
            "dataset": {**source["dataset"], "validation_fraction": 0},
            "model": {"depth": 0, **way.settings.get("model", {})},
            "training": {
                "steps": steps,
                "batch_size": "full",
                "precision": precision,
                **way.settings.get("training", {}),
            },
            "grid": {"learning_rate": sorted(float(rate) for rate in rates)},
        },
        base_folder=folder,
    )


def prepared(config: SweepConfig) -> PreparedData:
    """Return the data of a config, prepared for its loss."""
    (dataset,) = config.datasets
    return prepare(load(dataset, config.base_folder), dataset, config.preprocessing, "mse")


def trained(
    engine: Engine, config: SweepConfig, data: PreparedData
) -> list[tuple[Trial, TrialResult]]:
    """Train the trials of a config in one stack, in the order of their learning rates."""
    trials = tuple(Grid(config, lambda _: data.train_rows))
    ((program, _),) = group(trials, data.shape, Compiled.GRAPH).items()
    return list(zip(trials, engine.run(Stack(program, trials, 128), data), strict=True))


def exact_limit(data: PreparedData, way: Way) -> float:
    """Return the limit by the formula, from exact eigenvalues."""
    _, h = hessian(data.x_train)
    kernel = np.diag([1.0] * (len(h) - 1) + [0.0])
    top, penalized = (float(np.linalg.eigvalsh(m)[-1]) for m in (h, h + 2 * L2 * kernel))
    return way.limit(top, penalized)


def boundary_row(
    engine: Engine, name: str, source: dict[str, Any], way: Way, precision: str, folder: Path
) -> tuple[list[str], bool]:
    """Find one boundary; return the table's row, and whether it meets the bars."""
    probe = config_of(source, way, precision, np.ones(1), STEPS, folder)
    data = prepared(probe)
    limit = exact_limit(data, way)
    rates = limit * np.union1d(COARSE, FINE)
    results = trained(engine, config_of(source, way, precision, rates, STEPS, folder), data)
    boundary = 0.0
    for trial, result in results:
        if result.outcome in (Outcome.DIVERGED, Outcome.NONFINITE, Outcome.CRASHED):
            break
        boundary = trial.training.learning_rate
    off = boundary / limit - 1
    reported = [result.critical_learning_rate or math.nan for _, result in results]
    wrong = max(abs(rate / limit - 1) for rate in reported)
    met = abs(off) <= BOUNDARY_BAR and wrong <= RATE_BAR
    cells = [name, way.name, precision, f"{limit:.6g}", f"{boundary:.6g}", f"{off:+.2%}"]
    return [*cells, f"{reported[0]:.6g}", f"{wrong:.1e}", "yes" if met else "NO"], met


def first_nan(a: Array, y: Array, start: Array, rate: float) -> int:
    """Descend in float32 with NumPy alone; return the first step whose loss is NaN."""
    a, y, weights = (part.astype(np.float32) for part in (a, y, start[:, None]))
    share = np.float32(2 / len(a))  # divided before the sum, as the gradient of a mean is
    with np.errstate(all="ignore"):
        for step in range(1, 2 * LONG):
            error = a @ weights - y
            if np.isnan(np.sum(error**2)):
                return step
            weights = weights - np.float32(rate) * (a.T @ (share * error))
    raise SystemExit("expected the loss to become NaN")


def overflow_rows(
    engine: Engine, name: str, source: dict[str, Any], folder: Path
) -> tuple[list[list[str]], bool]:
    """Find when the loss of plain descent overflows; rows of the table, and whether all meet it."""
    from stabilitysweep.models.builder import build_model

    data = prepared(config_of(source, WAYS[0], "float32", np.ones(1), LONG, folder))
    a, h = hessian(data.x_train)
    values, vectors = np.linalg.eigh(h)
    limit = 2 / float(values[-1])
    rates = limit * np.array(FACTORS)
    results = trained(engine, config_of(source, WAYS[0], "float32", rates, LONG, folder), data)
    spec = ModelSpec(results[0][0].model, *data.shape, "float32")
    start = [v.numpy().ravel() for v in build_model(spec, seed=0).trainable_variables]
    best = np.linalg.lstsq(a, data.y_train[:, 0], rcond=None)[0]
    along = float((np.concatenate(start) - best) @ vectors[:, -1])
    largest = float(np.finfo(np.float32).max)
    decades = math.log(largest / (data.train_rows * 0.5 * float(values[-1]) * along**2))

    rows, all_met = [], True
    for factor, (trial, result) in zip(FACTORS, results, strict=True):
        growth = abs(1 - trial.training.learning_rate * float(values[-1]))
        # The loss of step t is that of the weights after t - 1 updates.
        expected = 1 + decades / (2 * math.log(growth))
        onset = result.onset
        step = onset.step if onset and onset.stage is Stage.LOSS else math.nan
        met = abs(step - expected) <= max(1.0, STEP_BAR * expected)
        met &= step < result.steps_run < LONG and (result.nan_step or LONG) > step
        nan = first_nan(a, data.y_train, np.concatenate(start), trial.training.learning_rate)
        met &= nan > step
        all_met &= met
        off = f"{step / expected - 1:+.2%}"
        rows.append(
            [
                *(name, f"{factor:g}", f"{expected:.1f}", f"{step:g}", off),
                *(str(onset.kind) if onset else "", f"{result.steps_run:,}"),
                *(f"{result.nan_step:,}" if result.nan_step else "", f"{nan:,}"),
                "yes" if met else "NO",
            ]
        )
    return rows, all_met


def guide_rows(engine: Engine, folder: Path) -> list[list[str]]:
    """Find how far networks hold beside the limit of their initial weights, and small batches."""
    rows = []
    for depth, activation in NETWORKS:
        for batch_size in ("full", 32, 8):
            config = parse_config(
                {
                    "name": "guide",
                    "dataset": {"name": "diabetes"},
                    "model": {"depth": depth, "activation": activation},
                    "training": {"steps": 300, "batch_size": batch_size},
                    "grid": {"learning_rate": np.geomspace(0.02, 2.0, 60).tolist()},
                    "seeds": 3,
                },
                base_folder=folder,
            )
            results = trained(engine, config, prepared(config))
            broke = [
                trial.training.learning_rate
                for trial, result in results
                if result.outcome in (Outcome.DIVERGED, Outcome.NONFINITE)
            ]
            first = min(broke, default=math.inf)
            held = {trial.training.learning_rate for trial, _ in results}
            boundary = max((rate for rate in held if rate < first), default=math.nan)
            limit = float(np.median([r.critical_learning_rate or math.nan for _, r in results]))
            name = f"{depth} layers, {activation}" if depth else "linear"
            cells = [f"{limit:.3g}", f"{boundary:.3g}", f"{boundary / limit:.2f}"]
            rows.append([name, str(batch_size), *cells])
    return rows


def page(folder: Path) -> tuple[str, bool]:
    """Measure everything; return the page and whether every bar is met."""
    machine = described()
    engine = start_engine("stacked")
    boundaries, overflows, all_met = [], [], True
    for name, source in sources(folder).items():
        for precision in PRECISIONS:
            for way in WAYS:
                row, met = boundary_row(engine, name, source, way, precision, folder)
                boundaries.append(row)
                all_met &= met
                print(" | ".join(row), file=sys.stderr, flush=True)
        rows, met = overflow_rows(engine, name, source, folder)
        overflows += rows
        all_met &= met
    guide = table(
        ["network", "batch size", "limit, median", "boundary", "boundary / limit"],
        guide_rows(engine, folder),
        2,
    )
    reached = sum(row[-1] == "yes" for row in boundaries)
    in_time = sum(row[-1] == "yes" for row in overflows)
    rates = len(np.union1d(COARSE, FINE))
    where = table(
        ["data", "way", "precision", "limit", "boundary", "off", "reported", "wrong by", "met"],
        boundaries,
        3,
    )
    when = table(
        [
            *("data", "rate / limit", "formula", "Inf at step", "off", "kind"),
            *("steps_run", "nan_step", "NaN in NumPy", "met"),
        ],
        overflows,
    )
    return (
        f"""# Exact limits

Written by `python tests/benchmarks/exact_limits.py --output docs/exact-limits.md`.

{machine}

## Where: {reached} of {len(boundaries)} within the bars

One Dense layer, mean square error, full batch, {STEPS:,} steps. The **limit** is the formula
with NumPy's exact eigenvalues: lambda of H = 2 A'A / N, A the inputs with a column of ones; with
L2 of H + 2 c P, since the penalty is on the kernel and not on the bias.

- plain 2 / lambda, also with L2; weight decay w: 2 / (lambda + w)
- heavy ball b: 2 (1 + b) / lambda; Nesterov: 2 (1 + b) / ((1 + 2 b) lambda)

The **boundary** is the largest learning rate with no failure at or below it, out of {rates} from
{COARSE[0]:g} to {COARSE[-1]:g} times the limit, 0.25 % apart within 5 % of it; bar: within 1 %.
**Reported** is the table's `critical_learning_rate`, and *wrong by* the largest relative error
among the sweep's trials; bar: 0.1 %.

{where}

## When: {in_time} of {len(overflows)} within the bar

Plain descent in float32 above its limit. With rho = |1 - rate lambda| the loss overflows at step
1 + ln(3.4e38 / (N L)) / (2 ln rho), L the part of the initial loss along the top eigenvector: the
loss of a step is that of the weights before it, and Keras sums over the rows before it divides by
N. Bar: within 1 % or one step, and weights that are still finite then, and no NaN yet.

The weights break about as many steps later, when the gradient overflows, and NaN comes a step or
two after that, where infinities of both signs meet. A trial ends with that NaN, or one step after
its weights broke, which may be a step too early for it: then `nan_step` is empty (budget: {LONG:,}
steps). *NaN in NumPy* is the step of the first NaN when NumPy descends in float32 by itself.

{when}

## Elsewhere: a guide

Networks of width 32 on diabetes (a fifth of the rows held out), plain descent, 300 steps, 3 seeds,
60 learning rates from 0.02 to 2, 8 % apart. The boundary is that of all seeds together, the
limit the median of theirs. Above its limit a network leaves for a flatter place and may hold there;
small batches have larger curvatures among them.

{guide}
""",
        all_met,
    )


if __name__ == "__main__":
    sys.exit(write_page(page, __doc__))
