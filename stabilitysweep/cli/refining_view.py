"""Boundaries as text: a table of the slices, and what there is to say of all of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.console import Group, RenderableType
from rich.text import Text

from stabilitysweep.analysis import BoundaryStatus, value_label
from stabilitysweep.analysis.refinement import reasons, tally
from stabilitysweep.analysis.sentences.limits import refined_lines, steps_of, width_of
from stabilitysweep.cli.layout import columns, fields
from stabilitysweep.cli.terminal import command
from stabilitysweep.cli.words import counted
from stabilitysweep.folder import FIGURES, REFINED
from stabilitysweep.result import Result

if TYPE_CHECKING:
    from stabilitysweep.analysis.refinement import Tally

_MOST_ROWS = 40
"""Slices up to which all are printed."""

_FEW_ROWS = 15
"""Slices printed of more: so many with the lowest boundary, and with something to say."""

_DIGITS = 4
_REASONS = {
    BoundaryStatus.NO_FAILURE: ("nothing failed", "give the grid higher learning rates"),
    BoundaryStatus.ALL_FAIL: ("the lowest rate fails", "give it lower ones"),
    BoundaryStatus.GAP: (
        "trials are missing or crashed below the first failure",
        "run the sweep to its end",
    ),
    BoundaryStatus.UNMEASURED: ("the lowest rate lacks seeds", "run the sweep to its end"),
}


def refined_view(
    result: Result, table: pd.DataFrame, tolerance: float, head: str, *, every: bool
) -> RenderableType:
    """What `refine` prints.

    Args:
        result: the refined result.
        table: its boundaries, or those of them that were asked for.
        tolerance: what was asked for.
        head: what was done.
        every: print every slice, however many there are.
    """
    found = tally(table, tolerance)
    parts: list[RenderableType] = [
        Text(f"{result.config.name}: {head}", style="bold"),
        "",
        fields([*_facts(result, table, found, tolerance)]),
    ]
    for title, rows in _shown(table, every=every):
        parts += ["", *([Text(title, style="bold")] if title else []), _table(rows, result.rate)]
    after = [
        ("all slices", str(result.folder / REFINED / "boundaries.csv")),
        ("figure", str(result.folder / FIGURES / "stability.png")),
        ("next", command("plot", result.folder)),
        ("", command("recommend", result.folder)),
    ]
    parts += ["", fields(after)]
    return Group(*parts)


def boundary_facts(result: Result) -> Iterator[tuple[str, RenderableType]]:
    """What `show` says of a refined boundary; nothing without one."""
    if result.refined is None:
        return
    lines = refined_lines(result.boundaries)
    if not lines:
        return
    lines.append(f"all of them: {command('refine', result.folder, '--all')}")
    yield "refined", "\n".join(lines)


def boundaries_json(
    table: pd.DataFrame, tolerance: float, rounds: int, trained: int
) -> dict[str, Any]:
    """The boundaries for `write_json`, and how many trials and rounds they took in this call."""
    found = tally(table, tolerance)
    rows = table.astype(object).where(table.notna(), None).to_dict(orient="records")
    return {
        "tolerance": tolerance,
        "rounds": rounds,
        "trained": trained,
        "slices": found.slices,
        "within": found.within,
        "wider": found.wider,
        "ragged": found.ragged,
        **{status.value: found.others.get(status, 0) for status in _REASONS},
        "boundaries": rows,
    }


def _facts(
    result: Result, table: pd.DataFrame, found: Tally, tolerance: float
) -> Iterator[tuple[str, str]]:
    others = [name for name in result.axes if name != result.rate]
    of = f" of {', '.join(others)}" if others else ""
    yield "slices", f"{found.slices:,}{of}"
    yield "bracketed", f"{found.within:,} within {width_of(tolerance)}"
    if found.wider:
        yield "", f"{found.wider:,} farther apart: trials between could not be run"
    if found.ragged:
        yield "ragged", f"{found.ragged:,}, with stable rates above the first failure"
    for status, number in found.others.items():
        what, advice = _REASONS[status]
        yield "not refined", f"{number:,}: {what}; {advice}"
    seeds = counted(int(result.trials["seed"].nunique()), "seed")
    yield "holds for", f"{steps_of(table)}, {seeds}"
    if result.summary.missing:
        missing = counted(result.summary.missing, "trial")
        yield "incomplete", f"{missing} of the sweep not run yet: a boundary may turn out lower"


def _shown(table: pd.DataFrame, *, every: bool) -> Iterator[tuple[str, pd.DataFrame]]:
    """The tables to print, each with its title."""
    if every or len(table) <= _MOST_ROWS:
        yield "", table
        return
    lowest = table.sort_values("safe", kind="stable", na_position="last").head(_FEW_ROWS)
    yield f"the {len(lowest)} lowest of {len(table):,} (--all prints every one)", lowest
    odd = table.loc[(table["islands"] > 0) | (reasons(table) != BoundaryStatus.FOUND)]
    if len(odd):
        of = f", the first {_FEW_ROWS} of {len(odd):,}" if len(odd) > _FEW_ROWS else ""
        yield f"ragged or without a bracket{of}", odd.head(_FEW_ROWS)


def _table(table: pd.DataFrame, rate: str) -> RenderableType:
    axes = list(table.columns[: list(table.columns).index("safe")])
    # An axis of one value says nothing in a table; a long name would only spread it.
    axes = [name for name in axes if len(table) == 1 or table[name].astype(str).nunique() > 1]
    budget = table["steps"].nunique(dropna=False) > 1
    heads = [*axes, "stable up to", "fails at", "apart", *(["steps"] if budget else []), ""]
    rows: list[list[RenderableType]] = []
    shown = table.assign(status=reasons(table))
    for record in shown.astype(object).to_dict(orient="records"):
        row = {str(name): value for name, value in record.items()}
        steps = "-" if pd.isna(row["steps"]) else f"{row['steps']:,}"
        rows.append(
            [
                *(value_label(row[name]) for name in axes),
                _rate(row["safe"]),
                _rate(row["failing"]),
                width_of(row["failing"] / row["safe"] - 1 if row["safe"] else math.nan),
                *([steps] if budget else []),
                Text(_remark(row), justify="left"),
            ]
        )
    return columns(heads, rows, text=len(axes))


def _remark(row: Mapping[str, Any]) -> str:
    status = BoundaryStatus(row["status"])
    if status is not BoundaryStatus.FOUND:
        return _REASONS[status][0]
    if row["islands"]:
        runs = counted(int(row["islands"]), "stable run")
        return f"ragged: {runs} above, up to {_rate(row['highest_stable'])}"
    return ""


def _rate(value: float) -> str:
    return "-" if math.isnan(value) else value_label(value, _DIGITS)
