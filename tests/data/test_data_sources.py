"""Loading: scikit-learn's sets and generators."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from pydantic import ValidationError

from stabilitysweep.config import DATASETS, DatasetSettings
from stabilitysweep.config.names import KERAS_DATASETS
from stabilitysweep.data import RawData, load
from stabilitysweep.data.listing import some
from stabilitysweep.data.sources.scikit_sets import BUNDLED, GENERATORS
from stabilitysweep.errors import DataError

HERE = Path()


def generated(name: Any, **options: Any) -> RawData:
    return load(DatasetSettings(name=name, options=options), HERE)


def test_the_config_knows_the_same_names() -> None:
    assert (*BUNDLED, *GENERATORS, *KERAS_DATASETS) == DATASETS


@pytest.mark.parametrize(
    ("name", "rows", "columns", "kind"),
    [
        ("diabetes", 442, 10, "f"),
        ("breast_cancer", 569, 30, "i"),
        ("wine", 178, 13, "i"),
        ("digits", 1797, 64, "i"),
        ("iris", 150, 4, "i"),
        ("make_regression", 100, 100, "f"),
        ("make_classification", 100, 20, "i"),
        ("make_friedman1", 100, 10, "f"),
        ("make_moons", 100, 2, "i"),
        ("make_circles", 100, 2, "i"),
        ("make_blobs", 100, 2, "i"),
    ],
)
def test_every_set_loads_and_is_the_same_each_time(
    name: Any, rows: int, columns: int, kind: str
) -> None:
    raw, again = (load(DatasetSettings(name=name), HERE) for _ in range(2))
    assert raw.features.shape == (rows, columns)
    assert raw.features.dtype == np.float64
    assert raw.target.shape == (rows,)
    assert raw.target.dtype.kind == kind
    assert len(set(raw.feature_names)) == columns
    assert raw.label == name
    assert name in raw.source
    assert raw.content_hash == again.content_hash


def test_options_reach_the_generator() -> None:
    raw = generated("make_regression", n_samples=7, n_features=3, noise=0.5)
    assert raw.features.shape == (7, 3)
    assert generated("make_moons", n_samples=[3, 4]).target.tolist().count(1) == 4
    other = generated("make_regression", n_samples=7, n_features=3, noise=0.5, random_state=1)
    assert raw.content_hash != other.content_hash


def test_an_unknown_option_lists_the_options_nearest_first() -> None:
    with pytest.raises(DataError, match=r"no option 'nois'\. Options, nearest first: noise, ") as e:
        generated("make_regression", nois=1)
    assert "n_informative" in str(e.value)
    assert "coef" not in str(e.value)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("make_regression", {"n_samples": "many"}, r"n_samples='many'.*must be an int"),
        ("make_regression", {"n_samples": 0}, "n_samples"),
        ("make_regression", {"n_targets": 2}, "expected one target, got 2"),
        ("make_regression", {"coef": True}, "no option 'coef'"),
        ("make_classification", {"n_informative": 30}, "Number of informative"),
        ("make_moons", {"n_samples": [1, 2, 3]}, "n_samples"),
        ("make_circles", {"factor": 2}, "factor"),
        ("make_friedman1", {"n_features": 2}, "n_features"),
        ("make_blobs", {"random_state": None}, "random_state: expected a whole number"),
        ("make_blobs", {"random_state": True}, "random_state"),
        ("make_blobs", {"random_state": -1}, "random_state"),
        ("make_blobs", {"random_state": 2**32}, "random_state"),
        ("make_blobs", {"n_samples": 10**18}, "does not fit in memory|refuses"),
        ("make_blobs", {"centers": [[1, 2], [3]]}, "refuses the options"),
    ],
)
def test_wrong_values_are_the_users_error(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        generated(name, **options)


def test_the_content_is_frozen() -> None:
    raw = generated("make_moons")
    with pytest.raises(ValueError, match="read-only"):
        raw.features[0, 0] = 0
    with pytest.raises(ValueError, match="read-only"):
        raw.target[0] = 0


def test_hash_counts_values_names_shapes_and_kinds_but_not_the_label() -> None:
    def raw(
        features: Any = ((1.0, 2.0), (3.0, 4.0)),
        target: Any = (0.0, 1.0),
        names: tuple[str, ...] = ("a", "b"),
        label: str = "x",
    ) -> str:
        return RawData(np.array(features), np.array(target), names, label, label).content_hash

    same = raw()
    assert raw(label="y") == same
    others = [
        raw(features=((1.0, 2.0), (3.0, 5.0))),
        raw(features=((1.0, 2.0), (3.0, np.nan))),
        raw(features=((1.0, 3.0), (2.0, 4.0))),
        raw(features=((1.0, 2.0, 3.0, 4.0),)),
        raw(target=(1.0, 0.0)),
        raw(target=(0, 1)),
        raw(target=("0", "1")),
        raw(names=("ab", "")),
        raw(names=("b", "a")),
    ]
    assert len({same, *others}) == len(others) + 1


def test_hash_ignores_the_memory_layout() -> None:
    features = np.arange(6.0).reshape(2, 3)
    one = RawData(features, np.zeros(2), ("a", "b", "c"), "x", "x")
    two = RawData(np.asfortranarray(features), np.zeros(2), ("a", "b", "c"), "x", "x")
    assert one.content_hash == two.content_hash


def test_hash_is_the_same_in_another_process() -> None:
    code = (
        "from pathlib import Path; from stabilitysweep.config import DatasetSettings; "
        "from stabilitysweep.data import load; import sys; "
        "print(load(DatasetSettings(name='iris'), Path()).content_hash); "
        "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules"
    )
    root = Path(__file__).parents[2]
    printed = subprocess.run(
        [sys.executable, "-c", code],
        cwd=root,
        env={"PYTHONHASHSEED": "123", "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert printed == load(DatasetSettings(name="iris"), HERE).content_hash


def test_settings_guarantee_what_load_relies_on() -> None:
    for wrong in (
        {},
        {"name": "iris", "path": "x.csv", "target": "y"},
        {"name": "irs"},
        {"path": "x.csv"},
        {"name": "iris", "options": {"a": 1}},
    ):
        with pytest.raises(ValidationError):
            DatasetSettings.model_validate(wrong)


def test_a_generator_with_one_sample_is_one_row() -> None:
    raw = load(DatasetSettings(name="make_regression", options={"n_samples": 1}), Path())
    assert raw.features.shape[0] == len(raw.target) == 1


def test_every_example_of_the_page_is_one() -> None:
    page = (Path(__file__).parents[2] / "docs/data.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    examples = [part for block in blocks for part in re.split(r"^dataset:", block, flags=re.M)[1:]]
    assert len(examples) > 10
    for example in examples:
        DatasetSettings.model_validate(yaml.safe_load("dataset:" + example)["dataset"])


def test_a_list_in_a_message_says_how_many_more_there_are() -> None:
    assert some(["a", "b", "c"], 3) == "a, b, c"
    assert some(np.array([1, 2, 3, 4]), 3) == "1, 2, 3 and 1 more"
