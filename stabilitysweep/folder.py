"""A result folder on disk: the names of its files, who may write, how it is set aside."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from stabilitysweep.errors import ResultError

DATABASE = "sweep.db"
CONFIG = "config.yaml"
FIGURES = "figures"
REPORT = "report.html"
"""The page of a result."""

REFINED = "refined"
"""The folder of the trials between the rates of a grid, in that of the sweep."""

CONFIRMED = "confirmed"
"""The folder of long runs, in that of the sweep; in it one for each budget."""

LOCK = ".lock"
"""Held by the run that writes; the system lets go of it however that run ends."""

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_TEMPORARY = re.compile(r"\..+\.(\d+)\.tmp")
_EMPTY_BYTES = 4096
_MAGIC = b"SQLite format 3\x00"
_PAGES = slice(28, 32)  # in the header of a database: how many pages it has


def holds_record(folder: Path) -> bool:
    """Return whether there is a record in `folder`; a folder still to be made holds none.

    Raises:
        ResultError: it is a file, cannot be read, or holds something that is no result.
    """
    with _reporting(folder):
        if (folder / DATABASE).is_file():
            return True
        if not folder.is_dir():
            if folder.exists() or folder.is_symlink():
                raise ResultError(f"{folder}: expected a folder, got a file. {_elsewhere(folder)}")
            return False
        others = sorted(entry.name for entry in folder.iterdir() if entry.name != LOCK)
    if others:
        raise ResultError(
            f"{folder}: expected a result folder or none at all, got a folder that holds other "
            f"files ({', '.join(others[:3])}) and no {DATABASE}. {_elsewhere(folder)}"
        )
    return False


def is_begun(folder: Path) -> bool:
    """Return whether there is a record in `folder` that a run has written to.

    A record of one page has no tables yet: the run that made it was killed that very moment, or
    later, and what it stored stands in the log beside it. A file that is damaged counts as begun:
    to open it says what is wrong with it.
    """
    record = folder / DATABASE
    if not record.is_file():
        return False
    size = record.stat().st_size
    if size == 0 or size > _EMPTY_BYTES:
        return size > 0
    try:
        with record.open("rb") as handle:
            head = handle.read(_PAGES.stop)
    except OSError:
        return True
    if not head.startswith(_MAGIC) or int.from_bytes(head[_PAGES]) != 1:
        return True
    log = record.with_name(f"{DATABASE}-wal")
    return log.exists() and log.stat().st_size > 0 and _has_tables(record)


def _has_tables(record: Path) -> bool:
    try:
        place = f"file:{quote(str(record.absolute()))}?mode=ro"
        with closing(sqlite3.connect(place, uri=True)) as connection:
            (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.Error:
        return True
    return bool(tables)


def made_by(folder: Path) -> Literal["refine", "confirm"] | None:
    """Return the command whose trials a folder inside a result holds; None for a sweep's own."""
    place = folder.absolute()
    if place.name == REFINED and (place.parent / DATABASE).is_file():
        return "refine"
    if place.parent.name == CONFIRMED and (place.parent.parent / DATABASE).is_file():
        return "confirm"
    return None


def require_writable(folder: Path, *, chosen_with: str = "--out") -> None:
    """Check, without writing, that a folder is there to be written or can be made.

    Args:
        folder: the place.
        chosen_with: what the user chooses another with.

    Raises:
        ResultError: it cannot, as far as permissions tell.
    """
    with _reporting(folder, chosen_with):
        there = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
        if not there.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if not os.access(there, os.W_OK | os.X_OK, effective_ids=True):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make the folder and keep every other run out of it meanwhile.

    Raises:
        ResultError: it cannot be written, or another run holds it.
    """
    with _reporting(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / LOCK).open("w")
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            other = "" if made_by(folder) else ", or choose another folder with --out"
            raise ResultError(
                f"{folder}: another run is writing to this result. Wait for it to end{other}."
            ) from error
        _clear_away(folder)
        yield


def set_aside(folder: Path) -> Path | None:
    """Rename a result folder so that a fresh one can take its place.

    Returns:
        Its new name, or None if there was none.

    Raises:
        ResultError: it is no result, another run is writing to it, or it cannot be renamed.
    """
    if not holds_record(folder):
        return None
    if Path.cwd().is_relative_to(folder.resolve()):
        raise ResultError(
            f"{folder}: the current folder cannot be set aside. Call from outside of it."
        )
    kept = _free_name(folder)
    with locked(folder), _reporting(folder):
        folder.rename(kept)
    return kept


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the name of a file beside `path` that takes its place once it is whole, on the disk.

    Whatever happens meanwhile, `path` is what it was or what it is to be.

    Raises:
        OSError: it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all.

    Raises:
        ResultError: it cannot be written.
    """
    with _reporting(path), replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def in_words(error: OSError) -> str:
    """Say why a file cannot be written; of a full disk also what to do."""
    reason = error.strerror or str(error)
    if error.errno in _FULL:
        return f"{reason}. Free some space and try again; what is stored is kept"
    return reason


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, unless it is there.

    Raises:
        ResultError: it cannot be made.
    """
    with _reporting(folder):
        folder.mkdir(parents=True, exist_ok=True)


def other_than_a_result(path: Path) -> str:
    """Say what is at a path that is no result folder."""
    if os.path.isdir(path):
        return f"a folder without {DATABASE}"
    return "a file" if os.path.exists(path) else "no such folder"


@contextmanager
def _reporting(path: Path, chosen_with: str = "--out") -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = "" if error.errno in _FULL else f" {_elsewhere(path, chosen_with)}"
        raise ResultError(
            f"{path}: expected a place that can be written, got: {in_words(error)}.{where}"
        ) from error


def _elsewhere(path: Path, chosen_with: str = "--out") -> str:
    """What to do about a place; nobody has chosen one inside a result."""
    for folder in (path, path.parent):
        if made_by(folder):
            return f"Make room, and let {folder} be written to."
    return f"Choose another with {chosen_with}."


def _clear_away(folder: Path) -> None:
    """Remove what runs that were killed had begun to write."""
    for place in (folder, folder / FIGURES):
        for path in place.glob(".*.tmp"):
            found = _TEMPORARY.fullmatch(path.name)
            if found and not _is_running(int(found[1])):
                with suppress(OSError):
                    path.unlink()


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True


def _free_name(folder: Path) -> Path:
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    kept = folder.with_name(f"{folder.name}.{stamp}")
    number = 1
    while kept.exists():
        number += 1
        kept = folder.with_name(f"{folder.name}.{stamp}-{number}")
    return kept
