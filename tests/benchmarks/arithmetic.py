"""How much of the machine's arithmetic a sweep uses: operations a second against its own peak.

A network of 10-64-64-1, batch 32, float32, plain SGD at learning rates where nothing fails, 64
trials stacked, all probes on. Two processes, a core and a thread each, as workers are, do each of
these at the same time, in turns:

- a product of two 2,048 x 2,048 matrices, the machine's peak;
- the products of a training step alone, batched over the stack as they are there: two of the
  forward pass and one of the output, and twice that of the backward pass;
- training steps with the loss as the only probe;
- training steps as the tool runs them.

A step is counted as 6 x weights x batch operations. Its time is the slope between two numbers
of steps, so that evaluation and results do not count.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

from probe_cost import loss_only_step, stack_of
from shared import described, diabetes, on_each_core, spread, table, write_page

from stabilitysweep.executors.processor import available_cores
from stabilitysweep.executors.worker import keep_freed_memory, start_engine
from stabilitysweep.types import Compiled

LAYERS = ((10, 64), (64, 64), (64, 1))
TRIALS, BATCH = 64, 32
OPERATIONS = 6 * sum(rows * columns for rows, columns in LAYERS) * BATCH
"""Of a step of one trial."""
SIZE, ROUNDS = 2_048, 7
FEW_STEPS, MANY_STEPS = 100, 500
BAR = 45.0

Measured = dict[str, list[float]]
"""Operations a second by what was measured, one for each round."""


def large_product() -> Callable[[], float]:
    """The machine's peak."""
    import tensorflow as tf

    one, other = (tf.random.normal([SIZE, SIZE]) for _ in range(2))

    def seconds_an_operation() -> float:
        started = time.perf_counter()
        for _ in range(4):
            tf.matmul(one, other).numpy()
        return (time.perf_counter() - started) / (4 * 2 * SIZE**3)

    return seconds_an_operation


def products() -> Callable[[], float]:
    """The products of a step, and nothing else."""
    import tensorflow as tf

    kernels = [tf.random.normal([TRIALS, *shape]) for shape in LAYERS]
    inputs = [tf.random.normal([TRIALS, BATCH, rows]) for rows, _ in LAYERS]
    upstream = [tf.random.normal([TRIALS, BATCH, columns]) for _, columns in LAYERS]

    @tf.function
    def steps(count: Any) -> Any:
        def once(at: Any, total: Any) -> Any:
            for x, kernel, back in zip(inputs, kernels, upstream, strict=True):
                # Inputs that depend on the step: nothing is computed beforehand.
                back = back + total
                forward = tf.matmul(x, kernel)
                by_kernel = tf.matmul(x, back, transpose_a=True)
                by_input = tf.matmul(back, kernel, transpose_b=True)
                total = 1e-30 * (forward[0, 0, 0] + by_kernel[0, 0, 0] + by_input[0, 0, 0])
            return at + 1, total

        return tf.while_loop(
            lambda at, _: at < count,
            once,
            (tf.constant(0), tf.constant(0.0)),
            parallel_iterations=1,
        )[1]

    def seconds(count: int) -> float:
        started = time.perf_counter()
        steps(tf.constant(count)).numpy()
        return time.perf_counter() - started

    return lambda: _slope(seconds)


def training(*, probes: bool) -> Callable[[], float]:
    """Steps of the stacked engine."""
    from stabilitysweep.engines import program_graph
    from stabilitysweep.engines.stacked import StackedEngine

    engine, data = StackedEngine(), diabetes()
    step = program_graph.TrainingStep if probes else loss_only_step()

    def seconds(count: int) -> float:
        stack = stack_of(data, "float32", count, Compiled.GRAPH)
        with patch.object(program_graph, "TrainingStep", step):
            started = time.perf_counter()
            engine.run(stack, data)
            return time.perf_counter() - started

    return lambda: _slope(seconds)


def _slope(seconds: Callable[[int], float]) -> float:
    """Seconds an operation."""
    more = (MANY_STEPS - FEW_STEPS) * TRIALS * OPERATIONS
    return (seconds(MANY_STEPS) - seconds(FEW_STEPS)) / more


WAYS: dict[str, Callable[[], Callable[[], float]]] = {
    f"a product of {SIZE:,} x {SIZE:,}": large_product,
    "the products of a step alone": products,
    "training, the loss as the only probe": lambda: training(probes=False),
    "training, all probes": lambda: training(probes=True),
}


def work(core: int, together: Barrier, answers: Any) -> None:
    """Measure on one core, in step with the others."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})
    keep_freed_memory()
    start_engine("stacked")
    measure = {name: make() for name, make in WAYS.items()}
    for one in measure.values():
        one()  # traced, and warm
    found: Measured = {name: [] for name in measure}
    for _ in range(ROUNDS):
        for name, one in measure.items():
            together.wait()
            found[name].append(1 / one())
    answers.put(found)


def measured(cores: list[int]) -> Measured:
    """Operations a second of all cores together."""
    found: list[Measured] = on_each_core(work, cores)
    return {
        name: [sum(turn) for turn in zip(*(own[name] for own in found), strict=True)]
        for name in WAYS
    }


def page(folder: Path) -> tuple[str, bool]:
    """Measure all; say whether the bar is met."""
    cores = available_cores()[:2]
    both, alone = measured(cores), measured(cores[:1])
    peak, *_, whole = both
    shares = {
        name: [100 * own / top for own, top in zip(both[name], both[peak], strict=True)]
        for name in both
    }
    met = median(shares[whole]) >= BAR
    rows = [
        [
            name,
            f"{median(alone[name]) / 1e9:.0f}",
            f"{median(both[name]) / 1e9:.0f}",
            f"{median(shares[name]):.0f} %",
            spread(shares[name]),
        ]
        for name in both
    ]
    heads = ["what", "GFLOP/s, one core", f"{len(cores)} cores", "of the peak", "range, %"]
    text = f"""# How much of the machine's arithmetic is used

{described()}

{(__doc__ or "").partition(chr(10))[2].strip()}

{table(heads, rows)}

Medians of {ROUNDS} rounds. Bar, {BAR:.0f} % with all probes: {"met" if met else "missed"}.
Measured by `tests/benchmarks/arithmetic.py`.
"""
    return text, met


if __name__ == "__main__":
    sys.exit(write_page(page, __doc__ or ""))
