"""Long runs in print: what survived, how sure that is, when and why the others failed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from stabilitysweep.analysis.axes import value_label
from stabilitysweep.analysis.sentences.survival import interval, line, when
from stabilitysweep.analysis.survival import FailedRun
from stabilitysweep.cli.layout import columns, fields
from stabilitysweep.cli.terminal import command
from stabilitysweep.cli.words import counted, number, settings
from stabilitysweep.longruns import CellVerdict, Confirmation, Tried
from stabilitysweep.result import Result

_STYLES = {
    CellVerdict.SURVIVED: "green",
    CellVerdict.WITHDRAWN: "red",
    CellVerdict.UNKNOWN: "magenta",
}
_MOST_SENTENCES = 3
_MOST_CELLS = 8


def confirmation_view(confirmation: Confirmation) -> RenderableType:
    """What confirming came to: a table, the reasons of the failures, what to do next."""
    parts: list[RenderableType] = [
        Text(headline(confirmation), style="bold"),
        Text(_of_seeds(confirmation)),
        "",
        _table(confirmation),
    ]
    why = list(_reasons(confirmation))
    if why:
        parts += ["", fields(why, len("why"))]
    parts += ["", fields(_what_next(confirmation))]
    return Group(*parts)


def headline(confirmation: Confirmation) -> str:
    """How many cells survived."""
    tried, survived = len(confirmation.tried), len(confirmation.survived)
    text = f"{survived} of {counted(tried, 'cell')} survived {confirmation.budget}"
    if confirmation.until is None:
        return text
    if not confirmation.short:
        return f"{text}, as many as were wanted"
    return f"{text}: {confirmation.short} fewer than wanted, and there are no more to try"


def confirmed_facts(result: Result) -> Iterator[tuple[str, RenderableType]]:
    """The long runs that a result has, for `show`: one fact a budget."""
    for place, each in enumerate(result.long_runs):
        held = sum(runs.runs > 0 and not runs.failures for runs in each.cells)
        head = f"over {each.budget}, with fresh seeds: {held} of {counted(len(each.cells), 'cell')}"
        head += " without a failure"
        if each.missing:
            head += f"; {counted(each.missing, 'run')} not made yet"
        lines = [head, *map(line, each.cells[:_MOST_CELLS])]
        if len(each.cells) > _MOST_CELLS:
            lines.append(f"and {counted(len(each.cells) - _MOST_CELLS, 'cell')} more")
        lines.append(command("show", each.folder))
        yield "" if place else "confirmed", "\n".join(lines)


def _of_seeds(confirmation: Confirmation) -> str:
    seeds = confirmation.seeds
    named = f"seed {seeds.start}" if len(seeds) == 1 else f"seeds {seeds.start} to {seeds[-1]}"
    return (
        f"{counted(len(seeds), 'fresh seed')} ({named}); survived: neither diverged nor became "
        "non-finite; 95 % intervals after Clopper and Pearson, two-sided"
    )


def _table(confirmation: Confirmation) -> RenderableType:
    runs = [(tried, each) for tried in confirmation.tried for each in tried.runs or (None,)]
    names = list(dict.fromkeys(name for _, each in runs if each for name in each.settings))
    stalled = any(each is not None and each.stalled for _, each in runs)
    crashed = any(each is not None and each.crashed for _, each in runs)
    heads = [*names, "verdict", "survived", "95 % interval", "failed at step", "val. loss"]
    heads += ["stalled"] * stalled + ["crashed"] * crashed
    rows = []
    for tried, each in runs:
        shown: Mapping[str, Any] = tried.cell if each is None else each.settings
        row: list[RenderableType] = [
            value_label(shown[name]) if name in shown else "" for name in names
        ]
        row.append(Text(tried.verdict.value, style=_STYLES[tried.verdict]))
        if each is None:
            rows.append([*row, *[""] * (len(heads) - len(row))])
            continue
        row += [f"{each.survived} of {each.runs}", interval(each), when(each)]
        row.append(number(each.val_loss))
        row += [str(each.stalled)] * stalled + [str(each.crashed)] * crashed
        rows.append(row)
    return columns(heads, rows, text=len(names) + 1, unbroken=len(names) + 1)


def _reasons(confirmation: Confirmation) -> Iterator[tuple[str, RenderableType]]:
    """For each cell with failures, its causes with the first sentence of each."""
    label = "why"
    for tried in confirmation.tried:
        for runs in tried.runs:
            if not runs.failures:
                continue
            first: dict[str, FailedRun] = {}
            for run in runs.failures:
                first.setdefault(run.cause or "unknown", run)
            lines = [settings(runs.settings)]
            for cause, run in list(first.items())[:_MOST_SENTENCES]:
                text = run.cause_text or f"{run.outcome}, and nothing speaks for a cause"
                count = counted(runs.causes[cause], "run")
                lines.append(f"{count} {cause}; seed {run.seed}: {text}")
            yield label, "\n".join(lines)
            label = ""


def _what_next(confirmation: Confirmation) -> Iterator[tuple[str, RenderableType]]:
    yield "long runs", str(confirmation.folder)
    label = "next"
    failed = _first_failure(confirmation.tried)
    if failed is not None:
        yield label, command("diagnose", confirmation.folder, failed.trial_id)
        label = ""
    yield label, command("show", confirmation.folder)


def _first_failure(tried: tuple[Tried, ...]) -> FailedRun | None:
    failures = [run for each in tried for runs in each.runs for run in runs.failures]
    return failures[0] if failures else None
