"""Members of comparisons made by hand: tables that fail above a known learning rate."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from stabilitysweep.analysis.alignment import Member
from stabilitysweep.analysis.brackets import boundaries

RATES = [0.001, 0.01, 0.1, 1.0, 10.0]
AXES: dict[str, list[Any]] = {"depth": [1, 2, 4], "learning_rate": RATES}
Limit = Callable[[Mapping[str, Any]], float]
"""From a trial's values to the learning rate above which it fails."""


def make_trials(
    axes: Mapping[str, Sequence[Any]], limit: Limit, seeds: int = 2, rate: str = "learning_rate"
) -> pd.DataFrame:
    """A complete trials table."""
    rows = []
    for number, values in enumerate(itertools.product(*axes.values(), range(seeds))):
        row = dict(zip([*axes, "seed"], values, strict=True))
        failed = row.get(rate, 1.0) > limit(row)
        row["outcome"] = "nonfinite" if failed else "stable"
        row["onset_step"] = 3 if failed else None
        rows.append(row | {"trial_id": f"t{number:05d}", "steps_run": 10})
    table = pd.DataFrame(rows)
    for name, values in axes.items():
        if not all(isinstance(value, int | float) for value in values):
            table[name] = pd.Series([row[name] for row in rows], dtype=object)
    table["onset_step"] = table["onset_step"].astype("Int64")
    return table


def make_member(
    name: str,
    limit: Limit | float = 0.5,
    axes: Mapping[str, Sequence[Any]] | None = None,
    keep: Callable[[pd.DataFrame], Any] | None = None,
    **changes: Any,
) -> Member:
    """A member whose trials fail above a limit; `keep` says which of them were run."""
    axes = AXES if axes is None else axes
    height = limit if callable(limit) else lambda _: limit
    trials = make_trials(axes, height)
    if keep is not None:
        changes.setdefault("missing", int((~keep(trials)).sum()))
        trials = trials[keep(trials)]
    if "learning_rate" in axes:
        changes.setdefault("boundaries", boundaries(trials, axes, "learning_rate"))
    return Member(name, trials, dict(axes), **changes)
