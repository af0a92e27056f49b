"""Runs and workers killed with -9 at random moments: what is lost, and what comes out differently.

A sweep is run once without interruption. Then, again and again into folders of their own, it is
killed at a random moment: in turn the driver with its workers, as a machine that goes down does,
and the driver alone. Half of the moments are drawn from the whole of its duration, from the start
of Python to the last figure, of which most is start-up; the others from the time in which trials
come in. The same command is given again and goes on. At the end every row of the record, its curve
included, is compared with that of the uninterrupted run, byte by byte. Other runs are left alone,
but one of their workers is killed at a random moment, twice. What had ended before it could be
killed is done again.

The bars: every row equal, no trial lost, none stored or trained twice, nothing left running. The
exit code is 1 if one is missed.

    python tests/benchmarks/survival.py --output docs/survival.md
    python tests/benchmarks/survival.py --runs 4 --workers-killed 2
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml
from shared import described, environment, positive, sweep_command, table

from stabilitysweep.folder import DATABASE
from stabilitysweep.store import RUNS, SQLiteStore

SEED = 1_234
CONFIG: dict[str, Any] = {
    "name": "survival",
    "dataset": {"name": "diabetes"},
    "model": {"width": 32},
    "training": {"steps": 150, "batch_size": 32},
    "grid": {
        "learning_rate": {"from": 1e-3, "to": 100, "num": 16, "scale": "log"},
        "activation": ["relu", "tanh"],
        "depth": [1, 2, 3],
    },
    "seeds": 4,
}
TRIALS = 16 * 2 * 3 * 4
GOING_DOWN, ALONE, WORKER = "driver and workers", "driver alone", "workers"
KILLS_OF_WORKERS = 2
HEADER = ("killed", "when", "times", "trials stored then", "as uninterrupted")
_LEAVING_SECONDS = 10.0
_LOOK_SECONDS = 0.1

Row = tuple[Any, ...]


@dataclass
class Case:
    """One folder: what was killed, what was stored then, and what came of it in the end.

    Attributes:
        killed: what was.
        phase: how far the run was.
        stored: rows in the record after the kill.
        trained: trials that a run trained to its end before the kill.
        faults: what is not as it should be; empty if all is well.
    """

    killed: str
    phase: str
    stored: int
    trained: int = 0
    faults: list[str] = field(default_factory=list)


def start(config: Path, out: Path) -> subprocess.Popen[bytes]:
    """Start the sweep in a process group of its own."""
    return subprocess.Popen(
        sweep_command(config, out, "--workers", "2", "--quiet"),
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def ended(run: subprocess.Popen[bytes]) -> str:
    """Wait for a run that nobody kills; return what is wrong with its end."""
    _, err = run.communicate()
    return "" if run.returncode == 0 else f"exit code {run.returncode}: {err.decode()[-300:]}"


def rows(out: Path) -> dict[str, Row]:
    """Return every stored trial with all its columns and its curve, by its id.

    Raises:
        SystemExit: an id stands there twice.
    """
    if not (out / DATABASE).exists():
        return {}
    with closing(sqlite3.connect(out / DATABASE)) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'trials'").fetchone():
            return {}
        cursor = connection.execute("SELECT * FROM trials")
        names = [column[0] for column in cursor.description]
        place, config = names.index("trial_id"), names.index("config_id")
        found = cursor.fetchall()
    by_id = {row[place]: (*row[:config], *row[config + 1 :]) for row in found}
    if len(by_id) != len(found):
        raise SystemExit(f"{out}: a trial is stored twice")
    return by_id


def trained(out: Path) -> int:
    """Return how many trials all runs trained that came to the end of their training."""
    if not rows(out):
        return 0
    with SQLiteStore(out / DATABASE, read_only=True) as store:
        return sum(int(noted["trials"]) for noted in store.meta().get(RUNS, []))


def family(run: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Return the processes that a run has started."""
    try:
        return psutil.Process(run.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def workers(run: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Return its workers."""
    found = []
    for process in family(run):
        with contextlib.suppress(psutil.NoSuchProcess):
            if "--multiprocessing-fork" in process.cmdline():
                found.append(process)
    return found


def phase(out: Path, stored: int) -> str:
    """Say how far a run was that was killed."""
    if not (out / DATABASE).exists():
        return "before its record"
    if not stored:
        return "before its first trial"
    return "training" if stored < TRIALS else "writing files"


def undisturbed(config: Path, out: Path) -> tuple[float, tuple[float, float], tuple[float, float]]:
    """Run the sweep; return how long it takes, and from when to when workers and trials come.

    Raises:
        SystemExit: it failed.
    """
    began = time.monotonic()
    run = start(config, out)
    seen: list[float] = []
    stored: list[float] = []
    while run.poll() is None:
        if workers(run):
            seen.append(time.monotonic() - began)
        with contextlib.suppress(sqlite3.OperationalError):  # its tables are being made
            if 0 < len(rows(out)) < TRIALS:
                stored.append(time.monotonic() - began)
        time.sleep(_LOOK_SECONDS)
    seconds = time.monotonic() - began
    if fault := ended(run):
        raise SystemExit(f"the uninterrupted run failed: {fault}")
    return seconds, (seen[0], seen[-1]), (stored[0], stored[-1])


def kill_run(config: Path, out: Path, seconds: float, killed: str) -> Case | None:
    """Start a run, kill it after so many seconds, and see that nothing of it is left.

    Returns:
        What was found; None if it had ended before.
    """
    run = start(config, out)
    with contextlib.suppress(subprocess.TimeoutExpired):
        run.wait(timeout=seconds)
    members = family(run)
    if run.poll() is not None:
        run.communicate()
        return None
    if killed == GOING_DOWN:
        os.killpg(run.pid, signal.SIGKILL)
    else:
        run.kill()
    run.communicate()
    left = psutil.wait_procs(members, timeout=_LEAVING_SECONDS)[1]
    for process in left:
        process.kill()
    stored = len(rows(out))
    case = Case(killed, phase(out, stored), stored, trained(out))
    if left:
        case.faults.append(f"{len(left)} processes left running")
    return case


def compare(case: Case, out: Path, before: dict[str, Row], whole: dict[str, Row]) -> None:
    """Add to a case what differs from the uninterrupted run."""
    found = rows(out)
    lost = whole.keys() - found.keys()
    other = [name for name in found.keys() & whole.keys() if found[name] != whole[name]]
    again = [name for name in before if found.get(name) != before[name]]
    for names, words in (
        (lost, "lost"),
        (found.keys() - whole.keys(), "that do not belong there"),
        (other, "that differ"),
        (again, "stored before the kill and changed since"),
    ):
        if names:
            case.faults.append(f"{len(names)} trials {words}")
    missing, again_trained = len(whole) - len(before), trained(out) - case.trained
    if again_trained != missing:
        case.faults.append(f"{again_trained} trials trained where {missing} were missing")
    for name in ("summary.json", "trials.csv", "trials.parquet", "report.html"):
        if not (out / name).is_file():
            case.faults.append(f"no {name}")
    if list(out.rglob("*.tmp")):
        case.faults.append("files half written")


def killed_and_resumed(
    config: Path, out: Path, seconds: float, killed: str, whole: dict[str, Row]
) -> Case | None:
    """Kill a run, give the command again, and compare; None if it had ended before."""
    case = kill_run(config, out, seconds, killed)
    if case is None:
        return None
    before = rows(out)
    case.faults += filter(None, [ended(start(config, out))])
    compare(case, out, before, whole)
    return case


def workers_killed(
    config: Path, out: Path, moments: Sequence[float], chance: random.Random, whole: dict[str, Row]
) -> Case | None:
    """Kill a worker of a run at each of some moments, and compare; None if there was none."""
    began = time.monotonic()
    run = start(config, out)
    killed = 0
    for moment in sorted(moments):
        time.sleep(max(0.0, began + moment - time.monotonic()))
        found = workers(run)
        if found and run.poll() is None:
            with contextlib.suppress(psutil.NoSuchProcess):
                chance.choice(found).kill()
                killed += 1
    fault = ended(run)
    if not killed and not fault:
        return None
    case = Case(WORKER, f"{killed} of them", 0, faults=[fault] if fault else [])
    compare(case, out, {}, whole)
    return case


def measure(folder: Path, runs: int, others: int) -> tuple[str, bool]:
    """Kill and compare; return the page, and whether the bars are met."""
    config = folder / "survival.yaml"
    config.write_text(yaml.safe_dump(CONFIG, sort_keys=False), encoding="utf-8")
    seconds, (first, last), coming = undisturbed(config, folder / "whole")
    whole = rows(folder / "whole")
    if len(whole) != TRIALS:
        raise SystemExit(f"expected {TRIALS} trials of the uninterrupted run, got {len(whole)}")

    chance = random.Random(SEED)
    out = folder / "out"
    cases: list[Case] = []
    while len(cases) < runs:
        killed = (GOING_DOWN, ALONE)[len(cases) % 2]
        moment = chance.uniform(*(coming if len(cases) % 4 > 1 else (0.0, seconds)))
        _add(cases, killed_and_resumed(config, out, moment, killed, whole), out)
    while len(cases) < runs + others:
        moments = [chance.uniform(first, last) for _ in range(KILLS_OF_WORKERS)]
        _add(cases, workers_killed(config, out, moments, chance, whole), out)
    return written(cases, seconds), not any(case.faults for case in cases)


def _add(cases: list[Case], case: Case | None, out: Path) -> None:
    """Add a case to the others, and say how it went; make room for the next."""
    shutil.rmtree(out, ignore_errors=True)
    if case is not None:
        cases.append(case)
        state = "; ".join(case.faults) or "well"
        print(f"{len(cases)}: {case.killed} killed, {case.phase}: {state}", file=sys.stderr)


def written(cases: Sequence[Case], seconds: float) -> str:
    """Write the page."""
    lines = []
    for killed in (GOING_DOWN, ALONE, WORKER):
        own = [case for case in cases if case.killed == killed]
        for when, number in sorted(Counter(case.phase for case in own).items()):
            same = [case for case in own if case.phase == when]
            stored = [case.stored for case in same]
            lines.append(
                [
                    killed,
                    when,
                    number,
                    "" if killed == WORKER else f"{min(stored)} to {max(stored)}",
                    sum(not case.faults for case in same),
                ]
            )
    faults = sorted(
        {f"- {case.killed}, {case.phase}: {fault}" for case in cases for fault in case.faults}
    )
    bad = sum(bool(case.faults) for case in cases)
    verdict = (
        f"All {len(cases)} came to the uninterrupted result: every row equal to the byte, curves "
        "included, no trial lost, none twice, nothing left running and no file half written."
        if not bad
        else f"{bad} of {len(cases)} did not come to the uninterrupted result:\n\n"
        + "\n".join(faults)
    )
    runs = sum(case.killed != WORKER for case in cases)
    return (
        "# What survives kill -9\n\n"
        "Written by `python tests/benchmarks/survival.py --output docs/survival.md`.\n\n"
        f"A sweep of {TRIALS} trials in 6 programs by two workers takes {seconds:.0f} s when nobody"
        f" disturbs it. It was run {runs} times, killed with -9 at a random moment, half of them "
        "aimed at the time in which trials come in, and run again. In "
        f"{len(cases) - runs} further runs one of the two workers "
        f"was killed at up to {KILLS_OF_WORKERS} random moments, and nothing else done.\n\n"
        f"{described()}\n\n"
        f"{table(HEADER, lines, 2)}\n\n"
        f"{verdict}\n\n"
        "What is stored is stored a stack at a time, in a transaction of SQLite in WAL mode: after "
        "a kill the record holds whole stacks, and the next run trains the rest, to the same bits. "
        "A power cut may take the last transactions along, whole ones too; they are trained again. "
        "A worker that dies costs the stack it was at, which another trains: see "
        "[when something fails](result.md#when-something-fails).\n"
    )


def main() -> int:
    """Measure, and print or write the page."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--output", type=Path, help="file to write the page to")
    parser.add_argument("--runs", type=positive, default=50, help="runs to kill (50)")
    parser.add_argument(
        "--workers-killed", type=positive, default=20, help="runs to kill workers of (20)"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        text, met = measure(Path(folder), options.runs, options.workers_killed)
    if options.output:
        options.output.write_text(text, encoding="utf-8")
    else:
        print(text)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
