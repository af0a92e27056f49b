"""How a sweep on Ray gains from a second node, and what a node killed in the middle costs it.

A real Ray on this machine: a head without CPUs, and nodes with a CPU each, in processes of their
own. One grid is trained three times: on one node, on two, and on two of which one is killed when a
third of the trials is stored. Only the training counts, as the driver sees it: from when the first
twentieth of the trials is stored, and so every worker has started and compiled, until the last is.
The bar: two nodes store at least 1.5 times as many trials a second as one. Then the tables: all
three must be the same in every row, to the bit, no trial lost and none stored twice. The exit code
is 1 if either is missed.

    python tests/benchmarks/ray_nodes.py --output docs/ray-nodes.md
    python tests/benchmarks/ray_nodes.py --trials 1000
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from shared import REPOSITORY, described, positive, run_child, table

from stabilitysweep import api
from stabilitysweep.execution import Options
from stabilitysweep.executors.ray_cluster import connected
from stabilitysweep.folder import DATABASE
from stabilitysweep.result import open_result
from stabilitysweep.runner import Progress

NODES = REPOSITORY / "tests" / "executors"
"""Where a Ray of several nodes is started for the tests."""

TRIALS = 20_000
RATES = 500
STEPS, BATCH = 200, 32
WARM_UP = 0.05
KILL_AT = 1 / 3
SPEED_BAR = 1.5


@dataclass(frozen=True)
class Way:
    """A way to train the grid.

    Attributes:
        name: for the table.
        nodes: how many there are.
        kill: whether one is killed.
    """

    name: str
    nodes: int
    kill: bool = False


WAYS = (Way("one node", 1), Way("two nodes", 2), Way("two, one killed", 2, kill=True))


def content(trials: int, width: int) -> dict[str, Any]:
    """Return the config: two programs, and as many trials as asked for, or a few more."""
    seeds = max(1, -(-trials // (2 * RATES)))
    return {
        "name": "nodes",
        "dataset": {"name": "diabetes"},
        "model": {"width": width},
        "training": {"steps": STEPS, "batch_size": BATCH},
        "grid": {
            "depth": [2, 3],
            "learning_rate": {"from": 1e-4, "to": 1, "num": RATES, "scale": "log"},
        },
        "seeds": seeds,
    }


def train(way: Way, trials: int, width: int, folder: Path) -> dict[str, Any]:
    """Train the grid in this process; return what was seen of it."""
    sys.path.append(str(NODES))
    from ray_on_loopback import ray_nodes

    marks: list[tuple[float, int]] = []
    killed_at: list[int] = []
    # What the head does not train leaves it to be the driver's machine.
    with ray_nodes(0, *[1] * way.nodes) as cluster, connected(cluster.address):
        options = Options(executor="ray", ray_address=cluster.address)
        plan = api.plan(content(trials, width), folder, options)

        def observe(progress: Progress) -> None:
            marks.append((time.perf_counter(), progress.done))
            if way.kill and not killed_at and progress.done >= KILL_AT * progress.total:
                cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
                killed_at.append(progress.done)

        started = time.perf_counter()
        api.execute(plan, observe)
        total = plan.work.trials
    first = next(mark for mark in marks if mark[1] >= WARM_UP * total)
    seconds = marks[-1][0] - first[0]
    return {
        "trials": total,
        "stored": marks[-1][1],
        "wall": time.perf_counter() - started,
        "seconds": seconds,
        "rate": (marks[-1][1] - first[1]) / seconds,
        "killed_at": killed_at[0] if killed_at else None,
    }


def rows(folder: Path) -> tuple[int, int]:
    """Return how many rows a record has, and of how many trials."""
    with closing(sqlite3.connect(f"file:{folder / DATABASE}?mode=ro", uri=True)) as connection:
        query = "SELECT count(*), count(DISTINCT trial_id) FROM trials"
        count, different = connection.execute(query).fetchone()
    return int(count), int(different)


def by_id(folder: Path) -> pd.DataFrame:
    """Return the table of a result, in an order that does not depend on who was first."""
    return open_result(folder).trials.sort_values("trial_id").reset_index(drop=True)


def differing(one: pd.DataFrame, other: pd.DataFrame) -> int:
    """Return how many trials have not the same row in both tables, to the bit."""
    left, right = (each.set_index("trial_id").astype(object) for each in (one, other))
    shared = left.index.intersection(right.index)
    a, b = left.loc[shared], right.loc[shared]
    unequal = ~((a == b) | (a.isna() & b.isna())).fillna(False).astype(bool)
    return int(unequal.any(axis=1).sum()) + len(left.index.symmetric_difference(right.index))


def page(trials: int, width: int, folder: Path) -> tuple[str, bool]:
    """Measure; return the page, and whether the bars are met."""
    machine = described()
    seen = {}
    for way in WAYS:
        out = folder / way.name.replace(" ", "-")
        own = json.dumps(
            {"way": WAYS.index(way), "trials": trials, "width": width, "folder": str(out)}
        )
        seen[way] = run_child(__file__, "--child", own)
        print(f"{way.name}: {seen[way]['rate']:.0f} trials/s", file=sys.stderr, flush=True)
    tables = [by_id(folder / way.name.replace(" ", "-")) for way in WAYS]
    off = [differing(tables[0], each) for each in tables]
    counts = [rows(folder / way.name.replace(" ", "-")) for way in WAYS]
    total = seen[WAYS[0]]["trials"]
    gain = seen[WAYS[1]]["rate"] / seen[WAYS[0]]["rate"]
    same = not any(off) and all(count == (total, total) for count in counts)
    lines = [
        [
            way.name,
            f"{seen[way]['wall']:.1f}",
            f"{seen[way]['seconds']:.1f}",
            f"{seen[way]['rate']:.0f}",
            f"{seen[way]['rate'] / seen[WAYS[0]]['rate']:.2f}",
            f"{counted:,}",
            f"{different:,}",
            f"{differs:,}",
        ]
        for way, differs, (counted, different) in zip(WAYS, off, counts, strict=True)
    ]
    heads = ["way", "wall s", "training s", "trials/s", "of one node's"]
    heads += ["rows", "trials", "other rows"]
    killed = seen[WAYS[2]]["killed_at"]
    text = f"""# A sweep on the nodes of a Ray cluster

Written by `python tests/benchmarks/ray_nodes.py --output docs/ray-nodes.md`.

{machine}

## {gain:.2f} times the trials a second on two nodes; {"every row" if same else "NOT every row"} \
the same after one was killed

{total:,} trials of {STEPS} steps: networks of 2 and 3 layers of {width} units on the diabetes data,
{RATES} learning rates. A node is a Ray node with one CPU on this machine, beside a head that has
none and the driver, which stores. In the last way one of two nodes was killed, processes and all,
when {killed:,} trials were stored.

{table(heads, lines)}

- **wall**: planning done, until the page is written: start of the workers, first calls and figures
  included
- **training**: from the first {WARM_UP:.0%} of the trials stored to the last; bar: two nodes store
  at least {SPEED_BAR} times as many a second as one
- **rows**, **trials**: rows in the record, and different trials among them; bar: {total:,} of both
- **other rows**: trials whose row differs, in any column, from that of the run on one node; bar: 0
"""
    return text, gain >= SPEED_BAR and same


def main() -> int:
    """Run as a script; with `--child`, train once and print what was seen as JSON."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--output", type=Path, help="file to write the page to")
    parser.add_argument("--trials", type=positive, default=TRIALS, help=f"of the grid ({TRIALS:,})")
    parser.add_argument("--width", type=positive, default=32, help="units of a layer (32)")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if options.child:
        own = json.loads(options.child)
        print(json.dumps(train(WAYS[own.pop("way")], folder=Path(own.pop("folder")), **own)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        text, met = page(options.trials, options.width, Path(folder))
    if options.output:
        options.output.write_text(text, encoding="utf-8")
    else:
        print(text)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
