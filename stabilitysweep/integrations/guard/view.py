"""The guard's report as text: the tables that `diagnose` prints."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import Literal

from rich.console import Console, Group, RenderableType
from rich.table import Table

from stabilitysweep.analysis.wording import counted, number
from stabilitysweep.diagnosis.moment_tables import MomentTable, by_step, in_full, title
from stabilitysweep.integrations.guard.records import GuardReport

_WIDTH = 1_000
_CURVE = 12
"""Steps of the curve that are shown."""


def report_text(report: GuardReport, *, whole: bool = False, data: str = "report.json") -> str:
    """Return the report as lines of text.

    Args:
        report: what was seen.
        whole: leave out no tensor.
        data: the file that has all of them.
    """
    screen = Console(
        file=io.StringIO(),
        width=_WIDTH,
        markup=False,
        highlight=False,
        emoji=False,
        color_system=None,
    )
    with screen.capture() as captured:
        for part in _parts(report, whole, data):
            screen.print(part)
    return "\n".join(line.rstrip() for line in captured.get().splitlines()) + "\n"


def _parts(report: GuardReport, whole: bool, data: str) -> Iterator[RenderableType]:
    yield f"stability guard: {report.sentence}"
    yield ""
    yield _fields(report)
    failed = report.onset is not None
    if report.moments:
        yield ""
        yield "largest magnitude by step"
        yield _laid_out(by_step(report.moments, whole, failed=failed, rest=f"see {data}"))
        yield ""
        yield title(report.moments[-1])
        yield _laid_out(in_full(report.moments[-1], whole, failed=failed))
    if report.curve:
        yield ""
        yield "the last steps"
        yield _curve(report)


def _fields(report: GuardReport) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True, min_width=10)
    grid.add_column()
    for label, text in _facts(report):
        grid.add_row(label, text)
    return grid


def _facts(report: GuardReport) -> Iterator[tuple[str, str]]:
    yield "fit", f"of {report.model}, began {report.began}; written {report.written}"
    yield "versions", ", ".join(f"{name} {version}" for name, version in report.versions.items())
    yield "steps", f"{report.steps_run:,} of this fit"
    if report.onset is not None and report.onset_iteration is not None:
        count = counted(report.onset_iteration, "iteration")
        yield "optimizer", f"had counted {count} after step {report.onset.step:,}"
    if report.nan_step is not None:
        yield "first NaN", f"of the loss at step {report.nan_step:,}"
    if report.skipped_steps:
        scale = number(report.loss_scale)
        yield "skipped", f"{counted(report.skipped_steps, 'step')}; loss scale {scale} at the end"
    for label, warning in zip(_labels("warned"), report.warnings, strict=False):
        yield label, f"step {warning.step:,}: {warning.text}"
    yield "resolution", report.resolution


def _labels(label: str) -> Iterator[str]:
    yield label
    while True:
        yield ""


def _curve(report: GuardReport) -> Table:
    rows = [
        (
            f"{reading.step:,}{'*' if reading.skipped else ''}",
            "-" if reading.lossless else number(reading.loss),
            "-" if reading.gradient_norm is None else number(reading.gradient_norm),
            *([number(reading.loss_scale)] if report.loss_scale != 1 else []),
        )
        for reading in report.curve[-_CURVE:]
    ]
    heads = ("step", "loss", "gradient norm", *(["loss scale"] if report.loss_scale != 1 else []))
    return _table(heads, rows, text=0)


def _laid_out(table: MomentTable) -> RenderableType:
    return Group(_table(table.heads, table.rows, text=1), *table.notes)


def _table(heads: Sequence[str], rows: Sequence[Sequence[RenderableType]], text: int) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for place, head in enumerate(heads):
        justify: Literal["left", "right"] = "left" if place < text else "right"
        table.add_column(head, justify=justify, no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table
