"""The record of a sweep: an append-only, idempotent store, and what is exported from it."""

from stabilitysweep.store.base import BUILD, DIGESTS, VERDICTS, ConfigRecord, Defaults, Entry, Store
from stabilitysweep.store.export import write_csv, write_json, write_parquet, write_records
from stabilitysweep.store.sqlite import SQLiteStore

__all__ = [
    "BUILD",
    "DIGESTS",
    "VERDICTS",
    "ConfigRecord",
    "Defaults",
    "Entry",
    "SQLiteStore",
    "Store",
    "write_csv",
    "write_json",
    "write_parquet",
    "write_records",
]
