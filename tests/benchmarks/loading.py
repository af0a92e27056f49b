"""How long loading takes, and how much memory: the table in docs/data.md.

    python tests/benchmarks/loading.py FOLDER

Writes 1,000,000 rows to FOLDER (some 900 MB), loads them in a process each, and prints the
table. Memory is the highest of the process above what it had before, sampled every 5 ms.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
from pyarrow import csv, parquet

from stabilitysweep.config import DatasetSettings
from stabilitysweep.data import load

ROWS = 1_000_000
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "parquet": ("Parquet, float32, 1,000,000 rows", {"path": "wide.parquet"}),
    "sample": ("the same, rows: 10000", {"path": "wide.parquet", "rows": 10_000}),
    "two": ("the same, features: [x0, x1]", {"path": "wide.parquet", "features": ["x0", "x1"]}),
    "unique": ("the same, drop_duplicates", {"path": "wide.parquet", "drop_duplicates": True}),
    "repeats": (
        "the same, of which 300,000 rows repeat others",
        {"path": "repeats.parquet", "drop_duplicates": True},
    ),
    "csv": ("CSV, 1,000,000 rows", {"path": "narrow.csv"}),
    "csv-sample": ("the same, rows: 10000", {"path": "narrow.csv", "rows": 10_000}),
    "npz": ("NPZ, 60,000 images of 28 x 28", {"path": "images.npz"}),
}


def write(folder: Path) -> None:
    """Write the files that are not there yet."""
    generator = np.random.default_rng(0)
    if not (folder / "wide.parquet").exists():
        names = [*(f"x{column}" for column in range(50)), "y"]
        columns = {name: generator.normal(size=ROWS).astype(np.float32) for name in names}
        parquet.write_table(pa.table(columns), folder / "wide.parquet")
    if not (folder / "repeats.parquet").exists():
        table = parquet.read_table(folder / "wide.parquet")
        rows = np.arange(ROWS)
        rows[-300_000:] = generator.integers(0, ROWS - 300_000, 300_000)
        parquet.write_table(table.take(generator.permutation(rows)), folder / "repeats.parquet")
    if not (folder / "narrow.csv").exists():
        columns = {f"x{column}": generator.normal(size=ROWS) for column in range(9)}
        columns |= {"c": generator.choice(["a", "b"], ROWS), "y": generator.normal(size=ROWS)}
        csv.write_csv(pa.table(columns), folder / "narrow.csv")
    if not (folder / "images.npz").exists():
        images = generator.integers(0, 256, (60_000, 28, 28)).astype(np.uint8)
        np.savez(folder / "images.npz", x=images, y=np.arange(60_000) % 10)


def measure(folder: Path, case: str) -> None:
    """Load one case in this process and print its line."""
    title, keys = CASES[case]
    process, done = psutil.Process(), threading.Event()
    load(DatasetSettings(name="iris"), folder)  # what is imported once is no part of it
    before, peak = process.memory_info().rss, [0]

    def watch() -> None:
        while not done.wait(0.005):
            peak[0] = max(peak[0], process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    raw = load(DatasetSettings(target="y", **keys), folder)
    seconds = time.perf_counter() - start
    done.set()
    watcher.join()
    print(f"| {title} | {raw.columns} | {seconds:.1f} | {(peak[0] - before) / 1e6:,.0f} MB |")


if __name__ == "__main__":
    place = Path(sys.argv[1])
    if len(sys.argv) > 2:
        measure(place, sys.argv[2])
    else:
        write(place)
        for name in CASES:
            subprocess.run([sys.executable, __file__, str(place), name], check=True)
