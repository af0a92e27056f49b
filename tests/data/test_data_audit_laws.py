"""Laws of the audit: neighbours and the order of rows do not matter; what is measured is exact."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from itertools import groupby

import numpy as np
import pytest
from fault_planting import Planting, audited, clean, sweep
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_faults import FAULTS
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

from stabilitysweep.config import PreprocessingSettings
from stabilitysweep.config.fields import LARGEST_NUMBER
from stabilitysweep.config.names import Scaling
from stabilitysweep.data import Finding, Severity, Split, prepare, split_rows
from stabilitysweep.data.audit.numbers import measure
from stabilitysweep.data.audit.spread import OUTLIER_Z, Spread
from stabilitysweep.data.row_hash import RowHashes

BETWEEN_COLUMNS = {"unequal_scales", "duplicate_column", "target_leak"}
OF_COLUMNS = [
    name
    for name, fault in FAULTS.items()
    if fault.column not in ("", "y") and fault.code not in BETWEEN_COLUMNS and not fault.classes
]


def shuffled(planting: Planting, seed: int) -> Planting:
    """The rows of each side in another order."""
    random = np.random.default_rng(seed)
    train, held_out = planting.split
    order = np.concatenate([random.permutation(train), random.permutation(held_out)])
    texts = {name: [column[row] for row in order] for name, column in planting.texts.items()}
    return Planting(
        planting.features[order],
        planting.target[order],
        planting.names,
        texts,
        planting.dtypes,
        Split(np.arange(len(train)), np.arange(len(train), len(order))),
        planting.without_target,
    )


@pytest.mark.parametrize("name", OF_COLUMNS)
def test_a_fault_changes_no_finding_about_other_columns(name: str) -> None:
    fault = FAULTS[name]
    config = sweep(scaling=["none", "standard"], precision=["float16", "float32"])
    gaps = "n1" if fault.column == "u1" else "u1"
    planting = clean()
    planting[gaps][:4] = np.nan
    if fault.column != "u3":
        planting["u3"][:] = planting["u3"] * 10 + 280

    def of_others() -> list[Finding]:
        return [
            one
            for one in audited(planting, config)
            if one.column not in (fault.column, "") and one.code not in BETWEEN_COLUMNS
        ]

    before = of_others()
    fault.plant(planting)
    assert of_others() == before
    assert {one.column for one in before} == {gaps, "u3"} - {fault.column}


@pytest.mark.parametrize("name", FAULTS)
def test_the_order_of_rows_on_either_side_is_irrelevant(name: str) -> None:
    fault = FAULTS[name]
    loss = {"loss": "binary_crossentropy"} if fault.classes else {}
    config = sweep(**(loss | dict(fault.broken)))
    planting = clean(fault.classes)
    fault.plant(planting)
    before, after = audited(planting, config), audited(shuffled(planting, 5), config)
    if fault.code == "invalid_target":  # names the first such row
        before, after = ([replace(one, text="") for one in found] for found in (before, after))
    assert after == before


@given(seed=st.integers(0, 10_000), spread=st.sampled_from([0.1, 1.0, 3.0, 10.0]))
@settings(max_examples=200, deadline=None)
def test_outliers_are_those_that_sorting_finds(seed: int, spread: float) -> None:
    """The quick proof that there is none never hides one."""
    random = np.random.default_rng(seed)
    rows = int(random.integers(8, 500))
    values = random.standard_t(spread, rows)
    if seed % 2:
        values[random.integers(rows)] = random.uniform(8, 14) * np.std(values)
    train = np.flatnonzero(random.random(rows) < 0.8)
    if len(train) < 4:
        return
    low, middle, high = np.percentile(values[train], (25, 50, 75))
    scores = np.abs(values - middle) / ((high - low) / 1.349)
    expected = int(np.count_nonzero(scores > OUTLIER_Z))
    if expected > 0.1 * rows:
        expected = 0
    assert measure("x", values, train).outliers == expected


@pytest.mark.parametrize("scaling", ["none", "standard", "minmax", "maxabs", "robust", "log1p"])
def test_the_largest_input_is_that_of_preprocessing(scaling: Scaling) -> None:
    planting = clean()
    planting["u0"][:] = np.abs(planting["u0"]) * 500
    planting["u0"][[3, 330]] = 1e5, 2e5
    raw, dataset = planting.raw(), sweep().datasets[0]
    made = prepare(raw, dataset, PreprocessingSettings(scaling=scaling), "mse")
    place = planting.names.index("u0")
    largest = max(np.abs(side[:, place]).max() for side in (made.x_train, made.x_validation))
    train = split_rows(raw, dataset).train
    found = measure("u0", raw.features[:, place], train).spread.largest_after(scaling)
    assert found == pytest.approx(largest, rel=1e-12)


_NORMAL = np.random.default_rng(4).standard_normal(300)
EXTREMES = {
    "far from 0": (1 + 0.1 * _NORMAL) * 1e200,
    "near the largest": np.clip(_NORMAL, -1, 1) * 1.7e308,
    "squares overflow": _NORMAL * 1e160,
    "next to nothing": _NORMAL * 1e-20,
    "next to nothing but for one": np.append(_NORMAL[1:] * 1e-20, 100.0),
    "an extreme validation row": np.append(_NORMAL[1:], 1e160),
    "constant but for roundoff": 1e8 + 1e-8 * np.sign(_NORMAL),
    "mostly the same": np.where(np.arange(300) % 5, 0.0, _NORMAL * 1e5),
    "constant": np.full(300, 7e4),
}


@pytest.mark.parametrize("scaling", ["standard", "minmax", "maxabs", "robust"])
@pytest.mark.parametrize("name", EXTREMES)
def test_extremes_are_scaled_as_scikit_learn_does(name: str, scaling: str) -> None:
    values, train = EXTREMES[name], np.arange(240)
    scalers = {
        "standard": StandardScaler,
        "minmax": MinMaxScaler,
        "maxabs": MaxAbsScaler,
        "robust": RobustScaler,
    }
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        made = scalers[scaling]().fit(values[train, None]).transform(values[:, None])
    largest = float(np.abs(made).max())
    spread = Spread.of(values, values[train])
    expected = math.inf if math.isnan(largest) else largest
    if scaling == "standard" and not math.isfinite(spread.std):
        # By roundoff it is NaN, or not divided at all: no use, and beyond float32.
        assert expected > LARGEST_NUMBER
        assert spread.largest_after(scaling) == math.inf
        return
    assert spread.largest_after(scaling) == pytest.approx(expected, rel=1e-6)
    assert np.abs(spread.scaled(values, scaling)).max() == pytest.approx(
        largest, rel=1e-6, nan_ok=True
    )
    measured = measure("x", values, train).spread
    if math.isnan(measured.quartiles[0]) and scaling == "robust":
        assert measured.largest_after(scaling) >= expected  # known without quartiles
    else:
        assert measured.largest_after(scaling) == spread.largest_after(scaling)


def test_equal_rows_have_equal_hashes_and_others_do_not() -> None:
    table = np.array([[0.0, np.nan], [-0.0, np.nan], [np.nan, 0.0], [0.0, 1.0], [1.0, 0.0]])
    hashes = RowHashes(len(table))
    for column in table.T:
        hashes.add(column.copy())
    assert hashes.values[0] == hashes.values[1]
    assert len(set(hashes.values.tolist())) == 4


def test_findings_are_sorted_the_worst_first_and_by_code() -> None:
    planting = clean()
    for name in ("missing", "outlier", "constant", "infinite", "tiny last batch"):
        FAULTS[name].plant(planting)
    findings = audited(planting, sweep())
    ranks = [list(Severity).index(one.severity) for one in findings]
    assert ranks == sorted(ranks)
    codes = [code for code, _ in groupby((one.severity, one.code) for one in findings)]
    assert len(codes) == len(set(codes))
    assert len({one.severity for one in findings}) == 3
