"""The record of a sweep: an append-only, idempotent store, and what is exported from it."""

from stabilitysweep.store.base import (
    BUILD,
    COMPILED,
    DIGESTS,
    RUNS,
    VERDICTS,
    ConfigRecord,
    Defaults,
    Entry,
    Store,
)
from stabilitysweep.store.export import write_csv, write_json, write_parquet, write_records
from stabilitysweep.store.runs import run_noted
from stabilitysweep.store.sqlite import SQLiteStore

__all__ = [
    "BUILD",
    "COMPILED",
    "DIGESTS",
    "RUNS",
    "VERDICTS",
    "ConfigRecord",
    "Defaults",
    "Entry",
    "SQLiteStore",
    "Store",
    "run_noted",
    "write_csv",
    "write_json",
    "write_parquet",
    "write_records",
]
