"""What the probes cost: the training graph with all of them against the loss alone.

A network of 10-64-64-1, batch 32, 64 trials stacked, plain SGD at learning rates where nothing
fails, in one process on one core with one thread. The second graph is the first with the
probes of activations, gradients, optimizer slots and weights taken out. What belongs to
training stays in both: the selection that freezes a trial, and under mixed_float16 the check
of the gradients that decides whether the step is skipped.

A step's cost is the slope between two numbers of steps, so that evaluation and results do not
count. The two graphs take turns.

    python tests/benchmarks/probe_cost.py
"""

from __future__ import annotations

import argparse
import os
import time
from statistics import median
from typing import Any
from unittest.mock import patch

from shared import described, diabetes, positive, spread, table

from stabilitysweep.config import parse_config
from stabilitysweep.data import PreparedData
from stabilitysweep.engines.base import Engine, Stack
from stabilitysweep.executors.worker import start_engine
from stabilitysweep.grid import Grid
from stabilitysweep.models.programs import group
from stabilitysweep.types import Compiled, Outcome

TRIALS, FEW_STEPS, MANY_STEPS = 64, 100, 500


def stack_of(data: PreparedData, precision: str, steps: int, compiled: Compiled) -> Stack:
    """Return the stack to train."""
    config = parse_config(
        {
            "name": "probes",
            "dataset": {"name": "diabetes"},
            "model": {"width": 64, "depth": 2},
            "training": {"steps": steps, "batch_size": 32, "precision": precision},
            "grid": {"learning_rate": {"from": 1e-4, "to": 1e-2, "num": TRIALS, "scale": "log"}},
        }
    )
    trials = tuple(Grid(config, lambda _: data.train_rows))
    ((program, _),) = group(trials, data.shape, compiled).items()
    return Stack(program, trials, TRIALS)


def loss_only_step() -> type:
    """Return a `TrainingStep` that looks at the loss and at nothing else."""
    import tensorflow as tf

    from stabilitysweep.engines import step, step_probes
    from stabilitysweep.numerics import probes

    def zeros_of(pack: Any, *more: int) -> Any:
        return tf.zeros([tf.shape(pack)[0], *more])

    class LossProbe(step_probes.StepProbes):  # type: ignore[misc]
        def __init__(self, program: Any, *arguments: Any) -> None:
            super().__init__(program, *arguments)
            self._scaled = program.precision == "mixed_float16"

        def row_squares(self, packed: Any) -> Any:
            # Loss scaling needs those of gradients, whatever is probed.
            nothing = [zeros_of(pack, pack.shape[1]) for pack in packed]
            return super().row_squares(packed) if self._scaled else nothing

        def peaks(self, activations: Any, *tensors: Any) -> Any:
            return zeros_of(activations[0]), zeros_of(activations[0])

        def zero_share(self, gradients: Any, sampled: Any) -> Any:
            return zeros_of(gradients[0])

        def locate(
            self, activations: Any, loss: Any, *tensors: Any, wanted: Any, doubtful: Any
        ) -> Any:
            failed = wanted & ~tf.math.is_finite(loss)
            place = tf.where(failed, len(activations), -1)
            kind = tf.where(failed, probes.kind_code(tf.cast(loss, tf.float32)), 0)
            return place, kind, tf.ones_like(wanted)

    class LossOnly(step.TrainingStep):  # type: ignore[misc]
        def __init__(self, program: Any, subject: Any) -> None:
            super().__init__(program, subject)
            self.probes = LossProbe(program, subject.model, self.packing, self.slot_names)

        def __call__(self, state: Any, *arguments: Any) -> Any:
            def of_loss(totals: Any) -> Any:
                return tf.math.is_finite(totals[2])  # after those of gradients and weights

            with patch.object(probes, "proven_finite", of_loss):
                return super().__call__(state, *arguments)

    return LossOnly


def seconds_of(engine: Engine, stack: Stack, data: PreparedData) -> float:
    """Train the stack; return the seconds it took."""
    started = time.perf_counter()
    results = engine.run(stack, data)
    seconds = time.perf_counter() - started
    bad = [r for r in results if r.outcome is Outcome.NONFINITE or r.steps_run != stack.steps]
    if bad:
        raise SystemExit(f"expected trials that train to the end, got {bad[0]}")
    return seconds


def measure(
    data: PreparedData, precision: str, repeat: int, compiled: Compiled
) -> tuple[list[float], list[float]]:
    """Return microseconds a step and trial, with all probes and with the loss alone."""
    from stabilitysweep.engines import program_graph, stacked

    few, many = (stack_of(data, precision, n, compiled) for n in (FEW_STEPS, MANY_STEPS))
    engines = [stacked.StackedEngine(), stacked.StackedEngine()]
    steps = (program_graph.TrainingStep, loss_only_step())
    for engine, step in zip(engines, steps, strict=True):
        with patch.object(program_graph, "TrainingStep", step):
            for stack in (few, many):  # the first call traces
                seconds_of(engine, stack, data)
    slopes: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeat):
        for engine, found in zip(engines, slopes, strict=True):
            seconds = seconds_of(engine, many, data) - seconds_of(engine, few, data)
            found.append(1e6 * seconds / (MANY_STEPS - FEW_STEPS) / TRIALS)
    return slopes


def main() -> None:
    """Measure on one core and print a table of medians."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeat", type=positive, default=9, help="runs of each graph (9)")
    parser.add_argument("--core", type=int, help="the processor to stay on (the last)")
    parser.add_argument("--compile", choices=list(Compiled), default=Compiled.GRAPH)
    parser.add_argument("--precisions", nargs="+", default=["float32", "mixed_float16"])
    options = parser.parse_args()
    usable = os.sched_getaffinity(0)
    core = max(usable) if options.core is None else options.core
    if core not in usable:
        parser.error(f"--core: expected one of {sorted(usable)}, got {core}")

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    machine = described()
    os.sched_setaffinity(0, {core})
    start_engine("stacked")  # one thread, as in a worker
    data = diabetes()
    rows = []
    for precision in options.precisions:
        whole, loss = measure(data, precision, options.repeat, Compiled(options.compile))
        rows.append(
            [
                precision,
                f"{median(whole):.1f}",
                spread(whole),
                f"{median(loss):.1f}",
                spread(loss),
                f"{median(whole) / median(loss) - 1:+.0%}",
            ]
        )
    print(f"{machine}\n- core {core}, one thread, {options.compile}, {TRIALS} stacked\n")
    header = ["us a step and trial", "all probes", "range", "loss alone", "range", "the probes add"]
    print(table(header, rows))


if __name__ == "__main__":
    main()
