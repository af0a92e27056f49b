"""What a trial costs in a sweep of a thousand trials, and of a million.

A tiny network (one hidden layer of two units, 3 inputs, batches of 16, 20 steps) is swept over
learning rate and L2 with sixteen seeds, by one worker process, as `run` does it: planned, trained,
stored, opened, summed up, drawn, and made a page. Each size has a process of its own, and a folder
that is removed. The optimizer is Adam: for SGD the largest curvature of each seed and strength is
sought when it is first met, most of them in the first stack of a small sweep.

- Cost per trial: from the first stack that comes back, when the worker has started and compiled,
  to the last; over the trials in between. Sizes below 100,000 are run several times, and have
  their median.
- Memory: the peak of the driver's resident memory (`VmHWM`) from its start to the page.
- Opening and drawing: another process opens the result, reads its table, sums it up and draws
  every kind of figure that it has.

The bars: cost per trial within 15 % over all sizes; at the largest below 1.5 GB, and opened and
drawn within 20 s. The exit code is 1 if one is missed. `--trials` takes other sizes; a million
trials take a good while, and 2 GB of disk where `--folder` says.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from shared import described, positive, run_child, spread, table

SIZES = (1_024, 10_240, 102_400, 1_024_000)
"""Whole stacks: a stack that is not full costs as much as one that is."""
SEEDS = 16
RATES = 64

MOST_SPREAD, MOST_BYTES, MOST_SECONDS = 1.15, 1.5e9, 20.0
MANY = 100_000
REPEATS = 3


def config_of(trials: int) -> dict[str, Any]:
    """Return the sweep of about so many trials."""
    strengths = max(round(trials / SEEDS / RATES), 1)
    several = {"from": 1e-6, "to": 1, "num": strengths, "scale": "log"}
    return {
        "name": "million",
        "dataset": {"name": "make_regression", "options": {"n_samples": 40, "n_features": 3}},
        "model": {"depth": 1, "width": 2},
        "training": {"optimizer": "adam", "steps": 20, "batch_size": 16},
        "grid": {
            "l2": several if strengths > 1 else [1e-6],
            "learning_rate": {"from": 1e-3, "to": 100, "num": RATES, "scale": "log"},
        },
        "seeds": SEEDS,
    }


def peak_bytes() -> int:
    """Return the peak of this process' resident memory."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("expected VmHWM in /proc/self/status")


def run(trials: int, folder: Path, workers: int) -> dict[str, Any]:
    """Run the sweep as `stabilitysweep run` does; say what each part of it took."""
    from stabilitysweep import execution, open_result, write_report
    from stabilitysweep.api import read_config
    from stabilitysweep.execution import Options
    from stabilitysweep.runner import Progress
    from stabilitysweep.store import SQLiteStore

    writing = 0.0
    add = SQLiteStore.add

    def timed(store: SQLiteStore, *given: Any, **named: Any) -> int:
        nonlocal writing
        began = time.perf_counter()
        try:
            return add(store, *given, **named)
        finally:
            writing += time.perf_counter() - began

    SQLiteStore.add = timed  # type: ignore[method-assign]
    seen: list[tuple[float, int]] = []

    def observe(progress: Progress) -> None:
        if len(seen) < 2:
            seen.append((time.perf_counter(), progress.done))
        else:  # the first and the last
            seen[1] = time.perf_counter(), progress.done

    marks = [time.perf_counter()]
    plan = execution.plan(read_config(config_of(trials)), folder, Options(workers=workers))
    marks.append(time.perf_counter())
    planned = peak_bytes()
    execution.carry_out(plan, observe)
    marks.append(time.perf_counter())
    trained = peak_bytes()
    result = open_result(folder)
    result.save()
    marks.append(time.perf_counter())
    page = write_report(result)
    marks.append(time.perf_counter())
    (began, first), (ended, last) = seen
    plan_seconds, train_seconds, save_seconds, page_seconds = (
        after - before for before, after in itertools.pairwise(marks)
    )
    return {
        "trials": plan.work.trials,
        "stacks": plan.work.stacks,
        "cost": (ended - began) / (last - first),
        "plan": plan_seconds,
        "start": train_seconds - (ended - began),
        "train": train_seconds,
        "writing": writing,
        "save": save_seconds,
        "page": page_seconds,
        "peaks": [planned, trained, peak_bytes()],
        "sizes": {
            path.name: path.stat().st_size
            for path in (
                folder / "sweep.db",
                folder / "trials.parquet",
                folder / "trials.csv",
                page,
            )
        },
    }


def look(folder: Path) -> dict[str, Any]:
    """Open a result and draw every kind of figure that it has; say what that took."""
    from stabilitysweep import ResultError, open_result
    from stabilitysweep.result.pictures import KINDS, LACKING

    took: dict[str, float] = {}
    began = time.perf_counter()
    result = open_result(folder)
    rows = len(result.trials)
    took["the table"] = time.perf_counter() - began
    began = time.perf_counter()
    _ = result.summary
    took["the summary"] = time.perf_counter() - began
    for kind in KINDS:
        began = time.perf_counter()
        try:
            result.plot(kind, folder=folder / "drawn")
        except ResultError:
            if kind not in LACKING:
                raise
            continue
        took[kind] = time.perf_counter() - began
    return {"rows": rows, "took": took, "seconds": sum(took.values()), "peak": peak_bytes()}


def measure(trials: int, parent: Path, workers: int) -> dict[str, Any]:
    """Run a size and look at its result, each in a process of its own."""
    with tempfile.TemporaryDirectory(dir=parent) as inner:
        folder = Path(inner) / "million"
        found = run_child(__file__, "run", str(trials), str(folder), str(workers))
        return found | {"look": run_child(__file__, "look", str(folder))}


def page(sizes: list[int], parent: Path, workers: int) -> tuple[str, bool]:
    """Measure every size and write it up; say whether the bars are met."""
    found: dict[int, list[dict[str, Any]]] = {}
    for trials in sizes:
        for _ in range(REPEATS if trials < MANY else 1):
            found.setdefault(trials, []).append(measure(trials, parent, workers))
            print(json.dumps(found[trials][-1]), file=sys.stderr)
    costs = {
        trials: statistics.median(own["cost"] for own in each) for trials, each in found.items()
    }
    rows, more = [], []
    for trials, each in found.items():
        last = each[-1]
        per_trial = [own["cost"] * 1e6 for own in each]
        rows.append(
            [
                f"{last['trials']:,}",
                f"{last['stacks']:,}",
                f"{costs[trials] * 1e6:.0f}",
                spread(per_trial) if len(per_trial) > 1 else "",
                f"{last['start'] + last['plan']:.1f}",
                f"{last['writing']:.1f}",
                f"{last['writing'] / last['trials'] * 1e6:.0f}",
                f"{last['save']:.1f}",
                f"{last['page']:.1f}",
                f"{last['look']['seconds']:.1f}",
            ]
        )
        peaks = [f"{peak / 1e6:,.0f}" for peak in (*last["peaks"], last["look"]["peak"])]
        files = [f"{size / 1e6:,.1f}" for size in last["sizes"].values()]
        more.append([f"{last['trials']:,}", *peaks, *files])
    largest = found[max(found)][-1]
    flat = max(costs.values()) / min(costs.values())
    peak = max(*largest["peaks"], largest["look"]["peak"])
    seconds = largest["look"]["seconds"]
    bars = [
        ["cost per trial, largest over smallest", f"{flat:.2f}", f"{MOST_SPREAD:g}"],
        ["the driver's memory at the largest", f"{peak / 1e9:.2f} GB", f"{MOST_BYTES / 1e9:g} GB"],
        ["opening and drawing the largest", f"{seconds:.1f} s", f"{MOST_SECONDS:g} s"],
    ]
    met = flat <= MOST_SPREAD and peak < MOST_BYTES and seconds < MOST_SECONDS
    timed = [
        "trials", "stacks", "us a trial", "range", "start", "writing", "us a trial", "files",
        "page", "opening",
    ]  # fmt: skip
    kept = ["trials", "planned", "trained", "page", "opened", *largest["sizes"]]
    parts = ", ".join(f"{name} {took:.1f}" for name, took in largest["look"]["took"].items())
    text = (
        "# A million trials\n\n"
        "Written by `python tests/benchmarks/million.py --output docs/million.md`.\n\n"
        "A network of one hidden layer of two units, 3 inputs, 20 steps of Adam on batches of 16, "
        f"over {RATES} learning rates, {SEEDS} seeds and as many strengths of L2 as it takes, with "
        f"{workers} worker process{'es' * (workers > 1)}. The cost of a trial is taken from the "
        "first stack that came back to the last, so that start-up and compilation are apart.\n\n"
        f"{described()}\n\n"
        f"{table(['', 'measured', 'bar'], bars)}\n\n"
        f"{'All bars are met' if met else 'A bar is missed'}.\n\n"
        "## What it takes\n\n"
        "Seconds, but for the cost of a trial: planning, the start of the worker and compilation; "
        "writing to the record, which is part of the cost of a trial; files and figures of the "
        "result; the page; opening the result and drawing every figure, in another process.\n\n"
        f"{table(timed, rows, text=0)}\n\n"
        f"Of opening the largest: {parts} s.\n\n"
        "## Memory and files\n\n"
        "The driver's peak of resident memory after planning, after training and after the page, "
        "and that of the process that opens the result; then the files. All in MB.\n\n"
        f"{table(kept, more, text=0)}\n"
    )
    return text, met


def main() -> int:
    """Measure, and print or write the page."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--output", type=Path, help="file to write the page to")
    parser.add_argument("--trials", type=positive, nargs="+", default=list(SIZES), help="sizes")
    parser.add_argument("--workers", type=positive, default=1, help="worker processes")
    parser.add_argument("--folder", type=Path, help="where there is room for results")
    options = parser.parse_args()
    text, met = page(sorted(options.trials), options.folder, options.workers)
    if options.output:
        options.output.write_text(text, encoding="utf-8")
    else:
        print(text)
    return 0 if met else 1


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    match sys.argv[1:]:
        case ["run", size, place, workers]:
            print(json.dumps(run(int(size), Path(place), int(workers))))
        case ["look", place]:
            print(json.dumps(look(Path(place))))
        case _:
            sys.exit(main())
