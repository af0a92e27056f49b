"""Agreement of the stacked engine with `model.fit`, trial by trial.

Draws trials over the five precisions, depth, activation, optimizer, batch size, L2, seed and
learning rate from harmless to absurd, and trains each of them

- on the fit engine at its learning rate, and at that rate over and times 1.05: a trial is
  *clear* when the three have one outcome, that is when it does not sit on a boundary;
- on the stacked engine at its learning rate;
- on the fit engine again, if it is a stable float32 trial or if the engines disagree on it,
  with every initial weight moved to the next number up, then down, then with oneDNN off,
  whose kernels add in another order: so much do verdict and final loss depend on rounding.

Writes a page with every disagreement by name; exits with 1 unless the bars are met.

    python tests/benchmarks/agreement.py --trials 350 --output docs/agreement.md
    python tests/benchmarks/agreement.py --trials 350 --show TRIAL_ID
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Callable, Iterable
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
from agreement_report import write
from comparison import PRECISIONS, Comparison, bars_met, settings_of, trajectory
from shared import diabetes, positive

from stabilitysweep.config import parse_config
from stabilitysweep.data import PreparedData
from stabilitysweep.engines.base import Engine
from stabilitysweep.executors import LocalExecutor
from stabilitysweep.executors.worker import start_engine
from stabilitysweep.grid import Grid, Trial
from stabilitysweep.lineup import line_of
from stabilitysweep.planning import plan_work
from stabilitysweep.types import Compiled, Outcome, TrialResult

WIDTH, STEPS = 16, 50
NEIGHBOUR = 1.05
ALIKE = 5
"""Trials that share a graph, one in each of the ranges of learning rates below."""

DEPTHS = (0, 1, 2, 4, 8)
ACTIVATIONS = ("relu", "tanh", "gelu", "relu", "silu", "elu")
BATCHES, L2 = (16, 32, 128), (0.0, 1e-4, 1e-2)
OPTIMIZERS: tuple[dict[str, Any], ...] = (
    *[{"optimizer": "sgd"}] * 3,
    {"optimizer": "sgd", "momentum": 0.9},
    {"optimizer": "adam"},
    {"optimizer": "rmsprop"},
    {"optimizer": "sgd", "momentum": 0.9, "nesterov": True},
    {"optimizer": "adamw", "weight_decay": 0.01},
    {"optimizer": "sgd", "weight_decay": 0.01},
    {"optimizer": "rmsprop", "momentum": 0.5},
    {"optimizer": "sgd", "clipnorm": 1.0},
)
EXPONENTS = {  # of ten, where one range of learning rates ends and the next begins
    "sgd": (-4.0, -2.0, -0.7, 0.5, 2.0, 7.0),
    "adam": (-4.0, -2.0, 0.0, 3.0, 10.0, 30.0),
    "adamw": (-4.0, -2.0, 0.0, 3.0, 10.0, 30.0),
    "rmsprop": (-4.0, -2.0, 0.0, 3.0, 10.0, 30.0),
}

Triple = tuple[Trial, Trial, Trial]
Results = dict[str, TrialResult]


def draw(count: int, rows: int, seed: int = 0) -> list[Triple]:
    """Draw at least `count` trials, each with its neighbours below and above.

    Every precision has the same number of graphs; depth, activation, batch size and
    optimizer take turns in an order of their own in each precision.
    """
    random = np.random.default_rng(seed)
    graphs = math.ceil(count / ALIKE / len(PRECISIONS))
    triples = []
    for precision in PRECISIONS:
        # Of a shuffled cycle each value is met as often as any other, give or take one.
        # Where there are fewer graphs than values, the next precision goes on with the others.
        first = PRECISIONS.index(precision) * graphs if graphs < len(OPTIMIZERS) else 0
        turns = zip(
            *(
                _shuffled(random, [*v[first % len(v) :], *v[: first % len(v)]], graphs)
                for v in (DEPTHS, ACTIVATIONS, BATCHES, OPTIMIZERS)
            ),
            strict=True,
        )
        for depth, activation, batch_size, optimizer in turns:
            limits = EXPONENTS[optimizer["optimizer"]]
            strengths = _shuffled(random, L2, ALIKE)
            for place, l2 in enumerate(strengths):
                rate = float(10 ** random.uniform(limits[place], limits[place + 1]))
                model = {"width": WIDTH, "depth": depth, "activation": activation, "l2": l2}
                training = {**optimizer, "batch_size": batch_size, "precision": precision}
                triples.append(_triple(model, training, rate, int(random.integers(3)), rows))
    return triples


def _shuffled(random: np.random.Generator, values: Iterable[Any], count: int) -> list[Any]:
    turns = list(islice(cycle(values), count))
    return [turns[place] for place in random.permutation(count)]


def _triple(
    model: dict[str, Any], training: dict[str, Any], rate: float, seed: int, rows: int
) -> Triple:
    config = parse_config(
        {
            "name": "agreement",
            "dataset": {"name": "diabetes"},
            "model": model,
            "training": {**training, "steps": STEPS},
            "grid": {"learning_rate": [rate / NEIGHBOUR, rate, rate * NEIGHBOUR]},
            "seeds": seed + 1,
        }
    )
    below, at, above = (trial for trial in Grid(config, lambda _: rows) if trial.seed == seed)
    return below, at, above


def start_up(name: str) -> Engine:
    """Start an engine whose models begin with every weight at the next number up."""
    return _start_nudged(name, np.inf)


def start_down(name: str) -> Engine:
    """Start an engine whose models begin with every weight at the next number down."""
    return _start_nudged(name, -np.inf)


def start_without_onednn(name: str) -> Engine:
    """Start an engine on TensorFlow's own kernels; only before TensorFlow is imported."""
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
    return start_engine(name)


def _start_nudged(name: str, towards: float) -> Engine:
    engine = start_engine(name)
    from stabilitysweep.engines import fit

    build = fit.build_model

    def nudged(*arguments: Any) -> Any:
        model = build(*arguments)
        for variable in model.trainable_variables:
            weight = variable.numpy()
            variable.assign(np.nextafter(weight, weight.dtype.type(towards)))
        return model

    fit.build_model = nudged
    return engine


def train(
    trials: list[Trial],
    data: PreparedData,
    engine: str,
    options: argparse.Namespace,
    start: Callable[[str], Engine] = start_engine,
) -> Results:
    """Train trials in worker processes; the results by trial id."""
    compiled = Compiled(options.compile)
    work = plan_work(
        line_of(trials),
        lambda trial: "",
        {"": data.shape},
        compiled=compiled,
        engine=engine,
        workers=options.workers,
    )
    started = time.monotonic()
    found: Results = {}
    for done in LocalExecutor(options.workers, engine, start).train(work.jobs, {"": data}):
        found |= {result.trial_id: result for result in done.results}
        if len(found) % 50 < len(done.results):
            seconds = time.monotonic() - started
            print(f"{engine}: {len(found)} of {len(trials)}, {seconds:.0f} s", file=sys.stderr)
    return found


def compare(triples: list[Triple], data: PreparedData, options: argparse.Namespace) -> Any:
    """Train everything; return a `Comparison` a trial."""
    fit = train([trial for triple in triples for trial in triple], data, "fit", options)
    stacked = train([at for _, at, _ in triples], data, "stacked", options)
    found = [
        Comparison(at, fit[below.trial_id], fit[at.trial_id], fit[above.trial_id], ours)
        for below, at, above in triples
        for ours in [stacked[at.trial_id]]
    ]
    again = [
        one.trial
        for one in found
        if one.differences
        or (one.trial.training.precision == "float32" and one.fit.outcome is Outcome.STABLE)
    ]
    up = train(again, data, "fit", options, start_up)
    down = train(again, data, "fit", options, start_down)
    other = train(again, data, "fit", options, start_without_onednn)
    for one in found:
        one.up, one.down, one.other = (r.get(one.trial.trial_id) for r in (up, down, other))
    return found


def show(trial: Trial, data: PreparedData, options: argparse.Namespace) -> None:
    """Print one trial's trajectory in both engines, and with its weights nudged."""
    print(f"{trial.trial_id}: {settings_of(trial)}")
    runs = {
        "stacked": train([trial], data, "stacked", options),
        "fit": train([trial], data, "fit", options),
        "fit, next weights up": train([trial], data, "fit", options, start_up),
        "fit, next weights down": train([trial], data, "fit", options, start_down),
        "fit, oneDNN off": train([trial], data, "fit", options, start_without_onednn),
    }
    for name, results in runs.items():
        print(f"\n{name}\n{trajectory(results[trial.trial_id])}")


def main() -> int:
    """Compare, write the page, and say whether the bars are met."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=positive, default=350, help="at least (350)")
    parser.add_argument("--workers", type=positive, default=2, help="processes (2)")
    parser.add_argument("--compile", choices=list(Compiled), default=Compiled.GRAPH)
    parser.add_argument("--output", type=Path, help="the page to write; printed if not given")
    parser.add_argument("--show", metavar="ID", help="print the trajectory of this trial only")
    options = parser.parse_args()
    data = diabetes()
    triples = draw(options.trials, data.train_rows)
    if options.show:
        chosen = [at for _, at, _ in triples if at.trial_id.startswith(options.show)]
        if len(chosen) != 1:
            parser.error(f"--show: expected the id of one trial, {len(chosen)} begin so")
        show(chosen[0], data, options)
        return 0
    started = time.monotonic()
    found = compare(triples, data, options)
    write(found, options, time.monotonic() - started)
    return 0 if bars_met(found) else 1


if __name__ == "__main__":
    sys.exit(main())
