"""How much further scaling lets the learning rate go, against exact mathematics.

Linear regression of columns as they are measured, plain descent, full batch, all rows. The
limit of the learning rate is 2 over the largest eigenvalue of H = 2 A'A / N, A the inputs with
a column of ones; so scaling moves it by a factor that is known. A sweep with `scaling` as an
axis must find that factor: the largest stable learning rate of the raw columns over that of
the standardised ones, within 2 % of the ratio of the two limits. The exit code is 1 if one
is missed. The limits are NumPy's, from columns that NumPy standardised.

    python tests/benchmarks/scaling_ratio.py --output docs/scaling-ratio.md
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from linear import Array, hessian, write_csv
from shared import REPOSITORY, described, table, write_page
from sklearn.datasets import load_diabetes, load_wine

import stabilitysweep
from stabilitysweep.analysis.boundary import BoundaryStatus
from stabilitysweep.config import parse_config
from sweeps.data_cases import unscaled, weighed_penguins

STEPS = 2_000
PRECISIONS = ("float32", "float64")
SCALINGS = ("none", "standard")
FACTOR, NEAR, COARSE = 1.0025, 0.05, 40
"""Learning rates are powers of the factor: all within 5 % of a limit, elsewhere every 40th."""

BAR = 0.02
CARS = REPOSITORY / "configs" / "data" / "cars.csv"


@dataclass(frozen=True)
class Data:
    """A regression.

    Attributes:
        name: for the table.
        settings: the section `dataset` of its config.
        x: float64 [N, D], its inputs as they are measured.
    """

    name: str
    settings: dict[str, Any]
    x: Array

    def limits(self) -> dict[str, float]:
        """Return the exact limit with each scaling."""
        standardised = (self.x - self.x.mean(axis=0)) / self.x.std(axis=0)
        return {
            name: 2 / float(np.linalg.eigvalsh(hessian(x)[1])[-1])
            for name, x in zip(SCALINGS, (self.x, standardised), strict=True)
        }


def sets(folder: Path) -> Iterator[Data]:
    """Yield the data sets, those that are no file or function of ours written as CSV."""
    wine = load_wine()  # its labels are classes: only from a file are they numbers
    write_csv(folder / "wine.csv", wine.data, wine.target.astype(float))
    yield Data("wine", {"path": "wine.csv", "target": "y"}, wine.data)

    diabetes = load_diabetes(scaled=False)  # with the name the config knows, it is scaled
    write_csv(folder / "diabetes.csv", diabetes.data, diabetes.target)
    yield Data("diabetes", {"path": "diabetes.csv", "target": "y"}, diabetes.data)

    columns = ["cylinders", "displacement", "weight", "acceleration", "year"]
    settings = {"path": str(CARS), "target": "mpg", "features": columns}
    yield Data("cars", settings, pd.read_csv(CARS)[columns].to_numpy(np.float64))

    columns = ["bill_length_mm", "bill_depth_mm", "flipper_length_mm"]
    function = "sweeps.data_cases:weighed_penguins"
    settings = {"function": function, "target": "body_mass_g", "features": columns}
    yield Data("penguins", settings, weighed_penguins()[columns].to_numpy(np.float64))

    settings = {"function": "sweeps.data_cases:unscaled", "target": "y"}
    yield Data("unscaled", settings, unscaled().drop(columns="y").to_numpy(np.float64))


def learning_rates(limits: list[float]) -> list[float]:
    """Return a grid from a twentieth of the smallest limit to five times the largest.

    Its values are chosen without regard to where exactly the limits are: a grid that held the
    limits themselves would find them too easily.
    """
    lowest, highest = (math.log(rate, FACTOR) for rate in (min(limits) / 20, 5 * max(limits)))
    powers = np.arange(math.ceil(lowest), math.floor(highest) + 1)
    rates = FACTOR**powers
    near = np.any(np.abs(rates[:, None] / limits - 1) <= NEAR, axis=1)
    return [float(rate) for rate in rates[near | (powers % COARSE == 0)]]


def largest_stable(data: Data, folder: Path) -> dict[tuple[str, str], float]:
    """Run the sweep of a data set; its boundary by precision and scaling.

    Raises:
        SystemExit: a boundary lies outside of the learning rates.
    """
    config = parse_config(
        {
            "name": data.name,
            "dataset": {**data.settings, "validation_fraction": 0},
            "model": {"depth": 0},
            "training": {"steps": STEPS, "batch_size": "full"},
            "grid": {
                "precision": list(PRECISIONS),
                "scaling": list(SCALINGS),
                "learning_rate": learning_rates(list(data.limits().values())),
            },
        },
        base_folder=folder,
    )
    result = stabilitysweep.run(config, out=folder / data.name)
    found = {}
    chart = result.stability_map(x="learning_rate", y="scaling", rows="precision")
    for boundary in chart.boundaries():
        if boundary.value is None or boundary.status is not BoundaryStatus.FOUND:
            raise SystemExit(f"{data.name}: expected a boundary, got {boundary}")
        found[boundary.row, boundary.y] = boundary.value
    return found


def rows(folder: Path) -> Iterator[tuple[list[str], bool]]:
    """Measure; yield the table's rows, and whether each meets the bar."""
    for data in sets(folder):
        limits = data.limits()
        found = largest_stable(data, folder)
        for precision in PRECISIONS:
            measured = [found[precision, scaling] for scaling in SCALINGS]
            exact = [limits[scaling] for scaling in SCALINGS]
            off = (measured[0] / measured[1]) / (exact[0] / exact[1]) - 1
            pairs = [f"{value:.5g}" for pair in zip(measured, exact, strict=True) for value in pair]
            ratios = [f"{pair[0] / pair[1]:.5g}" for pair in (measured, exact)]
            met = abs(off) <= BAR
            row = [data.name, precision, *pairs, *ratios, f"{off:+.2%}", "yes" if met else "NO"]
            print(" | ".join(row), file=sys.stderr, flush=True)
            yield row, met


def page(folder: Path) -> tuple[str, bool]:
    """Measure everything; return the page and whether every bar is met."""
    machine = described()
    measured = list(rows(folder))
    met = sum(good for _, good in measured)
    header = [
        *("data", "precision", "raw: measured", "exact", "standard: measured", "exact"),
        *("ratio: measured", "exact", "off", "met"),
    ]
    text = f"""# What scaling does to the learning rate

Written by `python tests/benchmarks/scaling_ratio.py --output docs/scaling-ratio.md`.

{machine}

## {met} of {len(measured)} within the bar

Linear regression (`depth: 0`), mean square error, plain descent, full batch, {STEPS:,} steps, with
`scaling: [none, standard]` as an axis. **Exact** is 2 / lambda, lambda the largest eigenvalue of
H = 2 A'A / N, A the inputs with a column of ones, by NumPy from columns that NumPy standardised.
**Measured** is the largest learning rate with no failure at or below it, out of the powers of
{FACTOR}: all within {100 * NEAR:g} % of a limit, elsewhere every {COARSE}th.
**Ratio** is raw over standardised; bar: within {100 * BAR:g} % of the exact one.

{table(header, [row for row, _ in measured], 2)}

A raw column with mean m and deviation s adds up to 2 (m² + s²) to lambda: one column near 1,000 is
enough. Standardised, lambda is twice that of the correlations: 2 to 2 for each column.
"""
    return text, met == len(measured)


if __name__ == "__main__":
    sys.exit(write_page(page, __doc__))
