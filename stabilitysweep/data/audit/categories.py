"""What is wrong with a column of categories.

Notation: N rows, L levels; place 0 of a count is that of missing values.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stabilitysweep.data.audit.choices import Choices, graded, part
from stabilitysweep.data.audit.number_findings import missing_findings
from stabilitysweep.data.finding import Finding, Severity, setting
from stabilitysweep.data.listing import some

MANY_LEVELS = 100
"""Levels above which one-hot encoding is said to make very many columns."""

IDENTIFIER_SHARE = 0.9
"""Share of different texts among all from which a column identifies its rows."""

FEWEST_IDENTIFIED = 20
"""Rows below which different texts in most of them prove nothing."""

MOST_MARKS = 5
"""Different texts that may stand among numbers for these to be called numbers."""

NUMERIC_SHARE = 0.9
"""Share of the values that must read as numbers, of those that are not missing."""

MARKS = frozenset({"?", "-", "--", ".", "n/a", "na", "nan", "none", "null", "unknown", "missing"})
"""Texts, in small letters, that mark a missing value."""

_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")
_DECIMAL_COMMA = re.compile(r"\s*[+-]?\d*,\d+\s*")
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class CategoryColumn:
    """What there is to know of one column.

    Attributes:
        name: its name.
        levels: L texts.
        training: int [L + 1], rows of each among those trained on.
        validation: int [L + 1], the same among those held out.
    """

    name: str
    levels: tuple[str, ...]
    training: NDArray[np.intp]
    validation: NDArray[np.intp]

    @property
    def rows(self) -> int:
        """N."""
        return int(self.training.sum() + self.validation.sum())

    @property
    def counts(self) -> NDArray[np.intp]:
        """Rows of each level, missing values left out."""
        both: NDArray[np.intp] = (self.training + self.validation)[1:]
        return both

    @property
    def known_training(self) -> int:
        """Number of training rows that have a category."""
        return int(self.training[1:].sum())

    @property
    def width(self) -> int:
        """Columns that one-hot encoding makes of it: levels that training has."""
        return int(np.count_nonzero(self.training[1:]))


def measure_categories(
    name: str, codes: NDArray[np.int32], levels: tuple[str, ...], held_out: NDArray[np.bool_]
) -> CategoryColumn:
    """Count the levels of one column on both sides of the split.

    Args:
        name: its name.
        codes: [N], places in `levels`, -1 where missing.
        levels: its texts.
        held_out: [N], whether a row is for validation.
    """
    bins = len(levels) + 1
    training = np.bincount(codes[~held_out] + 1, minlength=bins)
    validation = np.bincount(codes[held_out] + 1, minlength=bins)
    return CategoryColumn(name, levels, training, validation)


def category_findings(column: CategoryColumn, choices: Choices) -> Iterator[Finding]:
    """Judge a column for a sweep."""
    missing = int(column.training[0] + column.validation[0])
    yield from missing_findings(
        column.name,
        column.rows,
        missing,
        int(column.validation[0]),
        empty=column.known_training == 0,
        choices=choices,
        categories=True,
    )
    if column.known_training == 0:
        return
    yield from _constant(column, choices)
    yield from _unseen(column, choices)
    numbers = list(_numbers_as_text(column, choices))
    yield from numbers or [*_marks(column, choices), *_many(column, choices)]


def _constant(column: CategoryColumn, choices: Choices) -> Iterator[Finding]:
    if column.width != 1:
        return
    place = int(column.training[1:].argmax())
    others = int(column.validation[1:].sum() - column.validation[1 + place])
    text = f"no variance: the same category, {_quoted(column.levels[place])}, in every training row"
    if others:
        text += f", but {part(others, int(column.validation.sum()), 'validation rows', 'have')} "
        text += "another"
    elif column.training[0]:
        text += " that has one"
    yield Finding(
        graded(warning=others > 0),
        "constant_column",
        column.name,
        column.known_training,
        text,
        choices.exclude(column.name),
    )


def _unseen(column: CategoryColumn, choices: Choices) -> Iterator[Finding]:
    places = np.flatnonzero((column.training[1:] == 0) & (column.validation[1:] > 0))
    if not len(places):
        return
    rows = int(column.validation[1:][places].sum())
    held_out = int(column.validation.sum())
    texts = _some([column.levels[place] for place in places])
    kind = "a category" if len(places) == 1 else f"{len(places):,} categories"
    unfilled = "missing" in choices.unknown_categories and not choices.imputed
    yield Finding(
        graded(critical=unfilled),
        "unseen_categories",
        column.name,
        rows,
        f"{part(rows, held_out, 'validation rows', 'have')} {kind} that training never saw: "
        f"{texts}" + ("; as missing values they make predictions NaN" if unfilled else ""),
        choices.use("unknown_categories", "encode", {"missing"}) if unfilled else "",
    )


def _numbers_as_text(column: CategoryColumn, choices: Choices) -> Iterator[Finding]:
    """Numbers that a few marks, or a decimal comma, made texts of."""
    counts, values = column.counts, int(column.counts.sum())
    is_number = np.array([bool(_NUMBER.fullmatch(level)) for level in column.levels])
    commas = np.array([bool(_DECIMAL_COMMA.fullmatch(level)) for level in column.levels])
    others = np.flatnonzero(~is_number & ~commas & (counts > 0))
    readable = int(counts[is_number | commas].sum())
    marked = len(others) or commas.any()  # without either, the user declared it categorical
    if not marked or len(others) > MOST_MARKS or readable < NUMERIC_SHARE * values:
        return
    if np.count_nonzero(is_number | commas) <= len(others):
        return  # as many marks as numbers: a scale such as low, 1, 2, high
    reasons: list[str] = []
    decimal = {"decimal": ","} if commas.any() else {}
    remedy = setting("dataset", **decimal)
    if commas.any():
        reasons.append("a decimal comma")
    if len(others):
        marks = [column.levels[place] for place in others]
        reasons.append(f"{_some(marks)} in {int(counts[others].sum()):,} rows")
        remedy = choices.mark_missing(marks, **decimal)
    yield Finding(
        Severity.WARNING,
        "numbers_as_text",
        column.name,
        int(counts[others].sum()) or readable,
        f"read as {len(column.levels):,} categories, but they are numbers but for "
        + " and ".join(reasons),
        remedy,
    )


def _marks(column: CategoryColumn, choices: Choices) -> Iterator[Finding]:
    marks = [
        (level, int(count))
        for level, count in zip(column.levels, column.counts, strict=True)
        if count and level.strip().lower() in MARKS
    ]
    if marks and len(marks) < len(column.levels):
        texts = [level for level, _ in marks]
        rows = sum(count for _, count in marks)
        yield Finding(
            Severity.NOTE,
            "missing_marks",
            column.name,
            rows,
            f"{_some(texts)} in {rows:,} of {column.rows:,} rows, a category of its own: marks of "
            "missing values?",
            choices.mark_missing(texts, "most_frequent"),
        )


def _many(column: CategoryColumn, choices: Choices) -> Iterator[Finding]:
    known, levels = int(column.counts.sum()), int(np.count_nonzero(column.counts))
    if known >= FEWEST_IDENTIFIED and levels >= IDENTIFIER_SHARE * known:
        yield Finding(
            Severity.WARNING,
            "identifier",
            column.name,
            levels,
            f"{levels:,} different texts in {known:,} rows, as those of an identifier",
            choices.exclude(column.name),
        )
    elif column.width > MANY_LEVELS:
        yield Finding(
            graded(warning="one_hot" in choices.encodings),
            "many_categories",
            column.name,
            column.width,
            f"{column.width:,} categories: one-hot encoding makes {column.width:,} columns",
            choices.use("encoding", "ordinal", {"one_hot"}),
        )


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 30 else text[:27] + "...")


def _some(texts: list[str]) -> str:
    return some([_quoted(text) for text in texts], _SHOWN)
