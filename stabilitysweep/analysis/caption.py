"""What a map's reader must be told, in words."""

from __future__ import annotations

from stabilitysweep.analysis.axes import value_label
from stabilitysweep.analysis.maps import StabilityMap
from stabilitysweep.analysis.table import CRASHED


def caption(data: StabilityMap) -> str:
    """Says what each cell of a map holds: trials, what is pooled, fixed and missing.

    Example: `Each cell: 27 trials, over batch_size, l2 and 3 seeds. Fixed: dropout = 0.`
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
        sentences = [f"Each cell: {up_to}{number}{where}."]
    if data.fixed:
        fixed = ", ".join(f"{name} = {value_label(value)}" for name, value in data.fixed.items())
        sentences.append(f"Fixed: {fixed}.")
    crashed = int(data.counts[..., CRASHED].sum())
    if data.missing:
        sentences.append(f"Incomplete: {data.missing:,} trials not run yet.")
    if crashed:
        sentences.append(f"{crashed:,} crashed, counted neither way.")
    if data.off_grid:
        sentences.append(f"{data.off_grid:,} trials off this grid left out.")
    return " ".join(sentences)
