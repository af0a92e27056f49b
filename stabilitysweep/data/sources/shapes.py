"""The shapes that the arrays of a source have, beside the columns that are read of them.

Notation: N rows, D columns of numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stabilitysweep.blueprint import Block
from stabilitysweep.data.raw import Array
from stabilitysweep.data.sources.columns import Marks
from stabilitysweep.data.sources.gathering import Gathered
from stabilitysweep.data.sources.table import Table
from stabilitysweep.errors import DataError

_FIRST_ROWS = 1000
_WHOLE = ("int", "uint", "bool")


def is_whole(dtype: str) -> bool:
    """Tell from a source's word for a type whether it is one of whole numbers or truth values."""
    return dtype.startswith(_WHOLE)


def blocks_of(
    table: Table, names: Sequence[str], numbers: NDArray[np.float64]
) -> tuple[Block, ...]:
    """Return which columns of numbers belong together.

    An array of which a column is missing has lost its shape: what is left of it are columns.

    Args:
        table: the source.
        names: of the D columns of numbers that were read, in the source's order.
        numbers: [N, D], their values, which tell what is whole where the source has no types.
    """
    places = {name: place for place, name in enumerate(names)}
    blocks = {
        place: Block(
            name,
            place,
            place + 1,
            (),
            is_whole(table.columns[name].dtype)
            or (not table.typed and _are_whole(numbers[:, place])),
        )
        for name, place in places.items()
    }
    for name, shape, columns, whole in table.shaped:
        found = [places[column] for column in columns if column in places]
        if columns and len(found) == len(columns):
            for place in found[1:]:
                del blocks[place]
            blocks[found[0]] = Block(name, found[0], found[-1] + 1, shape, whole)
        else:
            for place in found:
                blocks[place] = blocks[place]._replace(whole=whole)
    return tuple(blocks.values())


def targets_of(
    tables: Sequence[Table], gathered: Gathered, marks: Sequence[Marks]
) -> dict[str, Array]:
    """Return the targets that have a shape of their own, of the rows that were read.

    Raises:
        DataError: the validation rows have others.
    """
    shapes = [
        {name: values.shape[1:] for name, values in table.targets.items()} for table in tables
    ]
    if any(other != shapes[0] for other in shapes):
        raise DataError(
            f"{tables[0].origin}: expected the same targets for training and validation rows, got "
            f"{_in_words(shapes[0])} and {_in_words(shapes[-1])}."
        )
    parts = []
    start = 0
    for table, mark, end in zip(tables, marks, gathered.ends, strict=True):
        rows = slice(None) if gathered.rows is None else gathered.rows[start:end]
        parts.append({name: mark.blank(values[rows]) for name, values in table.targets.items()})
        start = end
    return {name: np.concatenate([part[name] for part in parts]) for name in shapes[0]}


def any_of_row(values: Array) -> NDArray[np.bool_]:
    """Tell of truth values [N, ...] in which rows some are true, bool [N]."""
    found: NDArray[np.bool_] = np.any(values.reshape(len(values), -1), axis=1)
    return found


def _are_whole(values: NDArray[np.float64]) -> bool:
    """Whether the values that are there are whole numbers."""
    for part in (values[:_FIRST_ROWS], values):  # most that are not show it soon
        known = part[~np.isnan(part)]
        if not (np.isfinite(known) & (known == np.floor(known))).all():
            return False
    return bool(known.size)


def _in_words(shapes: dict[str, tuple[int, ...]]) -> str:
    if not shapes:
        return "one value a row"
    return ", ".join(
        f"{('rows', *shape)} in '{name}'" if name else f"{('rows', *shape)}"
        for name, shape in shapes.items()
    ).replace("'rows'", "rows")
