"""What is wrong with a column of numbers, taken by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from stabilitysweep.data.audit.choices import (
    ROUNDOFF,
    Choices,
    graded,
    number,
    part,
)
from stabilitysweep.data.audit.numbers import NumberColumn
from stabilitysweep.data.audit.ranges import Filling, fillings, range_findings
from stabilitysweep.data.audit.spread import Floats
from stabilitysweep.data.finding import Finding, Severity
from stabilitysweep.data.raw import Rows

OFFSET_ROUNDOFFS = 4
"""Standard deviations below this many roundoffs of the mean leave a column some 4 different
values within one standard deviation of it."""

WARNED_Z = 30.0
"""Robust z-score from which an outlier is a warning: once standardised, its part of a gradient
is some 30 times that of a usual row. An exponential distribution reaches 20 in 1,000,000 rows."""

_KEEP_OFFSET = {"none", "maxabs", "log1p"}


def number_findings(
    column: NumberColumn, values: Floats, train: Rows, dtype: str, choices: Choices
) -> Iterator[Finding]:
    """Judge a column for a sweep.

    Args:
        column: what was measured of it.
        values: [N], its values.
        train: numbers of the training rows.
        dtype: what its source has it as; empty where that is not known.
        choices: what the sweep does with it.
    """
    yield from missing_findings(
        column.name,
        column.rows,
        column.missing,
        column.missing_validation,
        empty=column.is_empty and not _infinities(column),
        choices=choices,
    )
    yield from _infinite(column, choices)
    filled = fillings(column, values, train, choices)
    yield from range_findings(column, values, train, filled, choices)
    yield from _log1p(column, values, filled, choices)
    if column.is_empty:
        return
    yield from _constant(column, choices)
    yield from _offset(column, choices)
    yield from marks_finding(column, choices.mark_missing, "values: marks of missing ones")
    yield from _outliers(column, choices)
    yield from _date(column, dtype, choices)
    if column.is_identifier and not _is_date(dtype):
        yield Finding(
            Severity.WARNING,
            "identifier",
            column.name,
            column.rows,
            f"all {column.rows:,} values are whole numbers that differ, from "
            f"{number(column.low)} to {number(column.high)}, as those of an identifier",
            choices.exclude(column.name),
        )


def missing_findings(
    name: str,
    rows: int,
    missing: int,
    validation: int,
    *,
    empty: bool,
    choices: Choices,
    categories: bool = False,
) -> Iterator[Finding]:
    """Judge what is missing in a column of numbers or of categories.

    Args:
        name: of the column.
        rows: all rows of the data.
        missing: of them, those without a value.
        validation: of these, those held out.
        empty: whether no training row has a value.
        choices: what the sweep does about it.
        categories: whether the column is one of categories.
    """
    if not missing:
        return
    unfilled = not choices.imputed
    if empty:
        filled = "; imputation has nothing to go by" if choices.imputed else ""
        # One-hot encoding makes a column of each category there is: here none.
        encoded = not categories or "ordinal" in choices.encodings
        yield Finding(
            graded(critical=unfilled and encoded, warning=missing < rows),
            "empty_column",
            name,
            missing,
            ("no row" if missing == rows else "no training row") + f" has a value{filled}",
            choices.exclude(name),
        )
        return
    if not validation:
        where = ""
    elif validation == missing:
        where = ", only in validation rows"
        if unfilled:
            where += ": training stays finite, and predictions become NaN"
    else:
        where = f", {validation:,} of them in validation rows"
    yield Finding(
        graded(critical=unfilled),
        "missing_values",
        name,
        missing,
        f"{part(missing, rows, 'values')} missing{where}",
        choices.impute("most_frequent" if categories else "median") if unfilled else "",
    )


def _infinities(column: NumberColumn) -> int:
    return column.positive_infinities + column.negative_infinities


def _infinite(column: NumberColumn, choices: Choices) -> Iterator[Finding]:
    count, validation = _infinities(column), column.infinities_validation
    if not count:
        return
    signs = [
        f"{number_of:,} {sign}"
        for number_of, sign in (
            (column.positive_infinities, "+Inf"),
            (column.negative_infinities, "-Inf"),
        )
        if number_of
    ]
    where = f", {validation:,} of them in validation rows" if validation else ""
    if validation == count:
        where = ", only in validation rows: training stays finite, and predictions do not"
    yield Finding(
        Severity.CRITICAL,  # neither imputation nor scaling touches Inf
        "infinite_values",
        column.name,
        count,
        f"{part(count, column.rows, 'values')} infinite ({', '.join(signs)}){where}",
        choices.mark_missing(["inf", "-inf"]),
    )


def _constant(column: NumberColumn, choices: Choices) -> Iterator[Finding]:
    if not column.is_constant:
        return
    differs = column.low < column.train_low or column.high > column.train_high
    text = f"no variance: the same value, {number(column.train_low)}, in every training row"
    if differs:
        text += f", but {number(column.low)} to {number(column.high)} in all rows"
    elif column.missing:
        text += " that has one"
    yield Finding(
        graded(warning=differs),
        "constant_column",
        column.name,
        column.known_training,
        text + "; in code of your own, dividing by its standard deviation is 0 / 0 = NaN",
        choices.exclude(column.name),
    )


def _offset(column: NumberColumn, choices: Choices) -> Iterator[Finding]:
    if column.is_constant or not column.mean:
        return
    ratio = column.std / abs(column.mean)
    lossy = [name for name in choices.precisions if ratio < OFFSET_ROUNDOFFS * ROUNDOFF[name]]
    kept = [scaling for scaling in choices.scalings if scaling in _KEEP_OFFSET]
    if not (lossy and kept) and not ratio < OFFSET_ROUNDOFFS * ROUNDOFF["float16"]:
        return
    text = f"a mean of {number(column.mean)} against a standard deviation of {number(column.std)}: "
    if lossy and kept:
        worst = max(lossy, key=ROUNDOFF.__getitem__)
        text += f"{worst} rounds the variation away with scaling {kept[0]}"
    else:
        text += "half precision would round the variation away if unscaled"
    yield Finding(
        graded(warning=bool(lossy and kept)),
        "large_offset",
        column.name,
        1,
        text,
        choices.use("scaling", "standard", _KEEP_OFFSET),
    )


def _log1p(
    column: NumberColumn, values: Floats, filled: Sequence[Filling], choices: Choices
) -> Iterator[Finding]:
    if "log1p" not in choices.scalings:
        return
    worst = min((filling.spread.low for filling in filled), default=np.inf)
    if worst > -1:
        return
    counts = [int(np.count_nonzero(filling.of(values) <= -1)) for filling in filled]
    place = int(np.argmax(counts))
    text = f"{part(counts[place], column.rows, 'values')} -1 or less, down to {number(worst)}"
    remedy = choices.use("scaling", "robust", {"log1p"})
    fill = filled[place].value
    if fill is not None and fill <= -1:
        text += f", filled with {number(fill)}"
        bad = {filling.value for filling in filled if (filling.value or 0) <= -1}
        if not column.not_above_minus_one and all(
            filling.constant for filling in filled if filling.value in bad
        ):
            remedy = choices.use("fill_value", 0.0, bad)
    yield Finding(
        Severity.CRITICAL,
        "log1p_domain",
        column.name,
        counts[place],
        f"{text}: scaling log1p makes them NaN or -Inf",
        remedy,
    )


def marks_finding(
    column: NumberColumn, remedy: Callable[[list[float]], str], suspicion: str
) -> Iterator[Finding]:
    """Values that look like marks of missing ones.

    Args:
        column: what was measured.
        remedy: what mends it, from the marks.
        suspicion: the end of the text.
    """
    if column.marks:
        found, marks = column.marks_in_words()
        count = sum(number for _, number in column.marks)
        text = f"{found}, far from all other {suspicion}?"
        yield Finding(Severity.WARNING, "sentinel_values", column.name, count, text, remedy(marks))


def _outliers(column: NumberColumn, choices: Choices) -> Iterator[Finding]:
    if not column.outliers:
        return
    far = column.farthest_z >= WARNED_Z
    positive = column.low > -1
    yield Finding(
        graded(warning=far and set(choices.scalings) != {"log1p"}),
        "outliers",
        column.name,
        column.outliers,
        f"{part(column.outliers, column.rows, 'values', 'lie')} far out, the farthest "
        f"{number(column.farthest)}: a robust z-score of {number(column.farthest_z)}",
        choices.use("scaling", "log1p" if positive else "robust"),
    )


def _is_date(dtype: str) -> bool:
    return any(word in dtype.lower() for word in ("date", "timestamp"))


def _date(column: NumberColumn, dtype: str, choices: Choices) -> Iterator[Finding]:
    if _is_date(dtype):
        unscaled = bool(_KEEP_OFFSET & set(choices.scalings))
        yield Finding(
            graded(warning=unscaled),
            "date_column",
            column.name,
            column.known_training,
            f"dates ({dtype}), read as days since 1970: {number(column.low)} to "
            f"{number(column.high)}",
            choices.use("scaling", "standard", _KEEP_OFFSET)
            if unscaled
            else choices.exclude(column.name),
        )
