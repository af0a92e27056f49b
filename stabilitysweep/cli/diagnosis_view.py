"""A diagnosis as it is printed: the cause, what helps, and the last steps tensor by tensor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text

from stabilitysweep.cli.layout import OUTCOME_STYLES, columns, fields, warning
from stabilitysweep.cli.trial_view import headline
from stabilitysweep.cli.words import counted, onset, settings
from stabilitysweep.diagnosis.moment_tables import MomentTable, by_step, in_full, title
from stabilitysweep.diagnosis.records import Diagnosis, Moment


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
            _laid_out(by_step(steps, whole, failed=failed)),
        ]
    for moment in moments if whole else moments[-1:]:
        first = failed and moment is moments[-1]
        table = _laid_out(in_full(moment, whole, failed=first))
        parts += ["", Text(_title(moment), style="bold"), table]
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
    return title(moment)


def _laid_out(table: MomentTable) -> RenderableType:
    return Group(columns(table.heads, table.rows, text=1), *table.notes)


def _rule() -> Text:
    """A line across; rich's own is as wide as a pipe is said to be, and not ASCII."""
    return Text("-" * 78, no_wrap=True, overflow="crop")


def nothing_failed(trials: int) -> str:
    """What to say where there is nothing to diagnose."""
    return f"nothing failed: none of {counted(trials, 'trial')} diverged or became non-finite."
