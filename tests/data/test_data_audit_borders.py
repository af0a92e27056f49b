"""Where what is a finding borders on what is none, and remedies on none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from fault_planting import ROWS, TRAINED, Planting, audited, clean, sweep
from planted_faults import FAULTS, keep

import stabilitysweep
from stabilitysweep.data import Finding, Split


def of_code(code: str, findings: tuple[Finding, ...]) -> list[Finding]:
    return [one for one in findings if one.code == code]


def rows_kept(train: int, held_out: int, classes: bool = False) -> Planting:
    planting = clean(classes)
    keep(train, held_out)(planting)
    return planting


@pytest.mark.parametrize(("rows", "found"), [(289, True), (290, True), (291, False)])
def test_a_last_batch_of_an_eighth_is_tiny(rows: int, found: bool) -> None:
    planting = rows_kept(rows, 80)
    assert bool(of_code("tiny_last_batch", audited(planting, sweep(batch_size=16)))) == found


def test_only_a_batch_of_one_row_is_alone() -> None:
    for rows, severity in ((289, "warning"), (290, "note")):
        planting = rows_kept(rows, 80)
        findings = audited(planting, sweep(batch_size=16, batch_norm=True))
        (finding,) = of_code("tiny_last_batch", findings)
        assert finding.severity == severity


def test_batch_sizes_have_one_remedy_that_mends_all() -> None:
    planting = rows_kept(289, 80)
    found = of_code("tiny_last_batch", audited(planting, sweep(batch_size=[10, 16, 17, 32])))
    assert len(found) == 2
    assert {one.remedy for one in found} == {"grid: {batch_size: [10, 17]}"}
    found = of_code("empty_batch", audited(planting, sweep(batch_size=[300, 400])))
    assert {one.remedy for one in found} == {"grid: {batch_size: [full]}"}


@pytest.mark.parametrize(("rows", "found"), [(9, True), (10, False)])
def test_nine_validation_rows_are_few(rows: int, found: bool) -> None:
    findings = audited(rows_kept(320, rows), sweep())
    assert bool(of_code("few_validation_rows", findings)) == found


@pytest.mark.parametrize(
    ("train", "held_out", "remedy"),
    [
        (9, 3, ""),
        (16, 3, ""),  # 10 of 19 are more than half
        (16, 4, "dataset: {validation_fraction: 0.5}"),
        (91, 9, "dataset: {validation_fraction: 0.2}"),
    ],
)
def test_at_most_half_of_the_rows_are_held_out(train: int, held_out: int, remedy: str) -> None:
    (finding,) = of_code("few_validation_rows", audited(rows_kept(train, held_out), sweep()))
    assert finding.remedy == remedy


@pytest.mark.parametrize(
    ("rarest", "severity"), [(19, "warning"), (20, "note"), (66, "note"), (67, None)]
)
def test_classes_of_5_to_1_are_imbalanced_and_of_20_to_1_strongly(
    rarest: int, severity: str | None
) -> None:
    planting = clean(classes=True)
    planting.target = (np.arange(ROWS) % 6 == 5).astype(int)
    planting.target[np.flatnonzero(planting.target == 0)[:1]] = 1  # 66 + 1 of 400
    planting.target[np.flatnonzero(planting.target)[rarest:]] = 0
    found = of_code("class_imbalance", audited(planting, sweep(loss="binary_crossentropy")))
    assert [one.severity for one in found] == ([severity] if severity else [])
    assert all(one.remedy == "" for one in found)


@pytest.mark.parametrize(("ratio", "found"), [(950.0, False), (1_050.0, True)])
def test_scales_that_differ_by_1000_are_unequal(ratio: float, found: bool) -> None:
    planting = clean()
    std = {name: planting[name][TRAINED].std() for name in planting.names}
    widest = max(std.values())
    planting["u3"][:] *= widest / ratio / std["u3"]
    assert bool(of_code("unequal_scales", audited(planting, sweep()))) == found


@pytest.mark.parametrize(("rows", "found"), [(19, False), (20, True)])
def test_twenty_different_texts_identify(rows: int, found: bool) -> None:
    planting = clean()
    planting.texts["key"] = [f"key {row}" if row < rows else None for row in range(ROWS)]
    findings = audited(planting, sweep(imputation="most_frequent"))
    assert bool(of_code("identifier", findings)) == found


@pytest.mark.parametrize(
    ("largest", "precision", "found"),
    [
        (250.0, "float16", False),
        (260.0, "float16", True),
        (260.0, "mixed_float16", True),
        (260.0, "float32", False),
        (990.0, "float32", False),
        (1_010.0, "float32", True),
        (990.0, "mixed_bfloat16", False),
    ],
)
def test_a_target_is_large_from_its_square_on(largest: float, precision: str, found: bool) -> None:
    planting = clean()
    planting.target = planting.target * (largest / np.abs(planting.target).max())
    findings = audited(planting, sweep(target_scaling="none", precision=precision))
    assert bool(of_code("large_target", findings)) == found


def test_a_mixed_policy_keeps_its_target_in_float32() -> None:
    planting = clean()
    planting.target[3] = 7e4
    severities = {
        precision: of_code(
            "large_target", audited(planting, sweep(target_scaling="none", precision=precision))
        )[0].severity.value
        for precision in ("float16", "mixed_float16", "float32")
    }
    assert severities == {
        "float16": "critical",
        "mixed_float16": "warning",
        "float32": "warning",
    }


def test_a_class_of_one_row_cannot_be_on_both_sides() -> None:
    settings = {"loss": "sparse_categorical_crossentropy"}
    for rows, remedy in (([330], ""), ([330, 331], "dataset: {stratify: true}")):
        planting = clean(classes=True)
        planting.target[rows] = 2
        (finding,) = of_code("unseen_class", audited(planting, sweep(**settings)))
        assert finding.remedy == remedy


def test_rows_drawn_by_the_source_are_not_stratified() -> None:
    planting = clean(classes=True)
    FAULTS["unseen class"].plant(planting)
    planting.own_training_rows = len(TRAINED)
    findings = audited(planting, sweep(loss="sparse_categorical_crossentropy"))
    assert [one.remedy for one in of_code("unseen_class", findings)] == [""]


def test_categories_are_filled_by_the_most_frequent() -> None:
    planting = clean()
    FAULTS["missing category"].plant(planting)
    FAULTS["missing"].plant(planting)
    FAULTS["mark among categories"].plant(planting)
    remedies = {(one.code, one.column): one.remedy for one in audited(planting, sweep())}
    frequent = "preprocessing: {imputation: most_frequent}"
    assert remedies["missing_values", "colour"] == frequent
    assert remedies["missing_values", "n1"] == "preprocessing: {imputation: median}"
    assert remedies["missing_marks", "shape"].endswith(frequent)


def test_a_fill_value_in_range_is_proposed_only_if_it_alone_is_at_fault() -> None:
    planting = clean()
    planting["u0"][:3] = np.nan
    config = sweep(
        imputation=["constant", "mean"],
        fill_value=[1.0, -1e6],
        scaling=["none", "minmax"],
        precision="float16",
    )
    (finding,) = of_code("beyond_float16", audited(planting, config))
    assert finding.remedy == "grid: {fill_value: [1.0]}"
    planting["u0"][5] = 1e6
    (finding,) = of_code("beyond_float16", audited(planting, config))
    assert finding.remedy == "grid: {scaling: [minmax]}"


def test_a_column_that_no_scaling_keeps_in_range_is_left_out() -> None:
    planting = clean()
    planting["n0"][:] = 1e-3 * planting["n0"]
    planting["n0"][TRAINED[-1] + 1] = 1e39  # in a validation row, and 1e39 times all others
    (finding,) = of_code("beyond_float32", audited(planting, sweep()))
    assert finding.severity == "critical"
    assert finding.remedy == "dataset: {exclude: [n0]}"


def test_a_scaling_that_leaves_nothing_of_a_column_is_no_remedy() -> None:
    """The range of these overflows: minmax makes every value the same."""
    planting = clean()
    planting["n0"][:] = np.where(planting["n0"] > 0, 1.7e308, -1.7e308)
    (finding,) = of_code("beyond_float32", audited(planting, sweep(precision="float64")))
    assert finding.severity == "critical"
    assert finding.remedy == "preprocessing: {scaling: maxabs}"


def test_the_last_feature_cannot_be_left_out() -> None:
    planting = clean()
    planting["n0"][:] = 3.5
    found = of_code("constant_column", audited(planting, sweep({"features": ["n0"]})))
    assert [one.remedy for one in found] == [""]


def test_indicators_and_the_category_of_what_is_missing_are_inputs() -> None:
    planting = clean()
    planting.split = Split(np.arange(15), np.arange(15, ROWS))  # for 8 numbers, 7 categories
    assert not of_code("fewer_rows_than_inputs", audited(planting, sweep()))
    planting["n0"][3] = planting["n1"][200] = np.nan  # the second has none in training rows
    for settings, inputs in (
        ({"imputation": "constant"}, 17),
        ({"imputation": "mean", "missing_indicator": True}, 16),
        ({"imputation": ["constant", "mean"], "missing_indicator": [False, True]}, 18),
    ):
        (finding,) = of_code("fewer_rows_than_inputs", audited(planting, sweep(**settings)))
        assert f"for {inputs} inputs" in finding.text


def test_rows_whose_target_is_a_mark_are_left_out(tmp_path: Path) -> None:
    table = pd.DataFrame(np.random.default_rng(1).standard_normal((300, 3)), columns=list("aby"))
    table.loc[[3, 7, 11, 40, 41, 42, 43, 44], "y"] = -999
    table.to_csv(tmp_path / "marked.csv", index=False)
    content = {
        "name": "marked",
        "dataset": {"path": str(tmp_path / "marked.csv"), "target": "y"},
        "grid": {"learning_rate": [1.0]},
    }
    (found,) = stabilitysweep.audit(content).itertuples()
    assert (found.code, found.column, found.count) == ("sentinel_values", "y", 8)
    assert found.remedy == "dataset: {missing_values: [-999], missing_target: drop}"
    content["dataset"] |= yaml.safe_load(found.remedy)["dataset"]
    (left,) = stabilitysweep.audit(content).itertuples()
    assert (left.code, left.severity) == ("missing_target", "note")
