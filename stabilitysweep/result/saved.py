"""The trials table of a large result, as the file beside its record has it.

To read a million trials and to explain those that failed takes a minute or two; a run does so at
its end, and leaves `trials.parquet`. While nothing has been added to the record since, the package
is the same, and nobody has edited the file (`summary.json` has its digest), it is the table.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stabilitysweep.store import SQLiteStore
from stabilitysweep.store.rows import MEASURED
from stabilitysweep.types import Outcome

TABLE = "trials.parquet"
SUMMARY = "summary.json"
DIGEST = "table_digest"
"""Key of `SUMMARY` under which the digest of `TABLE` stands."""

LEAST_TRIALS = 50_000
"""Trials from which on the file is looked at: fewer are read from the record as fast."""

_KEY = "stabilitysweep"
_MAKING = (
    *(f"{name}/**/*.py" for name in ("analysis", "config", "grid", "numerics", "result", "store")),
    "recorded.py",
    "types.py",
)
_COUNTS = frozenset(name for name, kind in MEASURED.items() if kind == "count")


@dataclass(frozen=True, slots=True)
class Saved:
    """What the file of a result tells.

    Attributes:
        table: the trials table.
        wanted: number of trials the result has when the sweep is complete.
    """

    table: pd.DataFrame
    wanted: int


def marked(table: pd.DataFrame, store: SQLiteStore, wanted: int) -> pd.DataFrame:
    """Return the table with marks by which `saved` knows it again, where it can be read back.

    Args:
        table: the whole trials table of a record.
        store: the record.
        wanted: see `Saved`.
    """
    if len(table) < LEAST_TRIALS or not all(map(_comes_back, table.items())):
        return table
    crashed = int((table["outcome"] == Outcome.CRASHED).sum())
    facts = {**_facts(store), "trials": len(table), "crashed": crashed, "wanted": wanted}
    found = table.copy(deep=False)
    found.attrs = {_KEY: facts}
    return found


def sealed(table: pd.DataFrame, path: Path) -> dict[str, str]:
    """Return what `SUMMARY` is to hold of a written table; empty where it is not marked."""
    return {DIGEST: _digest(path)} if _KEY in table.attrs else {}


def saved(folder: Path, store: SQLiteStore) -> Saved | None:
    """Return the table that `marked` and written stands in a folder; None if it is outdated.

    A measured trial never changes, and a crashed one only by being measured after all: the same
    numbers of both are the same trials.

    Args:
        folder: of the result.
        store: its record.
    """
    from pyarrow import ArrowException, parquet

    number = store.count()
    if number < LEAST_TRIALS:
        return None
    try:
        known = (parquet.read_schema(folder / TABLE).metadata or {}).get(b"PANDAS_ATTRS", b"{}")
        facts = json.loads(known).get(_KEY, {})
        expected = {**_facts(store), "trials": number}
        if any(facts.get(name) != value for name, value in expected.items()):
            return None
        if facts["crashed"] and store.count(Outcome.CRASHED) != facts["crashed"]:
            return None
        summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
        if summary.get(DIGEST) != _digest(folder / TABLE):
            return None  # edited: what reads the file may well have kept the marks
        return Saved(_read(folder / TABLE), int(facts["wanted"]))
    except (OSError, ArrowException, ValueError, KeyError, AttributeError):
        return None  # it is for others to read, and may be anything: the record tells as well


def _facts(store: SQLiteStore) -> dict[str, Any]:
    configs = [(config.config_id, config.created) for config in store.configs()]
    return {
        "record": store.meta()["created"],
        "configs": [list(config) for config in configs],
        "code": _code(),
    }


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


@cache
def _code() -> str:
    """The digest of what makes the table: another version may explain failures in other words."""
    digest = hashlib.blake2b(digest_size=16)
    root = Path(__file__).parents[1]
    for path in sorted(chain.from_iterable(map(root.glob, _MAKING))):
        digest.update(str(path.relative_to(root)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _comes_back(column: tuple[Any, pd.Series[Any]]) -> bool:
    """Whether a column is read from Parquet as it was written."""
    name, values = column
    if values.dtype == object:
        return all(value is None or type(value) is str for value in values)
    return (values.dtype == "Int64") == (name in _COUNTS)


def _read(path: Path) -> pd.DataFrame:
    from pyarrow import parquet, types

    columns: dict[str, Any] = {}
    file = parquet.ParquetFile(path)
    for name in file.schema_arrow.names:  # one by one, or Arrow's form of all is there as well
        column = file.read(columns=[name]).column(0).combine_chunks()
        if name in _COUNTS:
            missing = column.is_null().to_numpy(zero_copy_only=False)
            whole = column.fill_null(1).to_numpy(zero_copy_only=False).astype(np.int64)
            columns[name] = pd.arrays.IntegerArray(whole, missing)
        elif types.is_string(column.type) or types.is_large_string(column.type):
            columns[name] = pd.Series(_texts(column), dtype=object)
        elif types.is_null(column.type):
            columns[name] = pd.Series([None] * len(column), dtype=object)
        else:
            columns[name] = column.to_numpy(zero_copy_only=False).copy()
    return pd.DataFrame(columns, copy=False)


def _texts(column: Any) -> Any:
    """Texts, one object for all that are equal; None where there is none."""
    coded = column.dictionary_encode()
    known = np.array([*coded.dictionary.to_pylist(), None], object)
    return known[coded.indices.fill_null(len(known) - 1).to_numpy(zero_copy_only=False)]
