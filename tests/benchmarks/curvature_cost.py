"""What the critical learning rates add to a sweep: seconds a worker spends on curvatures.

The stacks of a config as a run would plan them, handed to two workers in turn, the most
expensive program first. Nothing is trained: each worker builds the initial weights as an engine
does and asks for the critical learning rates of every stack, in one process on one core with
one thread. The slower worker's seconds are what the wall time of a run grows by.

    python tests/benchmarks/curvature_cost.py
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

from shared import REPOSITORY, described, positive, run_child, table

COMMAND = Path(__file__)


def measure(config: Path, workers: int, worker: int) -> dict[str, Any]:
    """Do one worker's share; return its seconds and what they were spent on."""
    from stabilitysweep.api import plan
    from stabilitysweep.config import load_config
    from stabilitysweep.engines.curvature import Curvatures
    from stabilitysweep.execution import Options
    from stabilitysweep.executors.worker import start_engine
    from stabilitysweep.models.builder import ModelSpec, build_model, precision_scope

    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[-1 - worker]})
    planned = plan(load_config(config), None, Options("stacked", workers))
    jobs = sorted(planned.work.jobs, key=lambda job: -job.cost)[worker::workers]
    start_engine("stacked")
    curvatures = Curvatures()
    found: list[float | None] = []
    seconds, processor = 0.0, 0.0
    for job in jobs:
        program = job.stacks[0].program
        spec = ModelSpec(program.model, program.features, program.outputs, program.precision)
        weights = {}
        with precision_scope(program.precision):
            for seed in sorted({trial.seed for stack in job.stacks for trial in stack.trials}):
                model = build_model(spec, seed)
                weights[seed] = [variable.numpy() for variable in model.trainable_variables]
        began, spent = time.perf_counter(), time.process_time()
        for stack in job.stacks:
            initial = [weights[trial.seed] for trial in stack.trials]
            data = planned.sweep.data[job.data]
            found += curvatures.critical_learning_rates(stack, initial, data)
        seconds += time.perf_counter() - began
        processor += time.process_time() - spent
    return {
        "programs": len(jobs),
        "trials": len(found),
        "found": sum(rate is not None for rate in found),
        "traces": curvatures.traces,
        "seconds": seconds,
        "processor": processor,
    }


def main() -> None:
    """Measure every worker's share in a process of its own and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--config", type=Path, default=REPOSITORY / "configs" / "regression.yaml")
    parser.add_argument("--workers", type=positive, default=2, help="processes of the run (2)")
    parser.add_argument("--worker", type=int, help="measure only this one; prints JSON")
    options = parser.parse_args()
    if options.worker is not None:
        import json

        print(json.dumps(measure(options.config, options.workers, options.worker)))
        return
    rows = []
    for worker in range(options.workers):
        found = run_child(
            str(COMMAND),
            *("--config", str(options.config), "--workers", str(options.workers)),
            *("--worker", str(worker)),
        )
        rows.append([worker, *found.values()])
        rows[-1][-2:] = [f"{number:.1f}" for number in rows[-1][-2:]]
    print(f"{described()}\n- {options.config.name}, one worker at a time\n")
    header = ["worker", "programs", "trials", "limits found", "graphs traced", "s", "processor s"]
    print(table(header, rows))


if __name__ == "__main__":
    main()
