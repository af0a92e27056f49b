"""How much memory a result takes a trial: a million of them are to fit beside all else."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from inline_executor import run_inline

from stabilitysweep import open_result
from stabilitysweep.report.payload import result_payload
from stabilitysweep.report.shown import shown
from stabilitysweep.result import saved
from stabilitysweep.store import export, write_parquet

TRIALS = 20_000
CONTENT: dict[str, Any] = {
    "name": "memory",
    "dataset": {"name": "make_regression", "options": {"n_samples": 20, "n_features": 3}},
    "training": {"steps": 3},
    "grid": {
        "l2": {"from": 1e-6, "to": 1, "num": 125, "scale": "log"},
        "learning_rate": {"from": 1e-4, "to": 1e2, "num": 40, "scale": "log"},
    },
    "seeds": 4,
}

TABLE = 400.0
"""Bytes of the table a trial: 33 columns, an id, and of every third trial a sentence."""

POOLS: list[pyarrow.MemoryPool] = []
"""All that were used: what Arrow still holds of one would be lost with it."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A record of trials, a third of which failed, with its files."""
    found = tmp_path_factory.mktemp("memory") / "result"
    run_inline(found, CONTENT)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(saved, "LEAST_TRIALS", TRIALS)
        open_result(found).save(figures=False)
    return found


@pytest.fixture(autouse=True)
def in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many parts as a million trials have, or more, so that one of them takes little."""
    monkeypatch.setattr(export, "_ROWS", TRIALS // 20)


@contextmanager
def bytes_a_trial() -> Iterator[Callable[[], float]]:
    """Gives the peak since its beginning, of Python's and NumPy's memory and of Arrow's."""
    usual = pyarrow.default_memory_pool()
    pool = pyarrow.proxy_memory_pool(usual)
    POOLS.append(pool)
    pyarrow.set_memory_pool(pool)
    gc.collect()
    tracemalloc.start()
    try:
        yield lambda: (tracemalloc.get_traced_memory()[1] + (pool.max_memory() or 0)) / TRIALS
    finally:
        tracemalloc.stop()
        pyarrow.set_memory_pool(usual)


def test_a_record_is_read_into_little_more_than_its_table(folder: Path) -> None:
    with bytes_a_trial() as peak:
        result = open_result(folder)
        assert len(result.trials) == TRIALS
        assert peak() < 2 * TABLE


def test_a_table_is_written_without_another_beside_it(folder: Path, tmp_path: Path) -> None:
    table = open_result(folder).trials
    with bytes_a_trial() as peak:
        write_parquet(table, tmp_path / "trials.parquet")
        assert peak() < TABLE / 4


def test_a_file_is_read_into_little_more_than_its_table(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saved, "LEAST_TRIALS", TRIALS)
    with bytes_a_trial() as peak:
        result = open_result(folder)
        assert result._saved is not None
        assert len(result.trials) == TRIALS
        assert peak() < 1.5 * TABLE


def test_a_page_reads_no_trace_of_a_trial_that_it_does_not_show(folder: Path) -> None:
    result = open_result(folder)
    part = shown(result, most=TRIALS // 50)
    assert result.boundaries is not None
    with bytes_a_trial() as peak:
        assert result_payload(result, "memory", (), 1e6, part)["curves"] is not None
        assert peak() < TABLE / 2
