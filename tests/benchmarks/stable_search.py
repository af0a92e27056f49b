"""How many trials of a KerasTuner search become non-finite, with a map of the space and without.

A BayesianOptimization and a RandomSearch with five seeds each, on a space of which at least a
third goes NaN within an epoch; the same seeds, the same number of trials, the same initial weights
with `StableOracle` and without. Every batch is looked at. GridSearch and Hyperband once each.

The bars: with it at most 2 % of the trials of each tuner become non-finite, and the best score
found is no worse than without, in the median over the seeds.

    python tests/benchmarks/stable_search.py --output docs/stable-search.md
    python tests/benchmarks/stable_search.py --work /tmp/searches --processes 6

What is in the folder given by --work is not trained again.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from shared import described, positive, run_child, table

import stabilitysweep
from stabilitysweep.config import parse_config

SEEDS = range(5)
CONFIG: dict[str, Any] = {
    "name": "stable-search",
    "dataset": {"name": "diabetes"},
    "model": {"build": "stable_search_model:build"},
    "training": {"epochs": 3, "batch_size": 16},
    "grid": {
        "depth": [1, 2, 3],
        "activation": ["relu", "tanh"],
        "learning_rate": {"from": 1e-4, "to": 100, "num": 25, "scale": "log"},
    },
    "seeds": 3,
}
BARRED = {"bayesian": "BayesianOptimization", "random": "RandomSearch"}
BESIDE = {"grid": "GridSearch", "hyperband": "Hyperband"}
ARMS = ("with", "without")
MOST_NONFINITE = 0.02
LEAST_UNSTABLE = 1 / 3
ONE_THREAD = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}

Found = dict[str, Any]


def broken(found: Sequence[Found], arm: str, first_epoch: bool = False) -> tuple[int, int]:
    """Trials that became non-finite, and all of them."""
    trials = [trial for one in found for trial in one[arm]["trials"]]
    bad = [t for t in trials if t["nonfinite"] and (not first_epoch or t["nonfinite"] == 1)]
    return len(bad), len(trials)


def share(counts: tuple[int, int]) -> str:
    return f"{counts[0]} of {counts[1]} ({counts[0] / counts[1]:.1%})" if counts[1] else "no trials"


def is_met(found: Sequence[Found]) -> tuple[bool, bool]:
    """Whether few enough became non-finite, and whether the best score is no worse."""
    bad, total = broken(found, "with")
    best = {
        arm: statistics.median(one[arm]["best"] for one in found) for arm in ("with", "without")
    }
    return total > 0 and bad <= MOST_NONFINITE * total, best["with"] <= best["without"]


def page(folder: Path, processes: int) -> tuple[str, bool]:
    """Map, search, and write the page; what the folder holds is not done again."""
    here = Path(__file__).resolve().parent
    os.environ.update(ONE_THREAD)
    result = stabilitysweep.run(parse_config(CONFIG, base_folder=here), out=folder / "map")
    jobs = [(kind, seed) for kind in BARRED for seed in SEEDS] + [(kind, 0) for kind in BESIDE]

    def job(one: tuple[str, int]) -> Found:
        kept = folder / f"{one[0]}-{one[1]}.json"
        if not kept.exists():
            script = str(here / "stable_search_arms.py")
            found = run_child(script, str(result.folder), one[0], str(one[1]))
            kept.write_text(json.dumps(found), encoding="utf-8")
        answer: Found = json.loads(kept.read_text("utf-8"))
        return answer

    with ThreadPoolExecutor(processes) as pool:
        answers = dict(zip(jobs, pool.map(job, jobs), strict=True))
    by_kind = {
        kind: [found for (own, _), found in answers.items() if own == kind]
        for kind in (*BARRED, *BESIDE)
    }
    unstable = broken(by_kind["random"], "without", first_epoch=True)
    hard = unstable[0] >= LEAST_UNSTABLE * unstable[1]
    verdicts = {kind: is_met(by_kind[kind]) for kind in BARRED}
    met = hard and all(all(verdict) for verdict in verdicts.values())
    return text_of(result, by_kind, verdicts, unstable), met


def text_of(
    result: Any,
    by_kind: dict[str, list[Found]],
    verdicts: dict[str, tuple[bool, bool]],
    unstable: tuple[int, int],
) -> str:
    names = BARRED | BESIDE
    shares = {kind: share(broken(by_kind[kind], "with")) for kind in names}
    summary = [
        (
            names[kind],
            share(broken(found, "without")),
            share(broken(found, "without", first_epoch=True)),
            shares[kind],
            sum(sum(one["with"]["turned_away"].values()) for one in found),
        )
        for kind, found in by_kind.items()
    ]
    scores = [
        (
            names[kind],
            "median" if seed is None else seed,
            *(
                f"{statistics.median(one[arm]['best'] for one in chosen):.4f}"
                for arm in ("without", "with")
            ),
        )
        for kind, found in by_kind.items()
        for seed, chosen in [
            *((place, [one]) for place, one in enumerate(found)),
            *([(None, found)] if len(found) > 1 else []),
        ]
    ]
    said = [
        f"- {names[kind]}: at most {MOST_NONFINITE:.0%} non-finite with the map: "
        f"{'met' if few else 'MISSED'}; best score no worse in the median: "
        f"{'met' if good else 'MISSED'}"
        for kind, (few, good) in verdicts.items()
    ]
    outcomes = result.summary.outcomes.items()
    of_map = ", ".join(f"{number:,} {name}" for name, number in outcomes if number)
    reasons: dict[str, int] = {}
    for found in by_kind.values():
        for one in found:
            for reason, count in one["with"]["turned_away"].items():
                reasons[reason] = reasons.get(reason, 0) + count
    turned = ", ".join(f"{count:,} {reason}" for reason, count in reasons.items() if count)
    first = ", ".join(
        f"{shares[kind]} of {names[kind]}'s with the map, "
        f"{share(broken(by_kind[kind], 'without'))} without"
        for kind in BARRED
    )
    return f"""# Searches with and without a map

Written by `python tests/benchmarks/stable_search.py --output docs/stable-search.md`.

{described()}

## Trials that became non-finite: {first}

The model of `tests/benchmarks/stable_search_model.py` on the diabetes data: 1 to 3 hidden layers
of 32 units, relu or tanh, SGD with momentum 0.9, learning rates from 1e-4 to 100 on a log scale,
{CONFIG["training"]["epochs"]} epochs of batches of {CONFIG["training"]["batch_size"]}. The map:
{len(result.trials):,} trials ({of_map}).
The searches of both arms have the same seeds, numbers of trials and initial weights; those
without have no limit of consecutive failures, which would have ended them. A trial
counts as non-finite if any batch or validation loss of it was.

Of the space itself (what RandomSearch draws without a map) {share(unstable)} goes non-finite
within the first epoch; the bar asks for a third at least.

{chr(10).join(said)}

| tuner | without: non-finite | without: in the first epoch | with: non-finite | turned away |
| --- | ---: | ---: | ---: | ---: |
{chr(10).join(f"| {' | '.join(map(str, row))} |" for row in summary)}

Turned away in all: {turned}.

## The best score

The lowest validation loss of an epoch (mean squared error of the standardised target), by seed:

{table(["tuner", "seed", "without", "with"], scores, text=2)}

GridSearch (at depth 2, 11 learning rates by 2 activations) and Hyperband ran once each, and are
beside the bars. GridSearch with a map has fewer combinations left.
"""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, help="file to write the page to")
    parser.add_argument("--work", type=Path, help="folder to keep what is trained in")
    parser.add_argument("--processes", type=positive, default=2, help="searches at a time")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        text, met = page(work, options.processes)
    if options.output:
        options.output.write_text(text, encoding="utf-8")
    else:
        print(text)
    sys.exit(0 if met else 1)
