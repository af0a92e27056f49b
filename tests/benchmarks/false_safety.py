"""How often a recommended setting fails in the long run, and what its safety costs.

Five data sets that no threshold was chosen by (`false_safety_data.py`), two architectures
and two precisions each; `sgd` with momentum and `adam`. In each of the 20 combinations a sweep
of 100 steps and 3 seeds, its three best picks with margins of 1, 1.5, 2 and 4 in learning rate,
and each of these trained over 5,000 steps with 20 fresh seeds.

The bars, for picks of the default margin: at most 1 % of the long runs become non-finite, and
the picks' validation loss is within 5 % of that of the best stable cell in the median. Of no
long run nothing is met. A pick that a combination lacks counts in that median as one that costs
more than any other: else it would be met by picking nothing where it is hard.

    python tests/benchmarks/false_safety.py --output docs/false-safety.md
    python tests/benchmarks/false_safety.py --work /tmp/safety --only spikes-relu echoes-gru

What is in the folder given by --work is not trained again; the page is of all that is there.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from shared import described, positive, run_child, table

import stabilitysweep
from stabilitysweep.analysis.survival import clopper_pearson
from stabilitysweep.config import parse_config
from stabilitysweep.result import Result

MARGINS = (1.0, 1.5, 2.0, 4.0)
DEFAULT = 2.0
COUNT = 3
STEPS, SEEDS = 100, 3
LONG_STEPS, LONG_SEEDS = 5_000, 20
RANKINGS = ("loss", "slices")
"""The safe cells of lowest validation loss, as `recommend` ranks them; or the best safe cell of
every slice first, of which it is only told what they would cost."""

MOST_NONFINITE, MOST_COST = 0.01, 0.05

RATES = {
    "sgd": {"from": 1e-4, "to": 10, "num": 25, "scale": "log"},
    "adam": {"from": 1e-5, "to": 1, "num": 25, "scale": "log"},
}
"""Neighbours are a factor of 1.62 apart: the four margins are 0, 1, 2 and 3 steps of the grid."""

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "relu": {"activation": "relu", "depth": 2, "width": 32},
    "tanh": {"activation": "tanh", "depth": 6, "width": 32},
    "gelu": {"activation": "gelu", "depth": 6, "width": 32},
    "lstm": {"build": "sweeps.lstm:build", "cell": "lstm", "units": 16},
    "gru": {"build": "sweeps.lstm:build", "cell": "gru", "units": 16},
}

SWEEPS: dict[str, tuple[str, str, str, str, str]] = {
    f"{data}-{architecture}": (data, loss, architecture, optimizer, half)
    for data, loss, architecture, optimizer, half in (
        ("friedman3", "mse", "relu", "sgd", "mixed_float16"),
        ("friedman3", "mse", "tanh", "adam", "mixed_float16"),
        ("spikes", "mse", "relu", "adam", "mixed_float16"),
        ("spikes", "mse", "tanh", "sgd", "float16"),
        ("hastie", "binary_crossentropy", "relu", "sgd", "float16"),
        ("hastie", "binary_crossentropy", "gelu", "adam", "mixed_float16"),
        ("quantiles", "sparse_categorical_crossentropy", "relu", "adam", "mixed_float16"),
        ("quantiles", "sparse_categorical_crossentropy", "gelu", "sgd", "mixed_float16"),
        ("echoes", "mse", "lstm", "sgd", "mixed_float16"),
        ("echoes", "mse", "gru", "sgd", "mixed_float16"),
    )
}
"""Each sweep: data set, loss, architecture, optimizer, and the second precision."""


def config_of(name: str) -> dict[str, Any]:
    """Return the config of a sweep."""
    data, loss, architecture, optimizer, half = SWEEPS[name]
    recurrent = "build" in ARCHITECTURES[architecture]
    training: dict[str, Any] = {"steps": STEPS}
    others: dict[str, Any] = {"batch_size": [16, 64]}
    if recurrent:  # its build compiles it with sgd and a momentum of 0.9
        others["global_clipnorm"] = [0, 1]
    else:
        training |= {"optimizer": optimizer, "loss": loss}
        training |= {"momentum": 0.9} if optimizer == "sgd" else {}
        others["l2"] = [0, 1e-3]
    return {
        "name": name,
        "dataset": {"function": f"false_safety_data:{data}"},
        "model": ARCHITECTURES[architecture],
        "training": training,
        "grid": {"precision": ["float32", half], **others, "learning_rate": RATES[optimizer]},
        "seeds": SEEDS,
    }


def measure(name: str, work: Path, margins: Sequence[float]) -> Iterator[dict[str, Any]]:
    """Sweep, pick, and confirm; yield a record for each precision."""
    config = parse_config(config_of(name), base_folder=Path(__file__).parent)
    result = stabilitysweep.run(config, out=work / name, workers=1)
    picked = {
        (precision, margin, ranking): _picks(result, precision, margin, ranking)
        for precision in config.values("precision")
        for margin in margins
        for ranking in RANKINGS
    }
    cells = {
        _key(cell): cell
        for (_, _, ranking), found in picked.items()
        for cell, _ in found
        if ranking == RANKINGS[0]
    }
    long = result.confirm(list(cells.values()), steps=LONG_STEPS, seeds=LONG_SEEDS, workers=1)
    runs = {_key(tried.cell): tried.runs[0].to_json() for tried in long.tried}
    data, _, architecture, optimizer, _ = SWEEPS[name]
    for precision in config.values("precision"):
        best, score = _best_stable(result, precision)
        yield {
            "dataset": data,
            "architecture": architecture,
            "optimizer": optimizer,
            "precision": precision,
            "best": best,
            "picks": {
                f"{margin} {ranking}": [
                    {
                        "rate": cell["learning_rate"],
                        "cost": (own - score) / abs(score),
                        **{"cell": cell, "long": runs.get(_key(cell))},
                    }
                    for cell, own in picked[precision, margin, ranking]
                ]
                for margin in margins
                for ranking in RANKINGS
            },
        }


def _picks(
    result: Result, precision: str, margin: float, ranking: str
) -> list[tuple[dict[str, Any], float]]:
    found = result.recommend(
        margin=margin, count=len(result.trials), metric="val_loss", where={"precision": precision}
    )
    picks = list(found.picks)
    if ranking == "slices":
        others = [{**pick.axes, result.rate: None} for pick in picks]
        first = [others.index(own) == place for place, own in enumerate(others)]
        picks = [p for p, is_first in zip(picks, first, strict=True) if is_first] + [
            p for p, is_first in zip(picks, first, strict=True) if not is_first
        ]
    return [(dict(pick.axes) | {"precision": precision}, pick.score) for pick in picks[:COUNT]]


def _best_stable(result: Result, precision: str) -> tuple[dict[str, Any], float]:
    """Return the cell with the lowest median validation loss among those wholly stable."""
    rows = result.trials.loc[result.trials["precision"] == precision]
    names = list(result.axes)
    cells = rows.groupby(names, dropna=False, as_index=False).agg(
        stable=("outcome", lambda outcomes: (outcomes == "stable").all()),
        seeds=("seed", "nunique"),
        score=("val_loss", "median"),
    )
    cells = cells.loc[cells["stable"] & (cells["seeds"] == SEEDS)]
    best = cells.loc[cells["score"].idxmin()]
    return {name: best[name] for name in names}, float(best["score"])


def _key(cell: dict[str, Any]) -> str:
    return json.dumps({name: cell[name] for name in sorted(cell)}, default=float)


def page(records: Sequence[dict[str, Any]]) -> tuple[str, bool]:
    """Return the page, and whether the bars are met."""
    margins = [
        margin
        for margin in MARGINS
        if any(f"{margin} {RANKINGS[0]}" in record["picks"] for record in records)
    ]
    sums = {
        (margin, ranking): _sums(records, margin, ranking)
        for ranking in RANKINGS
        for margin in margins
    }
    own = sums[DEFAULT, RANKINGS[0]]
    whole = [sums[margin, RANKINGS[0]]["of"] == 2 * len(SWEEPS) for margin in margins]
    complete = all(whole) and len(whole) == len(MARGINS)
    safe, cheap = bars(own)
    lacking = "" if complete else " Not everything has been measured."
    text = f"""# False safety: do picks hold?

Made by `tests/benchmarks/false_safety.py`. {len(records)} combinations of a data set that no
threshold was chosen by, an architecture and a precision. In each a sweep of {STEPS} steps and
{SEEDS} seeds over 25 learning rates, two batch sizes, and L2 or clipping; its {COUNT} best picks
with each margin; and these trained over {LONG_STEPS:,} steps with {LONG_SEEDS} fresh seeds each.

{described()}

## By margin

{_margins(sums)}

- *non-finite*, *diverged*: of the long runs. The intervals are those of Clopper and Pearson; the
  runs of a pick share its data and its cell, so they are not independent, and less is known than
  the intervals say.
- *failed picks*: those of which at least one long run failed. `confirm` withdraws them.
- *cost*: by how much a pick's validation loss after {STEPS} steps is above that of the best cell of
  the same sweep and precision whose {SEEDS} seeds were all stable, wherever that cell is.
- The picks are the {COUNT} safe cells of lowest validation loss. The last column is of those that
  begin with the best learning rate of every slice (a combination of the other axes).
- A pick of one margin may be one of another margin too. It is trained once, and counted in both.

The bars, with the default margin of {DEFAULT:g}: at most {MOST_NONFINITE:.0%} of the long runs
become non-finite ({_said(safe)}), and the median cost is at most {MOST_COST:.0%}
({_said(cheap)}), picks that a combination lacks counted as the most expensive.{lacking}

## By combination, margin {DEFAULT:g}

{_combinations(records)}

## Failed picks, all margins

{_failures(records, margins)}
"""
    return text, safe and cheap and complete


def bars(sums: dict[str, Any]) -> tuple[bool, bool]:
    """Say whether the picks of a margin are safe enough, and cheap enough.

    Args:
        sums: see `_sums`.
    """
    safe = sums["runs"] > 0 and sums["nonfinite"] <= MOST_NONFINITE * sums["runs"]
    costs = [*sums["costs"], *[math.inf] * sums["lacking"]]
    return safe, bool(costs) and statistics.median(costs) <= MOST_COST


def _said(met: bool) -> str:
    return "met" if met else "missed"


def _sums(records: Sequence[dict[str, Any]], margin: float, ranking: str) -> dict[str, Any]:
    kind = f"{margin} {ranking}"
    chosen = [record["picks"][kind] for record in records if kind in record["picks"]]
    picks = [pick for own in chosen for pick in own]
    long = [pick["long"] for pick in picks] if ranking == RANKINGS[0] else []
    counts = [_counts(runs) for runs in long]
    return {
        "of": len(chosen),
        "picks": len(picks),
        "without": sum(not own for own in chosen),
        "lacking": sum(COUNT - len(own) for own in chosen),
        "costs": [pick["cost"] for pick in picks],
        "runs": sum(runs["runs"] for runs in long),
        "nonfinite": sum(nonfinite for nonfinite, _ in counts),
        "diverged": sum(diverged for _, diverged in counts),
        "stalled": sum(runs["stalled"] for runs in long),
        "failed": sum(any(count) for count in counts),
        "cost": statistics.median(pick["cost"] for pick in picks) if picks else np.nan,
        "most": max((pick["cost"] for pick in picks), default=np.nan),
    }


def _counts(runs: dict[str, Any]) -> tuple[int, int]:
    outcomes = [run["outcome"] for run in runs["failures"]]
    return outcomes.count("nonfinite"), outcomes.count("diverged")


def _margins(sums: dict[tuple[float, str], dict[str, Any]]) -> str:
    header = [
        "margin",
        "combinations",
        "picks",
        "long runs",
        "non-finite",
        "95 % interval",
        "diverged",
    ]
    header += ["stalled", "failed picks", "without a pick", "median cost", "largest cost"]
    header += ["median cost, slice by slice"]
    rows = []
    for (margin, ranking), found in sums.items():
        if ranking != RANKINGS[0]:
            continue
        low, high = clopper_pearson(found["nonfinite"], found["runs"])
        share = found["nonfinite"] / max(found["runs"], 1)
        row: list[Any] = [f"{margin:g}", found["of"], found["picks"], f"{found['runs']:,}"]
        row += [f"{found['nonfinite']} ({share:.2%})", f"{low:.2%} to {high:.2%}"]
        row += [found[name] for name in ("diverged", "stalled", "failed", "without")]
        row += [f"{found['cost']:.1%}", f"{found['most']:.1%}"]
        rows.append([*row, f"{sums[margin, RANKINGS[1]]['cost']:.1%}"])
    return table(header, rows)


def _combinations(records: Sequence[dict[str, Any]]) -> str:
    header = ["data", "architecture", "optimizer", "precision", "learning rates of the picks"]
    header += ["long runs", "non-finite", "diverged", "median cost"]
    rows = []
    for record in records:
        picks = record["picks"].get(f"{DEFAULT} {RANKINGS[0]}", ())
        counts = [_counts(pick["long"]) for pick in picks]
        row = [record[name] for name in ("dataset", "architecture", "optimizer", "precision")]
        row += [", ".join(f"{pick['rate']:.3g}" for pick in picks) or "no safe cell"]
        row += [sum(pick["long"]["runs"] for pick in picks)]
        row += [sum(nonfinite for nonfinite, _ in counts), sum(diverged for _, diverged in counts)]
        cost = statistics.median(pick["cost"] for pick in picks) if picks else None
        rows.append([*row, "-" if cost is None else f"{cost:.1%}"])
    return table(header, rows, text=5)


def _failures(records: Sequence[dict[str, Any]], margins: Sequence[float]) -> str:
    header = ["margin", "cell", "failed", "of", "first onset", "causes"]
    rows: dict[str, list[Any]] = {}
    for record, margin in itertools.product(records, margins):
        for pick in record["picks"].get(f"{margin} {RANKINGS[0]}", ()):
            failures = pick["long"]["failures"]
            if not failures:
                continue
            cell = {name: record[name] for name in ("dataset", "architecture", "optimizer")}
            text = (
                ", ".join(_shown(value) for value in cell.values())
                + ": "
                + ", ".join(f"{name} {_shown(value)}" for name, value in pick["cell"].items())
            )
            onsets = [run["onset_step"] for run in failures if run["onset_step"] is not None]
            causes = pd.Series([run["cause"] or "unknown" for run in failures]).value_counts()
            told = ", ".join(f"{cause} {count}" for cause, count in causes.items())
            first = f"{min(onsets):,}" if onsets else "diverged"
            rows.setdefault(text, [set(), text, len(failures), pick["long"]["runs"], first, told])
            rows[text][0].add(margin)
    if not rows:
        return "None."
    lines = [[", ".join(f"{m:g}" for m in sorted(row[0])), *row[1:]] for row in rows.values()]
    return table(header, lines, text=2)


def _shown(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def main() -> int:
    """Measure what is asked for and make the page; 1 if a bar is missed or a part is lacking."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=SWEEPS, default=list(SWEEPS), metavar="SWEEP")
    parser.add_argument("--work", type=Path, help="folder that keeps the results and the records")
    parser.add_argument("--margins", nargs="+", type=float, choices=MARGINS, default=list(MARGINS))
    parser.add_argument("--jobs", type=positive, default=2, help="sweeps at a time")
    parser.add_argument("--output", type=Path, help="file to write the page to")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if options.child:
        found = list(measure(options.child, options.work, options.margins))
        print(json.dumps({"records": found}, default=float))
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        work = options.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)

        def one(name: str) -> None:
            margins = map(str, options.margins)
            found = run_child(__file__, "--child", name, "--work", str(work), "--margins", *margins)
            (work / f"{name}.json").write_text(json.dumps(found), encoding="utf-8")
            print(f"{name}: done", file=sys.stderr, flush=True)

        with ThreadPoolExecutor(options.jobs) as pool:
            list(pool.map(one, options.only))
        files = [path for name in SWEEPS if (path := work / f"{name}.json").is_file()]
        records = [
            record
            for path in files
            for record in json.loads(path.read_text(encoding="utf-8"))["records"]
        ]
    text, met = page(records)
    if options.output:
        options.output.write_text(text, encoding="utf-8")
    else:
        print(text)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
