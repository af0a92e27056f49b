"""The command `compare`: results beside each other, printed, drawn, written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text

from stabilitysweep.analysis.comparison import Comparison
from stabilitysweep.analysis.sentences.comparison import (
    agreement,
    axes_of,
    incomplete,
    members,
    most_fragile,
    pairs,
    safe_in_all,
    slices,
)
from stabilitysweep.analysis.sentences.table import TextTable
from stabilitysweep.cli.exporting import print_json
from stabilitysweep.cli.layout import columns, fields, warning
from stabilitysweep.cli.options import opened_result
from stabilitysweep.cli.terminal import console, emit, note
from stabilitysweep.cli.words import counted
from stabilitysweep.errors import ResultError
from stabilitysweep.folder import FIGURES, require_writable
from stabilitysweep.result.compared import title_of, write_comparison

_LABEL_WIDTH = len("most fragile")


def compare_results(
    folders: Sequence[str],
    *,
    by: str | None,
    x: str | None,
    y: str | None,
    rows: str | None,
    where: Mapping[str, str],
    out: str | None,
    json: bool,
    thresholds: tuple[float | None, float | None],
) -> None:
    """Compare results, print what was found, write figure, table and JSON.

    Args:
        folders: the results.
        by: the axis to take them apart along.
        x: of the figure, as are `y` and `rows`.
        y: see `x`.
        rows: see `x`.
        where: axes to hold at one value.
        out: where to write; None is the figures of the first result, and a warning where these
            cannot be written.
        json: print JSON.
        thresholds: by which to judge the trials anew: stable below, diverged above.

    Raises:
        ResultError: see `result.compared.compared`, and `write_comparison`.
    """
    first, *others = (opened_result(folder, *thresholds) for folder in folders)
    found = first.compare(*others, by=by, where=where)
    title = title_of(found, (first, *others))
    if first.thresholds is not None:
        title += f" ({first.thresholds})"
    target = first.folder / FIGURES if out is None else Path(out)
    judged = None if first.thresholds is None else str(first.thresholds)
    written: list[Path] = []
    if out is not None or _writable(target):
        written = write_comparison(
            found, target, title, x=x, y=y, rows=rows, where=where, judged=judged
        )
    if json:
        print_json(found.to_json())
    else:
        emit(console(), comparison_view(found, title, written))


def _writable(folder: Path) -> bool:
    """Whether the first result's figures can be written; warns if not."""
    try:
        require_writable(folder)
    except ResultError as error:  # no reason to keep back what was found
        note(f"warning: {error}")
        return False
    return True


def comparison_view(found: Comparison, title: str, written: Sequence[Path]) -> RenderableType:
    """A comparison as `compare` prints it.

    Args:
        found: the comparison.
        title: what is compared.
        written: the files of it.
    """
    facts: list[tuple[RenderableType, RenderableType]] = [
        ("compared", Text(title, style="bold")),
        ("axes", axes_of(found)),
    ]
    unshared = "\n".join(map(str, found.unshared))
    differences = "\n".join(map(str, found.differences))
    if unshared:
        facts.append(("not shared", unshared))
    if differences:
        facts.append(("differing", f"{differences}\n(which limits what this comparison says)"))
    lacking = incomplete(found)
    parts: list[RenderableType] = [
        fields(facts, _LABEL_WIDTH),
        "",
        _shown(members(found), unbroken=1),
        *([] if lacking is None else [warning(lacking)]),
        "",
        _shown(agreement(found)),
        "",
        _shown(pairs(found), unbroken=2),
        "",
        fields(
            [
                ("most fragile", most_fragile(found)),
                ("safe in all", safe_in_all(found)),
            ],
            _LABEL_WIDTH,
        ),
    ]
    safe = slices(found)
    if safe is not None:
        parts += ["", _shown(safe)]
        if safe.more:
            parts.append(f"and {counted(safe.more, 'slice')} more: see the JSON")
    labels = dict(
        zip((".png", ".svg", ".csv", ".json"), ("figure", "", "table", "json"), strict=True)
    )
    files = [(labels.get(path.suffix, ""), str(path)) for path in written]
    return Group(*parts, "", fields(files, _LABEL_WIDTH))


def _shown(table: TextTable, unbroken: int = 0) -> RenderableType:
    return columns(table.heads, table.rows, text=table.text, unbroken=unbroken)
