"""How long the audit of 1,000,000 rows by 50 columns takes, in which memory, and what it finds.

A Parquet file is generated, mostly float32, with a fault in each of some columns. `check` runs on
it as a process of its own, start-up and the hash of the content included; the audit alone is
timed in another. The exit code is 1 if a bar or a planted fault is missed, or if anything is
found that was not planted. The same file without faults must have no findings.

    python tests/benchmarks/audit.py
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import yaml
from shared import described, environment, positive, run_child, table
from sklearn.model_selection import train_test_split

from stabilitysweep.config import load_config
from stabilitysweep.data import load, split_rows
from stabilitysweep.data.audit import audit

ROWS, COLUMNS, REPEATED = 1_000_000, 50, 5_000
MOST_SECONDS, MOST_BYTES = 10.0, 2 * 10**9

SWEEP: dict[str, Any] = {
    "name": "audited",
    "dataset": {"path": "audited.parquet", "target": "y"},
    "model": {"batch_norm": True},
    "grid": {
        "precision": ["float32", "float16"],
        "scaling": ["none", "standard"],
        "target_scaling": ["none", "standard"],
        "learning_rate": [0.01, 0.1],
    },
}
TINY_LAST_BATCH = {**SWEEP, "training": {"batch_size": 799_999}}

Change = Callable[[Any, np.random.Generator], Any]


class Fault(NamedTuple):
    """What is planted.

    Attributes:
        code: what is to be found.
        column: where.
        count: how many.
        change: makes the column faulty; None for what the sweep itself brings about.
        follows: codes that must be found in the column besides.
    """

    code: str
    column: str
    count: int
    change: Change | None
    follows: tuple[str, ...] = ()


def some(count: int, value: float) -> Change:
    """Put a value into so many rows."""

    def change(column: Any, random: np.random.Generator) -> Any:
        column = column.to_numpy().copy()
        column[random.choice(len(column), count, replace=False)] = value
        return column

    return change


def towns(column: Any, random: np.random.Generator) -> Any:
    """300 texts."""
    names = [f"town {number}" for number in range(300)]
    return np.array(names, object)[random.integers(0, 300, len(column))]


def marked(column: Any, random: np.random.Generator) -> Any:
    """Numbers as text, with a question mark in 7 rows."""
    texts = random.integers(0, 90, len(column)).astype(str).astype(object)
    texts[random.choice(len(column), 7, replace=False)] = "?"
    return texts


def days(column: Any, random: np.random.Generator) -> Any:
    """Dates."""
    day = np.timedelta64(86_400, "s")
    return np.datetime64("2020-01-01", "s") + random.integers(0, 1_500, len(column)) * day


_SQUARED = "beyond_float16_squared"
FAULTS = (
    Fault("target_outliers", "y", 3, some(3, 5e3), ("large_target",)),
    Fault("missing_values", "c0", 1_000, some(1_000, np.nan)),
    Fault("infinite_values", "c1", 2, some(2, np.inf)),
    Fault("empty_column", "c2", ROWS, lambda column, random: column * np.nan),
    Fault("constant_column", "c3", 800_000, lambda column, random: column * 0 + 7),
    Fault("beyond_float16", "c4", 4, some(4, 1e5), ("outliers",)),
    Fault(_SQUARED, "c5", ROWS, lambda column, random: column + 300),
    Fault("large_offset", "c6", 1, lambda column, random: column / 20 + 100),
    Fault("outliers", "c7", 5, some(5, 60.0)),
    Fault("sentinel_values", "c8", 500, some(500, -999.0), (_SQUARED,)),
    Fault(
        "identifier", "c9", ROWS, lambda column, random: random.permutation(len(column)),
        ("beyond_float16", "unequal_scales"),
    ),
    Fault("duplicate_column", "c11", ROWS, None),
    Fault("target_leak", "c12", ROWS, None, ("outliers", _SQUARED)),
    Fault("date_column", "c13", 800_000, days, (_SQUARED,)),
    Fault("many_categories", "c14", 300, towns),
    Fault("numbers_as_text", "c15", 7, marked),
)  # fmt: skip


def make_file(path: Path, kind: str) -> None:
    """Write the file: `clean`, with `faults`, or clean but for 5,000 `repeated` rows."""
    random = np.random.default_rng(0)
    numbers = random.standard_normal((ROWS, COLUMNS), dtype=np.float32)
    numbers[:, COLUMNS // 2 :] = random.random((ROWS, COLUMNS - COLUMNS // 2), dtype=np.float32)
    frame = pd.DataFrame(numbers, columns=[f"c{place}" for place in range(COLUMNS)], copy=False)
    frame["y"] = random.standard_normal(ROWS, dtype=np.float32)
    if kind == "faults":
        for fault in FAULTS:
            if fault.change is not None:
                frame[fault.column] = fault.change(frame[fault.column], random)
        frame["c11"], frame["c12"] = frame["c10"], frame["y"]
    if kind == "repeated":
        train, validation = train_test_split(np.arange(ROWS), test_size=0.2, random_state=0)
        source = np.arange(ROWS)
        source[validation[:REPEATED]] = train[:REPEATED]
        frame = frame.take(source)
    frame.to_parquet(path, index=False)


def measure(config: Path) -> dict[str, Any]:
    """Time the audit alone; return its seconds and what it found."""
    sweep = load_config(config)
    (dataset,) = sweep.datasets
    raw = load(dataset, sweep.base_folder)
    split = split_rows(raw, dataset)
    began = time.perf_counter()
    findings = audit(raw, split, dataset, sweep)
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "found": [finding.to_json() for finding in findings]}


def check(config: Path) -> tuple[float, int]:
    """Run `check` as a user would; return its wall seconds and peak resident bytes.

    Raises:
        SystemExit: it failed.
    """
    command = [sys.executable, "-m", "stabilitysweep", "check", str(config)]
    began = time.perf_counter()
    child = subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - began
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"check failed: {child.returncode}")
    return seconds, usage.ru_maxrss * 1024


def compared(found: list[dict[str, Any]]) -> tuple[list[list[str]], list[str]]:
    """Lines for each planted fault, and what was found beyond them or missed."""
    left = {(one["code"], one["column"]): one for one in found}
    lines, wrong = [], []
    for fault in FAULTS:
        one = left.pop((fault.code, fault.column), None)
        good = one is not None and one["count"] == fault.count
        if not good:
            wrong.append(f"{fault.code} of {fault.column}")
        seen = "missed" if one is None else f"{one['count']:,}"
        severity = "" if one is None else one["severity"]
        lines.append([f"`{fault.code}`", fault.column, severity, f"{fault.count:,}", seen])
        wrong += [
            f"{code} of {fault.column}"
            for code in fault.follows
            if left.pop((code, fault.column), None) is None
        ]
    wrong += [f"{code} of {column}, not planted" for code, column in left]
    return lines, wrong


def main() -> None:
    """Make the files, measure, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=positive, default=3)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure)))
        return
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data, config = folder / "audited.parquet", folder / "audited.yaml"

        def others(kind: str, sweep: dict[str, Any]) -> list[tuple[str, str, int]]:
            make_file(data, kind)
            config.write_text(yaml.safe_dump(sweep, sort_keys=False), encoding="utf-8")
            found = run_child(__file__, "--measure", str(config))["found"]
            return [(one["code"], one["column"], one["count"]) for one in found]

        for kind, sweep, expected in (
            ("clean", SWEEP, []),
            ("clean", TINY_LAST_BATCH, [("tiny_last_batch", "", 1)]),
            ("repeated", SWEEP, [("duplicate_rows", "", REPEATED)]),
        ):
            if (found := others(kind, sweep)) != expected:
                wrong.append(f"{kind}: expected {expected}, found {found}")
        make_file(data, "faults")
        config.write_text(yaml.safe_dump(SWEEP, sort_keys=False), encoding="utf-8")
        size = data.stat().st_size
        runs = [check(config) for _ in range(options.repeat)]
        alone = [run_child(__file__, "--measure", str(config)) for _ in range(options.repeat)]
    lines, missed = compared(alone[-1]["found"])
    wrong += missed
    seconds = statistics.median(taken for taken, _ in runs)
    most = max(peak for _, peak in runs)
    print(described())
    print(f"- file: {ROWS:,} rows x {COLUMNS} columns and the target, {size / 1e6:.0f} MB\n")
    print(
        f"`check`: {seconds:.1f} s (median of {len(runs)}; bar {MOST_SECONDS:g} s), peak memory "
        f"{most / 1e9:.2f} GB (bar {MOST_BYTES / 1e9:g} GB)."
    )
    print(f"The audit alone: {statistics.median(one['seconds'] for one in alone):.1f} s.\n")
    print(table(("planted", "column", "severity", "number", "found"), lines, text=3))
    print("\nClean file: nothing may be found; 5,000 rows of the split repeated; 1 row in a batch.")
    if seconds > MOST_SECONDS:
        wrong.append(f"{seconds:.1f} s")
    if most > MOST_BYTES:
        wrong.append(f"{most / 1e9:.2f} GB")
    print(f"Wrong: {'; '.join(wrong) or 'nothing'}.")
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
