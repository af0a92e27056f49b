"""What a good config comes to: defaults, axes, and the resolved dict."""

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from stabilitysweep.config import (
    AXIS_SETTINGS,
    DatasetSettings,
    SweepConfig,
    load_config,
    parse_config,
)
from stabilitysweep.config.settings import TrainingSettings

FULL = """\
name: regression
dataset: {name: diabetes}
preprocessing: {imputation: none, scaling: standard, target_scaling: standard}
model: {name: mlp, width: 32}
training: {optimizer: sgd, loss: mse, steps: 100, metrics: [mae, r2]}
grid:
  learning_rate: {from: 1e-4, to: 10, num: 25, scale: log}
  batch_size: [16, 32, full]
  l2: [0, 1e-4, 1e-2]
  depth: [1, 2, 4, 8]
  activation: [relu, tanh, gelu]
  precision: [float32, mixed_float16, float16]
  clipnorm: [null, 1]
  nesterov: [false]
seeds: 3
"""


def config_of(grid: str, rest: str = "") -> SweepConfig:
    return parse_config(f"dataset: diabetes\ngrid: {grid}\n{rest}")


def axis(grid: str) -> tuple[object, ...]:
    (values,) = config_of(grid).grid.values()
    return values


def test_the_config_of_the_design_page() -> None:
    config = parse_config(FULL)
    assert config.name == "regression"
    assert config.dataset == DatasetSettings(name="diabetes")
    assert config.seeds == range(3)
    assert list(config.grid)[:3] == ["learning_rate", "batch_size", "l2"]
    assert config.grid["batch_size"] == (16, 32, "full")
    assert config.grid["l2"] == (0.0, 1e-4, 1e-2)
    assert all(type(value) is float for value in config.grid["l2"])
    assert config.grid["clipnorm"] == (None, 1.0)
    assert config.training.metrics == ("mae", "r2")


def test_defaults() -> None:
    config = config_of("{l1: [0]}")
    assert config.name == "config"
    assert config.seeds == range(1)
    assert config.dataset is not None
    assert (config.dataset.validation_fraction, config.dataset.split_seed) == (0.2, 0)
    assert config.preprocessing.model_dump() == {
        "imputation": "none",
        "fill_value": 0.0,
        "neighbors": 5,
        "missing_indicator": False,
        "scaling": "standard",
        "encoding": "one_hot",
        "unknown_categories": "encode",
        "target_scaling": None,
    }
    assert config.model.model_dump() == {
        "name": "mlp",
        "width": 32,
        "depth": 2,
        "activation": "relu",
        "initializer": "glorot_uniform",
        "l1": 0.0,
        "l2": 0.0,
        "dropout": 0.0,
        "batch_norm": False,
    }
    assert config.training.model_dump() == {
        "optimizer": "sgd",
        "loss": "mse",
        "steps": 100,
        "epochs": None,
        "learning_rate": 0.01,
        "batch_size": 32,
        "momentum": 0.0,
        "nesterov": False,
        "weight_decay": None,
        "clipnorm": None,
        "warmup_steps": 0,
        "schedule": "constant",
        "decay_rate": 0.1,
        "precision": "float32",
        "metrics": (),
    }


def test_epochs_take_the_place_of_steps() -> None:
    training = config_of("{l1: [0]}", "training: {epochs: 3}").training
    assert (training.steps, training.epochs) == (None, 3)
    assert TrainingSettings().steps == 100


@pytest.mark.parametrize("text", ["1e-4", "1E-4", "1.0e-4", "+1e-4", "0.0001", '"1e-4"', "1e-04"])
def test_every_way_to_write_a_small_number(text: str) -> None:
    assert axis(f"{{learning_rate: [{text}]}}") == (1e-4,)
    config = config_of("{l1: [0]}", f"training: {{learning_rate: {text}}}")
    assert config.training.learning_rate == 1e-4


def test_negative_zero_is_zero() -> None:
    assert [str(value) for value in axis("{l2: [-0.0]}")] == ["0.0"]


def test_second_names_become_the_first() -> None:
    assert config_of("{l1: [0]}", "training: {loss: mean_squared_error}").training.loss == "mse"
    assert axis("{loss: [mean_absolute_error, huber]}") == ("mae", "huber")
    assert axis("{activation: [swish, hard_swish]}") == ("silu", "hard_silu")


def test_log_range() -> None:
    values = axis("{learning_rate: {from: 1e-4, to: 10, num: 25, scale: log}}")
    np.testing.assert_allclose(np.array(values, float), np.geomspace(1e-4, 10, 25), rtol=1e-11)
    assert values[0] == 1e-4
    assert values[-1] == 10.0
    assert all(len(f"{value!r}") <= 18 for value in values)


def test_a_log_range_over_whole_decades_prints_as_decades() -> None:
    values = axis("{learning_rate: {from: 1e-5, to: 10, num: 7, scale: log}}")
    assert values == (1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0)


def test_linear_range_and_its_exact_ends() -> None:
    assert axis("{dropout: {from: 0, to: 0.3, num: 4}}") == (0.0, 0.1, 0.2, 0.3)
    third = 1 / 3
    values = axis(f"{{dropout: {{from: {third!r}, to: 0.7777777777777777, num: 3}}}}")
    assert (values[0], values[-1]) == (third, 0.7777777777777777)


def test_range_of_a_whole_setting() -> None:
    values = axis("{width: {from: 8, to: 1000, num: 5, scale: log}}")
    assert values == (8, 27, 89, 299, 1000)
    assert all(type(value) is int for value in values)
    assert axis("{batch_size: {from: 16, to: 64, num: 4}}") == (16, 32, 48, 64)


def test_every_setting_but_the_budget_may_be_an_axis() -> None:
    assert {"steps", "epochs", "metrics", "name"}.isdisjoint(AXIS_SETTINGS)
    assert len(AXIS_SETTINGS) == 8 + 8 + 12
    assert AXIS_SETTINGS["precision"].section == "training"
    kinds = {name: setting.kind for name, setting in AXIS_SETTINGS.items()}
    assert {name for name, kind in kinds.items() if kind == "whole"} == {
        "width",
        "depth",
        "batch_size",
        "warmup_steps",
        "neighbors",
    }
    assert kinds["clipnorm"] == kinds["weight_decay"] == kinds["l1"] == "real"
    assert kinds["nesterov"] == kinds["activation"] == "choice"


TEXTS = {
    "wine": "wine",
    "keras.datasets.mnist": "keras.datasets.mnist",
    "sweeps.noise:make_noise": "make_noise",
}


def test_a_file_is_told_from_its_ending() -> None:
    for ending in ("csv", "csv.gz", "tsv", "parquet", "npz"):
        settings = DatasetSettings.model_validate({"path": f"data/a.b.{ending}", "target": "y"})
        assert settings.label == "a.b"
        with pytest.raises(ValueError, match="the name of the column"):
            DatasetSettings.model_validate(f"data/a.{ending}")


def test_marks_of_missing_values_are_texts() -> None:
    marks = ["?", -999, 0.5, math.inf]
    settings = DatasetSettings.model_validate({"name": "wine", "missing_values": marks})
    assert settings.missing_values == ("?", "-999", "0.5", "inf")


def test_datasets() -> None:
    content = """
    dataset:
      - wine
      - {name: make_moons, options: {noise: 0.1}, validation_fraction: 0}
      - {name: make_moons, options: {noise: 0.3}, label: noisy moons}
      - {path: data/house prices.csv, target: price, split_seed: 4}
    grid: {l1: [0, 1]}
    """
    config = parse_config(content)
    assert config.dataset is None
    assert list(config.grid) == ["dataset", "l1"]
    labels = [dataset.label for dataset in config.datasets]
    assert labels == ["wine", "make_moons", "noisy moons", "house prices"]
    in_grid = parse_config({"grid": {"dataset": ["wine", "iris"], "l1": [0]}})
    assert in_grid == parse_config({"dataset": ["wine", "iris"], "grid": {"l1": [0]}})
    assert parse_config("dataset: [wine]\ngrid: {l1: [0]}").datasets == (
        DatasetSettings(name="wine"),
    )
    assert [DatasetSettings.model_validate(text).label for text in TEXTS] == list(TEXTS.values())
    # Several data sets are an axis already.
    assert list(parse_config("dataset: [wine, iris]").grid) == ["dataset"]


def test_the_path_stays_as_written_and_the_folder_is_kept_apart(tmp_path: Path) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text("dataset: {path: ../data/x.csv, target: y}\ngrid: {l1: [0]}\n")
    config = load_config(file)
    assert config.name == "prices"
    assert config.datasets[0].path == "../data/x.csv"
    assert config.base_folder == tmp_path
    assert "base_folder" not in json.dumps(config.resolved())
    elsewhere = config.based_in("/elsewhere")
    assert elsewhere == config
    assert (elsewhere.base_folder, config.base_folder) == (Path("/elsewhere"), tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        FULL,
        "dataset: [wine, {path: a.csv, target: y}]\ngrid: {l1: [0]}\ntraining: {epochs: 2}",
        "dataset: {name: make_blobs, options: {centers: [[0, 1.5], [2, 3]]}, label: b}\n"
        "grid: {target_scaling: [null, none]}",
    ],
)
def test_what_resolved_saves_loads_as_an_equal_config(text: str) -> None:
    config = parse_config(text)
    resolved = config.resolved()
    as_yaml = yaml.safe_dump(resolved, sort_keys=False)
    assert parse_config(resolved) == config
    assert parse_config(as_yaml) == config
    assert parse_config(json.loads(json.dumps(resolved, allow_nan=False))) == config
    assert parse_config(as_yaml).resolved() == resolved


def test_resolved_says_each_setting_once() -> None:
    resolved = parse_config(FULL).resolved()
    assert "learning_rate" not in resolved["training"]
    assert resolved["grid"]["learning_rate"][0] == 1e-4
    assert resolved["training"]["momentum"] == 0.0


def test_configs_that_say_something_else_are_not_equal() -> None:
    config = config_of("{l1: [0], l2: [0]}")
    assert config == config_of("{l1: [0.0], l2: [0e0]}")
    assert config != config_of("{l1: [0], l2: [1]}")
    assert config != config_of("{l2: [0], l1: [0]}")
    assert config != "a text"


def test_values_of_a_setting() -> None:
    config = config_of("{l1: [0, 1]}")
    assert config.values("l1") == (0.0, 1.0)
    assert config.values("l2") == (0.0,)
    assert config.values("dataset") == config.datasets
    with pytest.raises(KeyError):
        config.values("l3")


def test_anchors_and_merged_mappings() -> None:
    config = parse_config(
        "dataset: wine\n"
        "model: {l1: &small 1e-4}\n"
        "training: {optimizer: adam, learning_rate: *small}\n"
        "grid: {width: &sizes [1, 2], depth: *sizes}\n"
    )
    assert config.training.learning_rate == 1e-4
    assert config.grid["depth"] == (1, 2)
    merged = parse_config(
        "dataset:\n- &a {path: x.csv, target: y}\n- {<<: *a, path: z.csv}\ngrid: {l1: [0]}\n"
    )
    assert [dataset.path for dataset in merged.datasets] == ["x.csv", "z.csv"]
    met_twice = parse_config(
        "dataset:\n"
        "- {name: make_moons, label: a, options: &o {noise: 1, <<: {noise: 2, shuffle: true}}}\n"
        "- {name: make_moons, label: b, options: *o}\n"
        "grid: {l1: [0]}\n"
    )
    options = [dataset.options for dataset in met_twice.datasets]
    assert options == [{"noise": 1, "shuffle": True}] * 2


def test_empty_sections_are_defaults() -> None:
    config = parse_config("dataset: wine\nmodel:\ntraining: {}\ngrid: {l1: [0]}")
    assert config.model.width == 32


def test_loading_does_not_import_the_heavy_libraries() -> None:
    code = (
        "import sys; import stabilitysweep.config, stabilitysweep.grid;"
        "print([m for m in ('tensorflow', 'keras', 'pandas', 'sklearn') if m in sys.modules])"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert output.strip() == "[]"
