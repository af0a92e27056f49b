"""Tables on a small lattice with every irregularity, and the plain reading of them."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pandas as pd

AXES: dict[str, list[Any]] = {
    "precision": ["float32", "mixed_float16", "float16"],
    "learning_rate": [0.1, 0.001, 0.01, 1.0],
    "batch_size": [8, 32, 128],
    "clipnorm": [None, 1.0, 0.1],
    "scaling": [None, "standard"],
    "steps": [10],
}
ORDERED = ("learning_rate", "batch_size", "clipnorm", "steps")
FAILED = ("diverged", "nonfinite")


def random_table(seed: int, keep: float = 0.8) -> pd.DataFrame:
    """Holes, crashes, a learning rate between the grid's, and rows off the grid; shuffled."""
    random = np.random.default_rng(seed)
    rows = [dict(zip(AXES, values, strict=True)) for values in itertools.product(*AXES.values())]
    rows += [row | {"learning_rate": 0.03} for row in rows if row["learning_rate"] == 0.1][::5]
    rows += [row | {"precision": "float8"} for row in rows[:4]]
    rows += [row | {"clipnorm": "tight"} for row in rows[:4]]
    rows = [row | {"seed": seed} for row in rows for seed in range(2) if random.random() < keep]
    for number, row in enumerate(rows):
        over = math.log10(row["learning_rate"]) + 1.2 + random.normal(0, 0.7)
        over += {"float16": 0.8, "mixed_float16": 0.3}.get(row["precision"], 0)
        over -= {32: 0.3, 128: 0.6}.get(row["batch_size"], 0)
        over += 0.5 if row["clipnorm"] is None else 0
        row["outcome"] = "stable" if over < 0 else "diverged" if over < 0.3 else "nonfinite"
        if random.random() < 0.1:
            row["outcome"] = "crashed"
        broke = row["outcome"] == "nonfinite"
        row["onset_step"] = int(random.integers(1, 9)) if broke else None
        row["onset_stage"] = str(random.choice(["loss", "gradient"])) if broke else None
        row["onset_tensor"], row["onset_kind"] = ("loss", "nan") if broke else (None, None)
        names = ["learning_rate_too_high", "float16_overflow", "unknown"]
        row["cause"] = str(random.choice(names)) if row["outcome"] in FAILED else None
        row["trial_id"] = f"t{number:05d}"
    table = pd.DataFrame(rows)
    for name in ("clipnorm", "scaling", "cause"):
        table[name] = pd.Series([row[name] for row in rows], dtype=object)
    table["onset_step"] = table["onset_step"].astype("Int64")
    return table.sample(frac=1, random_state=seed).reset_index(drop=True)


def plain(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as dicts of Python's own values, None for what is missing."""
    return [
        {name: None if pd.isna(value) else value for name, value in row.items()}
        for row in table.astype(object).to_dict("records")
    ]


def order(name: str) -> list[Any]:
    """The values of an axis in the order of its places."""
    if name == "learning_rate":
        return [0.001, 0.01, 0.03, 0.1, 1.0]  # the table's own among the grid's
    return [0.1, 1.0, None] if name == "clipnorm" else AXES[name]


def on_grid(row: dict[str, Any]) -> bool:
    return all(row[name] in order(name) for name in AXES)


def apart(name: str, one: Any, other: Any) -> int:
    """Places between two values."""
    if name not in ORDERED:
        return int(one != other)
    return abs(order(name).index(one) - order(name).index(other))
