"""Users' models: seconds a trial-step in stacks, against `model.fit` in a loop.

For a dense network (sweeps/getting_started.py, KerasTuner's own first hypermodel), a recurrent
one (sweeps/lstm.py), attention (sweeps/transformer.py) and a convolutional one (sweeps/cnn.py),
with their own data and optimizers, batches of 32, float32:

- ours: the whole sweep as a user runs it, with 2,000 trials over 40 learning rates and 50
  seeds; its training phase is the slope between two numbers of steps, so that imports,
  building the models, tracing and figures do not count;
- `model.fit` in a loop, in a process of its own with TensorFlow's default threads, on arrays
  for whole epochs of at least 200 steps in all: the time of a call of `fit` with all that it
  brings (tracing), and the slope between two numbers of epochs, which is the bare step.

All learning rates are ones at which nothing fails: a trial that stops early would flatter ours.

    python tests/benchmarks/user_speed.py                       # about 15 minutes
    python tests/benchmarks/user_speed.py --memory 5000         # the memory of 5,000 CNNs
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

import yaml
from shared import REPOSITORY, described, positive, run_child, spread, table, time_sweep

BATCH = 32
SEEDS = 50
FIT_STEPS = 200
"""Least steps of a call of `fit`: whole epochs, as its users train."""

TIMES_LONGER = 3
FITS = 3


@dataclass(frozen=True, slots=True)
class Model:
    """One of the examples.

    Attributes:
        config: whose data and preprocessing are used.
        build: the function in its module.
        rate: its `hp` of the learning rate.
        rates: two of it between which nothing fails.
        values: its other `hp`.
        bar: how many times faster than a call of `fit` it is to be.
        more_steps: between the two sweeps whose difference is the training phase: enough for
            it to last half a minute or more.
    """

    config: str
    build: str
    rate: str
    rates: tuple[float, float]
    values: dict[str, Any]
    bar: int
    more_steps: int


MODELS = {
    "dense": Model(
        "getting_started",
        "build_model",
        "lr",
        (1e-4, 1e-2),
        {"num_layers": 2, "units_0": 64},
        150,
        800,
    ),
    "lstm": Model("lstm", "build", "learning_rate", (1e-3, 1e-1), {"cell": "lstm"}, 20, 300),
    "attention": Model(
        "transformer", "build", "learning_rate", (1e-4, 1e-2), {"norm": "pre"}, 20, 100
    ),
    "convolution": Model("cnn", "build", "learning_rate", (1e-4, 1e-2), {"filters": 16}, 8, 100),
}


def content_of(model: Model, trials: int, steps: int) -> dict[str, Any]:
    """Return a sweep of about `trials` trials of one architecture."""
    path = REPOSITORY / "configs" / f"{model.config}.yaml"
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    low, high = model.rates
    return {
        "name": f"speed_{model.config}",
        "dataset": content["dataset"],
        "preprocessing": content.get("preprocessing", {}),
        "model": {"build": content["model"]["build"], **model.values},
        "training": {"steps": steps, "batch_size": BATCH},
        "grid": {
            model.rate: {"from": low, "to": high, "num": trials // SEEDS, "scale": "log"},
        },
        "seeds": SEEDS,
    }


def run_ours(model: Model, trials: int, steps: int) -> float:
    """Run a sweep from the command line; return its wall seconds."""
    with tempfile.TemporaryDirectory(dir=REPOSITORY / "configs", prefix=".speed-") as folder:
        config, out = Path(folder, "speed.yaml"), Path(folder, "result")
        config.write_text(yaml.safe_dump(content_of(model, trials, steps)), encoding="utf-8")
        return time_sweep(config, out)


def child_fit(name: str) -> dict[str, list[float]]:
    """Train models one after another; return microseconds a step, with tracing and without."""
    import keras
    import keras_tuner

    model = MODELS[name]
    module = import_module(f"sweeps.{model.config}")
    content = content_of(model, SEEDS, 1)
    function = content["dataset"]["function"].partition(":")[2]
    x, y = getattr(module, function)()
    rows = len(x) * 4 // 5 // BATCH * BATCH
    x, y = x[:rows], y[:rows]
    steps = rows // BATCH
    few = -(-FIT_STEPS // steps)
    many = few * TIMES_LONGER
    whole, bare = [], []
    for _ in range(FITS):
        seconds = []
        for epochs in (few, many):
            keras.backend.clear_session()
            hp = keras_tuner.HyperParameters()
            hp.values.update(model.values | {model.rate: model.rates[0]})
            network = getattr(module, model.build)(hp)
            targets = keras.utils.to_categorical(y) if name == "dense" else y
            started = time.perf_counter()
            network.fit(x, targets, batch_size=BATCH, epochs=epochs, verbose=0)
            seconds.append(time.perf_counter() - started)
        whole.append(seconds[0] / (few * steps) * 1e6)
        bare.append((seconds[1] - seconds[0]) / ((many - few) * steps) * 1e6)
    return {"whole": whole, "bare": bare}


def measure(name: str, trials: int, steps: int, repeat: int) -> list[Any]:
    """Return a row of the table for one model."""
    model = MODELS[name]
    budgets = steps, steps + model.more_steps
    slopes, totals, whole, bare = [], [], [], []
    for _ in range(repeat):
        few, many = (run_ours(model, trials, own) for own in budgets)
        count = trials // SEEDS * SEEDS
        slopes.append((many - few) / (count * model.more_steps) * 1e6)
        totals.append(few)
        found = run_child(__file__, "--child", name)
        whole += found["whole"]
        bare += found["bare"]
    ours = median(slopes)
    ratio = median(whole) / ours
    return [
        name,
        f"{ours:.1f} ({spread(slopes)})",
        f"{median(whole):,.0f}",
        f"{median(bare):,.0f}",
        f"{ratio:.0f}",
        f"{median(bare) / ours:.0f}",
        f"{model.bar}: {'met' if ratio >= model.bar else 'missed'}",
        f"{median(totals):.0f} s",
    ]


def memory(trials: int, steps: int) -> str:
    """Run many CNNs and say how the memory of all processes grew after the first 500."""
    from multiprocessing import active_children

    import psutil

    from stabilitysweep import api

    seen: list[tuple[int, float]] = []

    def observe(progress: Any) -> None:
        pids = [None, *(child.pid for child in active_children())]
        resident = sum(psutil.Process(pid).memory_info().rss for pid in pids)
        seen.append((progress.done, resident / 2**20))

    content = content_of(MODELS["convolution"], trials, steps)
    with tempfile.TemporaryDirectory() as folder:
        plan = api.plan(content, Path(folder, "result"))
        api.execute(plan, observe)
    # A worker is still warming up when it has trained but a stack or two.
    first = max(size for done, size in seen if done <= 500 + 128)
    last = max(size for done, size in seen if done > 500)
    return (
        f"- {trials:,} CNNs of {steps} steps: {first:,.0f} MiB over all processes up to the first "
        f"500, at most {last:,.0f} MiB after them: {last / first:.2f} times (bar 1.2)"
    )


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--trials", type=positive, default=2_000, help="of ours (2,000)")
    parser.add_argument("--steps", type=positive, default=100, help="of the shorter sweep (100)")
    parser.add_argument("--repeat", type=positive, default=1, help="repetitions (1)")
    parser.add_argument("--memory", type=positive, help="measure the memory of so many CNNs")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(child_fit(options.child)))
        return
    if options.memory:
        print(described())
        print(memory(options.memory, 20))
        return
    print(described())
    print(
        f"- ours: slope between {options.steps} and more steps of {options.trials:,} trials in "
        f"one call; {options.repeat} repetitions\n"
    )
    header = [
        "model",
        "ours, us a trial-step",
        "a call of `fit`, us a step",
        "its bare step, us",
        "times faster",
        "than the bare step",
        "bar",
        f"whole process, {options.steps} steps",
    ]
    print(table(header, []))
    for name in options.models:  # as they come: the next may take minutes
        row = measure(name, options.trials, options.steps, options.repeat)
        print(f"| {' | '.join(map(str, row))} |", flush=True)


if __name__ == "__main__":
    main()
