"""Whether a replay reproduces what is stored, and how long a diagnosis takes.

Runs sweeps as a user does (or takes result folders that are there), draws a random sample of
their failed trials, diagnoses them, and counts those whose replay has the stored onset: step,
stage, tensor and kind, the outcome and the first NaN. Then times the whole command
`diagnose RESULT TRIAL` for small networks, start-up included.

    python tests/benchmarks/replays.py
    python tests/benchmarks/replays.py --regression results/regression --repeat 3
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import yaml
from shared import REPOSITORY, described, environment, positive, sweep_command, table

from stabilitysweep.diagnosing import diagnose
from stabilitysweep.result import Result, open_result

_SMALL = """
name: {name}
dataset: {{name: diabetes}}
model: {{name: mlp, width: 16}}
training: {{optimizer: {optimizer}, loss: mse, steps: 40, batch_size: 32}}
grid:
  precision: [float32, mixed_float16, float16]
  depth: [1, 4]
  learning_rate: [0.1, 3, 100, 1.0e+10, 1.0e+30]
"""
"""Few trials, for what trains slowly: `model.fit`, and XLA."""


def failed(result: Result, count: int, seed: int) -> list[str]:
    """Return the ids of `count` failed trials, or of all if there are fewer."""
    trials = result.trials
    ids = sorted(trials.loc[trials["outcome"].isin(["nonfinite", "diverged"]), "trial_id"])
    return random.Random(seed).sample(ids, min(count, len(ids)))


def run_config(text_or_path: str | Path, folder: Path, *options: str) -> Path:
    """Run a sweep as a user would; return its folder."""
    config = text_or_path
    if isinstance(text_or_path, str):
        config = folder / f"{yaml.safe_load(text_or_path)['name']}.yaml"
        config.write_text(text_or_path, encoding="utf-8")
    out = folder / Path(config).stem
    done = subprocess.run(
        sweep_command(Path(config), out, "--quiet", *options),
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{config}: {done.stderr}")
    return out


def timed(folder: Path, trial: str, repeat: int) -> list[float]:
    """Return the wall seconds of `diagnose`, several times."""
    command = [sys.executable, "-m", "stabilitysweep", "diagnose", str(folder), trial]
    seconds = []
    for _ in range(repeat):
        started = time.perf_counter()
        subprocess.run(command, env=environment(), capture_output=True, check=True)
        seconds.append(time.perf_counter() - started)
    return seconds


def measure(name: str, folder: Path, count: int, seed: int) -> list[str]:
    """Diagnose a sample of a result's failures; return a row of the table."""
    result = open_result(folder)
    sample = failed(result, count, seed)
    found = diagnose(result, sample)
    reproduced = sum(diagnosis.replay.reproduced for diagnosis in found)
    for diagnosis in found:
        for line in diagnosis.replay.differences:
            print(f"{name} {diagnosis.stored.trial_id}: {line}")
    return [name, f"{len(result.trials):,}", str(len(sample)), str(reproduced)]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print markdown."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--regression", type=Path, help="a result of configs/regression.yaml")
    parser.add_argument("--sample", type=positive, default=50)
    parser.add_argument("--others", type=positive, default=10, help="trials of each other sweep")
    parser.add_argument("--repeat", type=positive, default=3)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    configs = REPOSITORY / "configs"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        regression = options.regression or run_config(configs / "regression.yaml", folder)
        quick = run_config(configs / "quickstart.yaml", folder)
        others = {
            "quickstart": quick,
            "classification": run_config(configs / "classification.yaml", folder),
            "small, --engine fit": run_config(
                _SMALL.format(name="fit", optimizer="sgd"), folder, "--engine", "fit"
            ),
            "small, --compile xla": run_config(
                _SMALL.format(name="xla", optimizer="adam"), folder, "--compile", "xla"
            ),
        }
        rows = [measure("regression", regression, options.sample, options.seed)]
        rows += [measure(key, at, options.others, options.seed) for key, at in others.items()]
        print(described())
        print(table(["sweep", "trials", "failed trials sampled", "reproduced"], rows))
        times = [
            (key, timed(at, failed(open_result(at), 1, options.seed)[0], options.repeat))
            for key, at in (("regression", regression), *others.items())
        ]
        print()
        print(
            table(
                ["`diagnose RESULT TRIAL`", "seconds (median)", "all"],
                [
                    [key, f"{median(each):.1f}", ", ".join(f"{value:.1f}" for value in each)]
                    for key, each in times
                ],
            )
        )


if __name__ == "__main__":
    main()
