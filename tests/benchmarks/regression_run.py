"""A whole sweep as a user runs it: wall time, peak memory, and where the time goes.

Runs `python -m stabilitysweep run configs/regression.yaml --out TMP` as a subprocess and looks
at it from outside: the resident memory of all its processes out of /proc, and the record
as it fills. A stack is stored in one transaction, so the record tells when each stack
was finished; the plan tells which job (program) it belongs to. From that:

- start-up: from the command to the first stored stack, less what a program's first call
  usually takes: imports, data, planning, starting workers and TensorFlow in them;
- first calls: the time before a job's first stack beyond what its other stacks take, which
  is tracing and building models, as an average over the workers;
- training: the rest until the last stack is stored; workers that wait for others included;
- table, summary, figures: by the times of the files.

    python tests/benchmarks/regression_run.py --repeat 3
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import mean, median

from shared import (
    REPOSITORY,
    described,
    environment,
    outcome_counts,
    positive,
    sweep_command,
    table,
)

from stabilitysweep import api
from stabilitysweep.execution import Options, Plan
from stabilitysweep.folder import DATABASE
from stabilitysweep.planning import Work
from stabilitysweep.types import Compiled

_POLL_SECONDS, _MEMORY_SECONDS = 0.02, 0.1
_PAGE = os.sysconf("SC_PAGE_SIZE")
_MIB = 2**20


@dataclass(slots=True)
class Observed:
    """What one run showed.

    Attributes:
        started: time of the command, in seconds since the epoch as all times here.
        ended: when it had ended.
        peak: largest sum of resident memory over its processes, in bytes.
        processes: resident memory of each process at that moment, the largest first.
        stored: times at which the number of stored trials had grown, and that number.
    """

    started: float
    ended: float = 0.0
    peak: int = 0
    processes: list[int] = field(default_factory=list)
    stored: list[tuple[float, int]] = field(default_factory=list)


def run(config: Path, out: Path, extra: Sequence[str]) -> Observed:
    """Run the sweep and watch it.

    Raises:
        SystemExit: it failed; its output is shown.
    """
    log = out.with_suffix(".log")
    with log.open("w") as output:
        seen = Observed(time.time())
        child = subprocess.Popen(
            sweep_command(config, out, *extra), env=environment(), stdout=output, stderr=output
        )
        next_look = 0.0
        while child.poll() is None:
            now = time.time()
            if now >= next_look:
                next_look = now + _MEMORY_SECONDS
                memory = sorted(resident(child.pid), reverse=True)
                if sum(memory) > seen.peak:
                    seen.peak, seen.processes = sum(memory), memory
            count = stored_trials(out / DATABASE)
            if count > (seen.stored[-1][1] if seen.stored else 0):
                seen.stored.append((time.time(), count))
            time.sleep(_POLL_SECONDS)
        seen.ended = time.time()
    if child.returncode:
        raise SystemExit(f"the sweep failed ({child.returncode}):\n{log.read_text()}")
    return seen


def resident(root: int) -> Iterator[int]:
    """Yield the resident bytes of a process and of all below it; shared pages count in each."""
    children: dict[int, list[int]] = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:  # it has just ended
                continue
            parent = int(stat.rpartition(")")[2].split()[1])  # a name may hold spaces
            children[parent].append(int(entry.name))
    family = [root]
    for pid in family:
        family += children[pid]
        try:
            yield int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
        except OSError:
            continue


def stored_trials(database: Path) -> int:
    """Return how many trials a record holds that another process is writing; 0 if none yet."""
    if not database.exists():
        return 0
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            # Trials are only ever added, so that the last row's number is their count.
            (count,) = connection.execute("SELECT max(rowid) FROM trials").fetchone()
    except sqlite3.OperationalError:  # its tables are being made
        return 0
    return count or 0


def finishing_times(seen: Observed, out: Path, work: Work) -> dict[int, list[float]]:
    """Return for each job the times at which its stacks were stored, ascending."""
    place = {
        trial.trial_id: (number, index)
        for number, job in enumerate(work.jobs)
        for index, stack in enumerate(job.stacks)
        for trial in stack.trials
    }
    with closing(sqlite3.connect(f"file:{out / DATABASE}?mode=ro", uri=True)) as connection:
        ids = [i for (i,) in connection.execute("SELECT trial_id FROM trials ORDER BY rowid")]
    times: dict[int, list[float]] = defaultdict(list)
    before = 0
    for moment, count in seen.stored:
        for number, _ in dict.fromkeys(place[trial_id] for trial_id in ids[before:count]):
            times[number].append(moment)
        before = count
    return times


def phases(seen: Observed, out: Path, plan: Plan) -> dict[str, float]:
    """Split the wall seconds of a run as the head of this file says."""
    times = finishing_times(seen, out, plan.work)
    gaps = [b - a for moments in times.values() for a, b in pairwise(moments)]
    usual = median(gaps) if gaps else 0.0
    free = [seen.started] * plan.workers  # when each worker finished what it had
    first, later = [], []
    # A worker takes a job whole, so its jobs follow each other; which of two idle workers
    # took a job makes no difference to the sum.
    for moments in sorted(times.values()):
        worker = free.index(min(free))
        own = [b - a for a, b in pairwise(moments)]
        extra = moments[0] - free[worker] - (median(own) if own else usual)
        (first if free[worker] == seen.started else later).append(extra)
        free[worker] = moments[-1]
    call = median(later) if later else 0.0
    start = mean(first) - call
    calls = (sum(later) + call * len(first)) / plan.workers
    last = seen.stored[-1][0]
    summary = (out / "summary.json").stat().st_mtime
    return {
        "start-up": start,
        "first calls of programs": calls,
        "training": last - seen.started - start - calls,
        "table and summary": summary - last,
        "figures and exit": seen.ended - summary,
    }


def main() -> None:
    """Run and print one table of runs and one of phases."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeat", type=positive, default=1, help="number of runs (1)")
    parser.add_argument("--config", type=Path, default=REPOSITORY / "configs/regression.yaml")
    parser.add_argument("--workers", type=positive, help="as of the command (one a core)")
    parser.add_argument("--compile", choices=list(Compiled), default=Compiled.GRAPH)
    options = parser.parse_args()
    extra = ["--compile", options.compile]
    extra += ["--workers", str(options.workers)] if options.workers else []
    settings = Options(workers=options.workers, compiled=Compiled(options.compile))

    runs, parts = [], []
    for number in range(1, options.repeat + 1):
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder, "result")
            plan = api.plan(options.config, out, settings)
            seen = run(options.config, out, extra)
            parts.append(phases(seen, out, plan))
            counts = outcome_counts(out)
        seconds, trials = seen.ended - seen.started, sum(counts.values())
        each = " + ".join(f"{size / _MIB:.0f}" for size in seen.processes)
        runs.append([number, f"{seconds:.1f}", trials, f"{trials / seconds:.0f}"])
        runs[-1] += [f"{seen.peak / _MIB:.0f}", each]
    print(f"{described()}\n- {options.config.name}, {plan.work.programs} programs, {counts}\n")
    header = ["run", "wall s", "trials", "trials/s", "peak MiB, all processes", "each"]
    print(table(header, runs))
    whole = sum(median(part[name] for part in parts) for name in parts[0])
    rows = [
        [name, f"{(seconds := median(part[name] for part in parts)):.1f}", f"{seconds / whole:.0%}"]
        for name in parts[0]
    ]
    print(f"\n{table(['phase (median)', 'wall s', 'share'], rows)}")


if __name__ == "__main__":
    main()
