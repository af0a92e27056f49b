"""A comparison in texts: what is compared, where all are stable, which breaks first."""

from __future__ import annotations

import pandas as pd

from stabilitysweep.analysis.axes import value_label
from stabilitysweep.analysis.comparison import Agreement, Comparison
from stabilitysweep.analysis.sentences.table import TextTable
from stabilitysweep.analysis.shifts import Shift
from stabilitysweep.analysis.wording import counted, share

_MOST_SLICES = 12


def members(found: Comparison) -> TextTable:
    """What is compared: one a line, with what it is and how much of it is stable."""
    of_data = found.kind != "dataset" and any(member.dataset for member in found.members)
    fragile = {each.name: each for each in found.fragilities}
    heads = [found.kind, *(["data set"] if of_data else []), "budget", "trials", "missing"]
    heads += ["stable", f"below the others ({found.unit})"]
    rows = []
    for member in found.members:
        own = fragile[member.name]
        stable = "-" if own.share_stable is None else f"{100 * own.share_stable:.1f} %"
        below = "-" if own.below is None else f"{own.below:+.2f}"
        rows.append(
            (
                member.name,
                *([member.dataset or "several"] if of_data else []),
                member.budget,
                f"{len(member.trials):,}",
                f"{member.missing:,}",
                stable,
                below,
            )
        )
    return TextTable(tuple(heads), tuple(rows), text=3 if of_data else 2)


def agreement(found: Comparison) -> TextTable:
    """The table of cells by agreement."""
    total = found.agreement.size
    rows = [
        (
            f"stable in {kind}" if kind is not Agreement.UNMEASURED else str(kind),
            f"{count:,}",
            share(count, total),
        )
        for kind, count in found.counts.items()
    ]
    return TextTable(("cells", "number", "share"), tuple(rows), text=1)


def pairs(found: Comparison) -> TextTable:
    """Every two members: how alike their stable regions are, how far their boundaries apart."""
    moved: dict[tuple[str, str], Shift] = {(each.one, each.other): each for each in found.shifts}
    heads = ["from", "to", "overlap"]
    if moved:
        heads += ["shift (decades)", "known to lie in", "over the slices", "slices"]
    rows = []
    for each in found.overlaps:
        overlap = "-" if each.overlap is None else f"{each.overlap:.3f}"
        row = [each.one, each.other, overlap]
        if moved:
            row += _shift(moved[each.one, each.other])
        rows.append(tuple(row))
    return TextTable(tuple(heads), tuple(rows), text=2)


def _shift(found: Shift) -> list[str]:
    """A shift's cells: its size, the bracket's bounds, its spread, of how many slices."""
    size = "-" if found.decades is None else f"{found.decades:+.3f}"
    low = "" if found.low is None else f"{found.low:+.3f}"
    high = "" if found.high is None else f"{found.high:+.3f}"
    known = f"{low} to {high}" if low and high else f"{low} or more" if low else ""
    known = known or (f"{high} or less" if high else "-")
    spread = "-"
    if found.smallest is not None and found.largest is not None:
        spread = f"{found.smallest:+.3f} to {found.largest:+.3f}"
    slices = f"{found.slices}" + (f" (+ {found.open_slices} open)" if found.open_slices else "")
    return [size, known, spread, slices + (", refined" if found.refined else "")]


def most_fragile(found: Comparison) -> str:
    """Which member breaks first, by how much, and along which axis."""
    first = found.most_fragile
    if first is None or first.below is None:
        if any(each.below is None for each in found.fragilities):
            return (
                "nothing can be said: too little is measured in all, or the boundary lies beyond "
                "the learning rates that were tried"
            )
        return "none: all break alike"
    what = "its boundary lies" if found.brackets is not None else "its stable region is smaller by"
    unit = "decades" if found.brackets is not None else "of the cells"
    below = " below the others'" if found.brackets is not None else ""
    width = 0.0 if found.brackets is None else found.brackets.width
    by = f"{what} {first.below:.2f} {unit}{below} in the mean"
    if first.below <= width:
        return (
            f"none is known to be: {first.name} would be, {by}, but boundaries are known to "
            f"{width:.2f} {unit} alone. Refine them to be sure"
        )
    sentences = [f"{first.name}: {by}"]
    if found.brackets is not None and not found.brackets.closed.all():
        sentences.append("a boundary that is open counts as at the end that is known")
    if first.along is not None and first.below_there is not None:
        there = f"{first.along} = {value_label(first.value)}"
        sentences.append(f"most along {first.along}: at {there} by {first.below_there:.2f} {unit}")
    elif others := ", ".join(name for name in found.axes if name != found.aligned.rate):
        sentences.append(f"alike along {others}, as far as boundaries are known")
    return "\n".join(sentences)


def safe_in_all(found: Comparison) -> str:
    """How many cells are stable in all, and up to which learning rate every slice is."""
    known = int((found.states >= 0).all(axis=0).sum())
    stable = found.counts[Agreement.ALL]
    sentence = f"{stable:,} of the {counted(known, 'cell')} measured in all"
    if found.brackets is None:
        return sentence
    safe = found.safe_slices()["safe"]
    if safe.isna().all():
        return f"{sentence}; in no slice is a learning rate known to be safe in all"
    if safe.isna().any():
        some = f"{int(safe.isna().sum())} of {counted(len(safe), 'slice')}"
        return f"{sentence}; in {some} no learning rate is known to be safe in all"
    steps = _budgets(found)
    return f"{sentence}; up to learning rate {value_label(safe.min())} everywhere, for {steps}"


def _budgets(found: Comparison) -> str:
    return " and ".join(dict.fromkeys(member.budget for member in found.members))


def slices(found: Comparison) -> TextTable | None:
    """The largest learning rate that is safe in all, slice by slice; None without slices."""
    if found.brackets is None or not found.aligned.slice_axes():
        return None
    table = found.safe_slices()
    axes = [str(name) for name in table.columns[: len(found.aligned.slice_axes())]]
    rows = [
        (
            *(value_label(row[name]) for name in axes),
            "none" if pd.isna(row["safe"]) else value_label(row["safe"]),
            row["limited_by"] or "not measured in all",
        )
        for row in table.head(_MOST_SLICES).to_dict("records")
    ]
    heads = (*axes, "safe in all up to", "limited by")
    return TextTable(heads, tuple(rows), len(axes) + 2, max(len(table) - _MOST_SLICES, 0))


def incomplete(found: Comparison) -> str | None:
    """Which members lack trials; None if none does."""
    lacking = [member for member in found.members if member.missing]
    if not lacking:
        return None
    each = ", ".join(f"{m.name} {counted(m.missing, 'trial')}" for m in lacking)
    return f"not complete, so cells are not measured: {each} to be run."


def axes_of(found: Comparison) -> str:
    """The axes that all share: `20 learning_rate x 3 depth`."""
    return " x ".join(f"{len(axis)} {name}" for name, axis in found.axes.items())
