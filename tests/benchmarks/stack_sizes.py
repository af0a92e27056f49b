"""What a step costs a trial by the size of its stack: whether the size that is planned is the best.

Networks on 10 columns, float32, in the plain graph, where a trial's bits do not depend on the
size of its stack, at learning rates where nothing fails. Two processes, a core and a thread each,
as workers are, train the same at the same time: they share the last level of cache.

A step's cost is the slope between two numbers of steps. The sizes take turns.
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

from shared import described, diabetes, on_each_core, spread, table, write_page

from stabilitysweep.config import parse_config
from stabilitysweep.data import PreparedData
from stabilitysweep.engines.base import Stack
from stabilitysweep.executors.processor import available_cores
from stabilitysweep.executors.worker import keep_freed_memory, start_engine
from stabilitysweep.grid import Grid
from stabilitysweep.models.programs import group
from stabilitysweep.planning import places, working_set
from stabilitysweep.types import Compiled

NETWORKS = (
    (16, 2, "sgd", 0.0),
    (64, 2, "sgd", 0.0),
    (64, 2, "sgd", 1e-4),
    (64, 4, "sgd", 1e-4),
    (64, 2, "adam", 0.0),
    (128, 3, "sgd", 0.0),
    (256, 2, "sgd", 0.0),
)
"""Width, depth, optimizer and strength of L2."""
BATCH = 32
SIZES = (16, 32, 64, 128)
ROUNDS = 7
FEW_STEPS, TRIED_STEPS, MOST_STEPS = 2, 12, 2_000
SECONDS = 0.3
"""About how long the steps take whose time is measured."""

Measured = dict[tuple[int, int], list[float]]
"""Seconds a step and trial by network and size, one for each round."""


def stack_of(
    data: PreparedData, width: int, depth: int, optimizer: str, l2: float, size: int
) -> Stack:
    """Return the stack to train."""
    config = parse_config(
        {
            "name": "sizes",
            "dataset": {"name": "diabetes"},
            "model": {"width": width, "depth": depth, "l2": l2},
            "training": {"steps": MOST_STEPS, "batch_size": BATCH, "optimizer": optimizer},
            "grid": {"learning_rate": {"from": 1e-5, "to": 1e-4, "num": size, "scale": "log"}},
        }
    )
    trials = tuple(Grid(config, lambda _: data.train_rows))
    ((program, _),) = group(trials, data.shape, Compiled.GRAPH).items()
    return Stack(program, trials, size)


def training(engine: Any, data: PreparedData, stack: Stack) -> Callable[[], float]:
    """Steps of the stacked engine; gives seconds a step and trial."""
    graph, inputs = engine.prepared(stack, data)

    def seconds(steps: int) -> float:
        state = graph.initial_state(inputs)
        started = time.perf_counter()
        graph.advance(inputs, state, 0, steps)
        return time.perf_counter() - started

    def a_step(more: int) -> float:
        return max(seconds(FEW_STEPS + more) - seconds(FEW_STEPS), 1e-9) / more

    seconds(FEW_STEPS)  # traced
    many = min(max(int(SECONDS / a_step(TRIED_STEPS)), TRIED_STEPS), MOST_STEPS - FEW_STEPS)
    return lambda: a_step(many) / len(stack.trials)


def work(core: int, together: Barrier, answers: Any) -> None:
    """Measure on one core, in step with the others."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})
    keep_freed_memory()
    engine, data = start_engine("stacked"), diabetes()
    found: Measured = {}
    for number, network in enumerate(NETWORKS):
        ways = {size: training(engine, data, stack_of(data, *network, size)) for size in SIZES}
        for _ in range(ROUNDS):
            for size, seconds in ways.items():
                together.wait()
                found.setdefault((number, size), []).append(seconds())
    answers.put(found)


def measured(cores: list[int]) -> Measured:
    """What all processes say."""
    found: list[Measured] = on_each_core(work, cores)
    return {key: [one for own in found for one in own[key]] for key in found[0]}


def page(folder: Path) -> tuple[str, bool]:
    """Measure all."""
    cores = available_cores()[:2]
    found, data = measured(cores), diabetes()
    rows = []
    for number, (width, depth, optimizer, l2) in enumerate(NETWORKS):
        program = stack_of(data, width, depth, optimizer, l2, SIZES[0]).program
        planned, bytes_each = places(program, BATCH), working_set(program, BATCH)
        for size in SIZES:
            times = [1e6 * seconds for seconds in found[number, size]]
            rows.append(
                [
                    f"{width} wide, {depth} deep, {optimizer}{', L2' if l2 else ''}",
                    f"**{size}**" if size == planned else size,
                    f"{size * bytes_each / 2**20:.1f}",
                    f"{median(times):.1f}",
                    spread(times),
                ]
            )
    heads = ["network", "trials a stack", "MiB", "us a step and trial", "range"]
    text = f"""# What a step costs by the size of the stack

{described()}

{(__doc__ or "").partition(chr(10))[2].strip()}

{table(heads, rows)}

Medians of {ROUNDS} rounds, {len(cores)} processes at once; bold is the size that is planned. Where
the ranges of two sizes overlap, another run may have them the other way round; of those the larger
one has fewer stacks, each of which takes some milliseconds beyond its steps. MiB
are the weights, gradients and activations of a stack, by the formula of `planning.working_set`.
Measured by `tests/benchmarks/stack_sizes.py`.
"""
    return text, True


if __name__ == "__main__":
    sys.exit(write_page(page, __doc__ or ""))
