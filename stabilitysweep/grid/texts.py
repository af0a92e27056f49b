"""What is hashed of every cell of a grid, put together from the texts of its values.

To make a million cells only for their ids would take minutes. The text of a cell is that of
another one of the same frame, but for the values of axes that stand in it as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stabilitysweep.config import AXIS_SETTINGS, SECTIONS
from stabilitysweep.grid.cells import Cells
from stabilitysweep.grid.combinations import Combinations
from stabilitysweep.grid.identity import canonical, text_around_seed

_BLOCK = 50_000
"""Cells whose texts are there at once."""


def cell_texts(combinations: Combinations, maker: Cells) -> Iterator[tuple[str, str]]:
    """Yield the `text_around_seed` of every cell, in their order.

    Args:
        combinations: of the built-in model.
        maker: makes their cells.
    """
    plain = [name for name in combinations.values if _stands_as_it_is(name, combinations)]
    written = {
        name: np.array([f'"{name}":{canonical(value)}' for value in values], object)
        for name, values in combinations.values.items()
        if name in plain
    }
    framing = [name for name in combinations.values if name not in plain]
    frames: dict[int, tuple[list[str], list[str]]] = {}
    for start in range(0, len(combinations), _BLOCK):
        cells = np.arange(start, min(start + _BLOCK, len(combinations)))
        frame = np.zeros(len(cells), np.int64)
        for name in framing:
            frame *= len(combinations.values[name])
            frame += combinations.places(name, cells)
        texts = np.empty((len(cells), 2), object)
        codes, first = np.unique(frame, return_index=True)
        for code, at in zip(codes.tolist(), first.tolist(), strict=True):
            if code not in frames:
                frames[code] = _frame(combinations, maker, int(cells[at]), plain, written)
            own = np.flatnonzero(frame == code)
            for side, parts in enumerate(frames[code]):
                texts[own, side] = _joined(parts, combinations, cells[own], written)
        yield from map(tuple, texts.tolist())


def _stands_as_it_is(name: str, combinations: Combinations) -> bool:
    """Whether the values of an axis stand in a text, each as it is and whatever the others are."""
    if name in combinations.resolving or name not in AXIS_SETTINGS:
        return False
    later = getattr(SECTIONS[AXIS_SETTINGS[name].section], "later", ())
    return name not in later  # one that came later is not said where it is its default


def _frame(
    combinations: Combinations,
    maker: Cells,
    cell: int,
    plain: list[str],
    written: dict[str, NDArray[Any]],
) -> tuple[list[str], list[str]]:
    """The text of a cell, taken apart: in place of a value the name of its axis."""
    dataset, *sections = maker.cell(*combinations[cell]).texts
    own = {name: written[name][combinations.places(name, np.array([cell]))[0]] for name in plain}
    # One text with marks, since what stands around the sections is put together elsewhere.
    marked = []
    for section, text in zip(("preprocessing", "model", "training"), sections, strict=True):
        for name in plain:
            if AXIS_SETTINGS[name].section == section:
                before, after = text.split(own[name], 1)
                text = f"{before}\0{name}\0{after}"
        marked.append(text)
    preprocessing, model, training = marked
    before, after = text_around_seed(dataset, preprocessing, model, training)
    return before.split("\0"), after.split("\0")


def _joined(
    parts: list[str],
    combinations: Combinations,
    cells: NDArray[np.int64],
    written: dict[str, NDArray[Any]],
) -> list[str]:
    """A text for each of these cells: of the parts every second one is the name of an axis."""
    columns: list[Any] = [
        written[part][combinations.places(part, cells)].tolist() if place % 2 else repeat(part)
        for place, part in enumerate(parts)
    ]
    if len(columns) == 1:
        return [parts[0]] * len(cells)
    return ["".join(row) for row in zip(*columns, strict=False)]
