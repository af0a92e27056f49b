"""How often the cause that a failed trial is given is the right one, on a second list.

Trains the trials of `constructions.py`, whose cause is known from how they were made, in this
process, through the planner and the record as a sweep does. Each is judged twice: in its grid,
with whatever twins it has there, and as if it were the only trial of its sweep. Then prints which
cause was found where, and writes it between the markers of a page.

The bar: 95 % right in their grids. The exit code is 1 if it is missed.

    python tests/benchmarks/confusion.py --output docs/causes.md
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from constructions import Construction, Truth, constructions
from shared import described, table

from stabilitysweep import open_result, runner
from stabilitysweep.analysis import explanations
from stabilitysweep.config import parse_config
from stabilitysweep.data import PreparedData
from stabilitysweep.engines.base import Engine
from stabilitysweep.executors import Job, StackDone
from stabilitysweep.executors.worker import start_engine
from stabilitysweep.result import Result
from stabilitysweep.store import SQLiteStore
from stabilitysweep.types import Cause, Compiled

BAR = 0.95
FIRST, LAST = "<!-- confusion -->", "<!-- /confusion -->"
NONE = "none"


class ThisProcess:
    """An executor that trains here, one stack after the other."""

    def __init__(self, engine: Engine) -> None:
        """Train with `engine`."""
        self.engine = engine

    def train(self, jobs: Sequence[Job], data: Mapping[str, PreparedData]) -> Generator[StackDone]:
        """Yield every stack, trained."""
        for job in jobs:
            for stack in job.stacks:
                yield StackDone(stack, self.engine.run(stack, data[job.data]))


@dataclass(frozen=True)
class Judged:
    """A trial with its truth and what was said of it.

    Attributes:
        name: the construction and the settings on its axes.
        truth: what is known of it.
        found: the cause found in its grid, `none` if none was.
        sentence: the reason given there.
        alone: the cause found without any twin.
    """

    name: str
    truth: Truth
    found: str
    sentence: str
    alone: str


def swept(engine: Engine, construction: Construction, folder: Path) -> Result:
    """Train a construction's grid; return its result."""
    config = parse_config({"name": construction.name, **construction.config}, base_folder=folder)
    sweep = runner.load_sweep(config)
    out = folder / construction.name
    work = runner.missing_work(sweep, set(), compiled=Compiled.GRAPH, engine="stacked", workers=1)
    runner.train(sweep, out, work, ThisProcess(engine), lambda _: None, {})
    return open_result(out)


def judged(construction: Construction, result: Result) -> list[Judged]:
    """Return what is said of the trials of a construction that have a truth."""
    names = ("precision", "loss", "learning_rate", "optimizer")
    settings = {name: result.config.values(name)[0] for name in names}
    trials = result.trials
    with SQLiteStore(result.folder / "sweep.db", read_only=True) as store:
        traces = store.traces(trials["trial_id"].tolist())
    found = []
    for place, row in enumerate(trials.to_dict("records")):
        truth = construction.truth(row)
        if truth is None:
            continue
        own = trials.iloc[[place]].reset_index(drop=True).assign(lost_gradients=float("nan"))
        alone = explanations(own, result.axes, settings, traces).get(row["trial_id"])
        where = ", ".join(f"{name} {_short(row[name])}" for name in result.axes)
        found.append(
            Judged(
                f"{construction.name}: {where}",
                truth,
                row["cause"] or NONE,
                row["cause_text"] or f"outcome {row['outcome']}.",
                NONE if alone is None else alone.cause.value,
            )
        )
    return found


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def confusion(rows: Sequence[tuple[str, str]]) -> str:
    """Return the table of truths and verdicts; a verdict that never came has no column."""
    counts = Counter((str(truth), str(found)) for truth, found in rows)
    order = [*(cause.value for cause in Cause), NONE]
    truths = [cause for cause in order if any(pair[0] == cause for pair in counts)]
    verdicts = [cause for cause in order if any(pair[1] == cause for pair in counts)]
    lines = [
        [f"`{truth}`", *(counts[truth, found] or "" for found in verdicts)] for truth in truths
    ]
    return table(["truth \\ found", *(f"`{found}`" for found in verdicts)], lines)


def report(found: Sequence[Judged]) -> tuple[str, bool]:
    """Return the section for the page, and whether the bar is met."""
    wrong = [one for one in found if one.found != one.truth.cause]
    right = 1 - len(wrong) / len(found)
    beside = sum(one.alone == one.truth.cause for one in found)
    mistaken = sum(one.alone not in (one.truth.cause, Cause.UNKNOWN, NONE) for one in found)
    listed = "\n".join(
        f"- {one.name}. Truth `{one.truth.cause}`: {one.truth.argument} "
        f"Found `{one.found}`: {one.sentence}"
        for one in wrong
    )
    text = f"""{described()}

### In their grids: {len(found) - len(wrong)} of {len(found)} right ({right:.1%})

{confusion([(one.truth.cause, one.found) for one in found])}

Wrong: {"" if wrong else "none."}

{listed}

### Each as if it were alone: {beside} of {len(found)} right ({beside / len(found):.1%})

No twin, no bar. {mistaken} get a wrong cause, the others that are not right `unknown` or none.

{confusion([(one.truth.cause, one.alone) for one in found])}"""
    return text, right >= BAR


def main() -> int:
    """Train, judge, print, and write the section into a page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, help="page whose section between markers to write")
    parser.add_argument("--sentences", action="store_true", help="print every sentence")
    parser.add_argument("--only", default="", help="constructions whose names begin so")
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    engine = start_engine("stacked")
    found: list[Judged] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for construction in constructions(folder):
            if construction.name.startswith(options.only):
                found += judged(construction, swept(engine, construction, folder))
                print(construction.name, len(found), file=sys.stderr, flush=True)
    if options.sentences:
        for one in found:
            mark = " " if one.found == one.truth.cause else "!"
            print(f"{mark} {one.name}\n    {one.found} ({one.alone}): {one.sentence}")
    text, met = report(found)
    print(text)
    if options.output:
        before, _, rest = options.output.read_text(encoding="utf-8").partition(FIRST)
        after = rest.partition(LAST)[2]
        page = f"{before}{FIRST}\n\n{text}\n\n{LAST}{after}"
        options.output.write_text(page, encoding="utf-8")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
