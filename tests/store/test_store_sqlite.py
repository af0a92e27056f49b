"""The file of a record: foreign, damaged, shared with another process, or cut off."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from stabilitysweep.errors import ResultError
from stabilitysweep.store import Entry, SQLiteStore
from stabilitysweep.store import schema as schema_module
from stabilitysweep.store.schema import SCHEMA_VERSION
from stabilitysweep.types import Outcome, TrialResult

from .strategies import trial

ROOT = Path(__file__).parents[2]
BATCH = 50


def filled(path: Path, trials: int = 3) -> Path:
    with SQLiteStore(path) as store:
        store.record_config({"name": "x"}, {})
        store.add([trial(f"{number:04}", cause="c" * 50) for number in range(trials)])
    return path


def change(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


# --- opening


def test_a_record_is_made_where_there_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a b?#%.db"
    filled(path)
    assert [file.name for file in tmp_path.iterdir()] == [path.name], "nothing else is left"


def test_an_empty_file_becomes_a_record(tmp_path: Path) -> None:
    path = tmp_path / "sweep.db"
    path.touch()
    with pytest.raises(ResultError, match="is empty"):
        SQLiteStore(path, read_only=True)
    filled(path)


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match=r"there is no record at .*Run the sweep first"):
        SQLiteStore(tmp_path / "no.db", read_only=True)
    with pytest.raises(ResultError, match="there is no folder"):
        SQLiteStore(tmp_path / "no" / "sweep.db")
    with pytest.raises(ResultError, match="expected a database file, got a folder"):
        SQLiteStore(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("read_only", [False, True])
def test_a_foreign_file_is_refused_and_left_alone(tmp_path: Path, read_only: bool) -> None:
    text, database = tmp_path / "text.db", tmp_path / "foreign.db"
    text.write_text("this is no database, it is a text\n" * 100)
    change(database, "CREATE TABLE t (a)", "INSERT INTO t VALUES (1)")
    for path, message in ((text, "no SQLite database"), (database, "of another program")):
        before = path.read_bytes()
        with pytest.raises(ResultError, match=message):
            SQLiteStore(path, read_only=read_only)
        assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("read_only", [False, True])
def test_a_newer_version_asks_for_an_update(tmp_path: Path, read_only: bool) -> None:
    path = filled(tmp_path / "sweep.db")
    change(path, "UPDATE meta SET value = '3' WHERE key = 'schema_version'")
    with pytest.raises(ResultError, match=r"newer stabilitysweep \(schema 3, .*Update"):
        SQLiteStore(path, read_only=read_only)


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("damage", ["cut", "overwritten", "no table", "header only"])
def test_a_damaged_file_says_what_to_do(tmp_path: Path, damage: str, read_only: bool) -> None:
    path = filled(tmp_path / "sweep.db", trials=2000)
    content = bytearray(path.read_bytes())
    match damage:
        case "cut":
            path.write_bytes(content[: len(content) // 2])
        case "overwritten":
            content[8 * 4096 : 12 * 4096] = b"\xab" * (4 * 4096)
            path.write_bytes(content)
        case "no table":
            change(path, "DROP TABLE meta")
        case "header only":
            path.write_bytes(content[:16])
    with pytest.raises(ResultError, match=r"damaged\..*Restore it from a copy"):
        SQLiteStore(path, read_only=read_only)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE trials SET axes = '{'",
        "UPDATE trials SET outcome = 'fine'",
        "UPDATE trials SET final_loss = 'many'",
        "UPDATE trials SET metrics = '[1]'",
        "UPDATE trials SET trace = x'00'",
        "UPDATE trials SET onset_step = 3",
    ],
)
def test_damaged_values_are_no_crash(tmp_path: Path, damage: str) -> None:
    path = filled(tmp_path / "sweep.db", trials=1)
    change(path, damage)
    with SQLiteStore(path) as store:
        with pytest.raises(ResultError, match="trial 0000 cannot be read, the record is damaged"):
            store.result("0000")
        if any(name in damage for name in ("axes", "final_loss", "metrics")):
            with pytest.raises(ResultError, match="the trials table cannot be read"):
                store.table(["depth"])


def test_read_only_never_writes(tmp_path: Path) -> None:
    path = filled(tmp_path / "sweep.db")
    before = path.read_bytes()
    with SQLiteStore(path, read_only=True) as store:
        assert len(store.table(["depth"])) == 3
        with pytest.raises(ResultError, match="cannot be written to"):
            store.add([trial("ff")])
        with pytest.raises(ResultError, match="cannot be written to"):
            store.set_meta("a", 1)
    assert path.read_bytes() == before


def test_a_second_writer_waits_then_gives_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema_module, "_BUSY_SECONDS", 0.05)
    path = filled(tmp_path / "sweep.db")
    other = sqlite3.connect(path, isolation_level=None)
    with SQLiteStore(path) as store:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(ResultError, match="another process is writing to it"):
            store.add([trial("ff")])
        other.execute("ROLLBACK")
        assert store.add([trial("ff")]) == 1
    other.close()


def test_using_a_closed_store_is_a_programming_error(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "sweep.db")
    store.close()
    store.close()
    with pytest.raises(sqlite3.ProgrammingError):
        store.meta()


def test_a_full_disk_is_told_apart_from_damage(tmp_path: Path) -> None:
    with SQLiteStore(filled(tmp_path / "sweep.db")) as store:
        store._connection.execute("PRAGMA max_page_count = 1")
        with pytest.raises(ResultError, match="the disk is full"):
            store.add([trial(f"f{number}", cause="x" * 1000) for number in range(100)])
        assert len(store.stored_ids(include_crashed=True)) == 3


def test_two_stores_of_one_file_see_each_other(tmp_path: Path) -> None:
    path = filled(tmp_path / "sweep.db")
    with SQLiteStore(path) as writer, SQLiteStore(path, read_only=True) as reader:
        writer.add([trial("ff")])
        assert reader.find("ff") == "ff"
        assert writer.add([trial("ff")]) == 0


# --- other processes


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )


WRITER = f"""
import sys, time
from pathlib import Path
from stabilitysweep.store import Entry, SQLiteStore
from stabilitysweep.types import Outcome, TrialResult

class Stuck(list):
    '''Trials of which the last never comes: the transaction stays open.'''
    def __iter__(self):
        yield from super().__iter__()
        print("inside", flush=True)
        time.sleep(60)

def batch(number, kind=list):
    return kind(
        Entry({{"depth": 2}}, 0, TrialResult(f"{{number:04}}-{{place:03}}", Outcome.STABLE, "fit"))
        for place in range({BATCH})
    )

store = SQLiteStore(Path(sys.argv[1]))
store.record_config({{}}, {{}})
for number in range(int(sys.argv[2])):
    store.add(batch(number))
    print(number, flush=True)
# More than SQLite keeps in memory, so that unfinished pages are in the file.
store._connection.execute("PRAGMA cache_size = 5")
store.add(batch(9999, Stuck))
"""


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def wait_for(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdout is not None
    for printed in process.stdout:
        if printed.strip() == line:
            return
    raise AssertionError(f"the writer ended without printing {line}")


@pytest.mark.parametrize("read_only_first", [False, True])
def test_killed_in_a_transaction_leaves_a_whole_file(tmp_path: Path, read_only_first: bool) -> None:
    path = tmp_path / "sweep.db"
    process = start(WRITER, path, 3)
    try:
        wait_for(process, "inside")
        with SQLiteStore(path, read_only=True) as reader:  # while the other one writes
            assert len(reader.table(["depth"])) == 3 * BATCH
    finally:
        kill(process)
    with SQLiteStore(path, read_only=read_only_first) as store:
        assert len(store.table(["depth"])) == 3 * BATCH
    with SQLiteStore(path) as store:
        assert store.add([trial("9999-000"), trial("0000-000")]) == 1


def test_killed_at_any_moment_leaves_whole_transactions(tmp_path: Path) -> None:
    for attempt, delay in enumerate((0.0, 0.007, 0.02)):
        path = tmp_path / f"{attempt}.db"
        process = start(WRITER, path, 1_000)
        try:
            wait_for(process, "3")
            time.sleep(delay)
        finally:
            kill(process)
        with SQLiteStore(path) as store:
            ids = sorted(store.stored_ids(include_crashed=True))
        whole = len(ids) // BATCH
        assert whole >= 4
        assert ids == [
            f"{number:04}-{place:03}" for number in range(whole) for place in range(BATCH)
        ]


READER = """
import os, sys
from pathlib import Path
from stabilitysweep.store import SQLiteStore
os.setuid(65534)  # nobody
with SQLiteStore(Path(sys.argv[1]), read_only=True) as store:
    print(len(store.table(["depth"])))
"""


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root to become nobody"
)
def test_a_folder_that_cannot_be_written_to_is_read(tmp_path: Path) -> None:
    folder = Path("/tmp") / f"stabilitysweep-test-{os.getpid()}"
    folder.mkdir()
    try:
        path = filled(folder / "sweep.db")
        folder.chmod(0o555)
        process = start(READER, path)
        printed, _ = process.communicate(timeout=60)
        assert printed == "3\n"
    finally:
        shutil.rmtree(folder)


NEW_IN_2 = ("headroom_bits", "zero_gradients", "critical_learning_rate")


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """A record as version 1 wrote it, with one trial."""
    path = tmp_path / "older.db"
    with SQLiteStore(path) as store:
        store.record_config({"grid": {}}, {})
        store.add([Entry({"lr": 0.1}, 3, TrialResult("ab", Outcome.STABLE, "stacked"))])
    with closing(sqlite3.connect(path)) as connection:
        for name in NEW_IN_2:
            connection.execute(f"ALTER TABLE trials DROP COLUMN {name}")
        connection.execute("UPDATE meta SET value = '1' WHERE key = 'schema_version'")
        connection.commit()
    return path


def test_a_reader_sees_an_older_record_whole_and_leaves_it_as_it_was(older: Path) -> None:
    before = older.read_bytes()
    with SQLiteStore(older, read_only=True) as store:
        assert store.result("ab").result.headroom_bits is None
        assert store.table(["lr"])[list(NEW_IN_2)].isna().all(axis=None)
        assert store.find("a") == "ab"
    assert older.read_bytes() == before


def test_a_writer_brings_an_older_record_up_to_date(older: Path) -> None:
    newer = TrialResult("cd", Outcome.STABLE, "stacked", headroom_bits=2.5)
    with SQLiteStore(older) as store:
        assert store.meta()["schema_version"] == SCHEMA_VERSION
        store.add([Entry({"lr": 0.2}, 3, newer)])
    for read_only in (True, False):
        with SQLiteStore(older, read_only=read_only) as store:
            assert store.result("cd").result == newer
            assert store.table(["lr"])["headroom_bits"].isna().tolist() == [True, False]
