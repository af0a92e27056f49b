"""What a bad config gets: one error, a line for each problem, in the user's words."""

from collections.abc import Callable
from typing import Any

import pytest

LinesOf = Callable[[Any], list[str]]

GOOD = {"dataset": "diabetes", "grid": {"l1": [0]}}


def with_section(section: str, text: str) -> str:
    return f"dataset: diabetes\ngrid: {{l1: [0]}}\n{section}:\n  {text}\n"


def with_axis(text: str) -> str:
    return f"dataset: diabetes\ngrid:\n  {text}\n"


@pytest.mark.parametrize(
    ("content", "start", "parts"),
    [
        pytest.param(
            "datset: wine\ndataset: wine\ngrid: {l1: [0]}",
            "sweep.yaml:1: datset: expected a known key",
            ["did you mean 'dataset'?"],
            id="unknown key at the top",
        ),
        pytest.param(
            with_section("training", "learning_rat: 1"),
            "sweep.yaml:4: training.learning_rat: expected a known key",
            ["did you mean 'learning_rate'?"],
            id="unknown key in a section",
        ),
        pytest.param(
            with_section("model", "optimizer: sgd"),
            "sweep.yaml:4: model.optimizer: expected a known key",
            ["it belongs to 'training'"],
            id="key of another section",
        ),
        pytest.param(
            with_section("model", "qqq: 1"),
            "sweep.yaml:4: model.qqq: expected a known key (name, width, depth,",
            ["got the unknown key 'qqq'"],
            id="key near to none",
        ),
        pytest.param(
            with_section("model", "7: 1"),
            "sweep.yaml:4: model.7: expected a known key (name,",
            [],
            id="key that is a number",
        ),
        pytest.param(
            with_section("model", "activation: rleu"),
            "sweep.yaml:4: model.activation: expected one of celu, elu,",
            ["got 'rleu'; did you mean 'relu'?"],
            id="misspelt activation",
        ),
        pytest.param(
            with_axis("activation: [tanh,\n    ReLU]"),
            "sweep.yaml:4: grid.activation[1]: expected one of celu,",
            ["got 'ReLU'; did you mean 'relu'?"],
            id="misspelt activation in an axis",
        ),
        pytest.param(
            with_axis("activaton: [relu]"),
            "sweep.yaml:3: grid.activaton: expected a setting that may be an axis, got",
            ["did you mean 'activation'?"],
            id="misspelt axis",
        ),
        pytest.param(
            with_axis("l2: []"),
            "sweep.yaml:3: grid.l2: expected a list of at least one value",
            ["{from, to, num, scale}", "got an empty list"],
            id="empty axis",
        ),
        pytest.param(
            with_axis("l2:"),
            "sweep.yaml:3: grid.l2: expected a list of at least one value",
            ["got nothing"],
            id="axis of nothing",
        ),
        pytest.param(
            with_axis("l2: 0.1"),
            "sweep.yaml:3: grid.l2: expected a list of at least one value",
            ["got 0.1; write [value]"],
            id="axis of a single value",
        ),
        pytest.param(
            with_axis("steps: [1, 2]"),
            "sweep.yaml:3: grid.steps: expected a setting that may be an axis",
            ["'training.steps', which has one value"],
            id="budget as an axis",
        ),
        pytest.param(
            with_axis("learning_rate: [1e-3, -1e-3]"),
            "sweep.yaml:3: grid.learning_rate[1]: expected a number above 0",
            ["got -1e-3"],
            id="negative learning rate",
        ),
        pytest.param(
            with_section("training", "learning_rate: .nan"),
            "sweep.yaml:4: training.learning_rate: expected a number above 0",
            ["got .nan"],
            id="NaN learning rate",
        ),
        pytest.param(
            with_axis("learning_rate: [0.01, 1e400]"),
            "sweep.yaml:3: grid.learning_rate[1]: expected a number above 0 (at most 3.4e38",
            ["got 1e400"],
            id="too large for a double",
        ),
        pytest.param(
            with_section("training", "learning_rate: 1e39"),
            "sweep.yaml:4: training.learning_rate: expected a number above 0 (at most 3.4e38",
            ["got 1e39"],
            id="too large for float32",
        ),
        pytest.param(
            with_section("training", "steps: 99999999999999999999"),
            "sweep.yaml:4: training.steps: expected a whole number from 1 to 2,147,483,647",
            ["got 99999999999999999999"],
            id="too many steps",
        ),
        pytest.param(
            with_section("training", f"steps: {'9' * 5000}"),
            "sweep.yaml:4: training.steps: expected a value that can be read, got '999",
            ["..."],
            id="thousands of digits",
        ),
        pytest.param(
            with_axis("l2: [0, 1, 0.0]"),
            "sweep.yaml:3: grid.l2[2]: expected each value once, got 0.0 again",
            [],
            id="duplicate value",
        ),
        pytest.param(
            with_axis('l2: [0.0001, "1e-4"]'),
            "sweep.yaml:3: grid.l2[1]: expected each value once, got 0.0001 again",
            [],
            id="duplicate value written otherwise",
        ),
        pytest.param(
            "dataset: diabets\ngrid: {l1: [0]}",
            "sweep.yaml:1: dataset.name: expected a known data set (diabetes, breast_cancer,",
            ["got 'diabets'; did you mean 'diabetes'?"],
            id="unknown data set",
        ),
        pytest.param(
            with_section("model", "width: yes"),
            "sweep.yaml:4: model.width: expected a whole number from 1 to 65,536",
            ["got yes, which YAML reads as true"],
            id="boolean for a number",
        ),
        pytest.param(
            with_axis("dropout: [0, on]"),
            "sweep.yaml:3: grid.dropout[1]: expected a number of at least 0 and less than 1",
            ["got on, which YAML reads as true"],
            id="boolean for a number in an axis",
        ),
        pytest.param(
            with_section("model", "batch_norm: 1"),
            "sweep.yaml:4: model.batch_norm: expected true or false, got 1",
            [],
            id="number for a boolean",
        ),
        pytest.param(
            with_section("model", "width: [1, 2]"),
            "sweep.yaml:4: model.width: expected a whole number",
            ["got a list"],
            id="list for a number",
        ),
        pytest.param(
            with_section("model", "width: 2.5"),
            "sweep.yaml:4: model.width: expected a whole number",
            ["got 2.5"],
            id="fraction for a whole number",
        ),
        pytest.param(
            with_section("training", "metrics: mae"),
            "sweep.yaml:4: training.metrics: expected a list of different metrics out of mse,",
            ["got 'mae'"],
            id="metrics that are no list",
        ),
        pytest.param(
            with_section("training", "metrics: [mae, mae]"),
            "sweep.yaml:4: training.metrics: expected a list of different metrics",
            ["got a list"],
            id="metric twice",
        ),
        pytest.param(
            with_section("training", "steps: 5\n  epochs: 5"),
            "sweep.yaml:5: training.epochs: expected either 'steps' or 'epochs', got both",
            [],
            id="two budgets",
        ),
        pytest.param(
            "dataset: diabetes\ngrid: {l1: [0]}\nmodel: 5",
            "sweep.yaml:3: model: expected a mapping with keys out of name, width",
            ["got 5"],
            id="section that is no mapping",
        ),
        pytest.param(
            "dataset: diabetes\nmodel: {l1: 0}\ngrid: {l1: [0]}",
            "sweep.yaml:2: model.l1: expected one place for it: here, or an axis in 'grid'",
            ["got both"],
            id="axis with a value in its section",
        ),
        pytest.param(
            "dataset: diabetes\ngrid: {dataset: [wine]}",
            "sweep.yaml:1: dataset: expected one place for it",
            ["got both"],
            id="data set and axis of data sets",
        ),
        pytest.param(
            with_axis("learning_rate: {from: 1, to: 0.1, num: 3}"),
            "sweep.yaml:3: grid.learning_rate.from: expected 'from' to be less than 'to'",
            ["got 1 and 0.1"],
            id="range upside down",
        ),
        pytest.param(
            with_axis("l2: {from: 0, to: 1, num: 3, scale: log}"),
            "sweep.yaml:3: grid.l2.from: expected a number above 0 for a log scale, got 0",
            [],
            id="log range from 0",
        ),
        pytest.param(
            with_axis("l2:\n    from: 0\n    to: 1\n    num: 1"),
            "sweep.yaml:6: grid.l2.num: expected a whole number from 2 to 10,000, got 1",
            [],
            id="range of one",
        ),
        pytest.param(
            with_axis("l2: {from: 0, to: 1, num: 1000000000}"),
            "sweep.yaml:3: grid.l2.num: expected a whole number from 2 to 10,000",
            [],
            id="range of very many",
        ),
        pytest.param(
            with_axis("dropout: {from: 0, to: 1, num: 5}"),
            "sweep.yaml:3: grid.dropout.to: expected a number of at least 0 and less than 1",
            ["got 1"],
            id="range beyond its setting",
        ),
        pytest.param(
            with_axis("depth: {from: 1, to: 3, num: 5}"),
            "sweep.yaml:3: grid.depth.num: expected ends that leave room for 5 different values",
            ["got 1, 2, 2, 2, 3"],
            id="whole range too narrow",
        ),
        pytest.param(
            with_axis("depth: {from: 0.5, to: 3, num: 2}"),
            "sweep.yaml:3: grid.depth.from: expected a whole number",
            ["got 0.5"],
            id="whole range from a fraction",
        ),
        pytest.param(
            with_axis("l1: {from: 1, to: 1.00000000000000022, num: 4}"),
            "sweep.yaml:3: grid.l1.num: expected ends that leave room for 4",
            [],
            id="range too narrow",
        ),
        pytest.param(
            with_axis("activation: {from: 0, to: 1, num: 4}"),
            "sweep.yaml:3: grid.activation: expected a list of at least one value, got a mapping",
            [],
            id="range of names",
        ),
        pytest.param(
            with_axis("l1: {from: 0, to: 1, nmu: 4, num: 4}"),
            "sweep.yaml:3: grid.l1.nmu: expected a known key",
            ["did you mean 'num'?"],
            id="unknown key of a range",
        ),
        pytest.param(
            "dataset: wine",
            "sweep.yaml:1: grid: expected at least one axis",
            ["got nothing"],
            id="no grid",
        ),
        pytest.param(
            "dataset: wine\ngrid: {}",
            "sweep.yaml:2: grid: expected at least one axis",
            ["got an empty mapping"],
            id="empty grid",
        ),
        pytest.param(
            "grid: {l1: [0]}",
            "sweep.yaml:1: dataset: expected a data set: a name",
            ["got nothing"],
            id="no data set",
        ),
        pytest.param(
            "dataset: x.csv\ngrid: {l1: [0]}",
            "sweep.yaml:1: dataset.target: expected the name of the column to predict",
            ["got nothing"],
            id="file without a target",
        ),
        pytest.param(
            "dataset: {name: wine, target: y}\ngrid: {l1: [0]}",
            "sweep.yaml:1: dataset.target: expected none, since 'wine' has its own, got 'y'",
            [],
            id="target of a known set",
        ),
        pytest.param(
            "dataset: {name: wine, path: x.csv}\ngrid: {l1: [0]}",
            "sweep.yaml:1: dataset.path: expected one of 'name', 'path' and 'function', got",
            [],
            id="name and path",
        ),
        pytest.param(
            "dataset: {split_seed: 1}\ngrid: {l1: [0]}",
            "sweep.yaml:1: dataset.name: expected one of 'name', 'path' and 'function', got none",
            [],
            id="neither name nor path",
        ),
        pytest.param(
            "dataset: {name: wine, options: {noise: 1}}\ngrid: {l1: [0]}",
            "sweep.yaml:1: dataset.options: expected none, since 'wine' is no function",
            ["got 'noise'"],
            id="options of a known set",
        ),
        pytest.param(
            "dataset: {name: make_moons, options: {noise: .inf}}\ngrid: {l1: [0]}",
            "sweep.yaml:1: dataset.options: expected a mapping of arguments",
            ["finite"],
            id="options that cannot be stored",
        ),
        pytest.param(
            "dataset: {name: wine, validation_fraction: 1}\ngrid: {l1: [0]}",
            "sweep.yaml:1: dataset.validation_fraction: expected a number of at least 0 and less",
            ["got 1"],
            id="everything held out",
        ),
        pytest.param(
            "dataset: [wine, iris, wine]\ngrid: {l1: [0]}",
            "sweep.yaml:1: dataset[2]: expected each value once, got wine again",
            [],
            id="data set twice",
        ),
        pytest.param(
            "dataset:\n- wine\n- {name: wine, split_seed: 1}\ngrid: {l1: [0]}",
            "sweep.yaml:3: dataset[1]: expected data sets that can be told apart",
            ["two data sets called 'wine'; give each its own 'label'"],
            id="data sets that look alike",
        ),
        pytest.param(
            "name: a/b\ndataset: wine\ngrid: {l1: [0]}",
            "sweep.yaml:1: name: expected a name of at most 100 letters",
            ["got 'a/b'"],
            id="name with a separator",
        ),
        pytest.param(
            "name: ..\ndataset: wine\ngrid: {l1: [0]}",
            "sweep.yaml:1: name: expected a name",
            ["got '..'"],
            id="name that is a folder",
        ),
        pytest.param(
            "dataset: wine\ngrid: {l1: [0]}\nseeds: 0",
            "sweep.yaml:3: seeds: expected a whole number from 1 to 100,000, or {from, num}, got 0",
            [],
            id="no seeds",
        ),
        pytest.param(
            "dataset: wine\ngrid: {l1: {from: 0, to: 1, num: 10000}}\nseeds: 1001",
            "sweep.yaml:2: grid: expected at most 10,000,000 trials, got 10,010,000",
            [],
            id="endless grid",
        ),
        pytest.param(
            "dataset: wine\nmodel: {l1: 0}\ngrid: {l2: [0]}\nmodel:\n  l1: 1\n",
            "sweep.yaml:4: model: expected each key once, got it again (first on line 2)",
            [],
            id="key twice",
        ),
        pytest.param(
            with_section("model", "l2: 0\n  l2: 0"),
            "sweep.yaml:5: model.l2: expected each key once, got it again (first on line 4)",
            [],
            id="nested key twice",
        ),
    ],
)
def test_one_problem_is_one_line(
    lines_of: LinesOf, content: str, start: str, parts: list[str]
) -> None:
    (line,) = lines_of(content)
    assert line.startswith(start), line
    for part in parts:
        assert part in line


def test_all_problems_at_once_in_the_order_of_the_file(lines_of: LinesOf) -> None:
    lines = lines_of(
        "name: a/b\n"
        "dataset: {name: diabets}\n"
        "model: {widht: 3, depth: -1}\n"
        "training:\n"
        "  learning_rate: .nan\n"
        "  optimizer: sdg\n"
        "  learning_rate: 0.1\n"
        "grid:\n"
        "  l2: []\n"
        "  dropout: [0, 1, 2]\n"
        "seeds: no\n"
    )
    numbers = [int(line.split(":")[1]) for line in lines]
    assert numbers == sorted(numbers)
    assert sorted(numbers) == [1, 2, 3, 3, 6, 7, 9, 10, 10, 11]


def test_a_mapping_has_no_line_numbers(lines_of: LinesOf) -> None:
    (line,) = lines_of({**GOOD, "model": {"width": True}})
    assert line.startswith("sweep.yaml: model.width: expected a whole number")
    assert line.endswith("got true")
    (line,) = lines_of({**GOOD, "model": {"width": 10**5000}})
    assert "thousands of digits" in line


def test_numbers_that_no_float_holds(lines_of: LinesOf) -> None:
    (line,) = lines_of({**GOOD, "training": {"learning_rate": 10**400}})
    assert "training.learning_rate: expected a number above 0" in line
    (line,) = lines_of({**GOOD, "grid": {"l1": {"from": 0, "to": 10**400, "num": 3}}})
    assert "grid.l1.to: expected a finite number" in line
