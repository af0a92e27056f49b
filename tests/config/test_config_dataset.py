"""The section `dataset`: settings that are refused, and those that are not."""

from typing import Any

import pytest
import yaml

from stabilitysweep.config import DatasetSettings, parse_config
from stabilitysweep.errors import ConfigError

FILE = {"path": "a.csv", "target": "y"}
TWO_FILES = FILE | {"validation_path": "b.csv"}


def refusal(settings: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_config({"dataset": settings, "grid": {"l1": [0]}}, source="c")
    (line,) = str(caught.value).split("\n")
    return line


@pytest.mark.parametrize("mark", ["§", '"', "\n", "\r", "\x00", "\x85", "\ufeff", "", ";;"])
def test_a_separator_is_one_ascii_character(mark: str) -> None:
    line = refusal(FILE | {"separator": mark})
    assert "dataset.separator: expected one ASCII character other than a quote or a" in line


@pytest.mark.parametrize("mark", [",", ";", "\t", "|", " ", "'", "\\", ".", ":", "\x01", "\x1f"])
def test_any_other_is_a_separator(mark: str) -> None:
    assert DatasetSettings.model_validate(FILE | {"separator": mark}).separator == mark


@pytest.mark.parametrize(
    ("keys", "key", "message"),
    [
        (FILE | {"sample_seed": 3}, "sample_seed", "expected 'rows' to go with it"),
        (
            TWO_FILES | {"split_seed": 4},
            "split_seed",
            "'validation_path' is what is held out, got 4",
        ),
        (
            TWO_FILES | {"stratify": True},
            "stratify",
            "'validation_path' is what is held out, got true",
        ),
        ({"name": "keras.datasets.mnist", "stratify": True}, "stratify", "its test rows are what"),
        (
            {"name": "keras.datasets.mnist", "validation_fraction": 0.5},
            "validation_fraction",
            "its test rows are what is held out, got 0.5",
        ),
        (FILE | {"validation_fraction": 0, "split_seed": 4}, "split_seed", "none is held out"),
        (FILE | {"validation_fraction": 0, "stratify": True}, "stratify", "none is held out"),
        (
            FILE | {"categorical": ["p", "q"], "exclude": ["q", "r"]},
            "categorical",
            "expected columns that are not under 'exclude', got q",
        ),
    ],
)
def test_a_setting_without_effect_is_refused(keys: dict[str, Any], key: str, message: str) -> None:
    line = refusal(keys)
    assert f"dataset.{key}: expected" in line
    assert message in line


@pytest.mark.parametrize(
    "keys",
    [
        FILE | {"rows": 5, "sample_seed": 3},
        FILE | {"split_seed": 4, "stratify": True},
        FILE | {"categorical": ["p"], "exclude": ["q"]},
        TWO_FILES | {"rows": 5, "sample_seed": 3},
        TWO_FILES,
        FILE | {"validation_fraction": 0},
    ],
)
def test_what_has_an_effect_is_taken_and_can_be_stored(keys: dict[str, Any]) -> None:
    config = parse_config({"dataset": keys, "grid": {"l1": [0]}})
    assert parse_config(config.resolved()) == config


@pytest.mark.parametrize("marks", ["[1, 1.0]", "[1, '1.0']", "['-999', -999.0]", "[.inf, 'Inf']"])
def test_a_mark_that_is_a_number_stands_once_however_it_is_written(marks: str) -> None:
    line = refusal(FILE | {"missing_values": yaml.safe_load(marks)})
    assert "dataset.missing_values: expected a list of different texts or numbers (1 and" in line


def test_marks_that_are_texts_are_told_apart_by_the_letter() -> None:
    marks = ["NaN", "nan", "1_0", "10", "x", "X"]
    assert DatasetSettings.model_validate(FILE | {"missing_values": marks}).missing_values == (
        *marks,
    )
