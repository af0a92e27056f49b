"""The audit of a data set, put together."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from stabilitysweep.config import DatasetSettings, SweepConfig
from stabilitysweep.data.audit.categories import (
    CategoryColumn,
    category_findings,
    measure_categories,
)
from stabilitysweep.data.audit.choices import Choices
from stabilitysweep.data.audit.comparisons import copied_columns, target_leaks, unequal_scales
from stabilitysweep.data.audit.number_findings import number_findings
from stabilitysweep.data.audit.numbers import NumberColumn, measure_columns
from stabilitysweep.data.audit.rows import batches, repeated_rows, row_counts
from stabilitysweep.data.audit.targets import target_findings
from stabilitysweep.data.finding import Finding, Severity
from stabilitysweep.data.raw import RawData
from stabilitysweep.data.row_hash import RowHashes
from stabilitysweep.data.split import Split

_RANKS = {severity: rank for rank, severity in enumerate(Severity)}


def audit(
    raw: RawData, split: Split, settings: DatasetSettings, config: SweepConfig
) -> tuple[Finding, ...]:
    """Find what in a data set can break the trainings of a sweep.

    What is found does not depend on the order of the rows within each side of the split.

    Args:
        raw: the data as loaded; N rows.
        split: its rows; none of `train` is in `validation`.
        settings: of the data set.
        config: the sweep; a finding that all its trials deal with is a note.

    Returns:
        The findings, the worst first, those of one code together.
    """
    choices = Choices.of(config, settings)
    held_out = np.zeros(len(raw.target), bool)
    held_out[split.validation] = True
    found = list(_findings(raw, split, choices, held_out))
    codes = list(dict.fromkeys(finding.code for finding in found))
    return tuple(
        sorted(
            found,
            key=lambda finding: (
                _RANKS[finding.severity],
                codes.index(finding.code),
                -finding.count,
            ),
        )
    )


def _findings(
    raw: RawData, split: Split, choices: Choices, held_out: NDArray[np.bool_]
) -> Iterator[Finding]:
    hashes = RowHashes(len(raw.target))
    columns: list[NumberColumn] = []
    # One pass over the table: a column's values are at hand only until the next is measured.
    for column, values in measure_columns(raw.features, raw.feature_names, held_out):
        columns.append(column)
        dtype = raw.dtypes.get(column.name, "")
        yield from number_findings(column, values, split.train, dtype, choices)
        hashes.add(values)
    categories: list[CategoryColumn] = []
    for name, codes, levels in zip(raw.category_names, raw.categories.T, raw.levels, strict=True):
        categories.append(measure_categories(name, codes, levels, held_out))
        yield from category_findings(categories[-1], choices)
        hashes.add(np.ascontiguousarray(codes))
    hashes.add(raw.target)
    for targets in raw.targets.values():
        for values in targets.reshape(len(targets), -1).T:
            hashes.add(values)
    yield from unequal_scales(columns, choices)
    yield from copied_columns(raw, columns, categories, choices)
    if not raw.targets:  # an image may well be its own target
        yield from target_leaks(raw, columns, categories, choices)
    yield from repeated_rows(hashes, split)
    yield from target_findings(raw, split, choices)
    yield from batches(len(split.train), choices)
    yield from row_counts(raw, split, _most_inputs(columns, categories, choices), choices)


def _most_inputs(
    columns: list[NumberColumn], categories: list[CategoryColumn], choices: Choices
) -> int:
    """The most inputs that the model of any trial has."""
    own = "constant" in choices.imputations  # what is missing is a category by itself
    least = int("ordinal" in choices.encodings)
    one_hot = "one_hot" in choices.encodings
    encoded = sum(max(least, category.width + own if one_hot else 0) for category in categories)
    gaps = sum(column.missing > column.missing_validation for column in columns)
    gaps += sum(bool(category.training[0]) for category in categories)
    return len(columns) + encoded + (gaps if choices.indicated else 0)
