"""Settings that do not fit together, in any combination of the grid."""

import pytest

from stabilitysweep.config import parse_config
from stabilitysweep.errors import ConfigError


def problems(rest: str) -> list[str]:
    text = rest if "grid:" in rest else f"{rest}\ngrid: {{l1: [0]}}"
    try:
        parse_config(f"dataset: wine\n{text}", source="c")
    except ConfigError as error:
        return str(error).split("\n")
    return []


@pytest.mark.parametrize(
    ("rest", "path", "part"),
    [
        (
            "training: {optimizer: adam, momentum: 0.9}",
            "training.momentum",
            "got momentum 0.9 with optimizer 'adam'",
        ),
        (
            "training: {momentum: 0.5}\ngrid: {optimizer: [sgd, rmsprop, adamw]}",
            "training.momentum",
            "got momentum 0.5 with optimizer 'adamw'",
        ),
        (
            "training: {optimizer: adam}\ngrid: {momentum: [0, 0.9]}",
            "grid.momentum",
            "expected 0, since optimizer 'adam' has no momentum",
        ),
        (
            "training: {nesterov: true, momentum: 0.9, optimizer: rmsprop}",
            "training.nesterov",
            "got nesterov true with optimizer 'rmsprop'",
        ),
        (
            "grid: {nesterov: [false, true]}",
            "grid.nesterov",
            "no effect with momentum 0",
        ),
        (
            "training: {steps: 10, warmup_steps: 10}",
            "training.warmup_steps",
            "expected fewer than the 10 steps of training, got 10",
        ),
        (
            "grid: {warmup_steps: [0, 10, 200]}",
            "grid.warmup_steps",
            "expected fewer than the 100 steps of training, got 200",
        ),
        (
            "training: {decay_rate: 0.5, schedule: cosine}",
            "training.decay_rate",
            "no effect with schedule 'cosine'",
        ),
        (
            "training: {loss: mae, metrics: [mae, accuracy]}",
            "training.metrics",
            "got metric 'accuracy' with loss 'mae'",
        ),
        (
            "training: {metrics: [r2]}\ngrid: {loss: [mse, sparse_categorical_crossentropy]}",
            "training.metrics",
            "got metric 'r2' with loss 'sparse_categorical_crossentropy'",
        ),
        (
            "training: {loss: binary_crossentropy}\npreprocessing: {target_scaling: standard}",
            "preprocessing.target_scaling",
            "expected none, since the targets of loss 'binary_crossentropy' are classes",
        ),
        (
            "training: {loss: poisson}\ngrid: {target_scaling: [none, log1p]}",
            "grid.target_scaling",
            "got target_scaling 'log1p' with loss 'poisson'",
        ),
        (
            "preprocessing: {imputation: mean, fill_value: 1}",
            "preprocessing.fill_value",
            "fill_value 1, which has no effect with imputation 'mean'",
        ),
        (
            "grid: {neighbors: [5, 3], imputation: [none, constant]}",
            "grid.neighbors",
            "expected imputation 'knn' to go with it, got neighbors 3",
        ),
    ],
)
def test_a_combination_that_is_refused_is_named(rest: str, path: str, part: str) -> None:
    (line,) = problems(rest)
    assert f": {path}: expected " in line
    assert part in line


@pytest.mark.parametrize(
    "rest",
    [
        "training: {momentum: 0.9}\ngrid: {optimizer: [sgd, rmsprop]}",
        "training: {optimizer: adam, momentum: 0}",
        "training: {nesterov: true}\ngrid: {momentum: [0, 0.9]}",
        "training: {epochs: 1, warmup_steps: 500}",  # steps are known with the data only
        "training: {decay_rate: 0.5}\ngrid: {schedule: [constant, exponential]}",
        "training: {loss: binary_crossentropy, metrics: [accuracy]}",
        "preprocessing: {target_scaling: none}\ntraining: {loss: binary_crossentropy}",
        "training: {metrics: [mse, mae, rmse, r2]}",
        "grid: {target_scaling: [none, standard, minmax, robust, maxabs, log1p]}",
        "preprocessing: {fill_value: -1}\ngrid: {imputation: [mean, constant]}",
        "preprocessing: {neighbors: 1, imputation: knn}",
    ],
)
def test_combinations_that_are_fine(rest: str) -> None:
    assert problems(rest) == []


def test_a_setting_that_is_wrong_itself_is_in_no_conflict() -> None:
    (line,) = problems("training: {optimizer: adam}\ngrid: {momentum: [0.9, 1.5]}")
    assert "grid.momentum[1]: expected a number of at least 0 and less than 1" in line
