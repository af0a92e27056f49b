"""What a page says in words: plain records for the template, made of a result.

The sentences are those of the terminal; see `analysis.sentences`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from stabilitysweep.analysis import remedies, representatives
from stabilitysweep.analysis.axes import make_axes
from stabilitysweep.analysis.cells import finished_steps
from stabilitysweep.analysis.sentences.limits import rate_limits, refined_lines
from stabilitysweep.analysis.sentences.models import stored_models
from stabilitysweep.analysis.sentences.table import TextTable
from stabilitysweep.analysis.sentences.verdict import (
    axis_in_words,
    cause_table,
    outcome_table,
    verdict,
)
from stabilitysweep.analysis.wording import counted, duration, onset, settings
from stabilitysweep.config import DATASET
from stabilitysweep.report.commands import command
from stabilitysweep.result import Result
from stabilitysweep.result.next_steps import crash_text
from stabilitysweep.store import RUNS
from stabilitysweep.types import Outcome

_REMEDIES = 2
_HASH = 12


@dataclass(frozen=True, slots=True)
class Fact:
    """Something said, with its label.

    Attributes:
        label: empty where it belongs to the one above.
        text: may have several lines.
    """

    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Example:
    """A failed trial that stands for others.

    Attributes:
        trial_id: the trial.
        reason: what it stands for.
        settings: its values, and its seed.
        onset: what became non-finite first; empty where it diverged, or the sentence says it.
        sentence: why it failed.
        remedies: the nearest cells in which no seed failed.
        commands: those that look closer.
    """

    trial_id: str
    reason: str
    settings: str
    onset: str
    sentence: str
    remedies: tuple[str, ...]
    commands: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Failures:
    """What failed and why.

    Attributes:
        summary: what there is to say where nothing failed; else empty.
        explained: which axis explains how much.
        limits: how far up the learning rates nothing fails.
        refined: the same of the refined boundary.
        causes: the table of causes; None without a failure.
        crashed: how many trials could not be run, and why; empty if none.
        examples: failed trials that stand for others.
    """

    summary: str
    explained: tuple[str, ...]
    limits: tuple[str, ...]
    refined: tuple[str, ...]
    causes: TextTable | None
    crashed: str
    examples: tuple[Example, ...]


def verdict_of(result: Result) -> str:
    """A result in one sentence."""
    return verdict(result.summary, finished_steps(result.trials), result.refined_boundary)


def warnings_of(result: Result) -> Iterator[str]:
    """What limits all that is said."""
    summary = result.summary
    if summary.missing:
        yield (
            f"Not complete: {counted(summary.missing, 'trial')} of {summary.wanted:,} are not run "
            "yet, so a boundary may turn out lower."
        )
    if result.thresholds is not None:
        yield f"Judged anew by {result.thresholds}; the record itself is as it was."


def swept(result: Result) -> Iterator[Fact]:
    """What was swept, and how long it took."""
    config, trials = result.config, result.trials
    label = "axes"
    for name, axis in make_axes(result.axes).items():
        yield Fact(label, axis_in_words(name, axis.labels))
        label = ""
    seeds = counted(int(trials["seed"].nunique()), "seed")
    yield Fact("trials", f"{len(trials):,}, in {counted(result.summary.cells, 'cell')}, {seeds}")
    if config.recorded is not None:
        found = config.recorded
        yield Fact("recorded", f"from {found.tuner}, project {found.project!r}")
        if found.exact:
            yield Fact("bins", f"{', '.join(found.exact)}: by their lower ends")
    elif DATASET not in result.axes:
        yield Fact("data set", config.datasets[0].label)
    for name, text in stored_models(result.models, result.not_stacked):
        yield Fact(name, text)
    fixed = {name: value for name, value in result.fixed.items() if name != DATASET}
    if fixed:
        yield Fact("fixed", settings(fixed))
    yield Fact("took", took(result.provenance, len(trials)))


def took(provenance: Mapping[str, Any], trials: int) -> str:
    """How long training took: `4.2 s for 360 trials, in 2 runs`.

    Args:
        provenance: of a result.
        trials: how many there are.
    """
    runs = provenance.get(RUNS, [])
    if not runs:
        return "not noted, since an earlier version trained this"
    trained = sum(int(run["trials"]) for run in runs)
    text = f"{duration(sum(float(run['seconds']) for run in runs))} for {counted(trained, 'trial')}"
    text += f", in {len(runs)} runs" if len(runs) > 1 else ""
    if trained < trials:
        text += f"; how long the other {trials - trained:,} took was not noted"
    return text


def failures_of(result: Result) -> Failures:
    """What failed and why."""
    summary, crash = result.summary, result.first_crash()
    crashed = "" if crash is None else crash_text(crash, summary.outcomes[Outcome.CRASHED])
    nothing = ""
    if not summary.failures:
        nothing = "Nothing diverged and nothing became non-finite."
        if summary.trials == summary.outcomes[Outcome.CRASHED]:
            nothing = "No trial could be run, so that nothing is known of what would fail."
    refined = () if result.refined is None else tuple(refined_lines(result.boundaries))
    return Failures(
        summary=nothing,
        explained=tuple(map(str, summary.explained)),
        limits=tuple(rate_limits(summary, result.refined_boundary)),
        refined=refined,
        causes=cause_table(summary) if summary.causes else None,
        crashed=crashed,
        examples=tuple(_examples(result)),
    )


def outcomes_of(result: Result) -> TextTable:
    """The table of outcomes."""
    return outcome_table(result.summary)


def _examples(result: Result) -> Iterator[Example]:
    shown = representatives(result.trials, result.axes, result.rate)
    met = _onsets(result.trials, {each.trial_id for each in shown})
    recorded = result.config.recorded is not None
    for each in shown:
        explanation = result.explain(each.trial_id)
        sentence = "" if explanation is None else explanation.sentence
        said = "" if "step" in sentence else met.get(each.trial_id, "")
        helps = remedies(result.trials, result.axes, each.trial_id, _REMEDIES, result.rate)
        words = ("show",) if recorded else ("show", "diagnose")
        yield Example(
            trial_id=each.trial_id,
            reason=each.reason,
            settings=settings(result.settings(each.trial_id)),
            onset=said,
            sentence=sentence,
            remedies=tuple(map(str, helps)),
            commands=tuple(command(word, result.folder, each.trial_id) for word in words),
        )


def _onsets(trials: pd.DataFrame, ids: Collection[str]) -> dict[str, str]:
    """What became non-finite first in each of some trials that did."""
    columns = ["trial_id", "onset_step", "onset_stage", "onset_tensor", "onset_kind"]
    broken = trials["trial_id"].isin(ids) & (trials["outcome"] == Outcome.NONFINITE)
    rows = trials.loc[broken, columns].astype(object).to_numpy().tolist()
    return {trial: onset(int(step), *where) for trial, step, *where in rows}


def provenance_of(result: Result) -> Iterator[Fact]:
    """Where a result comes from."""
    found = result.provenance
    versions, processor = found.get("versions", {}), found.get("processor", {})
    yield Fact("last run", str(found["started"]))
    for place, run in enumerate(found.get(RUNS, [])):
        spent = f"{run['started']}: {counted(int(run['trials']), 'trial')}"
        yield Fact("" if place else "runs", f"{spent} in {duration(float(run['seconds']))}")
    if versions:
        yield Fact("versions", ", ".join(f"{name} {value}" for name, value in versions.items()))
    if processor:
        cores = counted(int(processor.get("cores") or 0), "core")
        parts = [processor.get("model"), processor.get("machine"), cores, processor.get("system")]
        yield Fact("processor", ", ".join(str(part) for part in parts if part))
    flags = {name: value for name, value in found.get("flags", {}).items() if value is not None}
    if flags:
        yield Fact("flags", ", ".join(f"{name} {value}" for name, value in flags.items()))
    limits = found.get("thresholds", {})
    if limits:
        yield Fact(
            "thresholds",
            f"final over initial loss: stable below {limits['stable_below']:g}, diverged above "
            f"{limits['diverged_above']:g}",
        )
    yield from _data(found)


def _data(found: Mapping[str, Any]) -> Iterator[Fact]:
    rows, described = found.get("training_rows", {}), found.get("data_sets", {})
    for label, digest in found.get("data", {}).items():
        own = described.get(label, {})
        parts = [str(own["source"])] if own.get("source") else []
        if own.get("rows") is not None:
            of = f", {rows[label]:,} of them trained on" if label in rows else ""
            parts.append(f"{counted(int(own['rows']), 'row')}{of}")
        parts.append(f"hash {digest[:_HASH]}")
        yield Fact(f"data: {label}", "; ".join(parts))
