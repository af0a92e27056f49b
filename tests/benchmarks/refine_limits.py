"""Whether `refine` brackets the exact limit of linear regression, and what it costs.

Notation: N rows, D columns, A the inputs with a column of ones, H = 2 A'A / N the Hessian of the
mean square error of one Dense layer, P the matrix that is 1 for the kernel and 0 for the bias.

100 problems are generated: rows, columns, conditioning and size of the largest curvature vary, and
so does the way of descending (plain, with L2, heavy ball, Nesterov) with its strength. One sweep
has them all, each with 12 learning rates from 1e-4 to 10, full batch; `refine` narrows the bracket
of each to 5 %. The limit is computed here, with NumPy's eigenvalues and nothing of the package. It
must lie between the safe and the failing end for at least 95 problems, at the largest of the
budgets; and grid and refinement together must take at most a tenth of the trials of a grid of
that resolution. The exit code is 1 if either is missed.

    python tests/benchmarks/refine_limits.py --output docs/refine-limits.md
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from linear import Array, hessian, write_csv
from shared import described, table, write_page

from stabilitysweep import run
from stabilitysweep.config import DatasetSettings, PreprocessingSettings
from stabilitysweep.data import load, prepare

PROBLEMS, SEED = 100, 20_240
LOWEST, HIGHEST, RATES = 1e-4, 10.0, 12
TOLERANCE = 0.05
BUDGETS = (100, 2_000)
COLUMNS = (1, 2, 4, 8, 12)
BRACKETED_BAR, COST_BAR = 95, 0.1
WAYS = ("plain", "L2", "heavy ball", "Nesterov")


@dataclass(frozen=True)
class Problem:
    """A linear regression and a way of descending.

    Attributes:
        label: of its data set.
        way: one of `WAYS`.
        rows, columns, condition: of its inputs; the condition is that of X'X.
        l2, momentum, nesterov: settings of the way.
        limit: the exact limit of the learning rate.
    """

    label: str
    way: str
    rows: int
    columns: int
    condition: float
    l2: float
    momentum: float
    nesterov: bool
    limit: float

    @property
    def cell(self) -> dict[str, Any]:
        """Its place in the sweep."""
        names = ("l2", "momentum", "nesterov")
        return {"dataset": self.label} | {name: getattr(self, name) for name in names}


def inputs(random: np.random.Generator, rows: int, columns: int, condition: float) -> Array:
    """Return X [N, D] whose X'X / N has eigenvalues of that condition, the largest of any size."""
    left = np.linalg.qr(random.normal(size=(rows, columns)))[0]
    right = np.linalg.qr(random.normal(size=(columns, columns)))[0]
    top = 10 ** random.uniform(-0.5, 2.5)
    values = top * np.geomspace(1.0, 1 / condition, columns) if columns > 1 else np.array([top])
    x: Array = math.sqrt(rows) * (left * np.sqrt(values)) @ right
    return x


def exact_limit(x: Array, l2: float, momentum: float, nesterov: bool) -> float:
    """Return the limit by the formula, from exact eigenvalues."""
    _, h = hessian(x)
    kernel = np.diag([1.0] * (len(h) - 1) + [0.0])
    top = float(np.linalg.eigvalsh(h + 2 * l2 * kernel)[-1])
    if nesterov:
        return (2 + 2 * momentum) / ((1 + 2 * momentum) * top)
    return 2 * (1 + momentum) / top


def generated(folder: Path) -> list[Problem]:
    """Write the data of the problems; return them with their limits."""
    random = np.random.default_rng(SEED)
    found = []
    for number in range(PROBLEMS):
        way = WAYS[number % len(WAYS)]
        rows = int(random.integers(20, 400))
        columns = int(random.choice([number for number in COLUMNS if 2 * number <= rows]))
        condition = 10 ** random.uniform(0, 4)
        x = inputs(random, rows, columns, condition)
        y = x @ random.normal(size=columns) + random.normal(size=rows)
        label = f"p{number:03d}"
        write_csv(folder / f"{label}.csv", x, y)
        settings = DatasetSettings(path=f"{label}.csv", target="y", validation_fraction=0)
        unscaled = PreprocessingSettings(scaling="none")
        data = prepare(load(settings, folder), settings, unscaled, "mse")
        l2 = float(f"{10 ** random.uniform(-2, 1):.3g}") if way == "L2" else 0.0
        momentum = float(random.choice([0.3, 0.6, 0.9])) if way in WAYS[2:] else 0.0
        nesterov = way == "Nesterov"
        limit = exact_limit(np.asarray(data.x_train, np.float64), l2, momentum, nesterov)
        found.append(Problem(label, way, rows, columns, condition, l2, momentum, nesterov, limit))
    return found


def config_of(problems: list[Problem], steps: int, folder: Path) -> dict[str, Any]:
    """Return the config of the one sweep that has all problems."""
    cells = [problem.cell for problem in problems]

    def values(axis: str) -> list[Any]:
        return sorted({cell[axis] for cell in cells})

    return {
        "name": f"limits-{steps}",
        "dataset": [
            {"path": str(folder / f"{p.label}.csv"), "target": "y", "validation_fraction": 0}
            for p in problems
        ],
        "preprocessing": {"scaling": "none"},
        "model": {"depth": 0},
        "training": {"steps": steps, "batch_size": "full"},
        "grid": {
            "l2": values("l2"),
            "momentum": values("momentum"),
            "nesterov": values("nesterov"),
            "learning_rate": {"from": LOWEST, "to": HIGHEST, "num": RATES, "scale": "log"},
        },
        "cells": cells,
    }


def refined(problems: list[Problem], steps: int, folder: Path) -> tuple[pd.DataFrame, int]:
    """Run the sweep and refine it; return the boundaries in the problems' order, and its trials."""
    result = run(config_of(problems, steps, folder), out=folder / f"result-{steps}")
    done = result.refine(TOLERANCE)
    found = done.boundaries.set_index("dataset").loc[[problem.label for problem in problems]]
    trials = len(done.trials) + (0 if done.refined is None else len(done.refined))
    return found.reset_index(), trials


def is_bracketed(problem: Problem, row: Any) -> bool:
    """Whether the limit lies between the ends of a bracket that is narrow enough."""
    narrow = row.failing / row.safe <= 1 + TOLERANCE + 1e-6
    return bool(narrow and row.safe <= problem.limit <= row.failing)


def missed(problems: list[Problem], found: pd.DataFrame) -> list[list[str]]:
    """The problems whose bracket does not hold the limit, as rows of a table."""
    return [
        [
            *(problem.label, problem.way, f"{problem.rows}", f"{problem.columns}"),
            *(f"{problem.condition:.0f}", f"{problem.limit:.5g}"),
            *(f"{row.safe:.5g}", f"{row.failing:.5g}", f"{row.safe / problem.limit - 1:+.2%}"),
        ]
        for problem, row in zip(problems, found.itertuples(), strict=True)
        if not is_bracketed(problem, row)
    ]


def page(folder: Path) -> tuple[str, bool]:
    """Measure everything; return the page and whether every bar is met."""
    machine = described()
    problems = generated(folder)
    grid = math.ceil(math.log(HIGHEST / LOWEST) / math.log1p(TOLERANCE)) + 1
    summary, ways, last, trials = [], [], [], 0
    for steps in BUDGETS:
        found, trials = refined(problems, steps, folder)
        held = [is_bracketed(p, row) for p, row in zip(problems, found.itertuples(), strict=True)]
        beyond = [
            row.safe / p.limit - 1 for p, row in zip(problems, found.itertuples(), strict=True)
        ]
        cost = trials / (PROBLEMS * grid)
        last = missed(problems, found)
        summary.append(
            [f"{steps:,}", f"{sum(held)}", f"{max(beyond):+.2%}", f"{trials:,}", f"{cost:.1%}"]
        )
        ways = [
            [way, f"{sum(h for h, p in zip(held, problems, strict=True) if p.way == way)} of "
             f"{sum(p.way == way for p in problems)}"]
            for way in WAYS
        ]  # fmt: skip
        print(" | ".join(summary[-1]), file=sys.stderr, flush=True)
    bracketed = int(summary[-1][1])
    cost = trials / (PROBLEMS * grid)
    met = bracketed >= BRACKETED_BAR and cost <= COST_BAR
    heads = ["data", "way", "rows", "columns", "condition", "limit", "safe", "failing", "off"]
    misses = table(heads, last, 2) if last else "None is missed."
    limits = [problem.limit for problem in problems]
    apart = (HIGHEST / LOWEST) ** (1 / (RATES - 1))
    return (
        f"""# Refined boundaries and exact limits

Written by `python tests/benchmarks/refine_limits.py --output docs/refine-limits.md`.

{machine}

## {bracketed} of {PROBLEMS} limits bracketed at {BUDGETS[-1]:,} steps, for {cost:.1%} of the trials

{PROBLEMS} linear problems, generated: 20 to 399 rows, 1 to 12 columns, condition of X'X from 1
to 10,000, limits from {min(limits):.2g} to {max(limits):.2g}; full batch, float32. A quarter each
descends plainly, with an L2 penalty of 0.01 to 10, with heavy-ball and with Nesterov momentum of
0.3, 0.6 or 0.9. The **limit** is the formula with NumPy's exact eigenvalues (exact-limits.md has
the formulas).

Each is swept at {RATES} learning rates from {LOWEST:g} to {HIGHEST:g}, a factor of {apart:.2f}
apart, and refined to {TOLERANCE:.0%}.

- **bracketed**: safe <= limit <= failing, and failing / safe at most {1 + TOLERANCE:g}; bar:
  {BRACKETED_BAR} at {BUDGETS[-1]:,} steps
- **cost**: all trials, those of the coarse grid included, as a share of those of a grid of the same
  range and resolution, {grid} learning rates a problem; bar: {COST_BAR:.0%}
- *furthest beyond*: by how much a safe end lies above its limit, at most

{table(["steps", "bracketed", "furthest beyond", "trials", "cost"], summary, 0)}

Just above its limit, training fails slowly: at a share e above the limit the loss grows by about
4 e a step under plain descent, so within T steps it is not seen to grow if e is below about
ln(initial loss / the part of it along the steepest direction) / (4 T). A rate tried in that
window counts as safe. So a budget is part of every boundary.

At {BUDGETS[-1]:,} steps:

{table(["way", "bracketed"], ways)}

Missed at {BUDGETS[-1]:,} steps:

{misses}
""",
        met,
    )


if __name__ == "__main__":
    sys.exit(write_page(page, __doc__))
