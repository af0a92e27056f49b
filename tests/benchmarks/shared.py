"""What the benchmarks have in common: the machine's description, tables, subprocesses.

Importing this puts the repository first on the path, so that the scripts measure the
package beside them whether it is installed or not. It does not import TensorFlow.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from stabilitysweep.config import DatasetSettings, PreprocessingSettings
from stabilitysweep.data import PreparedData, load, prepare
from stabilitysweep.provenance import provenance

REPOSITORY = Path(__file__).resolve().parents[2]

ARCHITECTURES = REPOSITORY / "tests" / "architectures"
"""Where users' models of every kind are, and what lays out their sweeps."""

sys.path.append(str(ARCHITECTURES))


def positive(text: str) -> int:
    """Read a whole number of at least 1, for argparse."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, got {value}")
    return value


def diabetes(validation_fraction: float = 0.2) -> PreparedData:
    """Return the regression that the benchmarks train on: 10 columns, standardised.

    353 rows to train on unless `validation_fraction` says otherwise.
    """
    settings = DatasetSettings(name="diabetes", validation_fraction=validation_fraction)
    return prepare(load(settings, Path()), settings, PreprocessingSettings(), "mse")


def environment() -> dict[str, str]:
    """Return the environment for a subprocess: the package found, TensorFlow silent."""
    paths = [str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths), "TF_CPP_MIN_LOG_LEVEL": "3"}


def run_child(script: str, *arguments: str) -> dict[str, Any]:
    """Run a script in a fresh Python and return the JSON object it prints last.

    Raises:
        SystemExit: it failed; its output is shown.
    """
    done = subprocess.run(
        [sys.executable, script, *arguments],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{script} {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def sweep_command(config: Path, out: Path, *options: str) -> list[str]:
    """Return the command that a user would type to run a sweep."""
    command = [sys.executable, "-m", "stabilitysweep", "run", str(config)]
    return [*command, "--out", str(out), *options]


def time_sweep(config: Path, out: Path, *options: str) -> float:
    """Run a sweep as a user would; return the wall seconds of the whole process.

    Raises:
        SystemExit: it failed; its output is shown.
    """
    started = time.perf_counter()
    done = subprocess.run(
        sweep_command(config, out, *options),
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - started
    if done.returncode:
        raise SystemExit(f"the sweep failed ({done.returncode}):\n{done.stdout}{done.stderr}")
    return seconds


def outcome_counts(out: Path) -> dict[str, int]:
    """Return how many trials of a result had each outcome, those that none had left out."""
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    return {name: count for name, count in summary["outcomes"].items() if count}


def described() -> str:
    """Say what was measured on and with, as markdown: processor, load, versions."""
    facts = provenance({}, {}, REPOSITORY, {})
    processor = facts["processor"]
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    usable = len(os.sched_getaffinity(0))
    return (
        f"- machine: {processor['model']}, {usable} of {processor['cores']} cores, "
        f"{processor['system']}, load {os.getloadavg()[0]:.1f} in the last minute\n"
        f"- versions: {versions}; code: {_commit()}"
    )


def _commit() -> str:
    """Name the commit that was measured, and whether the package differs from it."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(REPOSITORY), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--", "stabilitysweep")
        return git("rev-parse", "--short", "HEAD") + (" and changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "not under version control"


def on_each_core(work: Callable[[int, Barrier, Any], None], cores: Sequence[int]) -> list[Any]:
    """Measure in a process for each core, all at the same time; return what each answers.

    Args:
        work: of a core, a barrier at which to wait for the others, and the queue for its answer.
        cores: their numbers.
    """
    context = multiprocessing.get_context("spawn")
    together, answers = context.Barrier(len(cores)), context.Queue()
    workers = [context.Process(target=work, args=(core, together, answers)) for core in cores]
    for worker in workers:
        worker.start()
    found = [answers.get() for _ in workers]
    for worker in workers:
        worker.join()
    return found


def write_page(page: Callable[[Path], tuple[str, bool]], description: str) -> int:
    """Measure, and print or write the page: the command of a benchmark that makes one.

    Args:
        page: makes it in a temporary folder; says whether the bars are met.
        description: what the benchmark does, its first line.

    Returns:
        The exit code, 1 if a bar is missed.
    """
    parser = argparse.ArgumentParser(description=description.partition("\n")[0])
    parser.add_argument("--output", type=Path, help="file to write the page to")
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with tempfile.TemporaryDirectory() as folder:
        text, met = page(Path(folder))
    if options.output:
        options.output.write_text(text, encoding="utf-8")
    else:
        print(text)
    return 0 if met else 1


def table(header: Sequence[str], rows: Iterable[Sequence[Any]], text: int = 1) -> str:
    """Return a markdown table; the first `text` columns are text, the others right-aligned."""
    rules = ["---"] * text + ["---:"] * (len(header) - text)
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in [header, rules, *rows])


def spread(values: Sequence[float], digits: int = 3) -> str:
    """Return the range of several measurements, as `0.91 to 1.04`."""
    return f"{min(values):.{digits}g} to {max(values):.{digits}g}"
