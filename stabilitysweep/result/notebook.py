"""A result as a notebook shows it: HTML without styles, scripts or anything loaded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import pandas as pd

from stabilitysweep.analysis import BoundaryStatus, RateLimit, Summary, value_label
from stabilitysweep.analysis.caption import steps_in_words
from stabilitysweep.analysis.cells import finished_steps

_ROWS = 6
"""Trials in the small table, first and last ones together."""


def result_html(
    name: str, axes: Mapping[str, Sequence[Any]], summary: Summary, trials: pd.DataFrame
) -> str:
    """Say what a sweep found, as a fragment of HTML.

    Args:
        name: of the sweep.
        axes: the values of each axis.
        summary: of its trials.
        trials: the trials table.
    """
    sizes = " x ".join(f"{len(values)} {axis}" for axis, values in axes.items())
    parts = [f"<p><b>{escape(name)}</b>: {escape(sizes)}</p>", _counts(summary)]
    parts.extend(f"<p>{escape(line)}</p>" for line in _findings(summary, trials))
    shown = [column for column in _columns(axes) if column in trials]
    if len(trials):
        parts.append(_small_table(trials[shown]))
    return "<div>" + "".join(parts) + "</div>"


def _counts(summary: Summary) -> str:
    rows = [(str(outcome), f"{count:,}") for outcome, count in summary.outcomes.items()]
    if summary.missing:
        rows.append(("not run yet", f"{summary.missing:,}"))
    return _table(("outcome", "trials"), rows)


def _findings(summary: Summary, trials: pd.DataFrame) -> Iterable[str]:
    overall = summary.stable_rate
    if overall is not None:
        steps = steps_in_words(finished_steps(trials))
        within = f" within {steps}" if steps else ""
        yield f"Largest stable learning rate{within}: {_limit(overall)}."
        for axis, values in summary.stable_rate_by.items():
            limits = "; ".join(f"{value}: {_limit(limit)}" for value, limit in values.items())
            yield f"By {axis}: {limits}."
    if summary.earliest_onset is not None:
        onset = summary.earliest_onset
        yield f"Earliest onset: step {onset.step:,}, {onset.stage} {onset.tensor}."
    if summary.causes:
        yield "Causes: " + ", ".join(f"{count:,} {name}" for name, count in summary.causes.items())


def _limit(limit: RateLimit) -> str:
    value = value_label(limit.value)
    return {
        BoundaryStatus.FOUND: value,
        BoundaryStatus.ALL_FAIL: "none, trials fail at the lowest",
        BoundaryStatus.NO_FAILURE: f"{value} or more, nothing failed",
        BoundaryStatus.GAP: f"{value} or more, trials are missing above it",
        BoundaryStatus.UNMEASURED: "unknown, trials are missing at the lowest",
    }[limit.status]


def _columns(axes: Mapping[str, Sequence[Any]]) -> list[str]:
    return [
        "trial_id", *axes, "seed", "outcome", "onset_step", "cause", "initial_loss", "final_loss"
    ]  # fmt: skip


def _small_table(trials: pd.DataFrame) -> str:
    half = _ROWS // 2
    cut = len(trials) > _ROWS
    shown = pd.concat([trials.head(half), trials.tail(half)]) if cut else trials
    rows = [[_cell(value) for value in row] for row in shown.astype(object).to_numpy().tolist()]
    if cut:
        rows.insert(half, ["…"] * len(trials.columns))
    total = f"<p>{len(trials):,} trials</p>"
    return _table([str(column) for column in trials.columns], rows) + total


def _cell(value: Any) -> str:
    if value is None or (not isinstance(value, list | tuple) and pd.isna(value)):
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(str(value))}</td>" for value in row) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
