"""What a run is expected to take, against what it takes.

Every config below is planned and trained twice on this machine, with one worker a core. The first
time nothing is known of it: beside the formula alone stands what the plan says, which tries out
stacks of a long run. The second time, in a folder of its own, the programs have been trained once
before. Seconds are of the training, from the start of the workers to the last stored trial; the
trying is no part of them, and has a column of its own. The bar: the second time every estimate is
within 30 % of the truth.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from shared import REPOSITORY, described, table, write_page

CONFIGS = (
    "missing_values",
    "unscaled_features",
    "classification",
    "tabular",
    "lstm",
    "cnn",
    "transformer",
    "regression",
)
BAR = 30.0


def measured(name: str, folder: Path) -> tuple[Any, float, float]:
    """Plan and train a config; return the plan, the seconds it took, and those of training."""
    from stabilitysweep import api
    from stabilitysweep.execution import carry_out

    done = [0.0]
    started = time.monotonic()
    plan = api.plan(REPOSITORY / "configs" / f"{name}.yaml", folder)
    planning = time.monotonic() - started
    carry_out(plan, lambda progress: done.append(progress.seconds))
    return plan, planning, done[-1]


def by_formula(plan: Any) -> float:
    """What a plan would expect with nothing known but the size of the models."""
    from stabilitysweep.costs import Costs
    from stabilitysweep.runner import missing_work
    from stabilitysweep.types import Compiled

    work = missing_work(
        plan.sweep,
        set(),
        compiled=Compiled.GRAPH,
        engine="stacked",
        workers=plan.workers,
        costs=Costs({}),
    )
    return work.seconds


def page(folder: Path, configs: Sequence[str] = CONFIGS) -> tuple[str, bool]:
    """Measure all; say whether the bar is met."""
    rows, met = [], True
    for name in configs:
        plan, planning, first = measured(name, folder / name)
        again, planning_again, second = measured(name, folder / f"{name} again")
        formula = by_formula(plan)
        pairs = ((formula, first), (plan.seconds, first), (again.seconds, second))
        wrong = [100 * (expected / truth - 1) for expected, truth in pairs]
        met &= abs(wrong[-1]) <= BAR
        rows.append(
            [
                name,
                f"{plan.work.trials:,}",
                f"{max(planning - planning_again, 0):.0f} s",
                f"{formula:.0f} s",
                f"{plan.seconds:.0f} s",
                f"{first:.0f} s",
                *(f"{off:+.0f} %" for off in wrong[:2]),
                f"{again.seconds:.0f} s",
                f"{second:.0f} s",
                f"{wrong[2]:+.0f} %",
            ]
        )
        print(rows[-1], file=sys.stderr, flush=True)
    heads = ["config", "trials", "trying took", "formula", "expected", "took", "formula off", "off"]
    heads += ["expected again", "took again", "off again"]
    text = f"""# What a run is expected to take

Written by `tests/benchmarks/prediction.py`; run it again rather than edit this page.

{described()}

{(__doc__ or "").partition(chr(10))[2].strip()}

{table(heads, rows)}

Bar, every estimate of the second time within {BAR:.0f} %: {"met" if met else "missed"}.
"""
    return text, met


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--configs", nargs="+", default=CONFIGS, choices=CONFIGS)
    chosen, sys.argv[1:] = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as cache:
        os.environ["XDG_CACHE_HOME"] = cache
        sys.exit(write_page(partial(page, configs=chosen.configs), __doc__ or ""))
