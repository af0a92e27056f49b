"""Loading: the random sample of a source's rows, and its rows without repetition."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from stabilitysweep.config import DatasetSettings
from stabilitysweep.data import load
from stabilitysweep.data.row_hash import RowHashes
from stabilitysweep.data.sources.sampling import Sample, first_of_equals
from stabilitysweep.errors import DataError


def drawn(rows: int, size: int, chunk: int, seed: int = 0) -> NDArray[np.int64]:
    """Draw a sample of rows that come in chunks."""
    sample = Sample(size, seed)
    kept = np.empty(0, np.int64)
    for start in range(0, rows, chunk):
        kept = np.concatenate([kept, sample.admit(min(chunk, rows - start)) + start])
        chosen = sample.prune(last=start + chunk >= rows)
        kept = kept if chosen is None else kept[chosen]
        assert len(kept) <= max(2 * size, size + chunk)
    return kept


@pytest.mark.parametrize("size", [1, 10, 99])
def test_a_sample_is_the_same_in_however_many_chunks_it_came(size: int) -> None:
    # Many times the rows of the sample: it is cut again and again.
    whole = drawn(20_000, size, 20_000)
    assert len(whole) == size
    for chunk in (7, 64, 1000):
        np.testing.assert_array_equal(drawn(20_000, size, chunk), whole)


def table(rows: int, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Numbers and codes with many repetitions among them, gaps and zeros of either sign too."""
    generator = np.random.default_rng(seed)
    numbers = generator.choice([0.0, -0.0, 1.0, np.nan, -np.nan, np.inf, -np.inf], (rows, 3))
    return numbers, generator.integers(-1, 2, (rows, 2)).astype(np.int32)


def first_by_python(
    numbers: NDArray[np.float64], codes: NDArray[np.int32], target: NDArray[np.int64]
) -> list[int]:
    met: dict[tuple[object, ...], int] = {}
    for row, values in enumerate(zip(numbers + 0.0, codes, target, strict=True)):
        number, code, label = values
        key = (*("nan" if x != x else x for x in number.tolist()), *code.tolist(), int(label))
        met.setdefault(key, row)
    return list(met.values())


@pytest.mark.parametrize("block", [1, 7, 2**14])
@pytest.mark.parametrize("hashes", ["as they are", "many alike", "all alike"])
def test_the_first_of_equal_rows_is_kept_and_no_other(
    block: int, hashes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stabilitysweep.data.sources.sampling._BLOCK_ROWS", block)
    kinds = {"as they are": 2**64 - 1, "many alike": 3, "all alike": 0}
    add, mask = RowHashes.add, np.uint64(kinds[hashes])

    def coarse(self: RowHashes, column: NDArray[np.float64]) -> None:
        add(self, column)
        self.values &= mask

    monkeypatch.setattr(RowHashes, "add", coarse)
    numbers, codes = table(500)
    target = np.arange(500) % 2 + 2**53  # which float64 cannot tell apart
    found = first_of_equals(numbers, codes, target)
    assert found.tolist() == first_by_python(numbers, codes, target)
    assert len(found) < 450


def test_a_gap_equals_any_other() -> None:
    gaps = np.array([np.nan, -np.nan, 0.0])
    assert np.signbit(gaps[1]) != np.signbit(gaps[0])
    assert first_of_equals(gaps).tolist() == [0, 2]
    assert first_of_equals(np.array([0.0, -0.0, -1.0])).tolist() == [0, 2]


def test_many_rows_that_repeat_take_little_time() -> None:
    numbers = np.random.default_rng(0).normal(size=(20_000, 4))
    numbers = np.concatenate([numbers] * 10)
    start = time.perf_counter()
    assert len(first_of_equals(numbers)) == 20_000
    # 0.05 s; row by row it took 6 s.
    assert time.perf_counter() - start < 2


def test_no_row_is_left_where_none_has_a_target(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("a,y\n1,\n2,\n")
    settings = DatasetSettings(
        path="d.csv", target="y", missing_target="drop", drop_duplicates=True
    )
    with pytest.raises(DataError, match="expected at least one row with a target"):
        load(settings, tmp_path)
