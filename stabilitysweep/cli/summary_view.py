"""A result in a few lines: outcomes, causes, the earliest onset, safe learning rates, files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text

from stabilitysweep.analysis import EarliestOnset, Summary
from stabilitysweep.analysis.refined_boundary import RefinedBoundary
from stabilitysweep.analysis.sentences.findings import tally
from stabilitysweep.analysis.sentences.limits import rate_limits
from stabilitysweep.analysis.sentences.models import stored_models
from stabilitysweep.cli.confirming_view import confirmed_facts
from stabilitysweep.cli.layout import columns, fields, outcome_text
from stabilitysweep.cli.refining_view import boundary_facts
from stabilitysweep.cli.terminal import command
from stabilitysweep.cli.words import onset, settings, share
from stabilitysweep.folder import FIGURES, REPORT
from stabilitysweep.result import Result
from stabilitysweep.result.next_steps import crash_text, next_steps
from stabilitysweep.store import Entry
from stabilitysweep.types import Outcome

_LONGEST_LABEL = len("earliest onset")
_MOST_SENTENCES = 4


def overview(
    summary: Summary, crash: Entry | None, refined: RefinedBoundary | None = None
) -> RenderableType:
    """What a sweep found.

    Args:
        summary: its numbers.
        crash: the first crashed trial, if any.
        refined: the refined boundary, if any.
    """
    facts: list[tuple[str, RenderableType]] = []
    if summary.earliest_onset is not None:
        facts.append(("earliest onset", earliest(summary.earliest_onset)))
    if summary.causes:
        facts.append(("causes", causes(summary)))
    if summary.explained:
        sentences = map(str, summary.explained[:_MOST_SENTENCES])
        facts.append(("explained by", "\n".join(sentences)))
    limits = list(rate_limits(summary, refined))
    if limits:
        facts.append(("stable up to", "\n".join(limits)))
    if crash is not None:
        facts.append(("crashed", crash_text(crash, summary.outcomes[Outcome.CRASHED])))
    return Group(
        outcomes(summary),
        *(part for fact in facts for part in ("", fields([fact], _LONGEST_LABEL))),
    )


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


def causes(summary: Summary) -> RenderableType:
    """The table of causes: how many of the failures each is of."""
    rows = [
        (name, f"{count:,}", share(count, summary.failures))
        for name, count in summary.causes.items()
    ]
    return columns(("cause", "trials", "share of failures"), rows, text=1, unbroken=1)


def files(folder: Path) -> Iterator[tuple[str, str]]:
    """Where the files are, the page first; a run that was stopped has not written them."""
    for label, path in (
        ("report", folder / REPORT),
        ("figures", folder / FIGURES / "stability.png"),
        ("", folder / FIGURES / "onset.png"),
        ("", folder / FIGURES / "learning.png"),
        ("table", folder / "trials.csv"),
        ("summary", folder / "summary.json"),
    ):
        if path.is_file():
            yield label, str(path)


def what_next(result: Result) -> Iterator[tuple[str, str]]:
    """Commands that decide, those that have something to do; then some that look closer."""
    for place, words in enumerate(next_steps(result)):
        yield "" if place else "next", command(*words)


def _searched(result: Result) -> Iterator[tuple[str, str]]:
    """Of a recorded search, what searched."""
    recorded = result.config.recorded
    if recorded is not None:
        yield "recorded", f"from {recorded.tuner}, project {recorded.project!r}"
        if recorded.exact:
            yield "bins", f"{', '.join(recorded.exact)}: by their lower ends"


def result_view(result: Result) -> RenderableType:
    """A result as `show` prints it."""
    provenance = result.provenance
    versions, flags = provenance.get("versions", {}), provenance.get("flags", {})
    software = f"tensorflow {versions.get('tensorflow', '?')}, keras {versions.get('keras', '?')}"
    engine = f"{flags.get('engine', '?')} engine ({flags.get('compiled', '?')})"
    again = result.thresholds is not None
    found = result.audit["severity"].tolist()
    axes = " x ".join(f"{len(values)} {name}" for name, values in result.axes.items())
    added = [*boundary_facts(result), *confirmed_facts(result)]
    return Group(
        fields(
            [
                ("sweep", Text(result.config.name, style="bold")),
                *_searched(result),
                ("axes", axes),
                *stored_models(result.models, result.not_stacked),
                ("last run", f"{provenance['started']}, {engine}, {software}"),
                *(
                    [("data", f"{tally(found)} found in it: check CONFIG names them")]
                    if found
                    else []
                ),
                *([("judged", f"{result.thresholds}; the files below as stored")] if again else []),
            ]
        ),
        "",
        overview(result.summary, result.first_crash(), result.refined_boundary),
        *(("", fields(added, _LONGEST_LABEL)) if added else ()),
        "",
        fields([*files(result.folder), *what_next(result)]),
    )
