"""From what was gathered to the record: levels in order, duplicates out, the target whole.

Notation: N rows, D columns of numbers, C columns of categories.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stabilitysweep.config import DatasetSettings
from stabilitysweep.data.raw import MISSING_CODE, Array, RawData, Rows
from stabilitysweep.data.sources.choosing import Choice, choose
from stabilitysweep.data.sources.columns import Marks, as_number, shortest
from stabilitysweep.data.sources.gathering import Gathered, gather
from stabilitysweep.data.sources.sampling import Sample, first_of_equals
from stabilitysweep.data.sources.shapes import any_of_row, blocks_of, targets_of
from stabilitysweep.data.sources.table import Places, RetypeError, Table
from stabilitysweep.errors import DataError


@dataclass(frozen=True, slots=True)
class Locator:
    """Says where a row of the data stands in its source.

    Attributes:
        places: of each source.
        held_out: what the second source is called.
        ends: the number of rows up to the end of each source, as they were read.
        rows: of each row of the data, its number among those read, or None for the same.
        sources: of each row read, its number in its source, or None for the same.
    """

    places: tuple[Places, ...]
    held_out: str
    ends: tuple[int, ...]
    rows: Rows | None
    sources: Rows | None

    def __call__(self, row: int) -> str:
        """Where one row stands."""
        return self.all_of([row])

    def all_of(self, rows: Sequence[int]) -> str:
        """Where rows stand, a text for all."""
        texts = []
        read = [row if self.rows is None else int(self.rows[row]) for row in rows]
        start = 0
        for place, end in enumerate(self.ends):
            own = [
                row - start if self.sources is None else int(self.sources[row])
                for row in read
                if start <= row < end
            ]
            if own:
                tail = f" of {self.held_out}" if place else ""
                texts.append(self.places[place](own) + tail)
            start = end
        return " and ".join(texts)


def ingest(table: Table, held_out: Table | None, settings: DatasetSettings, source: str) -> RawData:
    """Read the columns that the settings name, and make the record of them.

    Args:
        table: where the rows are.
        held_out: where the data's own validation rows are, if it has any.
        settings: which columns and rows, and what is missing.
        source: one line that says where the data came from.

    Raises:
        DataError: a source cannot be read, or its content cannot be used.
    """
    choice = choose(table, settings)
    tables = [table] if held_out is None else [table, held_out]
    if held_out is not None:
        choose(held_out, settings.model_copy(update={"features": choice.inputs, "exclude": ()}))
    table.take_as_text(tuple(choice.categorical))
    marks = [Marks.of(settings.missing_values, entry.usual_marks) for entry in tables]
    gathered = _gather(tables, choice, settings, marks)
    gathered.targets = targets_of(tables, gathered, marks)
    numeric = [name in choice.categorical for name in gathered.code_names]
    levels = []
    for column, texts in enumerate(gathered.levels):
        codes, ordered = _in_order(gathered.codes[:, column], texts, numeric[column])
        gathered.codes[:, column] = codes
        levels.append(ordered)
    levels = _without_levels(gathered, choice, levels)
    locate = Locator(
        places=tuple(entry.places for entry in tables),
        held_out=tables[-1].origin if tables[-1].origin != table.origin else "the validation rows",
        ends=gathered.ends,
        rows=None,
        sources=gathered.rows,
    )
    gaps = _without_target(gathered)
    if gaps.any() and settings.missing_target == "refuse":
        raise DataError(_no_target(table, locate, np.flatnonzero(gaps)))
    keep = _kept(gathered, gaps, drop_duplicates=settings.drop_duplicates)
    training = gathered.ends[0]
    if keep is not None:
        training = int(np.searchsorted(keep, training))
        _refuse_one_side(tables, training, len(keep) - training)
        gathered.keep(keep)
        locate = replace(locate, rows=keep)
    return RawData(
        features=gathered.numbers,
        target=_finite_target(gathered, table, locate),
        feature_names=gathered.number_names,
        label=settings.label,
        source=source,
        categories=gathered.codes,
        category_names=gathered.code_names,
        levels=tuple(levels),
        own_training_rows=None if held_out is None else training,
        dtypes=_dtypes(table, choice),
        target_name=table.target_name,
        without_target=int(gaps.sum()),
        drawn_from=gathered.total if gathered.total > (settings.rows or gathered.total) else None,
        blocks=blocks_of(table, gathered.number_names, gathered.numbers),
        named=table.named,
        targets=gathered.targets,
        locate=locate,
    )


def _gather(
    tables: Sequence[Table], choice: Choice, settings: DatasetSettings, marks: Sequence[Marks]
) -> Gathered:
    while True:
        first = tables[0].columns
        texts = tuple(name for name in first if first[name].kind == "text")
        for other in tables[1:]:
            other.take_as_text((*texts, *choice.categorical))
        sample = None if settings.rows is None else Sample(settings.rows, settings.sample_seed)
        try:
            return gather(tables, choice, marks, sample)
        except RetypeError:
            # Each time a column becomes text, which it stays: this comes to an end.
            continue


def _dtypes(table: Table, choice: Choice) -> dict[str, str]:
    """The source's dtypes by name: an input's where the target has the same name."""
    dtypes = {name: table.columns[name].dtype for name in choice.inputs}
    if table.target_name:
        dtypes.setdefault(table.target_name, table.columns[choice.target].dtype)
    return dtypes


def _in_order(
    codes: NDArray[np.int32], texts: Sequence[str | None], numeric: bool
) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    """Number the texts of a column in sorted order, and leave out those no row has."""
    used = np.unique(codes[codes != MISSING_CODE])
    found = {int(code): texts[code] for code in used}
    if numeric and all(text is not None and as_number(text) is not None for text in found.values()):
        found = {code: shortest(text or "") for code, text in found.items()}
    ordered = tuple(sorted({text for text in found.values() if text is not None}))
    places = {text: place for place, text in enumerate(ordered)}
    table = np.full(len(texts) + 1, MISSING_CODE, np.int32)
    for code, text in found.items():
        table[code] = MISSING_CODE if text is None else places[text]
    return table[codes], ordered


def _without_levels(
    gathered: Gathered, choice: Choice, levels: list[tuple[str, ...]]
) -> list[tuple[str, ...]]:
    """Make columns of categories that have no level columns of numbers, all NaN."""
    empty = [name for name, texts in zip(gathered.code_names, levels, strict=True) if not texts]
    if not empty:
        return levels
    stay = [place for place, texts in enumerate(levels) if texts]
    names = [name for name in choice.inputs if name in gathered.number_names or name in empty]
    numbers = np.full((len(gathered.numbers), len(names)), np.nan)
    numbers[:, [names.index(name) for name in gathered.number_names]] = gathered.numbers
    gathered.numbers, gathered.number_names = numbers, tuple(names)
    gathered.codes = np.ascontiguousarray(gathered.codes[:, stay])
    gathered.code_names = tuple(gathered.code_names[place] for place in stay)
    return [levels[place] for place in stay]


def _target_codes(gathered: Gathered) -> tuple[Array, tuple[str, ...]]:
    if gathered.target_levels is None:
        return gathered.target, ()
    return _in_order(gathered.target.astype(np.int32), gathered.target_levels, numeric=False)


def _without_target(gathered: Gathered) -> NDArray[np.bool_]:
    """Which rows have no target, or lack some of it, bool [N]."""
    codes, _ = _target_codes(gathered)
    text = gathered.target_levels is not None
    missing: NDArray[np.bool_] = codes == MISSING_CODE if text else np.isnan(codes)
    for values in gathered.targets.values():
        missing |= any_of_row(np.isnan(values))
    return missing


def _kept(gathered: Gathered, gaps: NDArray[np.bool_], *, drop_duplicates: bool) -> Rows | None:
    """The rows that stay, in order; None for all of them."""
    whole = np.flatnonzero(~gaps)
    keep = whole
    if drop_duplicates:
        target, _ = _target_codes(gathered)
        chosen: Any = slice(None) if len(whole) == len(gaps) else whole
        columns: tuple[Array, ...] = (gathered.numbers, gathered.codes, target)
        columns = (*columns, *gathered.targets.values())
        keep = whole[first_of_equals(*(values[chosen] for values in columns))]
    return None if len(keep) == len(gaps) else keep


def _refuse_one_side(tables: Sequence[Table], training: int, held_out: int) -> None:
    """Refuse data of which no row is left on a side that had some."""
    for table, left in zip(tables, (training, held_out), strict=False):
        if not left:
            raise DataError(
                f"{table.origin}: expected at least one row with a target that does not occur "
                "before, got none. Give other rows; or set drop_duplicates to false, if all rows "
                "held out are trained on too."
            )


def _no_target(table: Table, locate: Locator, rows: Rows) -> str:
    return (
        f"{table.origin}: {_named(table)} has no value in {locate.all_of(rows.tolist())}. Fill "
        "them in, or leave these rows out: dataset: {missing_target: drop}."
    )


def _finite_target(gathered: Gathered, table: Table, locate: Locator) -> Array:
    """Return the target of rows that all have one, numbers or texts.

    Raises:
        DataError: one is infinite.
    """
    codes, texts = _target_codes(gathered)
    if gathered.target_levels is not None:
        return np.array(texts, np.str_)[codes]
    found = [any_of_row(np.isinf(values)) for values in (codes, *gathered.targets.values())]
    infinite = np.flatnonzero(np.any(found, axis=0))
    if infinite.size:
        raise DataError(
            f"{table.origin}: {_named(table)} is infinite in {locate.all_of(infinite.tolist())}. "
            "Mend or remove these rows; or dataset: {missing_values: [inf, -inf], "
            "missing_target: drop} leaves them out."
        )
    return codes


def _named(table: Table) -> str:
    return f"the target '{table.target_name}'" if table.target_name else "the target"
