"""The record of a sweep in one SQLite file."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from stabilitysweep.errors import ResultError
from stabilitysweep.store.base import ConfigRecord, Defaults, Entry, Store
from stabilitysweep.store.encoding import decode_trace, encode_json
from stabilitysweep.store.rows import COLUMNS, from_row, to_rows
from stabilitysweep.store.schema import connect, made_again, now, reporting, transaction
from stabilitysweep.store.table import TABLED, TableColumns
from stabilitysweep.store.traces import PackedTraces
from stabilitysweep.types import Trace

_KEPT_BY_THE_STORE = ("schema_version", "created")
_LISTED = 5
_BATCH = 2_000
"""Rows of the trials table that are read at once."""

_ADD = (
    f"INSERT INTO trials ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))}) "
    "ON CONFLICT (trial_id) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in COLUMNS if name != "trial_id")
    + " WHERE trials.outcome = 'crashed'"
)
_TABLE = f"SELECT {', '.join(TABLED)} FROM trials ORDER BY trial_id"
_CONFIGS = "SELECT config_id, created, resolved, provenance FROM configs ORDER BY config_id"


class SQLiteStore(Store):
    """A store in one file (beside it, while it is open, SQLite's `-wal` and `-shm`).

    Example:
        >>> from stabilitysweep.types import Outcome, TrialResult
        >>> folder = getfixture("tmp_path")
        >>> with SQLiteStore(folder / "sweep.db") as store:
        ...     _ = store.record_config({"name": "demo"}, {})
        ...     trial = Entry({"depth": 2}, 0, TrialResult("4f", Outcome.STABLE, "fit"))
        ...     store.add([trial]), store.add([trial]), store.find("4")
        (1, 0, '4f')
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """Open a record; create it if there is none and it may be written.

        Args:
            path: the file, in a folder that exists.
            read_only: open an existing record and never write to it; works while another
                process writes, and in a folder that cannot be written to.

        Raises:
            ResultError: there is no record to read, or the file is damaged, foreign, or
                of a newer version.
        """
        self._path = path
        self._lock = threading.RLock()
        self._connection = connect(path, read_only=read_only)

    def record_config(self, resolved: Mapping[str, Any], provenance: Mapping[str, Any]) -> int:
        """See `Store.record_config`."""
        row = (encode_json(dict(resolved)), encode_json(dict(provenance)))
        with self._use() as connection, transaction(connection):
            latest = connection.execute(
                "SELECT config_id, resolved, provenance FROM configs "
                "ORDER BY config_id DESC LIMIT 1"
            ).fetchone()
            if latest is not None and latest[1:] == row:
                return int(latest[0])
            cursor = connection.execute(
                "INSERT INTO configs (created, resolved, provenance) VALUES (?, ?, ?)",
                (now(), *row),
            )
            assert cursor.lastrowid is not None
            return cursor.lastrowid

    def configs(self) -> list[ConfigRecord]:
        """See `Store.configs`."""
        with self._use() as connection:
            return [
                ConfigRecord(number, created, json.loads(resolved), json.loads(provenance))
                for number, created, resolved, provenance in connection.execute(_CONFIGS)
            ]

    def latest_config(self) -> ConfigRecord | None:
        """See `Store.latest_config`."""
        recorded = self.configs()
        return recorded[-1] if recorded else None

    def set_meta(self, key: str, value: Any) -> None:
        """See `Store.set_meta`."""
        if key in _KEPT_BY_THE_STORE:
            raise ValueError(f"{key!r} is kept by the store itself")
        with self._use() as connection:
            connection.execute("REPLACE INTO meta VALUES (?, ?)", (key, encode_json(value)))

    def meta(self) -> dict[str, Any]:
        """See `Store.meta`."""
        with self._use() as connection:
            rows = connection.execute("SELECT key, value FROM meta ORDER BY key").fetchall()
            return {key: json.loads(value) for key, value in rows}

    def add(self, entries: Sequence[Entry], *, config_id: int | None = None) -> int:
        """See `Store.add`."""
        with self._use() as connection, transaction(connection):
            config = self._config_id(connection, config_id)
            before = connection.total_changes
            connection.executemany(_ADD, to_rows(list(entries), config))
            return connection.total_changes - before

    def stored_ids(self, *, include_crashed: bool) -> set[str]:
        """See `Store.stored_ids`."""
        query = "SELECT trial_id FROM trials"
        if not include_crashed:
            query += " WHERE outcome <> 'crashed'"
        with self._use() as connection:
            return {trial_id for (trial_id,) in connection.execute(query)}

    def count(self, outcome: str | None = None) -> int:
        """See `Store.count`."""
        chosen = "" if outcome is None else " WHERE outcome = ?"
        given = [] if outcome is None else [str(outcome)]
        with self._use() as connection:
            query = f"SELECT count(*) FROM trials{chosen}"
            return int(connection.execute(query, given).fetchone()[0])

    def result(self, trial_id: str) -> Entry:
        """See `Store.result`."""
        with self._use() as connection:
            row = connection.execute(
                f"SELECT {', '.join(COLUMNS)} FROM trials WHERE trial_id = ?", (trial_id,)
            ).fetchone()
            if row is None:
                raise ResultError(self._no_trial(connection, trial_id))
        with self._decoding(f"trial {trial_id}"):
            return from_row(row)

    def traces(self, trial_ids: Collection[str]) -> Mapping[str, Trace]:
        """See `Store.traces`."""
        wanted = set(trial_ids)
        with self._use() as connection:
            rows = connection.execute("SELECT trial_id, trace FROM trials")
            packed = {own: blob for own, blob in rows if blob is not None and own in wanted}
        return PackedTraces(packed, self._decoding)

    def trace(self, trial_id: str) -> Trace | None:
        """See `Store.trace`."""
        query = "SELECT trace FROM trials WHERE trial_id = ?"
        with self._use() as connection:
            (blob,) = connection.execute(query, (trial_id,)).fetchone() or (None,)
        with self._decoding(f"the trace of trial {trial_id}"):
            return decode_trace(blob)

    def find(self, prefix: str) -> str:
        """See `Store.find`."""
        with self._use() as connection:
            found = self._starting_with(connection, prefix)
            if not prefix or not found:
                raise ResultError(self._no_trial(connection, prefix))
        if len(found) == 1 or found[0] == prefix:
            return found[0]
        shown = ", ".join(found[:_LISTED]) + (" and more" if len(found) > _LISTED else "")
        raise ResultError(f"'{prefix}' begins several trial ids: {shown}. Give more digits.")

    def table(
        self,
        axes: Sequence[str],
        *,
        defaults: Defaults | None = None,
        metrics: Sequence[str] = (),
    ) -> pd.DataFrame:
        """See `Store.table`."""
        columns = TableColumns(axes, self.count())
        with self._use() as connection, self._decoding("the trials table"):
            cursor = connection.execute(_TABLE)
            while rows := cursor.fetchmany(_BATCH):
                columns.add(rows)
            # After the trials: the config of every trial just read is among them.
            configs = {config.config_id: config for config in self.configs()}
            return columns.table(configs, defaults, metrics)

    def close(self) -> None:
        """See `Store.close`."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def _use(self) -> Iterator[sqlite3.Connection]:
        with self._lock, reporting(self._path):
            yield self._connection

    @contextmanager
    def _decoding(self, what: str) -> Iterator[None]:
        try:
            yield
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ResultError(
                f"{self._path}: {what} cannot be read, the record is damaged: {error}. "
                f"{made_again(self._path)}"
            ) from error

    @staticmethod
    def _config_id(connection: sqlite3.Connection, wanted: int | None) -> int:
        if wanted is None:
            (latest,) = connection.execute("SELECT max(config_id) FROM configs").fetchone()
            if latest is None:
                raise ValueError("no config is recorded; call record_config before add")
            return int(latest)
        if not connection.execute(
            "SELECT 1 FROM configs WHERE config_id = ?", (wanted,)
        ).fetchone():
            raise ValueError(f"no config with id {wanted} is recorded")
        return wanted

    @staticmethod
    def _starting_with(connection: sqlite3.Connection, prefix: str) -> list[str]:
        # Sorted, so that a whole id comes before longer ones that begin with it.
        rows = connection.execute(
            "SELECT trial_id FROM trials WHERE substr(trial_id, 1, ?) = ? "
            "ORDER BY trial_id LIMIT ?",
            (len(prefix), prefix, _LISTED + 1),
        )
        return [trial_id for (trial_id,) in rows]

    def _no_trial(self, connection: sqlite3.Connection, wanted: str) -> str:
        for length in range(len(wanted), -1, -1):
            nearest = self._starting_with(connection, wanted[:length])
            if nearest:
                return f"there is no trial '{wanted}'. Nearest: {', '.join(nearest[:_LISTED])}."
        return f"there is no trial '{wanted}': the record holds no trials yet."
