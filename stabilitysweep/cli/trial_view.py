"""One trial: its settings, what became of it, its curve and its trace."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from stabilitysweep.analysis import Explanation
from stabilitysweep.cli.curve import ASCII, UNICODE, draw_curve
from stabilitysweep.cli.layout import OUTCOME_STYLES, columns, fields
from stabilitysweep.cli.words import number, onset, settings
from stabilitysweep.types import Trace, TrialResult

_WIDEST_CURVE = 100
_TRACE_HEADS = ("step", "loss", "grad_norm", "weight_norm", "max_act.", "scale", "")


def trial_view(
    result: TrialResult,
    chosen: Mapping[str, Any],
    fixed: Mapping[str, Any] | None = None,
    *,
    width: int,
    ascii_only: bool = False,
    explanation: Explanation | None = None,
) -> RenderableType:
    """Everything about one trial.

    Args:
        result: what was measured.
        chosen: its value on each axis, and its seed.
        fixed: the settings it shares with all others.
        width: columns of the terminal.
        ascii_only: draw with nothing but ASCII.
        explanation: why it failed, where the table of all trials tells; it stands instead of
            the stored cause.
    """
    head = Text.assemble(
        (f"trial {result.trial_id}: ", "bold"), (headline(result), OUTCOME_STYLES[result.outcome])
    )
    parts: list[RenderableType] = [
        head,
        "",
        fields(_facts(result, chosen, fixed or {}, explanation)),
    ]
    trace = result.trace
    if trace is None or not len(trace.steps):
        return Group(*parts, "", "It has no curve: no step was run.")
    marked = result.onset.step if result.onset else None
    curve = draw_curve(
        trace.steps.tolist(),
        trace.loss.tolist(),
        width=min(width, _WIDEST_CURVE),
        onset=marked,
        signs=ASCII if ascii_only else UNICODE,
    )
    parts += ["", Text("batch loss by step", style="bold")]
    parts += [Text(line, no_wrap=True, overflow="crop") for line in curve]
    return Group(*parts, "", columns(_TRACE_HEADS, _trace_rows(trace, marked), text=0))


def headline(result: TrialResult) -> str:
    """What became of it, in a few words."""
    if result.onset is None:
        return f"{result.outcome} after {result.steps_run:,} steps"
    return f"{result.outcome} at step {result.onset.step:,}"


def _facts(
    result: TrialResult,
    chosen: Mapping[str, Any],
    fixed: Mapping[str, Any],
    explanation: Explanation | None,
) -> Iterator[tuple[str, str]]:
    yield "settings", settings(chosen)
    if fixed:
        yield "fixed", settings(fixed)
    if result.message:
        yield "message", result.message
    if result.onset is not None:
        found = result.onset
        yield "onset", onset(found.step, found.stage, found.tensor, found.kind)
    if result.nan_step is not None:
        yield "first NaN", f"of the loss at step {result.nan_step:,}"
    if explanation is not None:
        yield "cause", f"{explanation.cause}: {explanation.sentence}"
    elif result.cause:
        yield "cause", result.cause
    losses = {
        "initial": result.initial_loss,
        "final": result.final_loss,
        "best batch": result.best_loss,
        "validation": result.val_loss,
    }
    yield "loss", _numbers(losses)
    if result.metrics:
        yield "metrics", _numbers(result.metrics)
    largest = {
        "activation": result.max_abs_activation,
        "gradient norm": result.max_grad_norm,
        "weight norm": result.max_weight_norm,
    }
    yield "largest", _numbers(largest)
    if result.headroom_bits is not None:
        before = " before the onset" if result.onset is not None else ""
        yield "headroom", f"{result.headroom_bits:.1f} bits below overflow at the least{before}"
    if result.zero_gradients is not None:
        yield "zeros", f"{result.zero_gradients:.1%} of the gradient's entries"
    if result.critical_learning_rate is not None:
        yield "theory", f"learning rate below {number(result.critical_learning_rate)}"
    if result.final_loss_scale is not None:
        skipped = f"{result.skipped_steps or 0:,} steps skipped"
        yield "loss scale", f"{number(result.final_loss_scale)} at the end, {skipped}"
    compiled = f", {result.compiled}" if result.compiled else ""
    yield "trained", f"{result.steps_run:,} steps by the {result.engine} engine{compiled}"


def _numbers(values: Mapping[str, float | None]) -> str:
    return ", ".join(f"{name} {number(value)}" for name, value in values.items())


def _trace_rows(trace: Trace, marked: int | None) -> Iterator[tuple[str, ...]]:
    curves = (trace.loss, trace.grad_norm, trace.weight_norm, trace.max_activation)
    for place, step in enumerate(trace.steps.tolist()):
        values = [number(float(curve[place])) for curve in (*curves, trace.loss_scale)]
        yield f"{step:,}", *values, "<- onset" if step == marked else ""
