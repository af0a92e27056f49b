"""Each fault that is planted is found, with its column, number, severity and a remedy that fits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from fault_planting import ROWS, Fault, audited, clean, sweep
from planted_faults import FAULTS

from stabilitysweep.config import SweepConfig, parse_config
from stabilitysweep.data import Finding, RawData, Severity, Split
from stabilitysweep.data.audit import audit

_SECTIONS = ("dataset:", "preprocessing:", "model:", "training:", "grid:")


def config_for(fault: Fault, settings: Mapping[str, Any]) -> SweepConfig:
    usual = {"loss": "binary_crossentropy"} if fault.classes else {}
    return sweep(**(usual | dict(settings)))


def found(fault: Fault, settings: Mapping[str, Any]) -> tuple[Finding, list[Finding]]:
    """The finding of a fault, and the others."""
    planting = clean(fault.classes)
    fault.plant(planting)
    findings = audited(planting, config_for(fault, settings))
    mine = [one for one in findings if (one.code, one.column) == (fault.code, fault.column)]
    assert len(mine) == 1, findings
    return mine[0], [one for one in findings if one is not mine[0]]


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_planted_fault_is_found(fault: Fault) -> None:
    finding, others = found(fault, fault.broken)
    assert finding.severity == fault.severity
    assert finding.count == fault.count
    for text in fault.says:
        assert text in finding.text
    assert {other.code for other in others} <= set(fault.others), others


@pytest.mark.parametrize(
    "fault", [pytest.param(fault, id=name) for name, fault in FAULTS.items() if fault.repaired]
)
def test_what_all_trials_repair_is_a_note(fault: Fault) -> None:
    assert fault.repaired is not None
    assert found(fault, fault.repaired)[0].severity == "note"


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_remedy_is_a_config_that_can_be_pasted(fault: Fault) -> None:
    finding, _ = found(fault, fault.broken)
    if not finding.remedy.startswith(_SECTIONS):
        return
    config = config_for(fault, fault.broken)
    for section, settings in yaml.safe_load(finding.remedy).items():
        assert section == "grid" or config.grid.keys().isdisjoint(settings)
    followed(config, finding.remedy)


MENDED = {"beyond_float16", "beyond_float32", "beyond_float16_squared", "log1p_domain"} | {
    "large_target",
    "target_log1p_domain",
    "missing_values",
    "unseen_categories",
}


def followed(config: SweepConfig, remedy: str) -> SweepConfig:
    """The config with a remedy pasted into it."""
    content = config.resolved()
    for section, settings in yaml.safe_load(remedy).items():
        content[section] |= settings
    return parse_config(content)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(fault, id=name)
        for name, fault in FAULTS.items()
        if fault.code in MENDED and fault.severity != "note" and fault.broken.get("loss") is None
    ],
)
def test_a_remedy_mends(fault: Fault) -> None:
    planting, config = clean(fault.classes), config_for(fault, fault.broken)
    fault.plant(planting)
    (before,) = [
        one
        for one in audited(planting, config)
        if (one.code, one.column) == (fault.code, fault.column)
    ]
    config = followed(config, before.remedy)
    for name in config.datasets[0].exclude:
        planting.features = np.delete(planting.features, planting.names.index(name), axis=1)
        planting.names.remove(name)
    after = audited(planting, config)
    assert not [
        one
        for one in after
        if one.severity != "note" and (one.code, one.column) == (fault.code, fault.column)
    ]


def test_the_faults_are_of_every_kind_in_the_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "audit.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    assert {fault.code for fault in FAULTS.values()} == listed - set(Severity)


@pytest.mark.parametrize("classes", [False, True])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"scaling": ["none", "standard"], "precision": ["float16", "mixed_bfloat16", "float32"]},
        {"scaling": "robust", "imputation": "knn", "batch_norm": True},
    ],
)
def test_a_clean_data_set_has_no_findings(classes: bool, settings: Mapping[str, Any]) -> None:
    loss = {"loss": "binary_crossentropy"} if classes else {}
    assert audited(clean(classes), sweep(**settings, **loss)) == ()


def test_a_million_normal_and_uniform_values_raise_no_alarm() -> None:
    random = np.random.default_rng(3)
    rows = 1_000_000
    features = np.column_stack([random.standard_normal(rows), random.random(rows)])
    raw = RawData(features, random.standard_normal(rows), ("normal", "uniform"), "big", "made")
    split = Split(np.arange(800_000), np.arange(800_000, rows))
    config = sweep(scaling=["none", "standard"], precision=["float32", "float16"])
    assert audit(raw, split, config.datasets[0], config) == ()


def test_text_labels_and_three_classes_are_no_fault() -> None:
    planting = clean(classes=True)
    planting.target = np.array(["ox", "ant", "bee", "ant"] * 100)
    assert audited(planting, sweep(loss="sparse_categorical_crossentropy")) == ()


def test_a_class_that_is_the_text_of_a_column_leaks() -> None:
    planting = clean()
    planting.target = np.array(planting.texts["colour"], str)
    (finding,) = audited(planting, sweep(loss="sparse_categorical_crossentropy"))
    assert (finding.code, finding.column) == ("target_leak", "colour")


def test_columns_of_few_values_have_no_outliers_or_marks() -> None:
    planting = clean()
    planting["n0"][:] = np.arange(ROWS) % 10  # 9 is the highest, and repeated
    planting["n1"][:] = np.arange(ROWS) % 2
    planting["n2"][:] = np.where(np.arange(ROWS) % 10, 0, 1)  # mostly the same
    planting["n3"][:] = np.arange(ROWS) % 100
    assert audited(planting, sweep()) == ()


def test_a_nine_is_a_mark_only_if_negative() -> None:
    planting = clean()
    planting["n0"][:] = np.arange(ROWS) % 4
    planting["n0"][:5] = 9
    assert audited(planting, sweep()) == ()
    planting["n0"][:5] = -9
    (finding,) = audited(planting, sweep())
    assert finding.remedy.startswith("dataset: {missing_values: [-9]}")


def test_whole_numbers_that_repeat_identify_nothing() -> None:
    planting = clean()
    planting.add("age", np.random.default_rng(2).integers(0, 4_000, ROWS))
    assert {one.code for one in audited(planting, sweep())}.isdisjoint({"identifier"})


def test_a_copy_with_gaps_is_a_copy() -> None:
    planting = clean()
    planting["n0"][:7] = np.nan
    planting.add("copy", planting["n0"])
    codes = [(one.code, one.column) for one in audited(planting, sweep(imputation="mean"))]
    assert ("duplicate_column", "copy") in codes


def test_a_large_target_that_every_trial_scales_is_no_finding() -> None:
    planting = clean()
    planting.target = planting.target * 1e4
    assert audited(planting, sweep(target_scaling=["standard", "robust"])) == ()
    (finding,) = audited(planting, sweep(target_scaling="none", precision="float16"))
    assert (finding.code, finding.severity) == ("large_target", "warning")


def test_remedies_keep_what_the_config_says_already() -> None:
    planting = clean()
    FAULTS["sentinel"].plant(planting)
    FAULTS["duplicate column"].plant(planting)
    given = {"exclude": ["old"], "missing_values": ["?"]}
    remedies = {one.code: one.remedy for one in audited(planting, sweep(given, imputation="mean"))}
    assert remedies["sentinel_values"] == "dataset: {missing_values: ['?', -999]}"
    assert remedies["duplicate_column"] == "dataset: {exclude: [old, copy]}"
    named = sweep({"features": [*planting.names]})
    (copy,) = [one for one in audited(planting, named) if one.code == "duplicate_column"]
    kept = [name for name in planting.names if name != "copy"]
    assert yaml.safe_load(copy.remedy) == {"dataset": {"features": kept}}
    coded = sweep({"categorical": ["copy", "n1"]})
    (copy,) = [one for one in audited(planting, coded) if one.code == "duplicate_column"]
    both = {"dataset": {"exclude": ["copy"], "categorical": ["n1"]}}
    assert yaml.safe_load(copy.remedy) == both  # a config refuses a column under both


def test_an_axis_loses_the_values_that_fail() -> None:
    planting = clean()
    FAULTS["missing"].plant(planting)
    FAULTS["large offset"].plant(planting)
    config = sweep(imputation=["none", "mean"], scaling=["none", "maxabs"], precision="float16")
    remedies = {one.code: one.remedy for one in audited(planting, config)}
    assert remedies["missing_values"] == "grid: {imputation: [mean]}"
    assert remedies["large_offset"] == "grid: {scaling: [standard]}"
    FAULTS["outlier"].plant(planting)
    remedies = {one.code: one.remedy for one in audited(planting, config)}
    assert remedies["outliers"] == "grid: {scaling: [none, maxabs, robust]}"


def test_names_that_yaml_would_misread_are_quoted() -> None:
    planting = clean()
    planting.add("no: [yes]", planting["n0"])
    (finding,) = audited(planting, sweep())
    assert yaml.safe_load(finding.remedy) == {"dataset": {"exclude": ["no: [yes]"]}}


def test_a_better_batch_size_leaves_no_tiny_batch() -> None:
    planting = clean()
    FAULTS["tiny last batch"].plant(planting)
    (finding,) = audited(planting, sweep())
    size = yaml.safe_load(finding.remedy)["training"]["batch_size"]
    assert 289 % size == 0 or 2 * (289 % size) >= size


def test_without_validation_rows_nothing_is_said_of_them() -> None:
    planting = clean()
    planting.split = Split(np.arange(ROWS), np.arange(0))
    assert audited(planting, sweep()) == ()
