"""A diagnosis as it is printed: the cause, what helps, and the last steps tensor by tensor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text

from stabilitysweep.cli.layout import OUTCOME_STYLES, columns, fields, warning
from stabilitysweep.cli.trial_view import headline
from stabilitysweep.cli.words import counted, number, onset, settings
from stabilitysweep.diagnosis.records import Diagnosis, Moment, Quantity, TensorStats

_HEADS = {
    Quantity.INPUT: "input",
    Quantity.ACTIVATION: "activations",
    Quantity.LOSS: "loss",
    Quantity.GRADIENT: "gradients",
    Quantity.OPTIMIZER: "optimizer",
    Quantity.UPDATE: "updates",
    Quantity.WEIGHT: "weights",
    Quantity.PREDICTION: "predictions",
}
_MOST_ROWS = 9
"""Tensors of a kind beyond which the middle is left out."""
_ENDS, _AROUND = 3, 1
_MOST_STEPS = 8
"""Columns that a terminal of 80 has room for."""
_FIRST = "<- first"


def diagnosis_view(
    diagnosis: Diagnosis, *, whole: bool = False, figures: Sequence[Path] = ()
) -> RenderableType:
    """Everything about one failed trial.

    Args:
        diagnosis: what was found.
        whole: show every tensor of every step in full; otherwise the last step, and the middle
            of deep networks is left out.
        figures: files that were drawn of it.
    """
    stored = diagnosis.stored
    head = Text.assemble(
        (f"trial {stored.trial_id}: ", "bold"), (headline(stored), OUTCOME_STYLES[stored.outcome])
    )
    parts: list[RenderableType] = [head, "", fields(_facts(diagnosis, figures))]
    moments = diagnosis.replay.moments
    if not diagnosis.replay.reproduced:
        parts += ["", *(warning(line) for line in _not_reproduced(diagnosis))]
    failed = diagnosis.replay.result.onset is not None
    steps = [moment for moment in moments if moment.loss is not None]
    if steps:
        parts += [
            "",
            Text("largest magnitude by step", style="bold"),
            _by_step(steps, whole, failed=failed),
        ]
    for moment in moments if whole else moments[-1:]:
        first = failed and moment is moments[-1]
        parts += ["", Text(_title(moment), style="bold"), _in_full(moment, whole, failed=first)]
    return Group(*parts)


def diagnoses_view(
    diagnoses: Sequence[Diagnosis], *, whole: bool = False, figures: Sequence[Sequence[Path]] = ()
) -> RenderableType:
    """Several diagnoses: a table of them, then one after another.

    Args:
        diagnoses: at least one.
        whole: see `diagnosis_view`.
        figures: the files of each; none were drawn if empty.
    """
    drawn = figures or [()] * len(diagnoses)
    if len(diagnoses) == 1:
        return diagnosis_view(diagnoses[0], whole=whole, figures=drawn[0])
    rows = [
        (
            each.stored.trial_id,
            each.explanation.cause.value,
            headline(each.stored),
            each.picked or "",
        )
        for each in diagnoses
    ]
    parts: list[RenderableType] = [
        columns(("trial", "cause", "outcome", "picked as"), rows, text=4, unbroken=3)
    ]
    for each, paths in zip(diagnoses, drawn, strict=True):
        parts += ["", _rule(), "", diagnosis_view(each, whole=whole, figures=paths)]
    return Group(*parts)


def _facts(diagnosis: Diagnosis, figures: Sequence[Path]) -> Iterator[tuple[str, RenderableType]]:
    stored = diagnosis.stored
    explained = diagnosis.explanation
    yield "cause", Text.assemble((explained.cause.value, "bold"), f": {explained.sentence}")
    if diagnosis.remedies:
        yield "instead", "\n".join(str(remedy) for remedy in diagnosis.remedies)
    else:
        yield "instead", "no cell of the sweep in which it does not happen"
    if stored.onset is not None:
        found = stored.onset
        yield "onset", onset(found.step, found.stage, found.tensor, found.kind)
    if stored.nan_step is not None:
        yield "first NaN", f"of the loss at step {stored.nan_step:,}"
    yield "settings", settings(diagnosis.settings)
    if diagnosis.fixed:
        yield "fixed", settings(diagnosis.fixed)
    if diagnosis.picked:
        yield "picked as", diagnosis.picked
    if diagnosis.replay.reproduced:
        what = "outcome" if stored.onset is None else "outcome, onset step, stage and tensor"
        yield "replay", f"same {what} as stored"
    for label, path in zip(("figure", ""), figures, strict=False):
        yield label, str(path)


def _not_reproduced(diagnosis: Diagnosis) -> Iterator[str]:
    yield (
        "the replay is not what is stored; the tables show the replay. Another processor or "
        "another version of TensorFlow sums in another order."
    )
    yield from diagnosis.replay.differences


def _title(moment: Moment) -> str:
    if moment.step == 0:
        return "input: columns that are not finite"
    if moment.loss is None:
        return f"predictions on the validation rows after step {moment.step:,}"
    scale = "" if moment.loss_scale == 1 else f", loss scale {number(moment.loss_scale)}"
    skipped = ", skipped" if moment.skipped else ""
    return f"step {moment.step:,}: loss {number(moment.loss)}{scale}{skipped}"


def _by_step(moments: Sequence[Moment], whole: bool, *, failed: bool) -> RenderableType:
    """Rows are tensors, columns are steps: growth reads to the right, and downwards."""
    left_out = len(moments) - _MOST_STEPS
    moments = moments[-_MOST_STEPS:]
    first = moments[-1].first_bad() if failed else None
    heads = [f"{moment.step:,}{'*' if moment.skipped else ''}" for moment in moments]
    rows: list[list[RenderableType]] = []
    by_name = [
        {(stats.quantity, stats.tensor): stats for stats in moment.tensors} for moment in moments
    ]
    for quantity, shown in _grouped(moments, whole):
        rows.append([Text(_HEADS[quantity], style="italic"), *[""] * (len(moments) + 1)])
        for stats in shown:
            if isinstance(stats, int):
                rows.append([f"  ... {stats:,} more", *[""] * (len(moments) + 1)])
                continue
            key = (stats.quantity, stats.tensor)
            cells: list[RenderableType] = [_largest(named[key]) for named in by_name]
            rows.append([f"  {stats.tensor}", *cells, _FIRST if stats is first else ""])
    notes = ["* skipped by loss scaling"] if any(moment.skipped for moment in moments) else []
    if left_out > 0:
        notes.append(f"{counted(left_out, 'earlier step')}: see --json or the figure")
    return Group(columns(("tensor", *heads, ""), rows, text=1), *notes)


def _in_full(moment: Moment, whole: bool, *, failed: bool) -> RenderableType:
    first = moment.first_bad() if failed else None
    rows: list[list[RenderableType]] = []
    for quantity, shown in _grouped([moment], whole):
        rows.append([Text(_HEADS[quantity], style="italic"), *[""] * 7])
        for stats in shown:
            if isinstance(stats, int):
                rows.append([f"  ... {stats:,} more", *[""] * 7])
                continue
            some_finite = stats.nans + stats.infs < stats.size
            rows.append(
                [
                    f"  {stats.tensor}",
                    number(stats.largest if some_finite else None),
                    number(stats.mean if some_finite else None),
                    f"{stats.zeros:.0%}" if stats.zeros else "",
                    f"{stats.nans:,}" if stats.nans else "",
                    f"{stats.infs:,}" if stats.infs else "",
                    f"{stats.size:,}",
                    _FIRST if stats is first else "",
                ]
            )
    heads = ("tensor", "largest", "mean", "zeros", "NaN", "Inf", "entries", "")
    return columns(heads, rows, text=1)


def _largest(stats: TensorStats) -> Text:
    if stats.nans:
        return Text("NaN", style="red")
    if stats.infs:
        return Text("Inf", style="red")
    mantissa, _, exponent = f"{stats.largest:.2g}".partition("e")
    return Text(f"{mantissa}e{int(exponent)}" if exponent else mantissa)


def _grouped(
    moments: Sequence[Moment], whole: bool
) -> Iterator[tuple[Quantity, list[TensorStats | int]]]:
    """The last moment's tensors of each kind; a number stands for so many that are left out.

    What is first not finite in any of the moments is never left out.
    """
    groups: dict[Quantity, list[int]] = {}
    tensors = moments[-1].tensors
    for place, stats in enumerate(tensors):
        groups.setdefault(stats.quantity, []).append(place)
    for quantity, places in groups.items():
        if whole or len(places) <= _MOST_ROWS:
            yield quantity, [tensors[place] for place in places]
            continue
        kept = {*places[:_ENDS], *places[-_ENDS:]}
        for moment in moments:
            bad = [place for place in places if not moment.tensors[place].finite]
            for end in bad[:1] + bad[-1:]:  # gradients are computed from the last to the first
                kept |= set(range(end - _AROUND, end + _AROUND + 1))
        shown: list[TensorStats | int] = []
        for place in places:
            if place in kept:
                shown.append(tensors[place])
            elif isinstance(last := shown[-1], int):
                shown[-1] = last + 1
            else:
                shown.append(1)
        yield quantity, shown


def _rule() -> Text:
    """A line across; rich's own is as wide as a pipe is said to be, and not ASCII."""
    return Text("-" * 78, no_wrap=True, overflow="crop")


def nothing_failed(trials: int) -> str:
    """What to say where there is nothing to diagnose."""
    return f"nothing failed: none of {counted(trials, 'trial')} diverged or became non-finite."
