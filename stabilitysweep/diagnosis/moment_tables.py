"""The last steps of a training as tables: tensors down, and what was seen of them beside.

Nothing here prints: whoever does, lays the cells out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rich.text import Text

from stabilitysweep.analysis.wording import counted, number
from stabilitysweep.numerics.moments import Moment, Quantity, TensorStats

_HEADS = {
    Quantity.INPUT: "input",
    Quantity.ACTIVATION: "activations",
    Quantity.LOSS: "loss",
    Quantity.GRADIENT: "gradients",
    Quantity.OPTIMIZER: "optimizer",
    Quantity.UPDATE: "updates",
    Quantity.WEIGHT: "weights",
    Quantity.PREDICTION: "predictions",
}
_MOST_ROWS = 9
"""Tensors of a kind beyond which the middle is left out."""
_ENDS, _AROUND = 3, 1
_MOST_STEPS = 8
"""Columns that a terminal of 80 has room for."""
_FIRST = "<- first"

Cell = str | Text


class MomentTable(NamedTuple):
    """A table, and what is to be said below it.

    Attributes:
        heads: of the columns; the first column is text, the others are numbers.
        rows: as long as the heads each.
        notes: lines.
    """

    heads: tuple[str, ...]
    rows: list[list[Cell]]
    notes: list[str]


def title(moment: Moment) -> str:
    """Say which step a moment is, and its loss."""
    scale = "" if moment.loss_scale == 1 else f", loss scale {number(moment.loss_scale)}"
    skipped = ", skipped" if moment.skipped else ""
    return f"step {moment.step:,}: loss {number(moment.loss)}{scale}{skipped}"


def by_step(
    moments: Sequence[Moment], whole: bool, *, failed: bool, rest: str = "see --json or the figure"
) -> MomentTable:
    """Largest magnitudes: growth over steps reads to the right, over layers downwards.

    Args:
        moments: at least one; what one of them has not looked at is left empty.
        whole: leave out nothing.
        failed: mark what is first not finite in the last of them.
        rest: where the steps are that there is no room for.
    """
    left_out = len(moments) - _MOST_STEPS
    moments = moments[-_MOST_STEPS:]
    first = moments[-1].first_bad() if failed else None
    heads = [f"{moment.step:,}{'*' if moment.skipped else ''}" for moment in moments]
    by_name = [_named(moment) for moment in moments]
    rows: list[list[Cell]] = []
    for quantity, shown in _grouped(moments, whole):
        rows.append([Text(_HEADS[quantity], style="italic"), *[""] * (len(moments) + 1)])
        for stats in shown:
            if isinstance(stats, int):
                rows.append([f"  ... {stats:,} more", *[""] * (len(moments) + 1)])
                continue
            key = (stats.quantity, stats.tensor)
            cells: list[Cell] = [_largest(named[key]) if key in named else "" for named in by_name]
            rows.append([f"  {stats.tensor}", *cells, _FIRST if stats is first else ""])
    notes = ["* skipped by loss scaling"] if any(moment.skipped for moment in moments) else []
    if left_out > 0:
        notes.append(f"{counted(left_out, 'earlier step')}: {rest}")
    return MomentTable(("tensor", *heads, ""), rows, notes)


def in_full(moment: Moment, whole: bool, *, failed: bool) -> MomentTable:
    """All that was seen of each tensor of one moment; see `by_step`."""
    first = moment.first_bad() if failed else None
    rows: list[list[Cell]] = []
    for quantity, shown in _grouped([moment], whole):
        rows.append([Text(_HEADS[quantity], style="italic"), *[""] * 7])
        for stats in shown:
            if isinstance(stats, int):
                rows.append([f"  ... {stats:,} more", *[""] * 7])
                continue
            some_finite = stats.nans + stats.infs < stats.size
            rows.append(
                [
                    f"  {stats.tensor}",
                    number(stats.largest if some_finite else None),
                    number(stats.mean if some_finite else None),
                    f"{stats.zeros:.0%}" if stats.zeros else "",
                    f"{stats.nans:,}" if stats.nans else "",
                    f"{stats.infs:,}" if stats.infs else "",
                    f"{stats.size:,}",
                    _FIRST if stats is first else "",
                ]
            )
    heads = ("tensor", "largest", "mean", "zeros", "NaN", "Inf", "entries", "")
    return MomentTable(heads, rows, [])


def _largest(stats: TensorStats) -> Text:
    if stats.nans:
        return Text("NaN", style="red")
    if stats.infs:
        return Text("Inf", style="red")
    mantissa, _, exponent = f"{stats.largest:.2g}".partition("e")
    return Text(f"{mantissa}e{int(exponent)}" if exponent else mantissa)


def _named(moment: Moment) -> dict[tuple[Quantity, str], TensorStats]:
    return {(stats.quantity, stats.tensor): stats for stats in moment.tensors}


def _grouped(
    moments: Sequence[Moment], whole: bool
) -> Iterator[tuple[Quantity, list[TensorStats | int]]]:
    """The tensors of each kind, in the order of the last moment.

    A number stands for so many that are left out; what is first not finite in any of the moments
    is never left out.
    """
    groups: dict[Quantity, dict[str, TensorStats]] = {quantity: {} for quantity in Quantity}
    for moment in reversed(moments):  # the last says what it is; what only others saw follows
        for stats in moment.tensors:
            groups[stats.quantity].setdefault(stats.tensor, stats)
    seen = [_named(moment) for moment in moments]
    for quantity, by_tensor in groups.items():
        tensors = list(by_tensor.values())
        if not tensors:
            continue
        if whole or len(tensors) <= _MOST_ROWS:
            yield quantity, list(tensors)
            continue
        kept = {*range(_ENDS), *range(len(tensors) - _ENDS, len(tensors))}
        for named in seen:
            bad = [
                place
                for place, stats in enumerate(tensors)
                if not named.get((quantity, stats.tensor), stats).finite
            ]
            for end in bad[:1] + bad[-1:]:  # gradients are computed from the last to the first
                kept |= set(range(end - _AROUND, end + _AROUND + 1))
        shown: list[TensorStats | int] = []
        for place, stats in enumerate(tensors):
            if place in kept:
                shown.append(stats)
            elif isinstance(last := shown[-1], int):
                shown[-1] = last + 1
            else:
                shown.append(1)
        yield quantity, shown
