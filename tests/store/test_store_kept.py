"""Results that older versions made, kept as they wrote them: read, extended, brought up to date.

`kept/schema-N.db` is the record of `CONFIG`, made by the last version that wrote schema N, or, of
the schema that is written today, by the first.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from stabilitysweep import open_result
from stabilitysweep.config import parse_config
from stabilitysweep.execution import Options, plan
from stabilitysweep.folder import DATABASE
from stabilitysweep.store import SQLiteStore
from stabilitysweep.store.schema import SCHEMA_VERSION

KEPT = sorted((Path(__file__).parent / "kept").glob("schema-*.db"))

CONFIG: dict[str, Any] = {
    "name": "kept",
    "dataset": {"name": "make_regression", "options": {"n_samples": 40, "n_features": 3}},
    "model": {"width": 4},
    "training": {"steps": 10, "batch_size": 8, "metrics": ["mae"]},
    "grid": {"activation": ["relu", "tanh"], "learning_rate": [0.01, 1e30]},
    "seeds": 1,
}
STORED = {
    "35f6af790df88d1d": ("tanh", 1e30, "nonfinite", np.nan),
    "4f1dfb69af0bd817": ("relu", 0.01, "stable", 0.8139093518257141),
    "b92aa41be09660ba": ("tanh", 0.01, "stable", 0.4425005316734314),
    "cef2c5f8f0e2ae30": ("relu", 1e30, "nonfinite", np.nan),
}


@pytest.fixture(params=KEPT, ids=lambda path: path.stem)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A result folder with a kept record."""
    shutil.copy(request.param, tmp_path / DATABASE)
    return tmp_path


def version(folder: Path) -> int:
    with closing(sqlite3.connect(f"file:{folder / DATABASE}?mode=ro", uri=True)) as connection:
        (stored,) = connection.execute(
            "SELECT value FROM meta WHERE key = 'schema_version'"
        ).fetchone()
    return int(json.loads(stored))


def test_every_schema_there_was_is_kept() -> None:
    assert [path.name for path in KEPT] == [
        f"schema-{number}.db" for number in range(1, SCHEMA_VERSION + 1)
    ]


def test_a_kept_result_is_read_and_left_as_it_was(folder: Path) -> None:
    before = (folder / DATABASE).read_bytes()
    result = open_result(folder)
    columns = result.trials.set_index("trial_id")[
        ["activation", "learning_rate", "outcome", "final_loss"]
    ]
    for trial_id, expected in STORED.items():
        found = tuple(columns.loc[trial_id])
        assert found[:3] == expected[:3]
        np.testing.assert_equal(found[3], expected[3])
        trace = result.trial(trial_id).result.trace
        assert trace is not None
        assert trace.steps[0] == 1
    assert len(columns) == len(STORED)
    assert result.config.name == "kept"
    assert result.summary.trials == len(STORED)
    assert (folder / DATABASE).read_bytes() == before


def test_a_kept_result_is_extended_by_what_is_missing_alone(folder: Path) -> None:
    again = plan(parse_config(CONFIG), folder, Options(workers=1))
    assert (again.stored, again.work.trials) == (4, 0)
    more = CONFIG | {"grid": CONFIG["grid"] | {"learning_rate": [0.01, 0.1, 1e30]}}
    extended = plan(parse_config(more), folder, Options(workers=1))
    assert (extended.stored, extended.work.trials) == (4, 2)


def test_a_writer_brings_it_up_to_date_and_changes_no_trial(folder: Path) -> None:
    with SQLiteStore(folder / DATABASE, read_only=True) as store:
        before, traces = store.table(["activation"]), store.traces(STORED)
    SQLiteStore(folder / DATABASE).close()
    assert version(folder) == SCHEMA_VERSION
    for read_only in (True, False):
        with SQLiteStore(folder / DATABASE, read_only=read_only) as store:
            pd.testing.assert_frame_equal(store.table(["activation"]), before)
            for trial_id, trace in store.traces(STORED).items():
                np.testing.assert_array_equal(trace.loss, traces[trial_id].loss)
