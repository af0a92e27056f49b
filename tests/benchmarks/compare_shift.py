"""Whether `compare` finds by how many decades a boundary has moved, against exact mathematics.

Linear regression, plain descent, full batch, all rows, inputs as they are. The limit of the
learning rate is N / lambda, lambda the largest eigenvalue of A'A, A the inputs [N, D] with a
column of ones (2 / lambda_max of the Hessian 2 A'A / N). So a data set whose inputs are
multiplied by a factor has its limit moved by a known number of decades: by -2 log10(factor)
while the inputs' eigenvalue is the largest.

Three data sets, each with its inputs multiplied by five factors, as the data sets of one sweep.
`compare` must find each shift against the factor 1: within the spacing of the grid, and once
the boundaries are refined, within their tolerance. A result and its copy must overlap wholly.
The exit code is 1 if one is missed.

    python tests/benchmarks/compare_shift.py --output docs/compare-shift.md
"""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from linear import Array, hessian, write_csv
from shared import described, table, write_page
from sklearn.datasets import load_diabetes, load_wine

import stabilitysweep
from stabilitysweep import Comparison, Result
from stabilitysweep.config import parse_config

STEPS = 1_000
FACTORS = (1.0, 0.7, 3.0, 10.0, 30.0)
"""With a much smaller one the column of ones would set the limit: see the page."""

LOWEST, HIGHEST, PER_DECADE = -6, 1, 7
TOLERANCE = 0.01


def sets() -> Iterator[tuple[str, Array, Array]]:
    """Yield the data sets: name, inputs, target."""
    diabetes, wine = load_diabetes(), load_wine()
    yield "diabetes", _standardised(diabetes.data), _standardised(diabetes.target)
    yield "wine", _standardised(wine.data), wine.target.astype(float)
    random = np.random.default_rng(0)
    x = random.normal(size=(200, 6)) * np.geomspace(3, 0.1, 6)
    yield "made", x, x @ random.normal(size=6) + 0.1 * random.normal(size=200)


def _standardised(columns: Array) -> Array:
    return np.asarray((columns - columns.mean(axis=0)) / columns.std(axis=0))


def swept(name: str, x: Array, y: Array, folder: Path) -> Result:
    """Run the sweep over learning rates of a data set under every factor."""
    for factor in FACTORS:
        write_csv(folder / f"{name}_{factor:g}.csv", factor * x, y)
    decades = HIGHEST - LOWEST
    rates = np.logspace(LOWEST, HIGHEST, decades * PER_DECADE + 1)
    config = {
        "name": name,
        "dataset": [
            {
                "path": f"{name}_{factor:g}.csv",
                "target": "y",
                "label": f"x {factor:g}",
                "validation_fraction": 0,
            }
            for factor in FACTORS
        ],
        "preprocessing": {"scaling": "none", "target_scaling": "standard"},
        "model": {"depth": 0},
        "training": {"steps": STEPS, "batch_size": "full"},
        "grid": {"learning_rate": [float(rate) for rate in rates]},
    }
    return stabilitysweep.run(parse_config(config, base_folder=folder), out=folder / name)


def exact(x: Array) -> dict[float, float]:
    """Return by how many decades each factor moves the limit."""
    limits = {
        factor: 2 / float(np.linalg.eigvalsh(hessian(factor * x)[1])[-1]) for factor in FACTORS
    }
    return {factor: math.log10(limit / limits[1.0]) for factor, limit in limits.items()}


def rows(
    name: str, how: str, bar: float, found: Comparison, x: Array
) -> Iterator[tuple[list[str], bool]]:
    """Yield the table's rows of one comparison, and whether each meets the bar."""
    known = exact(x)
    shifts = {each.other: each for each in found.shifts if each.one == "x 1"}
    for factor in FACTORS[1:]:
        shift = shifts[f"x {factor:g}"]
        bounds = (
            ""
            if shift.low is None or shift.high is None
            else f"{shift.low:+.4f} to {shift.high:+.4f}"
        )
        off = math.inf if shift.decades is None else shift.decades - known[factor]
        met = abs(off) <= bar and shift.refined == (how == "refined")
        row = [name, f"{factor:g}", how, f"{known[factor]:+.4f}", f"{shift.decades or 0:+.4f}"]
        row += [bounds, f"{off:+.4f}", f"{bar:.4f}", "yes" if met else "NO"]
        print(" | ".join(row), file=sys.stderr, flush=True)
        yield row, met


def page(folder: Path) -> tuple[str, bool]:
    """Measure everything; return the page and whether every bar is met."""
    machine = described()
    measured: list[tuple[list[str], bool]] = []
    overlaps = []
    for name, x, y in sets():
        result = swept(name, x, y, folder)
        coarse = stabilitysweep.compare(result)
        measured += rows(name, "grid", 1 / PER_DECADE, coarse, x)
        shutil.copytree(result.folder, folder / f"{name}_copy")
        copied = stabilitysweep.compare(result, folder / f"{name}_copy")
        overlaps += [each.overlap for each in copied.overlaps]
        fine = stabilitysweep.compare(result.refine(TOLERANCE))
        measured += rows(name, "refined", math.log10(1 + TOLERANCE), fine, x)
    met = sum(good for _, good in measured)
    alike = sum(overlap == 1.0 for overlap in overlaps)
    header = [
        "data",
        "factor",
        "boundary",
        "exact",
        "found",
        "known to lie in",
        "off",
        "bar",
        "met",
    ]
    text = f"""# Shifts of the boundary

Written by `python tests/benchmarks/compare_shift.py --output docs/compare-shift.md`.

{machine}

## {met} of {len(measured)} within the bar

Linear regression (`depth: 0`), mean square error, plain descent, full batch, {STEPS:,} steps,
inputs multiplied by a **factor** and not scaled, each factor a data set of one sweep; `compare`
gives the shift of the boundary against the factor 1, in decades of learning rate. **Exact** is
log10 of the ratio of the limits N / lambda, lambda the largest eigenvalue of A'A by NumPy, A the
inputs with a column of ones: -2 log10(factor), or close to it where columns have a mean. **Known
to lie in** are the bounds that the brackets of both boundaries give. The bar is the spacing of the
grid ({PER_DECADE} learning rates a decade), and of refined boundaries their tolerance
({100 * TOLERANCE:g} %).

Smaller factors are not among these. Where the column of ones has the largest eigenvalue the limit
is 1, but a target that is centred leaves hardly any error along it: to grow takes longer than the
budget, and the boundary lies above the limit (diabetes, factor 0.2: by 0.026 decades).

{table(header, [row for row, _ in measured], 3)}

## Identical results

{alike} of {len(overlaps)} results overlap 1.0 with their copy.
"""
    return text, met == len(measured) and alike == len(overlaps)


if __name__ == "__main__":
    sys.exit(write_page(page, __doc__))
