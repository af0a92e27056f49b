"""Which figures a result has: what each shows, how it is called, who draws it.

Drawing is slow to import, and reading a result needs none of it: `figures` is imported when a
figure is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pandas as pd

from stabilitysweep.analysis import LEARNING, CellValue, Curves, StabilityMap
from stabilitysweep.errors import ResultError
from stabilitysweep.store import write_csv, write_parquet, write_records

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FigureData: TypeAlias = StabilityMap | Curves
"""What a figure shows, apart from its drawing."""

MAPS = ("stability", "onset", "learning", "best_loss", "cause", "headroom", "underflow")
"""The maps that can be drawn."""

CURVES = ("boundary", "sensitivity")
"""What can be drawn along an axis."""

KINDS = (*MAPS, *CURVES)
"""The figures that can be drawn."""

ALWAYS_DRAWN = ("stability", "onset", "learning")
"""The figures that a run draws."""

VALUES = {
    "learning": CellValue(LEARNING, "median"),
    "best_loss": CellValue("best_loss", "median"),
    "headroom": CellValue("headroom_bits", "lowest"),
    "underflow": CellValue("lost_gradients", "median"),
}
"""The number that a kind of map shows."""

TITLES = {
    "stability": "where training is stable",
    "onset": "when training became non-finite",
    "learning": "how much was learnt",
    "best_loss": "the lowest loss met",
    "cause": "why training failed",
    "headroom": "how near numbers came to overflow",
    "underflow": "gradients lost to half precision",
    "boundary": "how far the learning rate may go",
    "sensitivity": "how much the learning rate matters",
}

LACKING = {
    "headroom": "no trial has a headroom, since the result is of an earlier version or no trial"
    " got past its first step",
    "underflow": "gradients are lost by a trial beside its float32 twin, so expected"
    " 'precision' as an axis with float32 and another value",
}
"""Why a number may be there for no trial."""

_OF_MAPS = ("y", "rows", "columns", "theory", "picks")
_WRITERS: dict[str, Callable[[pd.DataFrame, Path], None]] = {
    ".csv": write_csv,
    ".parquet": write_parquet,
    ".json": write_records,
}


def require_kind(kind: str) -> None:
    """Check that there is such a figure.

    Raises:
        ResultError: there is none.
    """
    if kind not in KINDS:
        known = f"{', '.join(KINDS[:-1])} or {KINDS[-1]}"
        raise ResultError(f"kind: expected {known}, got {kind!r}.")


def places(kind: str, choice: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was chosen for a kind of figure, without what only the others have.

    Raises:
        ResultError: a map's place was chosen for a figure of curves, or the other way round.
    """
    foreign = ("by",) if kind in MAPS else _OF_MAPS
    for name in foreign:
        if choice.get(name) in (None, False):
            continue
        if kind in MAPS:
            raise ResultError(
                f"by: expected a figure of kind {' or '.join(CURVES)}, which has lines; {kind!r} "
                "is a map, whose axes are x, y, rows and columns."
            )
        raise ResultError(
            f"{name}: expected a map; {kind!r} is drawn along one axis, x, with a line for each "
            "value of another, by."
        )
    return {name: value for name, value in choice.items() if name not in foreign}


def table_writer(path: Path) -> Callable[[pd.DataFrame, Path], None]:
    """Return what writes a table to a file of this name.

    Raises:
        ResultError: its ending says no format.
    """
    writer = _WRITERS.get(path.suffix.lower())
    if writer is None:
        raise ResultError(f"{path}: expected a file that ends in {', '.join(_WRITERS)}.")
    return writer


def picked(picks: Sequence[Any] | None) -> list[Mapping[str, Any]] | None:
    """Return the values on the axes of each pick, which has them as `axes` or is them."""
    if picks is None:
        return None
    return [getattr(pick, "axes", pick) for pick in picks]


def draw(kind: str, data: FigureData, title: str) -> Figure:
    """Draw a figure of a kind in `KINDS`."""
    from stabilitysweep import figures

    drawing: dict[str, Callable[[Any, str], Figure]] = {
        "stability": figures.draw_stability,
        "onset": figures.draw_onset,
        "learning": figures.draw_learning,
        "best_loss": figures.draw_best_loss,
        "cause": figures.draw_causes,
        "headroom": figures.draw_headroom,
        "underflow": figures.draw_underflow,
        "boundary": figures.draw_curves,
        "sensitivity": figures.draw_curves,
    }
    return drawing[kind](data, title)
