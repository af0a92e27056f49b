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
    columns, categories, hashes = _measure(raw, held_out)
    for column in columns:
        yield from number_findings(column, raw.dtypes.get(column.name, ""), choices)
    for category in categories:
        yield from category_findings(category, choices)
    yield from unequal_scales(columns, choices)
    yield from copied_columns(raw, columns, categories, choices)
    yield from target_leaks(raw, columns, categories, choices)
    yield from repeated_rows(hashes, split)
    yield from target_findings(raw, split, choices)
    yield from batches(len(split.train), choices)
    one_hot = "one_hot" in choices.encodings
    encoded = sum(category.width if one_hot else 1 for category in categories)
    yield from row_counts(raw, split, len(columns) + encoded, choices)


def _measure(
    raw: RawData, held_out: NDArray[np.bool_]
) -> tuple[list[NumberColumn], list[CategoryColumn], RowHashes]:
    """Measure all columns and hash all rows, in one pass over the table."""
    hashes = RowHashes(len(raw.target))
    columns: list[NumberColumn] = []
    for column, values in measure_columns(raw.features, raw.feature_names, held_out):
        columns.append(column)
        hashes.add(values)
    categories: list[CategoryColumn] = []
    for name, codes, levels in zip(raw.category_names, raw.categories.T, raw.levels, strict=True):
        categories.append(measure_categories(name, codes, levels, held_out))
        hashes.add(np.ascontiguousarray(codes))
    hashes.add(raw.target)
    return columns, categories, hashes
