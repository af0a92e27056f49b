"""Trials tables to pick from, made by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from stabilitysweep.analysis.brackets import boundaries
from stabilitysweep.analysis.picks import Recommendation
from stabilitysweep.analysis.standing import Source

RATES = (0.001, 0.002, 0.004, 0.008, 0.016)
ALL = 10_000


def table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """A trials table; what a row does not say is as usual."""
    usual = {"seed": 0, "outcome": "stable", "steps_run": 50, "headroom_bits": 9.0}
    full = [
        {**usual, "final_loss": 0.5, "trial_id": f"t{number:05d}", **row}
        for number, row in enumerate(rows)
    ]
    made = pd.DataFrame(full)
    if "val_loss" not in made:
        made["val_loss"] = 1.0
    return made


def source(trials: pd.DataFrame, axes: Sequence[str] = ("learning_rate",), **more: Any) -> Source:
    values = {name: tuple(trials[name].drop_duplicates()) for name in axes}
    rate = more.get("rate", "learning_rate")
    found = boundaries(trials, values, rate) if rate in values else None
    label = more.pop("label", "data")
    return Source(label, trials, values, **{"boundaries": found, **more})


def line(outcomes: str, val_loss: Sequence[float] | None = None, **more: Any) -> pd.DataFrame:
    """One seed a learning rate of `RATES`: s(table), f(ailed), -(stalled), x(crashed), .(none)."""
    words = {"s": "stable", "f": "nonfinite", "-": "stalled", "x": "crashed", "d": "diverged"}
    losses = [1 - 0.1 * place for place in range(len(outcomes))] if val_loss is None else val_loss
    return table(
        [
            {"learning_rate": rate, "outcome": words[letter], "val_loss": loss, **more}
            for rate, letter, loss in zip(RATES, outcomes, losses, strict=False)
            if letter != "."
        ]
    )


def rates(found: Recommendation) -> list[float]:
    return [float(pick.axes["learning_rate"]) for pick in found.picks]


def seeds_of(cells: Mapping[float, str], **more: Any) -> pd.DataFrame:
    """A trial for each letter, see `line`: the seeds of a learning rate one after another."""
    words = {"s": "stable", "f": "nonfinite", "x": "crashed"}
    return table(
        [
            {"learning_rate": rate, "seed": seed, "outcome": words[letter], **more}
            for rate, letters in cells.items()
            for seed, letter in enumerate(letters)
        ]
    )
