"""Which trials of a grid a sweep has: its seeds, and the cells it is limited to."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from stabilitysweep.config.axes import DATASET, read_axis
from stabilitysweep.config.fields import (
    LARGEST_WHOLE,
    Expected,
    NonNegativeWhole,
    PositiveWhole,
)
from stabilitysweep.config.problems import (
    KeyPath,
    Problem,
    check,
    describe,
    suggest,
    unknown_key,
    wrong_value,
)

MOST_SEEDS = 100_000

Selection = Mapping[str, tuple[Any, ...]]
"""Part of a grid: for each axis named the values meant, a data set by its label."""

_CELLS = "a list of mappings from axes to values, such as [{depth: 4, learning_rate: [0.1, 0.2]}]"
_SHOWN_VALUES = 6

_Number = Annotated[
    PositiveWhole,
    Field(le=MOST_SEEDS),
    Expected(f"a whole number from 1 to {MOST_SEEDS:,}"),
]


class _Count(BaseModel):
    """`seeds: n`."""

    seeds: Annotated[
        _Number, Expected(f"a whole number from 1 to {MOST_SEEDS:,}, or {{from, num}}")
    ]


class _Range(BaseModel):
    """`seeds: {from: a, num: n}`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    start: NonNegativeWhole = Field(alias="from")
    num: _Number


def read_seeds(content: object) -> tuple[range | None, list[Problem]]:
    """Read the key `seeds`.

    Args:
        content: a number n for the seeds 0 to n - 1, or a mapping with `from` and `num`.

    Returns:
        The seeds and no problems, or None and at least one problem.
    """
    if not isinstance(content, Mapping):
        count, problems = check(_Count, {"seeds": content}, ())
        return (None if count is None else range(count.seeds)), problems
    found, problems = check(_Range, content, ("seeds",))
    if found is None:
        return None, problems
    if found.start + found.num - 1 > LARGEST_WHOLE:
        expected = f"a last seed of at most {LARGEST_WHOLE:,}"
        return None, [Problem(("seeds", "from"), expected, f"{found.start + found.num - 1:,}")]
    return range(found.start, found.start + found.num), []


def plain_seeds(seeds: range) -> Any:
    """Seeds as a config has them."""
    return {"from": seeds.start, "num": len(seeds)} if seeds.start else len(seeds)


def read_cells(
    content: object, axes: Mapping[str, tuple[Any, ...] | None], *, build: bool
) -> tuple[tuple[Selection, ...] | None, list[Problem]]:
    """Read the key `cells`.

    Args:
        content: a list of mappings; a value in them is one value of the axis, or a list.
        axes: the values of each axis of the grid; None for one that has problems itself.
        build: whether the model is built by a function of the user's.

    Returns:
        The selections, the values of each as the axis has them, and no problems; or None and
        at least one problem.
    """
    if not isinstance(content, list | tuple) or not content:
        return None, [wrong_value(("cells",), _CELLS, content)]
    found: list[Selection] = []
    problems: list[Problem] = []
    known = {name: None if own is None else _by_key(name, own) for name, own in axes.items()}
    for place, cell in enumerate(content):
        path: KeyPath = ("cells", place)
        if not isinstance(cell, Mapping) or not cell:
            expected = f"a mapping from axes ({', '.join(axes)}) to values"
            problems.append(wrong_value(path, expected, cell))
            continue
        selection: dict[str, tuple[Any, ...]] = {}
        for name, given in cell.items():
            if name not in axes:
                own = (*path, str(name))
                problems.append(unknown_key(own, axes, "an axis of the grid"))
                continue
            values = known[name]
            if values is None:
                continue
            selection[name], wrong = _chosen(name, given, values, (*path, name), build=build)
            problems += wrong
        found.append(selection)
    return (None if problems else tuple(found)), problems


def plain_cells(cells: Sequence[Selection]) -> list[dict[str, Any]]:
    """Selections as a config has them: a single value by itself, several as a list."""
    return [
        {name: values[0] if len(values) == 1 else list(values) for name, values in cell.items()}
        for cell in cells
    ]


def most_cells(cells: Sequence[Selection], axes: Mapping[str, tuple[Any, ...]]) -> int:
    """Return how many cells are selected, those that several selections have counted again."""
    return sum(
        math.prod(len(cell.get(name, values)) for name, values in axes.items()) for cell in cells
    )


def cell_key(value: Any) -> tuple[bool, Any]:
    """What tells values of an axis apart, a data set by its label: true is no 1 to a build."""
    return isinstance(value, bool), getattr(value, "label", value)


def _by_key(name: str, values: Sequence[Any]) -> dict[tuple[bool, Any], Any]:
    return {cell_key(value): value.label if name == DATASET else value for value in values}


def _chosen(
    name: str, given: object, known: Mapping[Any, Any], path: KeyPath, *, build: bool
) -> tuple[tuple[Any, ...], list[Problem]]:
    """The values that one entry of a cell selects, in the order written."""
    several = isinstance(given, list | tuple)
    items = list(given) if isinstance(given, list | tuple) else [given]
    if not items:
        return (), [wrong_value(path, f"at least one value of {name}", given)]
    # A data set is named by its label; any other value is written as on the axis.
    labels = name == DATASET and all(isinstance(item, str) for item in items)
    if labels:
        values: tuple[Any, ...] = tuple(items)
    else:
        read, problems = read_axis(name, items, path, build=build)
        if read is None:
            # The path of an only value ends with the axis.
            return (), problems if several else [_at(problem, path) for problem in problems]
        values = read
    chosen, problems = [], []
    for place, value in enumerate(values):
        key = cell_key(value)
        if key in known:
            chosen.append(known[key])
            continue
        own = (*path, place) if several else path
        shown = getattr(value, "label", value)
        problems.append(
            Problem(
                own, f"a value of the axis ({_listed(known)})", describe(shown), _near(shown, known)
            )
        )
    return tuple(dict.fromkeys(chosen)) if not problems else (), problems


def _at(problem: Problem, path: KeyPath) -> Problem:
    return Problem(
        path, problem.expected, problem.got, problem.hint, problem.line, problem.is_value
    )


def _listed(known: Mapping[Any, Any]) -> str:
    shown = [
        str(value).lower() if isinstance(value, bool | None) else f"{value}"
        for value in list(known.values())[:_SHOWN_VALUES]
    ]
    return ", ".join(shown) + (", ..." if len(known) > _SHOWN_VALUES else "")


def _near(value: object, known: Mapping[Any, Any]) -> str:
    """Point to the nearest value: a text by its letters, a number by its size."""
    if isinstance(value, str):
        return suggest(value, [name for name in known.values() if isinstance(name, str)])
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    numbers = [
        own for own in known.values() if isinstance(own, int | float) and not isinstance(own, bool)
    ]
    near = [own for own in numbers if math.isclose(own, value, rel_tol=0.01)]
    nearest = min(near, key=lambda own: abs(own - value), default=None)
    return "" if nearest is None else f"did you mean {nearest!r}?"
