"""The refined boundary in a few numbers, from tables made by hand."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from stabilitysweep.analysis import BoundaryStatus, RateLimit, Summary
from stabilitysweep.analysis.refined_boundary import RefinedBoundary, refined_boundary
from stabilitysweep.types import Outcome

AXES = {"act": ["relu", "tanh"], "depth": [1, 2], "learning_rate": [0.1, 1.0, 10.0]}
FOUND = RateLimit(0.1, BoundaryStatus.FOUND)


def table(*rows: tuple[float, float, str, bool]) -> pd.DataFrame:
    """Boundaries of relu 1, relu 2, tanh 1, tanh 2: safe, failing, status, refined."""
    names = ["safe", "failing", "status", "refined"]
    made = pd.DataFrame([dict(zip(names, row, strict=True)) for row in rows])
    made.insert(0, "act", ["relu", "relu", "tanh", "tanh"])
    made.insert(1, "depth", [1, 2, 1, 2])
    return made.assign(steps=pd.array([60, 60, 50, 60], dtype="Int64"))


def found(boundaries: pd.DataFrame, limit: RateLimit = FOUND) -> RefinedBoundary | None:
    outcomes = dict.fromkeys(Outcome, 0)
    by = {"act": {"relu": limit, "tanh": limit}}
    values: dict[str, Any] = {"stable_rate": limit, "stable_rate_by": by}
    whole = Summary(outcomes, 0, 0, 0, 0, 0, None, None, **values)
    return refined_boundary(boundaries, AXES, whole)


def test_the_lowest_slice_is_the_limit_of_all() -> None:
    rows = table(
        (0.5, 0.52, "found", True),
        (0.3, 0.33, "found", True),
        (0.4, 0.41, "found", True),
        (10.0, np.nan, "no_failure", False),
    )
    got = found(rows)
    assert got is not None
    assert (got.slices, got.of, got.lowest, got.highest, got.steps) == (3, 4, 0.3, 0.5, (50, 60))
    assert got.width == pytest.approx(0.1)
    assert got.overall == 0.3
    assert got.by == {"act": {"relu": 0.3, "tanh": 0.4}}
    json.dumps(got.to_json(), allow_nan=False)


@pytest.mark.parametrize(
    ("last", "limit"),
    [
        ((0.1, 1.0, "found", False), FOUND),
        ((1.0, 10.0, "gap", False), FOUND),
        ((np.nan, 0.1, "all_fail", False), FOUND),
        ((np.nan, np.nan, "unmeasured", False), FOUND),
        ((0.45, 0.46, "found", True), RateLimit(0.1, BoundaryStatus.GAP)),
    ],
)
def test_a_slice_that_is_not_refined_leaves_it_to_the_grid(
    last: tuple[float, float, str, bool], limit: RateLimit
) -> None:
    rows = [(0.5, 0.52, "found", True), (0.3, 0.33, "found", True), (0.4, 0.41, "found", True)]
    got = found(table(*rows, last), limit)
    assert got is not None
    assert got.overall is None
    assert got.by == ({"act": {"relu": 0.3}} if limit is FOUND else {})
    json.dumps(got.to_json(), allow_nan=False)


def test_without_a_refined_slice_there_is_none() -> None:
    rows = [(0.1, 1.0, "found", False)] * 4
    assert found(table(*rows)) is None
