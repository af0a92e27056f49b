"""The trials table, read batch by batch."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stabilitysweep.store import Entry, SQLiteStore, sqlite

from .strategies import LAW, entries


@settings(LAW, max_examples=40)
@given(added=st.lists(entries(), min_size=1, max_size=7, unique_by=lambda one: one.result.trial_id))
def test_a_table_is_the_same_however_many_rows_are_read_at_once(
    tmp_path_factory: pytest.TempPathFactory, added: list[Entry]
) -> None:
    names = sorted({name for entry in added for name in entry.axes})
    with SQLiteStore(tmp_path_factory.mktemp("store") / "sweep.db") as store:
        store.record_config({}, {})
        store.add(added)
        expected = store.table(names, defaults=dict.fromkeys(names))
        for rows in (1, 2, 3):
            with pytest.MonkeyPatch.context() as patched:
                patched.setattr(sqlite, "_BATCH", rows)
                patched.setattr(store, "count", lambda rows=rows: rows)  # others are writing
                found = store.table(names, defaults=dict.fromkeys(names))
            pd.testing.assert_frame_equal(found, expected, check_exact=True)
            for name in names:
                assert list(map(type, found[name])) == list(map(type, expected[name]))
