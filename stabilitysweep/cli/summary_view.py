"""A result in a few lines: outcomes, the earliest onset, safe learning rates, files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text

from stabilitysweep.analysis import BoundaryStatus, EarliestOnset, RateLimit, Summary, value_label
from stabilitysweep.cli.layout import columns, fields, outcome_text
from stabilitysweep.cli.terminal import command
from stabilitysweep.cli.words import counted, onset, settings, share
from stabilitysweep.folder import FIGURES
from stabilitysweep.result import Result
from stabilitysweep.store import Entry
from stabilitysweep.types import Outcome


def overview(summary: Summary, crash: Entry | None) -> RenderableType:
    """What a sweep found.

    Args:
        summary: its numbers.
        crash: the first crashed trial, if any.
    """
    parts: list[RenderableType] = [outcomes(summary)]
    if summary.earliest_onset is not None:
        parts += ["", fields([("earliest onset", earliest(summary.earliest_onset))])]
    limits = list(rate_limits(summary))
    if limits:
        parts += [
            "",
            Text("largest learning rate at which, and below which, every trial is stable"),
        ]
        parts.append(fields((f"  {name}", words) for name, words in limits))
    if crash is not None:
        parts += ["", fields([("crashed", crash_text(crash, summary.outcomes[Outcome.CRASHED]))])]
    return Group(*parts)


def outcomes(summary: Summary) -> RenderableType:
    """The table of outcomes; what is not run yet below it."""
    rows: list[tuple[RenderableType, str, str]] = [
        (outcome_text(kind), f"{count:,}", share(count, summary.trials))
        for kind, count in summary.outcomes.items()
    ]
    rows.append(("all", f"{summary.trials:,}", ""))
    if summary.missing:
        rows.append(("not run yet", f"{summary.missing:,}", ""))
    return columns(("outcome", "trials", "share"), rows, text=1)


def earliest(found: EarliestOnset) -> str:
    """When, where and with which settings something first became non-finite."""
    what = onset(found.step, found.stage, found.tensor, found.kind)
    return f"{what}\n{settings(found.settings)}\ntrial {found.trial_id}"


def rate_limits(summary: Summary) -> Iterator[tuple[str, str]]:
    """The largest stable learning rates: of every precision, and of all together."""
    for precision, limit in summary.stable_rate_by_precision.items():
        yield precision, rate_limit(limit)
    if summary.stable_rate is not None and len(summary.stable_rate_by_precision) != 1:
        yield "all" if summary.stable_rate_by_precision else "", rate_limit(summary.stable_rate)


def rate_limit(limit: RateLimit) -> str:
    """A limit as a number, and what must be known about it."""
    value = "none" if limit.value is None else value_label(limit.value)
    return {
        BoundaryStatus.FOUND: value,
        BoundaryStatus.ALL_FAIL: "none: trials fail at the lowest",
        BoundaryStatus.NO_FAILURE: f"{value}, the highest tried: nothing failed",
        BoundaryStatus.GAP: f"{value} or more: above it, trials are missing",
        BoundaryStatus.UNMEASURED: "unknown: trials are missing at the lowest",
    }[limit.status]


def crash_text(entry: Entry, number: int) -> str:
    """How many trials could not be run, and why the first could not."""
    reason = entry.result.message or "no reason was recorded"
    first = f"trial {entry.result.trial_id}: {reason}"
    again = "The next run tries them again." if number > 1 else "The next run tries it again."
    return f"{counted(number, 'trial')} could not be run. {again}\n{first}"


def files(folder: Path) -> Iterator[tuple[str, str]]:
    """Where the files of a complete result are, figures first."""
    yield "figures", str(folder / FIGURES / "stability.png")
    yield "", str(folder / FIGURES / "onset.png")
    yield "table", str(folder / "trials.csv")
    yield "summary", str(folder / "summary.json")


def what_next(folder: Path, summary: Summary) -> Iterator[tuple[str, str]]:
    """Commands that look closer."""
    label = "next"
    if summary.earliest_onset is not None:
        yield label, command("show", folder, summary.earliest_onset.trial_id)
        label = ""
    yield label, command("plot", folder, "--kind", "onset")


def result_view(result: Result) -> RenderableType:
    """A result as `show` prints it."""
    provenance = result.provenance
    versions, flags = provenance.get("versions", {}), provenance.get("flags", {})
    software = f"tensorflow {versions.get('tensorflow', '?')}, keras {versions.get('keras', '?')}"
    engine = f"{flags.get('engine', '?')} engine ({flags.get('compiled', '?')})"
    axes = " x ".join(f"{len(values)} {name}" for name, values in result.axes.items())
    return Group(
        fields(
            [
                ("sweep", Text(result.config.name, style="bold")),
                ("axes", axes),
                ("last run", f"{provenance['started']}, {engine}, {software}"),
            ]
        ),
        "",
        overview(result.summary, result.first_crash()),
        "",
        fields([*files(result.folder), *what_next(result.folder, result.summary)]),
    )
