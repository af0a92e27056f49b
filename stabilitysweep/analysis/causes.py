"""Why trials failed: a cause and a sentence for each, by the rules of docs/causes.md.

What one trial says by itself comes first (`_alone`); where it cannot tell, or may be mistaken,
its twins in the grid decide (`_beside_twins`). `unknown` is a verdict like the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from stabilitysweep.analysis.evidence import HALF, Evidence, Table
from stabilitysweep.analysis.explanation import Explanation
from stabilitysweep.analysis.growth import Growth, growth
from stabilitysweep.analysis.table import RATE
from stabilitysweep.analysis.wording import placed
from stabilitysweep.types import Cause, Outcome, Stage, Trace

SUSTAINED = 100.0
"""Factor over at least two steps from which on a rise before an overflow counts as growth."""
DIVERGING = 10.0
"""The same for a trial that stayed finite."""
LOST = 0.5
"""Share of float32's gradient entries flushed to zero from which on learning is lost."""
MOVED_MUCH = 1.1
"""Factor between the smallest and the largest norm of the weights before an overflow up to which
they have hardly moved, and no update can be blamed."""
MOVED = 1e-3
"""Share of the norm of the weights by which steps would have moved them in exact arithmetic."""

_REGULAR_LOSSES = frozenset({
    "mse", "mae", "huber", "binary_crossentropy", "sparse_categorical_crossentropy",
    "categorical_crossentropy",
})  # fmt: skip
"""Losses without a logarithm or division of an output that is not first kept from zero:
cross-entropies take logits, or clip probabilities."""

_DECIDING = (
    "scaling", "imputation", "l2", "l1", "weight_decay", "dropout", "clipnorm", "batch_size",
    "warmup_steps",
)  # fmt: skip
"""Axes, beside the learning rate, on which a twin that holds shows that the steps were too
long for this loss surface: of the data, of the regularization, of the batch."""

_KINDS = {"nan": "NaN", "+inf": "+Inf", "-inf": "-Inf"}


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What a trial says by itself.

    Attributes:
        cause: the code.
        sentence: why.
        sudden: whether the learning rate is blamed for a single step alone.
    """

    cause: Cause
    sentence: str
    sudden: bool = False


def explanations(
    trials: pd.DataFrame,
    axes: Mapping[str, Sequence[object]],
    settings: Mapping[str, Any],
    traces: Mapping[str, Trace],
    rate: str = RATE,
) -> dict[str, Explanation]:
    """Return why each failed trial failed, by its id; see `explained_rows`."""
    found = explained_rows(trials, axes, settings, traces.get, rate)
    return {str(trials["trial_id"].iloc[row]): told for row, told in found}


def explained_rows(
    trials: pd.DataFrame,
    axes: Mapping[str, Sequence[object]],
    settings: Mapping[str, Any],
    trace_of: Callable[[str], Trace | None],
    rate: str = RATE,
) -> Iterator[tuple[int, Explanation]]:
    """Yield the row of each trial that diverged or became non-finite, and why.

    And of each that stalled since float16 lost its gradients or updates.

    Args:
        trials: the trials table, N rows in any order.
        axes: name of each axis to the grid's values.
        settings: `precision`, `loss`, `learning_rate` and `optimizer`, where they are no axis.
        trace_of: gives the trace of a trial by its id, None where it has none.
        rate: the name of the axis of the learning rate.

    Raises:
        ResultError: the table lacks a column or holds an unknown outcome.
    """
    wanted = np.flatnonzero(candidates(trials, axes, settings)).tolist()
    if not wanted:
        return
    table = Table(trials, axes, settings, trace_of, rate)
    for row in wanted:
        verdict = _verdict(table, row)
        if verdict is not None:
            yield row, Explanation(verdict.cause, verdict.sentence)


def candidates(
    trials: pd.DataFrame, axes: Mapping[str, Sequence[object]], settings: Mapping[str, Any]
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Tell which trials may have a cause: bool [N]."""
    broke = trials["outcome"].isin([Outcome.NONFINITE, Outcome.DIVERGED]).to_numpy()
    stalled = (trials["outcome"] == Outcome.STALLED).to_numpy()
    if "precision" in axes:
        half = trials["precision"].isin(HALF).to_numpy()
    else:
        half = np.full(len(trials), settings.get("precision") in HALF)
    return np.asarray(broke | (stalled & half), np.bool_)


def _verdict(table: Table, row: int) -> _Verdict | None:
    own = table.evidence(row)
    if own.outcome is Outcome.STALLED:
        return _stalled(table, row, own)
    verdict = (
        _in_half_precision(table, row, own)
        if own.half
        else _beside_twins(table, row, own, _alone(own))
    )
    return _never_seen(table, row, verdict)


def _never_seen(table: Table, row: int, verdict: _Verdict) -> _Verdict:
    """Say where predictions alone fail for gaps or categories that training never saw."""
    if verdict.cause is not Cause.PREDICTION_ONLY:
        return verdict
    for axis, leaves_gaps in (("unknown_categories", "missing"), ("imputation", "none")):
        twin = _first_that_holds(table, axis, row)
        # Training was finite: there it had nothing to fill, and both train on the same.
        if twin is not None and table.value(axis, row) == leaves_gaps:
            where = placed(axis, table.value(axis, twin))
            return _Verdict(
                verdict.cause,
                f"{verdict.sentence} The same trial {where} does not fail: these rows have gaps "
                "or categories that training never saw.",
            )
    return verdict


def _alone(own: Evidence) -> _Verdict:
    """Judge a trial by itself, as if it computed in float32."""
    if own.outcome is Outcome.DIVERGED:
        return _growing(own, None, DIVERGING) or _unknown(
            "The loss ended above its start, and grew too little to tell why."
        )
    if own.stage is Stage.INPUT:
        # Without a float32 twin it is not known whether the data, or only float16, broke them.
        within = " as float16 holds them (up to 65,504)" if own.half else ""
        return _Verdict(
            Cause.INPUT_NOT_FINITE,
            f"The training data{within} have {_kind(own)} in column {own.tensor}, before "
            "anything is trained.",
        )
    if own.stage is Stage.PREDICTION:
        return _Verdict(
            Cause.PREDICTION_ONLY,
            f"Training stayed finite for all {own.steps_run:,} steps; on the validation rows the "
            f"model predicts {_kind(own)}.",
        )
    return _singular(own) or _overflow(own)


def _singular(own: Evidence) -> _Verdict | None:
    """Blame the loss: not finite, though what it was computed from is finite and moderate."""
    if own.stage is not Stage.LOSS or own.step is None or own.loss in _REGULAR_LOSSES:
        return None
    largest = own.at("max_activation", own.step)
    before = own.at("weight_norm", own.step - 1) if own.step > 1 else 0.0
    if not (largest < own.huge and before < own.huge):
        return None
    name = own.loss or "function"
    return _Verdict(
        Cause.LOSS_FUNCTION_SINGULAR,
        f"The loss {name} became {_kind(own)} at step {own.step:,} while no output of a layer "
        f"exceeded {_number(largest)}: it took a logarithm of, or divided by, something it cannot.",
    )


def _overflow(own: Evidence) -> _Verdict:
    assert own.step is not None
    first = own.at("max_activation", 1)
    what = _what(own)
    if own.step == 1 or first >= own.huge:
        where = "before any update" if own.step == 1 else f"after {_counted(own.step - 1)}"
        if own.stage is Stage.ACTIVATION or first >= own.huge:
            size = f" (up to {_number(first)} at step 1)" if np.isfinite(first) else ""
            return _Verdict(
                Cause.ACTIVATION_UNBOUNDED,
                f"{what} {where}: outputs grow from layer to layer{size} within one forward pass.",
            )
        if own.stage is Stage.WEIGHT:
            return _sudden(own)
        size = f", though no output of a layer exceeded {_number(first)}"
        return _unknown(
            f"{what} before any update{size if np.isfinite(first) else ''}: it is neither "
            "the learning rate nor the layers. Look at the scale of the targets."
        )
    return _growing(own, own.step, SUSTAINED) or _sudden(own)


def _growing(own: Evidence, before: int | None, least: float) -> _Verdict | None:
    """Blame the learning rate for geometric growth before the failure."""
    rise = None if own.trace is None else growth(own.trace, before)
    if rise is None or rise.total < least or rise.last - rise.first < 2:
        return None
    end = "" if own.step is None else f"; then {_lower(_what(own))}"
    return _Verdict(Cause.LEARNING_RATE_TOO_HIGH, f"{_rise(rise)}{end}.{_theory(own)}")


def _sudden(own: Evidence) -> _Verdict:
    """Blame the learning rate for an overflow right after an update."""
    assert own.step is not None
    largest = own.at("weight_norm", own.step - 1) if own.step > 1 else float("nan")
    still = own.moved is not None and own.moved < MOVED_MUCH
    outputs = own.at("max_activation", own.step)
    moderate = own.stage is Stage.LOSS and max(outputs, largest) < own.huge  # not if NaN
    if still or moderate:
        why = "the weights had hardly moved" if still else "no weight or output was large"
        return _unknown(
            f"{_what(own)}, while {why}: neither growth nor a large update came before. Look at "
            "the rows of that batch."
        )
    size = f", which had left weights of norm {_number(largest)}" if np.isfinite(largest) else ""
    return _Verdict(
        Cause.LEARNING_RATE_TOO_HIGH,
        f"{_what(own)}, right after a step of learning rate {_number(own.rate)}{size}."
        f"{_theory(own)}",
        sudden=True,
    )


def _in_half_precision(table: Table, row: int, own: Evidence) -> _Verdict:
    """Judge a trial in float16, beside its float32 twin where there is one."""
    alone = _alone(own)
    twin = table.float32_twin(row)
    clean = twin is not None and table.evidence(twin).stage is not Stage.INPUT
    if alone.cause is Cause.INPUT_NOT_FINITE and clean:
        finite = f"Column {own.tensor} of the training data is finite in float32, but not"
        return _Verdict(Cause.FLOAT16_OVERFLOW, f"{finite} in float16: it exceeds 65,504.")
    told = Cause.INPUT_NOT_FINITE, Cause.PREDICTION_ONLY, Cause.LOSS_FUNCTION_SINGULAR
    if alone.cause in told:
        return alone
    if twin is not None and table.failed(twin):
        other = table.evidence(twin)
        cause = _beside_twins(table, twin, other, _alone(other))
        later = cause.cause in (Cause.LEARNING_RATE_TOO_HIGH, Cause.UNKNOWN) and other.step != 1
        if not ((own.untouched and later) or cause.cause is Cause.PREDICTION_ONLY):
            rise = _growing(own, own.step, SUSTAINED)
            if cause.cause is Cause.LEARNING_RATE_TOO_HIGH and rise is not None:
                return _Verdict(cause.cause, f"{rise.sentence} It fails in float32 too.")
            own_end = "" if own.step is None else f"{_what(own)}. "
            return _Verdict(
                cause.cause, f"{own_end}It fails in float32 too. There: {cause.sentence}"
            )
        twin = None  # what updates, or held-out rows, do to the twin says nothing here
    if own.outcome is Outcome.DIVERGED:
        if twin is None:
            return _beside_twins(table, row, own, alone)
        return _unknown("It diverges in float16 alone: in float32 the same trial does not.")
    # Before the loss scale is looked at: what has grown for long exhausts every scale in the end.
    growing = None
    if twin is None and not own.untouched:
        growing = _growing(own, own.step, SUSTAINED)
    if growing is not None:
        return growing
    exhausted = _exhausted(own)
    if exhausted is not None:
        return exhausted
    if own.stage is Stage.LOSS:  # computed in float32 under every policy
        return _beside_twins(table, row, own, alone)
    return _float16_overflow(table, row, own, twin)


def _exhausted(own: Evidence) -> _Verdict | None:
    """Blame the loss scale for a skipping that lasts to the end, after a finite forward pass."""
    if own.final_scale == 0:
        return _Verdict(
            Cause.LOSS_SCALE_EXHAUSTED,
            f"After {own.skipped:,} skipped steps the loss scale is 0: no scale made the "
            "gradients finite in float16.",
        )
    if own.stage is not Stage.GRADIENT or not own.streak or own.final_scale is None:
        return None
    if own.final_scale < 1:
        return _Verdict(
            Cause.LOSS_SCALE_EXHAUSTED,
            f"Loss scaling skipped the last {own.streak:,} steps and fell to "
            f"{_number(own.final_scale)}: the gradients of {own.tensor} are beyond float16 "
            "even where the loss is not scaled up.",
        )
    return _unknown(
        f"The budget ended while loss scaling was skipping steps ({own.streak:,} of "
        f"{own.steps_run:,}, scale {_number(own.final_scale)}), as it does at its start. More "
        "steps would tell."
    )


def _float16_overflow(table: Table, row: int, own: Evidence, twin: int | None) -> _Verdict:
    what = f"{_what(own)} in float16, whose largest number is 65,504"
    if twin is not None:
        return _Verdict(Cause.FLOAT16_OVERFLOW, f"{what}; the same trial does not fail in float32.")
    if own.step is not None and own.step > 1:
        lower = _first_that_holds(table, table.rate, row)
        if lower is not None:
            return _named(
                table,
                lower,
                table.rate,
                f"{what}. It does so after an update, and",
            )
    return _Verdict(
        Cause.FLOAT16_OVERFLOW,
        f"{what}. Sums and products of finite float16 numbers lie within float32's range.",
    )


def _beside_twins(table: Table, row: int, own: Evidence, alone: _Verdict) -> _Verdict:
    """Let twins decide where a trial by itself cannot tell, or only saw one step."""
    if alone.sudden and own.step is not None:
        lower = table.safer_twins(table.rate, row)
        # A tenth of the rate, or less, would have to show in the step of the onset.
        if (
            len(lower)
            and table.broke_by(lower, own.step)
            and table.value(table.rate, int(lower[-1])) < own.rate / 10
        ):
            alone = _unknown(
                f"{_what(own)}, and at every lower learning rate of the grid by the same step."
            )
    if alone.cause is not Cause.UNKNOWN:
        return alone
    after_update = own.outcome is Outcome.DIVERGED or (own.step or 0) > 1
    for axis in (table.rate, *_DECIDING):
        twin = _first_that_holds(table, axis, row)
        if twin is None:
            continue
        if after_update:
            known = "The loss ended above its start." if own.step is None else f"{_what(own)}."
            return _named(table, twin, axis, known)
        where = placed(axis, table.value(axis, twin))
        return _unknown(f"{alone.sentence} The same trial {where} does not fail.")
    return alone


def _stalled(table: Table, row: int, own: Evidence) -> _Verdict | None:
    """Tell whether a trial learnt nothing since float16 lost its gradients or its updates."""
    twin = table.float32_twin(row)
    if twin is not None:
        if table.outcomes[twin] is not Outcome.STABLE:
            return None
        if own.lost >= LOST:
            return _Verdict(
                Cause.FLOAT16_UNDERFLOW,
                f"{own.lost:.0%} of the gradient's entries are flushed to zero in float16; the "
                "same trial learns in float32.",
            )
    if own.precision != "float16" or not _frozen(own):
        return None
    if twin is None and not (own.sgd and _would_have_moved(own)):
        return None
    return _Verdict(
        Cause.FLOAT16_UNDERFLOW,
        "The weights never moved although the gradient was not zero: float16 rounds each update "
        "away." + ("" if twin is None else " The same trial learns in float32."),
    )


def _frozen(own: Evidence) -> bool:
    trace = own.trace
    if trace is None or len(trace.steps) < 3:
        return False
    return bool(np.ptp(trace.weight_norm) == 0 and np.min(trace.grad_norm) > 0)


def _would_have_moved(own: Evidence) -> bool:
    assert own.trace is not None
    moved = own.rate * float(np.median(own.trace.grad_norm)) * own.steps_run
    return moved >= MOVED * float(own.trace.weight_norm[0])


def _first_that_holds(table: Table, axis: str, row: int) -> int | None:
    """Return the nearest twin on the safer side of an axis that did not fail."""
    twins = table.safer_twins(axis, row)
    held = twins[~table.lattice.failed[twins]]
    return int(held[0]) if len(held) else None


def _named(table: Table, twin: int, axis: str, sentence: str) -> _Verdict:
    """Blame the learning rate, since a twin holds."""
    where = placed(axis, table.value(axis, twin))
    joined = f"{sentence} the" if sentence.endswith("and") else f"{sentence} The"
    return _Verdict(Cause.LEARNING_RATE_TOO_HIGH, f"{joined} same trial {where} does not fail.")


def _unknown(sentence: str) -> _Verdict:
    return _Verdict(Cause.UNKNOWN, sentence)


def _what(own: Evidence) -> str:
    """Say what happened first: `Step 12: activation hidden_3 became +Inf`."""
    assert own.stage is not None
    assert own.step is not None
    named = "" if own.tensor in (None, own.stage.value) else f" {own.tensor}"
    return f"At step {own.step:,} {own.stage.value}{named} became {_kind(own)}"


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


def _kind(own: Evidence) -> str:
    return _KINDS.get(own.kind or "nan", "NaN")


def _rise(rise: Growth) -> str:
    subject = "The loss" if rise.quantity == "loss" else "The norm of the weights"
    return (
        f"{subject} grew {_number(rise.rate)}-fold a step over {_counted(rise.last - rise.first)},"
        f" from {_number(rise.start)} to {_number(rise.end)} at step {rise.last:,}"
    )


def _theory(own: Evidence) -> str:
    if own.limit is None or own.limit >= own.rate:
        return ""
    return (
        f" Theory's limit at the initial weights is {_number(own.limit)}, the learning rate "
        f"{_number(own.rate)}."
    )


def _counted(steps: int) -> str:
    return "1 step" if steps == 1 else f"{steps:,} steps"


def _number(value: float) -> str:
    mantissa, _, exponent = f"{value:.3g}".partition("e")
    return f"{mantissa}e{int(exponent)}" if exponent else mantissa
