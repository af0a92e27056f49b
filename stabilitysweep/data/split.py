"""Which rows are trained on, and which are held out.

Notation: N rows.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from sklearn.model_selection import train_test_split

from stabilitysweep.config import DatasetSettings
from stabilitysweep.data.raw import RawData, Rows
from stabilitysweep.errors import DataError


class Split(NamedTuple):
    """Row numbers, from 0 to N - 1, without repetition.

    Attributes:
        train: the training rows, at least one.
        validation: the rows held out; may be empty.
    """

    train: Rows
    validation: Rows


def split_rows(raw: RawData, settings: DatasetSettings) -> Split:
    """Split the rows of a data set.

    The split depends on the settings and the number of rows (and on the target with
    `stratify`) alone, and is the same for all trials. Where the source brings its own
    validation rows, these are held out.

    Args:
        raw: the data as loaded.
        settings: `validation_fraction` in [0, 1), `split_seed` and `stratify`.

    Returns:
        The rows of each side; with a fraction of 0 all are trained on, in their order.

    Raises:
        DataError: there are too few rows, or too few of a class, to split.
    """
    rows = np.arange(len(raw.target))
    if raw.own_training_rows is not None:
        return Split(rows[: raw.own_training_rows], rows[raw.own_training_rows :])
    if settings.validation_fraction == 0:
        return Split(rows, rows[:0])
    try:
        train, validation = train_test_split(
            rows,
            test_size=settings.validation_fraction,
            random_state=settings.split_seed,
            stratify=raw.target if settings.stratify else None,
        )
    except ValueError as error:
        raise DataError(_refusal(raw, settings, len(rows))) from error
    return Split(train, validation)


def _refusal(raw: RawData, settings: DatasetSettings, rows: int) -> str:
    if settings.stratify:
        classes, counts = np.unique(raw.target, return_counts=True)
        rarest = f"{classes[counts.argmin()]!s} has {counts.min()}"
        return (
            f"dataset '{raw.label}': stratify needs at least two rows of each class and a row of "
            f"each on both sides, got {len(classes)} classes in {rows} rows, of which {rarest}. "
            "Set stratify to false, or leave the rare class out."
        )
    return (
        f"dataset '{raw.label}': {rows} rows are too few to hold out "
        f"{settings.validation_fraction:g} of them. Set validation_fraction to 0, or give "
        "more rows."
    )
