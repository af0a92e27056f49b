"""Results of any size, made up rather than trained: the record is written directly.

What a trial comes to follows from its settings and its seed, so that the same call makes the same
result. It looks like a sweep's: above a limit of the learning rate, which falls with depth and in
half precision, the loss grows until it overflows; near it some seeds fail and others do not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from stabilitysweep.config import parse_config
from stabilitysweep.folder import CONFIG, DATABASE
from stabilitysweep.grid import Grid, Trial
from stabilitysweep.result.searched import OF_SEARCH
from stabilitysweep.store import RUNS, Entry, SQLiteStore
from stabilitysweep.types import Compiled, Kind, Onset, Outcome, Stage, Trace, TrialResult

ROWS = 353
CRASHED = "a layer of no such kind"

_CHUNK = 5000
_POINTS = 30
_LARGEST = {"float32": 3.4e38, "float16": 65504.0}
_FINDING = {
    "severity": "warning",
    "code": "large_values",
    "column": "income",
    "count": 12,
    "text": "values up to 4.2e5, where others are around 1",
    "remedy": "preprocessing: {scaling: robust}",
}


def config_of(trials: int = 360, **sections: Any) -> dict[str, Any]:
    """Return a config with about so many trials, at least 10; exactly so for 360 and 50,000.

    Args:
        trials: how many.
        sections: of the config, instead of those made up.
    """
    rates = 25 if trials > 500 else 15 if trials == 360 else 10
    axes: dict[str, Any] = {
        "learning_rate": {"from": 1e-3, "to": 10, "num": rates, "scale": "log"},
        "depth": [1, 2, 4, 8],
        "precision": ["float32", "float16"],
        "activation": ["relu", "tanh", "gelu", "elu", "selu"],
        "batch_size": [8, 16, 32, 64, 128],
        "l2": [0, 1e-5, 1e-4, 1e-3, 1e-2],
    }
    grid: dict[str, Any] = {}
    cells = 1
    for name, values in axes.items():
        length = values["num"] if isinstance(values, dict) else len(values)
        if cells > 1 and cells * length > trials / 2:
            break
        grid[name], cells = values, cells * length
    return {
        "name": "made_up",
        "dataset": {"name": "diabetes"},
        "model": {"width": 16},
        "training": {"steps": 100},
        "grid": grid,
        "seeds": max(round(trials / cells), 1),
        **sections,
    }


def make_result(
    folder: Path,
    content: Mapping[str, Any] | None = None,
    *,
    outcome: Outcome | None = None,
    share: float = 1.0,
    curves: bool = True,
    provenance: Mapping[str, Any] | None = None,
) -> Path:
    """Write a result folder and return it.

    Args:
        folder: where to; made.
        content: the config; that of `config_of()` if None.
        outcome: what every trial comes to; None makes up one for each.
        share: of the trials, the first so many of which were trained, as if interrupted.
        curves: whether trials have their traces.
        provenance: facts besides those made up.
    """
    config = parse_config(config_of() if content is None else dict(content))
    grid = Grid(config, lambda dataset: ROWS)
    facts: dict[str, Any] = {
        "versions": {"python": "3.11.7", "tensorflow": "2.21.0", "keras": "3.15.1"},
        "processor": {"model": "made up", "machine": "x86_64", "cores": 2, "system": "Linux"},
        "flags": {"engine": "made up", "compiled": "graph", "workers": 2},
        "data": {dataset.label: "0123456789abcdef" * 2 for dataset in config.datasets},
        "training_rows": {dataset.label: ROWS for dataset in config.datasets},
        "audit": {dataset.label: [_FINDING] for dataset in config.datasets},
        "base_folder": ".",
        **(provenance or {}),
    }
    folder.mkdir(parents=True)
    resolved = config.resolved()
    (folder / CONFIG).write_text(yaml.safe_dump(resolved, sort_keys=False), encoding="utf-8")
    wanted = round(share * len(grid))
    with SQLiteStore(folder / DATABASE) as store:
        store.set_meta("thresholds", {"stable_below": 0.99, "diverged_above": 1.01})
        store.record_config(resolved, facts)
        entries: list[Entry] = []
        for trial in _first(grid, wanted):
            entries.append(Entry(trial.axes, trial.seed, _made_up(trial, outcome, curves)))
            if len(entries) == _CHUNK:
                store.add(entries)
                entries.clear()
        store.add(entries)
        started = "2026-11-29T10:00:00+00:00"
        if wanted:
            store.set_meta(RUNS, [{"started": started, "seconds": 12.5, "trials": wanted}])
    return folder


def _first(grid: Grid, number: int) -> Iterator[Trial]:
    for place, trial in enumerate(grid):
        if place == number:
            return
        yield trial


def make_recorded(folder: Path, trials: int = 24) -> Path:
    """Write the result of a search of KerasTuner's: random settings, each tried once.

    Args:
        folder: where to; made.
        trials: how many.
    """
    rates, units = [1e-3, 1e-2, 1e-1, 1.0], [8, 16, 32]
    content = {
        "name": "searched",
        "recorded": {
            "tuner": "RandomSearch",
            "project": "a <b>project</b>",
            "rate": "learning_rate",
            "exact": ["learning_rate"],
        },
        "dataset": {"function": "keras_tuner:search", "label": "arguments of search"},
        "model": {"build": "my_search:build"},
        "training": {"epochs": 2},
        "grid": {"learning_rate": rates, "units": units},
        "seeds": 1,
    }
    draw = np.random.default_rng(0)
    entries = []
    for number in range(trials):
        bin_of, width = int(draw.integers(len(rates))), int(draw.choice(units))
        exact = float(rates[bin_of] * draw.uniform(1, 10))
        name = hashlib.blake2b(str(number).encode(), digest_size=8).hexdigest()
        axes = {
            "learning_rate": rates[bin_of],
            "units": width,
            OF_SEARCH: {
                "trial": f"{number:04d}",
                "attempt": 0,
                "execution": 0,
                "values": {"learning_rate": exact, "units": width},
                "optimizer": "sgd",
                "loss": "mse",
                "precision": "float32",
            },
        }
        entries.append(Entry(axes, 0, outcome_of(name, exact, budget=40)))
    folder.mkdir(parents=True)
    with SQLiteStore(folder / DATABASE) as store:
        store.set_meta("thresholds", {"stable_below": 0.99, "diverged_above": 1.01})
        store.record_config(parse_config(content).resolved(), {"flags": {"engine": "recorded"}})
        store.add(entries)
    return folder


def _made_up(trial: Trial, outcome: Outcome | None, curves: bool) -> TrialResult:
    training = trial.training
    rate = float(training.learning_rate)
    half, depth = training.precision != "float32", trial.model.depth
    found = outcome_of(trial.trial_id, rate, depth, half, training.steps or 0, outcome)
    return found if curves else replace(found, trace=None)


def outcome_of(
    trial_id: str,
    rate: float,
    depth: int = 1,
    half: bool = False,
    budget: int = 100,
    outcome: Outcome | None = None,
) -> TrialResult:
    """Make up what a trial comes to.

    Args:
        trial_id: its id, which decides what else would be chance.
        rate: its learning rate.
        depth: of its network.
        half: whether it is trained in half precision.
        budget: its steps.
        outcome: what it comes to; None makes one up.
    """
    luck = int(trial_id[:6], 16) / 0xFFFFFF
    limit = 0.4 / depth * (0.6 if half else 1.0) * (0.8 + 0.4 * luck)
    if outcome is None:
        outcome = Outcome.NONFINITE if rate > limit else Outcome.STABLE
        if outcome is Outcome.STABLE and rate > 0.9 * limit:
            outcome = Outcome.DIVERGED
        elif rate < 2e-3:
            outcome = Outcome.STALLED
    if outcome is Outcome.CRASHED:
        return TrialResult(trial_id, outcome, "made up", message=CRASHED)
    steps = _steps(budget)
    onset = None
    growth = {Outcome.STABLE: -0.8 * min(rate / limit, 1.0), Outcome.STALLED: 0.0}.get(outcome, 0.2)
    loss = (0.5 + luck) * np.power(steps.astype(np.float64), growth)
    if outcome is Outcome.NONFINITE:
        onset, steps, loss = _broken(steps, _LARGEST["float16" if half else "float32"], luck)
    flat = np.ones(len(steps), np.float32)
    final = float(loss[-1])
    return TrialResult(
        trial_id=trial_id,
        outcome=outcome,
        engine="made up",
        compiled=Compiled.GRAPH,
        onset=onset,
        nan_step=onset.step + 2 if onset else None,
        initial_loss=0.5 + luck,
        final_loss=final,
        best_loss=float(np.nanmin(loss)),
        val_loss=1.1 * final,
        skipped_steps=0,
        max_abs_activation=3.0,
        max_grad_norm=10.0 * (1 + luck),
        max_weight_norm=4.0,
        headroom_bits=14.0 * luck if half else 120.0 + luck,
        zero_gradients=0.25 * luck,
        steps_run=int(steps[-1]),
        trace=Trace(steps, loss.astype(np.float32), flat, flat, flat, flat),
    )


def _broken(
    steps: NDArray[np.int32], largest: float, luck: float
) -> tuple[Onset, NDArray[np.int32], NDArray[np.float64]]:
    """A loss that grows until it overflows, is infinite for a step and NaN at the next."""
    length = min(6 + int(6 * luck), len(steps))
    own = steps[:length]
    loss = (0.5 + luck) * np.geomspace(1, largest, length)
    loss[-2:] = np.inf, np.nan
    tensor = f"hidden_{1 + int(3 * luck)}/kernel"
    return Onset(int(own[-2]), Stage.GRADIENT, tensor, Kind.POSITIVE_INFINITY), own, loss


_KNOWN: dict[int, NDArray[np.int32]] = {}


def _steps(budget: int) -> NDArray[np.int32]:
    if budget not in _KNOWN:
        spread = np.geomspace(1, max(budget, 1), _POINTS)
        _KNOWN[budget] = np.unique(np.rint(spread).astype(np.int32))
    return _KNOWN[budget]
