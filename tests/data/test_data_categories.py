"""Columns of categories: encoded as the training rows have them, unknown ones and gaps included."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stabilitysweep.config import PreprocessingSettings
from stabilitysweep.data import RawData, Split
from stabilitysweep.data import categories as module
from stabilitysweep.data.preprocess import Inputs
from stabilitysweep.errors import DataError

LEVELS = ("blue", "green", "red")
NAN = np.nan


def inputs(
    train: list[int], validation: list[int], **chosen: Any
) -> tuple[tuple[str, ...], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Names, and the encoded training and validation rows, of one column of categories."""
    codes = np.array([*train, *validation], np.int32)[:, None]
    made = Inputs(raw_of(codes), split_of(len(train), len(validation)), settings_of(**chosen))
    return made.names, *made.transform()


def raw_of(codes: np.ndarray[Any, Any], numbers: np.ndarray[Any, Any] | None = None) -> RawData:
    rows, columns = codes.shape
    features = np.empty((rows, 0)) if numbers is None else numbers
    return RawData(
        features,
        np.zeros(rows),
        tuple(f"x{place}" for place in range(features.shape[1])),
        "test",
        "a test",
        categories=codes,
        category_names=tuple("cdefg"[:columns]),
        levels=(LEVELS,) * columns,
    )


def split_of(train: int, validation: int) -> Split:
    return Split(np.arange(train), np.arange(train, train + validation))


def settings_of(**chosen: Any) -> PreprocessingSettings:
    return PreprocessingSettings(**{"scaling": "none", **chosen})


def test_one_hot_has_a_column_for_each_category_of_the_training_rows() -> None:
    names, train, validation = inputs([2, 0, 2], [0, 2])
    assert names == ("c=blue", "c=red")
    assert train.tolist() == [[0, 1], [1, 0], [0, 1]]
    assert validation.tolist() == [[1, 0], [0, 1]]


def test_ordinal_codes_begin_at_one_in_sorted_order() -> None:
    names, train, validation = inputs([2, 0, 2], [0, 2], encoding="ordinal")
    assert names == ("c",)
    assert train.tolist() == [[2], [1], [2]]
    assert validation.tolist() == [[1], [2]]


@pytest.mark.parametrize(
    ("chosen", "unknown", "gap"),
    [
        ({}, [0, 0], [NAN, NAN]),
        ({"unknown_categories": "missing"}, [NAN, NAN], [NAN, NAN]),
        ({"imputation": "mean"}, [0, 0], [0, 1]),
        ({"imputation": "knn", "unknown_categories": "missing"}, [0, 1], [0, 1]),
        ({"imputation": "constant"}, [0, 0, 0], [0, 0, 1]),
        ({"imputation": "constant", "unknown_categories": "missing"}, [0, 0, 1], [0, 0, 1]),
        ({"encoding": "ordinal"}, [0], [NAN]),
        ({"encoding": "ordinal", "unknown_categories": "missing"}, [NAN], [NAN]),
        ({"encoding": "ordinal", "imputation": "median"}, [0], [2]),
        (
            {
                "encoding": "ordinal",
                "imputation": "most_frequent",
                "unknown_categories": "missing",
            },
            [2],
            [2],
        ),
        ({"encoding": "ordinal", "imputation": "constant"}, [0], [3]),
    ],
)
def test_a_category_that_training_never_saw_and_a_gap(
    chosen: dict[str, Any], unknown: list[float], gap: list[float]
) -> None:
    """Training has blue once and red twice; green is unknown."""
    _, train, validation = inputs([2, 0, 2], [1, -1], **chosen)
    np.testing.assert_array_equal(validation, [unknown, gap])
    assert np.isfinite(train).all()


def test_of_equally_frequent_categories_the_first_in_order_fills_a_gap() -> None:
    _, train, _ = inputs([2, 0, -1], [], imputation="mean", encoding="ordinal")
    assert train[:, 0].tolist() == [2, 1, 1]


@pytest.mark.parametrize("encoding", ["one_hot", "ordinal"])
@pytest.mark.parametrize("imputation", ["none", "mean", "constant"])
def test_a_column_of_nothing_but_gaps_in_training(encoding: str, imputation: str) -> None:
    names, train, validation = inputs([-1, -1], [0, -1], encoding=encoding, imputation=imputation)
    assert train.shape == (2, len(names))
    assert validation.shape == (2, len(names))


def test_indicators_are_of_columns_with_gaps_in_training_and_are_not_scaled() -> None:
    numbers = np.array([[1, NAN], [NAN, 2], [3, 4], [5, NAN]])
    codes = np.array([[0], [-1], [0], [-1]], np.int32)
    made = Inputs(
        raw_of(codes, numbers[:, [1, 0]]),
        Split(np.arange(1, 3), np.array([0, 3])),
        settings_of(imputation="mean", missing_indicator=True, scaling="standard"),
    )
    assert made.names == ("x0", "x1", "c=blue", "x1 is missing", "c is missing")
    train, validation = made.transform()
    assert train[:, 3:].tolist() == [[1, 1], [0, 0]]
    assert validation[:, 3:].tolist() == [[0, 0], [0, 1]]


def test_scaling_goes_over_ordinal_codes_and_not_over_zeros_and_ones() -> None:
    codes = np.array([[0], [1], [2], [2]], np.int32)
    numbers = np.array([[1.0], [2.0], [3.0], [6.0]])
    for encoding in ("one_hot", "ordinal"):
        raw, chosen = raw_of(codes, numbers), settings_of(scaling="standard", encoding=encoding)
        train, _ = Inputs(raw, split_of(4, 0), chosen).transform()
        scaled = train if encoding == "ordinal" else train[:, :1]
        np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-12)
        np.testing.assert_allclose(scaled.std(axis=0), 1)
        assert encoding == "ordinal" or set(train[:, 1:].ravel()) == {0.0, 1.0}


def test_neighbours_are_near_in_units_of_the_deviation() -> None:
    """In their own units the first column, in thousands, would alone say who is near."""
    numbers = np.array([[1000, 0.1, 1], [3000, 0.9, 9], [1900, 0.9, NAN], [2000, 0.1, 5.0]])
    codes = np.zeros((4, 1), np.int32)
    chosen = settings_of(imputation="knn", neighbors=1)
    train, _ = Inputs(raw_of(codes, numbers), split_of(4, 0), chosen).transform()
    assert train[2, 2] == pytest.approx(9)
    far = numbers * [1e6, 1, 1]
    again, _ = Inputs(raw_of(codes, far), split_of(4, 0), chosen).transform()
    assert again[2, 2] == pytest.approx(9)
    np.testing.assert_array_equal(again[:, :2], far[:, :2])


def test_a_column_of_identifiers_is_refused_before_anything_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_MOST_ONE_HOT", 2)
    with pytest.raises(DataError, match=r"3 of 'c'.*exclude: \[c\].*ordinal"):
        inputs([0, 1, 2], [])
    assert inputs([0, 1, 2], [], encoding="ordinal")[1].shape == (3, 1)


def test_more_one_hot_columns_than_memory_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_BYTES", 3 * 4 * 8)
    assert inputs([0, 1, 2], [0])[1].shape == (3, 3)
    with pytest.raises(DataError, match=r"3 of 'c' and 3 in all.*expected at most"):
        inputs([0, 1, 2], [0, 0])


def test_a_category_taken_for_missing_is_indicated() -> None:
    for unknown, expected in (("missing", [[1], [1], [0]]), ("encode", [[0], [1], [0]])):
        names, train, validation = inputs(
            [0, -1], [2, -1, 0],
            imputation="mean", missing_indicator=True, unknown_categories=unknown,
        )  # fmt: skip
        assert names == ("c=blue", "c is missing")
        assert train[:, 1].tolist() == [0, 1]
        assert validation[:, 1:].tolist() == expected


def test_endless_comparisons_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stabilitysweep.data.imputation._MOST_PAIRS", 3)
    raw = raw_of(np.zeros((5, 1), np.int32), np.array([[NAN], [1.0], [2.0], [3.0], [4.0]]))
    with pytest.raises(DataError, match=r"knn.*here 1 with 4.*Use median"):
        Inputs(raw, split_of(4, 1), settings_of(imputation="knn"))


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    codes=hnp.arrays(np.int32, (9, 2), elements=st.integers(-1, 2)),
    imputation=st.sampled_from(["none", "mean", "constant"]),
    encoding=st.sampled_from(["one_hot", "ordinal"]),
    unknown=st.sampled_from(["encode", "missing"]),
)
def test_validation_rows_change_nothing_for_training_rows(
    codes: np.ndarray[Any, Any], imputation: str, encoding: str, unknown: str
) -> None:
    chosen = settings_of(imputation=imputation, encoding=encoding, unknown_categories=unknown)
    whole = Inputs(raw_of(codes), split_of(6, 3), chosen)
    alone = Inputs(raw_of(codes[:6]), split_of(6, 0), chosen)
    assert whole.names == alone.names
    np.testing.assert_array_equal(whole.transform()[0], alone.transform()[0])
    # A row is encoded alike on both sides.
    both = Inputs(raw_of(np.vstack([codes[:6], codes[:6]])), split_of(6, 6), chosen)
    np.testing.assert_array_equal(*both.transform())
