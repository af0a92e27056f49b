"""The traces of many trials at once."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stabilitysweep.errors import ResultError
from stabilitysweep.store import SQLiteStore
from stabilitysweep.types import Trace

from .strategies import trial


def curve(value: float) -> Trace:
    steps = np.arange(1, 4, dtype=np.int32)
    first = np.array([value, np.nan, np.inf], np.float32)
    return Trace(steps, first, *(np.full(3, value + place, np.float32) for place in range(4)))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "sweep.db"
    with SQLiteStore(path) as store:
        store.record_config({"name": "x"}, {})
        entries = [trial(name) for name in ("a", "b", "c", "d")]
        given = [curve(1.0), curve(2.0), None, curve(4.0)]
        store.add(
            entry._replace(result=replace(entry.result, trace=trace))
            for entry, trace in zip(entries, given, strict=True)
        )
    return path


def same(one: Trace, other: Trace) -> bool:
    names = Trace.__dataclass_fields__
    return all(
        getattr(one, name).dtype == getattr(other, name).dtype
        and getattr(one, name).tobytes() == getattr(other, name).tobytes()
        for name in names
    )


def test_those_asked_for_and_no_others(path: Path) -> None:
    with SQLiteStore(path, read_only=True) as store:
        found = store.traces(["d", "a", "a"])
        assert sorted(found) == ["a", "d"]
        assert same(found["a"], curve(1.0))
        assert same(found["d"], curve(4.0))
        stored = store.result("a").result.trace
        assert stored is not None
        assert same(found["a"], stored)


def test_unknown_ids_and_trials_without_a_trace_are_left_out(path: Path) -> None:
    with SQLiteStore(path, read_only=True) as store:
        assert set(store.traces(["c", "b", "nobody", ""])) == {"b"}
        assert store.traces([]) == {}


def test_one_by_its_id(path: Path) -> None:
    with SQLiteStore(path, read_only=True) as store:
        found = store.trace("d")
        assert found is not None
        assert same(found, curve(4.0))
        assert store.trace("c") is None
        assert store.trace("nobody") is None


def test_a_damaged_trace_is_refused_where_it_is_asked_for(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("UPDATE trials SET trace = x'0102' WHERE trial_id = 'b'")
    connection.commit()
    connection.close()
    with SQLiteStore(path, read_only=True) as store:
        assert set(store.traces(["a", "d"])) == {"a", "d"}
        with pytest.raises(ResultError):
            store.traces(["b"])
        assert store.trace("a") is not None
        with pytest.raises(ResultError, match="the trace of trial b cannot be read"):
            store.trace("b")
