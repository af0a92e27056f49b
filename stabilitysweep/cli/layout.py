"""The few shapes that everything printed is made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from stabilitysweep.types import Outcome

OUTCOME_STYLES = {
    Outcome.STABLE: "green",
    Outcome.STALLED: "cyan",
    Outcome.DIVERGED: "yellow",
    Outcome.NONFINITE: "red",
    Outcome.CRASHED: "magenta",
}


def fields(pairs: Iterable[tuple[RenderableType, RenderableType]], label_width: int = 10) -> Table:
    """Labels with what belongs to each; long texts are wrapped beside their label."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True, min_width=label_width)
    table.add_column(overflow="fold")
    for label, content in pairs:
        table.add_row(label, content)
    return table


def columns(
    heads: Sequence[str],
    rows: Iterable[Sequence[RenderableType]],
    *,
    text: int,
    unbroken: int = 0,
) -> Table:
    """A table without lines.

    Args:
        heads: the columns' heads.
        rows: the cells.
        text: number of leading columns of text; the rest are numbers, and flush right.
        unbroken: number of leading columns that are never wrapped.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for place, head in enumerate(heads):
        justify: Literal["left", "right"] = "left" if place < text else "right"
        table.add_column(head, justify=justify, overflow="fold", no_wrap=place < unbroken)
    for row in rows:
        table.add_row(*row)
    return table


def outcome_text(outcome: Outcome) -> Text:
    """An outcome in its colour."""
    return Text(outcome.value, style=OUTCOME_STYLES[outcome])


def warning(text: str) -> Text:
    """A warning, as such also without colour."""
    return Text.assemble(("warning: ", "bold yellow"), text)
