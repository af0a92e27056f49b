"""A sweep in one sentence, and its outcomes and causes in tables."""

from __future__ import annotations

from stabilitysweep.analysis.axes import value_label
from stabilitysweep.analysis.boundary import BoundaryStatus
from stabilitysweep.analysis.caption import steps_in_words
from stabilitysweep.analysis.refined_boundary import RefinedBoundary
from stabilitysweep.analysis.sentences.table import TextTable
from stabilitysweep.analysis.summary import Summary
from stabilitysweep.analysis.wording import counted, percent, share, spoken
from stabilitysweep.types import Cause, Outcome

CAUSES_IN_WORDS: dict[str, str] = {
    Cause.INPUT_NOT_FINITE: "NaN or infinity in the data reached the model",
    Cause.LEARNING_RATE_TOO_HIGH: "the learning rate is too high",
    Cause.FLOAT16_OVERFLOW: "a number grew beyond the largest of float16",
    Cause.FLOAT16_UNDERFLOW: "gradients became zero in float16, so that nothing was learnt",
    Cause.LOSS_FUNCTION_SINGULAR: "the loss has no value at what the model predicts",
    Cause.ACTIVATION_UNBOUNDED: "outputs of layers are huge from the first step on",
    Cause.LOSS_SCALE_EXHAUSTED: "the loss scale fell until every step was skipped",
    Cause.PREDICTION_ONLY: "predictions were not finite, though training was",
    Cause.UNKNOWN: "nothing speaks for a cause",
}
"""What each cause means, in a few words."""

_REFINED_DIGITS = 4
_FEW = 6


def verdict(
    summary: Summary, steps: tuple[int, int] | None, refined: RefinedBoundary | None = None
) -> str:
    """Say in one sentence what became of the trials.

    Args:
        summary: of them.
        steps: the fewest and the most that those ran that reached their end.
        refined: the refined boundary, if any.
    """
    crashed = summary.outcomes[Outcome.CRASHED]
    measured = summary.trials - crashed
    if not measured:
        return f"None of the {counted(summary.trials, 'trial')} could be run."
    budget = steps_in_words(steps)
    within = f" within {budget}" if budget else ""
    stalled = summary.outcomes[Outcome.STALLED]
    idle = f", though {stalled:,} learnt nothing" if stalled else ""
    if stalled == measured:
        idle = ", though it learnt nothing" if measured == 1 else ", though none learnt anything"
    if not summary.failures:
        held = "The one trial stayed" if measured == 1 else f"All {measured:,} trials stayed"
        return f"{held} stable{within}{idle}."
    why = _why(summary)
    if summary.failures == measured:
        held = "The one trial" if measured == 1 else f"Every one of the {measured:,} trials"
        return f"{held} failed{why}."
    failed = percent(summary.failures, measured)
    text = f"{summary.failures:,} of {measured:,} trials ({failed}) failed{within}{why}"
    return f"{text}; {limit}." if (limit := _limit(summary, refined)) else f"{text}."


def _why(summary: Summary) -> str:
    """Why most of them failed; empty where no cause is known."""
    most = next(iter(summary.causes), None)
    if most is None:
        return ""
    often = ", most often" if len(summary.causes) > 1 else ","
    if most == Cause.UNKNOWN:
        return f"{often} for reasons that cannot be told from what was measured"
    return f"{often} since {CAUSES_IN_WORDS[most]}"


def _limit(summary: Summary, refined: RefinedBoundary | None) -> str:
    """Up to which learning rate nothing fails; empty where that cannot be said."""
    overall = summary.stable_rate
    if overall is None:
        return ""
    if refined is not None and refined.overall is not None:
        return f"none does up to a learning rate of {value_label(refined.overall, _REFINED_DIGITS)}"
    rate = value_label(overall.value)
    return {
        BoundaryStatus.FOUND: f"none does up to a learning rate of {rate}",
        BoundaryStatus.ALL_FAIL: "some do at the lowest learning rate already",
        BoundaryStatus.NO_FAILURE: f"none does up to a learning rate of {rate}, the highest tried",
        BoundaryStatus.GAP: f"none does up to a learning rate of {rate} at least",
        BoundaryStatus.UNMEASURED: "",
    }[overall.status]


def outcome_table(summary: Summary) -> TextTable:
    """Trials by outcome, and those that are not run yet."""
    rows = [
        (str(kind), f"{count:,}", share(count, summary.trials))
        for kind, count in summary.outcomes.items()
    ]
    rows.append(("all", f"{summary.trials:,}", ""))
    if summary.missing:
        rows.append(("not run yet", f"{summary.missing:,}", ""))
    return TextTable(("outcome", "trials", "share"), tuple(rows), text=1)


def cause_table(summary: Summary) -> TextTable:
    """How many of the failures each cause is of."""
    rows = tuple(
        (name, CAUSES_IN_WORDS.get(name, ""), f"{count:,}", share(count, summary.failures))
        for name, count in summary.causes.items()
    )
    return TextTable(("cause", "which means", "trials", "share of failures"), rows, text=2)


def axis_in_words(name: str, labels: tuple[str, ...]) -> str:
    """An axis with its values: `depth: 1, 2, 4`, `learning rate: 20 values, 0.001 to 10`."""
    if len(labels) <= _FEW:
        return f"{spoken(name)}: {', '.join(labels)}"
    return f"{spoken(name)}: {len(labels)} values, {labels[0]} to {labels[-1]}"
