"""Which Keras layers and optimizers are trained in stacks, by precision, and why others are not.

Each is put into a tiny model, built and traced as any model of a user's, and trained for three
steps by both engines. Nothing is entered by hand.

    python tests/benchmarks/layer_table.py --output docs/layers.md
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import shared  # it puts what follows on the path
from comparison import PRECISIONS
from layer_models import LAYERS, OPTIMIZERS
from user_sweeps import lay_out, stacks_of

from stabilitysweep.data import PreparedData
from stabilitysweep.engines.base import Stack
from stabilitysweep.executors.worker import start_engine

HERE = Path(__file__).parent
_SHOWN = 170


class Finding(NamedTuple):
    """What became of a layer in one precision.

    Attributes:
        name: of the layer or optimizer.
        precision: the dtype policy.
        way: `stack`, `fit`, or `-` where Keras itself does not train it.
        reason: why it is not trained in a stack.
    """

    name: str
    precision: str
    way: str
    reason: str


def measured(
    build: str, data: str, axis: str, names: list[str], precision: str
) -> Iterator[Finding]:
    """Build and train models that differ in one `hp`."""
    # TensorFlow is imported here, with one thread. What is compiled is not kept for other kinds.
    engine, fit = start_engine("stacked"), start_engine("fit")
    where = {"module": "layer_models", "folder": HERE}
    sweep = lay_out(build, data, **where, precision=precision, steps=3, **{axis: names})
    for trial in sweep.grid:
        if trial.trial_id in sweep.failed:
            yield Finding(str(trial.axes[axis]), precision, "-", sweep.failed[trial.trial_id])
    for key, stack in stacks_of(sweep):
        rows = sweep.data[key]
        for trial in stack.trials:
            name = str(trial.axes[axis])
            alone = replace(stack, trials=(trial,))
            if stack.alone:
                text, agrees = stack.alone, False
            else:
                verdict = engine.compare(alone, rows)
                text, agrees = verdict.text, verdict.agrees
            if agrees:
                yield Finding(name, precision, "stack", "")
                continue
            failure = _failure(fit, alone, rows)
            yield Finding(name, precision, "-" if failure else "fit", failure or text)


def _failure(engine: Any, stack: Stack, rows: PreparedData) -> str:
    """What `model.fit` raises; empty if it trains."""
    try:
        engine.few_steps(replace(stack, places=1), rows)
    except Exception as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())}"
    return ""


def _table(kind: str, names: list[str], found: list[Finding]) -> str:
    way = {(one.name, one.precision): one for one in found}
    notes: dict[str, int] = {}
    rows = []
    for name in names:
        cells = []
        for precision in PRECISIONS:
            one = way.get((name, precision), Finding(name, precision, "?", ""))
            reason = one.reason.replace("|", "/").replace("<", "&lt;")[:_SHOWN]
            mark = f" ({notes.setdefault(reason, len(notes) + 1)})" if reason else ""
            cells.append(one.way + mark)
        rows.append([name, *cells])
    lines = [f"{number}. {reason}" for reason, number in notes.items()]
    found_ways = shared.table([kind, *PRECISIONS], rows, text=1 + len(PRECISIONS))
    return found_ways + "\n\n" + "\n".join(lines)


def main() -> None:
    """Measure everything and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, help="file to write the page to")
    parser.add_argument("--only", help="measure this layer or optimizer alone")
    options = parser.parse_args()
    started = time.monotonic()
    layers: list[Finding] = []
    optimizers: list[Finding] = []

    def write() -> str:
        text = page(layers, optimizers, time.monotonic() - started)
        if options.output:  # as it goes, so that one may stop it
            options.output.write_text(text, encoding="utf-8")
        return text

    groups = [*LAYERS.items(), ("", OPTIMIZERS)]
    for precision, (kind, group) in product(PRECISIONS, groups):
        names = [name for name in group if options.only in (None, name)]
        where = ("build", kind, "layer") if kind else ("update", "vector", "update")
        if names:
            found = layers if kind else optimizers
            found += measured(*where, names, precision)
            print(f"{precision} {kind}: {time.monotonic() - started:.0f} s", file=sys.stderr)
            write()
    if not options.output:
        print(write())


def page(layers: list[Finding], optimizers: list[Finding], seconds: float) -> str:
    """Return the whole page as markdown."""

    def names(found: list[Finding]) -> list[str]:
        return sorted({one.name for one in found})

    def stacked(found: list[Finding]) -> str:
        trained = [one for one in found if one.way != "-"]
        return f"{sum(one.way == 'stack' for one in trained)} of {len(trained)}"

    return f"""# Layers and optimizers

Written by `tests/benchmarks/layer_table.py`; run it again rather than edit this page.

Each layer stands in a tiny model between two others and is trained for three steps in a stack and
by `model.fit`, from the same weights on the same batches: losses, gradient norms and weight norms
are compared step by step, as they are before the first stack of any model of yours.

- **stack**: trained in stacks, hundreds of trials at once; the engines agree.
- **fit**: trained by `model.fit`, one trial after another, in the workers. Results are the same,
  only slower.
- **?**: not measured: the script was stopped before.
- **-**: Keras itself does not train it in that precision; such trials are `crashed`.

Of what Keras trains, {stacked(layers)} pairs of a layer and a precision are trained in stacks,
and {stacked(optimizers)} of an optimizer and a precision. The numbers in brackets give the reason,
below each table.

## Layers

{_table("layer", names(layers), layers)}

## Optimizers

{_table("optimizer", names(optimizers), optimizers)}

## How it was run

    python tests/benchmarks/layer_table.py --output docs/layers.md

{shared.described()}
- {seconds / 60:.0f} min
"""


if __name__ == "__main__":
    main()
