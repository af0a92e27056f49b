"""The keys that say which trials of a grid there are: `cells` and `seeds`."""

from collections.abc import Callable
from typing import Any

import pytest

from stabilitysweep.config import SweepConfig, parse_config

LinesOf = Callable[[Any], list[str]]

GRID = """\
dataset: [diabetes, wine]
model: {build: models:build}
grid: {depth: [1, 2, 3], learning_rate: [1e-3, 0.01], batch_size: [16, full], gate: [true, false]}
"""


def config_of(text: str) -> SweepConfig:
    return parse_config(GRID + text)


def again(config: SweepConfig) -> SweepConfig:
    return parse_config(config.resolved())


def test_cells_hold_the_values_of_the_axes_however_they_are_written() -> None:
    config = config_of('cells: [{learning_rate: ["1e-3", 0.01], dataset: wine, batch_size: full}]')
    assert config.cells == (
        {"learning_rate": (0.001, 0.01), "dataset": ("wine",), "batch_size": ("full",)},
    )
    assert config_of("cells: [{dataset: {name: wine}}]").cells == ({"dataset": ("wine",)},)
    assert config_of("").cells is None
    assert "cells" not in config_of("").resolved()


def test_numbers_are_as_the_axis_has_them() -> None:
    (cell,) = config_of("cells: [{depth: 2.0, gate: true}]").cells or ()
    assert [type(values[0]) for values in cell.values()] == [int, bool]


@pytest.mark.parametrize(
    "text",
    [
        "cells: [{depth: 2}]",
        "cells: [{depth: [2, 1], dataset: [wine, diabetes]}, {gate: false, batch_size: 16}]",
        "seeds: 4",
        "seeds: {from: 0, num: 4}",
        "seeds: {from: 100, num: 20}",
    ],
)
def test_what_is_resolved_reads_as_the_same(text: str) -> None:
    assert again(config_of(text)) == config_of(text)
    assert config_of(text) != config_of("seeds: 5")


def test_seeds_are_a_number_or_begin_somewhere() -> None:
    assert config_of("seeds: '3'").seeds == range(3)
    assert config_of("seeds: {from: '7', num: 2}").seeds == range(7, 9)
    assert config_of("seeds: {from: 0, num: 2}").resolved()["seeds"] == 2
    assert config_of("seeds: {from: 7, num: 2}").resolved()["seeds"] == {"from": 7, "num": 2}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("cells: 3", "cells: expected a list of mappings from axes to values, such as [{depth: "),
        ("cells: []", "cells: expected a list of mappings from axes to values, such as [{depth: "),
        ("cells: [{}]", "cells[0]: expected a mapping from axes (dataset, depth, learning_rate,"),
        ("cells: [{dept: 2}]", "cells[0].dept: expected an axis of the grid, got the unknown key "
         "'dept'; did you mean 'depth'?"),
        ("cells: [{depth: 1}, {depth: [1, 9]}]", "cells[1].depth[1]: expected a value of the axis "
         "(1, 2, 3), got 9"),
        ("cells: [{learning_rate: 0.0101}]", "cells[0].learning_rate: expected a value of the axis "
         "(0.001, 0.01), got 0.0101; did you mean 0.01?"),
        ("cells: [{learning_rate: fast}]", "cells[0].learning_rate: expected a number above 0"),
        ("cells: [{dataset: wines}]", "cells[0].dataset: expected a value of the axis (diabetes, "
         "wine), got 'wines'; did you mean 'wine'?"),
        ("cells: [{depth: []}]", "cells[0].depth: expected at least one value of depth, got an "),
        ("cells: [{depth: [1, 1]}]", "cells[0].depth[1]: expected each value once, got 1 again"),
        ("cells: [{gate: 1}]", "cells[0].gate: expected a value of the axis (true, false), got 1"),
        ("seeds: 0", "seeds: expected a whole number from 1 to 100,000, or {from, num}, got 0"),
        ("seeds: true", "seeds: expected a whole number from 1 to 100,000, or {from, num}, got "),
        ("seeds: {from: 1}", "seeds.num: expected a whole number from 1 to 100,000, got nothing"),
        ("seeds: {from: -1, num: 2}", "seeds.from: expected a whole number from 0 to 2,147,483,6"),
        ("seeds: {from: 2147483647, num: 2}", "seeds.from: expected a last seed of at most 2,147,"),
        ("seeds: {from: 1, num: 2, to: 3}", "seeds.to: expected a known key (from, num)"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(lines_of: LinesOf, text: str, line: str) -> None:
    (found,) = lines_of(GRID + text)
    assert found.startswith(f"sweep.yaml:4: {line}"), found


def test_too_many_trials_are_counted_by_the_cells(lines_of: LinesOf) -> None:
    axes = "{l2: {from: 0, to: 1, num: 9999}, width: {from: 1, to: 9999, num: 9999}}"
    large = f"dataset: diabetes\ngrid: {axes}\n"
    assert parse_config(large + "cells: [{width: 7}, {l2: [0, 1]}]").cells is not None
    (found,) = lines_of(large + "cells: [{width: 7}, {l2: [0, 1]}]\nseeds: 1000")
    assert found == "sweep.yaml:3: cells: expected at most 10,000,000 trials, got 29,997,000"
