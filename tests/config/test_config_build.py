"""A user's own build: its hp in the section and in the grid, and what is known of training."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from stabilitysweep.analysis.brackets import BRACKET_COLUMNS
from stabilitysweep.analysis.sensitivity import COLUMNS as SENSITIVITY_COLUMNS
from stabilitysweep.config import SweepConfig, parse_config
from stabilitysweep.config.names import COMPILED_SETTINGS, SLICE_COLUMNS, TABLE_COLUMNS
from stabilitysweep.config.settings import TrainingSettings
from stabilitysweep.store.rows import MEASURED

LinesOf = Callable[[Any], list[str]]


def built(model: str = "", grid: str = "units: [1, 2]", more: str = "") -> str:
    return f"dataset: wine\nmodel:\n  build: sweeps.cnn:build\n  {model}\ngrid:\n  {grid}\n{more}"


def config_of(*parts: str) -> SweepConfig:
    return parse_config(built(*parts), source="sweep.yaml")


def again(config: SweepConfig) -> SweepConfig:
    """The config from what is saved of it."""
    return parse_config(yaml.safe_dump(config.resolved(), sort_keys=False), source="other.yaml")


def test_every_key_beside_build_is_an_hp() -> None:
    config = config_of("filters: 16\n  depth: 3\n  conv 1/kernel: relu\n  norm: true")
    assert config.model.build == "sweeps.cnn:build"
    hp = (("conv 1/kernel", "relu"), ("depth", 3), ("filters", 16), ("norm", True))
    assert config.model.hp == hp
    assert [config.values(name) for name in ("depth", "norm")] == [(3,), (True,)]
    section = {"build": "sweeps.cnn:build", **dict(hp)}
    assert config.resolved()["model"] == section
    assert {"dataset": "wine", "steps": 100, **section}.items() <= config.fixed().items()


def test_names_of_the_built_in_model_are_hp_of_a_build() -> None:
    axes = "depth: [a, 2.5, true]\n  activation: [no_keras_name]\n  l2: {from: -1, to: 1, num: 3}"
    config = config_of("", axes)
    assert config.grid == {
        "depth": ("a", 2.5, True), "activation": ("no_keras_name",), "l2": (-1, 0.0, 1),
    }  # fmt: skip
    assert config.hp_axes == ("depth", "activation", "l2")
    # Those that the config does not give are none of the sweep's.
    assert config.values("width") == config.values("unheard of") == ()


def test_settings_of_the_other_sections_keep_their_meaning(lines_of: LinesOf) -> None:
    config = config_of("", "units: [1]\n  learning_rate: [1e-3]\n  scaling: [minmax]")
    assert config.hp_axes == ("units",)
    (line,) = lines_of(built("", "optimizer: [smd]"))
    assert line.startswith("sweep.yaml:6: grid.optimizer[0]: expected one of sgd,")
    assert line.endswith("did you mean 'sgd'?")
    (line,) = lines_of(built("", "units: [1]", "training: {optimiser: sgd}"))
    assert line.startswith("sweep.yaml:7: training.optimiser: ") and "'optimizer'" in line


@pytest.mark.parametrize(
    ("written", "values"),
    [
        ("[1e-4, '1e-4x', '32', '-1.', '.5e1']", (1e-4, "1e-4x", 32, -1.0, 5.0)),
        ("['nan', inf, '1_000', '']", ("nan", "inf", "1_000", "")),
        ("[-0.0]", (0.0,)),
        ("{from: 16, to: 64, num: 4}", (16, 32.0, 48.0, 64)),
        ("{from: 1e-4, to: 1, num: 3, scale: log}", (1e-4, 0.01, 1)),
        ("{from: 0, to: 1, num: 4}", (0, 0.333333333333, 0.666666666667, 1)),
    ],
)
def test_values_of_an_axis(written: str, values: tuple[Any, ...]) -> None:
    config = config_of("", f"units: {written}")
    assert config.grid["units"] == values
    assert list(map(type, config.grid["units"])) == list(map(type, values))
    assert math.copysign(1, values[0] if values == (0.0,) else 1) == 1
    assert again(config).grid == config.grid


@pytest.mark.parametrize(
    ("content", "start", "part"),
    [
        (
            "dataset: wine\nmodel: {build: cnn}\ngrid: {units: [1]}",
            "sweep.yaml:2: model.build: expected a build(hp) function or a HyperModel, as "
            "'module:function', got 'cnn'",
            "",
        ),
        (built("name: mlp"), "sweep.yaml:4: model.name: expected either 'build' or 'name'", "both"),
        (built("units: 3"), "sweep.yaml:4: model.units: expected one place for it", "both"),
        (built("loss: mse"), "sweep.yaml:4: model.loss: expected an hp", "belongs to 'training'"),
        (built("scaling: 1"), "sweep.yaml:4: model.scaling: ", "belongs to 'preprocessing'"),
        (built("dataset: 1"), "sweep.yaml:4: model.dataset: ", "belongs to 'grid'"),
        (built("seed: 3"), "sweep.yaml:4: model.seed: expected the name of an hp that is no", ""),
        (built("", "outcome: [1]"), "sweep.yaml:6: grid.outcome: expected the name of", "rename"),
        (built("", "val_r2: [1]"), "sweep.yaml:6: grid.val_r2: expected the name of", "rename"),
        (
            built("", "refined: [1]"),
            "sweep.yaml:6: grid.refined: expected the name of an axis that is no column of the "
            "boundaries",
            "'hp_refined'",
        ),
        (built("", f"{'n' * 101}: [1]"), f"sweep.yaml:6: grid.{'n' * 101}: ", "one of 101"),
        (built("'': 1"), "sweep.yaml:4: model.'': expected the name of an hp", "got one of 0"),
        (built("8: 1"), "sweep.yaml:4: model.8: expected the name of an hp", "the key 8; put it"),
        (built("", "on: [1]"), "sweep.yaml:6: grid.True: expected the name", "the key true"),
        (built("", "build: [a:b]"), "sweep.yaml:6: grid.build: expected a setting", "rename it"),
        (built("", "name: [a]"), "sweep.yaml:6: grid.name: expected a setting", "rename it"),
        (built("", "steps: [1]"), "sweep.yaml:6: grid.steps: expected a setting", "one value"),
        (built("x: [1]"), "sweep.yaml:4: model.x: expected true or false, a finite", "a list"),
        (built("x:"), "sweep.yaml:4: model.x: expected true or false, a finite", "got nothing"),
        (built("x: 1e400"), "sweep.yaml:4: model.x: expected true or false, a finite", "1e400"),
        (built(f"x: {2**53 + 1}"), "sweep.yaml:4: model.x: expected a whole number", "90071992547"),
        (built("", "u: [1, .nan]"), "sweep.yaml:6: grid.u[1]: expected true or false", "got .nan"),
        (built("", "u: [1, 1.0]"), "sweep.yaml:6: grid.u[1]: expected each value once", "1.0"),
        (built("", "u: [1, true]"), "sweep.yaml:6: grid.u[1]: expected each value once", "true"),
        (built("", "u: 3"), "sweep.yaml:6: grid.u: expected a list of at least", "{from, to,"),
        (built("", "u: {from: a, to: 2, num: 3}"), "sweep.yaml:6: grid.u.from: expected a fin", ""),
        (built("", "u: {from: 2, to: 1, num: 3}"), "sweep.yaml:6: grid.u.from: expected 'f", ""),
        (
            "dataset: wine\nmodel: {buld: a:b}\ngrid: {l2: [1]}",
            "sweep.yaml:2: model.buld: expected a known key",
            "did you mean 'build'?",
        ),
        (
            "dataset: wine\ngrid: {filters: [1]}",
            "sweep.yaml:2: grid.filters: expected a setting that may be an axis (dataset,",
            "give 'model: {build: module:function}'",
        ),
        (
            "dataset: wine\nmodel: {hp: 1}\ngrid: {l2: [1]}",
            "sweep.yaml:2: model.hp: expected a known key (name, width, depth, activation,",
            "batch_norm, build)",
        ),
    ],
)  # fmt: skip
def test_what_is_refused(content: str, start: str, part: str, lines_of: LinesOf) -> None:
    (line,) = lines_of(content)
    assert line.startswith(start)
    assert part in line


def test_the_columns_that_no_hp_may_be_are_those_of_the_table() -> None:
    measured = {name for name in MEASURED if name not in ("metrics", "val_loss")}
    of_result = {"cause_text", "excess_zero_gradients", "lost_gradients"}
    assert measured | {"trial_id", "seed"} | of_result == TABLE_COLUMNS


def test_the_columns_that_no_axis_may_be_are_those_of_the_tables_of_slices() -> None:
    assert {*BRACKET_COLUMNS, *SENSITIVITY_COLUMNS} <= SLICE_COLUMNS
    # With one value they are no column of these.
    assert config_of("refined: true\n  trials: 3").model.hp == (("refined", True), ("trials", 3))


def test_what_is_given_is_known_and_survives_saving() -> None:
    config = config_of(
        "", "units: [1]\n  learning_rate: [1]", "training: {batch_size: 8, clipnorm: null}"
    )
    assert config.given == {"learning_rate", "batch_size", "clipnorm"}
    assert config.resolved()["training"] == {"batch_size": 8, "clipnorm": None}
    assert again(config).given == config.given
    assert config_of().resolved()["training"] == {}
    # What may be the model's is not said; what is left to its default otherwise is.
    fixed = config.fixed()
    assert not fixed.keys() & {*COMPILED_SETTINGS}
    assert {"batch_size": 8, "precision": "float32", "steps": 100}.items() <= fixed.items()


def test_without_a_build_all_is_as_before() -> None:
    config = parse_config("dataset: wine\ntraining: {loss: mae}\ngrid: {momentum: [0]}")
    assert config.given == {"loss", "momentum"}
    assert config.hp_axes == ()
    resolved = config.resolved()
    assert list(resolved["model"]) == [
        "name", "width", "depth", "activation", "initializer", "l1", "l2", "dropout", "batch_norm",
    ]  # fmt: skip
    assert {*resolved["training"], "momentum"} == {*TrainingSettings.model_fields}
    assert not config.fixed().keys() & {"build", "hp"}
    assert parse_config("dataset: wine\nmodel: {build: null}\ngrid: {l2: [0]}").model.build is None
    with pytest.raises(KeyError):
        config.values("units")


@pytest.mark.parametrize(
    "training",
    [
        "{momentum: 0.9, nesterov: true}",
        "{nesterov: true}",
        "{metrics: [accuracy]}",
        "{decay_rate: 0.5}",
        "{steps: 5, learning_rate: 1}",
    ],
)
def test_only_what_is_given_is_judged(training: str) -> None:
    config = config_of("", "units: [1]", f"training: {training}")
    assert again(config) == config


@pytest.mark.parametrize(
    ("training", "expected"),
    [
        ("{momentum: 0.9, optimizer: adam}", "momentum: expected 0"),
        ("{nesterov: true, optimizer: adam}", "nesterov: expected false"),
        ("{nesterov: true, momentum: 0}", "nesterov: expected a momentum above 0"),
        ("{metrics: [accuracy], loss: mse}", "metrics: expected metrics of regression"),
        ("{decay_rate: 0.5, schedule: cosine}", "decay_rate: expected schedule 'exponential'"),
        ("{warmup_steps: 100}", "warmup_steps: expected fewer than the 100 steps"),
    ],
)
def test_what_is_given_is_judged(training: str, expected: str, lines_of: LinesOf) -> None:
    (line,) = lines_of(built("", "units: [1]", f"training: {training}"))
    assert line.startswith(f"sweep.yaml:7: training.{expected}")


NAMES = st.text(min_size=1, max_size=100).map(lambda text: f"p {text}"[:100])
HP_VALUES = st.one_of(
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
)
SECTIONS = st.dictionaries(NAMES, HP_VALUES, max_size=4)
AXES = st.dictionaries(NAMES, st.lists(HP_VALUES, min_size=1, max_size=3), min_size=1, max_size=3)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(section=SECTIONS, axes=AXES, training=st.sets(st.sampled_from(sorted(COMPILED_SETTINGS))))
def test_what_is_saved_is_the_same_config(
    section: dict[str, Any], axes: dict[str, list[Any]], training: set[str]
) -> None:
    defaults = TrainingSettings().model_dump()
    content = {
        "dataset": "wine",
        "model": {"build": "a:b", **{key: section[key] for key in section.keys() - axes.keys()}},
        "grid": {name: values[:1] for name, values in axes.items()},
        "training": {name: defaults[name] for name in training},
    }
    config = parse_config(content)
    assert config.given == training
    saved = parse_config(config.resolved())
    assert saved == config
    assert (saved.model, saved.given, saved.grid) == (config.model, config.given, config.grid)
    assert repr(saved.model.hp) == repr(config.model.hp)  # True is no 1
