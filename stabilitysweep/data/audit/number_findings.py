"""What is wrong with a column of numbers, taken by itself."""

from __future__ import annotations

from collections.abc import Iterator

from stabilitysweep.data.audit.choices import (
    FLOAT16_LARGEST,
    FLOAT32_LARGEST,
    LARGEST,
    LARGEST_ROOT,
    ROUNDOFF,
    Choices,
    graded,
    number,
    part,
)
from stabilitysweep.data.audit.numbers import NumberColumn
from stabilitysweep.data.finding import Finding, Severity

OFFSET_ROUNDOFFS = 4
"""Standard deviations below this many roundoffs of the mean leave a column some 4 different
values within one standard deviation of it."""

WARNED_Z = 30.0
"""Robust z-score from which an outlier is a warning: once standardised, its part of a gradient
is some 30 times that of a usual row. An exponential distribution reaches 20 in 1,000,000 rows."""

_KEEP_OFFSET = {"none", "maxabs", "log1p"}


def number_findings(column: NumberColumn, dtype: str, choices: Choices) -> Iterator[Finding]:
    """Judge a column for a sweep.

    Args:
        column: what was measured of it.
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
    if column.is_empty:
        return
    yield from _constant(column, choices)
    yield from _range(column, choices)
    yield from _offset(column, choices)
    yield from _log1p(column, choices)
    yield from _marks(column, choices)
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
    name: str, rows: int, missing: int, validation: int, *, empty: bool, choices: Choices
) -> Iterator[Finding]:
    """Judge what is missing in a column of numbers or of categories.

    Args:
        name: of the column.
        rows: all rows of the data.
        missing: of them, those without a value.
        validation: of these, those held out.
        empty: whether no training row has a value.
        choices: what the sweep does about it.
    """
    if not missing:
        return
    unfilled = not choices.imputed
    if empty:
        filled = "; imputation has nothing to go by" if choices.imputed else ""
        yield Finding(
            graded(critical=unfilled, warning=missing < rows),
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
        choices.impute() if unfilled else "",
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


def _range(column: NumberColumn, choices: Choices) -> Iterator[Finding]:
    """Values too large for float32 or float16, or their squares for float16: the worst of it."""
    if not column.beyond:
        return
    worst = {scaling: column.largest_after(scaling) for scaling in choices.scalings}
    up_to = f", up to {number(column.largest)} in magnitude"
    if column.largest > FLOAT16_LARGEST:
        broken = [
            (name, scaling)
            for name in choices.precisions
            for scaling, scaled in worst.items()
            if scaled > LARGEST[name]
        ]
        wide = column.largest > FLOAT32_LARGEST
        limit = "float32's 3.4e38" if wide else "float16's 65,504"
        text = f"{part(column.beyond, column.rows, 'values')} beyond {limit}{up_to}"
        if broken:
            text += f": Inf in {broken[0][0]} with scaling {broken[0][1]}"
        severity = graded(critical=bool(broken))
        avoided = {scaling for _, scaling in broken}
        code = "beyond_float32" if wide else "beyond_float16"
    else:
        risky = choices.float16 and any(scaled > LARGEST_ROOT for scaled in worst.values())
        text = f"{part(column.beyond, column.rows, 'values', 'have')} a square beyond float16's "
        text += f"65,504{up_to}"
        if risky:
            text += ": sums of products overflow"
        severity = graded(warning=bool(risky))
        avoided = {scaling for scaling, scaled in worst.items() if scaled > LARGEST_ROOT}
        code = "beyond_float16_squared"
    yield Finding(
        severity,
        code,
        column.name,
        column.beyond,
        text,
        choices.use("scaling", "standard", avoided),
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


def _log1p(column: NumberColumn, choices: Choices) -> Iterator[Finding]:
    if "log1p" in choices.scalings and column.not_above_minus_one:
        yield Finding(
            Severity.CRITICAL,
            "log1p_domain",
            column.name,
            column.not_above_minus_one,
            f"{part(column.not_above_minus_one, column.rows, 'values')} -1 or less, down to "
            f"{number(column.low)}: scaling log1p makes them NaN or -Inf",
            choices.use("scaling", "robust", {"log1p"}),
        )


def _marks(column: NumberColumn, choices: Choices) -> Iterator[Finding]:
    if not column.marks:
        return
    found = " and ".join(f"{number(value)} in {count:,} rows" for value, count in column.marks)
    marks = [int(value) if value == int(value) else value for value, _ in column.marks]
    yield Finding(
        Severity.WARNING,
        "sentinel_values",
        column.name,
        sum(count for _, count in column.marks),
        f"{found}, far from all others: marks of missing values?",
        choices.mark_missing(marks),
    )


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
