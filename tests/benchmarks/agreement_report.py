"""The page that `agreement.py` writes: counts by precision, and every disagreement by name."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from comparison import PRECISIONS, Comparison, bars_met, optimizer_of, settings_of, verdict
from shared import described, table

from stabilitysweep.types import Outcome, Stage


def write(found: Sequence[Comparison], options: argparse.Namespace, seconds: float) -> None:
    """Write the page to `options.output`, or print it."""
    text = page(found, options, seconds)
    if options.output is None:
        print(text)
        return
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(text, encoding="utf-8")
    print(f"{options.output} written; bars {'met' if bars_met(found) else 'NOT met'}")


def page(found: Sequence[Comparison], options: argparse.Namespace, seconds: float) -> str:
    """Return the whole page as markdown."""
    clear = [one for one in found if one.clear]
    onsets = [one for one in clear if one.both_nonfinite]
    same = sum(one.fit.outcome == one.stacked.outcome for one in clear)
    near = sum(one.steps_apart <= 1 for one in onsets)
    share = f" ({near / len(onsets):.1%})" if onsets else ""
    target = f" --output {options.output}" if options.output else ""
    way = "under XLA" if options.compile == "xla" else "in the plain graph"
    return f"""# Agreement of the stacked engine with `model.fit` {way}

Written by `tests/benchmarks/agreement.py`; run it again rather than edit this page.

{len(found)} networks of width 16 were trained for 50 steps on the diabetes data by both engines:
five precisions; depths 0 to 8; relu, tanh, gelu, silu and elu; the optimizers below; batches of
16, 32 and 128; L2 of 0, 1e-4 and 1e-2; learning rates from 1e-4 to 1e7 (SGD) and 1e30 (the others);
seeds 0 to 2. A trial is *clear* when the fit engine has one outcome at its learning rate, at that
rate over 1.05 and at that rate times 1.05.

- clear trials with the same outcome in both engines: **{same} of {len(clear)}** (bar: all)
- clear non-finite trials whose onset is the same step or the next: **{near} of {len(onsets)}**\
{share} (bar: 95 %)
- these two bars: **{"met" if bars_met(found) else "not met"}**
- final losses of stable float32 trials as near as the fit engine is to itself when its initial
  weights are changed in their last bit: **{_within(found)}** (bar: all; see below)

## By precision

{_by_precision(found, clear)}

"Same place" is the same stage, tensor and kind, among onsets at the same step.

## By optimizer

{_by_optimizer(found, clear)}

## By stage

Clear non-finite trials, by the stage of the onset that the fit engine gives:

{_by_stage(onsets)}

## By outcome

Every trial, by the outcome the fit engine gives it:

{_by_outcome(found)}

## Final loss of stable float32 trials

Relative difference of the final loss: between the engines, and of the fit engine to itself when
every initial weight is moved to the next float32 up or down (the larger of the two).

{_final_losses(found)}

## Every disagreement

A row for each trial in which outcome, onset (step, stage, tensor, kind), first NaN, skipped steps
or steps run differ in any way, clear or not. The last three columns are the fit engine's own
verdicts: with every initial weight moved to the next number up, down (under `mixed_bfloat16` the
cast of the weights loses most of that), and with oneDNN off, whose kernels add in another order.

{_disagreements(found)}

## How it was run

    python tests/benchmarks/agreement.py --trials {options.trials} --workers {options.workers} \
--compile {options.compile}{target}

{described()}
- {seconds / 60:.0f} min
"""


def _by_precision(found: Sequence[Comparison], clear: Sequence[Comparison]) -> str:
    return _by("precision", PRECISIONS, lambda one: str(one.trial.training.precision), found, clear)


def _by_optimizer(found: Sequence[Comparison], clear: Sequence[Comparison]) -> str:
    names = sorted({optimizer_of(one.trial) for one in found})
    return _by("optimizer", names, lambda one: optimizer_of(one.trial), found, clear)


def _by_stage(onsets: Sequence[Comparison]) -> str:
    def row(stage: str) -> list[Any]:
        own = [one for one in onsets if one.fit.onset and one.fit.onset.stage == stage]
        near = sum(one.steps_apart <= 1 for one in own)
        alike = [
            sum(getattr(one.stacked.onset, part) == getattr(one.fit.onset, part) for one in own)
            for part in ("step", "stage", "tensor", "kind")
        ]
        return [stage, len(own), near, *alike]

    met = {one.fit.onset.stage for one in onsets if one.fit.onset}
    header = ["stage", "trials", "within a step", "same step", "same stage", "same tensor"]
    return table([*header, "same kind"], [row(stage) for stage in Stage if stage in met])


def _by(
    name: str,
    values: Sequence[str],
    value_of: Callable[[Comparison], str],
    found: Sequence[Comparison],
    clear: Sequence[Comparison],
) -> str:
    def row(label: str, chosen: Callable[[Comparison], bool]) -> list[Any]:
        own, sure = list(filter(chosen, found)), list(filter(chosen, clear))
        onsets = [one for one in sure if one.both_nonfinite]
        apart = Counter(min(one.steps_apart, 2) for one in onsets)
        exact = [one for one in onsets if one.steps_apart == 0]
        placed = sum(not {"stage", "tensor", "kind"} & set(one.differences) for one in exact)
        return [
            label,
            len(own),
            sum(one.fit.outcome == one.stacked.outcome for one in own),
            len(sure),
            sum(one.fit.outcome == one.stacked.outcome for one in sure),
            len(onsets),
            *(apart[distance] for distance in (0, 1, 2)),
            f"{placed} of {len(exact)}",
        ]

    header = [name, "trials", "same outcome", "clear", "same outcome", "clear non-finite"]
    header += ["same step", "off by one", "further off", "same place"]
    rows = [row(value, lambda one, v=value: value_of(one) == v) for value in values]
    return table(header, [*rows, row("all", lambda one: True)])


def _by_outcome(found: Iterable[Comparison]) -> str:
    counts = Counter((one.trial.training.precision, one.fit.outcome) for one in found)
    rows = [[name, *(counts[name, outcome] for outcome in Outcome)] for name in PRECISIONS]
    return table(["precision", *Outcome], rows)


def _stable_float32(found: Iterable[Comparison]) -> list[Comparison]:
    return [
        one
        for one in found
        if one.trial.training.precision == "float32"
        and one.fit.outcome == one.stacked.outcome == Outcome.STABLE
        and one.up is not None
    ]


def _within(found: Iterable[Comparison]) -> str:
    stable = _stable_float32(found)
    return f"{sum(one.engines_apart <= one.itself_apart for one in stable)} of {len(stable)}"


def _final_losses(found: Iterable[Comparison]) -> str:
    stable = _stable_float32(found)
    if not stable:
        return "None among these trials."
    pairs = [(one.engines_apart, one.itself_apart) for one in stable]
    shares = (0.5, 0.9, 1.0)
    rows = [
        [label, *(f"{np.quantile([pair[place] for pair in pairs], share):.2g}" for share in shares)]
        for place, label in enumerate(("between the engines", "the fit engine to itself"))
    ]
    worst = max(stable, key=lambda one: one.engines_apart / max(one.itself_apart, 2**-24))
    return f"""{table(["difference", "median", "90 %", "largest"], rows)}

{_within(found)} trials differ no more between the engines than with the last bit of
their weights. Furthest beyond it, float32's own rounding (6e-8) counted as the least:
`{worst.trial.trial_id}` ({settings_of(worst.trial)}), {worst.engines_apart:.2g} between the
engines, {worst.itself_apart:.2g} of the fit engine to itself."""


def _disagreements(found: Iterable[Comparison]) -> str:
    rows = [
        [
            f"`{one.trial.trial_id}`",
            settings_of(one.trial),
            "yes" if one.clear else "no",
            ", ".join(one.differences),
            *(verdict(result) for result in (one.stacked, one.fit, one.up, one.down, one.other)),
        ]
        for one in found
        if one.differences
    ]
    header = ["trial", "settings", "clear", "differs in", "stacked", "fit", "fit, up", "fit, down"]
    header.append("fit, oneDNN off")
    return table(header, rows, text=len(header)) if rows else "None."
