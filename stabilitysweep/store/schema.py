"""The database file: its tables, how it is opened, and what can be wrong with it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from stabilitysweep.errors import ResultError
from stabilitysweep.folder import made_by
from stabilitysweep.store.rows import MEASURED

SCHEMA_VERSION = 2
# "SSWP": tells our file from any other SQLite file, before a byte of it is changed.
APPLICATION_ID = 0x53535750
_MAGIC = b"SQLite format 3\x00"
_BUSY_SECONDS = 30.0
_NO_PLACE = (
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
)
"""What SQLite says where it cannot put a file beside the database; of a full disk the third."""

# ANY keeps a float as it is: a REAL column would turn -0.0 into 0.0 and could not hold the
# text that stands for NaN and Inf (see `encode_float`).
_TYPES = {"text": "TEXT", "count": "INTEGER", "float": "ANY", "metrics": "TEXT NOT NULL"}
_DEFINED = "".join(f"    {name} {_TYPES[kind]},\n" for name, kind in MEASURED.items())
_TABLES = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT",
    "CREATE TABLE configs (config_id INTEGER PRIMARY KEY, created TEXT NOT NULL, "
    "resolved TEXT NOT NULL, provenance TEXT NOT NULL) STRICT",
    "CREATE TABLE trials (\n"
    "    trial_id TEXT PRIMARY KEY NOT NULL,\n"
    "    config_id INTEGER NOT NULL REFERENCES configs,\n"
    "    axes TEXT NOT NULL,\n"
    "    seed INTEGER NOT NULL,\n"
    f"{_DEFINED}"
    "    message TEXT,\n"
    "    trace BLOB\n"
    ") STRICT",
)


def connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    """Open a record; without `read_only`, create it if there is none.

    Args:
        path: the database file.
        read_only: open an existing record, and never write to it.

    Returns:
        A connection in autocommit mode, to be used by one thread at a time.

    Raises:
        ResultError: there is no record, or the file is none, is damaged, or is of a newer
            version; the message says what to do. Such a file is left as it was.
    """
    _check_file(path, read_only)
    with reporting(path):
        connection = _open(path, read_only)
        try:
            _recognise(connection, path, read_only)
        except BaseException:
            connection.close()
            raise
    return connection


@contextmanager
def reporting(path: Path) -> Iterator[None]:
    """Turn what SQLite raises about a file into a ResultError that says what to do.

    Errors of ours in using SQLite are left as they are.
    """
    try:
        yield
    except (sqlite3.ProgrammingError, sqlite3.IntegrityError, sqlite3.InterfaceError):
        raise
    except sqlite3.DatabaseError as error:
        raise ResultError(f"{path}: {_remedy(error, path)} (SQLite: {error})") from error


def made_again(path: Path) -> str:
    """Say how a record that cannot be read comes back; of what a command adds, by itself."""
    command = made_by(path.parent)
    if command is not None:
        return f"Delete {path.parent} and run {command} again."
    return (
        "Restore it from a copy, save what can be read with `sqlite3 FILE .recover`, or move its "
        "folder away and run the sweep again."
    )


def _put_right(path: Path) -> str:
    """Say what to do about a file that is no record of ours."""
    if made_by(path.parent) is not None:
        return made_again(path)
    return "Move it away, restore it from a copy, or run the sweep into another folder."


def _remedy(error: sqlite3.DatabaseError, path: Path) -> str:
    # The lowest byte is the kind of error, the others its variety.
    match getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return "another process is writing to it. Wait for that run to end, then try again."
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            other = "" if made_by(path.parent) else ", or run the sweep into another folder"
            return f"it cannot be written to. Check its permissions{other}."
        case sqlite3.SQLITE_FULL:
            return "the disk is full. Free some space and run again; what is stored is kept."
        case sqlite3.SQLITE_CANTOPEN:
            return "it cannot be opened. Check the permissions of the file and of its folder."
        case sqlite3.SQLITE_IOERR:
            return (
                "the disk failed to read or write. Check that it is whole and has some space left, "
                "then run again."
            )
    return f"the record is damaged. {made_again(path)}"


def _check_file(path: Path, read_only: bool) -> None:
    if path.is_dir():
        raise ResultError(f"expected a database file, got a folder: {path}")
    if not path.exists():
        if read_only:
            raise ResultError(f"there is no record at {path}. Run the sweep first.")
        if not path.parent.is_dir():
            raise ResultError(f"there is no folder {path.parent} to put the record into.")
        return
    try:
        with path.open("rb") as handle:
            magic = handle.read(len(_MAGIC))
    except OSError as error:
        raise ResultError(f"{path} cannot be read: {error.strerror}.") from error
    if magic and magic != _MAGIC:
        raise ResultError(
            f"{path} is not a record of stabilitysweep (no SQLite database). {_put_right(path)}"
        )


def _open(path: Path, read_only: bool) -> sqlite3.Connection:
    if not read_only:
        return _connect(path, "rwc")
    connection = _connect(path, "ro")
    try:
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.OperationalError as error:
        connection.close()
        if error.sqlite_errorcode & 0xFF not in _NO_PLACE or _is_pending(path):
            raise
        # Even a reader puts a `-shm` file beside a database in WAL mode. In a folder that
        # cannot be written to, or on a full disk, nobody else can write either, or that file
        # would be there: read the database as it lies there.
        connection = _connect(path, "ro&immutable=1")
    return connection


def _is_pending(path: Path) -> bool:
    """Whether transactions of an earlier run stand beside the database, to be taken over."""
    pending = path.with_name(path.name + "-wal")
    return pending.exists() and pending.stat().st_size > 0


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?mode={mode}",
        uri=True,
        timeout=_BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )


def _recognise(connection: sqlite3.Connection, path: Path, read_only: bool) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if application != APPLICATION_ID and tables:
        raise ResultError(f"{path} is a SQLite database of another program. {_put_right(path)}")
    if not tables and read_only:
        raise ResultError(f"{path} is empty: its run was ended at once. Run the sweep first.")
    if not read_only:
        # Readers and the writer do not block each other.
        connection.execute("PRAGMA journal_mode = WAL")
        # With WAL, NORMAL keeps the file whole in every case, and a killed process loses
        # nothing. Only a power cut may take the last transactions with it: those trials are
        # trained again, to the same bits. FULL would cost 3 ms a transaction for that.
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
    if not tables:
        _create(connection)
    (stored,) = connection.execute(
        "SELECT value FROM meta WHERE key = 'schema_version'"
    ).fetchone() or ("null",)
    version = json.loads(stored)
    if not isinstance(version, int) or version > SCHEMA_VERSION:
        raise ResultError(
            f"{path} was written by a newer stabilitysweep (schema {version}, this one reads "
            f"up to {SCHEMA_VERSION}). Update stabilitysweep, or run the sweep into another "
            "folder."
        )
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise sqlite3.DatabaseError(verdict)
    if version < SCHEMA_VERSION:
        _upgrade(connection, read_only)


def _upgrade(connection: sqlite3.Connection, read_only: bool) -> None:
    """Give a record of an older version the measured columns that it lacks, empty.

    A reader must not change the file: it lays a view over it, of its own connection alone.
    """
    stored = {row[1] for row in connection.execute("PRAGMA table_info(trials)")}
    lacking = [name for name in MEASURED if name not in stored]
    if read_only:
        empty = "".join(f", NULL AS {name}" for name in lacking)
        connection.execute(f"CREATE TEMP VIEW trials AS SELECT *{empty} FROM main.trials")
        return
    with transaction(connection):
        for name in lacking:
            connection.execute(f"ALTER TABLE trials ADD COLUMN {name} {_TYPES[MEASURED[name]]}")
        connection.execute(
            "UPDATE meta SET value = ? WHERE key = 'schema_version'", (json.dumps(SCHEMA_VERSION),)
        )


def _create(connection: sqlite3.Connection) -> None:
    with transaction(connection):
        # Another process may have created the tables since we looked.
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if tables:
            return
        for table in _TABLES:
            connection.execute(table)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        facts = {"schema_version": SCHEMA_VERSION, "created": now()}
        connection.executemany(
            "INSERT INTO meta VALUES (?, ?)",
            [(key, json.dumps(value)) for key, value in facts.items()],
        )


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Do everything inside, or nothing: also on Ctrl-C."""
    # IMMEDIATE: wait for another writer here, not in the middle.
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # A full disk has rolled back already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def now() -> str:
    """Return the time, ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
