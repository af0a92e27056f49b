"""What a figure's reader must be told, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from stabilitysweep.analysis.axes import value_label
from stabilitysweep.analysis.curves import Curves
from stabilitysweep.analysis.map_record import StabilityMap
from stabilitysweep.analysis.table import CRASHED


def caption(data: StabilityMap) -> str:
    """Says what each cell of a map holds: trials, what is pooled, fixed and missing.

    Also for how many steps the verdicts hold, and how closely a refined boundary is known.

    Example: `Each cell: 27 trials of 100 steps, over batch_size, l2 and 3 seeds.`
    """
    most = int(data.trials.max())
    least = int(data.trials.min())
    per_cell = max(data.trials_per_cell, most)
    number = "1 trial" if per_cell == 1 else f"{per_cell:,} trials"
    seeds = "1 seed" if data.seeds == 1 else f"{data.seeds} seeds"
    over = f"{', '.join(data.pooled)} and {seeds}" if data.pooled else seeds
    if most == 0:
        sentences = ["No trial measured yet."]
    else:
        up_to = "up to " if least < per_cell else ""
        where = "" if per_cell == 1 else f", over {over}"
        sentences = [f"Each cell: {up_to}{number}{_budget(data)}{where}."]
    if data.fixed:
        sentences.append(_held(data.fixed))
    crashed = int(data.counts[..., CRASHED].sum())
    sentences += _refinement(data)
    if data.missing:
        sentences.append(f"Incomplete: {data.missing:,} trials not run yet.")
    if crashed:
        sentences.append(f"{crashed:,} crashed, counted neither way.")
    if data.off_grid:
        sentences.append(f"{data.off_grid:,} trials off this grid left out.")
    return " ".join(sentences)


def _budget(data: StabilityMap) -> str:
    steps = steps_in_words(data.steps)
    return f" of {steps}" if steps else ""


def steps_in_words(steps: tuple[int, int] | None) -> str:
    """The fewest and the most steps: `100 steps`, `60 to 120 steps`; empty if unknown."""
    if steps is None:
        return ""
    fewest, most = steps
    if fewest == most:
        return "1 step" if most == 1 else f"{most:,} steps"
    return f"{fewest:,} to {most:,} steps"


def _held(fixed: Mapping[str, object]) -> str:
    values = ", ".join(f"{name} = {value_label(value)}" for name, value in fixed.items())
    return f"Fixed: {values}."


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _refinement(data: StabilityMap) -> list[str]:
    """How closely a refined boundary is known, at the worst of its rows."""
    refined = data.refined
    if refined is None or data.bracket_safe is None or data.bracket_failing is None:
        return []
    if not refined.any():
        return []
    widest = float(np.max(data.bracket_failing[refined] / data.bracket_safe[refined])) - 1
    known = f"to within {100 * widest:.2g} %"
    if refined.all():
        return [f"Boundary refined {known}."]
    return [f"Boundary refined in {int(refined.sum())} of {refined.size} rows, {known}."]


def curves_caption(data: Curves) -> str:
    """Says what the markers of a figure of curves are, over what, and for how many steps.

    Example: `Largest learning rate with no failure at or below it, for 100 steps. Markers: the
    middle of up to 9 settings of batch_size and l2.`
    """
    steps = steps_in_words(data.steps)
    if data.quantity == "boundary":
        held = f", within {steps}" if steps else ""
        sentences = [f"Largest learning rate with no failure at or below it{held}."]
    else:
        sentences = [
            "Mean over learning rates of min(final, initial) loss, minus the best final loss"
            + (f"; {steps}." if steps else ".")
        ]
    if data.pooled:
        most = int(data.slices.max(initial=0))
        number = f"{most} settings" if (data.slices == most).all() else f"up to {most} settings"
        sentences.append(f"Markers: the middle of {number} of {_listed(data.pooled)}.")
    if data.fixed:
        sentences.append(_held(data.fixed))
    return " ".join(sentences)
